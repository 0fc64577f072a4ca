"""Intervals that take no resampling: of a mean by Student's t, of a share (Clopper and Pearson), of a quantile.

scipy is loaded when the first one is asked for: what only prices or measures starts without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
"""Shares of a distribution below the low and the high end of an interval."""


def student(mean: float, error: float, freedom: float) -> tuple[float, float, float]:
    """Ends of the interval of a mean with this standard error, and the p-value of a mean of 0.

    Without any error the mean is certain.
    """
    from scipy.stats import t

    if error <= 0:
        return mean, mean, 1.0 if mean == 0 else 0.0
    half = error * float(t.ppf(ENDS[1], freedom))
    return mean - half, mean + half, float(2 * t.sf(abs(mean) / error, freedom))


def mean_interval(
    values: Sequence[float] | npt.NDArray[np.float64], least: float = -math.inf, most: float = math.inf
) -> tuple[float, float | None, float | None]:
    """Mean of independent values, and its interval, cut at what the values can be; one value gives no interval."""
    given = np.asarray(values, dtype=np.float64)
    mean = float(given.mean())
    if len(given) < 2:
        return mean, None, None
    low, high, _ = student(mean, float(given.std(ddof=1)) / math.sqrt(len(given)), len(given) - 1)
    return mean, max(least, low), min(most, high)


def share_interval(right: int, n: int) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(CONFIDENCE)
    return float(found.low), float(found.high)


def quantile_interval(values: Sequence[float], share: float) -> tuple[float, float | None, float | None]:
    """The value below which a share of all lies, and the order statistics that bound it (Conover 1999, section 3.2).

    An end is None where so few values have none; fewer than 6 have none of a median.
    """
    from scipy.stats import quantile_test

    value = float(np.quantile(values, share))
    found = quantile_test(values, q=value, p=share).confidence_interval(CONFIDENCE)
    low, high = (None if math.isnan(end) else float(end) for end in (found.low, found.high))
    return value, None if low is None else min(low, value), None if high is None else max(high, value)
