"""The highest rate that still holds: doubled until one fails, then halved in between, each rate a test of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

CLOSE = 1.1
"""A rate that holds and one that fails are told apart down to this ratio."""
MOST_TESTS = 12
START_PER_S = 1.0


@dataclass(frozen=True)
class Highest:
    """The highest rate seen to hold, and the lowest one seen to fail, requests/s; `reason` where one is missing."""

    rate_per_s: float | None
    fails_at_per_s: float | None
    reason: str | None = None


def bounds(seen: dict[float, bool]) -> Highest:
    """What tests at several rates tell: a rate above one that failed does not count, even if it held."""
    fails = min((rate for rate, held in seen.items() if not held), default=math.inf)
    holds = max((rate for rate, held in seen.items() if held and rate < fails), default=None)
    missing = []
    if holds is None:
        missing.append(f"none of the rates tested holds, the lowest is {min(seen):g} requests/s" if seen else "no test")
    if fails == math.inf and seen:
        missing.append("no rate tested fails: the highest one that holds lies above them")
    return Highest(holds, None if fails == math.inf else fails, "; ".join(missing) or None)


def search(holds: Callable[[float], bool], seen: dict[float, bool], most: int = MOST_TESTS) -> Highest:
    """Test further rates, at most `most`, until the highest that holds is known to within `CLOSE`; `seen` is filled."""
    for _ in range(most):
        found = bounds(seen)
        low, high = found.rate_per_s, found.fails_at_per_s
        if low is not None and high is not None:
            if high / low <= CLOSE:
                break
            rate = math.sqrt(low * high)
        elif low is not None:
            rate = 2 * low
        else:
            rate = high / 2 if high is not None else START_PER_S
        rate = float(f"{rate:.3g}")
        if rate in seen:
            break
        seen[rate] = holds(rate)
    return bounds(seen)


def doubted(found: Highest, tests: pd.DataFrame, share: float) -> Highest:
    """Says so where the tests on both sides of the edge do not prove their side, or the client was in the way."""
    doubts = [found.reason] if found.reason else []
    for row in tests[tests["good_share"].notna()].to_dict("records"):
        rate, low, high = row["rate_per_s"], row["good_share_low"], row["good_share_high"]
        if rate not in (found.rate_per_s, found.fails_at_per_s):
            continue
        if low < share < high:
            said = f"between {low:.0%} and {high:.0%} keep the promise, {share:.0%} are to: more requests would tell"
            doubts.append(f"at {rate:g} requests/s {said}")
        if rate == found.fails_at_per_s and not is_null(row["client_bound"]) and row["client_bound"]:
            doubts.append(f"at {rate:g} requests/s the client was the bottleneck, so the server may do more")
    return replace(found, reason="; ".join(doubts) or None)
