"""Prices, usage, diffs, payback and FOCUS from the command line, and every bad input they must refuse."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cost.samples import read_back

from costlib.paths import data_dir

USAGE = "model,provider,input_tokens,output_tokens,date,workload\n"
ROWS = "o3,openai,1000000,100000,2025-06-09,chat\no3,openai,1000000,100000,2025-07-01,chat\n"


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    (tmp_path / "usage.csv").write_text(USAGE + ROWS, encoding="utf-8")
    return tmp_path / "usage.csv"


def refused(found: tuple[int, str, str], *parts: str) -> None:
    code, out, err = found
    assert code == 2 and out == "" and err.startswith("costlib: ") and err.count("\n") == 1, err
    for part in parts:
        assert part in err


def test_a_usage_table_is_priced_by_the_days_of_its_rows(costlib: Any, usage: Path) -> None:
    """published.csv api-4 (genai-prices): o3, 14.00 USD before its price moved on 2025-06-10 and 2.80 after."""
    code, out, _ = costlib("price", "--usage", usage, "--json")
    found = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    assert Decimal(found["total"]) == Decimal("16.80") and found["rows"] == 2 and found["dated_by"] == "date"
    assert sum(Decimal(line["amount"]) for line in found["lines"]) == Decimal(found["total"])
    assert {(line["model"], line["token_kind"]) for line in found["lines"]} == {("o3", "input"), ("o3", "output")}
    assert found["source"].startswith("genai-prices@") and found["kind"] == "quoted" and found["as_of"] is None
    on_a_day = json.loads(costlib("price", "--usage", usage, "--as-of", "2025-07-01", "--json")[1])
    assert Decimal(on_a_day["total"]) == Decimal("5.60") and on_a_day["as_of"] == "2025-07-01"


def test_csv_and_parquet_show_the_same_card(costlib: Any, usage: Path) -> None:
    pd.read_csv(usage).to_parquet(usage.with_suffix(".parquet"))
    csv, parquet = (costlib("price", "--usage", usage.with_suffix(end))[1] for end in (".csv", ".parquet"))
    assert "16.80" in csv and "prices by date" in csv
    assert csv.partition("\u250f")[2] == parquet.partition("\u250f")[2]


@pytest.mark.parametrize("words", [("gpt-4o",), ("--input", "1"), ("--output", "1"), ("--cached", "1")])
def test_a_usage_table_stands_alone(costlib: Any, usage: Path, words: tuple[str, ...]) -> None:
    refused(costlib("price", *words, "--usage", usage), "it has no meaning beside --usage")


def test_a_diff_tells_moves_and_their_effect_on_usage(costlib: Any, usage: Path) -> None:
    code, out, _ = costlib("prices", "diff", "2025-06-09", "2025-06-10", "--usage", usage, "--json")
    found = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    moved = {(r["model"], r["token_kind"]): r for r in found["changes"] if r["change"] == "moved"}
    assert moved["o3", "input"]["usd_per_mtok_before"] == "10" and moved["o3", "input"]["usd_per_mtok_after"] == "2"
    assert Decimal(found["before_usd"]) == 28 and Decimal(found["after_usd"]) == Decimal("5.60")
    assert Decimal(found["effect_usd"]) == Decimal("-22.4") and found["counts"]["moved"] >= 2
    card = costlib("prices", "diff", "2025-06-09", "2025-06-10", "--usage", usage)[1]
    assert "openai o3 standard input" in card and "-22.40" in card


def test_a_diff_of_a_day_that_prices_nothing_of_the_usage_says_so(costlib: Any, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("model,provider,tier,input_tokens,output_tokens\ngpt-4o,openai,batch,1,1\n", encoding="utf-8")
    found = json.loads(costlib("prices", "diff", "2026-11-10", "2025-06-10", "--usage", file, "--json")[1])
    assert found["effect_usd"] is None and "2025-06-10" in found["reason"]


def test_a_saved_book_can_be_compared_and_a_touched_one_not(costlib: Any, tmp_path: Path) -> None:
    book = tmp_path / "book.json"
    saved = json.loads(costlib("prices", "save", book, "--json")[1])
    assert saved["prices"] > 1000 and book.is_file()
    found = json.loads(costlib("prices", "diff", book, saved["snapshot_date"], "--json")[1])
    assert found["changes"] == [] and found["counts"] == {}
    text = book.read_text(encoding="utf-8")
    book.write_text(text.replace('"amount": "2"', '"amount": "3"', 1), encoding="utf-8")
    refused(costlib("prices", "diff", book, saved["snapshot_date"]), "book.json", "hash of the prices")


def test_the_effect_on_a_study_is_that_of_its_plan(costlib: Any) -> None:
    code, out, _ = costlib("prices", "diff", "2026-10-01", "2026-11-10", "--study", "demo", "--json")
    found = json.loads(out)
    assert code == 0 and found["workloads"]
    for row in found["workloads"]:
        known = row["before_usd"] is not None and row["after_usd"] is not None
        assert known == (row["effect_usd"] is not None) and (known or row["reason"])
        if known:
            assert Decimal(row["effect_usd"]) == Decimal(row["after_usd"]) - Decimal(row["before_usd"])
    effects = [Decimal(row["effect_usd"]) for row in found["workloads"] if row["effect_usd"] is not None]
    assert Decimal(found["effect_usd"]) == sum(effects)
    assert "USD per month" in costlib("prices", "diff", "2026-10-01", "2026-11-10", "--study", "demo")[1]


def test_payback_1_from_the_command_line_public_calculator(costlib: Any) -> None:
    """published.csv payback-1: 35.6 months; counting capex twice gives 137 and is wrong."""
    words = ("payback", "--capex", 392000, "--cloud", 14400, "--owned", 11543, "--amortization", "8166.67")
    found = json.loads(costlib(*words, "--life-months", 48, "--json")[1])
    assert found["months"] == pytest.approx(35.6, abs=0.05) and found["npv_usd"] > 0
    open_ended = json.loads(costlib(*words, "--json")[1])
    assert open_ended["npv_usd"] is None and "life_months" in open_ended["reason"]
    project = ("payback", "--effort", 20000, "--saving-per-request", "0.002", "--requests-per-week", 500000)
    assert json.loads(costlib(*project, "--json")[1])["weeks"] == pytest.approx(20)
    assert "weeks" in costlib(*project)[1]


def test_the_volume_that_pays_an_effort_back_in_time_and_the_effort_from_its_parts(costlib: Any) -> None:
    """50 Mtok * 10 $ + 40 h * 3 $ + 100 h * 90 $ = 9620 $; three retrainings of 1000 $ fall due before week 26."""
    parts = ("--teacher-mtok", 50, "--teacher-usd-per-mtok", 10, "--gpu-hours", 40, "--usd-per-gpu-hour", 3)
    people = ("--people-hours", 100, "--usd-per-people-hour", 90, "--saving-per-request", "0.002")
    cadence = ("--within-weeks", 26, "--retraining", 1000, "--retrain-every-weeks", 8)
    found = json.loads(costlib("payback", *parts, *people, *cadence, "--json")[1])
    assert found["effort_usd"] == 9620
    assert found["requests_per_week_needed"] == pytest.approx((9620 + 3000) / (0.002 * 26))
    assert found["weeks"] == pytest.approx(26)
    refused(costlib("payback", *parts, *people, *cadence, "--effort", 1), "--effort and its parts is")


def test_price_shows_reasoning_and_what_may_not_have_held_yet(costlib: Any) -> None:
    words = ("price", "sonar-deep-research", "--provider", "perplexity", "--input", 0, "--output", 1000)
    found = json.loads(costlib(*words, "--reasoning", 600, "--json")[1])
    assert {line["kind"]: line["tokens"] for line in found["lines"]} == {"output": 400, "output_reasoning": 600}
    then = ("price", "gpt-4o", "--input", 1, "--output", 1, "--as-of", "2025-06-01")
    assert "first day not published" in json.loads(costlib(*then, "--json")[1])["notes"][0]
    assert "note: first day not published" in costlib(*then)[1]
    assert json.loads(costlib(*then[:-2], "--json")[1])["notes"] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "amounts are missing"),
        (("--capex", "1"), "--saving-per-month, or both --cloud and --owned"),
        (("--capex", "1", "--cloud", "2"), "beside --capex is '--cloud'"),
        (("--capex", "1", "--saving-per-month", "1", "--owned", "2"), "--saving-per-month"),
        (("--effort", "1", "--saving-per-request", "1"), "amounts are missing"),
        (
            ("--effort", "1", "--saving-per-request", "1", "--requests-per-week", "1", "--capex", "1"),
            "no meaning beside --capex",
        ),
        (("--capex", "-1", "--saving-per-month", "1"), "capex_usd is -1"),
        (("--capex", "nan", "--saving-per-month", "1"), "capex_usd is nan"),
        (("--capex", "1", "--saving-per-month", "inf"), "saving"),
        (("--capex", "many", "--saving-per-month", "1"), "--capex"),
    ],
)
def test_payback_refuses_what_does_not_fit(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    refused(costlib("payback", *words), sentence)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_focus_of_usage_is_its_bill(costlib: Any, usage: Path, suffix: str) -> None:
    out = usage.with_name(f"focus{suffix}")
    found = json.loads(costlib("focus", "--usage", usage, "--out", out, "--account", "desk", "--json")[1])
    assert found["rows"] == 4 and found["billing_periods"] == ["2025-06-01", "2025-07-01"]
    assert {Decimal(total) for total in found["totals"].values()} == {Decimal("16.80")}
    assert set(read_back(out)["BillingAccountId"]) == {"desk"} and set(read_back(out)["x_Workload"]) == {"chat"}


def test_focus_of_a_study_is_its_plan(costlib: Any, tmp_path: Path) -> None:
    out = tmp_path / "focus.csv"
    code, card, _ = costlib("focus", "demo", "--out", out, "--month", "2027-01")
    frame = read_back(out)
    assert code == 0 and str(out) in card and {str(day) for day in frame["BillingPeriodStart"]} == {"2027-01-01"}
    keys = frame.groupby(["x_Model", "x_Workload", "x_TokenKind", "ChargePeriodStart"]).size()
    assert (keys == 1).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("demo",), "Missing --out"),
        (("--out", "focus.csv"), "STUDY and --usage"),
        (("demo", "--usage", "usage.csv", "--out", "focus.csv"), "STUDY and --usage"),
        (("demo", "--out", "focus.xlsx"), "out is 'focus.xlsx'"),
        (("demo", "--out", "nowhere/focus.csv"), "out is 'nowhere/focus.csv'"),
        (("demo", "--out", "focus.csv", "--month", "2026-13"), "--month is '2026-13'"),
        (("demo", "--out", "focus.csv", "--owned", "nowhere.csv"), "nowhere.csv"),
        (("--usage", "usage.csv", "--out", "focus.csv", "--month", "2026-01"), "no meaning beside --usage"),
        (("nowhere.yml", "--out", "focus.csv"), "nowhere.yml"),
    ],
)
def test_focus_refuses_what_does_not_fit(
    costlib: Any, usage: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(usage.parent)
    refused(costlib("focus", *words), sentence)
    assert [file.name for file in usage.parent.iterdir() if file.name != "store"] == ["usage.csv"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("diff", "2026-11-10"), "Missing"),
        (("diff", "2026-11-10", "2031-01-01"), "AFTER is '2031-01-01'; allowed: a day the price book covers"),
        (("diff", "1999-01-01", "2026-11-10"), "BEFORE is '1999-01-01'"),
        (("diff", "2026-02-30", "2026-11-10"), "BEFORE is '2026-02-30'"),
        (("diff", "2026-10-01", "2026-11-10", "--study", "demo", "--usage", "u.csv"), "not both"),
        (("diff", "2026-10-01", "2026-11-10", "--usage", "u.csv"), "u.csv"),
        (("save", "nowhere/book.json"), "nowhere/book.json"),
        ((), "Missing command"),
    ],
)
def test_prices_refuse_what_does_not_fit(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    refused(costlib("prices", *words), sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--input", "-1", "--output", "1"), "input_tokens is -1"),
        (("--input", "NaN", "--output", "1"), "--prompt-tokens is 'NaN'; allowed: a whole number"),
        (("--input", "inf", "--output", "1"), "--prompt-tokens is 'inf'"),
        (("--input", "true", "--output", "1"), "--prompt-tokens is 'true'"),
        (("--input", "1,000", "--output", "1"), "--prompt-tokens is '1,000'"),
        (("--input", str(10**15), "--output", "1"), "input_tokens is 1000000000000000"),
        (("--input", "1", "--output", "1", "--cached", "2"), "cached_tokens is 2"),
        (("--input", "1", "--output", "1", "--tier", "gold"), "tier is 'gold'"),
        (("--input", "1", "--output", "1", "--provider", "nobody"), "provider is 'nobody'"),
        (("--input", "1", "--output", "1", "--as-of", "2020-01-01"), "2020-01-01"),
        (("--input", "1", "--output", "1", "--as-of", "yesterday"), "yesterday"),
    ],
)
def test_a_bad_request_is_refused(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    refused(costlib("price", "gpt-4o", *words), sentence)


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        (USAGE + "o3,openai,-5,1,2025-07-01,a\n", ":2", "input_tokens is '-5'"),
        (USAGE + "o3,openai,1,1,2025-07-01,a\no3,openai,nan,1,2025-07-01,a\n", ":3", "input_tokens is"),
        (USAGE + "o3,openai,inf,1,2025-07-01,a\n", ":2", "input_tokens is 'inf'"),
        (USAGE + "o3,openai,true,1,2025-07-01,a\n", ":2", "input_tokens is"),
        (USAGE + "o3,openai,1000000000000000,1,2025-07-01,a\n", ":2", "input_tokens is 1000000000000000"),
        (USAGE + 'o3,openai,"1,000",1,2025-07-01,a\n', ":2", "input_tokens is '1,000'"),
        (USAGE + "o3,openai,1.5,1,2025-07-01,a\n", ":2", "input_tokens is '1.5'"),
        (USAGE + "o3,openai,1,1,tomorrow,a\n", ":2", "date is 'tomorrow'"),
        (USAGE + "o9,openai,1,1,2025-07-01,a\n", ":2", "model is 'o9'"),
        (USAGE + "o3,openai,1,1,2020-01-01,a\n", ":2", "2020-01-01"),
        ("model,input_tokens,output_tokens,cached_tokens\ngpt-4o,1,1,2\n", ":2", "cached_tokens is 2"),
        ("model,input_tokens\ngpt-4o,1\n", "", "missing column is 'output_tokens'"),
    ],
)
@pytest.mark.parametrize("command", ["price", "focus"])
def test_a_bad_usage_table_is_named_by_file_line_and_field(
    costlib: Any, tmp_path: Path, command: str, text: str, place: str, sentence: str
) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(text, encoding="utf-8")
    words = ("--out", tmp_path / "focus.csv") if command == "focus" else ()
    refused(costlib(command, "--usage", file, *words), f"{file}{place}", sentence, "allowed:")
    assert not (tmp_path / "focus.csv").exists()


PRICES = (
    "model,provider,token_kind,tier,unit,amount,currency,effective_from,effective_to,observed_on,source,kind,purpose\n"
)
PRICE = "ours-1,acme,input,standard,1M tokens,2,USD,2026-01-01,2026-06-30,2026-01-01,contract,quoted,contracted\n"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (PRICES + PRICE.replace(",2,USD", ",-2,USD"), 2, "amount is '-2'"),
        (PRICES + PRICE.replace(",2,USD", ",NaN,USD"), 2, "amount is 'NaN'"),
        (PRICES + PRICE.replace(",2,USD", ",Infinity,USD"), 2, "amount is 'Infinity'"),
        (PRICES + PRICE.replace(",2,USD", ",0,USD"), 2, "amount is '0'"),
        (PRICES + PRICE.replace(",2,USD", ',"1,000",USD'), 2, "amount is '1,000'"),
        (PRICES + PRICE.replace("USD", "XYZ"), 2, "currency is 'XYZ'"),
        (PRICES + PRICE.replace("2026-06-30", "2025-06-30"), 2, "effective_to is '2025-06-30'"),
        (PRICES + PRICE + PRICE, 3, "row is"),
        (PRICES + PRICE + PRICE.replace("2026-01-01,2026-06-30", "2026-06-30,2026-12-31"), 3, "effective_from is"),
        ("\ufeff" + (PRICES + PRICE).replace(",", ";").replace(";2;USD", ";1,5;USD"), 2, "amount is '1,5'"),
        ((PRICES + PRICE).replace(",", ";").replace(";2;USD", ";1.000;USD"), 2, "amount is '1.000'"),
        (PRICES.replace(",currency", "") + PRICE, 1, "missing column is 'currency'"),
        (PRICES + PRICE.replace("2026-06-30", "30.06.2026"), 2, "effective_to is '30.06.2026'"),
        (PRICES + PRICE.replace("standard", "gold"), 2, "tier is 'gold'"),
    ],
)
def test_a_bad_price_entry_is_named_by_file_line_and_field(
    costlib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, sentence: str
) -> None:
    shutil.copytree(data_dir(), tmp_path / "data", ignore=shutil.ignore_patterns("store"))
    file = tmp_path / "data" / "prices" / "own.csv"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("COSTLIB_DATA", str(tmp_path / "data"))
    refused(costlib("price", "gpt-4o", "--input", 1, "--output", 1), f"{file}:{line}: ", sentence, "allowed:")
    out = tmp_path / "book.json"
    refused(costlib("prices", "save", out), f"{file}:{line}: ", sentence)
    assert not out.exists()


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "1,5", ""])
def test_a_rate_of_zero_is_named_by_file_line_and_field(
    costlib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    shutil.copytree(data_dir(), tmp_path / "data", ignore=shutil.ignore_patterns("store"))
    file = tmp_path / "data" / "rates.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    quoted = f'"{rate}"' if "," in rate else rate
    cells = lines[1].split(",")
    at = lines[0].split(",").index("usd_per_hour")
    lines[1] = ",".join([*cells[:at], quoted, *cells[at + 1 :]])
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setenv("COSTLIB_DATA", str(tmp_path / "data"))
    found = costlib("cost", "--decode-speed", "5", "--device", "H100 SXM")
    refused(found, f"{file}:2: usd_per_hour is {rate!r}; allowed:")


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_of_zero_given_by_hand_is_refused(costlib: Any, rate: str) -> None:
    words = ("--prefill-speed", 100, "--decode-speed", 10)
    refused(costlib("cost", *words, "--usd-per-hour", rate), "usd_per_hour is")
    request = ("breakeven", "gpt-4o", "--provider", "openai", "--input", 10, "--output", 10)
    refused(costlib(*request, *words, "--usd-per-hour", rate), "usd_per_hour is")


def test_a_bill_below_a_cent_is_not_shown_as_nothing(costlib: Any, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("model,input_tokens,output_tokens,date\ngpt-4o,20,0,2026-11-10\n", encoding="utf-8")
    code, out, _ = costlib("focus", "--usage", file, "--out", tmp_path / "focus.csv")
    assert code == 0 and "$0.00005" in out and "ContractedCost" in out
    log = tmp_path / "calls.csv"
    log.write_text(
        "model,provider,input_tokens,output_tokens,timestamp\ngpt-4o,openai,20,0,2026-11-10T09:00:00Z\n",
        encoding="utf-8",
    )
    code, out, _ = costlib("usage", log, "--invoice", "0.00012")
    assert code == 0 and "bill priced again: $0.00005" in out and "$0.00012, difference $0.00007" in out


def test_a_row_without_a_price_is_no_charge_and_is_reported(costlib: Any, tmp_path: Path) -> None:
    """One workload of two has no priced row at all; the other has one in the middle."""
    file, out = tmp_path / "usage.csv", tmp_path / "focus.csv"
    rows = ["our-own,80,8,2026-11-09,a", "gpt-4o,20,0,2026-11-10,b", "our-own,9,9,2026-11-10,b", "o3,10,0,2026-11-10,b"]
    file.write_text("\n".join(["model,input_tokens,output_tokens,date,workload", *rows, ""]), encoding="utf-8")
    code, said, _ = costlib("focus", "--usage", file, "--out", out, "--json")
    found, priced = json.loads(said), json.loads(costlib("price", "--usage", file, "--json")[1])
    assert code == 0 and Decimal(found["totals"]["BilledCost"]) == Decimal(priced["total"])
    assert Decimal(priced["total"]) == Decimal("0.00007")
    assert found["unpriced"] == priced["unpriced"] and found["notes"] == priced["notes"]
    assert [(row["rows"], row["first_row"]) for row in found["unpriced"]] == [(2, f"{file}:2")]
    assert "our-own" in found["unpriced"][0]["reason"]
    assert pd.read_csv(out)["x_Model"].tolist() == ["gpt-4o", "o3"]
    said = costlib("focus", "--usage", file, "--out", out)[1]
    assert "not priced: 2 rows of our-own, the first" in said
    file.write_text(file.read_text(encoding="utf-8").replace("gpt-4o", "ours").replace("o3", "ours"), encoding="utf-8")
    refused(costlib("focus", "--usage", file, "--out", tmp_path / "none.csv"), f"{file}:2:")
    assert not (tmp_path / "none.csv").exists()


def test_a_price_with_float_noise_in_the_list_is_exported(costlib: Any, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    row = "Qwen/Qwen3-VL-8B-Instruct,huggingface_together,1000000,0,2026-11-10"
    file.write_text(f"model,provider,input_tokens,output_tokens,date\n{row}\n", encoding="utf-8")
    code, _, err = costlib("focus", "--usage", file, "--out", tmp_path / "focus.csv")
    assert code == 0, err
    written = pd.read_csv(tmp_path / "focus.csv")
    assert written["ListUnitPrice"].tolist() == [0.18] and written["BilledCost"].tolist() == [0.18]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--retraining", 5), "retraining is 5.0; allowed: left out: it has no meaning beside --capex"),
        (
            ("--retrain-every-weeks", 5),
            "retrain_every_weeks is 5.0; allowed: left out: it has no meaning beside --capex",
        ),
        (
            ("--teacher-usd-per-mtok", 5),
            "teacher_usd_per_mtok is 5.0; allowed: left out: it has no meaning beside --capex",
        ),
        (("--gpu-hours", 0), "gpu_hours is 0.0; allowed: left out: it has no meaning beside --capex"),
        (("--within-weeks", 5), "within_weeks is 5.0; allowed: left out: it has no meaning beside --capex"),
        (("--amortization", 5), "amortization is 5.0; allowed: left out: it has no meaning beside --saving-per-month"),
        (("--residual", 5), "residual is 5.0; allowed: left out: it has no meaning without --life-months"),
    ],
)
def test_payback_of_capital_refuses_what_belongs_to_a_project(costlib: Any, words: Any, sentence: str) -> None:
    refused(costlib("payback", "--capex", 100, "--saving-per-month", 10, *words), sentence)


@pytest.mark.parametrize("option", ["--amortization", "--discount-rate", "--residual", "--life-months", "--cloud"])
def test_payback_of_a_project_refuses_what_belongs_to_capital(costlib: Any, option: str) -> None:
    project = ("payback", "--effort", 100, "--saving-per-request", 1, "--requests-per-week", 10)
    refused(
        costlib(*project, option, 0),
        f"{option[2:].replace('-', '_')} is 0",
        "no meaning beside --effort",
    )
    assert json.loads(costlib(*project, "--json")[1])["weeks"] == 10
    refused(
        costlib(*project, "--retrain-every-weeks", 5),
        "retrain_every_weeks is 5.0; allowed: left out: it has no meaning without --retraining",
    )
    parts = (*project[:1], *project[3:], "--people-hours", 1, "--usd-per-people-hour", 100)
    assert json.loads(costlib(*parts, "--json")[1])["effort_usd"] == 100
    refused(
        costlib(*parts, "--usd-per-gpu-hour", 3),
        "usd_per_gpu_hour is 3.0; allowed: left out: it has no meaning without --gpu-hours",
    )


def test_an_irr_is_shown_in_percent_and_its_field_says_its_unit(costlib: Any) -> None:
    """100 a month from 250 at once for 60 months: (1 + 0.4)^12 - 1 = 55.7, which is 5,570 %."""
    words = ("payback", "--capex", 250, "--saving-per-month", 100, "--life-months", 60)
    found = json.loads(costlib(*words, "--json")[1])
    assert found["irr_per_year"] == pytest.approx(1.4**12 - 1, rel=1e-6)
    assert found["units"] == {"irr_per_year": "share per year, 0.25 for 25 %"}
    assert "5,569%" in costlib(*words)[1]


@pytest.mark.parametrize("rate", ["1e-300", "1e-29", "1e-13", "0"])
def test_a_tiny_discount_rate_is_no_discount(costlib: Any, rate: str) -> None:
    owned = ("owned", "--capex", 280000, "--life-years", 4, "--kw", 0, "--usd-per-kwh", 0, "--json")
    plain = Decimal(280000) / (4 * 8760)
    capital = Decimal(json.loads(costlib(*owned, "--discount-rate", rate)[1])["capital"])
    assert abs(capital / plain - 1) < Decimal("1e-12")
    words = ("payback", "--capex", 1000, "--saving-per-month", 10, "--life-months", 200, "--discount-rate", rate)
    assert json.loads(costlib(*words, "--json")[1])["discounted_months"] == pytest.approx(100, rel=1e-10)


EXTREMES = ("1e-29", "1e308", "nan")
OWNED = {"capex": 280000, "life-years": 4, "kw": 10, "usd-per-kwh": 0.1, "pue": 1.3, "residual": 1000,
         "hosting-per-hour": 1, "staff-per-hour": 1, "discount-rate": 0.08}  # fmt: skip
CAPITAL = {"capex": 1000, "cloud": 100, "owned": 50, "amortization": 10, "life-months": 48, "discount-rate": 0.08,
           "residual": 10}  # fmt: skip
PROJECT = {"effort": 1000, "saving-per-request": 0.01, "requests-per-week": 1000, "within-weeks": 100,
           "retraining": 10, "retrain-every-weeks": 13}  # fmt: skip
FLEET = {"requests-per-month": 1000000, "requests-per-s": 4, "usd-per-hour": 2, "latency-limit-s": 5,
         "percentile": 0.9, "batch": 8}  # fmt: skip
SPEEDS = {"prefill-tokens-per-s": 1000, "decode-tokens-per-s": 100, "usd-per-hour": 2, "utilization": 0.5}
COST = {**SPEEDS, "prompt-tokens": 100, "output-tokens": 10, "success-rate": 0.9}
EVEN = {**SPEEDS, "input-tokens": 100, "output-tokens": 10, "cached-tokens": 0}


@pytest.mark.parametrize(
    ("command", "given"),
    [(("owned",), OWNED), (("payback",), CAPITAL), (("payback",), PROJECT), (("capacity",), FLEET), (("cost",), COST),
     (("breakeven", "gpt-4o", "--provider", "openai"), EVEN)],
)  # fmt: skip
def test_extreme_numbers_get_a_right_number_or_one_sentence(
    costlib: Any, command: tuple[str, ...], given: dict[str, float]
) -> None:
    for name in given:
        for value in EXTREMES:
            words = [f"--{key}={value if key == name else usual}" for key, usual in given.items()]
            code, out, err = costlib(*command, *words, "--json")
            assert code == 0 or (code == 2 and err.count("\n") <= 1), (name, value, err)
            if code == 0:
                json.loads(out, parse_constant=pytest.fail)  # no NaN, no Infinity


def test_a_fleet_without_a_latency_limit_says_how_busy_it_gets(costlib: Any) -> None:
    """2 requests/s fill one replica of 2 requests/s: a queue that grows without end."""
    words = ("capacity", "--requests-per-month", 2 * 730 * 3600, "--requests-per-s", 2, "--usd-per-hour", 1)
    found = json.loads(costlib(*words, "--json")[1])
    assert found["replicas"] == 1 and "100 % busy" in found["warning"]
    assert "note: no latency limit was given" in costlib(*words)[1]
    for more in (("--latency-limit-s", 5), ("--utilization", 0.5)):
        assert json.loads(costlib(*words, *more, "--json")[1])["warning"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--percentile", 0.5), "percentile is 0.5; allowed: left out: it has no meaning without a latency_limit_s"),
        (
            ("--rate-provider", "aws"),
            "rate_provider is 'aws'; allowed: left out: it has no meaning without a device",
        ),
        (("--start-up-s", 60), "start_up_s is 60.0; allowed: left out: it has no meaning at scaling fixed"),
        (("--scaling", "hourly", "--idle-timeout-s", 60), "idle_timeout_s is 60.0; allowed: left out"),
    ],
)
def test_an_option_without_a_meaning_is_refused_by_name(costlib: Any, words: Any, sentence: str) -> None:
    base = ("capacity", "--requests-per-month", 1000, "--requests-per-s", 2, "--usd-per-hour", 1)
    refused(costlib(*base, *words), sentence)


def test_focus_takes_model_ids_and_workloads_that_begin_like_a_formula(costlib: Any, tmp_path: Path) -> None:
    """In CSV an apostrophe keeps a spreadsheet from running it; Parquet has the id as it is."""
    file = tmp_path / "usage.csv"
    model = "@cf/aisingapore/gemma-sea-lion-v4-27b-it"
    file.write_text(f"{USAGE}{model},cloudflare,1000000,0,2026-11-01,=chat\n", encoding="utf-8")
    for suffix, mark in ((".csv", "'"), (".parquet", "")):
        assert costlib("focus", "--usage", file, "--out", tmp_path / f"out{suffix}")[0] == 0
        row = read_back(tmp_path / f"out{suffix}").iloc[0]
        assert row["x_Model"] == mark + model and row["x_Workload"] == f"{mark}=chat"
