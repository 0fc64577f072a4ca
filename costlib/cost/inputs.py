"""The edge of the room: numbers are checked here once, so that formulas behind it never meet NaN or infinity.

`Interval` is a number with a low and a high end (`Interval.of` accepts a plain number, a `(low, base, high)` triple or
an interval), used wherever a speed, a rate or a price is known only within a range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real

from costlib.errors import invalid_input
from costlib.figure import Number

LARGEST = 1e15
"""At or above this a quantity is absurd: 1e15 tokens is more than a century of the largest known service."""

SMALLEST = 1e-15
"""A quantity that must be positive is absurd below this: as a divisor it would end in infinity."""

HOURS_PER_MONTH = 730
"""8760 hours of a year over 12 months, the month cloud bills are quoted for."""

SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
"""Seconds of that month."""


@dataclass(frozen=True)
class Interval:
    """A number between `low` and `high`; all three are equal where nothing is known about its spread."""

    low: float
    base: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the ends differ from the base."""
        return self.low < self.base or self.base < self.high

    @classmethod
    def of(cls, field: str, value: object, where: str | None = None, *, zero: bool = False) -> Interval:
        """Check `value`, a number or a triple low <= base <= high, all above 0 (`zero=True`: or 0)."""
        if isinstance(value, Interval):
            value = (value.low, value.base, value.high)
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3:
            low, base, high = (number(field, part, where, zero=zero) for part in value)
            if not low <= base <= high:
                raise invalid_input(field, tuple(value), "low <= base <= high", where)
            return cls(low, base, high)
        base = number(field, value, where, zero=zero)
        return cls(base, base, base)


def number(field: str, value: object, where: str | None = None, *, zero: bool = False, most: float = LARGEST) -> float:
    """Check a finite number above 0 (`zero=True`: at least 0) and at most `most`; return it as a float.

    Raises `InputError` for anything else: a bool, text, NaN, infinity, a negative, 1e15 or more.
    """
    inside = most if most < LARGEST else math.nextafter(LARGEST, 0)
    if is_number(value):
        result = float(value)  # type: ignore[arg-type]
        if (0 if zero else SMALLEST) <= result <= inside:
            return result
    allowed = "a finite number " + ("of at least 0" if zero else "above 0")
    raise invalid_input(field, value, f"{allowed} and {f'at most {most:g}' if most < LARGEST else 'below 1e15'}", where)


def share(field: str, value: object, *, zero: bool = True) -> float:
    """Check a share or probability: 0 to 1, 0 only where `zero`."""
    return number(field, value, zero=zero, most=1.0)


def signed(field: str, value: object) -> float:
    """Check a finite number of either sign, such as a saving."""
    if is_number(value) and abs(float(value)) < LARGEST:  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    raise invalid_input(field, value, "a finite number between -1e15 and 1e15")


def whole(field: str, value: object, where: str | None = None, *, least: int = 0) -> int:
    """Check a whole number of at least `least`; 3.0 counts as 3, 3.5 and True are refused."""
    if is_number(value) and value == int(value) and least <= value < LARGEST:  # type: ignore[call-overload, operator]
        return int(value)  # type: ignore[call-overload, no-any-return]
    raise invalid_input(field, value, f"a whole number of at least {least} and below 1e15", where)


def money(field: str, value: object, *, zero: bool = False) -> Decimal:
    """The same check as `number`, returning the exact decimal; a float counts as the decimal it prints as."""
    checked = number(field, value, zero=zero)
    if isinstance(value, Decimal):
        return value
    return Decimal(int(value)) if isinstance(value, Integral) else Decimal(str(checked))


def fraction(value: Number | Fraction) -> Fraction:
    """A checked number as an exact fraction, a float as the decimal it prints as."""
    return value if isinstance(value, Fraction) else Fraction(str(value))


def is_number(value: object) -> bool:
    """A finite real number that is not a bool."""
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        return False
    try:
        return math.isfinite(value)
    except (OverflowError, ValueError):
        return False
