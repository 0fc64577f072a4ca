"""What separates two measurements from chance: the ratio of their speeds, its interval and its p-value.

The ratio is the second over the first, on the logarithms of the processes (each process is one observation). What it
is worth depends on how the two were taken:

- Interleaved, in one call of `measure`: their processes took turns, so what the machine did to a round it did to both.
  The processes of a round are a pair, and the interval is that of a paired t test.
- Apart, in two calls: a shared machine drifts over minutes, processes next to each other are alike, and an interval
  that takes them for independent is too narrow (on a recorded machine, Welch's test calls 16 of 100 pairs of the same
  thing different). Nothing in two calls tells drift from a difference, so the interval allows for a drift as large as
  the spread between the processes: the spread itself, not its standard error.

A difference is called one where p < 0.02, not 0.05, because a measurement that stops when it is precise stops at lucky
moments; benchmarks/repeat_simulation.py shows how often that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from costlib.measure.estimate import log_medians
from costlib.stats.intervals import student

SIGNIFICANT = 0.02


@dataclass(frozen=True)
class Difference:
    """Second over first: the ratio, its 95 % interval and the p-value, None where processes are too few."""

    ratio: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def shown(self) -> bool:
        """Whether the two differ by more than chance explains."""
        return self.p_value is not None and self.p_value < SIGNIFICANT


def paired_difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Difference:
    """Compare positive quantities whose processes took turns: samples by process, the same position in the same round.

    Only rounds in which both have a sample count. Raises `ValueError` where there is none.
    """
    pairs = [log_medians(pair) for pair in zip(first, second, strict=False) if all(pair)]
    deltas = [other - one for one, other in pairs]
    if not deltas:
        raise ValueError("no round in which both have a sample")
    if len(deltas) < 2:
        return Difference(math.exp(mean(deltas)), None, None, None)
    return _student(mean(deltas), stdev(deltas) / math.sqrt(len(deltas)), len(deltas) - 1)


def difference_apart(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Difference:
    """Compare positive quantities measured at different times, given as samples by process.

    The error is that of one process of each, as if all of a measurement's spread were drift that it shares.
    """
    groups = [log_medians(first), log_medians(second)]
    if not all(groups):
        raise ValueError("a group without a sample cannot be compared")
    delta = mean(groups[1]) - mean(groups[0])
    if min(map(len, groups)) < 2:
        return Difference(math.exp(delta), None, None, None)
    return _student(delta, math.hypot(*map(stdev, groups)), sum(map(len, groups)) - 2)


def _student(delta: float, error: float, freedom: int) -> Difference:
    """The ratio, 95 % interval and p-value of a difference of logarithms with this standard error."""
    low, high, p_value = student(delta, error, freedom)
    return Difference(math.exp(delta), math.exp(low), math.exp(high), p_value)
