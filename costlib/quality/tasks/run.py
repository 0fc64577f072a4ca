"""Asks a model every item of its tasks, keeps each answer, and asks nothing twice.

Answers lie in the store (table `answers`), found again by the hash of the question: a second run, a longer task file or
a killed run goes on with the items that have no answer yet. An item without an answer is a failed row with its reason,
never a smaller n.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from costlib.devices import resolve
from costlib.environment import default_device, describe
from costlib.errors import bad
from costlib.isolate import Unsupported
from costlib.measure.campaign import Campaign
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.progress import Progress
from costlib.quality.tasks.answers import SERVER, Row, answered, asking, known_answers, labelled
from costlib.quality.tasks.items import Item, Task
from costlib.server import identity
from costlib.store import Store
from costlib.tables import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

    from costlib.quality.tasks.endpoint import Endpoint


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
        raise bad("model", model, "a model with trained weights (answers of random weights mean nothing)")
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

    def label(self, case: tuple[str, str]) -> str:
        """The task, the model, its precision and how many items are asked."""
        return f"{case[0]} on {self.models[0]} at {case[1]}, {len(self._missing(case))} items"

    def columns(self, case: tuple[str, str]) -> Row:
        """Who answers."""
        return {"model": self.models[0], "precision": case[1], "engine": "eager"}

    def look_up(self, case: tuple[str, str]) -> list[Row]:
        """Answers by what was asked; with one of each item nothing is left to ask."""
        task = self.tasks[case[0]]
        if not self.fresh:
            stored = self.kept.read(ANSWERS).frame if self._known is None else self._known
            self._known = stored
            self.known[case] = known_answers(stored, task, self.columns(case), self.fingerprint)
        self.rows[case] = []
        self.processes[case] = [] if self._missing(case) else [{"status": "ok"}]
        return self.rows[case]

    def arguments(self, case: tuple[str, str]) -> Row:
        """The items without an answer."""
        task = self.tasks[case[0]]
        items = self._missing(case)
        return {
            "model": self.models[0],
            "precision": case[1],
            "device": self.device,
            "kind": task.kind,
            "questions": [{"prompt": task.rendered(i), "input": i.input, "choices": list(i.choices)} for i in items],
            "train": [{"input": one.input, "expected": one.expected} for one in task.train],
            "max_tokens": task.max_tokens,
            "stop": _stops(task),
            "chat": task.chat,
            "budget_s": self.time_budget_s,
        }

    def stored_of(self, case: tuple[str, str]) -> list[Row]:
        """A row for each item, answered or failed as the child failed."""
        task, process, items = self.tasks[case[0]], self.processes[case][-1], self._missing(case)
        found = process.pop("answers", [{"text": None, "detail": {}}] * len(items))
        why = f"the time budget of {self.time_budget_s:g} s ended before it was asked"
        if process["status"] != "ok":
            why = f"{process['status']}: {process['reason']}"
        return [
            answered(task, item, process, self.questions[task.name][item.id], one, why if one["text"] is None else None)
            for item, one in zip(items, found, strict=True)
        ]

    def answers(self, case: tuple[str, str]) -> list[Row]:
        """One row per item, in the task's order: known ones with the labels of today."""
        task, new = self.tasks[case[0]], {row["item"]: row for row in self.rows[case]}
        known, questions = self.known.get(case, {}), self.questions[case[0]]
        return [
            new.get(item.id) or labelled(task, item, known[questions[item.id]])
            for item in task.items
            if item.id in new or questions[item.id] in known
        ]

    def _missing(self, case: tuple[str, str]) -> list[Item]:
        known, questions = self.known.get(case, {}), self.questions[case[0]]
        return [item for item in self.tasks[case[0]].items if questions[item.id] not in known]


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
    from costlib.quality.tasks.bounds import Purse
    from costlib.quality.tasks.endpoint import Ask, ask_all

    _check(tasks)
    place = store if isinstance(store, Store) else Store(store)
    place.check_writable()
    who = {"model": f"{endpoint.model}@{identity(endpoint.url)}", "precision": None}
    who |= {"engine": SERVER, "device": SERVER}
    unsupported = [task.name for task in tasks if task.kind == "retrieval"]
    if unsupported:
        raise bad("task", unsupported[0], "a task that is answered by text (retrieval needs an embedding model)")
    purse, stored = Purse(max_usd), place.read(ANSWERS).frame
    more: Row = {} if endpoint.chat else {"completions": True}
    more |= {"extra": dict(endpoint.extra)} if endpoint.extra else {}
    rows: list[Row] = []
    for task in tasks:
        questions = task.questions(more=more)
        known = known_answers(stored, task, who)
        items = [item for item in task.items if questions[item.id] not in known]
        asks = [Ask(item.id, task.rendered(item), task.max_tokens, stop=tuple(_stops(task))) for item in items]
        shared, made = asking(who, *describe("cpu")), {}
        if asks:
            journal = place.root / "paid" / f"{task.name}.jsonl"
            journal.parent.mkdir(parents=True, exist_ok=True)
            replies = ask_all(endpoint, asks, journal=journal, max_usd=purse, progress=progress)
            for item, reply in zip(items, replies, strict=True):
                found = vars(reply) | {"detail": {}, "usd": None if reply.usd is None else float(reply.usd)}
                made[item.id] = answered(task, item, shared, questions[item.id], found, reply.failure)
            place.write(ANSWERS, ANSWERS.of(list(made.values())), shared["run_id"])
        rows += [made.get(item.id) or labelled(task, item, known[questions[item.id]]) for item in task.items]
    return ANSWERS.of(rows)


def _check(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise bad("task", ", ".join(names), "tasks of different names")
    for task in tasks:
        if task.kind == "preference":
            raise bad("task", task.name, "a task that a model answers (preference holds judgements already made)")


def _stops(task: Task) -> list[str]:
    """Where an answer ends: after examples, at the blank line that separates them."""
    return ["\n\n"] if task.shots else []
