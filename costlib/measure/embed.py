"""How fast, how big and how faithful an embedding model is at each precision.

Speed follows the rules of the measure room: every precision runs in child processes of its own, in shuffled rounds,
until processes agree or the time budget ends, and the interval is over processes. The first process of a precision
also leaves its vectors, which are compared with those of the baseline precision on the same documents.

A process is in the store as soon as it has ended (table `embedding_runs`), so a run that was killed goes on where it
stopped. Vectors are not stored: where some are still to be compared, the baseline runs once more to give its own.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, describe, device_name
from costlib.errors import bad, unused
from costlib.isolate import run_isolated
from costlib.measure.embed_summarise import Row, compared, embeddings_row, fidelity_columns, use_columns
from costlib.measure.estimate import settled
from costlib.measure.worker import LOADED
from costlib.models.documents import Documents, read_documents
from costlib.models.encoder import refuse_other_models
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, on_disk, parse
from costlib.output import scratch
from costlib.progress import Progress, Step, silent
from costlib.store import Store, new_id
from costlib.tables import EMBEDDING_RUNS, EMBEDDINGS

if TYPE_CHECKING:
    import pandas as pd

_SLICE = 0.1
"""Share of the time budget that one process spends on timed passes."""
_TARGET = "costlib.measure.embed_worker:encode_once"


def embed(
    model: str,
    precision: str | Iterable[str] = "fp32",
    *,
    text: str | Path,
    task: str | Path | None = None,
    baseline: str | None = None,
    documents: int = 512,
    batch: int = 32,
    device: str | None = None,
    store: Store | str | None = None,
    fresh: bool = False,
    time_budget_s: float = 60.0,
    timeout_s: float = 1800.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure an embedding model at each precision: one row each (table `embeddings`).

    `text` holds the documents (see `read_documents`), of which the first `documents` are encoded; `task` is a labelled
    file whose accuracy a linear head on the vectors gives (half of each class to train, the other half to test).
    `baseline` (default: the first precision) is what the vectors are compared with; it is measured, too. What is in the
    store for the same files, settings and environment is not measured again unless it ended as an error, or `fresh`.
    Failures become rows with a status and a reason. Raises `InputError` for bad input before anything is measured.

    Args:
        model: demo:minilm, static:FOLDER, path:FOLDER, hub:ORG/NAME or random:SHAPE.
        precision: Comma-separated: fp32, bf16, int8, ...
        text: Documents to encode.
        task: Labelled .jsonl or .csv (input, expected) to classify.
        baseline: Precision compared with [default: the first].
        documents: Documents encoded in a pass, at most.
        batch: Documents run together.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        store: Folder of measurements [default: data/store].
        fresh: Measure again what is in the store.
        time_budget_s: Seconds for each precision.
        timeout_s: Seconds after which one process is stopped.
        progress: Is told each step.
    """
    reference = parse(model)
    if is_static(reference):
        if device not in (None, "cpu"):
            raise bad("device", device, "cpu, where a static model looks up its table")
        unused("with a static model, whose documents are looked up one by one", embed, locals(), ["batch"])
    device = device or ("cpu" if is_static(reference) else default_device())
    asked = [precision] if isinstance(precision, str) else precision
    names = list(dict.fromkeys(resolve(name, model, device).name for name in asked))
    if not names:
        raise bad("precision", names, "at least one precision")
    base = names[0] if baseline is None else resolve(baseline, model, device).name
    names = [base, *(name for name in names if name != base)]
    for name in names:
        check_device(known_precision(name), device)
    refuse_other_models(reference)
    for field_, count in (("documents", documents), ("batch", batch)):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10**6:
            raise bad(field_, count, "a whole number from 1 to 1,000,000")
    for field_, seconds in (("time_budget_s", time_budget_s), ("timeout_s", timeout_s)):
        if not isinstance(seconds, (int, float)) or not 0 < seconds < 1e9:
            raise bad(field_, seconds, "a number of seconds above 0")
    found = read_documents(text)
    found = Documents(found.texts[:documents], (), found.duplicates, found.name)
    labelled = None if task is None else read_documents(task, labelled=True, field="task")
    if labelled is not None and reference.kind == "random":
        raise bad("task", str(task), "no task for random weights: their quality is not measurable")
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    shared = {
        "model": model,
        "baseline": base,
        "device": device_name(device),
        "text": found.name,
        "documents": len(found.texts),
        "duplicates": found.duplicates,
        "batch": batch,
        "kind": "measured",
        "task": labelled.name if labelled else None,
        "material_sha256": _material(model, found, labelled),
    }
    with scratch() as place:
        (place / "texts.json").write_text(json.dumps(found.texts), encoding="utf-8")
        (place / "task.json").write_text(json.dumps(labelled.texts if labelled else []), encoding="utf-8")
        campaign = _Campaign(kept, shared, device, place, labelled, time_budget_s, timeout_s, progress or silent)
        runs = campaign.run(names, fresh=fresh)
    return EMBEDDINGS.of([embeddings_row(runs[name]) for name in names])


def embeddings(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each model, precision, device and text of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["model", "precision", "baseline", "device", "text", "documents", "batch"]
    rows = []
    for _, runs in kept.read(EMBEDDING_RUNS).frame.groupby(key, sort=False):
        rows.append(embeddings_row(_records(runs[runs["campaign"] == runs["campaign"].max()])))
    return EMBEDDINGS.of(sorted(rows, key=lambda row: str(row["run_id"])))


def _material(model: str, texts: Documents, task: Documents | None) -> str:
    """Hash of what the names of a row stand for."""
    read = [texts.texts, [task.texts, task.labels] if task else None, on_disk(model)]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def _records(runs: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in runs.to_dict("records")]


@dataclass
class _Campaign:
    """One call of `embed`: what it asks of every precision, and the processes of each."""

    store: Store
    shared: dict[str, Any]
    device: str
    place: Path
    task: Documents | None
    budget_s: float
    timeout_s: float
    tell: Progress
    ceilings: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    runs: dict[str, list[Row]] = field(default_factory=dict)

    def run(self, names: list[str], *, fresh: bool) -> dict[str, list[Row]]:
        """Processes of each precision in shuffled rounds, those of the store included."""
        self.runs = {name: [] if fresh else self._found(name) for name in names}
        shuffled = random.Random(self.id)
        while pending := [name for name in names if not self._done(name)]:
            shuffled.shuffle(pending)
            base = self.shared["baseline"]
            if self._comparable() and not self._vectors.exists() and not all(map(self._compared, pending)):
                pending = [base, *(name for name in pending if name != base)]
            for name in pending:
                self._start(name, sum(map(self._done, names)), len(names))
        self.tell(Step("measured", stage="embed", done=len(names), total=len(names)))
        return self.runs

    def _found(self, precision: str) -> list[Row]:
        """Processes in the store that may be continued: same material, settings and environment, newest campaign.

        A crash or a timeout may pass and is tried again; what does not fit or is not supported stays so.
        """
        runs = self.store.read(EMBEDDING_RUNS).frame
        asked = {key: self.shared[key] for key in ("model", "baseline", "documents", "batch", "material_sha256")}
        for name, value in (asked | {"precision": precision, "fingerprint": describe(self.device)[1]}).items():
            runs = runs[runs[name] == value]
        rows = _records(runs[runs["campaign"] == runs["campaign"].max()])
        return [] if rows and rows[-1]["status"] == "error" else rows

    @property
    def _vectors(self) -> Path:
        """What a process of the baseline leaves to compare with."""
        return self.place / f"{self.shared['baseline']}.npy"

    def _comparable(self) -> bool:
        """Whether the baseline has not failed."""
        return all(row["status"] == "ok" for row in self.runs[self.shared["baseline"]][-1:])

    def _compared(self, precision: str) -> bool:
        return any(map(compared, self.runs[precision]))

    def _done(self, precision: str) -> bool:
        """Whether another process would not help or not fit."""
        rows = self.runs[precision]
        if not rows or rows[-1]["status"] != "ok":
            return bool(rows)
        if self._comparable() and not self._compared(precision):
            return False
        passes = [row["pass_s"] for row in rows if row["status"] == "ok"]
        return settled(passes, [float(row["wall_s"]) for row in rows], self.budget_s)

    def _start(self, precision: str, done: int, total: int) -> None:
        """One more process, stored as soon as it has ended; the first of a precision leaves its vectors."""
        rows, base = self.runs[precision], self.shared["baseline"]
        model = self.shared["model"]
        label = f"{model} {precision}, process {len(rows) + 1}"

        def show(text: str) -> None:
            self.tell(Step(f"{label}: {text}", stage="embed", done=done, total=total))

        keep = not self._compared(precision) or (precision == base and not self._vectors.exists())
        arguments = {"model": model, "precision": precision, "device": self.device, "batch": self.shared["batch"]}
        arguments |= {"folder": str(self.place), "slice_s": self.budget_s * _SLICE, "keep": keep}
        arguments |= {"budget_s": self.budget_s, "ceilings": self.ceilings}
        row: Row = self.shared | {
            "precision": precision,
            "campaign": rows[-1]["campaign"] if rows else self.id,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        outcome = run_isolated(
            _TARGET, arguments, timeout_s=self.timeout_s, budget_s=self.budget_s, starts=LOADED, on_progress=show
        )
        self.ceilings = (outcome.value or {}).get("ceilings", self.ceilings)
        environment, row["fingerprint"] = describe(self.device)
        row |= {"run_id": new_id(), "status": outcome.status, "reason": outcome.reason, "wall_s": outcome.seconds}
        row |= {"environment": environment} | (outcome.value or {})
        row["device"] = row["environment"].get("device", row["device"])  # the one it ran on
        row["environment"] = json.dumps(row["environment"], sort_keys=True)
        if keep and outcome.status == "ok":
            row |= fidelity_columns(self.place, base, precision, parse(model).kind == "random")
            row |= use_columns(self.place, base, precision, self.task)
        self.store.write(EMBEDDING_RUNS, EMBEDDING_RUNS.of([row]), row["run_id"])
        rows.append(row)
