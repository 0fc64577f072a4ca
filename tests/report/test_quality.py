"""The quality notebook: its numbers are the store's, and it says what nobody measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.samples import Shown, answers_in, run_notebook, store_with, study_in
from report.test_look import seen

import costlib as cl
from costlib.reporting.markup import bare
from costlib.reporting.publish import page as html_page
from costlib.reporting.publish import provenance_block, with_contents
from costlib.store import Store
from costlib.tables import QUALITY


def tokens_in(store: Store) -> None:
    """Newer quality rows with values by token, in two windows of 1,024; nf4 loses 0.1, and 0.5 in the deeper half."""
    wave, half = np.tile([0.05, -0.05], 1024), np.arange(2048) % 1024 >= 512
    losses = {"bf16": np.zeros(2048), "int8": 0.02 + wave, "nf4": np.where(half, 0.5, 0.1) + wave}
    for row in store.read(QUALITY).frame.to_dict("records"):
        run = str(row["run_id"]).replace("20261101T", "20261102T")
        row |= {
            "run_id": run,
            "started_at": "2026-11-02T00:01:00+00:00",
            "nll": (3 + losses[row["precision"]]).tolist(),
        }
        store.write(QUALITY, pd.DataFrame([row]), run)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, str, Store]:
    root = tmp_path_factory.mktemp("quality")
    store, study = store_with(root / "store"), str(study_in(root))
    answers_in(store, {"bf16": 40, "nf4": 30})
    tokens_in(store)
    return run_notebook("quality", study=study, store=str(store.root)), study, store


def test_headings_gates_and_numbers_are_those_of_the_store(made: tuple[Shown, str, Store]) -> None:
    shown, _, _ = made
    told = bare(shown.html)
    assert shown.facts["answer"] == "nf4 on text and nf4 on order_data fail their gates; int8 on text passes."
    assert "Tasks refuse nf4 on order_data" in told and "Text: nf4 is measurably worse" in told
    assert "de-quantized" in told and "evaluation set" in told and "Of 273 cells 2 are measured" in told
    for entry in shown.facts["ledger"]:
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry
    found = {entry["what"]: entry["value"] for entry in shown.facts["ledger"]}
    assert found["Models kept in operation · Together"] == 450 * found["Models kept in operation · Pieces"]
    cell = "Order data extraction: Gemma 3 270M, 16-bit"
    assert found[f"{cell} · Right answers"] == 1 and found[f"{cell} · Scored on"] == 40


def test_the_frames_behind_it_have_one_row_for_each_variant_item_and_depth(made: tuple[Shown, str, Store]) -> None:
    _, study, store = made
    tasks = cl.task_results(study, store).set_index("precision")
    assert tasks["success"].to_dict() == {"bf16": 1.0, "nf4": 0.75}
    assert tasks.loc["nf4", ["lost", "gate", "variant"]].tolist() == [10, "refused", "nf4 on order_data"]
    assert tasks["is_baseline"].tolist() == [True, False] and tasks.loc["bf16", "lost_reason"] == "the baseline itself"
    worse = cl.worse_answers(study, store)
    assert len(worse) == 10 and (worse["score"] < worse["baseline_score"]).all() and set(worse["variant"]) == {
        "nf4 on order_data"
    }  # fmt: skip
    gates = cl.measured(study, store).set_index("precision")["gate"]
    assert gates[["int8", "nf4"]].tolist() == ["passed", "refused"] and gates.isna()["bf16"]


def test_the_loss_that_grows_with_depth_is_named_with_its_test(made: tuple[Shown, str, Store]) -> None:
    """The waves cancel in every range, so the means are exact: 0.1 in the first half and 0.5 in the deeper one."""
    shown, study, store = made
    assert "Loss grows with context for nf4" in bare(shown.html)
    depths = cl.text_depths(study, store)
    nf4 = depths[depths["variant"] == "nf4"]
    assert nf4["depth_loss"].tolist() == pytest.approx([0.1, 0.1, 0.5, 0.5])
    assert nf4["depth"].iloc[-1] == "769\N{EN DASH}1,024" and set(nf4["deeper_tokens"]) == {513}
    assert nf4["growth"].iloc[0] == pytest.approx(0.4) and nf4["growth_p_value"].iloc[0] < 0.05 and nf4["grows"].all()
    assert depths[depths["variant"] == "int8"]["growth_p_value"].iloc[0] == pytest.approx(1)


def test_an_empty_store_says_what_to_run_and_rows_without_tokens_hide_the_depth(tmp_path: Path) -> None:
    study = str(study_in(tmp_path))
    empty = run_notebook("quality", study=study, store=str(tmp_path / "store"))
    told = bare(empty.html)
    assert "costlib run does it" in empty.facts["answer"] and "no variant was scored on text" in told
    assert "40 items of order_data were not answered at nf4 yet" in told
    depths = cl.text_depths(study, store_with(tmp_path / "rows"))
    assert depths["reason"].str.startswith("nll of row is 'none'; allowed: values by token").all()
    assert depths["variant"].tolist() == ["int8", "nf4"] and not depths["grows"].any()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(made: tuple[Shown, str, Store], width: int, tmp_path: Path) -> None:
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    text = html_page("quality", with_contents(f"<h1>A title</h1>{made[0].html}") + block)
    assert seen(text, width, tmp_path) == []
