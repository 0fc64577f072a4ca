"""The command `costlib load` as a stranger uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import DONE, ROLE, ScriptedServer, always, chunk


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    made = ScriptedServer()
    yield made
    made.close()


@pytest.fixture
def load(costlib: Any) -> Any:
    return lambda *words: costlib("load", *words)


def test_one_document_with_every_part_of_the_contract(server: ScriptedServer, load: Any, tmp_path: Path) -> None:
    server.first_s, server.gap_s = 0.03, 0.005
    words = (server.url, "--model", "m", "--rate", "40", "--requests", "60", "--output-tokens", "4", "--self-test", "0")
    words += ("--slo-ttft-s", "2", "--usd-per-hour", "3.6", "--price-ratio", "4", "--store", tmp_path)
    code, out, err = load(*words, "--json")
    found = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and "[load 60/60]" in err
    row = found["rows"][0]
    assert (found["kind"], row["kind"], row["status"], row["ok"]) == ("measured", "measured", "ok", 60)
    assert {part["metric"] for part in found["ttft"]} == {"ttft_scheduled_s", "ttft_sent_s"}
    median = next(part for part in found["ttft"] if part["metric"] == "ttft_sent_s" and part["percentile"] == 50)
    assert median["low_s"] <= median["value_s"] <= median["high_s"] and median["value_s"] == row["ttft_sent_s"]
    assert all("needs 368" in part["reason"] for part in found["ttft"] if part["percentile"] == 99)
    assert (
        found["tpot"]
        and found["itl"]
        and {part["dialect"] for part in found["dialects"]} == {"vllm", "guidellm", "aiperf"}
    )
    assert found["throughput"][0]["output_tokens_per_s"] == row["output_tokens_per_s"] > 0
    assert found["goodput"][0]["goodput_requests_per_s"] > 0 and found["goodput"][0]["good_share"] == 1
    cost = {part["convention"]: part for part in found["cost"]}
    assert cost["output_carries_all"]["output_usd_per_mtok"] == pytest.approx(1000 / row["output_tokens_per_s"])
    assert set(cost) == {"output_carries_all", "price_ratio"} and found["highest"] is None


def test_the_card_reads_like_that_of_measure(server: ScriptedServer, load: Any) -> None:
    server.first_s = 0.02
    words = (
        server.url,
        "--model",
        "m",
        "--rate",
        "20,60",
        "--requests",
        "40",
        "--slo-ttft-s",
        "1",
        "--self-test",
        "0.3",
    )
    code, out, _ = load(*words, "--output-tokens", "3", "--usd-per-hour", "1")
    assert code == 0
    for part in (
        "measured from here",
        "poisson 20.0",
        "Whole answers",
        "First token, s",
        "needs 368 samples",
        "100% [91.2, 100]",
        "Tokens per chunk",
        "Cost of a million tokens",
        "time_per_output_token",
        "The highest rate tested that keeps the SLO is ",
        "costlib capacity --requests-per-s ",
    ):
        assert part in out, part


def test_answers_shorter_than_asked_are_said(server: ScriptedServer, load: Any, tmp_path: Path) -> None:
    """Half of the load is not the load that was asked for."""
    server.tokens = 4
    words = (server.url, "--model", "m", "--concurrency", "1", "--requests", "3", "--output-tokens", "8")
    words += ("--self-test", "0", "--store", tmp_path)
    assert json.loads(load(*words, "--json")[1])["rows"][0]["shorter"] == 3
    _, out, _ = load(*words)
    assert "3 of 3 answers shorter than asked (8 tokens)" in out and "ended some answers early" in out
    server.tokens = 8
    assert json.loads(load(*words, "--json")[1])["rows"][0]["shorter"] == 0


def test_what_flatters_and_what_to_do_next_is_said(server: ScriptedServer, load: Any) -> None:
    server.script = [server.answer, server.answer, always((429, {}, b""))]
    words = ("--model", "m", "--concurrency", "2", "--requests", "9", "--self-test", "0", "--output-tokens", "2")
    code, out, _ = load(server.url, *words)
    assert code == 0 and "closed 2" in out
    assert (
        '"rate_limited": 1' in out and "percentiles of whole answers only" in out and "give it more --requests" in out
    )
    server.script = [server.answer, server.answer, always([ROLE, chunk(finish="stop"), DONE])]
    code, out, _ = load(server.url, *words)
    assert code == 0 and re.search(r"Empty +│ +1 │", out) and "ignore_eos" in out
    server.usual = always([ROLE, chunk("a"), chunk("b"), DONE])
    code, out, _ = load(server.url, *words[:4], "--requests", "40", "--self-test", "0", "--usd-per-hour", "1")
    assert code == 0 and "for want of the server's count" in out and "prompt tokens unknown" in out


@pytest.mark.parametrize(
    ("status", "advice"),
    [(404, "usually ends in /v1"), (401, "--api-key-env"), (422, "--extra"), (500, "--completions")],
)
def test_a_server_that_refuses_is_a_failed_run_with_advice(
    server: ScriptedServer, load: Any, status: int, advice: str
) -> None:
    server.usual = always((status, {}, b"{}"))
    code, out, _ = load(server.url, "--model", "m", "--rate", "5")
    assert code == 1 and f"status {status}" in out and advice in out
    code, out, _ = load(server.url, "--model", "m", "--rate", "5", "--json", "--usd-per-hour", "1")
    found = json.loads(out)
    assert code == 1 and found["rows"][0]["status"] == "error" and found["rows"][0]["ok"] == 0
    assert "no throughput" in found["cost"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("URL",), "Missing"),
        (("URL", "--model", "m"), "the load is missing"),
        (("URL", "--model", "m", "--rate", "fast"), "rate is 'fast'"),
        (("URL", "--model", "m", "--rate", "1,max"), "beside a promise"),
        (("URL", "--model", "m", "--rate", "-1"), "rate is -1"),
        (("URL", "--model", "m", "--rate", "inf"), "rate is inf"),
        (("URL", "--model", "", "--rate", "1"), "model is ''"),
        (("URL", "--model", "m", "--rate", "1", "--concurrency", "2"), "not both"),
        (("URL", "--model", "m", "--rate", "1", "--extra", "[]"), "extra is 'list'"),
        (("URL", "--model", "m", "--rate", "1", "--requests", "x"), "requests"),
        (("URL", "--model", "m", "--rate", "1", "--slo-tpot-s", "nan"), "slo_tpot_s is nan"),
        (("http://example.com/v1", "--model", "m", "--rate", "1"), "an https address"),
        (("URL", "--model", "m", "--rate", "1", "--trace", "none.jsonl"), "a file that exists"),
        (("URL", "--model", "m", "--rate", "1", "--usd-per-hour", "1", "--device", "L4"), "one of the two"),
        (("URL", "--model", "m", "--rate", "1", "--store", "FILE"), "a folder that can be written"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    server: ScriptedServer, load: Any, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "file").write_text("")
    given = [{"URL": server.url, "FILE": str(tmp_path / "file")}.get(word, word) for word in words]
    code, out, err = load(*given)
    assert code == 2 and out == "" and err.startswith("costlib: ") and err.count("\n") == 1 and sentence in err
    code, out, _ = load(*given, "--json")
    assert code == 2 and sentence in json.loads(out)["error"] and server.bodies == []
