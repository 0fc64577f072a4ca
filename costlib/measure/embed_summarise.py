"""What the processes of an embedding model say: one `embeddings` row of a campaign, and what kept vectors are worth.

Vectors are compared with those of the baseline precision on the same documents: direction and neighbours. A linear head
on the vectors of a labelled file says what they are good for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from costlib.measure.estimate import MINIMUM_PROCESSES, estimate, rate
from costlib.measure.net_energy import energy_columns
from costlib.measure.roofline import bound_of, judged
from costlib.models.documents import Documents
from costlib.models.vectors import fidelity, head_right, mean_interval, split
from costlib.tables import EMBEDDING_RUNS, EMBEDDINGS
from costlib.tables.schema import is_null

Row = dict[str, Any]


_SAME = set(EMBEDDING_RUNS.names) & set(EMBEDDINGS.names) - {"pass_s", "flags", "load_s", "started_at"}
"""Columns that a campaign has from the newest of its processes that knows them."""


def compared(row: Row) -> bool:
    """Whether this process has compared the vectors of its precision, or said why that is impossible."""
    return not (is_null(row.get("undefined")) and is_null(row.get("fidelity_reason")))


def embeddings_row(rows: Sequence[Row]) -> Row:
    """One `embeddings` row of the processes (at least one) of one precision in one campaign."""
    ok, last = [row for row in rows if row["status"] == "ok"], rows[-1]
    row: Row = {"started_at": rows[0]["started_at"]}
    for name in _SAME:
        row[name] = next((one[name] for one in reversed(ok or rows) if not is_null(one.get(name))), None)
    row["run_id"] = last["run_id"]
    if not ok:
        return row
    if last["status"] != "ok":
        row["reason"] = f"1 of {len(rows)} processes failed: {last['reason']}"
    clean = [[s for s, flag in zip(v["pass_s"], v["flags"], strict=True) if not flag] for v in ok]
    reasons = []
    if sum(map(bool, clean)) < min(MINIMUM_PROCESSES, len(ok)):
        clean = [value["pass_s"] for value in ok]
        reasons.append("the machine was busy: too few undisturbed passes, so disturbed ones are in the estimate")
    found = estimate(clean)
    assert found is not None  # an ok process holds at least one pass
    if found.low is None:
        reasons.append(f"one process: an interval needs at least {MINIMUM_PROCESSES}")
    for name, count in (("tokens_per_s", row["tokens"]), ("documents_per_s", row["documents"])):
        speed = rate(count, found)
        row |= {name: speed.value, f"{name}_low": speed.low, f"{name}_high": speed.high}
    peaks = [value["peak_bytes"] for value in ok if not is_null(value["peak_bytes"])]
    row |= {
        "interval_reason": "; ".join(reasons) or None,
        "pass_s": [median(value["pass_s"]) for value in ok],
        "processes": len(ok),
        "flags": "; ".join(sorted({flag.split(":")[0] for value in ok for flag in value["flags"] if flag})) or None,
        "load_s": median(value["load_s"] for value in ok),
        "peak_bytes": max(peaks) if peaks else None,
    }
    row |= energy_columns(ok, [len(value["pass_s"]) for value in ok], {"energy_j_per_token": int(row["tokens"])})
    row |= _limits(ok, found.value)
    if not compared(row):
        row["fidelity_reason"] = f"the baseline precision {row['baseline']} gave no vectors"
    return row


def _limits(ok: Sequence[Row], pass_s: float) -> Row:
    """Shares of the ceilings and what bounds a pass; above the measured bandwidth the row is invalid."""
    newest = next((row for row in reversed(ok) if not is_null(row.get("ceiling_bytes_per_s"))), ok[-1])
    if not is_null(newest.get("ceiling_reason")):
        return {"ceiling_reason": newest["ceiling_reason"]}
    if is_null(newest.get("ceiling_flops_per_s")):
        return {"ceiling_reason": "the ceilings were not measured"}
    bandwidth, product = newest["ceiling_bytes_per_s"], newest["ceiling_flops_per_s"]
    shares = {"mbu": newest["pass_bytes"] / pass_s / bandwidth, "mfu": newest["pass_flops"] / pass_s / product}
    return (
        shares
        | {"ceiling_reason": None, "bound": bound_of(shares["mbu"], shares["mfu"], None)}
        | judged(shares, ["mbu"])
    )


def fidelity_columns(place: Path, base: str, name: str, random_weights: bool) -> dict[str, Any]:
    """Fidelity of the vectors kept in `place`, or why there is none; nothing while the baseline has kept none."""
    if random_weights:
        return {"fidelity_reason": "random weights: speed and bytes are real, what their vectors mean is not"}
    files = [place / f"{each}.npy" for each in (base, name)]
    if not files[0].exists():
        return {}
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


def use_columns(place: Path, base: str, name: str, task: Documents | None) -> dict[str, Any]:
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
