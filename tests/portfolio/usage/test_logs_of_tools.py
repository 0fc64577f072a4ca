"""Logs as tools write them, through the command line: every token is billed once, and what is not used is said."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

AT = "2026-10-05T09:00:00Z"
CLAUDE = "claude-sonnet-4-5-20250929"


@pytest.fixture
def document(costlib: Any) -> Any:
    return lambda *words: json.loads(costlib(*words, "--json")[1])


@pytest.fixture
def usage(document: Any, tmp_path: Path) -> Any:
    def read(*records: Any, name: str = "log.jsonl") -> Any:
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        return document("usage", tmp_path / name)

    return read


def usd(*tokens_and_prices: tuple[int, str]) -> Decimal:
    """Tokens times US dollars per million."""
    return sum((tokens * Decimal(price) for tokens, price in tokens_and_prices), Decimal(0)) / 10**6


def called(**fields: Any) -> dict[str, Any]:
    return {"timestamp": AT, "model": "gpt-4o", **fields}


def counted(model: str, **counts: Any) -> dict[str, Any]:
    return {"timestamp": AT, "model": model, "usage": counts}


SESSION_TURN = {"input_tokens": 900, "cached_input_tokens": 500, "output_tokens": 40, "total_tokens": 940}


@pytest.mark.parametrize(
    ("record", "bill"),
    [
        # OpenAI's names with Anthropic's beside them: the total says that the prompt holds the cached tokens
        (counted(CLAUDE, prompt_tokens=2000, completion_tokens=10, total_tokens=2010, cache_read_input_tokens=1500),
         usd((500, "3"), (1500, "0.3"), (10, "15"))),
        # the same names without a total, and a total that says they lie beside
        (counted(CLAUDE, prompt_tokens=2000, completion_tokens=10, cache_read_input_tokens=1500),
         usd((500, "3"), (1500, "0.3"), (10, "15"))),
        (counted(CLAUDE, prompt_tokens=500, completion_tokens=10, total_tokens=2010, cache_read_input_tokens=1500),
         usd((500, "3"), (1500, "0.3"), (10, "15"))),
        # cached tokens that stand in metadata only
        ({**called(prompt_tokens=1000, completion_tokens=9, total_tokens=1009),
          "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 800}}}},
         usd((200, "2.5"), (800, "1.25"), (9, "10"))),
        # Codex: cached input is part of the input
        ({**called(), "model": "gpt-5", **SESSION_TURN}, usd((400, "1.25"), (500, "0.125"), (40, "10"))),
        # Langfuse: buckets, as their total says
        ({"type": "GENERATION", **called(model="o3-mini"), "usageDetails": {"input": 70, "output": 10,
          "output_reasoning_tokens": 60, "total": 140}}, usd((70, "1.1"), (70, "4.4"))),
        # Gemini: thoughts beside the candidates
        ({**called(model="gemini-2.5-flash"), "usageMetadata": {"promptTokenCount": 100,
          "candidatesTokenCount": 5, "thoughtsTokenCount": 20, "totalTokenCount": 125}},
         usd((100, "0.3"), (25, "2.5"))),
        # audio at its own price
        (counted("gpt-audio", prompt_tokens=17, completion_tokens=12, completion_tokens_details={"audio_tokens": 2}),
         usd((17, "2.5"), (10, "10"), (2, "64"))),
        # an hour's cache writes beside five minutes'
        (counted(CLAUDE, input_tokens=5, output_tokens=1, cache_creation_input_tokens=300,
                 cache_creation={"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100}),
         usd((5, "3"), (200, "3.75"), (100, "6"), (1, "15"))),
        # sums of many requests: a page of buckets, a day's activity, totals without a number of requests
        ({"data": [{"start_time": 1791158400, "end_time": 1791244800, "results": [
            {"model": "gpt-4o", "num_model_requests": 7, "input_tokens": 999, "output_tokens": 3}]},
            {"start_time": 1791244800, "end_time": 1791331200, "results": []}]}, usd((999, "2.5"), (3, "10"))),
        ({"results": [{"date": "2026-10-05", "breakdown": {"models": {"gpt-4o": {"metrics": {
            "prompt_tokens": 999, "completion_tokens": 3, "api_requests": 7}}}}}]}, usd((999, "2.5"), (3, "10"))),
        ({"data": [{"starting_at": AT, "ending_at": "2026-10-06T09:00:00Z", "results": [
            {"model": CLAUDE, "uncached_input_tokens": 3_000_000_000, "output_tokens": 3,
             "cache_read_input_tokens": 20}]}]}, usd((3_000_000_000, "3"), (20, "0.3"), (3, "15"))),
        # a price by the hour
        ({**called(), "model": "deepseek-v4-pro", "provider": "deepseek", "timestamp": "2026-11-01T03:59:59Z",
          "input_tokens": 10**6, "output_tokens": 0}, Decimal("1.32")),
    ],
)  # fmt: skip
def test_every_token_is_billed_once(usage: Any, record: Any, bill: Decimal) -> None:
    found = usage(record)
    assert Decimal(found["usd"]) == bill and found["used"] == found["read"] == 1
    assert not [kind for kind in found["noted"] if "not used" in kind or "not add up" in kind]


def test_a_session_of_codex_and_a_stream_of_claude_code_count_each_turn_once(usage: Any) -> None:
    event = {"timestamp": AT, "type": "event_msg", "payload": {"type": "token_count", "info": {
        "last_token_usage": SESSION_TURN, "total_token_usage": SESSION_TURN}}}  # fmt: skip
    start = {"type": "session_meta", "payload": {"id": "s", "model_provider": "openai"}}
    found = usage(start, {"type": "turn_context", "payload": {"model": "gpt-5"}}, event, event)
    assert Decimal(found["usd"]) == usd((400, "1.25"), (500, "0.125"), (40, "10"))
    assert found["rejected"] == {"not a model call": 2, "repeat of an id, whose largest record counts": 1}
    parts = [
        {"type": "assistant", "timestamp": AT, "uuid": str(output), "message": {
            "id": "m", "model": CLAUDE, "usage": {"input_tokens": 2, "output_tokens": output}}}
        for output in (1, 50, 30)
    ]  # fmt: skip
    found = usage(*parts)
    assert Decimal(found["usd"]) == usd((2, "3"), (50, "15")) and found["used"] == 1


def test_the_provider_of_a_log_is_never_overruled(usage: Any) -> None:
    own = [
        {"model": "gpt-oss-20b", "custom_llm_provider": "ollama"},
        {"model": "hosted_vllm/openai/gpt-oss-20b"},
        {"model": "gpt-4o", "provider": "a provider of ours"},
        {"model": "gpt-4o", "custom_llm_provider": "openai", "api_base": "http://localhost:8000/v1"},
        {"model": "gpt-4o", "gen_ai.system": "openai", "server.address": "10.0.0.7"},
        {"model": "gpt-4o", "provider": "openai", "api_base": "https://openrouter.ai/api/v1"},
    ]
    at_home = [
        {"model": "openai/gpt-4o"},
        {"model": "gpt-4o", "provider": "openai", "api_base": "https://api.openai.com/v1"},
        {"model": "gpt-4o", "server.address": "api.openai.com"},
    ]
    found = usage(*({**called(input_tokens=1000, output_tokens=0), **of} for of in [*own, *at_home]))
    assert Decimal(found["usd"]) == 3 * usd((1000, "2.5")) and found["used"] == 9
    assert sum(row["requests"] for row in found["unpriced"]) == 6 and all(row["reason"] for row in found["unpriced"])


def test_what_is_not_used_is_said_with_its_path_and_sum(usage: Any) -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 18, "plugin_tokens": 7, "max_tokens": 99}
    found = usage({**called(), "usage": counts})
    assert found["noted"]["usage.plugin_tokens is a count that was not used (7 in all)"] == 1
    assert found["noted"]["counts do not add up to the total of the record"] == 1
    assert not any("max_tokens" in kind for kind in found["noted"])


def test_a_day_of_a_thousand_requests_is_a_month_of_thirty_thousand(usage: Any) -> None:
    row = {"date": "2026-10-05", "model": "gemini-2.5-pro", "requests": 1000, "input_tokens": 9 * 10**7,
           "output_tokens": 10**6}  # fmt: skip
    found = usage(row)
    assert found["workloads"][0]["requests_per_month"] == pytest.approx(1000 * 730 / 24)
    assert Decimal(found["usd"]) == usd((9 * 10**7, "1.25"), (10**6, "10"))
    assert found["profiles"]["unnamed"]["weights"] is None and found["workloads"][0]["input_tokens_p50"] is None
    assert any("long-context price follows the mean" in note for note in found["price_notes"])


def test_times_without_a_zone_are_utc_and_said_to_be(usage: Any) -> None:
    zoned = called(timestamp="2026-10-05T23:00:00-05:00", input_tokens=1, output_tokens=1)
    found = usage(called(timestamp="2026-10-05", input_tokens=1, output_tokens=1), zoned)
    assert found["noted"]["time without a zone, read as UTC"] == found["noted"]["time with a zone"] == 1
    assert found["profiles"]["unnamed"]["weights"] == [0] * 4 + [1] + [0] * 19


BROKEN = [
    '{"resourceSpans": null}',
    '{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": 1}, 2, null]}, 5]}]}]}',
    '{"data": [1, null, {"results": [[]]}]}',
    '{"a":' * 3000 + "1" + "}" * 3000,
    json.dumps(called(input_tokens=10**400, output_tokens=1)).replace(str(10**400), "1" + "0" * 400),
    json.dumps(called(input_tokens="\u00b2", output_tokens=1)),
    json.dumps(called(input_tokens={"a": [1]}, output_tokens=[3])),
    json.dumps({**called(input_tokens=1, output_tokens=1), "timestamp": "2026-02-30"}),
    json.dumps({**called(input_tokens=1, output_tokens=1), "timestamp": {"a": 1}}),
    json.dumps({**called(input_tokens=1, output_tokens=1), "model": {}, "id": [], "error": {"x": 1}}),
    "\x00", '"', "[[[[", "NaN", "{}",
]  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_record_is_counted_with_its_line_and_the_others_are_billed(usage: Any, line: str) -> None:
    found = usage(called(input_tokens=1000, output_tokens=0), line, called(input_tokens=1000, output_tokens=0))
    assert Decimal(found["usd"]) == 2 * usd((1000, "2.5")) and found["used"] == 2
    assert found["rejected"] and all(found["places"][kind].endswith(":2") for kind in found["rejected"])


def test_half_a_character_of_a_name_is_replaced_and_noted(usage: Any) -> None:
    found = usage(json.dumps(called(input_tokens=1000, output_tokens=0, workload="a\ud800", prompt="b\udc00")))
    assert found["workloads"][0]["workload"] == "a\ufffd" and Decimal(found["usd"]) == usd((1000, "2.5"))
    assert any("half a character" in kind for kind in found["noted"])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
@pytest.mark.parametrize("command", ["usage", "price", "focus"])
def test_one_reader_for_one_kind_of_file(document: Any, tmp_path: Path, command: str, ending: str) -> None:
    frame = pd.DataFrame({"when": [AT], "llm": ["gpt-4o"], "tin": [1000], "tout": [100], "prompt": ["x" * 200_000]})
    file = tmp_path / f"log{ending}"
    if ending == ".jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif ending == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if ending == ".tsv" else ",")
    mapped = {"timestamp": "when", "model": "llm", "input_tokens": "tin", "output_tokens": "tout"}
    columns = [word for name, source in mapped.items() for word in ("--column", f"{name}={source}")]
    words = {"usage": ["usage", file], "price": ["price", "--usage", file]}.get(
        command, ["focus", "--usage", file, "--out", tmp_path / "out.csv"]
    )
    found = document(*words, *columns)
    bill = found["totals"]["BilledCost"] if command == "focus" else found["usd" if command == "usage" else "total"]
    assert Decimal(str(bill)) == Decimal("0.0035")


def test_a_bill_of_nothing_that_has_a_price_is_unknown(costlib: Any, document: Any, usage: Any, tmp_path: Path) -> None:
    own = called(model="our-own-7b", input_tokens=10, output_tokens=1)
    file = tmp_path / "own.jsonl"
    file.write_text(f"{json.dumps(own)}\n" * 3, encoding="utf-8")
    found = document("usage", file, "--invoice", "9")
    assert found["usd"] is None and found["difference_usd"] is None and Decimal(found["invoice_usd"]) == 9
    assert found["reason"] == "no request of the log has a price"
    assert [(row["requests"], row["model"]) for row in found["unpriced"]] == [(3, "our-own-7b")]
    said = costlib("usage", file, "--invoice", "9")[1]
    assert "bill priced again: unknown: no request of the log has a price" in said and "difference unknown" in said
    half = usage(own, called(model="gpt-4o", input_tokens=1000, output_tokens=0))
    assert Decimal(half["usd"]) == usd((1000, "2.5")) and half["reason"] is None and len(half["unpriced"]) == 1
