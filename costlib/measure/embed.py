"""How fast, how big and how faithful an embedding model is at each precision.

Speed follows the rules of the measure room: every precision runs in child processes of its own, in shuffled rounds,
until processes agree or the time budget ends, and the interval is over processes. The first process of a precision
also leaves its vectors, which are compared with those of the baseline precision on the same documents: direction and
neighbours. A linear head on the vectors of a labelled file says what they are good for.

A process is in the store as soon as it has ended (table `embedding_runs`), so a run that was killed goes on where it
stopped. Vectors are not stored: where some are still to be compared, the baseline runs once more to give its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import InputError, invalid_input, unused
from costlib.isolate import step
from costlib.measure.campaign import Campaign, Row, records, whole_numbers
from costlib.measure.estimate import ends, estimate, rate, sureness, undisturbed
from costlib.measure.roofline import judged, limits_of, reading, shares
from costlib.measure.summarise import energy_columns
from costlib.measure.worker import LOADED, Session
from costlib.models.encoder import load_encoder, refuse_other_models
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, on_disk, parse
from costlib.models.texts import Documents, read_documents
from costlib.models.vectors import fidelity, head_right, split
from costlib.output import scratch
from costlib.progress import Progress
from costlib.stats.intervals import mean_interval
from costlib.store import Store
from costlib.tables import EMBEDDING_RUNS, EMBEDDINGS
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

    from costlib.models.architectures import Architecture

_SLICE = 0.1
"""Share of the time budget that one process spends on timed passes."""
_MAXIMUM_PASSES = 50
_SAME = set(EMBEDDING_RUNS.names) & set(EMBEDDINGS.names) - {"pass_s", "flags", "load_s", "started_at"}
"""Columns that a campaign has from the newest of its processes that knows them."""


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
            raise invalid_input("device", device, "cpu, where a static model looks up its table")
        unused("with a static model, whose documents are looked up one by one", embed, locals(), ["batch"])
    device = device or ("cpu" if is_static(reference) else default_device())
    asked = [precision] if isinstance(precision, str) else precision
    names = [resolve(name, model, device).name for name in ([] if baseline is None else [baseline])]
    wanted = [resolve(name, model, device).name for name in asked]
    if not wanted:
        raise invalid_input("precision", wanted, "at least one precision")
    names = list(dict.fromkeys(names + wanted))
    for name in names:
        check_device(known_precision(name), device)
    refuse_other_models(reference)
    whole_numbers(most=10**6, documents=documents, batch=batch)
    found = read_documents(text)
    texts = found.texts[:documents]
    labelled = None if task is None else read_documents(task, labelled=True, field="task")
    if labelled is not None and reference.kind == "random":
        raise invalid_input("task", str(task), "no task for random weights: their quality is not measurable")
    material = [texts, [labelled.texts, labelled.labels] if labelled else None, on_disk(model)]
    shared = {
        "model": model,
        "baseline": names[0],
        "text": found.name,
        "documents": len(texts),
        "duplicates": found.duplicates,
        "batch": batch,
        "task": labelled.name if labelled else None,
        "material_sha256": hashlib.sha256(json.dumps(material).encode()).hexdigest(),
    }
    with scratch() as place:
        (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        (place / "task.json").write_text(json.dumps(labelled.texts if labelled else []), encoding="utf-8")
        probe = Embedding(
            models=[model], device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
            progress=progress, baseline=names[0], shared=shared, place=place, task=labelled,
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


@dataclass(kw_only=True)
class Embedding(Campaign[str]):
    """Precisions of an embedding model; the first process of each leaves its vectors, to be compared."""

    name, table, in_child = "embed", EMBEDDING_RUNS, "costlib.measure.embed:encode_once"
    place: Path
    task: Documents | None

    def label(self, case: str) -> str:
        """Model and precision."""
        return f"{self.shared['model']} {case}"

    def key(self, case: str) -> Row:
        """Settings, and the hash of what their names stand for."""
        asked = {name: self.shared[name] for name in ("model", "baseline", "documents", "batch", "material_sha256")}
        return asked | {"precision": case}

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
            row |= self._fidelity(case) | self._use(case)
        return [row]

    def _vectors(self, case: str, task: bool = False) -> Path:
        """What a process of a precision leaves to compare."""
        return _kept(self.place, case, task)

    def _comparable(self) -> bool:
        """Whether the baseline has not failed."""
        return all(row["status"] == "ok" for row in self.processes[str(self.baseline)][-1:])

    def _compared(self, case: str) -> bool:
        return any(map(compared, self.processes[case]))

    def _fidelity(self, case: str) -> Row:
        """Fidelity of the vectors, or why there is none; nothing while the baseline has kept none."""
        if parse(self.shared["model"]).kind == "random":
            return {"fidelity_reason": "random weights: speed and bytes are real, what their vectors mean is not"}
        files = [self._vectors(name) for name in (str(self.baseline), case)]
        if not files[0].exists():
            return {}
        try:
            found = fidelity(*map(np.load, files))
        except InputError as error:
            return {"fidelity_reason": str(error)}
        row: Row = {name: getattr(found, name) for name in ("undefined", "neighbours")}
        row["fidelity_reason"] = found.reason
        if found.overlap is not None:
            row |= ends("overlap", mean_interval(found.overlap, 0.0, 1.0))
        if len(found.cosine):
            row |= ends("cosine", mean_interval(found.cosine, -1.0, 1.0))
            row |= {"cosine_min": float(found.cosine.min()), "cosine_p1": float(np.quantile(found.cosine, 0.01))}
        return row

    def _use(self, case: str) -> Row:
        """Downstream accuracy of a linear head trained on this precision's own vectors."""
        if self.task is None:
            return {"task_reason": "no labelled file was given"}
        labels, (train, test) = np.asarray(self.task.labels), split(self.task.labels)
        if not np.isfinite(np.load(self._vectors(case, task=True))).all():
            return {"task_reason": "its vectors hold NaN or infinity"}
        if not test:
            return {"task_reason": "every class has one document, so none is left to test on"}

        def right(precision: str) -> Any:
            vectors = np.load(self._vectors(precision, task=True))
            return head_right(vectors[train], labels[train].tolist(), vectors[test], labels[test].tolist())

        mine = right(case)
        row: Row = {"task_items": len(test)} | ends("accuracy", mean_interval(mine, 0.0, 1.0))
        if self._vectors(str(self.baseline), task=True).exists():
            row |= ends("accuracy_difference", mean_interval(mine - right(str(self.baseline))))
        return row


def _kept(place: Path, precision: str, task: bool) -> Path:
    return place / f"{precision}{'-task' if task else ''}.npy"


def compared(row: Row) -> bool:
    """Whether this process has compared the vectors of its precision, or said why that is impossible."""
    return not (is_null(row.get("undefined")) and is_null(row.get("fidelity_reason")))


def embeddings_row(rows: Sequence[Row]) -> Row:
    """One `embeddings` row of the processes (at least one) of one precision in one campaign."""
    ok, last = [row for row in rows if row["status"] == "ok"], rows[-1]
    row: Row = {
        name: next((one[name] for one in reversed(ok or rows) if not is_null(one.get(name))), None) for name in _SAME
    }
    row |= {"started_at": rows[0]["started_at"], "run_id": last["run_id"]}
    if not ok:
        return row
    if last["status"] != "ok":
        row["reason"] = f"1 of {len(rows)} processes failed: {last['reason']}"
    clean, note = undisturbed([list(zip(one["pass_s"], one["flags"], strict=True)) for one in ok])
    found = estimate(clean)
    assert found is not None  # an ok process holds at least one pass
    for name, count in (("tokens_per_s", row["tokens"]), ("documents_per_s", row["documents"])):
        row |= ends(name, rate(count, found))
    row |= sureness(len(ok), [note], [flag for value in ok for flag in value["flags"]])
    row |= {
        "pass_s": [median(value["pass_s"]) for value in ok],
        "load_s": median(value["load_s"] for value in ok),
        "peak_bytes": max((one["peak_bytes"] for one in ok if not is_null(one["peak_bytes"])), default=None),
    }
    row |= energy_columns(ok, [len(value["pass_s"]) for value in ok], {"energy_j_per_token": int(row["tokens"])})
    newest = next((one for one in reversed(ok) if not is_null(one.get("ceiling_bytes_per_s"))), ok[-1])
    known = None if is_null(newest.get("ceiling_reason")) else newest["ceiling_reason"]
    lacks = is_null(newest.get("ceiling_flops_per_s"))
    row["ceiling_reason"] = known or ("the ceilings were not measured" if lacks else None)
    if row["ceiling_reason"] is None:
        near = shares(newest, "pass", found.value)
        row |= near | judged({name: near[name] for name in ("mbu", "mfu")}, ["mbu"])
    if not compared(row):
        row["fidelity_reason"] = f"the baseline precision {row['baseline']} gave no vectors"
    return row


def encode_once(
    model: str,
    precision: str,
    device: str,
    batch: int,
    folder: str,
    slice_s: float,
    budget_s: float,
    keep: bool,
    ceilings: dict[str, Any],
) -> Row:
    """Encode every document again and again for about `slice_s` seconds; the target of `run_isolated`.

    With `keep` the vectors are left in `folder` as `PRECISION.npy`, those of the task as `PRECISION-task.npy`.
    """
    place = Path(folder)
    texts, task = (json.loads((place / name).read_text(encoding="utf-8")) for name in ("texts.json", "task.json"))
    session = Session(device)
    hardware, held = session.device, known_precision(precision)
    session.idle()
    encoder = load_encoder(model, precision, device)
    step(LOADED)
    until = time.perf_counter() + budget_s
    vectors = encoder.encode(texts, batch)
    if keep:
        np.save(_kept(place, precision, False), vectors)
        if task:
            np.save(_kept(place, precision, True), encoder.encode(task, batch))
    hardware.reset_peaks()
    times: list[float] = []

    def once() -> None:
        hardware.synchronize()
        started = time.perf_counter()
        encoder.encode(texts, batch)
        hardware.synchronize()
        times.append(time.perf_counter() - started)

    columns = session.run | session.repeat(once, slice_s, _MAXIMUM_PASSES, until)
    columns["peak_bytes"] = hardware.peaks().held
    lengths = encoder.tokens(texts)
    columns |= {"pass_s": times, "tokens": sum(lengths), "width": int(vectors.shape[1])}
    names = ("load_s", "weight_bytes", "kernel", "compute_dtype", "weights_note")
    columns |= {name: getattr(encoder, name) for name in names}
    if encoder.static:
        return columns | {"ceiling_reason": "a static model looks its tokens up and multiplies nothing"}

    def work(shape: Architecture) -> dict[str, Any]:
        moved, done = reading(shape, encoder.weight_bytes, held.dense_bytes, lengths, batch)
        return {"pass_bytes": moved, "pass_flops": done}

    tokens, left_s = (max(lengths), batch * max(lengths)), until - time.perf_counter()
    return columns | limits_of(encoder.model, model, held, work, columns, hardware, tokens, ceilings, left_s)
