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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import bad, unused
from costlib.measure.campaign import Campaign, Row, records, whole_number
from costlib.measure.embed_summarise import compared, embeddings_row, fidelity_columns, use_columns
from costlib.models.documents import Documents, read_documents
from costlib.models.encoder import refuse_other_models
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, on_disk, parse
from costlib.output import scratch
from costlib.progress import Progress
from costlib.store import Store
from costlib.tables import EMBEDDING_RUNS, EMBEDDINGS

if TYPE_CHECKING:
    import pandas as pd

_SLICE = 0.1
"""Share of the time budget that one process spends on timed passes."""


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
    for field, count in (("documents", documents), ("batch", batch)):
        whole_number(field, count, most=10**6)
    found = read_documents(text)
    found = Documents(found.texts[:documents], (), found.duplicates, found.name)
    labelled = None if task is None else read_documents(task, labelled=True, field="task")
    if labelled is not None and reference.kind == "random":
        raise bad("task", str(task), "no task for random weights: their quality is not measurable")
    shared = {
        "model": model,
        "baseline": base,
        "text": found.name,
        "documents": len(found.texts),
        "duplicates": found.duplicates,
        "batch": batch,
        "task": labelled.name if labelled else None,
        "material_sha256": _material(model, found, labelled),
    }
    limits: Row = {"time_budget_s": time_budget_s, "timeout_s": timeout_s, "progress": progress}
    with scratch() as place:
        (place / "texts.json").write_text(json.dumps(found.texts), encoding="utf-8")
        (place / "task.json").write_text(json.dumps(labelled.texts if labelled else []), encoding="utf-8")
        probe = Embedding(
            models=[model], device=device, store=store, fresh=fresh, baseline=base, shared=shared, place=place,
            task=labelled, **limits,
        )  # fmt: skip
        return probe.answer(EMBEDDINGS.of([embeddings_row(rows) for rows in probe.run(names)]))


def embeddings(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each model, precision, device and text of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["model", "precision", "baseline", "device", "text", "documents", "batch"]
    rows = []
    for _, runs in kept.read(EMBEDDING_RUNS).frame.groupby(key, sort=False):
        rows.append(embeddings_row(records(runs[runs["campaign"] == runs["campaign"].max()])))
    return EMBEDDINGS.of(sorted(rows, key=lambda row: str(row["run_id"])))


def _material(model: str, texts: Documents, task: Documents | None) -> str:
    """Hash of what the names of a row stand for."""
    read = [texts.texts, [task.texts, task.labels] if task else None, on_disk(model)]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


@dataclass(kw_only=True)
class Embedding(Campaign[str]):
    """Precisions of an embedding model; the first process of each leaves its vectors, to be compared."""

    name, table, in_child = "embed", EMBEDDING_RUNS, "costlib.measure.embed_worker:encode_once"
    shared: Row
    place: Path
    task: Documents | None

    def label(self, case: str) -> str:
        """Model and precision."""
        return f"{self.shared['model']} {case}"

    def key(self, case: str) -> Row:
        """Settings, and the hash of what their names stand for."""
        asked = {name: self.shared[name] for name in ("model", "baseline", "documents", "batch", "material_sha256")}
        return asked | {"precision": case}

    def columns(self, case: str) -> Row:
        """What was asked of every precision."""
        return self.shared | {"precision": case}

    def arguments(self, case: str) -> Row:
        """The first process of a precision leaves its vectors, and one of the baseline wherever they are needed."""
        return {
            "model": self.shared["model"],
            "precision": case,
            "device": self.device,
            "batch": self.shared["batch"],
            "folder": str(self.place),
            "slice_s": self.time_budget_s * _SLICE,
            "budget_s": self.time_budget_s,
            "keep": not self._compared(case) or (case == self.baseline and not self._vectors(case).exists()),
            "ceilings": self.ceilings.get(self.shared["model"], {}),
        }

    def series(self, case: str) -> list[list[list[float]]]:
        """Seconds of the passes."""
        return [[process["pass_s"] for process in self.processes[case]]]

    def lacks(self, case: str) -> bool:
        """Whether its vectors are still to be compared."""
        return self._comparable() and not self._compared(case)

    def in_order(self, round_: list[str]) -> list[str]:
        """The baseline first, again where the store holds it, while others are to be compared with its vectors."""
        base = str(self.baseline)
        if self._comparable() and not self._vectors(base).exists() and not all(map(self._compared, round_)):
            return [base, *(name for name in round_ if name != base)]
        return round_

    def stored_of(self, case: str) -> list[Row]:
        """The process, with what its vectors are worth where it left them."""
        row = self.processes[case][-1]
        if row["status"] == "ok" and self._vectors(case).exists() and not self._compared(case):
            row |= fidelity_columns(self.place, str(self.baseline), case, parse(row["model"]).kind == "random")
            row |= use_columns(self.place, str(self.baseline), case, self.task)
        return [row]

    def _vectors(self, case: str) -> Path:
        """What a process of a precision leaves to compare."""
        return self.place / f"{case}.npy"

    def _comparable(self) -> bool:
        """Whether the baseline has not failed."""
        return all(row["status"] == "ok" for row in self.processes[str(self.baseline)][-1:])

    def _compared(self, case: str) -> bool:
        return any(map(compared, self.processes[case]))
