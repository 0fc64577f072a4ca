"""What a student keeps of its teacher's score, and how much faster it is: both paired, both with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from costlib.stats.bootstrap import Values, pair, resampled_ratio
from costlib.stats.intervals import ENDS, quantile_interval
from costlib.stats.paired import agresti_min

_ROUNDS = 11
_SHORTEST_PASS_S = 0.05


class Ratio(NamedTuple):
    """A ratio and its 95 % interval; None with the reason where it or the interval is undefined."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def retention(
    teacher: Values, student: Values, *, clusters: Sequence[object] | None = None, resamples: int = 10_000
) -> Ratio:
    """Mean score of the student over the teacher's on the same items, with a paired bootstrap of the ratio.

    Items are resampled together for both, or whole clusters where items come in groups (tokens of one passage), and
    the interval is the percentile one. Of single items that are right or wrong it is never narrower than what their
    paired difference allows (Agresti and Min 2005): items that all agree would otherwise leave no doubt. Undefined
    where the teacher scores 0. Raises `InputError` for series that do not belong together, scores that are not finite,
    or fewer than 2 items.
    """
    first, second = pair(teacher, student)
    if first.sum() <= 0:
        return Ratio(None, None, None, "the teacher scores 0, so there is nothing to retain")
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = resampled_ratio(second[:, None], first, clusters=clusters, resamples=resamples)[:, 0]
    value = float(second.sum() / first.sum())
    if not np.isfinite(drawn).all():
        return Ratio(value, None, None, "too few items the teacher gets right for an interval")
    low, high = np.quantile(drawn, ENDS)
    if clusters is None and np.isin([first, second], (0, 1)).all():
        gained, lost = int((second > first).sum()), int((second < first).sum())
        ends = [1 + end / first.mean() for end in agresti_min(gained, lost, len(first))]
        low, high = min(low, ends[0]), max(high, ends[1])
    return Ratio(value, float(low), float(high))


def median_interval(values: Sequence[float]) -> Ratio:
    """Median and its distribution-free interval."""
    middle, low, high = quantile_interval(values, 0.5)
    few = f"{len(values)} rounds: an interval of a median needs at least 6" if low is None else None
    return Ratio(middle, low, high, few)


class Race(NamedTuple):
    """Speed-up, and items per second of both: medians over rounds in which both ran in turn."""

    speedup: Ratio
    teacher: Ratio
    student: Ratio


def race(
    teacher: Callable[[], object],
    student: Callable[[], object],
    items: int,
    *,
    rounds: int = _ROUNDS,
    synchronize: Callable[[], None] = lambda: None,
) -> Race:
    """Time both on the same `items`, alternating who goes first; a short pass is repeated until a clock can time it."""

    def timed(work: Callable[[], object], times: int = 1) -> float:
        synchronize()
        started = time.perf_counter()
        for _ in range(times):
            work()
        synchronize()
        return (time.perf_counter() - started) / times

    both = (teacher, student)
    for work in both:
        work()
    repeats = [max(1, math.ceil(_SHORTEST_PASS_S / max(timed(work), 1e-6))) for work in both]
    seconds = np.empty((rounds, 2))
    for turn in range(rounds):
        for who in (0, 1) if turn % 2 else (1, 0):
            seconds[turn, who] = timed(both[who], repeats[who])
    return Race(*(median_interval(rates.tolist()) for rates in (seconds[:, 0] / seconds[:, 1], *(items / seconds).T)))
