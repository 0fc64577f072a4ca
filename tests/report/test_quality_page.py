"""The quality page: every piece renders, its numbers are the store's, and it says what nobody measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from report.samples import answers_in, store_with, study_in
from report.test_look import seen

from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.quality_page import QualityPage, quality_page
from costlib.store import Store


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> QualityPage:
    root = tmp_path_factory.mktemp("quality")
    store = store_with(root / "store")
    answers_in(store, {"bf16": 40, "nf4": 30})
    return quality_page(str(study_in(root)), str(store.root))


def pieces(page: QualityPage) -> list[Any]:
    return [
        page.opening(), page.notes(), page.gates_table(), page.text_heading(), page.text_chart(), page.text_table(),
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
        ("int8 on text", True), ("nf4 on text", False), ("nf4 on order_data", False),
    ]  # fmt: skip
    (task,) = page.tasks
    assert {row["precision"]: (row["success"], row["lost"]) for row in task.scores} == {
        "bf16": (1.0, None), "nf4": (0.75, 10),
    }  # fmt: skip
    assert page.flips_table()._repr_html_().count("none") == 5
    measured = [cell for cell in page.cells if cell["success_kind"] == "measured"]
    assert {(cell["workload"], cell["option"]) for cell in measured} == {
        ("Order data extraction", "Gemma 3 270M bf16"), ("Order data extraction", "Gemma 3 270M nf4"),
    }  # fmt: skip
    assert page.close().facts["complete"]


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    empty = quality_page(str(study_in(tmp_path)), str(store.root))
    html = "".join(piece._repr_html_() for piece in pieces(empty))
    assert "costlib run does it" in html
    assert "40 items of order_data were not answered at nf4 yet" in html
    assert empty.close().facts["complete"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: QualityPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("quality", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
