"""The measure page says what was measured, what was not and why, with every number's interval or reason."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, measure_pieces, store_with

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
    assert words(page.limits_heading()) == "Decode: memory bandwidth bounds bf16 and nf4; overhead bounds int8"
    table = words(page.limits_table())
    assert "bandwidth" in table and "overhead" in table and "no data sheet of this device" in table
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
    assert "bf16 needs the least energy, 0.781 J per token of output" in words(page.energy_heading()).replace(
        " ,", ","
    )  # (100 - 50) J over 2 x 32 tokens
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
        "bf16 batch max 16 in": "missing", "bf16 batch 12 (largest) 64 in": "ok",
    }  # fmt: skip
    failed = run_row(run_id="r9", campaign="c9", model="path:m", precision="bf16", batch=7, prompt_tokens=16,
                     output_tokens=8, status="unsupported", reason="no graph of this step")  # fmt: skip
    store.write(RUNS, pd.DataFrame([failed]), "r9")
    assert configurations(study, store)["bf16 batch max 16 in"]["reason"] == "no graph of this step"
    assert shared_setting(rows) == "eager engine, batch as named, prompt as named and 8 output tokens"
    assert qualities(study, store, rows) == {}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeasurePage:
    """Two precisions and engines at batch 1 and 8 on a GPU, three processes each."""
    from samples import run_row

    from costlib.store import Store
    from costlib.study import load_study
    from costlib.study.parts import MeasureSpec
    from costlib.tables import RUNS

    spec = MeasureSpec.model_validate(
        {"model": "path:m", "precision": ["bf16", "nf4"], "engine": ["eager", "compiled"], "batch": [1, 8],
         "prompt_tokens": 64, "output_tokens": 8, "time_budget_s": 1}
    )  # fmt: skip
    study, store = load_study("demo").model_copy(update={"measure": (spec,)}), Store(tmp_path / "sweep")
    keys = [(p, e, b) for p in spec.precision for e in spec.engine for b in (1, 8)]
    for place, (precision, engine, batch) in enumerate(keys):
        for process in range(3):
            row = run_row(run_id=f"r{place}{process}", campaign="c", model="path:m", precision=precision, engine=engine,
                          batch=batch, prompt_tokens=64, output_tokens=8, device="NVIDIA H100 80GB HBM3",
                          ttft_s=[0.1 + process / 1e4], decode_s=[(1 + place + process / 1e3) * 0.5],
                          kv_cache_bytes=3000, kv_cache_bytes_expected=3010, allocator_reserved_peak_bytes=9000,
                          energy_j=100.0 + place * 20 + process, energy_idle_w=5.0, energy_window_s=10.0,
                          energy_scope="GPU board", environment=ENVIRONMENT,
                          host_share=0.95 if engine == "eager" else 0.1, **CEILINGS)  # fmt: skip
            store.write(RUNS, pd.DataFrame([row]), row["run_id"])
    monkeypatch.setattr("costlib.report.measure_page.load_study", lambda name: study)
    return measure_page("sweep", str(store.root))


def test_a_sweep_is_compared_within_a_batch_and_its_headings_can_be_read(sweep: MeasurePage) -> None:
    """Batch 8 moves the most tokens; that it does so 'times as fast' as batch 1 would say nothing of the two."""
    assert words(sweep.speed_heading()).startswith("bf16 eager batch 8 decodes 4")
    assert words(sweep.speed_heading()).endswith("times as fast as nf4 compiled batch 8")
    assert "Measured: path:m, 8 configurations, engine as named" in words(sweep.opening())
    assert words(sweep.limits_heading()) == (
        "What bounds decode in 8 configurations: in 4 by overhead; in 4 by memory bandwidth"
    )


def test_a_sweep_has_a_roofline_whose_numbers_are_rows(sweep: MeasurePage) -> None:
    chart = sweep.roofline_chart()
    assert "numbers are rows of the table" in chart.measure and "bf16 eager batch 1 decode" not in chart.svg
    assert ">8</" in chart.svg or "8" in re.findall(r">\s*(\d+)\s*<", chart.svg)
    assert "1. bf16 eager batch 1" in words(sweep.limits_table()) and "8. nf4 compiled batch 8" in words(
        sweep.limits_table()
    )


def test_energy_on_the_page_has_its_interval(sweep: MeasurePage) -> None:
    figure = sweep.known("bf16 eager batch 8", "energy_j_per_output_token", "J/token")
    assert figure.low is not None and figure.high is not None and figure.value is not None
    assert figure.low < figure.value < figure.high
    assert words(sweep.energy_heading()).startswith("bf16 eager batch 8 needs the least energy, 1.11")
    assert "chance" not in words(sweep.energy_heading())
    assert (
        sweep.known("bf16 eager batch 1", "energy_gross_j", "J").reason == "the sum over the windows of all processes"
    )
    assert (
        sweep.known("bf16 eager batch 1", "mbu", "share").reason
        == "the estimate over the best ceiling of all processes"
    )
    peak = sweep.known("bf16 eager batch 1", "allocator_reserved_peak_bytes", "bytes")
    assert peak.reason == "the largest of all processes"


def test_the_memory_of_a_gpu_is_called_what_it_is_and_both_predictions_stand_beside_the_counts(
    sweep: MeasurePage, page: MeasurePage
) -> None:
    assert "what torch reserved on the GPU" in sweep.memory_chart().source
    assert "The peak includes Python and its libraries" in page.memory_chart().source
    assert words(sweep.memory_table()).count("predicted D") == 2 and "3.01" in words(sweep.memory_table())
