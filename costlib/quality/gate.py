"""The quality gate: whether a measured variant may appear in a recommendation.

A cheap variant that answers worse than agreed is not cheap, and a broken checkpoint is the cheapest of all. The gate
looks at one QUALITY row and refuses in four cases: there is no result, the weights are garbage, the perplexity ratio
is unknown, or the variant is not shown to be non-inferior, i.e. the upper end of the ratio's 95 % interval is above the
limit. So a noisy measurement is refused too, until more tokens settle it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costlib.errors import bad
from costlib.quality.windows import ROLLING
from costlib.tables.schema import is_null

GARBAGE_PERPLEXITY = 200.0
"""Perplexity at or above which weights cannot be what they claim: re-initialised ones show hundreds and more."""
GARBAGE_RATIO = 5.0
"""Perplexity ratio at or above which a variant is broken rather than worse."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why, in words for a reader."""

    passed: bool
    reason: str


def gate(row: Mapping[str, Any], max_perplexity_ratio: float, *, rule: str = ROLLING) -> Verdict:
    """Judge one row of the QUALITY table against the largest perplexity ratio allowed, e.g. 1.05 for 5 % worse.

    A row under another window rule than `rule` is refused: what a limit allows was agreed under one rule.
    Raises `InputError` for a limit below 1 or not finite; a row without the columns it needs is refused, not an error.
    """
    check_limit(max_perplexity_ratio)
    if row.get("status") != "ok":
        return Verdict(False, f"no quality result: it ended as {row.get('status')} ({row.get('reason')})")
    if isinstance(found := row.get("rule"), str) and found != rule:
        return Verdict(False, f"its perplexity is {found}, and the gate is about {rule}")
    perplexity, ratio, high = (_number(row.get(name)) for name in (rule, "ppl_ratio", "ppl_ratio_high"))
    if perplexity is None or ratio is None or high is None:
        return Verdict(False, "its perplexity against the baseline is unknown")
    baseline, model = row.get("baseline", "the baseline"), row.get("baseline_model")
    if isinstance(model, str) and model != row.get("model"):
        baseline = f"{model} at {baseline}"
    if perplexity >= GARBAGE_PERPLEXITY:
        return Verdict(
            False, f"garbage: perplexity {perplexity:,.1f}, and weights that work stay below {GARBAGE_PERPLEXITY:g}"
        )
    if ratio >= GARBAGE_RATIO:
        return Verdict(False, f"garbage: perplexity is {ratio:,.1f} times that of {baseline}")
    shown = f"perplexity is {ratio:.3f} times that of {baseline}, at most {high:.3f} at 95 %"
    if high <= max_perplexity_ratio:
        return Verdict(True, f"{shown}, within the gate of {max_perplexity_ratio:g}")
    if ratio <= max_perplexity_ratio:
        return Verdict(False, f"{shown}, so a loss above the gate of {max_perplexity_ratio:g} is not ruled out")
    return Verdict(False, f"{shown}, above the gate of {max_perplexity_ratio:g}")


def check_limit(max_perplexity_ratio: float) -> None:
    """Raise `InputError` for a limit below 1 or not finite."""
    if isinstance(max_perplexity_ratio, bool) or not 1 <= max_perplexity_ratio < math.inf:
        raise bad("max_perplexity_ratio", max_perplexity_ratio, "a finite number of at least 1")


def _number(value: Any) -> float | None:
    """A finite float, or None for every spelling of unknown a frame may hold."""
    return float(value) if not is_null(value) and math.isfinite(value) else None
