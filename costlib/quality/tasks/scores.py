"""From answers to scores: each with an interval, each paired with its baseline on the same items, and the gate.

The interval of a score is Wilson's where items are right or wrong, count alike and stand alone, or all are alike (then
over clusters); the clustered bootstrap otherwise. Items without an answer widen it: its low end counts them as 0, its
high end as 1; above 5 % of the items the row is invalid.

A difference is paired by item. Right-or-wrong items are tested by McNemar, others by the bootstrap over items or whole
clusters. Its interval, and with it the gate, comes from tests that keep their error rate where little or nothing
flipped (costlib.stats.margin); the gate answers passed, refused, or too few items, with the number needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.errors import invalid_input
from costlib.models.precision import PRECISIONS
from costlib.quality.tasks.answers import stored_answers
from costlib.stats.bootstrap import paired_bootstrap
from costlib.stats.margin import NonInferiority, betting_margin, exact_margin
from costlib.stats.paired import (
    holm,
    mcnemar,
    minimum_detectable_accuracy,
    minimum_detectable_effect,
    wilson,
)
from costlib.tables import TASK_SCORES
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

    from costlib.store import Store

MOST_FAILED = 0.05
"""Share of items without an answer above which a score is not one."""
_WHO = ["task", "model", "precision", "engine"]


def task_scores(
    answers: pd.DataFrame,
    *,
    baseline: tuple[str, str | None] | None = None,
    margin: float | Mapping[str, float] = 0.01,
) -> pd.DataFrame:
    """One TASK_SCORES row per task, model, precision and engine of an ANSWERS frame with one answer per item.

    `baseline` is a model and a precision (None: an endpoint); `margin` the largest loss allowed, for all or by task.
    Raises `InputError` for a margin that is no share or an item answered twice by one model.
    """
    rows: list[dict[str, Any]] = []
    for (task, model, precision, engine), own in answers.groupby(_WHO, dropna=False, sort=False):
        if own["item"].duplicated().any():
            raise invalid_input(
                "item", own["item"][own["item"].duplicated()].iloc[0], "one answer of each model", str(task)
            )
        allowed = margin if isinstance(margin, (int, float)) else margin[str(task)]
        if not 0 < allowed < 1:
            raise invalid_input("margin", allowed, "a share between 0 and 1, e.g. 0.01 for one point", str(task))
        name = None if is_null(precision) else str(precision)
        row = {"task": task, "model": model, "precision": name, "engine": engine, "kind": "measured"} | _alone(own)
        if own["task_kind"].iloc[0] == "preference":
            row |= _judged(own)
        elif baseline is not None:
            row |= {"baseline": " ".join(part for part in baseline if part), "margin": allowed}
            if (model, name) != baseline:
                other = answers[(answers["task"] == task) & (answers["model"] == baseline[0])]
                right = other["precision"].isna() if baseline[1] is None else other["precision"] == baseline[1]
                row |= _paired(other[right], own, allowed)
            if row["status"] != "ok":
                row |= {"gate": "refused", "gate_reason": row["reason"]}
        rows.append(row)
    known = [row for row in rows if row.get("p_value") is not None]
    for row, adjusted in zip(known, holm([row["p_value"] for row in known]), strict=True):
        row["p_holm"] = adjusted
    return TASK_SCORES.of(rows)


def stored_scores(store: Store | str | None = None) -> pd.DataFrame:
    """TASK_SCORES rows of every model with stored answers, each beside its own 16-bit precision where that answered.

    Args:
        store: A store or its folder [default: the default store].
    """
    import pandas as pd

    found = []
    for model, own in stored_answers(store or None).groupby("model", sort=False):
        dense = [name for name in own["precision"].dropna().unique() if PRECISIONS[name].linear_bits == 16]
        found.append(task_scores(own, baseline=(str(model), str(dense[0])) if dense else None))
    return pd.concat(found, ignore_index=True) if found else TASK_SCORES.of([])


def _alone(own: pd.DataFrame) -> dict[str, Any]:
    """What one model's answers say by themselves."""
    answered = own[own["status"] == "ok"]
    n, failed = len(own), len(own) - len(answered)
    notes = own["weights_note"].dropna()
    row: dict[str, Any] = {
        "task_kind": own["task_kind"].iloc[0],
        "date": str(own["started_at"].max())[:10],
        "n": n,
        "failed": failed,
        "status": "ok",
        "weights_note": notes.iloc[0] if len(notes) else None,
        **{name: _mean(answered[name]) for name in ("input_tokens", "output_tokens")},
        "usd_per_answer": _mean(answered["usd"]),
        "spent_usd": None if answered["usd"].isna().all() else float(own["usd"].sum()),
    }
    if failed > MOST_FAILED * n:
        reasons = own.loc[own["status"] != "ok", "reason"].value_counts()
        row |= {"status": "invalid", "reason": f"{failed} of {n} items have no answer, most often: {reasons.index[0]}"}
    if not len(answered):
        return row
    score, weight, all_weight = (_numbers(one) for one in (answered["score"], answered["weight"], own["weight"]))
    if weight.sum() <= 0 < all_weight.sum():
        return row | {"status": "invalid", "reason": "no item that has a weight was answered"}
    if weight.sum() <= 0:
        raise invalid_input("weight", "all 0", "at least one item with a weight above 0", str(own["task"].iloc[0]))
    right, clusters = (score >= 1).astype(np.float64), _clusters(answered)
    once = np.ones(len(right))
    for name, values, weights, most in (("success", right, once, n), ("score", score, weight, all_weight.sum())):
        row[name] = float((values * weights).sum() / weights.sum())
        low, high, why = _interval(values, weights, clusters)
        row["reason"] = row.get("reason") or why
        if low is not None and high is not None:
            kept = weights.sum() / most
            row |= {f"{name}_low": low * kept, f"{name}_high": high * kept + 1 - kept}
    misses = _numbers(answered["cost_of_miss"])
    if not np.isnan(misses).any():
        row["cost_of_misses"] = float(((1 - right) * misses).mean())
    details = [json.loads(text) for text in answered["detail"]]
    for column, key in (("valid_json", "valid_json"), ("recall_at_k", "recall")):
        if all(key in detail for detail in details):
            row[column] = float(np.mean([float(detail[key]) for detail in details]))
    return row


def _interval(
    score: np.ndarray, weight: np.ndarray, clusters: list[str] | None
) -> tuple[float | None, float | None, str | None]:
    """Ends of the interval of a weighted mean, or the reason why there are none."""
    counts = weight > 0
    score, weight = score[counts], weight[counts]
    clusters = None if clusters is None else [one for one, some in zip(clusters, counts, strict=True) if some]
    if len(score) < 2:
        return None, None, "one item gives no interval"
    units = len(score) if clusters is None else len(set(clusters))
    if units < 2:
        return None, None, "one cluster gives no interval"
    same = bool((score == score[0]).all())
    if set(score) <= {0.0, 1.0} and (same or (clusters is None and (weight == weight[0]).all())):
        return *wilson(round(float(score.mean()) * units), units), None
    if same:
        return None, None, "all scores are equal, which leaves no spread to estimate an interval from"
    found = paired_bootstrap(np.zeros(len(score)), score * weight / weight.mean(), clusters=clusters)
    return max(0.0, found.low), min(1.0, found.high), None


def _clusters(answered: pd.DataFrame) -> list[str] | None:
    """The clusters of items; an item without one stands alone. None where all do."""
    if answered["cluster"].isna().all():
        return None
    pairs = zip(answered["item"], answered["cluster"], strict=True)
    return [f"item {item}" if is_null(cluster) else f"cluster {cluster}" for item, cluster in pairs]


def _paired(baseline: pd.DataFrame, own: pd.DataFrame, margin: float) -> dict[str, Any]:
    """Comparison with the baseline on the items both answered."""
    both = own[(own["status"] == "ok") & (own["weight"] > 0)].merge(  # what weighs nothing tells nothing
        baseline.loc[baseline["status"] == "ok", ["item", "score", "label_sha256"]], on="item", suffixes=("", "_before")
    )
    n = len(both)
    if n < 2:
        return {"gate": "refused", "gate_reason": f"the baseline answered {n} of the same items"}
    if (both["label_sha256"] != both["label_sha256_before"]).any():
        raise invalid_input(
            "task", str(own["task"].iloc[0]), "the same items for both (an input or a label changed in between)"
        )
    first, second, weight = (_numbers(both[name]) for name in ("score_before", "score", "weight"))
    gained, lost, clusters = int((second > first).sum()), int((second < first).sum()), _clusters(both)
    row: dict[str, Any] = {"gained": gained, "lost": lost, "flip_share": (gained + lost) / n}
    if set(first) | set(second) <= {0.0, 1.0} and (weight == weight[0]).all() and clusters is None:
        p_value, test = mcnemar(gained, lost)
        row |= {"p_value": p_value, "test": f"McNemar, {test}"}
        row["detectable"] = minimum_detectable_accuracy(row["flip_share"], n) if gained + lost else None
        found = exact_margin(gained, lost, n, margin)
    else:
        if clusters is None or len(set(clusters)) > 1:
            scale = weight / weight.mean()
            estimate = paired_bootstrap(first * scale, second * scale, clusters=clusters)
            how = "bootstrap over items" if clusters is None else "bootstrap over clusters"
            row |= {"p_value": estimate.p_value, "test": how}
            spread = estimate.standard_error * math.sqrt(n)
            row["detectable"] = minimum_detectable_effect(spread, n) if spread > 0 else None
        found = betting_margin(second - first, margin, weights=weight, clusters=clusters)
    row |= {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
    return row | {"gate": found.answer, "gate_reason": _said(found, n, margin)}


def _said(found: NonInferiority, n: int, margin: float) -> str:
    """The gate's answer as a reason."""
    allowed = f"{100 * margin:g} allowed"
    loss, most = (f"{points:.2g}" if points < 99.5 else "100" for points in (-100 * found.difference, -100 * found.low))
    if found.answer == "passed":
        return f"loses at most {most if found.low < 0 else 0} points, {allowed}"
    if found.answer == "refused":
        return f"loses {loss} points, perhaps {most}, {allowed}"
    more = f"{n} items cannot tell, about {found.needed:,} like them could"
    return f"may lose {most} points, {allowed}; {more}"


def _judged(own: pd.DataFrame) -> dict[str, Any]:
    """A win rate is compared with a half, what two equal models would have."""
    against = {json.loads(text)["against"] for text in own["detail"]}
    score = _numbers(own["score"])
    row: dict[str, Any] = {"baseline": ", ".join(sorted(against))}
    if len(score) < 2:
        return row
    found = paired_bootstrap(np.full(len(score), 0.5), score, clusters=_clusters(own))
    return row | {
        "difference": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
        "test": "bootstrap over judged inputs, against a half",
    }


def _numbers(column: pd.Series[Any]) -> np.ndarray:
    return np.asarray(column.astype("float64"), dtype=np.float64)


def _mean(column: pd.Series[Any]) -> float | None:
    """Mean, unknown where any value is."""
    return None if not len(column) or column.isna().any() else float(column.mean())
