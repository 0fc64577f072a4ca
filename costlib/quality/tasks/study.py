"""What a store holds of the answers to a study's task; nothing is asked here.

Answers of any machine count, the newest of each question: what a plan, a page or a watch is about is the model's
answers, wherever it ran.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.measure.campaign import Row
from costlib.models.load import is_encoder
from costlib.models.reference import parse
from costlib.quality.tasks.answers import known_answers, labelled
from costlib.quality.tasks.items import Task, as_text, read_task
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
        made = [row | {"missing_count": 0, "source": f"run {newest[row['precision']]}"}
                for row in study_scores(spec, answers).to_dict("records")]  # fmt: skip
        made += [{"task": task_of(spec).name, "model": spec.model, "precision": name, "status": "missing",
                  "missing_count": count, "reason": f"{count} items are not answered yet"}
                 for name, count in missing.items() if count]  # fmt: skip
        rows += [row | {"is_baseline": row["precision"] == spec.reference} for row in made]
    numbers = [c.name for c in TASK_SCORES.columns if c.type in ("number", "integer")]
    frame = pd.DataFrame(rows, columns=[*TASK_SCORES.names, "missing_count", "is_baseline", "source"])
    why = frame["reason"].where(frame["reason"].notna(), "the baseline itself").where(frame["difference"].isna(), None)
    return frame.astype(dict.fromkeys(numbers, float) | {"is_baseline": bool}).assign(
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

    names = ["variant", "item", "question", "expected", "baseline_answer", "answer", "score", "baseline_score"]
    rows: list[dict[Any, Any]] = []
    for spec in (study if isinstance(study, Study) else load_study(study)).tasks:
        answers, task = study_answers(spec, store or None)[0], task_of(spec)
        asked = [{"item": one.id, "question": one.input, "expected": as_text(one.expected)} for one in task.items]
        before = answers.loc[answers["precision"] == spec.reference, ["item", "answer", "score"]]
        before = before.set_index("item").add_prefix("baseline_")
        both = answers.merge(before, on="item").merge(pd.DataFrame(asked), on="item")
        both["variant"] = both["precision"].astype(str) + f" on {task.name}"
        rows += both.loc[both["score"] < both["baseline_score"], names].to_dict("records")
    return pd.DataFrame(rows, columns=names)


def _asked(spec: TaskSpec, store: Store | Path | str | None) -> tuple[Task, dict[str, str], pd.DataFrame]:
    """A study's task, the hash of each item's question, and all answers of a store."""
    task = task_of(spec)
    stored = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    return task, task.questions(learns=is_encoder(parse(spec.model))), stored


def _who(spec: TaskSpec, precision: str) -> dict[str, str]:
    return {"model": spec.model, "precision": precision, "engine": "eager"}
