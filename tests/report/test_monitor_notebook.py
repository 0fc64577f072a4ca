"""The monitor notebook says what holds and why, and an empty history says how to get one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from report.samples import answers_in, run_notebook, store_with, study_in

import costlib as cl
from costlib.store import Store


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """Two looks: at the first every answer is right, before the second the model answers half of the items anew."""
    root = tmp_path_factory.mktemp("monitor")
    store, file = store_with(root / "store"), study_in(root)
    answers_in(store, {"bf16": 40, "nf4": 40})
    assert cl.monitor(file, store=store, no_answer=True).holds
    answers_in(store, {"bf16": 20, "nf4": 20}, day=2)
    assert not cl.monitor(file, store=store, no_answer=True).holds
    return file, store


def test_the_page_says_what_no_longer_holds_and_shows_its_numbers(fallen: tuple[Path, Store]) -> None:
    file, store = fallen
    shown = run_notebook("monitor", study=str(file), store=str(store.root))
    assert shown.facts["answer"] == "Order data extraction: the decision no longer holds."
    assert "Drift alarm: Order data extraction" in shown.html
    assert "drift alarm: within 40 items of order_data, with a mean score of 50.0%" in shown.html
    assert len(shown.facts["runs"]) == 2 and shown.html.count("Every decision holds.") == 1  # what the first look said
    found = {row["what"]: row for row in shown.facts["ledger"]}
    score = found["Order data extraction: order_data · Score"]
    assert (score["value"], score["kind"]) == (0.5, "measured") and "valid at any look" in score["reason"]


def test_the_path_of_a_stream_ends_at_its_row(fallen: tuple[Path, Store]) -> None:
    looks = cl.looks(*fallen)
    (row,), path = looks.streams.to_dict("records"), looks.paths
    assert path["score"].iloc[-1] == row["score"] == 0.5 and len(path) == row["items"] == 40
    assert path["e_value"].iloc[-1] == pytest.approx(looks.rows["e_value"].dropna().iloc[0])
    assert path["e_value"].max() >= row["alarm_from"] == 40
    assert looks.history[["held_count", "watched_count"]].diff().iloc[-1].tolist() == [-1, 0]
    assert "2 looks" in repr(looks)


def test_verdicts_that_are_unknown_are_counted_apart(fallen: tuple[Path, Store]) -> None:
    file, store = fallen
    rows = cl.looks(file, store).rows
    some = rows[rows["workload"].notna()].iloc[:2].assign(workload=["a", "b"], holds=[True, pd.NA], n=None)
    looks = cl.looks(file, store)
    looks = type(looks)(looks.study, store, some)
    assert looks.decisions["verdict"].tolist() == ["unknown", "yes"] and not looks.holds
    assert looks.streams.empty and looks.paths.empty


def test_without_a_look_the_page_says_how_to_take_one(tmp_path: Path) -> None:
    shown = run_notebook("monitor", study=str(study_in(tmp_path)), store=str(tmp_path / "store"))
    assert shown.facts["answer"] == "No look at this study is stored yet: costlib monitor takes one, and keeps it."
    assert "No decision is watched yet" in shown.html and shown.facts["complete"]
