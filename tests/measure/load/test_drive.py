from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from scripted_server import ScriptedServer, chunk

from costlib.measure.load.drive import Flow, Sendable, drive

LIMITS: dict[str, Any] = {"most_at_once": 512, "time_limit_s": 30.0, "timeout_s": 30.0}


def body(tokens: int = 2) -> bytes:
    return json.dumps({"messages": [{"content": "one two"}], "max_tokens": tokens}).encode()


def run(server: ScriptedServer, requests: list[Sendable], **limits: Any) -> Flow:
    return drive(f"{server.url}/chat/completions", requests, Flow(), **{**LIMITS, **limits})


def test_a_slow_server_does_not_slow_the_sending(server: ScriptedServer) -> None:
    """30 requests within 0.3 s at a server that takes 0.8 s: a client that waited for answers would need 24 s."""
    server.first_s = 0.8
    flow = run(server, [Sendable(body(), at_s=0.01 * n) for n in range(30)])
    came = np.array(server.came) - server.came[0]
    assert len(came) == 30 and came.max() < 0.8 and server.most_busy == 30
    assert [attempt.scheduled_s for attempt in flow.attempts] == [pytest.approx(0.01 * n) for n in range(30)]
    late = [(attempt.sent_s or 0) - attempt.scheduled_s for attempt in flow.attempts]
    assert min(late) >= 0 and np.median(late) < 0.05
    assert {attempt.outcome for attempt in flow.attempts} == {"ok"} and not flow.limited


def test_a_bound_on_requests_at_once_shows_in_the_time_from_the_schedule(server: ScriptedServer) -> None:
    server.first_s = 0.2
    flow = run(server, [Sendable(body(), at_s=0.0) for _ in range(6)], most_at_once=2)
    waits = sorted((attempt.sent_s or 0) - attempt.scheduled_s for attempt in flow.attempts)
    assert server.most_busy == 2
    assert waits[1] < 0.15 and 0.2 <= waits[2] < 0.4 <= waits[5] < 0.9


def test_a_closed_loop_keeps_so_many_clients_busy(server: ScriptedServer) -> None:
    server.first_s = 0.1
    flow = run(server, [Sendable(body()) for _ in range(12)], most_at_once=3)
    assert server.most_busy == 3 and len(flow.attempts) == 12
    assert 0.4 <= flow.wall_s < 1.2
    again = sorted(attempt.sent_s or 0 for attempt in flow.attempts)[3]
    assert again == pytest.approx(min(attempt.end_s or 9 for attempt in flow.attempts), abs=0.05)


def test_when_the_time_is_over_what_is_under_way_says_so(server: ScriptedServer) -> None:
    server.first_s, server.gap_s = 0.0, 0.2
    due = [
        Sendable(body(50), at_s=0.0),
        Sendable(body(50), at_s=0.1),
        Sendable(body(1), at_s=0.0),
        Sendable(body(1), at_s=9.0),
    ]
    flow = run(server, sorted(due, key=lambda one: one.at_s or 0), most_at_once=2, time_limit_s=0.5)
    assert flow.limited and flow.wall_s < 2.0
    assert len(flow.attempts) == 3, "the one that was not due yet was not offered"
    kinds = [(attempt.outcome, (attempt.reason or "").partition(":")[0]) for attempt in flow.attempts]
    assert sorted(kinds) == [("cut", "time_limit"), ("cut", "time_limit"), ("ok", "")]


def test_who_never_got_a_turn_failed(server: ScriptedServer) -> None:
    server.first_s = 5.0
    flow = run(server, [Sendable(body(), at_s=0.0) for _ in range(3)], most_at_once=1, time_limit_s=0.3)
    kinds = [(attempt.reason or "").partition(":")[0] for attempt in flow.attempts]
    assert kinds == ["time_limit", "not_sent", "not_sent"]
    assert flow.attempts[1].sent_s is None and {attempt.outcome for attempt in flow.attempts} == {"failed"}


def test_it_works_where_a_loop_runs_already_as_in_a_notebook(server: ScriptedServer) -> None:
    async def cell() -> Flow:
        return run(server, [Sendable(body())])

    assert asyncio.run(cell()).attempts[0].outcome == "ok"


def test_a_client_that_is_held_up_is_seen_to_be(server: ScriptedServer) -> None:
    server.gap_s = 0.01
    slow = run(server, [Sendable(body(20))], hear=lambda text, now: time.sleep(0.03))
    quick = run(server, [Sendable(body(20))])
    assert np.quantile(slow.lag_s, 0.9) > 0.02 > np.median(quick.lag_s)
    busy = run(server, [Sendable(body(20))], hear=lambda text, now: sum(range(3_000_000)) and None)
    cpu_s = [(flow.cpu_share or 0) * flow.wall_s for flow in (quick, busy)]  # the share itself falls on a busy machine
    assert cpu_s[1] > 10 * cpu_s[0] > 0


def test_progress_and_pieces_are_told(server: ScriptedServer) -> None:
    server.usual = lambda body: [chunk("Grüße"), chunk("!", finish="stop")]
    done: list[int] = []
    said: list[str] = []
    run(
        server,
        [Sendable(body()) for _ in range(3)],
        most_at_once=1,
        tell=done.append,
        hear=lambda text, _: said.append(text),
    )
    assert done == [1, 2, 3] and said == ["Grüße", "!"] * 3
