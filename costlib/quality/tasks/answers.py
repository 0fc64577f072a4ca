"""Asks a model every item of its tasks, keeps each answer (table `answers`), and asks nothing twice.

Answers are found again by the hash of the question: a second run, a longer task file or a killed run goes on with the
items that have no answer yet. An item without an answer is a failed row with its reason, never a smaller n. A score is
made of answer and label whenever a row is read, so a corrected label costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from costlib.devices import resolve
from costlib.environment import default_device, describe
from costlib.errors import invalid_input
from costlib.isolate import Unsupported
from costlib.measure.campaign import Campaign, Row, records
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.progress import Progress
from costlib.quality.tasks.endpoint import Ask, Endpoint, Purse, ask_all
from costlib.quality.tasks.items import Item, Task
from costlib.quality.tasks.metrics import score_answer
from costlib.server import identity
from costlib.store import Store, new_id
from costlib.tables import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

_UNASKED: Row = {"text": None, "detail": {}}


def answer_tasks(
    model: str,
    precisions: str | Iterable[str],
    tasks: Sequence[Task],
    *,
    store: Store | Path | str | None = None,
    device: str | None = None,
    fresh: bool = False,
    time_budget_s: float = 3600.0,
    timeout_s: float = 3600.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Answer every item of `tasks` with a local model at each precision, each in a child process of its own.

    Returns one ANSWERS row per precision, task and item. Answers that the store holds for the same question, model,
    precision and environment are not asked again unless `fresh`. `timeout_s` bounds a precision on a task;
    `time_budget_s` ends it, once its model is loaded, with the answers it has, and a second call goes on from there.

    Raises `InputError` for an unknown model or precision, a `random:` model, two tasks of one name, a task of stored
    judgements, or a store that cannot be written. A child that fails leaves failed rows with its reason.
    """
    device = device or default_device()
    asked = [precisions] if isinstance(precisions, str) else precisions
    names = list(dict.fromkeys(resolve(name, model, device).name for name in asked))
    reference = parse(model)
    if reference.kind == "random":
        raise invalid_input("model", model, "a model with trained weights (answers of random weights mean nothing)")
    for name in names if not is_static(reference) else ():
        with suppress(Unsupported):  # becomes rows
            check_device(known_precision(name), device)
    _check(tasks)
    probe = Answers(
        models=[model], device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, tasks={task.name: task for task in tasks},
        questions={task.name: task.questions(learns=is_encoder(reference)) for task in tasks},
    )  # fmt: skip
    cases = [(task.name, name) for task in tasks for name in names]
    probe.run(cases)
    return probe.answer(ANSWERS.of([row for case in cases for row in probe.answers(case)]))


@dataclass(kw_only=True)
class Answers(Campaign[tuple[str, str]]):
    """Tasks at precisions: one child answers the items of a task that have no answer yet."""

    name, table, in_child, once = "tasks", ANSWERS, "costlib.quality.tasks.local:answer", True
    tasks: Mapping[str, Task]
    questions: Mapping[str, Mapping[str, str]]
    """The hash of what is asked, by task and item."""
    known: dict[tuple[str, str], dict[str, Row]] = field(default_factory=dict)
    """Stored answers by the hash of what was asked."""

    def label(self, case: tuple[str, str]) -> str:
        """The task, the model, its precision and how many items are asked."""
        return f"{case[0]} on {self.models[0]} at {case[1]}, {len(self._missing(case))} items"

    def columns(self, case: tuple[str, str]) -> Row:
        """Who answers."""
        return {"model": self.models[0], "precision": case[1], "engine": "eager"}

    def look_up(self, case: tuple[str, str]) -> list[Row]:
        """Answers by what was asked; with one of each item nothing is left to ask."""
        if not self.fresh:
            stored = self._known = self.kept.read(ANSWERS).frame if self._known is None else self._known
            self.known[case] = known_answers(stored, self.tasks[case[0]], self.columns(case), self.fingerprint)
        self.rows[case] = []
        self.processes[case] = [] if self._missing(case) else [{"status": "ok"}]
        return self.rows[case]

    def arguments(self, case: tuple[str, str]) -> Row:
        """The items without an answer."""
        task = self.tasks[case[0]]
        asked: Row = {"model": self.models[0], "precision": case[1], "device": self.device, "kind": task.kind}
        asked["questions"] = [
            {"prompt": task.rendered(item), "input": item.input, "choices": list(item.choices)}
            for item in self._missing(case)
        ]
        asked["train"] = [{"input": one.input, "expected": one.expected} for one in task.train]
        asked |= {"max_tokens": task.max_tokens, "stop": list(task.stop), "chat": task.chat}
        return asked | {"budget_s": self.time_budget_s}

    def stored_of(self, case: tuple[str, str]) -> list[Row]:
        """A row for each item, answered or failed as the child failed."""
        task, process, items = self.tasks[case[0]], self.processes[case][-1], self._missing(case)
        found = process.pop("answers", [_UNASKED] * len(items))
        why = f"the time budget of {self.time_budget_s:g} s ended before it was asked"
        if process["status"] != "ok":
            why = f"{process['status']}: {process['reason']}"
        asked = self.questions[task.name]
        return [
            answered(task, item, process, asked[item.id], one, why if one["text"] is None else None)
            for item, one in zip(items, found, strict=True)
        ]

    def answers(self, case: tuple[str, str]) -> list[Row]:
        """One row per item, in the task's order: known ones with the labels of today."""
        known = self.known.get(case, {})
        return _in_order(self.tasks[case[0]], self.questions[case[0]], known, self.rows[case])

    def _missing(self, case: tuple[str, str]) -> list[Item]:
        asked, known = self.questions[case[0]], self.known.get(case, {})
        return [item for item in self.tasks[case[0]].items if asked[item.id] not in known]


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
    _check(tasks)
    place = store if isinstance(store, Store) else Store(store)
    place.check_writable()
    if unsupported := [task.name for task in tasks if task.kind == "retrieval"]:
        raise invalid_input(
            "task", unsupported[0], "a task that is answered by text (retrieval needs an embedding model)"
        )
    who = _served(f"{endpoint.model}@{identity(endpoint.url)}")
    purse, stored, rows = Purse(max_usd), place.read(ANSWERS).frame, list[Row]()
    more: Row = {} if endpoint.chat else {"completions": True}
    more |= {"extra": dict(endpoint.extra)} if endpoint.extra else {}
    for task in tasks:
        questions = task.questions(more=more)
        known = known_answers(stored, task, who)
        items = [item for item in task.items if questions[item.id] not in known]
        made: list[Row] = []
        if items:
            shared = _begun(who)
            asks = [Ask(item.id, task.rendered(item), task.max_tokens, task.stop) for item in items]
            journal = place.root / "paid" / f"{task.name}.jsonl"
            journal.parent.mkdir(parents=True, exist_ok=True)
            replies = ask_all(endpoint, asks, journal=journal, max_usd=purse, progress=progress)
            for item, reply in zip(items, replies, strict=True):
                found = vars(reply) | {"detail": {}, "usd": None if reply.usd is None else float(reply.usd)}
                made.append(answered(task, item, shared, questions[item.id], found, reply.failure))
            place.write(ANSWERS, ANSWERS.of(made), shared["run_id"])
        rows += _in_order(task, questions, known, made)
    return ANSWERS.of(rows)


def judged(task: Task) -> pd.DataFrame:
    """Stored judgements of pairs as ANSWERS rows of the model each item names first."""
    shared, questions, rows = _begun(_served("")), task.questions(), []
    for item in task.items:
        found = {"text": item.expected, "detail": {"against": item.choices[1]}}
        rows.append(answered(task, item, shared | {"model": item.choices[0]}, questions[item.id], found, None))
    return ANSWERS.of(rows)


def _check(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise invalid_input("task", ", ".join(names), "tasks of different names")
    for task in tasks:
        if task.kind == "preference":
            raise invalid_input(
                "task", task.name, "a task that a model answers (preference holds judgements already made)"
            )


def _served(model: str) -> Row:
    """Who answers where nothing runs here."""
    return {"model": model, "precision": None, "engine": "server", "device": "server"}


def _begun(who: Row) -> Row:
    """Columns that all answers of one run share, which starts now."""
    environment, fingerprint = describe("cpu")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    made: Row = {"run_id": new_id(), "started_at": now, "kind": "measured", "fingerprint": fingerprint}
    return who | made | {"environment": json.dumps(environment, sort_keys=True)}


def answered(task: Task, item: Item, shared: Row, question: str, found: Mapping[str, Any], failure: str | None) -> Row:
    """One row: `found` holds `text` (None without an answer), `detail`, tokens, `usd` and `seconds` where known."""
    row = shared | {"task": task.name, "question_sha256": question, "reason": failure, "answer": found["text"]}
    row |= {"status": "ok" if found["text"] is not None else "failed", "detail": json.dumps(found["detail"])}
    return labelled(task, item, row | {n: found.get(n) for n in ("input_tokens", "output_tokens", "usd", "seconds")})


def labelled(task: Task, item: Item, row: Row) -> Row:
    """A row as an answer to `item`, with its label and score of today."""
    scored = None if row["answer"] is None else score_answer(task.kind, item, str(row["answer"]))
    detail = json.loads(row["detail"]) | (scored.detail if scored else {})
    return {
        **row,
        "item": item.id,
        "task_kind": task.kind,
        "label_sha256": item.label_sha256,
        "score": None if scored is None else scored.score,
        "detail": json.dumps(detail, sort_keys=True),
        "cluster": item.cluster,
        "weight": item.weight,
        "cost_of_miss": item.cost_of_miss,
    }


def _in_order(task: Task, questions: Mapping[str, str], known: Mapping[str, Row], new: Sequence[Row]) -> list[Row]:
    """A row for each item that was asked, in the task's order."""
    made = {row["item"]: row for row in new}
    return [
        made.get(item.id) or labelled(task, item, known[questions[item.id]])
        for item in task.items
        if item.id in made or questions[item.id] in known
    ]


def known_answers(
    stored: pd.DataFrame,
    task: Task,
    who: Mapping[str, Any],
    fingerprint: str | None = None,
    *,
    keep: Literal["first", "last"] = "last",
) -> dict[str, Row]:
    """Rows of `stored` by question hash, the newest or the first of each; of one environment with `fingerprint`."""
    frame = stored[(stored["status"] == "ok") & (stored["task"] == task.name)].sort_values("started_at", kind="stable")
    wanted = {name: who[name] for name in ("model", "precision", "engine")}
    for name, value in (wanted | ({"fingerprint": fingerprint} if fingerprint else {})).items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    return {str(row["question_sha256"]): row for row in records(frame.drop_duplicates("question_sha256", keep=keep))}


def stored_answers(store: Store | Path | str | None = None) -> pd.DataFrame:
    """The newest stored answer of each task, item, model, precision and engine; oldest run first."""
    found = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    ordered = found.sort_values("started_at", kind="stable")
    key = ["task", "item", "model", "precision", "engine"]
    return ordered.drop_duplicates(key, keep="last", ignore_index=True)
