"""Loss by context depth: quantization can hurt a token more, the more context it is predicted from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.errors import bad
from costlib.quality.bootstrap import block_bootstrap
from costlib.quality.windows import Rule
from costlib.tables import DEPTHS
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

_Z = 1.959964
_ALIKE = ("text_sha256", "rule", "window", "stride", "tokens")


def by_depth(row: Mapping[str, Any], baseline_row: Mapping[str, Any], *, parts: int = 4) -> pd.DataFrame:
    """What a variant loses on tokens with little and with much context, beside its baseline.

    `row` and `baseline_row` are rows of the QUALITY table for the same tokens under the same rule (from
    `quality_results`). Depth is how many tokens a token is conditioned on; the depths that occur are cut into `parts`
    equal ranges, and each gives one row of the DEPTHS table: mean difference of negative log-likelihood, KL and top-1
    agreement with their block-bootstrap errors. Tokens of a range are taken in the order of the text, so blocks are
    runs of neighbours. A range with fewer than 2 tokens, or a row stored before KL was kept per token, leaves nulls and
    a reason. Raises `InputError` for a row that is not ok or holds no values by token, rows that differ in what they
    scored, or `parts` below 1.
    """
    import pandas as pd

    if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
        raise bad("parts", parts, "a whole number of ranges from 1 on")
    for name, one in (("row", row), ("baseline_row", baseline_row)):
        if one["status"] != "ok":
            raise bad(f"status of {name}", one["status"], "ok")
        if _unknown(one["nll"]):
            raise bad(f"nll of {name}", "none", "values by token; costlib quality --fresh stores them")
    for name in _ALIKE:
        if row[name] != baseline_row[name]:
            raise bad(name, row[name], f"the baseline's, {baseline_row[name]!r}: unlike results are not compared")
    depth = np.array(Rule.of(row["rule"], int(row["window"]), int(row["stride"])).depths(int(row["tokens"])))
    series = {"nll_difference": np.subtract(row["nll"], baseline_row["nll"])}
    kept = not (_unknown(row["kl"]) or _unknown(row["top1"]))
    if kept:
        series |= {"kl_mean": np.array(row["kl"]), "top1_agreement": np.array(row["top1"], dtype=float)}
    edges = np.linspace(depth.min(), depth.max() + 1, parts + 1).round().astype(int)
    rows = []
    for first, last in zip(edges[:-1], edges[1:] - 1, strict=True):
        inside = (depth >= first) & (depth <= last)
        found: dict[str, Any] = {"depth_first": int(first), "depth_last": int(last), "tokens": int(inside.sum())}
        found |= {name: row[name] for name in ("model", "precision", "rule")}
        if found["tokens"] < 2:
            rows.append(found | {"reason": "fewer than 2 tokens have this depth"})
            continue
        for name, values in series.items():
            estimate = block_bootstrap(values[inside])
            low, high = (
                (estimate.low, estimate.high) if name == "nll_difference" else (max(0.0, estimate.low), estimate.high)
            )
            found |= {name: estimate.mean, f"{name}_se": estimate.standard_error}
            found |= {f"{name}_low": low, f"{name}_high": min(1.0, high) if name == "top1_agreement" else high}
            found |= {"nll_p_value": estimate.p_value} if name == "nll_difference" else {}
        found["reason"] = (
            None if kept else "stored before KL and first choices were kept by token; fresh measures again"
        )
        rows.append(found)
    return DEPTHS.validate(pd.DataFrame(rows))


@dataclass(frozen=True)
class Growth:
    """How much more a token loses in the deeper half of the depths, those from `first` to `last`, in nats/token."""

    value: float
    low: float
    high: float
    p_value: float
    first: int
    last: int


def growth(row: Mapping[str, Any], baseline_row: Mapping[str, Any]) -> Growth | None:
    """Loss in the deeper half of the depths less that in the first half, with its 95 % interval and two-sided p-value.

    The halves are different tokens, so the errors of `by_depth` add as those of independent means (a z-test). None
    where a half has fewer than 2 tokens. Raises `InputError` as `by_depth` does.
    """
    near, far = by_depth(row, baseline_row, parts=2).to_dict("records")
    error = math.hypot(near["nll_difference_se"], far["nll_difference_se"])
    if math.isnan(error):
        return None
    value = far["nll_difference"] - near["nll_difference"]
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return Growth(value, value - _Z * error, value + _Z * error, p_value, far["depth_first"], far["depth_last"])


def _unknown(value: object) -> bool:
    return not isinstance(value, list) and (value is None or is_null(value))
