"""The measure page says what was measured, what was not and why, with every number's interval or reason."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from report.samples import measure_pieces, store_with

from costlib.report.measure_page import MeasurePage, measure_page


def words(html: object) -> str:
    """What a reader sees of a piece of HTML."""
    text = getattr(html, "text", None) or html._repr_html_()  # type: ignore[attr-defined]
    return re.sub(r"[ \n\t]+", " ", re.sub(r"<(style|title|svg)\b.*?</\1>|<[^>]+>", " ", text, flags=re.S)).strip()


@pytest.fixture
def page(tmp_path: Path) -> MeasurePage:
    return measure_page("demo", str(store_with(tmp_path).root))


def test_headings_are_findings_of_the_data(page: MeasurePage) -> None:
    assert words(page.speed_heading()) == "nf4 decodes 7.97 times as fast as int8"
    assert words(page.memory_heading()) == "nf4 holds its weights in 26.9\u202f% less memory than bf16"
    assert words(page.quality_heading()) == "nf4 raises perplexity measurably; int8 does not"
    assert words(page.failures_heading()) == "Every configuration was measured undisturbed"
    assert "nf4 multiplies perplexity by 1.29" in words(page.opening())
    assert "de-quantized 4-bit file" in words(page.cautions())


def test_a_difference_within_the_error_is_called_chance(tmp_path: Path) -> None:
    store = store_with(tmp_path, nf4="oom", int8="oom")
    assert words(measure_page("demo", str(store.root)).speed_heading()) == "One precision was measured"
    page = measure_page("demo", str(store_with(tmp_path / "noisy", noise=9.0).root))
    assert (
        words(page.speed_heading()).endswith("perhaps by chance") and "perhaps by chance" in page.speed_chart().finding
    )


def test_cost_of_a_million_tokens_is_the_hour_over_its_tokens(page: MeasurePage) -> None:
    """128 prompt and 32 output tokens of nf4: $/Mtok = $/h / 3600 * (128/prefill + 32/decode) / 160 * 1e6."""
    row = page.rows["nf4"]
    assert page.rate is not None
    seconds = 128 / row["prefill_tokens_per_s"] + 32 / row["decode_tokens_per_s"]
    expected = float(page.rate.usd_per_hour) / 3600 * seconds / 160 * 1e6
    assert page.blended["nf4"].value == pytest.approx(expected)
    by_split = {r["convention"]: r for r in page.costs if r["label"] == "nf4"}
    assert len(by_split) == 3
    for split in by_split.values():  # each convention shares out the same bill
        bill = 128 * (split["input_usd_per_mtok"] or 0) + 32 * (split["output_usd_per_mtok"] or 0)
        assert bill / 160 == pytest.approx(expected)


def test_every_number_shown_has_a_kind_a_source_and_an_interval_or_a_reason(page: MeasurePage) -> None:
    shown = "".join(getattr(p, "text", None) or p._repr_html_() for p in measure_pieces(page))  # type: ignore[attr-defined]
    rows = {row["id"]: row for row in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', shown)) <= rows.keys() and len(rows) > 60
    for row in rows.values():
        assert row["source"] and row["unit"] and (row["reason"] or row["low"] is not None), row
    measured = {row["what"]: row for row in rows.values() if row["kind"] == "measured"}
    decode = measured["nf4 · Decode, tokens/s"]
    assert decode["low"] < decode["value"] < decode["high"] and decode["value"] == pytest.approx(16, rel=0.01)
    assert page.close().facts["complete"] is True
    assert page.close().facts["runs"] == page.runs() and len(page.runs()) == 9


def test_a_precision_that_did_not_fit_stays_visible_with_its_reason(tmp_path: Path) -> None:
    page = measure_page("demo", str(store_with(tmp_path, nf4="oom").root))
    pieces = measure_pieces(page)
    assert words(page.speed_heading()).startswith("bf16 decodes")
    assert "unknown, see table" in page.speed_chart().svg
    assert "nf4 oom did not fit" in words(page.failures())
    assert "did not fit" in words(page.speed_table())
    assert len(pieces) == 17


def test_an_empty_store_is_said_and_nothing_is_invented(tmp_path: Path) -> None:
    page = measure_page("demo", str(tmp_path / "none"))
    assert len(measure_pieces(page)) == 17
    assert "No configuration could be measured" in words(page.opening())
    assert "not measured yet" in words(page.failures())
    assert all(row["value"] is None for row in page.ledger.rows())


CEILINGS = {
    "ceiling_bytes_per_s": 15e9, "ceiling_flops_per_s": 4e11, "decode_bytes": 536e6, "decode_flops": 536e6,
    "prefill_bytes": 536e6, "prefill_flops": 35e9,
}  # fmt: skip


def test_the_roofline_shows_what_bounds_each_configuration(tmp_path: Path) -> None:
    """14, 2 and 16 tokens/s of 536 MB are 7.5, 1.1 and 8.6 of 15 GB/s: int8 is far from both ceilings."""
    page = measure_page("demo", str(store_with(tmp_path, columns=CEILINGS).root))
    assert (
        words(page.limits_heading())
        == "Decode is bound: of bf16 and nf4 by memory bandwidth; of int8 by overhead, near neither ceiling"
    )
    table = words(page.limits_table())
    assert "bandwidth" in table and "host" in table and "no data sheet of this device" in table
    chart = page.roofline_chart()
    assert "bf16 decode" in chart.svg and "nf4 prefill" in chart.svg and "measured ceilings" in chart.measure


def test_without_ceilings_the_page_says_why(tmp_path: Path) -> None:
    fits = CEILINGS | {"ceiling_reason": "the weights fit into the CPU's cache"}
    page = measure_page("demo", str(store_with(tmp_path, columns=fits).root))
    assert words(page.roofline_chart()).startswith("No roofline can be drawn: the weights fit into the CPU")
    assert words(page.limits_heading()) == "What bounds the speed is not known here"


def test_energy_is_a_table_or_a_reason(tmp_path: Path) -> None:
    dark = measure_page("demo", str(store_with(tmp_path, columns={"energy_reason": "no counter"}).root))
    assert words(dark.energy_heading()) == "Energy could not be counted on this machine"
    assert words(dark.energy_table()) == "Unknown, because no counter."
    powered = {"energy_j": 100.0, "energy_idle_w": 5.0, "energy_window_s": 10.0, "energy_scope": "GPU board"}
    page = measure_page("demo", str(store_with(tmp_path / "b", columns=powered).root))
    assert "bf16 needs the least energy, 0.781" in words(page.energy_heading())  # (100 - 50) J over 2 x 32 tokens
    assert "Energy of GPU board over all timed iterations" in words(page.energy_table())
    assert "200" in words(page.energy_table())


def test_every_layer_of_memory_is_there_or_says_why(page: MeasurePage) -> None:
    table = words(page.layers_table())
    assert "Allocated" in table and "While loading" in table and "not counted by this engine" in table
    assert page.known("bf16", "process_peak_bytes", "bytes").value == 10**9


def test_a_sweep_is_labelled_by_what_differs_and_max_is_the_largest_batch_that_ran(tmp_path: Path) -> None:
    from samples import run_row

    from costlib.report.measured_rows import configurations, qualities, shared_setting
    from costlib.store import Store
    from costlib.study import load_study
    from costlib.study.parts import MeasureSpec
    from costlib.tables import RUNS

    spec = MeasureSpec.model_validate(
        {"model": "path:m", "precision": "bf16", "batch": [1, "max"], "prompt_tokens": [16, 64], "output_tokens": 8,
         "time_budget_s": 1}
    )  # fmt: skip
    study, store = load_study("demo").model_copy(update={"measure": (spec,)}), Store(tmp_path / "s")
    for number, (batch, status) in enumerate([(1, "ok"), (12, "ok"), (13, "oom")]):
        row = run_row(run_id=f"r{number}", campaign=f"c{number}", model="path:m", precision="bf16", batch=batch,
                      prompt_tokens=64, output_tokens=8, status=status)  # fmt: skip
        store.write(RUNS, pd.DataFrame([row]), row["run_id"])
    rows = configurations(study, store)
    assert {label: row["status"] for label, row in rows.items()} == {
        "bf16 batch 1 16 in": "missing", "bf16 batch 1 64 in": "ok",
        "bf16 batch max (largest) 16 in": "missing", "bf16 batch 12 (largest) 64 in": "ok",
    }  # fmt: skip
    assert shared_setting(rows) == "eager engine, batch as named, prompt as named and 8 output tokens"
    assert qualities(study, store, rows) == {}
