"""Paired statistics: is a variant worse than its baseline on the same tokens or items, and by how much?

Everything here compares two results on the same material, because the spread between texts or questions is far larger
than the loss quantization causes: unpaired intervals of two perplexities overlap long after the paired difference is
beyond doubt. All functions are pure, and every bootstrap has a fixed seed, so that the same inputs give the same row.

Neighbouring tokens are not independent: a loss runs through a whole passage, weakly but far. So per-token series use
the circular block bootstrap (Politis and Romano 1992) with 32 long blocks and Student's t with 31 degrees of freedom;
more and shorter blocks hardly sharpen the interval and miss far correlation (Schmeiser 1982, on batch means). Items
(questions, documents) use the ordinary bootstrap, over clusters where items come in groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from costlib.errors import bad

Array = npt.NDArray[np.float64]
Values = npt.ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2000
BLOCKS = 32
EXACT_BELOW = 25
"""McNemar's test is exact while fewer items than this changed."""
_CHUNK = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean (of a series, or of paired differences) with its error.

    `low` and `high` bound the two-sided interval; `p_value` tests a mean of 0 against both sides; `n` counts values.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    p_value: float
    n: int

    @property
    def ratio(self) -> tuple[float, float, float]:
        """`(exp(mean), exp(low), exp(high))`: for differences of negative log-likelihood, the perplexity ratio."""
        return math.exp(self.mean), math.exp(self.low), math.exp(self.high)


@dataclass(frozen=True)
class McNemar:
    """Two sets of right and wrong answers to the same items.

    `gained` items turned from wrong to right (b), `lost` from right to wrong (c); `flips` is both and
    `flip_share` their share of the items, which an accuracy difference alone would hide.
    """

    n: int
    gained: int
    lost: int
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    test: str

    @property
    def flips(self) -> int:
        """Items whose answer changed between right and wrong."""
        return self.gained + self.lost

    @property
    def flip_share(self) -> float:
        """Flips over items."""
        return self.flips / self.n


def block_length(n: int) -> int:
    """Block length for a series of `n` values: what makes 32 blocks, at least 1."""
    return max(1, n // BLOCKS)


def block_bootstrap(
    values: Values,
    *,
    block: int | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Mean of a series whose neighbours are correlated, with the circular block bootstrap's standard error.

    The error is scaled by sqrt(k / (k - 1)) for k blocks, which makes independent values give the usual s / sqrt(n).
    The interval is mean +- t * error and the p-value its inverse, with k - 1 degrees of freedom. Raises `InputError`
    for fewer than 2 values, a value that is not finite, or a block longer than half the series.
    """
    series = _series("values", values)
    n = len(series)
    length = block_length(n) if block is None else block
    if isinstance(length, bool) or not 1 <= length <= n // 2:
        raise bad("block", block, f"an integer from 1 to {n // 2}, half the number of values")
    count = -(-n // length)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[:length]]) - series.mean())])
    whole = sums[length : length + n] - sums[:n]
    rest = n - (count - 1) * length
    last = sums[rest : rest + n] - sums[:n]
    random = np.random.default_rng(seed)
    totals = np.empty(resamples)
    for start, stop in _chunks(resamples, count):
        first = random.integers(0, n, size=(stop - start, count))
        totals[start:stop] = whole[first[:, :-1]].sum(axis=1) + last[first[:, -1]]
    error = float(np.std(totals / n, ddof=1)) * math.sqrt(count / (count - 1))
    return _with_error(float(series.mean()), error, count - 1, n, confidence)


def paired_difference(baseline: Values, variant: Values, **settings: Any) -> Estimate:
    """Mean of `variant - baseline` per token, with its block-bootstrap error; `settings` as in `block_bootstrap`.

    With negative log-likelihoods, `.ratio` is the perplexity ratio and its interval. Identical series give exactly 0.
    """
    first, second = _pair(baseline, variant)
    return block_bootstrap(second - first, **settings)


def paired_bootstrap(
    baseline: Values,
    variant: Values,
    *,
    clusters: Sequence[object] | None = None,
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Mean of `variant - baseline` per item, by resampling items, or whole clusters where `clusters` names them.

    The interval is the percentile interval and the p-value its inverse, 2 min(P(mean* <= 0), P(mean* >= 0)) with one
    resample added to each count (Davison and Hinkley 1997, section 4.2), hence never 0.
    """
    first, second = _pair(baseline, variant)
    difference = second - first
    sums, sizes = _by_cluster(difference, clusters)
    count = len(sums)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start, stop in _chunks(resamples, count):
        chosen = random.integers(0, count, size=(stop - start, count))
        means[start:stop] = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    fewer = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * fewer / (resamples + 1))
    error = float(np.std(means, ddof=1))
    return Estimate(float(difference.mean()), error, float(low), float(high), p_value, len(difference))


def mcnemar(baseline_right: Values, variant_right: Values, *, confidence: float = CONFIDENCE) -> McNemar:
    """Compare right (1) and wrong (0) answers to the same items.

    The p-value is the exact binomial one when b + c < 25, else chi-square with continuity (Edwards 1948). The accuracy
    difference is (b - c) / n with the error sqrt((b + c) / n - d^2) / sqrt(n), and a normal interval.
    """
    first, second = _pair(baseline_right, variant_right)
    for name, answers in (("baseline_right", first), ("variant_right", second)):
        wrong = answers[(answers != 0) & (answers != 1)]
        if len(wrong):
            raise bad(name, float(wrong[0]), "0 or 1")
    n = len(first)
    gained = int(((first == 0) & (second == 1)).sum())
    lost = int(((first == 1) & (second == 0)).sum())
    flips = gained + lost
    if flips < EXACT_BELOW:
        test = "exact"
        p_value = float(stats.binomtest(gained, flips, 0.5).pvalue) if flips else 1.0
    else:
        test = "chi-square with continuity"
        p_value = float(stats.chi2.sf(max(0, abs(gained - lost) - 1) ** 2 / flips, 1))
    difference = (gained - lost) / n
    error = math.sqrt(max(0.0, flips / n - difference**2)) / math.sqrt(n)
    half = error * float(stats.norm.ppf((1 + confidence) / 2))
    return McNemar(n, gained, lost, difference, error, difference - half, difference + half, p_value, test)


def agresti_min(gained: int, lost: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a paired difference of shares, (gained - lost) / n, that holds up when little or nothing flipped.

    The normal interval with half an item added to each of the four cells (Agresti and Min 2005).
    """
    total = n + 2
    difference = (gained - lost) / total
    error = math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / total) / total
    half = error * float(stats.norm.ppf((1 + confidence) / 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def wilson(right: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927)."""
    found = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def non_inferiority(low: float, margin: float) -> bool:
    """Whether a difference for which larger is better lies above `-margin` with its whole interval, from `low` on.

    A two-sided 95 % interval makes this a one-sided test at 2.5 %, as ICH E9 (1998, section 3.3.2) asks.
    """
    _positive("margin", margin)
    return low > -margin


def minimum_detectable_effect(
    standard_deviation: float, n: int, *, significance: float = 0.05, power: float = 0.8
) -> float:
    """Smallest mean paired difference that a two-sided test of `n` pairs finds with the given power.

    `standard_deviation` is that of the differences: (z_(1-significance/2) + z_power) * deviation / sqrt(n).
    """
    _positive("standard_deviation", standard_deviation)
    _pairs(n)
    return _z(significance, power)[2] * standard_deviation / math.sqrt(n)


def minimum_detectable_accuracy(
    flip_share: float, n: int, *, significance: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest accuracy difference McNemar's test of `n` items finds when `flip_share` of the answers change.

    Solves Connor (1987), sqrt(n) d = z_(1-significance/2) sqrt(f) + z_power sqrt(f - d^2), for d. None when not even
    flips that all go one way would be found: n is too small.
    """
    _probability("flip_share", flip_share)
    _positive("flip_share", flip_share)
    _pairs(n)
    z_test, z_power, _ = _z(significance, power)

    def missing(effect: float) -> float:
        needed = z_test * math.sqrt(flip_share) + z_power * math.sqrt(max(0.0, flip_share - effect**2))
        return needed - effect * math.sqrt(n)

    if missing(flip_share) > 0:
        return None
    return float(optimize.brentq(missing, 0.0, flip_share, xtol=1e-12))


def holm(p_values: Values) -> list[float]:
    """P-values adjusted for being many (Holm 1979): reject those below the level and the family's error holds it."""
    given = np.asarray(p_values, dtype=np.float64).ravel()
    for value in given:
        _probability("p_value", float(value))
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, stepped)
    return [float(value) for value in adjusted]


def _with_error(mean: float, error: float, freedom: int, n: int, confidence: float) -> Estimate:
    half = error * float(stats.t.ppf((1 + confidence) / 2, freedom))
    certain = 1.0 if mean == 0 else 0.0
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom)) if error > 0 else certain
    return Estimate(mean, error, mean - half, mean + half, p_value, n)


def _by_cluster(difference: Array, clusters: Sequence[object] | None) -> tuple[Array, Array]:
    """Sum and size of each cluster; without clusters every item is one."""
    if clusters is None:
        return difference, np.ones_like(difference)
    if len(clusters) != len(difference):
        raise bad("clusters", len(clusters), f"one per item, {len(difference)}")
    index: dict[object, int] = {}
    membership = [index.setdefault(cluster, len(index)) for cluster in clusters]
    if len(index) < 2:
        raise bad("clusters", len(index), "at least 2 different ones")
    return np.bincount(membership, difference).astype(np.float64), np.bincount(membership).astype(np.float64)


def _chunks(resamples: int, width: int) -> list[tuple[int, int]]:
    """Ranges of resamples whose random draws fit in memory together."""
    step = max(1, _CHUNK // width)
    return [(start, min(resamples, start + step)) for start in range(0, resamples, step)]


def _series(name: str, values: Values) -> Array:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) < 2:
        raise bad(name, f"{series.size} values", "a series of at least 2")
    if not np.isfinite(series).all():
        raise bad(name, float(series[~np.isfinite(series)][0]), "finite numbers")
    return series


def _pair(baseline: Values, variant: Values) -> tuple[Array, Array]:
    first, second = _series("baseline", baseline), _series("variant", variant)
    if len(first) != len(second):
        raise bad("variant", f"{len(second)} values", f"as many as the baseline has, {len(first)}")
    return first, second


def _z(significance: float, power: float) -> tuple[float, float, float]:
    for name, value in (("significance", significance), ("power", power)):
        if not 0 < value < 1:
            raise bad(name, value, "a number between 0 and 1")
    z_test, z_power = float(stats.norm.ppf(1 - significance / 2)), float(stats.norm.ppf(power))
    return z_test, z_power, z_test + z_power


def _positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise bad(name, value, "a finite number above 0")


def _probability(name: str, value: float) -> None:
    if isinstance(value, bool) or not 0 <= value <= 1:
        raise bad(name, value, "a number from 0 to 1")


def _pairs(n: int) -> None:
    if isinstance(n, bool) or n < 2:
        raise bad("n", n, "an integer of at least 2")
