"""Loss by context depth: quantization can hurt a token more, the more context it is predicted from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from costlib.errors import invalid_input
from costlib.quality.windows import Rule
from costlib.stats.bootstrap import Estimate, block_bootstrap
from costlib.stats.intervals import ENDS

_ALIKE = ("text_sha256", "rule", "window", "stride", "tokens")
_Z = float(stats.norm.ppf(ENDS[1]))


class Part(NamedTuple):
    """Loss against the baseline, in nats/token, of the tokens that are conditioned on `first` to `last` tokens."""

    first: int
    last: int
    loss: Estimate


def by_depth(row: Mapping[str, Any], baseline_row: Mapping[str, Any], *, parts: int = 4) -> list[Part] | None:
    """What a variant loses on tokens with little and with much context, beside its baseline.

    `row` and `baseline_row` are rows of the QUALITY table for the same tokens under the same rule (from
    `quality_results`). Depth is how many tokens a token is conditioned on; the depths that occur are cut into `parts`
    equal ranges. Tokens of a range are taken in the order of the text, so blocks are runs of neighbours. None where a
    range has fewer than 2 tokens. Raises `InputError` for a row that is not ok or holds no values by token, and for
    rows that differ in what they scored.
    """
    for name, one in (("row", row), ("baseline_row", baseline_row)):
        if one["status"] != "ok":
            raise invalid_input(f"status of {name}", one["status"], "ok")
        if not isinstance(one["nll"], list):
            raise invalid_input(f"nll of {name}", "none", "values by token; costlib quality --fresh stores them")
    for name in _ALIKE:
        if row[name] != baseline_row[name]:
            raise invalid_input(
                name, row[name], f"the baseline's, {baseline_row[name]!r}: unlike results are not compared"
            )
    depth = np.array(Rule.of(row["rule"], int(row["window"]), int(row["stride"])).depths(int(row["tokens"])))
    loss = np.subtract(row["nll"], baseline_row["nll"])
    edges = np.linspace(depth.min(), depth.max() + 1, parts + 1).round().astype(int)
    ranges = list(zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), strict=True))
    found = [loss[(depth >= first) & (depth <= last)] for first, last in ranges]
    if min(map(len, found)) < 2:
        return None
    return [Part(*ends, block_bootstrap(values)) for ends, values in zip(ranges, found, strict=True)]


class Growth(NamedTuple):
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
    halves = by_depth(row, baseline_row, parts=2)
    if halves is None:
        return None
    near, far = halves
    error = math.hypot(near.loss.standard_error, far.loss.standard_error)
    value = far.loss.mean - near.loss.mean
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return Growth(value, value - _Z * error, value + _Z * error, p_value, far.first, far.last)
