"""How fast, how big and how faithful an embedding model is at each precision.

Speed follows the rules of the measure room: every precision runs in child processes of its own, in shuffled rounds,
until processes agree or the time budget ends, and the interval is over processes. The first process of a precision
also leaves its vectors, which are compared with those of the baseline precision on the same documents.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.environment import default_device, describe, device_name
from costlib.errors import bad
from costlib.isolate import Outcome, run_isolated, step
from costlib.measure.estimate import MINIMUM_PROCESSES, estimate, rate, settled
from costlib.models.documents import Documents, read_documents
from costlib.models.encoder import load_encoder, refuse_other_models
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, on_disk, parse
from costlib.models.vectors import fidelity, head_right, mean_interval, split
from costlib.progress import Progress, Step, silent
from costlib.store import Store, new_id
from costlib.tables import EMBEDDINGS

if TYPE_CHECKING:
    import pandas as pd

_SLICE = 0.1
_MAXIMUM_PASSES = 50


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
    store for the same files, settings and environment is not measured again unless it ended as an error, or `fresh`;
    where a precision is missing its baseline is measured with it, because vectors are not stored. Failures become rows
    with a status and a reason. Raises `InputError` for bad input before anything is measured.
    """
    reference = parse(model)
    device = device or ("cpu" if is_static(reference) else default_device())
    names = list(dict.fromkeys([precision] if isinstance(precision, str) else precision))
    if not names:
        raise bad("precision", names, "at least one precision")
    base = baseline or names[0]
    names = [base, *(name for name in names if name != base)]
    for name in names:
        check_device(known_precision(name), device)
    refuse_other_models(reference)
    for field, count in (("documents", documents), ("batch", batch)):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10**6:
            raise bad(field, count, "a whole number from 1 to 1,000,000")
    for field, seconds in (("time_budget_s", time_budget_s), ("timeout_s", timeout_s)):
        if not 0 < seconds < 1e9:
            raise bad(field, seconds, "a number of seconds above 0")
    found = read_documents(text)
    found = Documents(found.texts[:documents], (), found.duplicates, found.name)
    labelled = None if task is None else read_documents(task, labelled=True, field="task")
    if labelled is not None and reference.kind == "random":
        raise bad("task", str(task), "no task for random weights: their quality is not measurable")
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    tell = progress or silent
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
    ids = {} if fresh else _stored(kept, shared, names, describe(device)[1])
    missing = [name for name in names if name not in ids]
    if missing:
        missing = [base, *(name for name in missing if name != base)]
        with tempfile.TemporaryDirectory(prefix="costlib-embed-") as folder:
            place = Path(folder)
            (place / "texts.json").write_text(json.dumps(found.texts), encoding="utf-8")
            (place / "task.json").write_text(json.dumps(labelled.texts if labelled else []), encoding="utf-8")
            arguments = {"model": model, "device": device, "batch": batch, "folder": folder}
            runs = _rounds(missing, arguments, time_budget_s, timeout_s, tell)
            rows = []
            for name in missing:
                row = shared | _speed(runs[name], len(found.texts), device) | {"precision": name}
                if row["status"] == "ok":
                    row |= _kept(place, base, name, reference.kind == "random") | _use(place, base, name, labelled)
                rows.append(row | {"run_id": new_id()})
        import pandas as pd

        for row in rows:
            kept.write(EMBEDDINGS, pd.DataFrame([row]), str(row["run_id"]))
            ids[str(row["precision"])] = str(row["run_id"])
    frame = kept.read(EMBEDDINGS).frame.set_index("run_id", drop=False)
    return frame.loc[[ids[name] for name in names]].reset_index(drop=True)


def _material(model: str, texts: Documents, task: Documents | None) -> str:
    """Hash of what the names of a row stand for."""
    read = [texts.texts, [task.texts, task.labels] if task else None, on_disk(model)]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def _stored(store: Store, asked: dict[str, Any], names: Sequence[str], fingerprint: str) -> dict[str, str]:
    """Run ids by precision of the newest stored rows of the same material, settings and environment.

    A crash or a timeout may pass and is tried again; what does not fit or is not supported stays so.
    """
    frame = store.read(EMBEDDINGS).frame
    same = (frame["fingerprint"] == fingerprint) & (frame["status"] != "error")
    for name in ("model", "baseline", "documents", "batch", "material_sha256"):
        same &= frame[name] == asked[name]
    found = frame[same.fillna(False).astype(bool)]
    ids = zip(found["precision"], found["run_id"], strict=True)
    return {str(name): str(run) for name, run in ids if name in names}


def embeddings(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each model, precision, device and text of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["model", "precision", "baseline", "device", "text", "documents", "batch"]
    return kept.read(EMBEDDINGS).frame.drop_duplicates(key, keep="last", ignore_index=True)


@dataclass
class _Runs:
    started_at: str
    outcomes: list[Outcome]

    @property
    def ok(self) -> list[dict[str, Any]]:
        return [one.value for one in self.outcomes if one.status == "ok" and one.value is not None]

    def settled(self, budget_s: float) -> bool:
        if not self.outcomes:
            return False
        if self.outcomes[-1].status != "ok":
            return True
        return settled([value["pass_s"] for value in self.ok], [one.seconds for one in self.outcomes], budget_s)


def _rounds(
    names: Sequence[str], arguments: dict[str, Any], budget_s: float, timeout_s: float, tell: Progress
) -> dict[str, _Runs]:
    """Processes of each precision in shuffled rounds; the baseline's first one goes first."""
    runs = {name: _Runs(datetime.now(UTC).isoformat(timespec="seconds"), []) for name in names}
    shuffled = random.Random(new_id())
    pending = list(names)
    while pending:
        for name in pending:
            done = sum(each.settled(budget_s) for each in runs.values())
            label = f"{arguments['model']} {name}, process {len(runs[name].outcomes) + 1}"

            def show(text: str, label: str = label, done: int = done) -> None:
                tell(Step(f"{label}: {text}", stage="embed", done=done, total=len(names)))

            given = arguments | {"precision": name, "slice_s": budget_s * _SLICE, "keep": not runs[name].outcomes}
            runs[name].outcomes.append(
                run_isolated("costlib.measure.embed:encode_once", given, timeout_s=timeout_s, on_progress=show)
            )
        pending = [name for name in names if not runs[name].settled(budget_s)]
        shuffled.shuffle(pending)
    tell(Step("measured", stage="embed", done=len(names), total=len(names)))
    return runs


def encode_once(
    model: str, precision: str, device: str, batch: int, folder: str, slice_s: float, keep: bool
) -> dict[str, Any]:
    """Encode every document again and again for about `slice_s` seconds; the target of `run_isolated`.

    With `keep` the vectors are left in `folder` as `PRECISION.npy`, those of the task as `PRECISION-task.npy`.
    """
    import time

    from costlib.measure.device import open_device

    place = Path(folder)
    texts = json.loads((place / "texts.json").read_text(encoding="utf-8"))
    task = json.loads((place / "task.json").read_text(encoding="utf-8"))
    hardware = open_device(device)
    encoder = load_encoder(model, precision, device)
    step("warming up")
    vectors = encoder.encode(texts, batch)
    if keep:
        np.save(place / f"{precision}.npy", vectors)
        if task:
            np.save(place / f"{precision}-task.npy", encoder.encode(task, batch))
    hardware.reset_peaks()
    disturbance = hardware.disturbance()
    times: list[float] = []
    flags: list[str] = []
    began = time.perf_counter()
    while not times or (len(times) < _MAXIMUM_PASSES and time.perf_counter() - began < slice_s):
        hardware.synchronize()
        started = time.perf_counter()
        encoder.encode(texts, batch)
        hardware.synchronize()
        times.append(time.perf_counter() - started)
        flags.append(disturbance.reason())
        step(f"pass {len(times)}")
    peaks = hardware.peaks()
    environment, fingerprint = describe(device)
    return {
        "pass_s": times,
        "flags": flags,
        "tokens": sum(encoder.tokens(texts)),
        "width": int(vectors.shape[1]),
        "load_s": encoder.load_s,
        "weight_bytes": encoder.weight_bytes,
        "peak_bytes": peaks.process if peaks.reserved is None else peaks.reserved,
        "kernel": encoder.kernel,
        "weights_note": encoder.weights_note,
        "environment": environment,
        "fingerprint": fingerprint,
    }


def _speed(runs: _Runs, documents: int, device: str) -> dict[str, Any]:
    ok, last = runs.ok, runs.outcomes[-1]
    row: dict[str, Any] = {"started_at": runs.started_at, "status": "ok", "reason": None}
    if not ok:
        environment, fingerprint = describe(device)
        row |= {"status": last.status, "reason": last.reason, "fingerprint": fingerprint}
        return row | {"environment": json.dumps(environment, sort_keys=True)}
    if last.status != "ok":
        row["reason"] = f"1 of {len(runs.outcomes)} processes failed: {last.reason}"
    clean = [[s for s, flag in zip(v["pass_s"], v["flags"], strict=True) if not flag] for v in ok]
    flags = sorted({flag.split(":")[0] for value in ok for flag in value["flags"] if flag})
    reasons = []
    if sum(map(bool, clean)) < min(MINIMUM_PROCESSES, len(ok)):
        clean = [value["pass_s"] for value in ok]
        reasons.append("the machine was busy: too few undisturbed passes, so disturbed ones are in the estimate")
    found = estimate(clean)
    assert found is not None  # an ok process holds at least one pass
    if found.low is None:
        reasons.append(f"one process: an interval needs at least {MINIMUM_PROCESSES}")
    newest = ok[-1]
    for name, count in (("tokens_per_s", newest["tokens"]), ("documents_per_s", documents)):
        speed = rate(count, found)
        row |= {name: speed.value, f"{name}_low": speed.low, f"{name}_high": speed.high}
    peaks = [value["peak_bytes"] for value in ok if value["peak_bytes"] is not None]
    carried = ("tokens", "width", "weight_bytes", "kernel", "weights_note", "fingerprint")
    return (
        row
        | {name: newest[name] for name in carried}
        | {
            "interval_reason": "; ".join(reasons) or None,
            "pass_s": [median(value["pass_s"]) for value in ok],
            "processes": len(ok),
            "flags": "; ".join(flags) or None,
            "load_s": median(value["load_s"] for value in ok),
            "peak_bytes": max(peaks) if peaks else None,
            "environment": json.dumps(newest["environment"], sort_keys=True),
        }
    )


def _kept(place: Path, base: str, name: str, random_weights: bool) -> dict[str, Any]:
    """Fidelity columns, or why there are none."""
    if random_weights:
        return {"fidelity_reason": "random weights: speed and bytes are real, what their vectors mean is not"}
    files = [place / f"{each}.npy" for each in (base, name)]
    if not files[0].exists():
        return {"fidelity_reason": f"the baseline precision {base} gave no vectors"}
    try:
        found = fidelity(*(np.load(file) for file in files))
    except ValueError as error:
        return {"fidelity_reason": str(error)}
    row: dict[str, Any] = {
        "undefined": found.undefined,
        "neighbours": found.neighbours,
        "fidelity_reason": found.reason,
    }
    for column, values in (("cosine", found.cosine), ("overlap", found.overlap)):
        if values is not None and len(values):
            mean, low, high = mean_interval(values, -1.0 if column == "cosine" else 0.0, 1.0)
            row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
    if len(found.cosine):
        row |= {"cosine_min": float(found.cosine.min()), "cosine_p1": float(np.quantile(found.cosine, 0.01))}
    return row


def _use(place: Path, base: str, name: str, task: Documents | None) -> dict[str, Any]:
    """Downstream accuracy of a linear head trained on this precision's own vectors."""
    if task is None:
        return {"task_reason": "no labelled file was given"}
    train, test = split(task.labels)
    if not test:
        return {"task_reason": "every class has one document, so none is left to test on"}

    def right(precision: str) -> Any:
        vectors = np.load(place / f"{precision}-task.npy")
        labels = np.asarray(task.labels)
        return head_right(vectors[train], labels[train].tolist(), vectors[test], labels[test].tolist())

    mine = right(name)
    mean, low, high = mean_interval(mine, 0.0, 1.0)
    row: dict[str, Any] = {"task_items": len(test), "accuracy": mean, "accuracy_low": low, "accuracy_high": high}
    if (place / f"{base}-task.npy").exists():
        mean, low, high = mean_interval(mine - right(base))
        row |= {"accuracy_difference": mean, "accuracy_difference_low": low, "accuracy_difference_high": high}
    return row
