"""The command line as a stranger uses it: one JSON document, one sentence, the right exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import costlib as cl


def test_json_is_exactly_one_document(costlib: Any) -> None:
    code, out, _ = costlib("price", "gpt-4o", "--provider", "openai", "--input", "1000", "--output", "100", "--json")
    document = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    assert document["total"] == "0.0035" and len(document["lines"]) == 2
    assert sum(Decimal(line["amount"]) for line in document["lines"]) == Decimal(document["total"])
    assert document["price_ids"] and document["source"].startswith("genai-prices@") and document["kind"] == "quoted"


def test_what_a_native_library_prints_is_not_part_of_the_document() -> None:
    script = (
        "import os, sys; from costlib.cli import main as cli; whole = cli.run\n"
        "cli.run = lambda words: (os.write(1, b'solver says\\n'), whole(words))[1]\n"
        "sys.argv = 'costlib price gpt-4o --provider openai --input 1 --output 1 --json'.split(); cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["total"] and done.stderr == "solver says\n"


def test_the_card_shows_the_same_total_and_the_date(costlib: Any) -> None:
    code, out, _ = costlib("price", "gpt-4o", "--provider", "openai", "--input", "1000", "--output", "100")
    assert code == 0 and "0.0035" in out and "prices as of" in out


def test_memory_names_each_part(costlib: Any) -> None:
    code, out, _ = costlib("memory", "llama-3.1-70b", "--precision", "nf4", "--context", "1", "--json")
    found = json.loads(out)
    parts = ("linear_bytes", "quantization_state_bytes", "embedding_bytes", "other_bytes")
    assert code == 0 and found["weight_bytes"] == sum(found[part] for part in parts)
    assert found["total_bytes"] == found["weight_bytes"] + found["kv_cache_bytes"]
    assert "L40S" in found["fits_on"] and "L4" not in found["fits_on"]
    assert round(found["uniform_bytes"] / 1e9, 1) == 35.3 and round(found["uniform_with_state_bytes"] / 1e9, 1) == 39.7


def test_doctor_tells_what_is_here(costlib: Any) -> None:
    code, out, _ = costlib("doctor", "--json")
    found = json.loads(out)
    assert code == 0 and found["packages"]["torch"]["version"].startswith("2.13.0")
    assert {"device", "cuda", "nvml", "packages", "demo_models"} <= set(found)
    assert found["cuda"]["available"] or found["cuda"]["reason"]
    assert set(found["demo_models"]) == {"demo:gemma-3-270m", "demo:minilm"}
    assert set(found["extras"]) == {"torchao", "llama-cpp-python", "gptqmodel"}
    assert all(entry["version"] or "pip install 'costlib[" in entry["add"] for entry in found["extras"].values())
    code, out, _ = costlib("doctor")
    assert code == 0 and "gptqmodel" in out and "demo:minilm" in out


def test_cost_of_given_speeds_conserves_the_bill(costlib: Any) -> None:
    """published.csv token-2: 128 prompt tokens in 0.040 s and 242 new in 9.425 s on two devices at 2.21 $/h each."""
    code, out, _ = costlib(
        *("cost", "--prefill-speed", str(128 / 0.040), "--decode-speed", str(242 / 9.425), "--usd-per-hour", "4.42"),
        *("--prompt-tokens", "128", "--output-tokens", "242", "--price-ratio", "4", "--json"),
    )
    rows = {row["convention"]: row for row in json.loads(out)["rows"]}
    assert code == 0 and set(rows) == {"phase_time", "price_ratio", "output_carries_all"}
    bill = 4.42 / 3600 * (0.040 + 9.425)
    for row in rows.values():
        spent = (128 * row["input_usd_per_mtok"] + 242 * row["output_usd_per_mtok"]) / 1e6
        assert spent == pytest.approx(bill, rel=1e-12)
    assert rows["phase_time"]["input_usd_per_mtok"] / 1000 == pytest.approx(0.000384, abs=1e-6)
    assert rows["phase_time"]["output_usd_per_mtok"] / 1000 == pytest.approx(0.0478, abs=1e-4)


def test_rates_show_the_spread_between_providers(costlib: Any) -> None:
    """The same device costs several times as much at one provider as at another."""
    code, out, _ = costlib("rates", "H100 SXM", "--json")
    rows = json.loads(out)["rows"]
    prices = [Decimal(row["usd_per_hour"]) for row in rows]
    assert code == 0 and prices == sorted(prices) and len({row["provider"] for row in rows}) == len(rows) > 3
    assert Decimal(rows[-1]["times_cheapest"]) == prices[-1] / prices[0] > 1
    assert all(row["source"] and row["observed_on"] and row["kind"] for row in rows)
    devices = {row["device"]: row for row in json.loads(costlib("rates", "--json")[1])["rows"]}
    assert {"T4", "L4", "A10G", "L40S", "H100 PCIe", "H200 SXM", "B200", "RTX 4090", "CPU 2 cores"} <= set(devices)
    middle = devices["H100 SXM"]
    assert Decimal(middle["low"]) <= Decimal(middle["usd_per_hour"]) <= Decimal(middle["high"])
    assert costlib("rates")[0] == costlib("rates", "H100 SXM")[0] == 0


def test_breakeven_answers_with_crossings_and_words(costlib: Any) -> None:
    words = ("breakeven", "gpt-4o", "--provider", "openai", "--input", "1000", "--output", "200")
    speeds = ("--prefill-speed", "30000", "--decode-speed", "6000", "--json")
    code, out, _ = costlib(*words, *speeds, "--usd-per-hour", "2")
    found = json.loads(out)
    assert code == 0 and found["verdict"] == "crosses"
    assert found["crossings"][0]["requests_per_month"] == pytest.approx(730 * 2 / 0.0045, abs=1)
    never = json.loads(costlib(*words, *speeds, "--usd-per-hour", "200000")[1])
    assert never["verdict"] == "never" and never["crossings"] == []
    small = ("--prefill-speed", "3", "--decode-speed", "3", "--maximum-replicas", "1", "--usd-per-hour", "2", "--json")
    beyond = json.loads(costlib(*words, *small)[1])
    assert beyond["verdict"] in ("beyond capacity", "never")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("price", "gpt-99", "--input", "1", "--output", "1"), "gpt-99"),
        (("price", "gpt-4o", "--provider", "openai", "--input", "-1", "--output", "1"), "input_tokens is -1"),
        (("price", "gpt-4o", "--input", "1", "--output", "1", "--as-of", "2031-01-01"), "2031-01-01"),
        (("price", "gpt-4o", "--input", "1", "--output", "1", "--cached", "2"), "cached_tokens"),
        (("measure", "llama"), "model is 'llama'"),
        (("measure", "demo:gemma-3-270m", "--precision", "int3"), "precision is 'int3'"),
        (("measure", "demo:gemma-3-270m", "--batch", "x"), "batch is 'x'"),
        (("measure", "demo:gemma-3-270m", "--batch", "²"), "batch is '²'"),
        (("memory", "llama-3.1-8b", "--precision", ""), "precision is []; allowed: at least one precision"),
        (("measure", "demo:gemma-3-270m", "--precision", ""), "at least one value"),
        (("memory", "llama-9"), "shape is 'llama-9'"),
        (("rates", "Abacus"), "device is 'Abacus'"),
        (("rates", "--rate-kind", "gift"), "rate_kind is 'gift'"),
        (("cost",), "speeds are missing"),
        (("cost", "--decode-speed", "5"), "the rate is missing"),
        (("cost", "--decode-speed", "nan", "--usd-per-hour", "3"), "decode_tokens_per_s is nan"),
        (("cost", "--decode-speed", "5", "--device", "Abacus"), "Abacus"),
        (("cost", "demo:gemma-3-270m"), "a measured model in the store"),
        (("plan", "nowhere.yml"), "nowhere.yml"),
        (("dance",), "dance"),
        (("price",), "Missing"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = costlib(*words)
    assert code == 2 and out == ""
    assert err.startswith("costlib: ") and err.count("\n") == 1 and sentence in err
    code, out, _ = costlib(*words, "--json")
    assert code == 2 and sentence in json.loads(out)["error"]


def test_a_store_that_cannot_be_written_is_bad_input(costlib: Any, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("measure", f"path:{tiny_model}", "--device", "cpu", "--store", str(tmp_path / "file"))
    code, _, err = costlib(*words)
    assert code == 2 and "a folder that can be written" in err


def test_measure_and_cost_from_the_command_line(tiny_model: Path, tmp_path: Path, costlib: Any) -> None:
    """Progress goes to stderr, the document to stdout; what was measured can then be priced."""
    model = f"path:{tiny_model}"
    shared = ("--store", str(tmp_path / "s"), "--json")
    words = ("measure", model, "--device", "cpu", "--prompt-tokens", "8", "--output-tokens", "3", "--time-budget", "1")
    code, out, err = costlib(*words, *shared)
    row = json.loads(out)["rows"][0]
    assert code == 0 and row["status"] == "ok" and "[measure 0/1]" in err
    assert row["weight_bytes"] == row["weight_bytes_expected"] and row["energy_reason"]
    code, out, _ = costlib("cost", model, "--usd-per-hour", "0.1", *shared)
    priced = next(r for r in json.loads(out)["rows"] if r["convention"] == "phase_time")
    by_hand = 0.1 / (row["decode_tokens_per_s"] * 3600 / 1e6)
    assert code == 0 and priced["output_usd_per_mtok"] == pytest.approx(by_hand, rel=1e-9)


def test_every_command_has_help_with_an_example_and_a_line_for_each_option(costlib: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    code, out, _ = costlib("--help")
    listed = re.findall(r"^│ ([a-z]+) ", out, re.M)
    assert code == 0 and set(listed) >= {
        *("doctor", "measure", "memory", "quality", "embed", "load", "speculate", "prefix", "distill", "price"),
        *("prices", "rates", "owned", "cost", "capacity", "breakeven", "payback", "focus", "usage", "route", "plan"),
        *("run", "report", "batch", "check", "monitor", "compare"),
    }
    for command in [*((name,) for name in listed if name != "prices"), ("prices", "diff"), ("prices", "save")]:
        code, out, _ = costlib(*command, "--help")
        assert code == 0 and f"For example:\ncostlib {' '.join(command)}" in out and "--json" in out, command
        for line in re.findall(r"^│.*--[a-z].*│$", out, re.M):
            assert re.search(r"(STR|INT|FLOAT|--[a-z0-9-]+|\.\.\.)\s{2,}\S", line), (command, line)


def test_help_fits_the_terminal(costlib: Any, monkeypatch: Any) -> None:
    for width in (60, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        assert max(map(len, costlib("price", "--help")[1].splitlines())) == width


def test_the_version_is_printed(costlib: Any) -> None:
    assert costlib("--version")[:2] == (0, f"{cl.__version__}\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            ("price", "gpt-4o", "--provider", "openai", "--input", "900", "--output=9", "--cached", "3"),
            ("price", "gpt-4o", "--provider", "openai", "--prompt-tokens", "900", "--output-tokens", "9",
             "--cached-tokens", "3"),
        ),
        (
            ("cost", "--prefill-speed", "9", "--decode-speed", "9", "--usd-per-hour", "1"),
            ("cost", "--prefill-tokens-per-s", "9", "--decode-tokens-per-s", "9", "--usd-per-hour", "1"),
        ),
        (
            ("measure", "path:nowhere", "--precision", "bf16", "--time-budget", "1", "--timeout", "9"),
            ("measure", "path:nowhere", "--precision", "bf16", "--time-budget-s", "1", "--timeout-s", "9"),
        ),
    ],
)  # fmt: skip
def test_an_old_spelling_still_works_and_is_not_shown(costlib: Any, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    before, after = costlib(*old, "--json"), costlib(*new, "--json")
    assert before == after and (before[0] == 0 or "nowhere" in before[1])
    shown = costlib(new[0], "--help")[1]
    for word, now in zip(old, new, strict=False):
        option = word.partition("=")[0]
        if option.startswith("--") and option != now:
            assert not re.search(rf"{option}[ ,]", shown) and now in shown


def test_help_comes_without_loading_a_room() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['costlib', '--help']\n"
        "from costlib.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print(','.join(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "genai_prices"} & set(done.stdout.split("\n")[-2].split(","))


def test_completion_of_a_shell_knows_every_command_and_option(costlib: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert costlib("--install-completion", "--shell", "bash")[0] == 0
    (script,) = tmp_path.joinpath(".local").rglob("costlib")
    said = script.read_text()
    assert all(word in said for word in ("breakeven", "prices", "diff", "--prompt-tokens", "--time-budget-s"))
    assert "--time-budget " not in said and "--input " not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("compare", "a"), "Missing SECOND; allowed: a value"),
        (("usage",), "Missing FILE; allowed: a value"),
        (("owned", "--capex", "1"), "Missing --life-years; allowed: a value"),
        (("measure", "m", "--precision"), "Missing --precision; allowed: a value"),
        (("load", "u", "--model", "m", "--rate", "-1,2"), "Missing --rate; allowed: a value, after ="),
        (("rates", "L4", "on_demand", "more"), "what follows is 'on_demand more'; allowed: nothing here"),
        (("price", "gpt-4o", "--usd", "1"), "Unknown option: --usd"),
        (("memory", "llama-3.1-8b", "--batch", "1.5"), "--batch is '1.5'; allowed: a whole number"),
        (("payback", "--capex", "1_0"), "--capex is '1_0'; allowed: a number"),
        (("load", "u", "--model", "m", "--extra", "[1]"), "--extra is 'list'; allowed: a JSON object"),
        (("usage", "a.csv", "--column", "a"), "--column is 'a'; allowed: FIELD=COLUMN"),
        (("prices", "dif"), "command is 'prices dif'; allowed: one of prices diff, prices save"),
    ],
)
def test_each_kind_of_option_says_what_it_takes(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = costlib(*words)
    assert (code, out) == (2, "") and err.startswith(f"costlib: {sentence}") and err.count("\n") == 1


def test_memory_is_predicted_without_pandas() -> None:
    script = (
        "import sys\n"
        "sys.argv = 'costlib memory llama-3.1-70b'.split()\n"
        "from costlib.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print(','.join(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "B200" in done.stdout and not {"torch", "pandas"} & set(done.stdout.split("\n")[-2].split(","))


def test_the_public_prices_are_converted_once_and_a_broken_cache_is_made_again(tmp_path: Path) -> None:
    ask = "import sys, costlib as cl; print(cl.price('gpt-4o', 'openai', input_tokens=1000, output_tokens=100).total,"
    ask += " 'genai_prices' in sys.modules)"

    def asked() -> str:
        environment = {**os.environ, "COSTLIB_CACHE": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True).stdout

    assert [asked(), asked()] == ["0.0035 True\n", "0.0035 False\n"]
    (kept,) = tmp_path.rglob("*.pickle")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert [asked(), asked()] == ["0.0035 True\n", "0.0035 False\n"]


def test_an_interval_of_money_is_money(costlib: Any) -> None:
    found = json.loads(costlib("plan", Path(__file__).parent / "golden/input/apis.yml", "--json")[1])
    ends = [found["interval"]["low"], found["interval"]["high"]]
    assert ends == [found["total"][f"usd_per_month_{end}"] for end in ("low", "high")]
    for row in (found["total"], found["saving"], *found["assignments"]):
        low, amount, high = (row[f"usd_per_month{end}"] for end in ("_low", "", "_high"))
        assert re.fullmatch(r"-?\d+\.\d\d", low) and Decimal(low) <= Decimal(amount) <= Decimal(high)


def test_an_option_given_twice_is_refused(costlib: Any) -> None:
    code, out, err = costlib("rates", "L4", "--devices", "1", "--devices", "8")
    assert (code, out) == (2, "") and "--devices" in err and err.count("\n") == 1


def test_compare_shows_a_ratio_and_refuses_unlike_measurements(costlib: Any, tmp_path: Path) -> None:
    import pandas as pd
    from samples import run_row

    from costlib.store import Store
    from costlib.tables import RUNS

    store = Store(tmp_path / "two")
    for precision, time in (("bf16", 2.0), ("nf4", 1.0)):
        for run in (f"{precision}-1", f"{precision}-2"):
            row = run_row(run_id=run, campaign=precision, precision=precision, decode_s=[time], weight_bytes=int(time))
            store.write(RUNS, pd.DataFrame([row]), run)
    words = ("compare", "bf16", "nf4", "--store", str(store.root))
    code, out, err = costlib(*words)
    assert code == 2 and not out and "precision is 'bf16' against 'nf4'" in err
    code, out, _ = costlib(*words, "--across", "precision", "--json")
    found = json.loads(out)
    decode = {row["metric"]: row for row in found["rows"]}["decode_tokens_per_s"]
    assert code == 0 and decode["ratio"] == pytest.approx(2) and decode["verdict"] == "faster"
    assert (found["first"]["precision"], found["second"]["precision"]) == ("bf16", "nf4")
    code, out, _ = costlib(*words, "--across", "precision")
    assert code == 0 and "faster" in out and "counted, not sampled" in out
