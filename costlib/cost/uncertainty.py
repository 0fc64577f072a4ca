"""What matters, and how likely the verdict is.

A tornado moves one factor at a time between its documented low and high: it shows which number to pin down first, and
leaves out that factors move together. Monte Carlo moves all at once, each by its own distribution and independently,
with a fixed seed: every factor has its own stream of random numbers, named after it, so adding one does not redraw the
others.

Distributions: `Triangular` for a low, most likely and high value somebody judged; `Uniform` where only the ends are
known; `Lognormal` for prices, speeds and volumes, which are positive and vary by factors.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from costlib.cost.inputs import Interval, is_number, number, signed, whole
from costlib.errors import bad
from costlib.figure import Number

SEED = 20261101
_LARGEST_DRAWS = 10_000_000
_LARGEST_RESULT = 1e150  # beyond it squares overflow; such a result counts as none


@dataclass(frozen=True)
class Triangular:
    """Between `low` and `high`, most likely at `mode`."""

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        """Refuse ends out of order."""
        low, mode, high = (signed(name, getattr(self, name)) for name in ("low", "mode", "high"))
        if not low <= mode <= high:
            raise bad("triangular (low, mode, high)", (low, mode, high), "low <= mode <= high")

    def draw(self, random: np.random.Generator, draws: int) -> np.ndarray:
        """Random values, shape (draws,)."""
        if self.low == self.high:
            return np.full(draws, float(self.low))
        return random.triangular(self.low, self.mode, self.high, draws)


@dataclass(frozen=True)
class Uniform:
    """Equally likely anywhere between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse ends out of order."""
        low, high = signed("low", self.low), signed("high", self.high)
        if low > high:
            raise bad("uniform (low, high)", (low, high), "low <= high")

    def draw(self, random: np.random.Generator, draws: int) -> np.ndarray:
        """Random values, shape (draws,)."""
        return random.uniform(self.low, self.high, draws)


@dataclass(frozen=True)
class Lognormal:
    """Positive, `median` in the middle of its factors; `sigma` is the standard deviation of the logarithm."""

    median: float
    sigma: float

    def __post_init__(self) -> None:
        """Refuse a median of 0 and a spread beyond any use."""
        number("median", self.median)
        number("sigma", self.sigma, zero=True, most=3)

    @classmethod
    def from_interval(cls, low: Number, high: Number, coverage: Number = 0.95) -> Lognormal:
        """The lognormal that lies between `low` and `high` with probability `coverage`, equally often beyond either."""
        bottom, top, inside = number("low", low), number("high", high), number("coverage", coverage)
        if bottom > top:
            raise bad("lognormal (low, high)", (bottom, top), "low <= high")
        if inside >= 1:
            raise bad("coverage", coverage, "above 0 and below 1")
        spread = float(special.ndtri(0.5 + inside / 2))
        return cls(math.sqrt(bottom) * math.sqrt(top), math.log(top / bottom) / (2 * spread))

    def draw(self, random: np.random.Generator, draws: int) -> np.ndarray:
        """Random values, shape (draws,)."""
        return random.lognormal(math.log(self.median), self.sigma, draws)


Distribution = Triangular | Uniform | Lognormal
Factors = Mapping[str, Distribution | Number]
"""Factors by name; a plain number does not vary."""


@dataclass(frozen=True)
class MonteCarlo:
    """What a function of uncertain factors comes to, over the draws where it has a value.

    `low` and `high` hold the middle 95 %. `standard_error` is that of `mean`. `samples` are the finite values;
    `undefined_share` of the draws gave none; where all did, the numbers are None and `reason` says so.
    """

    mean: float | None
    median: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    draws: int
    seed: int
    undefined_share: float
    samples: np.ndarray
    reason: str | None


@dataclass(frozen=True)
class CheaperProbability:
    """Probability that A costs less than B, its standard error, and the middle 95 % of the difference B - A."""

    probability: float | None
    standard_error: float | None
    tie_share: float
    undefined_share: float
    difference: MonteCarlo
    reason: str | None


def tornado(function: Callable[..., float | None], factors: Mapping[str, Interval | tuple[Any, ...]]) -> pd.DataFrame:
    """Move one factor at a time from its base to its low and high end; one row per factor, the widest swing first.

    `function` takes the factors by name and returns a number, or None where there is none (a break-even that never
    comes). Columns: `rank`, `factor`, `low`, `base`, `high`, `result_low`, `result_base`, `result_high` (results with
    the factor at that end), `swing` (largest minus smallest result), `reason`. A factor that takes the result away is
    ranked first, its swing null. Raises `InputError` unless low <= base <= high are finite numbers.
    """
    if not factors:
        raise bad("factors", 0, "at least one factor with (low, base, high)")
    ends = {name: _ends(name, values) for name, values in factors.items()}
    base = {name: values[1] for name, values in ends.items()}
    middle = _finite(function(**base))
    rows = []
    for name, (low, centre, high) in ends.items():
        below, above = (_finite(function(**{**base, name: end})) for end in (low, high))
        results = (below, middle, above)
        missing = [end for end, result in zip(("low", "base", "high"), results, strict=True) if result is None]
        known = [result for result in results if result is not None]
        rows.append(
            {
                "factor": name,
                "low": low,
                "base": centre,
                "high": high,
                "result_low": below,
                "result_base": middle,
                "result_high": above,
                "swing": None if missing else max(known) - min(known),
                "reason": f"no result at its {' and '.join(missing)}" if missing else None,
            }
        )
    frame = pd.DataFrame(rows).sort_values("swing", ascending=False, na_position="first", kind="stable")
    frame.insert(0, "rank", range(1, len(frame) + 1))
    numbers = ["low", "base", "high", "result_low", "result_base", "result_high", "swing"]
    return frame.reset_index(drop=True).astype(dict.fromkeys(numbers, "float64") | {"reason": "str"})


def monte_carlo(function: Callable[..., Any], factors: Factors, draws: int = 100_000, seed: int = SEED) -> MonteCarlo:
    """Evaluate a vectorised function once on arrays of `draws` random values of its factors.

    `function` takes the factors by name, each an array of shape (draws,), and returns an array of that shape or a
    number. Raises `InputError` for a bad distribution, a bad number of draws, or a result of another shape.
    """
    sampled = _draw(factors, draws, seed)
    return _summary(_evaluate("function", function, sampled, draws), seed)


def probability_cheaper(
    cost_a: Callable[..., Any], cost_b: Callable[..., Any], factors: Factors, draws: int = 100_000, seed: int = SEED
) -> CheaperProbability:
    """Probability that A costs less than B, both evaluated on the same draws; a tie counts for neither.

    Draws where either has no finite value are left out and reported as `undefined_share`.
    """
    sampled = _draw(factors, draws, seed)
    a, b = _evaluate("cost_a", cost_a, sampled, draws), _evaluate("cost_b", cost_b, sampled, draws)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = b - a
    summary = _summary(difference, seed)
    count = len(summary.samples)
    if not count:
        return CheaperProbability(None, None, 0.0, 1.0, summary, summary.reason)
    probability = float((summary.samples > 0).mean())
    return CheaperProbability(
        probability=probability,
        standard_error=math.sqrt(probability * (1 - probability) / count),
        tie_share=float((summary.samples == 0).mean()),
        undefined_share=summary.undefined_share,
        difference=summary,
        reason=None,
    )


def _draw(factors: Factors, draws: int, seed: int) -> dict[str, np.ndarray]:
    count = whole("draws", draws, least=1)
    if count > _LARGEST_DRAWS:
        raise bad("draws", draws, f"at most {_LARGEST_DRAWS}")
    start = whole("seed", seed)
    sampled = {}
    for name, factor in factors.items():
        random = np.random.default_rng([start, zlib.crc32(name.encode())])
        if isinstance(factor, (Triangular, Uniform, Lognormal)):
            sampled[name] = factor.draw(random, count)
        else:
            sampled[name] = np.full(count, signed(f"factor {name}", factor))
    return sampled


def _evaluate(label: str, function: Callable[..., Any], sampled: dict[str, np.ndarray], draws: int) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = np.asarray(function(**sampled), dtype=float)
    if result.shape not in ((), (draws,)):
        raise bad(f"shape of the result of {label}", result.shape, f"({draws},), one value per draw")
    return np.broadcast_to(result, (draws,))


def _summary(values: np.ndarray, seed: int) -> MonteCarlo:
    finite = values[np.abs(values) < _LARGEST_RESULT]  # NaN compares as False
    undefined = 1 - len(finite) / len(values)
    if not len(finite):
        return MonteCarlo(
            None, None, None, None, None, len(values), seed, undefined, finite, "no draw gave a finite result"
        )
    low, median, high = (float(q) for q in np.quantile(finite, (0.025, 0.5, 0.975)))
    error = float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else None
    return MonteCarlo(float(finite.mean()), median, low, high, error, len(values), seed, undefined, finite, None)


def _ends(name: str, values: Interval | tuple[Any, ...]) -> tuple[float, float, float]:
    triple = (values.low, values.base, values.high) if isinstance(values, Interval) else tuple(values)
    if len(triple) != 3:
        raise bad(f"factor {name}", triple, "three numbers: low, base, high")
    low, base, high = (signed(f"factor {name}", value) for value in triple)
    if not low <= base <= high:
        raise bad(f"factor {name}", triple, "low <= base <= high")
    return low, base, high


def _finite(result: Any) -> float | None:
    return float(result) if is_number(result) and abs(result) < _LARGEST_RESULT else None
