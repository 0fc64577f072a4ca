"""One request against a server that streams as each test says."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from scripted_server import CUT, DONE, ROLE, ScriptedServer, always, chunk, event, usage

from costlib.measure.load.client import Attempt
from costlib.measure.load.drive import Flow, Sendable, drive

BODY = json.dumps({"messages": [{"content": "one two"}], "max_tokens": 3}).encode()


def ask(server: ScriptedServer | str, how: Any = None, *, timeout_s: float = 5.0, **more: Any) -> Attempt:
    if isinstance(server, ScriptedServer):
        if how is not None:
            server.usual = always(how)
        server = f"{server.url}/chat/completions"
    limits: dict[str, Any] = {"most_at_once": 1, "time_limit_s": 20.0, "timeout_s": timeout_s}
    return drive(server, [Sendable(BODY)], Flow(), **limits, **more).attempts[0]


def test_a_whole_answer_with_its_times_and_counts(server: ScriptedServer) -> None:
    """The role chunk, which carries no text, is not the first token; the usage chunk is not the last."""
    parts = [ROLE, 0.1, chunk("a"), 0.05, chunk("b"), 0.05, chunk("c"), 0.1, chunk(finish="length"), usage(9, 4), DONE]
    found = ask(server, parts)
    assert (found.outcome, found.reason, found.finish_reason, found.usage) == ("ok", None, "length", (9, 4))
    assert found.sent_s is not None and found.end_s is not None
    first, second, third = (stamp - found.sent_s for stamp in found.chunk_s)
    assert 0.1 <= first < 0.2 <= third < 0.4 and first < second < third
    assert found.end_s - found.chunk_s[-1] >= 0.1


@pytest.mark.parametrize(
    ("parts", "chunks", "counts"),
    [
        ([chunk("a"), chunk("b", finish="stop")], 2, None),  # no [DONE], no usage
        ([chunk("a"), DONE], 1, None),  # no reason why it ended
        ([chunk("a"), chunk(finish="stop", usage={"prompt_tokens": 5, "completion_tokens": 2})], 1, (5, 2)),
        ([chunk("a", usage={"prompt_tokens": 5, "completion_tokens": 1}), chunk("b"), usage(5, 2), DONE], 2, (5, 2)),
        ([chunk("a"), usage(-1, 2), DONE], 1, None),
        ([chunk("a"), event({"choices": [], "usage": {"prompt_tokens": True, "completion_tokens": 1}}), DONE], 1, None),
        ([b": ping\n\n", chunk("a").replace(b"\n", b"\r\n"), b"event: end\n", DONE], 1, None),
        ([chunk("🙂")[:35], 0.01, chunk("🙂")[35:], DONE], 1, None),
        ([event({"choices": [{"text": "a"}]}), event({"choices": [{"text": "", "finish_reason": "stop"}]})], 1, None),
        ([event({"choices": [{"delta": {"reasoning_content": "hm"}}]}), chunk("a"), DONE], 2, None),
        ([chunk("a"), b"data: [DONE]"], 1, None),  # left open by the server
    ],
)
def test_every_form_of_a_whole_stream(server: ScriptedServer, parts: Any, chunks: int, counts: Any) -> None:
    found = ask(server, parts)
    assert (found.outcome, len(found.chunk_s), found.usage) == ("ok", chunks, counts)


def test_tokens_from_a_cache_are_told(server: ScriptedServer) -> None:
    assert ask(server, [chunk("a"), usage(9, 1, prompt_tokens_details={"cached_tokens": 8}), DONE]).cached_tokens == 8
    assert (
        ask(server, [chunk("a"), usage(9, 1, prompt_tokens_details={"cached_tokens": 10}), DONE]).cached_tokens is None
    )


@pytest.mark.parametrize(
    ("how", "outcome", "reason"),
    [
        (
            (429, {"Retry-After": "9"}, b'{"error": {"message": "slow down"}}'),
            "failed",
            "rate_limited: status 429, slow down",
        ),
        ((500, {}, b"oops"), "failed", "server_error: status 500"),
        ((404, {}, b'{"detail": "Not Found"}'), "failed", "refused: status 404, Not Found"),
        ((401, {}, b'{"error": {"message": "not sk-secret"}}'), "failed", "refused: status 401, not ***"),
        ((200, {"Content-Type": "application/json"}, b'{"choices": []}'), "failed", "malformed: no event came"),
        ((200, {}, b"<html>"), "failed", "malformed: no event came"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "failed", "malformed: the answer is not in its own encoding"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 20_000_000)), "failed", "malformed: more than 16 MB"),
        (b"", "failed", "cut: the connection"),
        (b"\x00\xff\r\n\r\n", "failed", "cut: the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", "failed", "cut: the connection"),
        (b"HTTP/1.1 307 X\r\nLocation: http://[::1\r\n\r\n", "failed", "cut: the connection"),
        ([ROLE, CUT], "failed", "cut: the connection ended before the answer did"),
        ([ROLE, chunk("a"), CUT], "cut", "cut: the connection ended before the answer did"),
        ([ROLE, chunk("a")], "cut", "cut: the stream ended without its end"),
        ([chunk("a"), b"data: {not json\n\n"], "cut", "malformed: an event is not a completion chunk"),
        ([b"data: [1, 2]\n\n"], "failed", "malformed: an event is not a completion chunk"),
        ([b"data: " + b"[" * 100_000 + b"\n\n"], "failed", "malformed: an event is not a completion chunk"),
        ([event({"choices": [7]})], "failed", "malformed: an event is not a completion chunk"),
        ([chunk("a"), event({"error": {"message": "out of memory\nat line 7"}})], "cut", "stream_error: out of memory"),
        ([event({"error": "no such model"})], "failed", "stream_error: no such model"),
        ([event({"object": "error", "message": "bad"})], "failed", "stream_error: bad"),
        ([ROLE, chunk(finish="stop"), usage(3, 1), DONE], "empty", "no_content: a whole answer without text (stop)"),
        ([DONE], "failed", "no_content: a whole answer without text (None)"),
    ],
)
def test_every_end_that_is_none_has_its_reason(server: ScriptedServer, how: Any, outcome: str, reason: str) -> None:
    found = ask(server, how, key="sk-secret")
    assert found.outcome == outcome and found.reason is not None and found.reason.startswith(reason)
    assert "sk-secret" not in found.reason


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [([3.0, chunk("a"), DONE], "failed"), ([chunk("a"), 3.0, chunk("b"), DONE], "cut")],
)
def test_a_server_that_hangs_is_left(server: ScriptedServer, parts: Any, outcome: str) -> None:
    found = ask(server, parts, timeout_s=0.3)
    assert (found.outcome, found.reason) == (outcome, "timeout: no whole answer within 0.3 s")
    assert found.sent_s is not None and found.end_s is not None and found.end_s - found.sent_s < 1.5


def test_a_server_that_sends_on_and_on_is_left_when_its_time_is_over(server: ScriptedServer) -> None:
    found = ask(server, [part for _ in range(100) for part in (chunk("a"), 0.02)], timeout_s=0.3)
    assert (found.outcome, len(found.chunk_s) > 5) == ("cut", True)


def test_an_answer_is_whole_even_where_the_server_never_closes_it(server: ScriptedServer) -> None:
    found = ask(server, [chunk("a"), chunk(finish="stop"), 0.1, usage(3, 1), DONE, 4.0])
    assert (found.outcome, found.usage) == ("ok", (3, 1))
    assert found.end_s is not None and found.end_s < 2


def test_nobody_there_is_a_failure() -> None:
    found = ask("http://127.0.0.1:9/v1/chat/completions")
    assert (found.outcome, found.reason) == ("failed", "unreachable: ConnectError")
