"""The gate on text: whether a measured variant may appear in a recommendation.

A cheap variant that answers worse than agreed is not cheap, and a broken checkpoint is the cheapest of all. The gate
looks at one QUALITY row and gives one of three answers, as the gate on tasks does; only `passed` is eligible. It passes
a ratio whose 95 % interval lies within the limit: 2.5 % of the variants at the limit, more where few tokens carry the
loss (benchmarks/README.md). Where the ratio is within and its interval is not, there are too few tokens, and the answer
says about how many would do: the interval of the logarithm narrows with their root. Refused is a ratio above the limit,
garbage, and what is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costlib.errors import invalid_input
from costlib.quality.windows import ROLLING
from costlib.stats.margin import Answer
from costlib.tables.schema import is_null

GARBAGE_PERPLEXITY = 200.0
"""Perplexity at or above which weights cannot be what they claim: re-initialised ones show hundreds and more."""
GARBAGE_RATIO = 5.0
"""Perplexity ratio at or above which a variant is broken rather than worse."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer, and why, in words for a reader; `needed` is about how many tokens would pass, if too few."""

    answer: Answer
    reason: str
    needed: int | None = None


def gate(row: Mapping[str, Any], max_perplexity_ratio: float, *, rule: str = ROLLING) -> Verdict:
    """Judge one row of the QUALITY table against the largest perplexity ratio allowed, e.g. 1.05 for 5 % worse.

    A row under another window rule than `rule` is refused: what a limit allows was agreed under one rule.
    Raises `InputError` for a limit below 1 or not finite; a row without the columns it needs is refused, not an error.
    """
    check_limit(max_perplexity_ratio)
    if row.get("status") != "ok":
        return Verdict("refused", f"no quality result: it ended as {row.get('status')} ({row.get('reason')})")
    if isinstance(found := row.get("rule"), str) and found != rule:
        return Verdict("refused", f"its perplexity is {found}, and the gate is about {rule}")
    perplexity, ratio, high = (_number(row.get(name)) for name in (rule, "ppl_ratio", "ppl_ratio_high"))
    if perplexity is None or ratio is None or high is None:
        return Verdict("refused", "its perplexity against the baseline is unknown")
    baseline, model = row.get("baseline", "the baseline"), row.get("baseline_model")
    if isinstance(model, str) and model != row.get("model"):
        baseline = f"{model} at {baseline}"
    if perplexity >= GARBAGE_PERPLEXITY:
        allowed = f"weights that work stay below {GARBAGE_PERPLEXITY:g}"
        return Verdict("refused", f"garbage: perplexity {perplexity:,.1f}, and {allowed}")
    if ratio >= GARBAGE_RATIO:
        return Verdict("refused", f"garbage: perplexity is {ratio:,.1f} times that of {baseline}")
    shown = f"perplexity is {ratio:.3f} times that of {baseline}, at most {high:.3f} at 95 %"
    limit = f"the gate of {max_perplexity_ratio:g}"
    if high <= max_perplexity_ratio:
        return Verdict("passed", f"{shown}, within {limit}")
    if ratio >= max_perplexity_ratio:
        return Verdict("refused", f"{shown}, {'at' if ratio == max_perplexity_ratio else 'above'} {limit}")
    shown += f", so a loss above {limit} is not ruled out"
    tokens, window = _number(row.get("tokens")), _number(row.get("window")) or 1
    if tokens is None:
        return Verdict("too few", shown)
    times_narrower = math.log(high / ratio) / max(math.log(max_perplexity_ratio / ratio), 1e-6)
    needed = int(math.ceil(tokens * times_narrower**2 / window) * window)
    return Verdict("too few", f"{shown}; about {needed:,} tokens would tell", needed)


def check_limit(max_perplexity_ratio: float) -> None:
    """Raise `InputError` for a limit below 1 or not finite."""
    if isinstance(max_perplexity_ratio, bool) or not 1 <= max_perplexity_ratio < math.inf:
        raise invalid_input("max_perplexity_ratio", max_perplexity_ratio, "a finite number of at least 1")


def _number(value: Any) -> float | None:
    """A finite float, or None for every spelling of unknown a frame may hold."""
    return float(value) if not is_null(value) and math.isfinite(value) else None
