"""Rows of table `answers`: made of what a model said, found again by the hash of what it was asked.

A score is made of answer and label whenever a row is read, so a corrected label costs nothing. Who answered is a
dictionary with the columns `model`, `precision` and `engine`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from costlib.environment import describe
from costlib.quality.tasks.items import Item, Task
from costlib.quality.tasks.metrics import score_answer
from costlib.store import Store, new_id
from costlib.tables import ANSWERS

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

SERVER = "server"
"""Engine and device of what did not run here."""


def asking(who: Mapping[str, Any], environment: Mapping[str, Any], fingerprint: str) -> Row:
    """Columns that all answers of one run share, which starts now."""
    return {
        **who,
        "run_id": new_id(),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "kind": "measured",
        "fingerprint": fingerprint,
        "environment": json.dumps(environment, sort_keys=True),
    }


def answered(task: Task, item: Item, shared: Row, question: str, found: Mapping[str, Any], failure: str | None) -> Row:
    """One row: `found` holds `text` (None without an answer), `detail`, tokens, `usd` and `seconds` where known."""
    row = {
        **shared,
        "task": task.name,
        "item": item.id,
        "question_sha256": question,
        "status": "ok" if found["text"] is not None else "failed",
        "reason": failure,
        "answer": found["text"],
        "detail": json.dumps(found["detail"], sort_keys=True),
        **{name: found.get(name) for name in ("input_tokens", "output_tokens", "usd", "seconds")},
    }
    return row | _labels(task, item, row)


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
    for name in ("model", "precision", "engine"):
        frame = frame[frame[name].isna() if who[name] is None else frame[name] == who[name]]
    if fingerprint is not None:
        frame = frame[frame["fingerprint"] == fingerprint]
    frame = frame.drop_duplicates("question_sha256", keep=keep)
    return {str(row["question_sha256"]): {str(k): v for k, v in row.items()} for row in frame.to_dict("records")}


def labelled(task: Task, item: Item, old: Row) -> Row:
    """A stored row as an answer to `item`, with its label of today."""
    return {**old, "item": item.id, **_labels(task, item, old)}


def stored_answers(store: Store | Path | str | None = None) -> pd.DataFrame:
    """The newest stored answer of each task, item, model, precision and engine; oldest run first."""
    found = (store if isinstance(store, Store) else Store(store)).read(ANSWERS).frame
    ordered = found.sort_values("started_at", kind="stable")
    key = ["task", "item", "model", "precision", "engine"]
    return ordered.drop_duplicates(key, keep="last").reset_index(drop=True)


def judged(task: Task) -> pd.DataFrame:
    """Stored judgements of pairs as ANSWERS rows of the model each item names first."""
    environment, fingerprint = describe("cpu")
    shared = asking({"precision": None, "engine": SERVER, "device": SERVER}, environment, fingerprint)
    rows = []
    for item in task.items:
        found = {"text": item.expected, "detail": {"against": item.choices[1]}}
        row = answered(task, item, shared | {"model": item.choices[0]}, task.question_sha256(item), found, None)
        rows.append(row)
    return ANSWERS.of(rows)


def _labels(task: Task, item: Item, row: Row) -> Row:
    """The columns that come from the label."""
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
