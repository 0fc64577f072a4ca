"""Right and wrong answers to the same items: is a variant worse, by how much, and could so few items tell?

The tests are McNemar's, on the items whose answer changed: b gained (wrong to right), c lost (right to wrong). Beside
them stand what is decided before and after: the smallest difference that would be found, and the price of many
comparisons. A margin that a loss must stay within is in `margin`, scores that are not right or wrong in `bootstrap`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

from costlib.stats.bootstrap import Values
from costlib.stats.intervals import CONFIDENCE, ENDS

EXACT_BELOW = 25
"""McNemar's test is exact while fewer items than this changed."""
_Z = float(stats.norm.ppf(ENDS[1]))
"""Of a two-sided test at 5 %."""
_Z_POWER = float(stats.norm.ppf(0.8))
"""Of a power of 80 %."""


def mcnemar(gained: int, lost: int) -> tuple[float, str]:
    """P-value, and which test it is: exact when b + c < 25, else chi-square with continuity (Edwards 1948)."""
    flips = gained + lost
    if flips < EXACT_BELOW:
        return (float(stats.binomtest(gained, flips, 0.5).pvalue) if flips else 1.0), "exact"
    return float(stats.chi2.sf(max(0, abs(gained - lost) - 1) ** 2 / flips, 1)), "chi-square with continuity"


def agresti_min(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Interval of a paired difference of shares, (gained - lost) / n, that holds up when little or nothing flipped.

    The normal interval, whose error is sqrt((b + c) / n - d^2) / sqrt(n), with half an item added to each of the four
    cells (Agresti and Min 2005).
    """
    total = n + 2
    difference = (gained - lost) / total
    error = math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / total) / total
    return max(-1.0, difference - error * _Z), min(1.0, difference + error * _Z)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927)."""
    found = stats.binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def share_low(right: int, n: int, alpha: float) -> float:
    """Low end of a share that is above the true one with a probability of at most `alpha` (Clopper and Pearson)."""
    return float(stats.binomtest(right, n, alternative="greater").proportion_ci(1 - alpha).low)


def minimum_detectable_effect(standard_deviation: float, n: int) -> float:
    """Smallest mean paired difference that a two-sided 5 % test of `n` pairs finds with a power of 80 %.

    `standard_deviation` is that of the differences: (z_0.975 + z_0.8) * deviation / sqrt(n).
    """
    return (_Z + _Z_POWER) * standard_deviation / math.sqrt(n)


def minimum_detectable_accuracy(flip_share: float, n: int) -> float | None:
    """Smallest accuracy difference McNemar's test of `n` items finds when `flip_share` (above 0) of the answers change.

    Solves Connor (1987), sqrt(n) d = z_0.975 sqrt(f) + z_0.8 sqrt(f - d^2), for d: a two-sided 5 % test with a power of
    80 %. None when not even flips that all go one way would be found: n is too small.
    """

    def missing(effect: float) -> float:
        needed = _Z * math.sqrt(flip_share) + _Z_POWER * math.sqrt(max(0.0, flip_share - effect**2))
        return needed - effect * math.sqrt(n)

    if missing(flip_share) > 0:
        return None
    return float(optimize.brentq(missing, 0.0, flip_share, xtol=1e-12))


def holm(p_values: Values) -> list[float]:
    """P-values adjusted for being many (Holm 1979): reject those below the level and the family's error holds it."""
    given = np.asarray(p_values, dtype=np.float64).ravel()
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, stepped)
    return [float(value) for value in adjusted]
