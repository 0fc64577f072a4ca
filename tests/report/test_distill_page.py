"""The distillation page: every piece renders, its money is the cost room's, and it can say that nothing is there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, study_in
from report.test_look import seen

from costlib.cost.distillation import price_distillation
from costlib.errors import InputError
from costlib.prices.hardware import measured_rate
from costlib.report.distill_page import DistillPage, distill_page
from costlib.report.ledger import Ledger
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.store import Store
from costlib.tables import DISTILLATIONS

DEVICE = "CPU, 2 cores (test)"


def row(student: str, run_id: str, **changes: Any) -> dict[str, Any]:
    """A student that keeps 95 % at 100 times the speed."""
    return {
        "run_id": run_id, "started_at": "2026-11-25T10:00:00+00:00", "teacher": "demo:minilm", "student": student,
        "recipe": json.dumps({"width": 256}), "task": "tickets.jsonl", "device": DEVICE, "status": "ok",
        "kind": "measured", "metric": "accuracy", "items": 1000, "training_items": 2000, "leaked_items": 0,
        "teacher_score": 0.95, "teacher_score_low": 0.94, "teacher_score_high": 0.96, "student_score": 0.9025,
        "student_score_low": 0.89, "student_score_high": 0.91, "retention": 0.95, "retention_low": 0.94,
        "retention_high": 0.96, "speedup": 100.0, "speedup_low": 90.0, "speedup_high": 110.0,
        "teacher_items_per_s": 400.0, "teacher_items_per_s_low": 390.0, "teacher_items_per_s_high": 410.0,
        "student_items_per_s": 40_000.0, "student_items_per_s_low": 39_000.0, "student_items_per_s_high": 41_000.0,
        "tokens_per_item": 12.0, "speed_basis": "256 documents, from text to class",
        "speed_reason": "speed is over rounds of one process", "teacher_bytes": 90_000_000,
        "student_bytes": 31_000_000, "teacher_tokens": 91_000, "training_s": 15.0, "steps": 0,
        "steps_note": "made from the teacher's vocabulary; no text was read", "fingerprint": "f" * 16,
        "environment": ENVIRONMENT,
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> DistillPage:
    root = tmp_path_factory.mktemp("distill")
    store = Store(root / "store")
    rows = [
        row("static", "a"),
        row("layers", "b", retention=0.99, retention_high=1.01, speedup=1.9, speedup_low=1.8, speedup_high=2.0,
            student_items_per_s=760.0, student_items_per_s_low=700.0, student_items_per_s_high=800.0),
        row("static", "c", recipe=json.dumps({"width": 64}), retention=0.85, retention_low=0.84, retention_high=0.86),
        row("soft", "d", status="oom", reason="killed", retention=None, speedup=None),
    ]  # fmt: skip
    for one in rows:
        store.write(DISTILLATIONS, pd.DataFrame([one]), one["run_id"])
    return distill_page(str(study_in(root)), str(store.root), 1e8)


def pieces(page: DistillPage) -> list[Any]:
    return [
        page.opening(), page.kept_heading(), page.kept_chart(), page.kept_table(), page.remarks(),
        page.money_heading(), page.money_table(),
    ]  # fmt: skip


def test_every_piece_renders_and_lists_its_numbers(page: DistillPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    rows = {entry["id"]: entry for entry in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    for entry in rows.values():
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry
    assert "static table (width 64)" in html and "failed (oom): killed" in html


def test_the_money_is_the_cost_rooms(page: DistillPage) -> None:
    people = page.study.assume("human_usd_per_hour")
    own = price_distillation(
        row("static", "a"), measured_rate(DEVICE).usd_per_hour, 1e8, people_hours=40, usd_per_people_hour=people,
        retrain_every_weeks=13, retraining_people_hours=20,
    )  # fmt: skip
    assert page.money["a"] == own and own.effort_usd > 40 * people
    saving = float(measured_rate(DEVICE).usd_per_hour) / 3600 * (1 / 400 - 1 / 40_000)
    assert own.largest_usd_per_miss == pytest.approx(saving / (0.95 - 0.9025))
    assert "never pays for itself at this volume" in str(page.opening())
    assert "At this volume no student pays for itself" in str(page.money_heading())
    busy = replace(page, requests_per_week=1e13, ledger=Ledger())
    assert "pays for itself, as long as an answer it loses costs less than" in str(busy.opening())
    hour = float(measured_rate(DEVICE).usd_per_hour)

    def saved(seconds: float) -> float:
        return hour / 3600 * seconds * 1e13

    weeks, effort = busy.weeks(busy.done[0]), own.effort_usd
    assert busy.done[0]["student"] == "layers" and weeks.value == pytest.approx(effort / saved(1 / 400 - 1 / 760))
    # a speed-up of 1.8 to 2 saves 1 - 1/1.8 to 1 - 1/2 of the teacher on an item
    assert (weeks.low, weeks.high) == pytest.approx([effort / saved(share / 400) for share in (1 / 2, 1 - 1 / 1.8)])


def test_a_student_that_may_be_slower_is_not_said_to_pay(page: DistillPage) -> None:
    unsure = [row("static", "a", speedup=1.4, speedup_low=0.9, speedup_high=2.0, student_items_per_s=560.0)]
    doubt = replace(page, rows=unsure, requests_per_week=1e13, ledger=Ledger())
    assert "may pay for itself, if it is as fast as that, as long as" in str(doubt.opening())
    assert doubt.kept_chart().finding == "No student is measurably faster than its teacher"
    assert page.kept_chart().finding == "Some students trade score for speed"
    assert "no student surely pays for itself" in str(doubt.money_heading())
    weeks = doubt.weeks(doubt.done[0])
    assert weeks.value and weeks.low is None and weeks.reason == "none at the low end of the speed-up"


def test_an_empty_store_says_what_to_run_and_a_bad_volume_is_refused(tmp_path: Path) -> None:
    study = str(study_in(tmp_path))
    empty = distill_page(study, str(tmp_path / "none"))
    html = "".join(piece._repr_html_() for piece in pieces(empty))
    assert "Nothing has been distilled" in html and empty.close().facts["complete"]
    with pytest.raises(InputError, match="requests_per_week is 0"):
        distill_page(study, "", 0)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: DistillPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("distillation", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
