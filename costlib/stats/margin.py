"""Is a variant no worse than its baseline by more than a margin? One-sided tests that keep their 2.5 % at any size.

The usual interval of a paired difference shrinks to nothing where nothing flips, and then passes a true loss at the
margin far too often (13 % at 200 items and a margin of one point). Both tests here hold their level exactly:

right or wrong, every item by itself and counting alike
    The unconditional exact test. Of all tables (gained, lost) of n items it takes those at least as far from the
    margin as the one found, by the score statistic (Tango 1998), and the largest probability that a pair of models
    whose loss equals the margin gives them (Sidik 2003), over every share of flips that the items leave possible at
    99.9 %; that 0.1 % is added (Berger and Boos 1994), which costs less power than shares nobody believes in.
fractional, weighted or clustered scores
    A betting bound (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"): a
    capital that a loss at the margin cannot grow on average ever reaches 1 / 2.5 % with a probability of at most
    2.5 %. Clusters are the units; bets are those that are best for this number of them. Their order follows from the
    values alone, as if drawn, so that the same answers in another order get the same verdict. No test of so little as
    [-1, 1] passes fewer than log(2.5 %) / log(1 - margin) units: 72 at 5 points, 183 at 2, 368 at 1.

Both are turned round into the low end of the difference, so that what is shown agrees with what is decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from costlib.errors import invalid_input
from costlib.stats.bootstrap import clustered

Array = npt.NDArray[np.float64]
Answer = Literal["passed", "refused", "too few"]

LEVEL = 0.025
"""Largest probability of passing a variant whose loss equals the margin, as ICH E9 (1998, section 3.3.2) asks."""
_Z = float(stats.norm.isf(LEVEL))
_NEEDED = math.log(1 / LEVEL)
_MOST_ITEMS, _MOST_TRIED = 10_000_000, 5_000
"""Items that are said to be needed, and up to which number of units that is tried out."""
_LEFT_OUT = 0.001
"""Probability that the true share of flips is none of those tried."""
_SHARES = 40
"""Shares of flips tried for the largest probability; the best is refined between its neighbours."""
_CAP = 0.98
"""Largest share of the capital that one bet can lose."""
_SPREAD = 0.25
"""Variance of a unit before one was seen."""


@dataclass(frozen=True)
class NonInferiority:
    """`answer` on a margin; `low`, `high` bound the difference (variant minus baseline), each one-sided at 2.5 %.

    `needed` is about how many items with these shares of gains and losses would pass it, at most ten million; None
    where it passed, or where none would be enough, because it lost more than the margin.
    """

    answer: Answer
    difference: float
    low: float
    high: float
    needed: int | None


def exact_margin(gained: int, lost: int, n: int, margin: float) -> NonInferiority:
    """Judge right-or-wrong items that stand alone: `gained` and `lost` of `n` flipped; `margin` is a share.

    Raises `InputError` for counts that do not fit `n`, or a margin outside (0, 1).
    """
    if min(gained, lost) < 0 or not n >= 1 or gained + lost > n:
        raise invalid_input("gained + lost", f"{gained} + {lost}", f"counts of at least 0, together at most {n}")
    _check(margin)
    low, high = _exact_low(gained, lost, n), -_exact_low(lost, gained, n)
    difference, passed = (gained - lost) / n, exact_p_value(gained, lost, n, margin) <= LEVEL
    spread = (gained + lost) / n - difference**2

    def enough(items: int) -> bool:
        return exact_p_value(round(gained * items / n), round(lost * items / n), items, margin) <= LEVEL

    return _answer(passed, difference, (low, high), margin, _Z**2 * spread, enough)


def betting_margin(
    differences: npt.ArrayLike,
    margin: float,
    *,
    weights: npt.ArrayLike | None = None,
    clusters: Sequence[object] | None = None,
) -> NonInferiority:
    """Judge scores from 0 to 1 by their differences (variant minus baseline, n of them from -1 to 1).

    `weights` (n, at least 0) say how much an item counts; `clusters` names the group of each, which is then the unit.
    Raises `InputError` for differences outside -1 to 1, a margin outside (0, 1), or weights without a positive one.
    """
    _check(margin)
    found = np.asarray(differences, dtype=np.float64)
    weight = np.ones_like(found) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(found) or (wrong := found[~(np.abs(found) <= 1)]).size:
        raise invalid_input(
            "differences", float(wrong[0]) if len(found) else "empty", "at least one, each from -1 to 1"
        )
    if weight.shape != found.shape:
        raise invalid_input("weights", len(weight), f"one per difference, {len(found)}")
    if not (0 < weight.sum() < math.inf and (weight >= 0).all()):
        raise invalid_input("weights", float(weight.min()), "numbers of at least 0, one of them above it")
    sums, sizes = clustered(clusters, found * weight, weight)
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    sums, sizes = _shuffled(sums / sizes.max(), sizes / sizes.max())
    low, high = _betting_low(sums, sizes), -_betting_low(-sums, sizes)
    difference, units = float(sums.sum() / sizes.sum()), len(sums)
    passed = _capital(sums, sizes, margin) >= _NEEDED
    spread = float(np.var(sums - difference * sizes) / sizes.mean() ** 2)

    def enough(count: int) -> bool:
        return _capital(np.resize(sums, count), np.resize(sizes, count), margin) >= _NEEDED

    return _answer(passed, difference, (low, high), margin, 2 * _NEEDED * spread, enough, len(found) / units)


def _check(margin: float) -> None:
    if not 0 < margin < 1:
        raise invalid_input("margin", margin, "a share between 0 and 1, e.g. 0.01 for one point")


def _answer(
    passed: bool,
    difference: float,
    ends: tuple[float, float],
    margin: float,
    spread: float,
    enough: Callable[[int], bool],
    each: float = 1.0,
) -> NonInferiority:
    """The answer; how many units like these would be `enough` is searched, upwards from what their `spread` asks.

    A unit has `each` items.
    """
    low, high = min(ends[0], difference), max(ends[1], difference)
    if passed:
        return NonInferiority("passed", difference, max(low, -margin), high, None)
    low = min(low, -margin)
    if difference <= -margin:
        return NonInferiority("refused", difference, low, high, None)
    needed = math.ceil(min(_MOST_ITEMS, max(1 / margin, spread / max(difference + margin, 1e-9) ** 2)))
    while needed < _MOST_TRIED and not enough(needed):
        needed = math.ceil(needed * 1.02)
    return NonInferiority("too few", difference, low, high, min(_MOST_ITEMS, math.ceil(needed * each)))


def exact_p_value(gained: int, lost: int, n: int, margin: float) -> float:
    """Largest probability of a table as far above the margin as this one, where the true loss is `margin` (-1 to 1)."""
    found = float(_score(np.array([gained]), np.array([lost]), n, margin)[0])
    flips = np.arange(n + 1)
    most = _most_lost(flips, n, margin, found)
    log_choose = special.gammaln(n + 1) - special.gammaln(flips + 1) - special.gammaln(n - flips + 1)

    def chance(either: Array) -> Array:
        """Of the tables, by the share of flips; their losses are `margin` above their gains."""
        deviation = np.sqrt(n * either * (1 - either))
        start = max(0, int((n * either - 9 * deviation).min()) - 10)
        stop = min(n, int((n * either + 9 * deviation).max()) + 10) + 1
        d, some, p = flips[start:stop], most[start:stop], either[:, None]
        size = np.exp(log_choose[start:stop] + special.xlogy(d, p) + special.xlog1py(n - d, -p))
        share = np.clip((p + margin) / 2 / np.maximum(p, 1e-300), 0, 1)
        below = np.where(some < 0, 0.0, special.bdtr(np.clip(some, 0, d), d, share))
        return np.asarray((size * below).sum(axis=1), dtype=np.float64)

    likely = stats.binomtest(gained + lost, n).proportion_ci(1 - _LEFT_OUT)
    tried = np.linspace(max(likely.low, abs(margin)), max(likely.high, abs(margin)), _SHARES)
    found_at = np.concatenate([chance(part) for part in np.array_split(tried, 4)])
    at = int(found_at.argmax())
    ends = tried[max(at - 1, 0)], tried[min(at + 1, _SHARES - 1)]
    best = optimize.minimize_scalar(lambda p: -chance(np.array([p]))[0], bounds=ends, method="bounded")
    return float(min(1.0, _LEFT_OUT + max(found_at[at], -best.fun)))


def _score(gained: npt.NDArray[np.int64], lost: npt.NDArray[np.int64], n: int, margin: float) -> Array:
    """Tango's statistic of a loss of `margin`: the difference above it over its error there, for each table."""
    linear = (gained + lost) * (1 + margin) + 2 * margin * (n - gained)
    share = (linear + np.sqrt(np.maximum(linear**2 - 8 * n * lost * margin * (1 + margin), 0.0))) / (4 * n)
    variance = n * np.maximum(2 * share - margin - margin**2, 1e-300)
    return np.asarray((gained - lost + n * margin) / np.sqrt(variance), dtype=np.float64)


def _most_lost(flips: npt.NDArray[np.int64], n: int, margin: float, found: float) -> npt.NDArray[np.int64]:
    """For each number of flips, up to how many losses the statistic is at least `found`; -1 where it never is."""
    low, high = np.full(len(flips), -1), flips.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        reached = _score(flips - middle, middle, n, margin) >= found - 1e-9
        low, high = np.where(reached, middle, low), np.where(reached, high, middle - 1)
    return low


@lru_cache(maxsize=4096)
def _exact_low(gained: int, lost: int, n: int) -> float:
    """The lowest difference that the exact test does not rule out at `LEVEL`."""
    return _lowest(lambda loss: LEVEL - exact_p_value(gained, lost, n, loss), (gained - lost) / n)


def _betting_low(sums: Array, sizes: Array) -> float:
    mean = float(sums.sum() / sizes.sum())
    return _lowest(lambda loss: _capital(sums, sizes, loss) - _NEEDED, mean)


def _shuffled(sums: Array, sizes: Array) -> tuple[Array, Array]:
    """The units in an order that their values draw, whatever the order they came in."""
    rows = np.column_stack([sums, sizes]).round(9) + 0.0  # ends of a sum depend on the order it is made in
    order = np.lexsort(rows.T)
    random = np.random.default_rng(list(sha256(rows[order].tobytes()).digest()))
    drawn = random.permutation(order)
    return sums[drawn], sizes[drawn]


def _lowest(evidence: Callable[[float], float], difference: float) -> float:
    """Where `evidence` against a loss, below 0 at the difference found, turns positive as the loss grows."""
    least, most = -difference, 1 - 1e-9
    if least >= most or evidence(most) <= 0:
        return -1.0
    return -float(optimize.brentq(evidence, least, most, xtol=1e-5)) if evidence(least) < 0 else difference


def _capital(sums: Array, sizes: Array, loss: float) -> float:
    """Logarithm of the most that bets on a smaller loss ever made of a capital of 1.

    A unit wins `sums + loss * sizes`, whose mean is at most 0 where the loss is that large, and which cannot lie below
    `loss - 1`. Bets are sqrt(2 log(1 / LEVEL) / (n * variance before)), cut so that capital cannot run out.
    """
    gain = sums + loss * sizes
    counted = np.arange(1, len(gain) + 1)
    centred = gain - np.cumsum(gain) / counted
    variance = (_SPREAD + np.cumsum(centred**2)) / (counted + 1)
    before = np.append(_SPREAD, variance[:-1])
    bets = np.minimum(np.sqrt(2 * _NEEDED / (len(gain) * before)), _CAP / max(1 - loss, 1e-9))
    return float(np.cumsum(np.log1p(bets * gain)).max())
