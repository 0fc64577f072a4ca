"""The arithmetic of speculative decoding (Leviathan, Kalman and Matias 2023, sections 2 and 3).

A draft proposes k tokens; the target checks them all in one pass, keeps those it would have chosen itself and adds one
of its own. `alpha` is the chance that a proposed token is kept, given that all before it were: kept tokens over kept
tokens plus checks that ended in a rejection. Tokens behind a rejection were never judged, so kept over proposed, which
is often quoted instead, is lower and belongs to one draft length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from costlib.stats.intervals import share_interval, student


def acceptance(kept: Sequence[int], rejections: Sequence[int]) -> tuple[float, float, float] | None:
    """Alpha and its 95 % interval, from kept tokens and rejecting checks of each prompt; None if nothing was judged.

    Tokens of one text are not independent, so the interval is that of a ratio over prompts (linearised, Student's t;
    Cochran 1977, section 6.4). Few or equal prompts would make it too narrow, so where Clopper and Pearson's interval
    over single tokens reaches further, that end is taken.
    """
    judged = [k + r for k, r in zip(kept, rejections, strict=True)]
    total = sum(judged)
    if not total:
        return None
    alpha = sum(kept) / total
    low, high = share_interval(sum(kept), total)
    prompts = len(judged)
    if prompts > 1:
        squares = sum((k - alpha * n) ** 2 for k, n in zip(kept, judged, strict=True))
        ends = student(alpha, math.sqrt(prompts / (prompts - 1) * squares) / total, prompts - 1)
        low, high = max(0.0, min(low, ends[0])), min(1.0, max(high, ends[1]))
    return alpha, low, high


def tokens_per_check(alpha: float, drafted: int) -> float:
    """Expected tokens of one check of `drafted` proposals: (1 - alpha^(drafted + 1)) / (1 - alpha), equation 1."""
    return float(drafted + 1) if alpha == 1 else (1 - alpha ** (drafted + 1)) / (1 - alpha)


def predicted_speedup(alpha: float, draft_cost: float, drafted: Sequence[int]) -> float:
    """Speed over plain decoding: tokens per check / (g * c + 1), theorem 3.8, where every check has g proposals.

    `draft_cost` is c, the seconds of a draft step over those of a target step. `drafted` are the proposals of each
    check, which differ where a lookup finds none and before the last token. The formula takes a check for one step.
    """
    expected = sum(tokens_per_check(alpha, count) for count in drafted)
    return expected / (draft_cost * sum(drafted) + len(drafted))


def break_even_acceptance(draft_cost: float, drafted: int, check_cost: float = 1.0) -> float | None:
    """Alpha from which a check gives more tokens than it costs target steps; None: at no alpha.

    The cost of a check is `drafted` draft steps and, where not one target step as the formula has it, `check_cost`.
    """
    from scipy.optimize import brentq

    cost = drafted * draft_cost + check_cost
    if cost >= drafted + 1:
        return None
    if cost <= 1:
        return 0.0
    return float(brentq(lambda alpha: tokens_per_check(alpha, drafted) - cost, 0.0, 1.0))
