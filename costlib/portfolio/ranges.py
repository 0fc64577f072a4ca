"""Where a number falls in its range: a beta distribution over (low, value, high), with the value as its mean.

With m the place of the value between the ends (kept 5 % of the range away from them) the shapes are 6 m and 6 (1 - m):
as spread out as the PERT distribution of project planning, whose value is the mode instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebval, chebvander
from scipy.special import betaincinv, ndtr, ndtri

from costlib.portfolio.problem import Flags, Floats, Ints

_MIDDLE, _HALF = 0.5, 0.45
"""The places of a value between its ends: 0.05 to 0.95."""
_FARTHEST = 7.0
"""Standard deviations from the median that a draw is at most; one in 10^12 is farther."""
_COLUMNS = 32


@dataclass(frozen=True)
class Draws:
    """Draws of the numbers of a factor: number n is `place[d, column[n]]` of its range above its low end in draw d."""

    place: Floats
    column: Ints

    def __getitem__(self, block: slice) -> Draws:
        """Some of the draws."""
        return Draws(self.place[block], self.column)


def between(ends: Floats, at: float | Floats | Draws) -> Floats:
    """The numbers whose `ends` are (low, value, high) on the first axis, at a quantile or as drawn."""
    low, value, high = ends
    if isinstance(at, Draws):
        return np.asarray(low + (high - low) * at.place[:, at.column])
    found, wide = np.array(value, dtype=float), high > low
    shape, quantile = _shape(ends, wide), np.broadcast_to(at, wide.shape)[wide]
    found[wide] = low[wide] + (high - low)[wide] * betaincinv(6 * shape, 6 * (1 - shape), quantile)
    return found


def draws(ends: Floats, quantiles: Floats, column: Ints) -> Draws:
    """Draws of numbers (...) from their quantiles (D, K), of which each has the one of its `column` (...).

    What several numbers share, the quantile and the shape of the range, is computed once.
    """
    wide = np.asarray(ends[2] > ends[0])
    each = np.stack([column[wide], _shape(ends, wide).round(13)])
    (of, shape), same = np.unique(each, axis=1, return_inverse=True) if wide.any() else (each, 0)
    place, found = np.zeros((len(quantiles), max(len(of), 1))), np.zeros(wide.shape, dtype=np.int64)
    found[wide] = np.ravel(same)
    terms = chebvander((shape - _MIDDLE) / _HALF, len(_terms()) - 1) @ _terms()
    for start in range(0, len(of), _COLUMNS):
        some = slice(start, start + _COLUMNS)
        z = np.clip(ndtri(quantiles[:, of[some].astype(int)]) / _FARTHEST, -1, 1)
        place[:, some] = chebval(z, terms[some].T, tensor=False)
    return Draws(place, found)


def _shape(ends: Floats, wide: Flags) -> Floats:
    """m of those numbers that have a range."""
    low, value, high = (np.asarray(end)[wide] for end in ends)
    return np.asarray(np.clip((value - low) / (high - low), _MIDDLE - _HALF, _MIDDLE + _HALF))


@cache
def _terms() -> Floats:
    """Chebyshev terms of the quantile function over m and over the normal quantile: right to 1e-12 of the range.

    The inverse of the incomplete beta function takes 2 microseconds a number, this a tenth.
    """
    shapes, points = chebpts1(64), chebpts1(96)
    m, z = (_MIDDLE + _HALF * shapes)[:, None], _FARTHEST * points
    flip = z > 0  # from the near end, because 1 - q has no digits left there
    near = betaincinv(6 * np.where(flip, 1 - m, m), 6 * np.where(flip, m, 1 - m), ndtr(-np.abs(z)))
    values = np.where(flip, 1 - near, near)
    by_shape = np.linalg.solve(chebvander(shapes, len(shapes) - 1), values)
    return np.asarray(np.linalg.solve(chebvander(points, len(points) - 1), by_shape.T).T)
