"""The owned hour: capital once, and the time value of money."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.prices.owned import HOURS_PER_YEAR, owned_hour


def test_the_hour_is_the_sum_of_its_parts() -> None:
    hour = owned_hour(250_000, 25_000, 4 * HOURS_PER_YEAR, "10.2", "1.3", "0.10", 1, 2)
    assert hour.capital == Decimal(225_000) / 35_040
    assert hour.energy == Decimal("1.326")
    assert hour.total == hour.capital + Decimal("1.326") + 3


def test_capital_enters_once_in_the_published_case_payback_1() -> None:
    """392,000 USD written off over 48 months of 730 hours: 8,166.67 USD a month, as published, and no second time."""
    hour = owned_hour(392_000, 0, 48 * 730, 0, 1, 0)
    assert round(hour.total * 730, 2) == Decimal("8166.67")


def test_discounting_repays_the_money_with_interest() -> None:
    years, interest = 4, Decimal("0.08")
    hour = owned_hour(250_000, 25_000, years * HOURS_PER_YEAR, 0, 1, 0, discount_rate=interest)
    yearly = hour.capital * HOURS_PER_YEAR
    value = sum(yearly / (1 + interest) ** year for year in range(1, years + 1)) + 25_000 / (1 + interest) ** years
    assert abs(value - 250_000) < Decimal("1e-15")


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 10**7), st.integers(0, 100), st.integers(1, 10), st.integers(0, 30))
def test_no_interest_is_the_limit_of_little_and_interest_never_helps(
    capex: int, residual_percent: int, years: int, percent: int
) -> None:
    residual = Decimal(capex) * residual_percent / 100
    life = years * HOURS_PER_YEAR
    plain = owned_hour(capex, residual, life, 1, 1, 1).total
    almost = owned_hour(capex, residual, life, 1, 1, 1, discount_rate="1e-9").total
    tied_up = Decimal("1e-9") * capex / HOURS_PER_YEAR  # interest on the whole price, for the whole life
    assert -Decimal("1e-12") <= almost - plain <= tied_up + Decimal("1e-12")
    dearer = owned_hour(capex, residual, life, 1, 1, 1, discount_rate=Decimal(percent) / 100).total
    assert dearer >= plain - Decimal("1e-12")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capex": -1}, "capex is -1"),
        ({"capex": float("nan")}, "capex is nan"),
        ({"capex": True}, "capex is True"),
        ({"capex": "many"}, "capex is 'many'"),
        ({"residual": 11}, "residual is 11; allowed: at most capex"),
        ({"life_hours": 0}, "life_hours is 0"),
        ({"pue": 0.9}, "pue is 0.9"),
        ({"usd_per_kwh": float("inf")}, "usd_per_kwh is inf"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    given = {"capex": 10, "residual": 0, "life_hours": 100, "kw": 1, "pue": 1, "usd_per_kwh": 1}
    with pytest.raises(InputError, match=message):
        owned_hour(**(given | change))
