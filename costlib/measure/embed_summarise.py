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

from costlib.measure.campaign import Row
from costlib.measure.estimate import ends, estimate, rate, sureness, undisturbed
from costlib.measure.net_energy import energy_columns
from costlib.measure.roofline import bound_of, judged
from costlib.models.documents import Documents
from costlib.models.vectors import fidelity, head_right, split
from costlib.stats.intervals import mean_interval
from costlib.tables import EMBEDDING_RUNS, EMBEDDINGS
from costlib.tables.schema import is_null

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
    clean, note = undisturbed([list(zip(one["pass_s"], one["flags"], strict=True)) for one in ok])
    found = estimate(clean)
    assert found is not None  # an ok process holds at least one pass
    for name, count in (("tokens_per_s", row["tokens"]), ("documents_per_s", row["documents"])):
        row |= ends(name, rate(count, found))
    peaks = [value["peak_bytes"] for value in ok if not is_null(value["peak_bytes"])]
    row |= sureness(len(ok), [note], [flag for value in ok for flag in value["flags"]])
    row |= {
        "pass_s": [median(value["pass_s"]) for value in ok],
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
            row |= ends(column, mean_interval(values, -1.0 if column == "cosine" else 0.0, 1.0))
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
    row: Row = {"task_items": len(test)} | ends("accuracy", mean_interval(mine, 0.0, 1.0))
    if (place / f"{base}-task.npy").exists():
        row |= ends("accuracy_difference", mean_interval(mine - right(base)))
    return row
