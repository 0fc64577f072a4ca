"""Tasks in a study: measured success rates, the gate, and what is not answered yet."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.plan import make_plan
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.prices.book import load_book
from costlib.quality.tasks.study import task_of
from costlib.stats.paired import wilson
from costlib.store import Store
from costlib.study import Study
from costlib.tables import ANSWERS

TASKS = """\
tasks:
  - {file: echo.jsonl, model: "demo:gemma-3-270m", precision: [bf16, int8], workload: private, kind: exact}
workloads: workloads.csv
"""
OLD = ("workloads: workloads.csv\n", TASKS)


@pytest.fixture(autouse=True)
def echo(tmp_path: Path) -> Path:
    file = tmp_path / "echo.jsonl"
    file.write_text("".join(json.dumps({"input": f"say {i}", "expected": str(i)}) + "\n" for i in range(400)))
    return file


def answered(study: Study, right: dict[str, int], skip: int = 0) -> None:
    """Store answers to the study's task, so many of them right at each precision."""
    task = task_of(study.tasks[0])
    for precision, count in right.items():
        rows = [
            {
                "run_id": precision, "started_at": "2026-11-02T00:00:00+00:00", "task": task.name,
                "task_kind": task.kind,
                "item": item.id, "question_sha256": task.question_sha256(item), "label_sha256": item.label_sha256,
                "model": "demo:gemma-3-270m", "precision": precision, "engine": "eager", "device": "CPU",
                "status": "ok", "kind": "measured", "answer": item.expected if i < count else "no", "score": 0.0,
                "detail": "{}", "weight": 1.0, "fingerprint": "f", "environment": "{}",
            }
            for i, item in enumerate(task.items[skip:])
        ]  # fmt: skip
        frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in ANSWERS.names})
        Store().write(ANSWERS, ANSWERS.validate(frame), precision)


def tiny_private(study: Study):
    workloads = load_workloads(study)
    found = offers(study, workloads, load_scores(study), supplies(study), load_book())
    return next(o for row in found for o in row if (o.workload.workload, o.supply.name) == ("private", "tiny"))


def test_a_measured_success_rate_takes_the_place_of_an_assumed_one(make_study, store_holds) -> None:
    store_holds({}, {})
    study = make_study(OLD)
    answered(study, {"bf16": 380, "int8": 380})
    offer = tiny_private(study)
    assert offer.eligible
    assert (offer.score.success_rate, offer.score.kind, offer.score.items) == (0.95, "measured", 400)
    assert (offer.score.low, offer.score.high) == pytest.approx(wilson(380, 400))
    assert offer.score.source == "400 items of task echo, answered 2026-11-02"


def test_a_variant_beyond_the_gate_is_shown_and_not_chosen(make_study, store_holds) -> None:
    store_holds({}, {})
    study = make_study(OLD)
    answered(study, {"bf16": 400, "int8": 370})
    offer = tiny_private(study)
    assert list(offer.failed) == ["quality gate"]
    assert offer.failed["quality gate"].startswith("task echo: loses 7.5 points, perhaps ")
    assert offer.score.success_rate == 0.925
    matrix = make_plan(study).alternatives.set_index(["workload", "option"])
    cell = matrix.loc[("private", "tiny")]
    assert not cell["eligible"] and "quality gate" in cell["reason"]
    assert (cell["success_items"], cell["success_rate_date"]) == (400, "2026-11-02")


@pytest.mark.parametrize(("skip", "missing"), [(0, 400), (390, 390)])
def test_what_is_not_answered_yet_has_no_result(make_study, store_holds, skip, missing) -> None:
    store_holds({}, {})
    study = make_study(OLD)
    if skip:
        answered(study, {"int8": 0}, skip=skip)
    assert tiny_private(study).failed == {"quality result": f"{missing} items of task echo not answered yet"}


def test_a_task_without_a_workload_gates_the_option_everywhere(make_study, store_holds) -> None:
    store_holds({}, {})
    study = make_study((OLD[0], TASKS.replace(" workload: private,", "")))
    answered(study, {"bf16": 400, "int8": 0})
    assert "quality gate" in tiny_private(study).failed
    supply = next(one for one in supplies(study) if one.name == "tiny")
    assert "task echo" in supply.failed["quality gate"]


def test_the_matrix_shows_empty_cells(make_study, store_holds) -> None:
    store_holds({}, {})
    matrix = make_plan(make_study()).alternatives.set_index(["workload", "option"])
    assert len(matrix) == 4 * 6
    empty = matrix.loc[("legal", "open")]
    assert empty.isna()[["success_rate", "success_rate_date"]].all() and "quality result" in empty["reason"]
    assert matrix.loc[("tail", "small"), "success_rate"] == 0.98


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("file: echo.jsonl", "file: no.jsonl", "file is 'no.jsonl'"),
        ("workload: private", "workload: privat", "workload is 'privat'"),
        ("kind: exact", "kind: exactly", "exact"),
        ("kind: exact", "baseline: nf4, kind: exact", "one of the task's precisions, bf16, int8"),
        ("kind: exact", "kind: exact, quality_gate: 1", "quality_gate"),
    ],
)
def test_a_wrong_task_is_named_with_its_line(make_study, old, new, said) -> None:
    with pytest.raises(InputError, match=said) as error:
        load_workloads(make_study((OLD[0], TASKS.replace(old, new))))
    assert "study.yml:9" in str(error.value) or "study.yml:8" in str(error.value)
