"""Logs of every known export, broken in every known way: nothing is lost without being counted."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cli.main import main
from costlib.errors import InputError
from costlib.portfolio.logs import usage as read_logs

REPEATED = "repeat of an id, whose largest record counts"
DAY = "2026-10-05T10:00:00+00:00"
SECONDS = 1791194400.0

OPENAI = {
    "id": "chatcmpl-1", "created": int(SECONDS), "model": "gpt-4o", "service_tier": "default",
    "usage": {
        "prompt_tokens": 1000, "completion_tokens": 80, "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
}  # fmt: skip
RESPONSES = {
    "id": "resp_1", "created_at": SECONDS, "model": "gpt-4o", "service_tier": "flex",
    "usage": {
        "input_tokens": 1000, "output_tokens": 80, "input_tokens_details": {"cached_tokens": 600},
        "output_tokens_details": {"reasoning_tokens": 30},
    },
}  # fmt: skip
ANTHROPIC = {
    "id": "msg_1", "type": "message", "timestamp": DAY, "model": "claude-sonnet-4-5",
    "usage": {
        "input_tokens": 100, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300, "output_tokens": 80,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
    },
}  # fmt: skip
LITELLM = {
    "request_id": "r1", "startTime": "2026-10-05 10:00:00.000", "model": "gpt-4o", "custom_llm_provider": "openai",
    "prompt_tokens": 1000, "completion_tokens": 80, "spend": 0.0033, "request_tags": ["desk"], "status": "success",
}  # fmt: skip
LANGFUSE = {
    "id": "obs-1", "type": "GENERATION", "startTime": "2026-10-05T10:00:00.000Z", "name": "summary", "model": "gpt-4o",
    "usageDetails": {"input": 400, "input_cached_tokens": 600, "output": 80, "total": 1080}, "level": "DEFAULT",
}  # fmt: skip
SPAN = {
    "spanId": "s1", "startTimeUnixNano": str(int(SECONDS)) + "000000000", "name": "chat gpt-4o",
    "attributes": [
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1000"}},
        {"key": "gen_ai.usage.cache_read.input_tokens", "value": {"intValue": "600"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "80"}},
    ],
}  # fmt: skip
OTLP = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}


def _read(folder: Path, *records: Any, **options: Any) -> Any:
    return read_logs([_write(folder / "calls.jsonl", list(records))], **options)


@pytest.mark.parametrize(
    ("record", "dialect", "cached"),
    [
        (OPENAI, "OpenAI", 600),
        (RESPONSES, "OpenAI", 600),
        (ANTHROPIC, "Anthropic", 600),
        (LITELLM, "LiteLLM", 0),
        (LANGFUSE, "Langfuse", 600),
        (OTLP, "OpenTelemetry GenAI", 600),
    ],
)
def test_every_known_export_is_the_same_call(tmp_path: Path, record: Any, dialect: str, cached: int) -> None:
    """All six describe 1,000 input tokens, some of them cached, and 80 output tokens at one moment."""
    usage = _read(tmp_path, record)
    assert usage.dialects == {dialect: 1} and usage.profiles[usage.workloads["workload"][0]]["weights"][10] == 1
    assert usage.models[["input_tokens", "cached_tokens", "output_tokens"]].to_numpy().tolist() == [[1000, cached, 80]]


def test_details_of_the_exports(tmp_path: Path) -> None:
    """Claude Sonnet 4.5 at 3, 0.3, 3.75 (5 minutes), 6 (an hour) and 15 USD; a flex tier; a tag; a zone or none."""
    usd = 100 * 3 + 600 * Decimal("0.3") + 200 * Decimal("3.75") + 100 * 6 + 80 * 15
    assert _read(tmp_path, ANTHROPIC).usd == usd / 10**6
    assert _read(tmp_path, RESPONSES).unpriced["tier"].tolist() == ["flex"]
    assert _read(tmp_path, LITELLM).workloads["workload"].tolist() == ["desk"]
    assert _read(tmp_path, {**OPENAI, "error": None}).used == 1
    assert _read(tmp_path, LITELLM).noted["time without a zone, read as UTC"] == 1
    assert not [kind for kind in _read(tmp_path, LANGFUSE).noted if "zone" in kind]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"model": None}, "no model"),
        ({"created": None}, "no time"),
        ({"created": "yesterday"}, "a time that cannot be read"),
        ({"created": 5}, "a time before 2008 or after 2099"),
        ({"usage": {}}, "no token counts"),
        ({"usage": {"completion_tokens": 7}}, "no input token count"),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 1}}, "a negative token count"),
        ({"usage": {"prompt_tokens": "many", "completion_tokens": 1}}, "a token count that is not a number"),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 1}}, "a token count that is not a number"),
        (
            {"usage": {"prompt_tokens": 1.5, "completion_tokens": 1}},
            "a token count that is not whole or a billion and more",
        ),
        (
            {"usage": {"prompt_tokens": 10**12, "completion_tokens": 1}},
            "a token count that is not whole or a billion and more",
        ),
        ({"usage": {"prompt_tokens": "1.000", "completion_tokens": 1}}, "a token count with a thousands separator"),
        (
            {"usage": {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}},
            "cached tokens above input tokens",
        ),
        (
            {"usage": {"prompt_tokens": 5, "completion_tokens": 1,
                       "completion_tokens_details": {"reasoning_tokens": 9}}},
            "reasoning tokens above output tokens",
        ),
        ({"status": "failure"}, "failed request"),
        ({"status_code": 429}, "failed request"),
        ({"status": "\u00b2"}, "a status that cannot be read"),
        ({"error": {"type": "overloaded"}}, "failed request"),
    ],
)  # fmt: skip
def test_what_is_no_call_says_which_kind_and_where(tmp_path: Path, change: dict[str, Any], kind: str) -> None:
    usage = _read(tmp_path, OPENAI, {**OPENAI, "id": "2", **change})
    assert usage.used == 1 and usage.rejected == {kind: 1}
    assert usage.places[kind] == f"{tmp_path / 'calls.jsonl'}:2"


def _write(file: Path, lines: list[Any]) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def test_read_is_used_plus_rejected_and_every_kind_is_counted(tmp_path: Path) -> None:
    lines = [OPENAI, OPENAI, {**OPENAI, "id": "2", "created": int(SECONDS) - 60}, "{broken", "[1]", "", LITELLM]
    lines += [{**OPENAI, "id": "3", "usage": {"prompt_tokens": -1}}, OTLP, {**OPENAI, "id": "4", "model": "unheard-of"}]
    usage = read_logs([_write(tmp_path / "calls.jsonl", lines)])
    assert usage.rejected == {
        "a line that is not JSON": 1, "not an object": 1, "a negative token count": 1, REPEATED: 1,
    }  # fmt: skip
    assert usage.read == 9 == usage.used + sum(usage.rejected.values()) and usage.used == 5
    assert usage.noted["out of time order"] == 1
    assert usage.noted["time without a zone, read as UTC"] == 1 and usage.noted["time with a zone"] == 5
    assert usage.unpriced[["model", "requests"]].to_numpy().tolist() == [["unheard-of", 1]]
    assert "unheard-of" in usage.unpriced.iloc[0]["reason"]


def test_a_truncated_gzip_gives_what_came_before_the_cut(tmp_path: Path) -> None:
    whole = _write(tmp_path / "calls.jsonl.gz", [{**OPENAI, "id": str(i), "user": f"{i * 7919}"} for i in range(5000)])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    usage = read_logs([cut])
    assert 0 < usage.used < 5000 and list(usage.broken_files) == [str(cut)]
    assert usage.read == usage.used + sum(usage.rejected.values())


def test_a_compressed_file_that_breaks_at_once_says_so(tmp_path: Path) -> None:
    plain = tmp_path / "calls.jsonl.gz"
    plain.write_text(json.dumps(OPENAI))
    with pytest.raises(InputError, match=r"no usable call \(the compressed file ends or breaks in the middle"):
        read_logs([plain])


def test_calls_without_output_tokens_are_used_and_said(tmp_path: Path) -> None:
    embedding = {**OPENAI, "id": "2", "usage": {"prompt_tokens": 50}}
    usage = read_logs([_write(tmp_path / "calls.jsonl", [OPENAI, embedding])])
    assert usage.used == 2 and usage.noted["no output token count, read as 0, as an embedding has"] == 1


@pytest.mark.parametrize("end", ["", '"\n'])
def test_a_quote_that_is_not_closed_counts_every_line_it_takes_along(tmp_path: Path, end: str) -> None:
    """The lines after it are read again."""
    call = f"{SECONDS},gpt-4o,openai,100,10\n"
    file = tmp_path / "calls.csv"
    head = "timestamp,model,provider,input_tokens,output_tokens\n"
    file.write_text(head + call * 3 + f'{SECONDS},"gpt-4o,openai,100,10\n' + call * 9000 + end)
    usage = read_logs([file])
    assert usage.read == 3 + 1 + 9000 + bool(end) == usage.used + sum(usage.rejected.values())
    assert usage.used == 9003 and sum(usage.rejected.values()) == 1 + bool(end)


def test_an_array_too_long_to_hold_is_refused_compressed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costlib.read.logs._LARGEST_DOCUMENT", 1000)
    for name in ("calls.json", "calls.json.gz"):
        file = _write(tmp_path / name, [json.dumps([OPENAI] * 100)])
        with pytest.raises(InputError, match="JSON Lines for files above"):
            read_logs([file])


def test_the_bill_is_the_price_books_and_reconciles_with_the_invoice(tmp_path: Path) -> None:
    """gpt-4o: 400 x 2.50 + 600 x 1.25 + 80 x 10 $ per million = 0.00255 $ a call."""
    lines = [{**OPENAI, "id": str(i)} for i in range(100)]
    usage = read_logs([_write(tmp_path / "a.jsonl", lines)], invoice=0.30)
    assert usage.usd == Decimal("0.255") and usage.difference_usd == Decimal("0.045")
    assert usage.workloads.iloc[0]["usd"] == pytest.approx(0.255)
    logged = read_logs([_write(tmp_path / "b.jsonl", [LITELLM])])
    assert logged.logged_usd == 0.0033 and logged.usd == Decimal("0.0033")


def test_lines_without_quotes_are_the_records_of_lines_with_them(tmp_path: Path) -> None:
    """A bad record, a blank line and a line with another number of cells in the middle of 60,000."""
    rows = [f"{at},2026-10-05T10:00:{at % 60:02}Z,gpt-4o,{at % 900},7,desk" for at in range(60_000)]
    rows[30_001], rows[30_003] = rows[30_001].replace("gpt-4o", ""), ""
    rows[45_000] += ",more"
    text = "\n".join(["id,time,model,input_tokens,output_tokens,workload", *rows])
    plain, quoted = tmp_path / "plain.csv", tmp_path / "quoted.csv"
    plain.write_text(text, encoding="utf-8")
    quoted.write_text(text.replace("desk", '"desk"'), encoding="utf-8")
    found, other = read_logs([plain]), read_logs([quoted])
    assert found.rejected == {"no model": 1, "a line with another number of cells": 1} and found.used == 59_997
    assert found.places["no model"] == f"{plain}:30003"
    assert found.places["a line with another number of cells"] == f"{plain}:45002"
    assert (found.usd, found.rejected) == (other.usd, other.rejected)
    files = ["source", "usd_source"]
    pd.testing.assert_frame_equal(found.workloads.drop(columns=files), other.workloads.drop(columns=files))


def test_workloads_hold_volume_hours_and_quantiles(tmp_path: Path) -> None:
    lines = [
        {"workload": name, "timestamp": f"2026-10-{day:02d}T{hour:02d}:00:00Z", "model": "gpt-4o",
         "input_tokens": tokens, "output_tokens": 10}
        for day in range(5, 20) for name, hour, tokens in (("a", 9, day * 100), ("a", 10, 100), ("b", 22, 50))
    ]  # fmt: skip
    usage = read_logs([_write(tmp_path / "calls.jsonl", lines)])
    row = usage.workloads.set_index("workload").loc["a"]
    days = sorted([*(day * 100 for day in range(5, 20)), *[100] * 15])
    assert row["requests"] == 30 and row["input_tokens"] == pytest.approx(sum(days) / 30)
    assert row["input_tokens_p50"] == pytest.approx(pd.Series(days).quantile(0.5))
    assert row["input_tokens_p95"] == pytest.approx(pd.Series(days).quantile(0.95))
    assert row["requests_per_month"] == pytest.approx(30 / usage.observed_hours * 730)
    assert usage.profiles["a"]["weights"][9] == usage.profiles["a"]["weights"][10] == 15
    assert sum(usage.profiles["b"]["weights"]) == 15 == usage.profiles["b"]["weights"][22]


def test_repeated_prefixes_are_counted_in_whole_blocks(tmp_path: Path) -> None:
    system = "s" * 512
    lines = [{**OPENAI, "id": str(i), "prompt": system + str(i) * 300} for i in range(4)]
    usage = read_logs([_write(tmp_path / "calls.jsonl", lines)])
    assert usage.workloads.iloc[0]["repeated_prefix_share"] == pytest.approx(3 * 2 / (4 * 3))


def test_csv_and_parquet_with_mapped_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": [DAY] * 3, "llm": "gpt-4o", "tin": [1000, 2000, -5], "tout": 10})
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";", encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "log.parquet")
    columns = {"time": "when", "model": "llm", "input_tokens": "tin", "output_tokens": "tout"}
    for name in ("log.csv", "semicolons.csv", "log.parquet"):
        usage = read_logs([tmp_path / name], columns=columns)
        assert (usage.used, usage.rejected) == (2, {"a negative token count": 1}), name
        assert usage.models.iloc[0]["input_tokens"] == 3000


def test_added_up_rows_count_their_requests(tmp_path: Path) -> None:
    """The usage page of OpenAI exports a row per bucket."""
    row = {"start_time": SECONDS, "model": "gpt-4o", "num_model_requests": 10, "input_tokens": 10_000}
    row |= {"input_cached_tokens": 0, "output_tokens": 800}
    usage = read_logs([_write(tmp_path / "usage.jsonl", [row])])
    assert usage.used == 1 and usage.workloads.iloc[0]["requests"] == 10
    assert usage.workloads.iloc[0]["input_tokens"] == 1000 and usage.usd == Decimal("0.033")
    assert usage.workloads.iloc[0]["requests_per_month"] == pytest.approx(10 * 730 / 24)
    assert usage.profiles["unnamed"]["weights"] is None


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just(OPENAI), st.text(max_size=20),
            st.dictionaries(
                st.sampled_from(["model", "created", "usage", "id"]), st.one_of(st.none(), st.integers(), st.text())
            ),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_no_line_is_lost_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    lines = [
        OPENAI,
        *(str(line).replace("\n", " ").replace("\r", " ") if isinstance(line, str) else line for line in lines),
    ]
    usage = read_logs([_write(tmp_path_factory.mktemp("log") / "calls.jsonl", lines)])
    assert usage.read == usage.used + sum(usage.rejected.values())


def test_the_command_writes_workloads_a_study_can_start_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _write(
        tmp_path / "calls.jsonl", [{**LITELLM, "request_id": str(i), "request_tags": ["=cmd()"]} for i in range(9)]
    )

    def run(*arguments: str) -> Any:
        monkeypatch.setattr("sys.argv", ["costlib", "usage", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, json.loads(capsys.readouterr().out)

    code, found = run(str(log), "--out", str(tmp_path / "w.csv"), "--invoice", "1")
    assert code == 0 and found["used"] == 9 and found["difference_usd"] == str(1 - Decimal("0.0297"))
    assert "'=cmd()" in (tmp_path / "w.csv").read_text() and (tmp_path / "w.profiles.yml").exists()
    for arguments, message in (
        ((str(tmp_path / "none.jsonl"),), "cannot be read"),
        ((str(log), "--column", "tokens=x"), "column is 'tokens'"),
        ((str(log), "--column", "tokens"), "allowed: FIELD=COLUMN"),
        ((str(tmp_path / "w.csv"),), "no usable call"),
        ((str(log), "--invoice", "-1"), "invoice is -1.0"),
        ((__file__,), "log file is 'test_usage.py'"),
    ):
        code, found = run(*arguments)
        assert code == 2 and message in found["error"], (arguments, found)


def test_a_log_without_calls_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no usable call \(2 x a line that is not JSON \(first: .*:1\)\)"):
        read_logs([_write(tmp_path / "calls.jsonl", ["x", "y"])])
