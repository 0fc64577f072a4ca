from __future__ import annotations

import math
from decimal import Decimal

import pytest

from costlib.figure import Figure, plain


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (14.23, "14.2"),
        (1280.4, "1,280"),
        (0.0000015, "0.0000015"),
        (Decimal("35300000000"), "35,300,000,000"),
        (0.05, "0.05"),
        (1.5, "1.50"),
        (-3.14159, "-3.14"),
        (99.96, "100.0"),
    ],
)
def test_numbers_are_shown_without_exponents(number: float | Decimal, text: str) -> None:
    assert plain(number) == text


def test_a_figure_shows_value_unit_and_interval() -> None:
    assert Figure(14.23, "tokens/s", "measured", "run", 13.9, 14.6).text() == "14.2 tokens/s [13.9, 14.6]"


def test_an_unknown_figure_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="neither a value nor a reason"):
        Figure(None, "J", "measured", "run")
    assert Figure(None, "J", "measured", "run", reason="no counter").text() == "unknown: no counter"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_figure_is_never_infinite_or_nan(number: float) -> None:
    with pytest.raises(ValueError, match="a finite number"):
        Figure(number, "J", "measured", "run")


def test_a_kind_is_one_of_four() -> None:
    with pytest.raises(ValueError, match="measured, quoted, assumed, derived"):
        Figure(1, "J", "guessed", "run")  # type: ignore[arg-type]
