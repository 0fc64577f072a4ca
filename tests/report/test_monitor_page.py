"""The monitor page: every piece renders, says what holds and why, and an empty history says how to get one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.samples import answers_in, explained, store_with, study_in
from report.test_look import seen

from costlib.portfolio.watch import look, looks
from costlib.report.monitor_page import MonitorPage, monitor_page
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.streams_chart import Stream
from costlib.store import Store
from costlib.study import load_study


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> MonitorPage:
    """Two looks: at the first every answer is right, before the second the model answers half of the items anew."""
    root = tmp_path_factory.mktemp("monitor")
    store, file = store_with(root / "store"), study_in(root)
    answers_in(store, {"bf16": 40, "nf4": 40})
    assert look(load_study(file), store, ask=False).holds
    answers_in(store, {"bf16": 20, "nf4": 20}, day=2)
    assert not look(load_study(file), store, ask=False).holds
    return monitor_page(str(file), str(store.root))


def pieces(page: MonitorPage) -> list[Any]:
    return [
        page.opening(), page.notes(), page.decisions_heading(), page.decisions_table(), page.streams_heading(),
        page.streams_chart(), page.streams_table(), page.looks_table(),
    ]  # fmt: skip


def test_the_page_says_what_no_longer_holds_and_shows_its_numbers(page: MonitorPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    explained(page.ledger, html)
    assert "Order data extraction: the decision no longer holds." in page.answer
    assert "Drift alarm: Order data extraction" in html
    assert "drift alarm: within 40 items of order_data, with a mean score of 50.0%" in html
    (stream,) = page.streams
    row = next(row for row in page.rows if row["n"] is not None)
    assert stream.capital[-1] == pytest.approx(row["e_value"]) and stream.evidence >= 40 == 1 / row["alpha"]
    assert (stream.values.sum(), len(stream.values), row["floor"]) == (20, 40, 0.9)
    assert page.close().facts["complete"] and len(page.close().facts["runs"]) == 2
    assert html.count("Every decision holds.") == 1  # what the first look said


def test_verdicts_that_are_unknown_are_counted_apart(page: MonitorPage) -> None:
    rows = [{**page.rows[0], "workload": name, "holds": holds} for name, holds in (("a", True), ("b", None))]
    shown = MonitorPage("about", study=page.study, rows=rows, history=page.history, streams=[])
    shown.opening()
    assert shown.answer == "Every decision holds, but b cannot be judged."
    assert "watched by a stream" in shown.streams_heading()._repr_html_()


def test_a_stream_without_a_floor_has_no_evidence() -> None:
    stream = Stream("a", np.array([1.0, 0.0]), None, 0.05, "measured", "look 1")
    assert stream.evidence == 1


def test_without_a_look_the_page_says_how_to_take_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    empty = monitor_page(str(study_in(tmp_path)), str(store.root))
    html = "".join(piece._repr_html_() for piece in pieces(empty))
    assert empty.answer == "No look at this study is stored yet: costlib monitor takes one, and keeps it."
    assert "No decision is watched yet" in html and looks(empty.study, store).empty
    assert empty.close().facts["complete"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: MonitorPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("monitor", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
