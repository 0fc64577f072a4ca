"""The measure notebook says what was measured, what was not and why; `cl.measured` is the frame behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, Shown, run_notebook, store_with
from samples import run_row

import costlib as cl
from costlib.reporting.markup import bare
from costlib.store import Store
from costlib.study import Study
from costlib.study.parts import MeasureSpec
from costlib.tables import RUNS

CEILINGS = {
    "ceiling_bytes_per_s": 15e9, "ceiling_flops_per_s": 4e11, "decode_bytes": 536e6, "decode_flops": 536e6,
    "prefill_bytes": 536e6, "prefill_flops": 35e9,
}  # fmt: skip


def words(shown: Shown) -> str:
    """What a reader sees."""
    return bare(shown.html.replace("</", " </"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, Store]:
    store = store_with(tmp_path_factory.mktemp("plain"), columns=CEILINGS | {"energy_reason": "no counter"})
    return run_notebook("measure", study="demo", store=str(store.root)), store


def test_headings_are_findings_of_the_data(plain: tuple[Shown, Store]) -> None:
    """14, 2 and 16 tokens/s of 536 MB are 7.5, 1.1 and 8.6 of 15 GB/s: int8 is far from both ceilings."""
    told = plain[0].html
    for heading in (
        "nf4 raises perplexity measurably; int8 does not</h2>",
        "<h2>Every configuration was measured undisturbed</h2>",
        "<h2>Decode: memory bandwidth bounds bf16 and nf4; overhead bounds int8</h2>",
        "<h2>Energy could not be counted on this machine</h2>",
    ):
        assert heading in told
    told = bare(told)
    assert "nf4 decodes 7.97 times as fast as int8" in told and "Unknown, because no counter." in told
    assert "nf4 holds its weights in 26.9\u202f% less memory than bf16" in told
    assert plain[0].facts["answer"].endswith("nf4 multiplies perplexity by 1.29.") and "chance" not in told
    assert "de-quantized 4-bit file" in told and "The peak includes Python and its libraries" in told
    assert "not counted by this engine" in told and "no data sheet of this device" in told


def test_every_number_has_a_kind_a_source_and_an_interval_or_a_reason(plain: tuple[Shown, Store]) -> None:
    facts, store = plain[0].facts, plain[1]
    assert len(facts["ledger"]) > 80
    for row in facts["ledger"]:
        assert row["source"] and row["kind"] and (row["reason"] or row["low"] is not None), row
    decode = next(row for row in facts["ledger"] if row["what"] == "nf4 · Decode")
    assert decode["low"] < decode["value"] < decode["high"] and decode["value"] == pytest.approx(16, rel=0.01)
    assert facts["complete"] is True and len(facts["runs"]) == 9 and str(store.root) not in plain[0].html


def test_cost_of_a_million_tokens_is_the_hour_over_its_tokens(plain: tuple[Shown, Store]) -> None:
    """128 prompt and 32 output tokens of nf4: $/Mtok = $/h / 3600 * (128/prefill + 32/decode) / 160 * 1e6."""
    row = cl.measured("demo", plain[1]).set_index("configuration").loc["nf4"]
    seconds = 128 / row["prefill_tokens_per_s"] + 32 / row["decode_tokens_per_s"]
    expected = row["usd_per_hour"] / 3600 * seconds / 160 * 1e6
    found = {r["what"]: r for r in plain[0].facts["ledger"]}
    assert found["nf4 · All"]["value"] == pytest.approx(expected)
    for split in ("by time", "by price"):  # each convention shares out the same bill
        bill = 128 * found[f"nf4 · Input {split}"]["value"] + 32 * found[f"nf4 · Output {split}"]["value"]
        assert bill / 160 == pytest.approx(expected)
    assert found["nf4 · All"]["low"] < expected < found["nf4 · All"]["high"]


def test_what_did_not_fit_stays_visible_and_differences_within_the_error_are_called_chance(tmp_path: Path) -> None:
    shown = run_notebook("measure", study="demo", store=str(store_with(tmp_path / "a", noise=9.0, int8="oom").root))
    told = bare(shown.html)
    assert "nf4 decodes fastest, perhaps by chance" in shown.facts["answer"]
    assert "times as fast as bf16, perhaps by chance" in told and "What was not measured as planned" in told
    assert "did not fit" in told and "No roofline can be drawn: the ceilings were not measured" in told
    alone = cl.measured("demo", store_with(tmp_path / "b", nf4="oom", int8="oom"))
    assert alone["maybe_fastest"].tolist() == [True, False, False] and alone["slower_ratio"].isna().all()


def test_an_empty_store_is_said_and_nothing_is_invented(tmp_path: Path) -> None:
    shown = run_notebook("measure", study="demo", store=str(tmp_path / "none"))
    assert shown.facts["answer"] == "No configuration could be measured; the last section says why."
    assert "not measured yet" in shown.html
    assert all(row["value"] is None or row["kind"] == "derived" for row in shown.facts["ledger"])


def test_a_sweep_is_labelled_by_what_differs_and_max_is_the_largest_batch_that_ran(tmp_path: Path) -> None:
    spec = {"model": "path:m", "precision": "bf16", "batch": [1, "max"], "prompt_tokens": [16, 64], "output_tokens": 8,
            "time_budget_s": 1}  # fmt: skip
    study, store = measuring(spec), Store(tmp_path / "s")
    for number, (batch, status) in enumerate([(1, "ok"), (12, "ok"), (13, "oom")]):
        row = run_row(run_id=f"r{number}", campaign=f"c{number}", model="path:m", precision="bf16", batch=batch,
                      prompt_tokens=64, output_tokens=8, status=status)  # fmt: skip
        store.write(RUNS, pd.DataFrame([row]), row["run_id"])
    rows = cl.measured(study, store)
    assert dict(zip(rows["configuration"], rows["status"], strict=True)) == {
        "bf16 batch 1 16 in": "missing", "bf16 batch 1 64 in": "ok",
        "bf16 batch max 16 in": "missing", "bf16 batch 12 (largest) 64 in": "ok",
    }  # fmt: skip
    failed = run_row(run_id="r9", campaign="c9", model="path:m", precision="bf16", batch=7, prompt_tokens=16,
                     output_tokens=8, status="unsupported", reason="no graph of this step")  # fmt: skip
    store.write(RUNS, pd.DataFrame([failed]), "r9")
    rows = cl.measured(study, store).set_index("configuration")
    assert rows.loc["bf16 batch max 16 in", "reason"] == "no graph of this step"
    assert (rows["ppl_ratio_reason"] == "quality not measured yet").all()


def measuring(spec: dict[str, Any]) -> Study:
    """The demo study, which measures something else."""
    return cl.load_study("demo").model_copy(update={"measure": (MeasureSpec.model_validate(spec),)})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, pd.DataFrame]:
    """Two precisions and engines at batch 1 and 8 on a GPU, three processes each."""
    spec = {"model": "path:m", "precision": ["bf16", "nf4"], "engine": ["eager", "compiled"], "batch": [1, 8],
            "prompt_tokens": 64, "output_tokens": 8, "time_budget_s": 1}  # fmt: skip
    study, store = measuring(spec), Store(tmp_path_factory.mktemp("sweep"))
    keys = [(p, e, b) for p in ("bf16", "nf4") for e in ("eager", "compiled") for b in (1, 8)]
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cl, "load_study", lambda _: study, raising=False)
        return run_notebook("measure", study="sweep", store=str(store.root)), cl.measured(study, store)


def test_a_sweep_is_compared_within_a_batch_and_can_be_read(sweep: tuple[Shown, pd.DataFrame]) -> None:
    """Batch 8 moves the most tokens; that it does so 'times as fast' as batch 1 would say nothing of the two."""
    told = bare(sweep[0].html)
    assert re.search(r"bf16 eager batch 8 decodes [34][.0-9]* times as fast as nf4 compiled batch 8", told)
    assert "8 configurations, engine several, batch several, prompt tokens 64 and output tokens 8" in told
    assert "What bounds decode: overhead in four; memory bandwidth in four" in told
    assert "Numbers are rows of the table" in told and "8. nf4 compiled batch 8" in told
    assert "what torch reserved on the GPU" in told and "3.01" in told
    assert "bf16 eager batch 8 needs the least energy, 1.11 J per token of output" in told
    assert "Energy of GPU board over all timed iterations" in told


def test_what_has_no_interval_says_why(sweep: tuple[Shown, pd.DataFrame]) -> None:
    row = sweep[1].set_index("configuration").loc["bf16 eager batch 8"]
    name = "energy_j_per_output_token"
    assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row["energy_gross_j_reason"] == "the sum over the windows of all processes"
    assert row["mbu_reason"] == "the estimate over the best ceiling of all processes"
    assert row["allocator_reserved_peak_bytes_reason"] == "the largest of all processes"
