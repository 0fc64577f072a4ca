"""Asks a model every item of its tasks, keeps each answer, and asks nothing twice.

Answers lie in the store (table `answers`), found again by the hash of the question: a second run, a longer task file or
a killed run goes on with the items that have no answer yet. Scores are made from answers and labels when they are read,
so a corrected label costs nothing. An item without an answer is a failed row with its reason, never a smaller n.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from costlib.environment import default_device, describe
from costlib.errors import bad
from costlib.isolate import Unsupported, run_isolated
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.progress import Progress, Step, silent
from costlib.quality.tasks.items import Item, Task, read_task
from costlib.quality.tasks.metrics import score_answer
from costlib.quality.tasks.scores import task_scores
from costlib.store import Store, new_id
from costlib.study import TaskSpec
from costlib.tables import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

    from costlib.quality.tasks.endpoint import Endpoint

SERVER = "server"
_TARGET = "costlib.quality.tasks.local:answer"


def answer_tasks(
    model: str,
    precisions: str | Iterable[str],
    tasks: Sequence[Task],
    *,
    store: Store | Path | str | None = None,
    device: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    timeout_s: float = 3600.0,
) -> pd.DataFrame:
    """Answer every item of `tasks` with a local model at each precision, each in a child process of its own.

    Returns one ANSWERS row per precision, task and item. Answers that the store holds for the same question, model,
    precision and environment are not asked again unless `fresh`. `timeout_s` bounds a precision on a task.

    Raises `InputError` for an unknown model or precision, a `random:` model, two tasks of one name, a task of stored
    judgements, or a store that cannot be written. A child that fails leaves failed rows with its reason.
    """
    device = device or default_device()
    names = list(dict.fromkeys([precisions] if isinstance(precisions, str) else precisions))
    reference = parse(model)
    if reference.kind == "random":
        raise bad("model", model, "a model with trained weights (answers of random weights mean nothing)")
    static = is_static(reference)
    for name in names if not static else ():
        with suppress(Unsupported):  # becomes rows
            check_device(known_precision(name), device)
    place = _checked(tasks, store)
    learns = static or is_encoder(reference)
    environment, fingerprint = describe(device)
    rows: list[dict[str, Any]] = []
    tell = progress or silent
    stored = place.read(ANSWERS).frame
    for task in tasks:
        for name in names:
            who = {"model": model, "precision": name, "engine": "eager", "device": environment["device"]}
            known = {} if fresh else _known(stored, task, who, fingerprint)
            questions = {item.id: task.question_sha256(item, learns=learns) for item in task.items}
            missing = [item for item in task.items if questions[item.id] not in known]
            made: list[dict[str, Any]] = []
            if missing:
                made = _ask_child(task, missing, who, questions, device, tell, timeout_s)
                place.write(ANSWERS, _frame(made), made[0]["run_id"])
            rows += _in_order(task, questions, known, made)
    return ANSWERS.validate(_frame(rows))


def ask_endpoint(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    *,
    store: Store | Path | str | None = None,
    max_usd: Decimal | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Answer every item of `tasks` through an OpenAI-compatible endpoint; `max_usd` caps what new answers may cost.

    Returns one ANSWERS row per task and item. What was paid for is on disk before it is used, and never asked again.
    Raises `InputError` for bad input; an item the endpoint did not answer is a failed row with its reason.
    """
    from urllib.parse import urlsplit

    from costlib.quality.tasks.bounds import Purse
    from costlib.quality.tasks.endpoint import Ask, ask_all

    place = _checked(tasks, store)
    who = {"model": f"{endpoint.model}@{urlsplit(endpoint.url).netloc}", "precision": None}
    who |= {"engine": SERVER, "device": SERVER}
    unsupported = [task.name for task in tasks if task.kind == "retrieval"]
    if unsupported:
        raise bad("task", unsupported[0], "a task that is answered by text (retrieval needs an embedding model)")
    environment, fingerprint = describe("cpu")
    purse, stored = Purse(max_usd), place.read(ANSWERS).frame
    rows: list[dict[str, Any]] = []
    for task in tasks:
        questions = {item.id: task.question_sha256(item) for item in task.items}
        known = _known(stored, task, who, None)
        missing = [item for item in task.items if questions[item.id] not in known]
        stop = tuple(_stops(task))
        asks = [Ask(item.id, task.rendered(item), task.max_tokens, stop=stop) for item in missing]
        made: list[dict[str, Any]] = []
        if asks:
            journal = place.root / "paid" / f"{task.name}.jsonl"
            journal.parent.mkdir(parents=True, exist_ok=True)
            replies = ask_all(endpoint, asks, journal=journal, max_usd=purse, progress=progress)
            started, run = _now(), new_id()
            for item, reply in zip(missing, replies, strict=True):
                found: dict[str, Any] = {
                    "text": reply.text,
                    "detail": {},
                    "input_tokens": reply.input_tokens,
                    "output_tokens": reply.output_tokens,
                    "seconds": reply.seconds,
                    "usd": None if reply.usd is None else float(reply.usd),
                }
                row = _row(task, item, who, questions[item.id], run, started, found, reply.failure)
                made.append(row | {"fingerprint": fingerprint, "environment": json.dumps(environment, sort_keys=True)})
            place.write(ANSWERS, _frame(made), run)
        rows += _in_order(task, questions, known, made)
    return ANSWERS.validate(_frame(rows))


def judged(task: Task) -> pd.DataFrame:
    """Stored judgements of pairs as ANSWERS rows of the model each item names first."""
    environment, fingerprint = describe("cpu")
    started, run = _now(), new_id()
    rows = []
    for item in task.items:
        who = {"model": item.choices[0], "precision": None, "engine": SERVER, "device": SERVER}
        found = {"text": item.expected, "detail": {"against": item.choices[1]}}
        row = _row(task, item, who, task.question_sha256(item), run, started, found, None)
        rows.append(row | {"fingerprint": fingerprint, "environment": json.dumps(environment, sort_keys=True)})
    return ANSWERS.validate(_frame(rows))


def stored_answers(store: Store | Path | str | None = None) -> pd.DataFrame:
    """The newest stored answer of each task, item, model, precision and engine; oldest run first."""
    found = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    ordered = found.sort_values("started_at", kind="stable")
    key = ["task", "item", "model", "precision", "engine"]
    return ordered.drop_duplicates(key, keep="last").reset_index(drop=True)


def task_of(spec: TaskSpec) -> Task:
    """The task a study's entry names; raises `InputError` as `read_task`."""
    settings = {name: getattr(spec, name) for name in ("kind", "prompt", "shots", "max_tokens", "chat", "limit")}
    return read_task(spec.file, margin=spec.quality_gate, **settings)


def study_answers(spec: TaskSpec, store: Store | Path | str | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """ANSWERS stored for a study's task, and by precision how many items have no stored answer.

    Answers of any machine count, the newest of each question. A precision with items missing has no rows.
    """
    task, questions = _questions(spec)
    stored = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    rows: list[dict[str, Any]] = []
    missing = {}
    for name in spec.precision:
        known = _known(stored, task, {"model": spec.model, "precision": name, "engine": "eager"}, None)
        missing[name] = sum(question not in known for question in questions.values())
        rows += _in_order(task, questions, known, ()) if not missing[name] else []
    return ANSWERS.validate(_frame(rows)), missing


def study_stream(spec: TaskSpec, precision: str, store: Store | None = None) -> tuple[pd.DataFrame, int]:
    """ANSWERS of a study's task at one precision in the order the items were first answered, and how many have none.

    An item answered again counts once, with its newest answer, at its first place; `started_at` says when that was.
    """
    task, questions = _questions(spec)
    stored = (store or Store()).read(ANSWERS).frame
    who = {"model": spec.model, "precision": precision, "engine": "eager"}
    known, first = _known(stored, task, who, None), _known(stored, task, who, None, keep="first")
    answered = [item for item in task.items if questions[item.id] in known]
    rows = [
        {**known[questions[item.id]], "item": item.id, **_labels(task, item, known[questions[item.id]])}
        | {"started_at": first[questions[item.id]]["started_at"]}
        for item in answered
    ]
    frame = ANSWERS.validate(_frame(rows)).sort_values("started_at", kind="stable", ignore_index=True)
    return frame, len(task.items) - len(answered)


def study_scores(spec: TaskSpec, answers: pd.DataFrame) -> pd.DataFrame:
    """TASK_SCORES of the answers of a study's task, compared with its baseline precision."""
    return task_scores(answers, baseline=(spec.model, spec.reference), margin=spec.quality_gate)


def _questions(spec: TaskSpec) -> tuple[Task, dict[str, str]]:
    """A study's task, and the hash of each item's question."""
    task, reference = task_of(spec), parse(spec.model)
    learns = is_static(reference) or is_encoder(reference)
    return task, {item.id: task.question_sha256(item, learns=learns) for item in task.items}


def _checked(tasks: Sequence[Task], store: Store | Path | str | None) -> Store:
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise bad("task", ", ".join(names), "tasks of different names")
    for task in tasks:
        if task.kind == "preference":
            raise bad("task", task.name, "a task that a model answers (preference holds judgements already made)")
    place = store if isinstance(store, Store) else Store(store)
    place.check_writable()
    return place


def _stops(task: Task) -> list[str]:
    """Where an answer ends: after examples, at the blank line that separates them."""
    return ["\n\n"] if task.shots else []


def _ask_child(
    task: Task,
    items: Sequence[Item],
    who: dict[str, Any],
    questions: dict[str, str],
    device: str,
    progress: Progress,
    timeout_s: float,
) -> list[dict[str, Any]]:
    """A row for each item, answered by one child or failed as it failed."""
    label = f"{task.name} on {who['model']} at {who['precision']}"

    def show(text: str) -> None:
        progress(Step(f"{label}: {text}", stage="tasks", done=0, total=1))

    show(f"{len(items)} items")
    started, run = _now(), new_id()
    arguments = {
        "model": who["model"],
        "precision": who["precision"],
        "device": device,
        "kind": task.kind,
        "questions": [{"prompt": task.rendered(i), "input": i.input, "choices": list(i.choices)} for i in items],
        "train": [{"input": one.input, "expected": one.expected} for one in task.train],
        "max_tokens": task.max_tokens,
        "stop": _stops(task),
        "chat": task.chat,
    }
    outcome = run_isolated(_TARGET, arguments, timeout_s=timeout_s, on_progress=show)
    found = outcome.value or {}
    environment, fingerprint = (found["environment"], found["fingerprint"]) if found else describe(device)
    common = {"fingerprint": fingerprint, "environment": json.dumps(environment, sort_keys=True)}
    common["weights_note"] = found.get("weights_note")
    failure = None if found else f"{outcome.status}: {outcome.reason}"
    answers = found.get("answers") or [{"text": None, "detail": {}}] * len(items)
    return [
        _row(task, item, who, questions[item.id], run, started, one, failure) | common
        for item, one in zip(items, answers, strict=True)
    ]


def _row(
    task: Task,
    item: Item,
    who: dict[str, Any],
    question: str,
    run: str,
    started: str,
    found: dict[str, Any],
    failure: str | None,
) -> dict[str, Any]:
    row = {
        **who,
        "run_id": run,
        "started_at": started,
        "task": task.name,
        "item": item.id,
        "question_sha256": question,
        "status": "ok" if found["text"] is not None else "failed",
        "reason": failure,
        "kind": "measured",
        "answer": found["text"],
        "detail": json.dumps(found["detail"], sort_keys=True),
        **{name: found.get(name) for name in ("input_tokens", "output_tokens", "usd", "seconds")},
    }
    return row | _labels(task, item, row)


def _labels(task: Task, item: Item, row: dict[str, Any]) -> dict[str, Any]:
    """The columns that come from the label: an answer is scored again when its label was corrected."""
    scored = None if row["answer"] is None else score_answer(task.kind, item, str(row["answer"]))
    return {
        "task_kind": task.kind,
        "label_sha256": item.label_sha256,
        "score": None if scored is None else scored.score,
        "detail": json.dumps({**json.loads(row["detail"]), **(scored.detail if scored else {})}, sort_keys=True),
        "cluster": item.cluster,
        "weight": item.weight,
        "cost_of_miss": item.cost_of_miss,
    }


def _known(
    stored: pd.DataFrame,
    task: Task,
    who: dict[str, Any],
    fingerprint: str | None,
    *,
    keep: Literal["first", "last"] = "last",
) -> dict[str, dict[str, Any]]:
    """ANSWERS rows by question hash, the newest or the first of each; of one environment with `fingerprint`."""
    frame = stored[(stored["status"] == "ok") & (stored["task"] == task.name)].sort_values("started_at", kind="stable")
    for name in ("model", "precision", "engine"):
        frame = frame[frame[name].isna() if who[name] is None else frame[name] == who[name]]
    if fingerprint is not None:
        frame = frame[frame["fingerprint"] == fingerprint]
    frame = frame.drop_duplicates("question_sha256", keep=keep)
    return {str(row["question_sha256"]): {str(k): v for k, v in row.items()} for row in frame.to_dict("records")}


def _in_order(
    task: Task, questions: dict[str, str], known: dict[str, dict[str, Any]], made: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row per item, in the task's order; stored answers get the labels of today."""
    new = {row["item"]: row for row in made}
    rows = []
    for item in task.items:
        row = new.get(item.id)
        if row is None:
            old = known[questions[item.id]]
            row = {**old, "item": item.id, **_labels(task, item, old)}
        rows.append(row)
    return rows


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in ANSWERS.names})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
