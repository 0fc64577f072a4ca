"""Amounts as people pass them, as exact decimals."""

from __future__ import annotations

from decimal import Decimal

from costlib.errors import invalid_input

Amount = Decimal | float | str


def exact(name: str, value: Amount, *, zero: bool = True) -> Decimal:
    """`value` as a `Decimal`, a float by its shortest text.

    Raises `InputError` for what is no finite number of at least zero, or above it where `zero` is False.
    """
    allowed = f"a finite number {'>= 0' if zero else '> 0'}"
    if isinstance(value, bool) or not isinstance(value, (Decimal, float, int, str)):
        raise invalid_input(name, value, allowed)
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except ArithmeticError:
        raise invalid_input(name, value, allowed) from None
    if not number.is_finite() or number < 0 or (number == 0 and not zero):
        raise invalid_input(name, value, allowed)
    return number
