"""The quality page: every piece renders, its numbers are the store's, and it says what nobody measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report.samples import answers_in, store_with, study_in
from report.test_look import seen

from costlib.report.chart import Chart
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.quality_page import QualityPage, quality_page
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
def page(tmp_path_factory: pytest.TempPathFactory) -> QualityPage:
    root = tmp_path_factory.mktemp("quality")
    store = store_with(root / "store")
    answers_in(store, {"bf16": 40, "nf4": 30})
    tokens_in(store)
    return quality_page(str(study_in(root)), str(store.root))


def pieces(page: QualityPage) -> list[Any]:
    return [
        page.opening(), page.notes(), page.gates_table(), page.text_heading(), page.text_chart(), page.text_table(),
        page.depth_chart(), page.depth_text(),
        page.tasks_heading(), page.tasks_chart(), page.tasks_table(), page.frontier_chart(), page.flips_table(),
        page.matrix_heading(), page.matrix_chart(), page.matrix_table(), page.upkeep_table(),
    ]  # fmt: skip


def test_every_piece_renders_and_lists_its_numbers(page: QualityPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    rows = {entry["id"]: entry for entry in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    for entry in rows.values():
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry
    assert "Tasks refuse nf4 on order_data" in html
    assert "Text: nf4 is measurably worse" in html
    assert "de-quantized" in html and "evaluation set" in html


def test_gates_flips_and_the_matrix_are_the_stores(page: QualityPage) -> None:
    assert [(name, ok) for name, ok, _ in page.verdicts] == [
        ("int8 on text", "passed"), ("nf4 on text", "refused"), ("nf4 on order_data", "refused"),
    ]  # fmt: skip
    (task,) = page.tasks
    assert {row["precision"]: (row["success"], row["lost"]) for row in task.scores} == {
        "bf16": (1.0, None), "nf4": (0.75, 10),
    }  # fmt: skip
    assert page.flips_table()._repr_html_().count("none") == 5
    measured = [cell for cell in page.cells if cell["success_kind"] == "measured"]
    assert {(cell["workload"], cell["option"]) for cell in measured} == {
        ("Order data extraction", "Gemma 3 270M, 16-bit"), ("Order data extraction", "Gemma 3 270M, 4-bit"),
    }  # fmt: skip
    assert page.close().facts["complete"]


def test_the_loss_that_grows_with_depth_is_named_with_its_test(page: QualityPage) -> None:
    """The waves cancel in every range, so the means are exact: 0.1 in the first half and 0.5 in the deeper one."""
    chart, words = page.depth_chart(), str(page.depth_text())
    assert isinstance(chart, Chart) and chart.finding == "Loss grows with context for nf4"
    assert "The loss of nf4 grows with depth. Loss of a token after 513 to 1,024 tokens" in words
    rows = {entry["what"]: entry for entry in page.ledger.rows()}
    drawn = [entry["value"] for what, entry in rows.items() if what.startswith("nf4 · loss, nats/token · ")]
    assert drawn == pytest.approx([0.1, 0.1, 0.5, 0.5])
    assert rows["nf4 · loss in the deeper half less that in the first"]["value"] == pytest.approx(0.4)
    assert rows["nf4 · test of that"]["value"] < 0.05
    assert rows["int8 · test of that"]["value"] == pytest.approx(1)


def test_rows_without_values_by_token_hide_the_depth_with_the_reason(tmp_path: Path) -> None:
    page = quality_page(str(study_in(tmp_path)), str(store_with(tmp_path / "store").root))
    words = str(page.depth_chart())
    assert "not shown. Int8: nll of row is &#x27;none&#x27;; allowed: values by token" in words
    assert str(page.depth_text()) == ""


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    empty = quality_page(str(study_in(tmp_path)), str(store.root))
    html = "".join(piece._repr_html_() for piece in pieces(empty))
    assert "costlib run does it" in html and "no variant was scored on text" in html.lower()
    assert "40 items of order_data were not answered at nf4 yet" in html
    assert empty.close().facts["complete"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: QualityPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("quality", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
