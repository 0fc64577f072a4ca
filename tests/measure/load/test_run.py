"""Whole load tests against a server that streams as told, from the call to what lies in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from scripted_server import CUT, DONE, ROLE, ScriptedServer, always, chunk, event

import costlib as cl
from costlib.errors import InputError
from costlib.measure.load.run import LoadTest
from costlib.measure.load.slo import Highest, bounds, search
from costlib.store import Store
from costlib.tables import LOAD_REQUESTS, LOADS


def load(server: ScriptedServer | str, **given: Any) -> LoadTest:
    url = server if isinstance(server, str) else server.url
    quick: dict[str, Any] = {"self_test_s": 0.0, "requests": 20, "output_tokens": 4}
    return cl.load(url, "m", **{**quick, **given})[0]


def test_a_test_is_stored_as_trace_and_row(server: ScriptedServer, tmp_path: Path) -> None:
    server.first_s, server.gap_s = 0.05, 0.01
    found = load(server, rate=40, requests=60, slo_ttft_s=1, store=str(tmp_path), server_device="1 x L4")
    row = found.rows.iloc[0]
    assert (row["status"], row["offered"], row["ok"], row["failed"], row["cut"]) == ("ok", 60, 60, 0, 0)
    assert (row["arrivals"], row["rate_per_s"], row["engine"], row["kind"]) == ("poisson", 40, "server", "measured")
    assert (row["url"], row["model"], row["server_device"]) == (server.url, "m", "1 x L4")
    assert (row["tokens_from"], row["tokens_per_chunk"], row["output_tokens"]) == ("usage", 1, 240)
    assert 0.05 <= row["ttft_sent_s"] <= row["ttft_scheduled_s"] < 0.2 and row["ttft_sent_s_low"] >= 0.05
    assert row["stream_tpot_s"] == pytest.approx(0.01, abs=0.008) and row["good_share"] == 1
    assert row["requests_per_s_low"] < row["requests_per_s"] < row["requests_per_s_high"]
    assert json.loads(row["environment"])["python"] and row["fingerprint"]
    kept = Store(tmp_path)
    assert kept.read(LOADS).frame["run_id"].tolist() == [row["run_id"]]
    trace = kept.read(LOAD_REQUESTS).frame
    assert len(trace) == 60 and (trace["run_id"] == row["run_id"]).all()
    assert [list(stamps) for stamps in trace["chunk_s"]] == [list(stamps) for stamps in found.requests["chunk_s"]]
    assert found.latencies.groupby("metric").size().tolist() == [4] * 6


def test_the_server_is_asked_for_completions_and_nothing_else(server: ScriptedServer) -> None:
    load(server, concurrency=2, requests=4, extra={"ignore_eos": True, "temperature": None})
    assert {head.split()[1] for head in server.heads} == {"/v1/chat/completions"}
    body = server.bodies[-1]
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and body["max_tokens"] == 4
    assert body["ignore_eos"] is True and "temperature" not in body
    load(server, concurrency=2, requests=4, completions=True)
    assert server.heads[-1].split()[1] == "/v1/completions" and isinstance(server.bodies[-1]["prompt"], str)


def test_prompts_have_their_length_and_repeat_only_where_they_may(server: ScriptedServer, tmp_path: Path) -> None:
    """The server counts 2 tokens a word and 7 of a template; two requests are enough to find out."""
    usual = server.answer

    def two_a_word(body: dict[str, Any]) -> Any:
        words = len(body["messages"][0]["content"].split())
        counts = {"prompt_tokens": 2 * words + 7, "completion_tokens": 4}
        return [*usual(body)[:-2], event({"choices": [], "usage": counts}), DONE]

    server.usual = two_a_word
    found = load(server, concurrency=4, prompt_tokens=207, shared_prefix_tokens=40, store=str(tmp_path))
    again = load(server, concurrency=4, prompt_tokens=207, shared_prefix_tokens=40, store=str(tmp_path))
    assert set(found.requests["prompt_tokens"]) == {207} == set(again.requests["prompt_tokens"])
    texts = [body["messages"][0]["content"] for body in server.bodies]
    assert len(texts) == len(set(texts)) == 44, "unique over both tests and their warm-ups"
    counted = [text.split() for text in texts[2:22]]
    assert len({tuple(words[:20]) for words in counted}) == 1 and len({words[20] for words in counted}) > 15


def test_without_usage_a_chunk_counts_as_a_token_and_prompts_are_unknown(server: ScriptedServer) -> None:
    server.usual = lambda body: [ROLE, chunk("a"), 0.002, chunk("b"), chunk(finish="stop"), DONE]
    found = load(server, concurrency=2)
    row = found.rows.iloc[0]
    assert (row["tokens_from"], row["output_tokens"]) == ("chunks", 40)
    assert found.rows["prompt_tokens"].isna().all() and found.rows["input_tokens_per_s"].isna().all()


def test_failed_and_cut_requests_are_counted_apart_and_keep_no_promise(server: ScriptedServer) -> None:
    ways = [
        always((429, {}, b"{}")),
        always((500, {}, b"")),
        always([ROLE, chunk("a"), CUT]),
        always([chunk("a"), event({"error": "gone"})]),
        always([ROLE, 9.0]),
    ]
    server.script = [server.answer, server.answer, *ways]
    found = load(server, rate=100, slo_e2e_s=9, timeout_s=0.5)
    row = found.rows.iloc[0]
    assert (row["offered"], row["ok"], row["failed"], row["cut"]) == (20, 15, 3, 2)
    kinds = {"cut": 1, "rate_limited": 1, "server_error": 1, "stream_error": 1, "timeout": 1}
    assert json.loads(row["failures"]) == kinds
    assert row["good_requests"] == 15 and row["good_share"] == 0.75
    assert found.requests.loc[found.requests["outcome"] != "ok", "output_tokens"].notna().sum() == 2, "kept raw"


def test_a_server_that_answers_nothing_is_a_row_with_its_reason(server: ScriptedServer, tmp_path: Path) -> None:
    server.usual = always((404, {}, b'{"detail": "Not Found"}'))
    found = load(server, rate=50, store=str(tmp_path))
    row = found.rows.iloc[0]
    assert (row["status"], len(server.bodies)) == ("error", 2), "the test itself was spared"
    assert row["reason"] == "no answer to the warm-up: refused: status 404, Not Found"
    row = load(server, rate=50, warmup=0, store=str(tmp_path)).rows.iloc[0]
    assert (row["status"], row["failed"], row["reason"]) == (
        "error",
        20,
        "no whole answer: refused: status 404, Not Found",
    )
    assert len(Store(tmp_path).read(LOADS).frame) == 2
    assert load("http://127.0.0.1:9/v1", rate=5).rows["reason"].iloc[0].endswith("unreachable: ConnectError")


def test_the_time_limit_ends_a_test_and_its_row_says_so(server: ScriptedServer) -> None:
    server.first_s = 0.05
    found = load(server, rate=10, requests=1000, time_limit_s=1.0, slo_e2e_s=5)
    row = found.rows.iloc[0]
    assert row["status"] == "ok" and row["offered"] < 30 and row["duration_s"] < 1.5
    assert row["reason"] == f"the time limit came when {row['offered']} of 1000 requests were due"


def test_a_trace_is_replayed_or_gives_the_lengths(server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    lines = [{"arrival_s": 7 + 0.1 * n, "prompt": f"Question {n}?", "output_tokens": 1 + n} for n in range(4)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = load(server, trace=file, requests=None, warmup=0, output_tokens=64)
    assert found.rows["arrivals"].iloc[0] == "trace" and found.rows["prompt_tokens_asked"].iloc[0] == "as in the trace"
    assert found.requests["scheduled_s"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert found.requests["output_tokens"].tolist() == [1, 2, 3, 4]
    assert [body["messages"][0]["content"] for body in server.bodies] == [f"Question {n}?" for n in range(4)]
    found = load(server, trace=file, concurrency=1, requests=6, warmup=0, output_tokens=64)
    assert found.rows["arrivals"].iloc[0] == "closed"
    assert found.requests["output_tokens"].tolist() == [1, 2, 3, 4, 1, 2]


def test_the_key_is_sent_and_is_nowhere_else(server: ScriptedServer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    server.script = [server.answer, server.answer, always((401, {}, b'{"error": "no sk-very-secret"}'))]
    found = load(server, concurrency=1, requests=3, api_key_env="A_KEY", store=str(tmp_path))
    assert all("bearer sk-very-secret" in head.lower() for head in server.heads)
    assert "sk-very-secret" not in found.rows.to_json() + found.requests.to_json()
    assert all(b"sk-very-secret" not in file.read_bytes() for file in tmp_path.rglob("*.parquet"))
    assert found.requests["reason"].dropna().tolist() == ["refused: status 401, no ***"]


def test_the_client_says_when_it_was_the_bottleneck(server: ScriptedServer, monkeypatch: Any) -> None:
    server.first_s = 0.1
    quick = load(server, concurrency=2, self_test_s=0.3).rows.iloc[0]
    assert quick["selftest_streams"] == 2 and quick["selftest_delay_p95_s"] > 0
    held = load(server, rate=500, most_at_once=2, self_test_s=0.0).rows.iloc[0]
    assert held["client_bound"] and "after their schedule" in held["client_reason"]
    from costlib.measure.load import client

    monkeypatch.setattr(client, "usage_counts", lambda usage: time.sleep(0.02))
    slow = load(server, concurrency=4, requests=12, self_test_s=0.0).rows.iloc[0]
    assert slow["client_bound"] and slow["client_lag_p95_s"] > quick["client_lag_p95_s"]


def test_several_rates_are_tests_of_their_own_and_the_highest_that_holds_is_told(server: ScriptedServer) -> None:
    """One request at a time, 0.03 s each: 33 a second at most."""
    import asyncio

    one_at_a_time = asyncio.Semaphore(1)
    plain = server._respond

    async def queued(writer: Any, how: Any) -> bool:
        async with one_at_a_time:
            return await plain(writer, how)

    server._respond = queued  # type: ignore[method-assign]
    server.first_s = 0.03
    found = load(server, rate=[10, 90], requests=50, slo_ttft_s=0.3, output_tokens=1)
    assert found.rows["rate_per_s"].tolist() == [10, 90]
    slow, fast = found.rows.to_dict("records")
    assert slow["good_share"] == 1 and fast["good_share"] < 0.5
    assert not fast["stationary"] and "more come than are answered" in fast["stationary_reason"]
    assert found.highest is not None
    assert (found.highest.rate_per_s, found.highest.fails_at_per_s) == (10, 90)
    doubt = "at 10 requests/s between 93% and 100% keep the promise, 95% are to: more requests would tell"
    assert doubt in str(found.highest.reason), "50 of 50 is no proof of 95 %"


def test_the_search_finds_an_edge_within_a_tenth() -> None:
    asked: list[float] = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return rate <= 7.3

    found = search(holds, {})
    assert found.rate_per_s is not None and found.fails_at_per_s is not None
    assert found.rate_per_s <= 7.3 < found.fails_at_per_s <= 1.1 * found.rate_per_s and len(asked) <= 8
    assert search(lambda rate: rate <= 0.2, {}).rate_per_s == pytest.approx(0.2, rel=0.1)
    seen = {2.0: True, 4.0: False}
    assert search(holds, seen, most=0) == Highest(2.0, 4.0)
    never, always_holds = search(lambda rate: False, {}, most=4), search(lambda rate: True, {}, most=4)
    assert never.rate_per_s is None and "none of the rates tested holds" in str(never.reason)
    assert always_holds.fails_at_per_s is None and "no rate tested fails" in str(always_holds.reason)
    assert bounds({1.0: True, 2.0: False, 4.0: True}) == Highest(1.0, 2.0), "a lucky one above a failure does not count"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "the load is missing"),
        ({"rate": 1, "concurrency": 1}, "not both"),
        ({"rate": 0}, "rate is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": [1, 1]}, "different rates"),
        ({"rate": []}, "requests per second"),
        ({"rate": ["max", 1]}, "rate is 'max'"),
        ({"rate": "max"}, "beside a promise"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": True}, "concurrency is True"),
        ({"rate": 1, "requests": 0}, "requests is 0"),
        ({"rate": 1, "requests": 10**7}, "from 1 to 100,000"),
        ({"rate": 1, "output_tokens": 0}, "output_tokens is 0"),
        ({"rate": 1, "prompt_tokens": "9-2"}, "prompt_tokens is '9-2'"),
        ({"rate": 1, "requests": 100_000, "prompt_tokens": 900_000}, "tokens together"),
        ({"rate": 1, "shared_prefix_tokens": -1}, "shared_prefix_tokens is -1"),
        ({"rate": 1, "arrival_scv": 0}, "arrival_scv is 0"),
        ({"concurrency": 1, "arrival_scv": 2}, "arrival_scv is 2"),
        ({"rate": 1, "timeout_s": 0}, "timeout_s is 0"),
        ({"rate": 1, "time_limit_s": float("inf")}, "time_limit_s is inf"),
        ({"rate": 1, "warmup": -1}, "warmup is -1"),
        ({"rate": 1, "seed": 1.5}, "seed is 1.5"),
        ({"rate": 1, "most_at_once": 0}, "most_at_once is 0"),
        ({"rate": 1, "slo_ttft_s": 0}, "slo_ttft_s is 0"),
        ({"rate": 1, "slo_ttft_s": 1, "slo_share": 1}, "slo_share is 1"),
        ({"rate": 1, "extra": {"stream": False}}, "extra is 'stream'"),
        ({"rate": 1, "api_key_env": "NO_SUCH_KEY"}, "an environment variable"),
        ({"rate": 1, "trace": "nowhere.jsonl"}, "a file that exists"),
        ({"rate": 1, "usd_per_hour": 0}, "usd_per_hour is 0"),
        ({"rate": 1, "device": "Abacus"}, "Abacus"),
        ({"rate": 1, "usd_per_hour": 1, "devices": 2}, "devices is 2"),
        ({"rate": 1, "usd_per_hour": 1, "price_ratio": -1}, "price_ratio is -1"),
        ({"rate": 1, "colour": "red"}, "setting is 'colour'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    server: ScriptedServer, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        cl.load(server.url, "m", **given)
    assert server.bodies == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/v1", "an https address"),
        ("ftp://127.0.0.1/v1", "an https address"),
        ("127.0.0.1:8000", "an https address"),
        ("http://me:hidden@127.0.0.1:1/v1", "without a key"),
        ("http://127.0.0.1:1/v1?key=hidden", "without a key"),
    ],
)
def test_an_address_that_is_none_is_refused_and_no_key_in_it_shown(url: str, words: str) -> None:
    with pytest.raises(InputError, match=f"url is .*{words}") as refused:
        cl.load(url, "m", rate=1)
    assert "hidden" not in str(refused.value)


def test_an_interrupted_test_keeps_what_came(server: ScriptedServer, tmp_path: Path) -> None:
    server.first_s = 0.05
    program = (
        "import sys, signal, costlib as cl\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "cl.load(sys.argv[1], 'm', rate=20, requests=10_000, warmup=0, self_test_s=0.0, store=sys.argv[2])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, server.url, str(tmp_path)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while len(server.bodies) < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert b"KeyboardInterrupt" in said
    row = Store(tmp_path).read(LOADS).frame.iloc[0]
    assert (row["status"], row["reason"]) == ("error", "interrupted before its end") and row["ok"] >= 5
    assert len(Store(tmp_path).read(LOAD_REQUESTS).frame) == row["offered"]
