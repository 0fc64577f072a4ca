"""A staircase against a line: every place where the cheaper one changes, exactly.

With volume v and n(v) = max(least, v / capacity rounded up) steps,

    self(v) = fixed + n(v) * step + v * variable          api(v) = api_fixed + v * price

Inside a step the two meet at most once; at the end of a step the staircase may jump over the line. Both happen on
ranges of n given by two linear inequalities, so all changes are found in fractions, without a grid, and counted without
being listed. A volume where the two are only equal is no change.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Staircase:
    """The problem in exact fractions: costs in $ per month, `capacity` in requests per step and month, above 0.

    `least` and `most` bound the steps; `most` None means no bound.
    """

    step: Fraction
    capacity: Fraction
    variable: Fraction
    fixed: Fraction
    price: Fraction
    api_fixed: Fraction
    least: int
    most: int | None

    @property
    def reach(self) -> Fraction | None:
        """The largest volume that can be served; None without a bound."""
        return None if self.most is None else self.capacity * self.most

    @property
    def gain(self) -> Fraction:
        """What one more request saves against the API while the steps stay the same."""
        return self.price - self.variable

    @property
    def gap(self) -> Fraction:
        """How much more is fixed in self-hosting."""
        return self.fixed - self.api_fixed

    def steps(self, volume: Fraction) -> int:
        """Steps paid for at a volume."""
        return max(self.least, math.ceil(volume / self.capacity))

    def self_usd(self, volume: Fraction) -> Fraction:
        """Cost of self-hosting a volume."""
        return self.fixed + self.steps(volume) * self.step + volume * self.variable

    def api_usd(self, volume: Fraction) -> Fraction:
        """Cost of the API for a volume."""
        return self.api_fixed + volume * self.price

    def change_at(self, n: int, at_jump: bool) -> Fraction:
        """The volume of the change inside step n or at its end."""
        return n * self.capacity if at_jump else (self.gap + n * self.step) / self.gain


@dataclass(frozen=True)
class Steps:
    """The steps `start` to `end` inclusive; `end` None goes on for ever, `end < start` is empty."""

    start: int
    end: int | None

    def __iter__(self) -> Iterator[int]:
        """Every step, in order."""
        return itertools.count(self.start) if self.end is None else iter(range(self.start, self.end + 1))

    def within(self, least: int, most: int | None) -> Steps:
        """The steps that also lie between `least` and `most`."""
        ends = [end for end in (self.end, most) if end is not None]
        return Steps(max(self.start, least), min(ends) if ends else None)


@dataclass(frozen=True)
class Changes:
    """Where the cheaper side changes; `self_first`: self-hosting is cheaper from the first request on.

    `ranges` holds steps with a change inside (False) or at their end (True).
    """

    self_first: bool
    ranges: tuple[tuple[Steps, bool], ...] = ()

    @property
    def total(self) -> int | None:
        """How many changes there are; None for infinitely many."""
        ends = [(steps.end, steps.start) for steps, _ in self.ranges]
        return None if any(end is None for end, _ in ends) else sum(max(0, (e or 0) - start + 1) for e, start in ends)

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        """Every change as step and whether it is at the step's end, by volume."""
        return heapq.merge(*(zip(steps, itertools.repeat(at_jump)) for steps, at_jump in self.ranges))

    def last(self) -> tuple[int, bool] | None:
        """The change at the largest volume; None where there is none, or no end of them."""
        ends = [(s.end, at_jump) for s, at_jump in self.ranges if s.end is not None and s.end >= s.start]
        return max(ends) if ends and self.total is not None else None


def changes(stairs: Staircase) -> Changes:
    """Find every change. With D = self - api, D is gap + n * step - gain * v on step n."""
    gain, gap, least, most = stairs.gain, stairs.gap, max(1, stairs.least), stairs.most
    if gain <= 0:
        return _rising(stairs, least)
    at_start = gap + stairs.step * least
    per_step = gain * stairs.capacity
    slope = per_step - stairs.step  # what one more full step saves
    first = Steps(least, least) if at_start > 0 and least * slope > gap else Steps(1, 0)
    inside = _between(gap, slope, gap + per_step).within(least + 1, most)
    jumps = _between(gap, slope, gap + stairs.step).within(least, None if most is None else most - 1)
    return Changes(at_start <= 0, ((first, False), (inside, False), (jumps, True)))


def _rising(stairs: Staircase, least: int) -> Changes:
    """The change where a request costs at least as much self-hosted: D only rises, so its sign changes once at most."""
    gain, gap = stairs.gain, stairs.gap
    if gap + stairs.step * least >= 0:
        return Changes(False)
    n = max(least, math.floor(-gap / (stairs.step - gain * stairs.capacity)) + 1)  # first to end dearer than the API
    if stairs.most is not None and n > stairs.most:
        return Changes(True)
    begins_dearer = n > least and gap + stairs.step * n - gain * (n - 1) * stairs.capacity >= 0
    return Changes(True, ((Steps(n - 1, n - 1), True) if begins_dearer else (Steps(n, n), False),))


def _between(low: Fraction, slope: Fraction, high: Fraction) -> Steps:
    """Whole n >= 1 with low < n * slope < high."""
    if slope == 0:
        return Steps(1, None) if low < 0 < high else Steps(1, 0)
    first, last = (low / slope, high / slope) if slope > 0 else (high / slope, low / slope)
    return Steps(max(1, math.floor(first) + 1), math.ceil(last) - 1)
