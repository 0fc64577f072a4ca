"""How sure a mean is: of a series of tokens, of items, and of paired differences of either.

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from costlib.errors import invalid_input
from costlib.stats.intervals import ENDS, student

Array = npt.NDArray[np.float64]
Values = npt.ArrayLike

BLOCKS = 32
_CHUNK = 1_000_000
_MANY = 2000
"""Units above which those with the same values are drawn together: the same distribution, from other draws."""


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


def block_bootstrap(values: Values, *, resamples: int = 2000) -> Estimate:
    """Mean of a series whose neighbours are correlated, with the circular block bootstrap's standard error.

    Blocks are as long as makes 32 of them, at least 1 value. The error is scaled by sqrt(k / (k - 1)) for k blocks,
    which makes independent values give the usual s / sqrt(n). The interval is mean +- t * error and the p-value its
    inverse, with k - 1 degrees of freedom. Raises `InputError` for fewer than 2 values or one that is not finite.
    """
    series = _series("values", values)
    n = len(series)
    length = max(1, n // BLOCKS)
    count = -(-n // length)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[:length]]) - series.mean())])
    whole = sums[length : length + n] - sums[:n]
    rest = n - (count - 1) * length
    last = sums[rest : rest + n] - sums[:n]
    random = np.random.default_rng(0)
    totals = np.empty(resamples)
    for start, stop in _chunks(resamples, count):
        first = random.integers(0, n, size=(stop - start, count))
        totals[start:stop] = whole[first[:, :-1]].sum(axis=1) + last[first[:, -1]]
    mean, error = float(series.mean()), float(np.std(totals / n, ddof=1)) * math.sqrt(count / (count - 1))
    return Estimate(mean, error, *student(mean, error, count - 1), n)


def paired_difference(baseline: Values, variant: Values, *, resamples: int = 2000) -> Estimate:
    """Mean of `variant - baseline` per token, with its block-bootstrap error.

    With negative log-likelihoods, `.ratio` is the perplexity ratio and its interval. Identical series give exactly 0.
    """
    first, second = pair(baseline, variant)
    return block_bootstrap(second - first, resamples=resamples)


def paired_bootstrap(
    baseline: Values, variant: Values, *, clusters: Sequence[object] | None = None, resamples: int = 10_000
) -> Estimate:
    """Mean of `variant - baseline` per item, by resampling items, or whole clusters where `clusters` names them.

    The interval is the percentile interval and the p-value its inverse, 2 min(P(mean* <= 0), P(mean* >= 0)) with one
    resample added to each count (Davison and Hinkley 1997, section 4.2), hence never 0.
    """
    first, second = pair(baseline, variant)
    return resampled((second - first)[:, None], clusters=clusters, resamples=resamples)[0]


def resampled(columns: Array, *, clusters: Sequence[object] | None = None, resamples: int = 10_000) -> list[Estimate]:
    """The mean of each of k columns of paired differences (n x k) as `paired_bootstrap` gives it, on the same draws."""
    ratios = resampled_ratio(columns, np.ones(len(columns)), clusters=clusters, resamples=resamples)
    found = []
    for column, means in zip(columns.T, ratios.T, strict=True):
        low, high = np.quantile(means, ENDS)
        fewer = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
        p_value = min(1.0, 2 * fewer / (resamples + 1))
        error = float(np.std(means, ddof=1))
        found.append(Estimate(float(column.mean()), error, float(low), float(high), p_value, len(column)))
    return found


def resampled_ratio(above: Array, below: Array, *, clusters: Sequence[object] | None, resamples: int) -> Array:
    """sum(above) / sum(below) of each resample, for each column of `above` (n x k): an array of resamples x k.

    Items, or whole clusters where given, are drawn together for all. Raises `InputError` for clusters that are not one
    per item, or only one.
    """
    if clusters is not None and len(set(clusters)) < 2:
        raise invalid_input("clusters", len(set(clusters)), "at least 2 different ones")
    columns = clustered(clusters, *above.T, below)
    values = np.column_stack(columns)
    ratios = np.empty((resamples, len(columns) - 1))
    blocks: Iterator[Array] = draws(len(values), resamples)
    if len(values) > _MANY:
        values, often = np.unique(values, axis=0, return_counts=True)
        blocks = alike(often, resamples)
    start = 0
    for counts in blocks:
        sums = counts @ values
        ratios[start : start + len(counts)] = sums[:, :-1] / sums[:, -1:]
        start += len(counts)
    return ratios


def draws(units: int, resamples: int, seed: int = 0) -> Iterator[Array]:
    """How often each unit is drawn in each resample, in blocks of some resamples x units."""
    random = np.random.default_rng(seed)
    for start, stop in _chunks(resamples, units):
        chosen = random.integers(0, units, size=(stop - start, units))
        chosen += units * np.arange(stop - start)[:, None]
        counts: Any = np.bincount(chosen.ravel(), minlength=chosen.size)
        yield counts.reshape(chosen.shape).astype(np.float64)


def alike(often: npt.NDArray[np.int64], resamples: int) -> Iterator[Array]:
    """As `draws`, of units that are alike in groups of `often`: how often each group is drawn."""
    random = np.random.default_rng(0)
    for start, stop in _chunks(resamples, len(often)):
        groups: Any = random.multinomial(often.sum(), often / often.sum(), size=stop - start)
        yield groups.astype(np.float64)


def clustered(clusters: Sequence[object] | None, *columns: Array) -> tuple[Array, ...]:
    """Each column (n values) summed within clusters, in the order they first come; as it is where there are none."""
    if clusters is None:
        return columns
    if len(clusters) != len(columns[0]):
        raise invalid_input("clusters", len(clusters), f"one per item, {len(columns[0])}")
    index: dict[object, int] = {}
    membership = [index.setdefault(cluster, len(index)) for cluster in clusters]
    return tuple(np.bincount(membership, column).astype(np.float64) for column in columns)


def pair(baseline: Values, variant: Values) -> tuple[Array, Array]:
    """Both series as arrays; raises `InputError` for series that do not belong together or are not finite."""
    first, second = _series("baseline", baseline), _series("variant", variant)
    if len(first) != len(second):
        raise invalid_input("variant", f"{len(second)} values", f"as many as the baseline has, {len(first)}")
    return first, second


def _series(name: str, values: Values) -> Array:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) < 2:
        raise invalid_input(name, f"{series.size} values", "a series of at least 2")
    if not np.isfinite(series).all():
        raise invalid_input(name, float(series[~np.isfinite(series)][0]), "finite numbers")
    return series


def _chunks(resamples: int, width: int) -> list[tuple[int, int]]:
    """Ranges of resamples whose random draws fit in memory together."""
    step = max(1, _CHUNK // width)
    return [(start, min(resamples, start + step)) for start in range(0, resamples, step)]
