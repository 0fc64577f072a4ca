"""Machines as FOCUS charges: rented, reserved, spot and owned; every paid hour is a row, and capital enters once."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cost.focus_rules import problems

from costlib.cost.charges import Bought, Pool, hosting_charges
from costlib.cost.focus import COLUMNS, dataset, totals
from costlib.errors import InputError

NOVEMBER = (date(2026, 11, 1), date(2026, 12, 1))
POOL = Pool(
    name="Llama on 2 replicas",
    model="llama-3.1-8b",
    provider="Cloud",
    device="H100 SXM",
    rate_kind="on_demand",
    replicas=2,
    hours=Decimal(1460),
    usd_per_hour=Decimal(3),
    listed_usd_per_hour=Decimal(3),
    used={("chat", "input"): (Decimal(100), Decimal(10**9)), ("chat", "output"): (Decimal(300), Decimal(10**8))},
    idle={"chat": Decimal(1060)},
    kind="quoted",
    source="rates.csv",
)
HARDWARE = Bought(Decimal(70_080), Decimal(80_000), Decimal(0), Decimal(35_040), date(2026, 11, 3))


def rows(pool: Pool) -> dict[str, dict[Any, Any]]:
    found: list[Any] = dataset(hosting_charges(pool, *NOVEMBER)).to_dict("records")
    assert not list(problems(COLUMNS, found))
    return {row["x_TokenKind"]: row for row in found}


def sums(pool: Pool) -> dict[str, Decimal]:
    return totals(dataset(hosting_charges(pool, *NOVEMBER)))


def test_a_rented_pool_bills_every_hour_busy_or_idle() -> None:
    """published.csv rent-1 says why: a rented hour is paid idle or not."""
    found = rows(POOL)
    assert set(sums(POOL).values()) == {Decimal(1460) * 3}
    assert found["Input Tokens"]["BilledCost"] == 300 and found["Idle Hours"]["BilledCost"] == 3180
    assert (found["Input Tokens"]["PricingQuantity"], found["Input Tokens"]["PricingUnit"]) == (100, "Hours")
    assert (found["Input Tokens"]["ConsumedQuantity"], found["Input Tokens"]["ConsumedUnit"]) == (10**9, "Tokens")
    assert found["Idle Hours"]["ConsumedUnit"] == "Hours"


def test_a_spot_pool_is_dynamic_and_listed_on_demand() -> None:
    found = rows(dataclasses.replace(POOL, rate_kind="spot", usd_per_hour=Decimal("1.5")))
    busy = found["Output Tokens"]
    assert (busy["ListCost"], busy["ContractedCost"], busy["EffectiveCost"]) == (900, 450, 450)
    assert busy["PricingCategory"] == "Dynamic" and "Purchase" not in found


def test_a_reservation_is_a_purchase_and_its_hours_bill_nothing() -> None:
    pool = dataclasses.replace(POOL, rate_kind="reserved_1y", usd_per_hour=Decimal(2))
    found = rows(pool)
    assert (found["Purchase"]["BilledCost"], found["Purchase"]["EffectiveCost"]) == (2920, 0)
    assert found["Purchase"]["ChargeFrequency"] == "Recurring"
    busy, idle = found["Output Tokens"], found["Idle Hours"]
    assert (busy["ListCost"], busy["BilledCost"], busy["EffectiveCost"]) == (900, 0, 600)
    assert (busy["CommitmentDiscountStatus"], idle["CommitmentDiscountStatus"]) == ("Used", "Unused")
    assert idle["ConsumedQuantity"] is None and idle["CommitmentDiscountQuantity"] == 1060
    assert sums(pool)["BilledCost"] == sums(pool)["EffectiveCost"] == 2920


def test_owned_hardware_is_a_purchase_row_plus_amortized_usage() -> None:
    """70,080 USD over 35,040 hours are 2 USD an hour of the pool, 1 USD of each of two replicas; 1.5 USD run it."""
    pool = dataclasses.replace(POOL, rate_kind="owned", usd_per_hour=Decimal("2.5"), bought=HARDWARE)
    found = rows(pool)
    assert (found["Purchase"]["BilledCost"], found["Purchase"]["EffectiveCost"]) == (70_080, 0)
    assert found["Purchase"]["ListCost"] == 80_000 and found["Purchase"]["ChargePeriodEnd"] == date(2030, 11, 2)
    busy = found["Output Tokens"]
    assert (busy["ContractedCost"], busy["BilledCost"], busy["EffectiveCost"]) == (750, 450, 750)
    assert busy["ListUnitPrice"] == Decimal("2.5") + Decimal("0.141552511")
    usage = [row for row in found.values() if row["ChargeCategory"] == "Usage"]
    assert sum(row["EffectiveCost"] - row["BilledCost"] for row in usage) == 1460  # the month's share of the capital


@pytest.mark.parametrize("residual", ["0", "10000", "70080"])
def test_over_its_life_the_capital_is_counted_once(residual: str) -> None:
    bought = dataclasses.replace(HARDWARE, residual_usd=Decimal(residual))
    hours = bought.life_hours * 2
    pool = dataclasses.replace(
        POOL, rate_kind="owned", bought=bought, hours=hours, used={}, idle={"chat": hours}, usd_per_hour=Decimal(9)
    )
    idle = rows(pool)["Idle Hours"]
    amortized = idle["EffectiveCost"] - idle["BilledCost"]
    assert abs(amortized - (70_080 - Decimal(residual))) < Decimal("0.01")


def test_hardware_bought_in_another_month_is_no_purchase_of_this_one() -> None:
    pool = dataclasses.replace(POOL, rate_kind="owned", bought=dataclasses.replace(HARDWARE, on=date(2026, 10, 31)))
    assert "Purchase" not in rows(pool) and rows(pool)["Idle Hours"]["BilledCost"] == 1060 * 2
    unknown = rows(dataclasses.replace(pool, bought=None))["Idle Hours"]
    assert (unknown["BilledCost"], unknown["EffectiveCost"]) == (0, 3180)


def test_an_hour_that_serves_nothing_of_a_kind_has_no_row() -> None:
    used = {("search", "input"): (Decimal(400), Decimal(10**9)), ("search", "output"): (Decimal(0), Decimal(0))}
    pool = dataclasses.replace(POOL, used=used, idle={"search": Decimal(1060)})
    assert set(rows(pool)) == {"Input Tokens", "Idle Hours"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hours": Decimal(1461)}, "hours of pool .* is '1460'; allowed: used and idle hours that add up to 1461"),
        ({"rate_kind": "owned", "bought": HARDWARE, "usd_per_hour": Decimal("0.5")}, "capital per hour is '1"),
    ],
)
def test_hours_and_capital_that_do_not_fit_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        hosting_charges(dataclasses.replace(POOL, **changes), *NOVEMBER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("residual_usd", "70081"), ("listed_usd", "70079"), ("life_hours", "0"), ("paid_usd", "-1"), ("paid_usd", "NaN")],
)
def test_hardware_that_makes_no_sense_is_refused(field: str, value: str) -> None:
    with pytest.raises(InputError, match=field):
        dataclasses.replace(HARDWARE, **{field: Decimal(value)})  # type: ignore[arg-type]
