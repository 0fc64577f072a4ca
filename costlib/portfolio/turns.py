"""Where the cheapest plan changes while one number of the assignment does.

Along a straight way, as of a cost of a miss or a price, every plan costs a line, so the cheapest plan is the lower
envelope of lines, and it changes where two neighbours of it cross: solve at both ends, then where their lines cross,
and again on either side for as long as a cheaper plan turns up there (Eisner and Severance 1976, J ACM 23:619). With a
budget a plan that can only be paid on a part of the way may be overlooked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from scipy.optimize import brentq

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.problem import Floats, Ints, Problem, limited_usd, total_usd

Way = Callable[[float], Problem]
"""The assignment at each value of the number that changes."""
Turn = tuple[float, Ints]
"""A value, and the cheapest plan from there on."""


def turns(way: Way, near: float, plan: Ints, far: float) -> Iterator[Turn]:
    """Where the cheapest plan changes, from `near`, where it is `plan`, to `far`, or as far as a plan can be made."""
    for _ in range(30):
        try:
            last = solve(way(far)).choice
        except Infeasible:
            far = (near + far) / 2
        else:
            yield from between(way, near, plan, far, last)
            return


def first(turns: Iterator[Turn], w: int, own: int) -> tuple[float, int] | None:
    """Value and option of the first turn that moves a workload."""
    return next(((at, int(plan[w])) for at, plan in turns if plan[w] != own), None)


def between(way: Way, near: float, before: Ints, far: float, after: Ints) -> Iterator[Turn]:
    """The same between two values whose cheapest plans are known."""

    def gain(at: float) -> float:
        problem = way(at)
        return limited_usd(problem, before) - limited_usd(problem, after)

    if gain(far) <= _rounding(way(far), after):
        return
    at = inside = near
    if gain(near) < 0:
        width = 1e-12 * (near or far)
        found, little = float(brentq(gain, near, far, xtol=width)), math.copysign(4 * width, far - near)
        at, inside = (found, found - little) if gain(found) >= 0 else (found + little, found)
    step = gain(inside) < -_rounding(way(inside), before)  # a whole replica more or less; either side is looked at
    for probe in (inside, at) if step else (at,):
        problem = way(probe)
        middle = solve(problem).choice
        least = min(limited_usd(problem, before), limited_usd(problem, after))
        if limited_usd(problem, middle) < least - _rounding(problem, after):
            yield from between(way, near, before, probe, middle)
            yield from between(way, probe, middle, far, after)
            return
    yield at, after


def _rounding(problem: Problem, plan: Ints) -> float:
    return 1e-9 * total_usd(problem, plan)


def with_row(problem: Problem, w: int, **rows: Floats) -> Problem:
    """The problem with other numbers for one workload."""
    arrays = {name: getattr(problem, name).copy() for name in rows}
    for name, row in rows.items():
        arrays[name][w] = row
    return replace(problem, **arrays)
