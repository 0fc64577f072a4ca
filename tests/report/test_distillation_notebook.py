"""The distillation notebook: its money is that of the cost functions, and an empty store says what to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, Shown, run_notebook, study_in

import costlib as cl
from costlib.cost.distillation import price_distillation
from costlib.prices.hardware import measured_rate
from costlib.store import Store
from costlib.study import load_study
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


SLOW = {
    "retention": 0.99, "retention_high": 1.01, "speedup": 1.9, "speedup_low": 1.8, "speedup_high": 2.0,
    "student_items_per_s": 760.0, "student_items_per_s_low": 700.0, "student_items_per_s_high": 800.0,
}  # fmt: skip
NARROW = {"recipe": json.dumps({"width": 64}), "retention": 0.85, "retention_low": 0.84, "retention_high": 0.86}
ROWS = (
    row("static", "a"), row("layers", "b", **SLOW), row("static", "c", **NARROW),
    row("soft", "d", status="oom", reason="killed", retention=None, speedup=None),
)  # fmt: skip


def stored(folder: Path, *rows: dict[str, Any]) -> str:
    store = Store(folder / "store")
    for one in rows:
        store.write(DISTILLATIONS, pd.DataFrame([one]), one["run_id"])
    return str(store.root)


def shown_of(folder: Path, *rows: dict[str, Any], volume: float = 1e8) -> Shown:
    study, store = str(study_in(folder)), stored(folder, *rows)
    return run_notebook("distillation", study=study, store=store, requests_per_week=volume)


def test_every_student_is_shown_and_one_that_fails_says_why(tmp_path: Path) -> None:
    shown = shown_of(tmp_path, *ROWS)
    assert "static table (width 64)" in shown.html and "failed (oom): killed" in shown.html
    assert "Some students trade score for speed" in shown.html
    assert "never pays for itself at this volume" in shown.facts["answer"]
    assert "At this volume no student pays for itself" in shown.html
    for entry in shown.facts["ledger"]:
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry


def test_the_money_is_that_of_the_cost_functions(tmp_path: Path) -> None:
    people = load_study("demo").assume("human_usd_per_hour")
    hour = float(measured_rate(DEVICE).usd_per_hour)
    given = {"people_hours": 40, "usd_per_people_hour": people, "retrain_every_weeks": 13}
    own = price_distillation(ROWS[0], hour, 1e8, retraining_people_hours=20, **given)
    assert own.largest_usd_per_miss == pytest.approx(hour / 3600 * (1 / 400 - 1 / 40_000) / (0.95 - 0.9025))
    frame = cl.students(stored(tmp_path, *ROWS), requests_per_week=1e13, **given)
    assert frame["run_id"].tolist() == ["b", "a", "c", "d"] and frame["surely_pays"].tolist() == [True] * 3 + [False]
    found = frame.set_index("run_id")
    assert found.loc["a", "effort_usd"] == pytest.approx(own.effort_usd) and own.effort_usd > 40 * people
    assert found.loc["a", "retraining_usd"] == pytest.approx(own.retraining_usd)

    def weeks(share: float) -> float:
        """To pay back where `share` of the teacher's time on an item is saved."""
        return float(found.loc["b", "effort_usd"]) / (hour / 3600 * share / 400 * 1e13)

    ends = [float(found.loc["b", f"payback_weeks{end}"]) for end in ("", "_low", "_high")]
    # a speed-up of 1.8 to 2 saves 1 - 1/1.8 to 1 - 1/2 of the teacher on an item
    assert ends == pytest.approx([weeks(1 - 400 / 760), weeks(1 / 2), weeks(1 - 1 / 1.8)])


def test_a_student_that_may_be_slower_is_not_said_to_pay(tmp_path: Path) -> None:
    unsure = row("static", "a", speedup=1.4, speedup_low=0.9, speedup_high=2.0, student_items_per_s=560.0)
    shown = shown_of(tmp_path, unsure, volume=1e13)
    assert "may pay for itself, if it is as fast as that, as long as" in shown.facts["answer"]
    assert "No student is measurably faster than its teacher" in shown.html
    assert "no student surely pays for itself" in shown.html
    weeks = next(entry for entry in shown.facts["ledger"] if "Paid back for good" in entry["what"])
    assert weeks["value"] and weeks["low"] is None and weeks["reason"] == "none at the low end of the speed-up"


def test_an_empty_store_says_what_to_run_and_a_bad_volume_is_refused(tmp_path: Path) -> None:
    shown = shown_of(tmp_path)
    assert "Nothing has been distilled" in shown.facts["answer"] and shown.facts["complete"]
    with pytest.raises(cl.InputError, match="requests_per_week is 0"):
        cl.students(tmp_path / "store", requests_per_week=0)
