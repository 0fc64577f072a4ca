"""FOCUS 1.2 datasets: the published case, four costs that differ, files that come back exactly."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from cost.focus_rules import problems
from cost.samples import credits, plain, read_back
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.focus import COLUMNS, NUMBERS, Row, dataset, target, totals, write
from costlib.errors import InputError


def rows_of(rows: list[Row]) -> list[dict[Any, Any]]:
    """The rows of a dataset that breaks no rule."""
    found: list[Any] = dataset(rows).to_dict("records")
    assert not list(problems(COLUMNS, found))
    return found


def test_focus_1_prepaid_usage_of_the_focus_1_2_virtual_currency_example() -> None:
    """published.csv focus-1 (FOCUS 1.2, virtual currency): the purchase costs 200,000 USD and is no effective cost."""
    purchase, usage = rows_of(credits())
    assert (purchase["ListCost"], purchase["ContractedCost"], purchase["BilledCost"]) == (200_000, 200_000, 200_000)
    assert purchase["EffectiveCost"] == 0 and purchase["ChargeFrequency"] == "One-Time"
    assert usage["EffectiveCost"] == 490 and usage["ListCost"] == 490 and usage["BilledCost"] == 0
    assert usage["PricingCurrency"] == "Credits" and usage["PricingCurrencyEffectiveCost"] == 245
    assert usage["PricingCurrencyListUnitPrice"] == 1 and usage["ListUnitPrice"] == 2


def test_focus_1_credits_bought_at_half_price_keep_their_list_cost() -> None:
    """Scenario B of the same FOCUS 1.2 example: 100,000 credits at 1 USD instead of 2."""
    purchase, usage = rows_of(credits(Decimal(1)))
    assert (purchase["ListCost"], purchase["ContractedCost"], purchase["BilledCost"]) == (200_000, 100_000, 100_000)
    assert (usage["ListCost"], usage["ContractedCost"], usage["EffectiveCost"]) == (490, 245, 245)


def test_the_four_costs_follow_their_own_prices() -> None:
    [row] = rows_of([plain(Decimal(2), Decimal("1.6"), Decimal("0.4"), Decimal("1.1"))])
    costs = [row[f"{name}Cost"] for name in ("List", "Contracted", "Billed", "Effective")]
    assert costs == [Decimal("3.0"), Decimal("2.40"), Decimal("0.60"), Decimal("1.65")]
    [same] = rows_of([plain()])
    assert {same[f"{name}Cost"] for name in ("List", "Contracted", "Billed", "Effective")} == {Decimal(3)}


def test_a_row_is_billed_in_the_month_it_starts() -> None:
    [row] = rows_of([plain(ChargePeriodStart=date(2025, 12, 3), ChargePeriodEnd=date(2025, 12, 4))])
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (date(2025, 12, 1), date(2026, 1, 1))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    long = plain(Decimal("1e-9"), x_Workload='long, "quoted" é', PricingQuantity=Decimal("0.000000001"))
    frame = dataset([*credits(), plain(), long])
    write(frame, tmp_path / f"focus{suffix}")
    again = read_back(tmp_path / f"focus{suffix}")
    assert again.equals(frame) and list(again.columns) == list(COLUMNS)
    assert totals(again) == totals(frame)
    assert [file.name for file in tmp_path.iterdir()] == [f"focus{suffix}"]


def test_csv_has_plain_decimals_and_utc_moments_and_no_formula(tmp_path: Path) -> None:
    write(dataset([plain(Decimal("1E-7"), PricingQuantity=Decimal("1e5"))]), tmp_path / "a.csv")
    cells = pd.read_csv(tmp_path / "a.csv", dtype=str).iloc[0]
    assert cells["PricingQuantity"] == "100000.0" and cells["ListUnitPrice"] == "0.0000001"
    assert cells["ChargePeriodEnd"] == "2025-05-01T00:00:00Z"
    write(dataset([plain(x_Workload="=1")]), tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv", dtype=str)["x_Workload"][0] == "'=1"


def test_parquet_has_decimals_and_utc_timestamps(tmp_path: Path) -> None:
    write(dataset([plain()]), tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert {str(schema.field(name).type) for name in NUMBERS} == {"decimal128(38, 18)"}
    assert str(schema.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"


PRICES = st.decimals(0, 100_000, places=9)


@given(quantity=st.decimals(0, 10**9, places=9), listed=PRICES, contracted=PRICES, effective=PRICES)
@settings(max_examples=60, deadline=None)
def test_every_cost_is_its_quantity_times_its_price_to_the_last_digit(
    quantity: Decimal, listed: Decimal, contracted: Decimal, effective: Decimal
) -> None:
    """Fractions, because Decimal rounds to 28 digits and such a product can have 29."""
    [row] = rows_of([plain(listed, contracted, contracted, effective, PricingQuantity=quantity)])
    for cost, price in (("ListCost", listed), ("ContractedCost", contracted), ("EffectiveCost", effective)):
        assert Fraction(row[cost]) == Fraction(quantity) * Fraction(price)


def test_a_digit_is_refused_rather_than_dropped() -> None:
    with pytest.raises(InputError, match="18 after it"):
        dataset([plain(Decimal("1e-9"), PricingQuantity=Decimal("1e-10"))])


@pytest.mark.parametrize("name", ["focus.xlsx", "focus", "nowhere/focus.csv"])
def test_a_file_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="out is"):
        target(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_charges_are_an_empty_dataset(tmp_path: Path) -> None:
    frame = dataset([])
    write(frame, tmp_path / "a.csv")
    assert list(frame.columns) == list(COLUMNS) and totals(frame)["BilledCost"] == 0
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").count("\n") == 1
