"""Asks a model every item of its tasks, keeps each answer, and asks nothing twice.

Answers lie in the store (table `answers`), found again by the hash of the question: a second run, a longer task file or
a killed run goes on with the items that have no answer yet. An item without an answer is a failed row with its reason,
never a smaller n.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from costlib.devices import resolve
from costlib.environment import default_device, describe
from costlib.errors import bad
from costlib.isolate import Unsupported, run_isolated
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.progress import Progress, Step, silent
from costlib.quality.tasks.answers import SERVER, Row, answered, asking, known_answers, labelled
from costlib.quality.tasks.items import Item, Task
from costlib.server import identity
from costlib.store import Store
from costlib.tables import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

    from costlib.quality.tasks.bounds import Purse
    from costlib.quality.tasks.endpoint import Endpoint

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
    asked = [precisions] if isinstance(precisions, str) else precisions
    names = list(dict.fromkeys(resolve(name, model, device).name for name in asked))
    reference = parse(model)
    if reference.kind == "random":
        raise bad("model", model, "a model with trained weights (answers of random weights mean nothing)")
    for name in names if not is_static(reference) else ():
        with suppress(Unsupported):  # becomes rows
            check_device(known_precision(name), device)
    if not 0 < timeout_s < math.inf:
        raise bad("timeout_s", timeout_s, "a number of seconds above 0")
    place = _checked(tasks, store)
    environment, fingerprint = describe(device)
    stored = place.read(ANSWERS).frame
    rows: list[Row] = []
    for task in tasks:
        questions = task.questions(learns=is_encoder(reference))
        for name in names:
            who = {"model": model, "precision": name, "engine": "eager", "device": environment["device"]}
            known = {} if fresh else known_answers(stored, task, who, fingerprint)
            ask = partial(_ask_child, task, questions, who, device, progress or silent, timeout_s)
            rows += _completed(place, task, questions, known, ask)
    return ANSWERS.of(rows)


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

    place = _checked(tasks, store)
    who = {"model": f"{endpoint.model}@{identity(endpoint.url)}", "precision": None}
    who |= {"engine": SERVER, "device": SERVER}
    unsupported = [task.name for task in tasks if task.kind == "retrieval"]
    if unsupported:
        raise bad("task", unsupported[0], "a task that is answered by text (retrieval needs an embedding model)")
    purse, stored = Purse(max_usd), place.read(ANSWERS).frame
    rows: list[Row] = []
    for task in tasks:
        questions = task.questions()
        journal = place.root / "paid" / f"{task.name}.jsonl"
        ask = partial(_ask_server, task, questions, who, endpoint, journal, purse, progress)
        rows += _completed(place, task, questions, known_answers(stored, task, who), ask)
    return ANSWERS.of(rows)


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


def _completed(
    store: Store,
    task: Task,
    questions: dict[str, str],
    known: dict[str, Row],
    ask: Callable[[Sequence[Item]], list[Row]],
) -> list[Row]:
    """One row per item, in the task's order: known ones with the labels of today, the others asked and stored."""
    missing = [item for item in task.items if questions[item.id] not in known]
    made = ask(missing) if missing else []
    if made:
        store.write(ANSWERS, ANSWERS.of(made), made[0]["run_id"])
    new = {row["item"]: row for row in made}
    return [new.get(item.id) or labelled(task, item, known[questions[item.id]]) for item in task.items]


def _stops(task: Task) -> list[str]:
    """Where an answer ends: after examples, at the blank line that separates them."""
    return ["\n\n"] if task.shots else []


def _ask_server(
    task: Task,
    questions: dict[str, str],
    who: Row,
    endpoint: Endpoint,
    journal: Path,
    purse: Purse,
    progress: Progress | None,
    items: Sequence[Item],
) -> list[Row]:
    """A row for each item, answered by a server or failed as it failed."""
    from costlib.quality.tasks.endpoint import Ask, ask_all

    shared = asking(who, *describe("cpu"))
    stop = tuple(_stops(task))
    asks = [Ask(item.id, task.rendered(item), task.max_tokens, stop=stop) for item in items]
    journal.parent.mkdir(parents=True, exist_ok=True)
    replies = ask_all(endpoint, asks, journal=journal, max_usd=purse, progress=progress)
    rows = []
    for item, reply in zip(items, replies, strict=True):
        found = vars(reply) | {"detail": {}, "usd": None if reply.usd is None else float(reply.usd)}
        rows.append(answered(task, item, shared, questions[item.id], found, reply.failure))
    return rows


def _ask_child(
    task: Task,
    questions: dict[str, str],
    who: Row,
    device: str,
    progress: Progress,
    timeout_s: float,
    items: Sequence[Item],
) -> list[Row]:
    """A row for each item, answered by one child or failed as it failed."""
    label = f"{task.name} on {who['model']} at {who['precision']}"

    def show(text: str) -> None:
        progress(Step(f"{label}: {text}", stage="tasks", done=0, total=1))

    show(f"{len(items)} items")
    shared = asking(who, *describe(device))
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
    found = outcome.value or {"answers": [{"text": None, "detail": {}}] * len(items)}
    failure: str | None = f"{outcome.status}: {outcome.reason}"
    if outcome.value is not None:
        failure = None
        environment = json.dumps(found["environment"], sort_keys=True)
        shared |= {"environment": environment} | {
            key: found.get(key) for key in ("fingerprint", "weights_note", "compute_dtype")
        }
    return [
        answered(task, item, shared, questions[item.id], one, failure)
        for item, one in zip(items, found["answers"], strict=True)
    ]
