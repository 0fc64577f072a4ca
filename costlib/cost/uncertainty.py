"""What matters, and how likely the verdict is.

A tornado moves one factor at a time between its documented low and high: it shows which number to pin down first, and
leaves out that factors move together. Monte Carlo moves all at once, each drawn from the triangle of its range and
independently, with a fixed seed: every factor has its own stream of random numbers, named after it, so adding one does
not redraw the others.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from costlib.cost.inputs import Interval, is_number, signed, whole
from costlib.errors import bad
from costlib.figure import Number

SEED = 20261101
_LARGEST_DRAWS = 10_000_000
_LARGEST_RESULT = 1e150  # beyond it squares overflow; such a result counts as none

Range = Interval | tuple[Any, ...]
"""Low, base and high of a factor."""


@dataclass(frozen=True)
class CheaperProbability:
    """Probability that A costs less than B, its standard error, and what B costs more: median and middle 95 %.

    None, with the `reason`, where no draw gave both costs.
    """

    probability: float | None
    standard_error: float | None
    median: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def tornado(function: Callable[..., float | None], factors: Mapping[str, Range]) -> pd.DataFrame:
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


def probability_cheaper(
    cost_a: Callable[..., Any],
    cost_b: Callable[..., Any],
    factors: Mapping[str, Range | Number],
    draws: int = 100_000,
    seed: int = SEED,
) -> CheaperProbability:
    """Probability that A costs less than B, both evaluated once on the same draws; a tie counts for neither.

    The functions take the factors by name, each an array of shape (draws,), and return an array of that shape or a
    number; draws where either has no finite value are left out. A factor that is a plain number does not vary. Raises
    `InputError` for a bad range, a bad number of draws, or a result of another shape.
    """
    sampled = _draw(factors, draws, seed)
    a, b = _evaluate("cost_a", cost_a, sampled, draws), _evaluate("cost_b", cost_b, sampled, draws)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = b - a
    finite = difference[np.abs(difference) < _LARGEST_RESULT]  # NaN compares as False
    if not len(finite):
        return CheaperProbability(None, None, None, None, None, "no draw gave a finite result")
    probability = float((finite > 0).mean())
    low, median, high = (float(q) for q in np.quantile(finite, (0.025, 0.5, 0.975)))
    return CheaperProbability(probability, math.sqrt(probability * (1 - probability) / len(finite)), median, low, high)


def _draw(factors: Mapping[str, Range | Number], draws: int, seed: int) -> dict[str, np.ndarray]:
    count = whole("draws", draws, least=1)
    if count > _LARGEST_DRAWS:
        raise bad("draws", draws, f"at most {_LARGEST_DRAWS}")
    start = whole("seed", seed)
    sampled = {}
    for name, factor in factors.items():
        if isinstance(factor, (Interval, tuple)):
            low, base, high = _ends(name, factor)
        else:
            low = base = high = signed(f"factor {name}", factor)
        random = np.random.default_rng([start, zlib.crc32(name.encode())])
        sampled[name] = random.triangular(low, base, high, count) if low < high else np.full(count, base)
    return sampled


def _evaluate(label: str, function: Callable[..., Any], sampled: dict[str, np.ndarray], draws: int) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = np.asarray(function(**sampled), dtype=float)
    if result.shape not in ((), (draws,)):
        raise bad(f"shape of the result of {label}", result.shape, f"({draws},), one value per draw")
    return np.broadcast_to(result, (draws,))


def _ends(name: str, values: Range) -> tuple[float, float, float]:
    triple = (values.low, values.base, values.high) if isinstance(values, Interval) else tuple(values)
    if len(triple) != 3:
        raise bad(f"factor {name}", triple, "three numbers: low, base, high")
    low, base, high = (signed(f"factor {name}", value) for value in triple)
    if not low <= base <= high:
        raise bad(f"factor {name}", triple, "low <= base <= high")
    return low, base, high


def _finite(result: Any) -> float | None:
    return float(result) if is_number(result) and abs(result) < _LARGEST_RESULT else None
