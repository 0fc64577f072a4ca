"""What a store holds of the answers to a study's task; nothing is asked here.

Answers of any machine count, the newest of each question: what a plan, a page or a watch is about is the model's
answers, wherever it ran.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.models.load import is_encoder
from costlib.models.reference import parse
from costlib.quality.tasks.answers import Row, known_answers, labelled
from costlib.quality.tasks.file import read_task
from costlib.quality.tasks.items import Task, as_text
from costlib.quality.tasks.scores import task_scores
from costlib.store import Store
from costlib.study import Study, TaskSpec, load_study
from costlib.tables import ANSWERS, TASK_SCORES

if TYPE_CHECKING:
    import pandas as pd


def task_of(spec: TaskSpec) -> Task:
    """The task a study's entry names; raises `InputError` as `read_task`."""
    settings = {name: getattr(spec, name) for name in ("kind", "prompt", "shots", "max_tokens", "chat", "limit")}
    return read_task(spec.file, margin=spec.quality_gate, **settings)


def study_answers(spec: TaskSpec, store: Store | Path | str | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """ANSWERS stored for a study's task, and by precision how many items have no stored answer.

    A precision with items missing has no rows.
    """
    task, questions, stored = _asked(spec, store)
    rows: list[Row] = []
    missing = {}
    for name in spec.precision:
        known = known_answers(stored, task, _who(spec, name))
        missing[name] = sum(question not in known for question in questions.values())
        if not missing[name]:
            rows += [labelled(task, item, known[questions[item.id]]) for item in task.items]
    return ANSWERS.of(rows), missing


def study_stream(spec: TaskSpec, precision: str, store: Store | None = None) -> tuple[pd.DataFrame, int]:
    """ANSWERS of a study's task at one precision in the order the items were first answered, and how many have none.

    An item answered again counts once, with its newest answer, at its first place; `started_at` says when that was.
    """
    task, questions, stored = _asked(spec, store)
    newest, first = (known_answers(stored, task, _who(spec, precision), keep=keep) for keep in ("last", "first"))
    rows = [
        labelled(task, item, newest[asked]) | {"started_at": first[asked]["started_at"]}
        for item in task.items
        if (asked := questions[item.id]) in newest
    ]
    frame = ANSWERS.of(rows).sort_values("started_at", kind="stable", ignore_index=True)
    return frame, len(task.items) - len(rows)


def study_scores(spec: TaskSpec, answers: pd.DataFrame) -> pd.DataFrame:
    """TASK_SCORES of the answers of a study's task, compared with its baseline precision."""
    return task_scores(answers, baseline=(spec.model, spec.reference), margin=spec.quality_gate)


def task_results(study: Study | str, store: Store | str | None = None) -> pd.DataFrame:
    """How well each precision does each task of a study: one row per task and precision (columns: table `task_scores`).

    `variant` names both, `is_baseline` says what the others are compared with. A precision with items that nobody
    answered has status `missing`, and `missing_count` of them.

    Args:
        study: A study, or its name or path.
        store: A store or its folder [default: the default store].
    """
    import pandas as pd

    rows: list[dict[Any, Any]] = []
    for spec in (study if isinstance(study, Study) else load_study(study)).tasks:
        answers, missing = study_answers(spec, store or None)
        newest = answers.groupby("precision")["run_id"].last()
        for row in study_scores(spec, answers).to_dict("records"):
            rows.append({**row, "missing_count": 0, "source": f"run {newest[row['precision']]}"})
        for name, count in missing.items():
            if count:
                rows.append({"task": task_of(spec).name, "model": spec.model, "precision": name, "status": "missing"})
                rows[-1] |= {"missing_count": count, "reason": f"{count} items are not answered yet"}
        for row in rows:
            row.setdefault("is_baseline", row["precision"] == spec.reference)
    numbers = [c.name for c in TASK_SCORES.columns if c.type in ("number", "integer")]
    frame = pd.DataFrame(rows, columns=[*TASK_SCORES.names, "missing_count", "is_baseline", "source"])
    frame["is_baseline"] = frame["is_baseline"].astype(bool)
    why = frame["reason"].where(frame["reason"].notna(), "the baseline itself").where(frame["difference"].isna(), None)
    return frame.astype(dict.fromkeys(numbers, float)).assign(
        variant=frame["precision"].astype(str) + " on " + frame["task"].astype(str),
        **{f"{name}_reason": why for name in ("difference", "gained", "lost", "p_holm")},
    )


def worse_answers(study: Study | str, store: Store | str | None = None) -> pd.DataFrame:
    """Every item that a variant answers worse than its baseline: question, what is expected, and both answers.

    Args:
        study: A study, or its name or path.
        store: A store or its folder [default: the default store].
    """
    import pandas as pd

    rows = []
    for spec in (study if isinstance(study, Study) else load_study(study)).tasks:
        answers, task = study_answers(spec, store or None)[0], task_of(spec)
        items = {item.id: item for item in task.items}
        both = answers.merge(answers[answers["precision"] == spec.reference], on="item", suffixes=("", "_baseline"))
        for row in both[both["score"] < both["score_baseline"]].to_dict("records"):
            item = items[row["item"]]
            rows.append(
                {
                    "variant": f"{row['precision']} on {task.name}", "item": item.id, "question": str(item.input),
                    "expected": as_text(item.expected), "baseline_answer": row["answer_baseline"],
                    "answer": row["answer"], "score": row["score"], "baseline_score": row["score_baseline"],
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["variant", "item", "question", "expected", "baseline_answer", "answer", "score",
                                       "baseline_score"])  # fmt: skip


def _asked(spec: TaskSpec, store: Store | Path | str | None) -> tuple[Task, dict[str, str], pd.DataFrame]:
    """A study's task, the hash of each item's question, and all answers of a store."""
    task = task_of(spec)
    stored = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    return task, task.questions(learns=is_encoder(parse(spec.model))), stored


def _who(spec: TaskSpec, precision: str) -> dict[str, str]:
    return {"model": spec.model, "precision": precision, "engine": "eager"}
