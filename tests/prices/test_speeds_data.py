"""data/speeds.csv: what was derived follows from what was quoted, and every row can be priced."""

import csv

import pytest

from costlib.paths import data_dir
from costlib.prices.rates import load_rates

with (data_dir() / "speeds.csv").open(encoding="utf-8") as _file:
    ROWS = list(csv.DictReader(_file))


def test_every_device_has_a_rate_and_every_row_a_source() -> None:
    assert {row["device"] for row in ROWS} <= {rate.device for rate in load_rates()}
    assert all(row["source"] and row["metric"] and int(row["devices"]) >= 1 for row in ROWS)
    assert {row["kind"] for row in ROWS} == {"quoted", "derived"}


@pytest.mark.parametrize("row", [row for row in ROWS if row["kind"] == "derived"], ids=lambda row: row["device"])
def test_separated_phases_reproduce_the_rows_they_were_solved_from(row: dict[str, str]) -> None:
    """Seconds per request = prompt / prefill + output / decode, for TensorRT-LLM's 128/2048 and 2048/128 rows."""
    same = [r for r in ROWS if (r["model"], r["device"], r["source"]) == (row["model"], row["device"], row["source"])]
    published = {(r["prompt_tokens"], r["output_tokens"]): float(r["decode_tokens_per_s"]) for r in same}
    prefill, decode = float(row["prefill_tokens_per_s"]), float(row["decode_tokens_per_s"])
    for prompt, output in ((128, 2048), (2048, 128)):
        expected = output / (prompt / prefill + output / decode)
        assert published[str(prompt), str(output)] == pytest.approx(expected, rel=1e-3)
    unseen = 1000 / (1000 / prefill + 1000 / decode)
    assert published["1000", "1000"] == pytest.approx(unseen, rel=0.13)
    stated = round(abs(unseen / published["1000", "1000"] - 1) * 100)
    assert f"published 1000/1000 row within {stated} %" in row["note"]


def test_the_row_of_llm_analysis_is_its_published_time_token_2() -> None:
    row = next(r for r in ROWS if r["source"].startswith("llm-analysis") and r["batch"] == "32")
    assert 32 * 512 / float(row["prefill_tokens_per_s"]) == pytest.approx(3.963, rel=1e-4)
    assert 32 * 512 / float(row["decode_tokens_per_s"]) == pytest.approx(22.981, rel=1e-4)
    assert "derived by llm-analysis" in row["note"]
