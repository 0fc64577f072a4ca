"""What a user was promised, which requests kept it, and the highest rate that still keeps it.

A request that failed or was cut keeps nothing. Latencies count from the schedule: whoever came in time and waited in
the client's own queue has waited. Time per token binds only answers of more than one token. The highest rate is
searched by doubling until one fails, then halving in between, each rate a test of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from costlib.errors import bounded
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd


CLOSE = 1.1
"""A rate that holds and one that fails are told apart down to this ratio."""
MOST_TESTS = 12
START_PER_S = 1.0


@dataclass(frozen=True)
class Slo:
    """Limits in seconds, None where there is none; `share` of the requests must keep all of them."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    share: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        for name, limit in (("slo_ttft_s", self.ttft_s), ("slo_tpot_s", self.tpot_s), ("slo_e2e_s", self.e2e_s)):
            if limit is not None:
                bounded(name, limit, 1e-6, 1e9)
        bounded("slo_share", self.share, 1e-6, 1 - 1e-6)

    @property
    def given(self) -> bool:
        """Whether anything is promised."""
        return (self.ttft_s, self.tpot_s, self.e2e_s) != (None, None, None)

    def kept(self, answers: pd.DataFrame, *, since: str = "scheduled") -> pd.Series[bool]:
        """Whether each whole answer keeps every limit, from its schedule or from its being `sent`."""
        kept = answers["outcome"] == "ok"
        limits = {f"ttft_{since}_s": self.ttft_s, "stream_tpot_s": self.tpot_s, f"e2e_{since}_s": self.e2e_s}
        for name, limit in limits.items():
            if limit is not None:
                kept &= ~(answers[name] > limit)  # no second token, no time per token: kept
        return kept


def holds(tests: pd.DataFrame) -> pd.Series[bool]:
    """Whether each test (table `loads`) kept its promise: steady, with enough requests that kept it."""
    steady = tests["stationary"].astype("boolean").fillna(True).astype(bool)
    return tests["status"].eq("ok") & steady & (tests["good_share"] >= tests["slo_share"]).fillna(False).astype(bool)


def in_doubt(tests: pd.DataFrame) -> pd.Series[bool]:
    """Whether its interval leaves open that a test holds, or a busy client that it does not."""
    between = (tests["good_share_low"] < tests["slo_share"]) & (tests["slo_share"] < tests["good_share_high"])
    busy = tests["client_bound"].astype("boolean").fillna(False).astype(bool)
    return between.fillna(False).astype(bool) | (busy & ~holds(tests) & tests["good_share"].notna())


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
