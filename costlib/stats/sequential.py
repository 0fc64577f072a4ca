"""Watching a score that may be looked at any time: an alarm with a stated false-alarm rate, a mean with its interval.

Values lie in [0, 1] and come in the order they were observed. What is tested is "the mean of each next value, given
all before, is at least `floor`". `drift` bets against it: a stake of `b` turns into `b * (1 + bet * (floor - value))`,
which gains nothing on average while that holds, whatever the values' distribution. The capital starts at 1 and is
spread over sizes of bets and over the item at which the score may have dropped: after n items the share (n + 1)^(-1/4)
is still kept for later drops. By Ville's inequality the capital ever reaches 1/alpha with a probability of at most
alpha, however often one looks: alpha is the false-alarm rate of the whole life of the watch, not of one look.

After Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting" (JRSS B 86), and, for the
spread over starts, Shin, Ramdas and Rinaldo 2023, "E-detectors" (NEJSDS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from costlib.errors import invalid_input

Floats = npt.NDArray[np.float64]

_BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Sizes of bets, as shares of the largest at which capital cannot turn negative, 1 / (1 - floor)."""
_KEPT = -0.25
"""Of the capital, (n + 1) to this power is kept after n items for drops that come later."""
_NEAR_0 = 1e-9
_TRUNCATION = 0.5
"""Largest share of the capital an interval's bet may lose."""


@dataclass(frozen=True)
class Drift:
    """The watch after each value: `e_values`, and the position of the value that raised the alarm, from 1."""

    e_values: tuple[float, ...]
    alarm_at: int | None

    @property
    def e_value(self) -> float:
        """The evidence now against "the score is at least the floor"; 1 before the first value."""
        return self.e_values[-1] if self.e_values else 1.0


def drift(values: Sequence[float] | Floats, floor: float | None, alpha: float = 0.05) -> Drift:
    """Watch `values`, in their order, for a mean below `floor`; an alarm stays raised.

    Raises `InputError` for a value or floor outside [0, 1], or an alpha outside (0, 1).
    """
    found = _values(values)
    _share("alpha", alpha)
    if floor is not None and not 0 <= floor <= 1:
        raise invalid_input("floor", floor, "a score from 0 to 1")
    if not (floor and found.size):  # no score lies below 0
        return Drift((1.0,) * found.size, None)
    capital = e_capital(found[None, :], floor)[0]
    reached = np.flatnonzero(capital >= 1 / alpha)
    return Drift(tuple(capital.tolist()), int(reached[0]) + 1 if reached.size else None)


def e_capital(streams: Floats, floor: float) -> Floats:
    """The capital after each value of each stream, both of shape (streams, values); `floor` in (0, 1]."""
    missing = floor - streams
    bets = np.array(_BETS) * (1 / (1 - floor) if floor < 1 else 1e3)
    running = np.zeros((len(bets), len(streams)))
    capital = np.empty(streams.shape)
    for index in range(streams.shape[1]):
        before, kept = (index + 1) ** _KEPT, (index + 2) ** _KEPT
        gain = 1 + bets[:, None] * missing[:, index]
        running = np.minimum((running + before - kept) * gain, 1e300)  # an overflow would end in NaN
        capital[:, index] = running.mean(axis=0) + kept
    return capital


def confidence_sequence(values: Sequence[float] | Floats, alpha: float = 0.05) -> tuple[float, float]:
    """Low and high end of the mean, valid at any look; (0, 1) before the first value.

    The hedged capital interval of Waudby-Smith and Ramdas, section 4.4, with their predictable plug-in bets. It covers
    a mean that is the same for every value, at all looks together with probability 1 - alpha; where the score drifts,
    it is about the mean so far and follows late.

    Raises `InputError` as `drift`.
    """
    found = _values(values)
    _share("alpha", alpha)
    if not found.size:
        return 0.0, 1.0
    count = np.arange(1, found.size + 1)
    means = (0.5 + np.cumsum(found)) / (count + 1)
    spread = (0.25 + np.cumsum((found - means) ** 2)) / (count + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    needed = math.log(2 / alpha)  # each side holds half of the capital
    bets = np.sqrt(2 * needed / (before * count * np.log1p(count)))
    ends = _least_mean(found, bets, needed), 1 - _least_mean(1 - found, bets, needed)
    return min(ends), max(ends)  # where no mean at all fits, the ends have crossed


def _least_mean(values: Floats, bets: Floats, needed: float) -> float:
    """The mean up to which bets that the values' mean is larger have won `needed`, a logarithm."""

    def won(mean: float) -> float:
        return float(np.log1p(np.minimum(bets, _TRUNCATION / mean) * (values - mean)).sum()) - needed

    if won(_NEAR_0) <= 0:
        return 0.0
    return 1.0 if won(1.0) > 0 else float(optimize.brentq(won, _NEAR_0, 1.0, xtol=_NEAR_0))


def _values(values: Sequence[float] | Floats) -> Floats:
    found = np.asarray(values, dtype=float)
    wrong = np.flatnonzero(~((found >= 0) & (found <= 1)))
    if wrong.size:
        raise invalid_input(f"value {wrong[0] + 1}", float(found[wrong[0]]), "a score from 0 to 1")
    return found


def _share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise invalid_input(name, value, "a share between 0 and 1")
