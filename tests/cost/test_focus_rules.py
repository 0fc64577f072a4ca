"""Each rule of FOCUS 1.2 that matters here is broken once, and found."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cost.focus_rules import TEXTS, problems
from cost.samples import credits, plain

from costlib.cost.focus import COLUMNS, DAYS, NUMBERS, dataset

MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
}
"""FOCUS 1.2 says of these that they MUST be present, whatever a provider supports."""


def one() -> dict[str, Any]:
    return dict(dataset([plain()]).to_dict("records")[0])  # type: ignore[arg-type]


def purchase() -> dict[str, Any]:
    return dict(dataset(credits()).to_dict("records")[0])  # type: ignore[arg-type]


def broken(row: dict[str, Any], **changes: Any) -> list[str]:
    return [str(problem) for problem in problems(COLUMNS, [row | changes])]


def test_every_mandatory_column_of_focus_1_2_is_there_and_each_has_one_type() -> None:
    assert set(COLUMNS) >= MANDATORY
    assert sorted((*TEXTS, *NUMBERS, *DAYS)) == sorted(COLUMNS) and len(set(COLUMNS)) == len(COLUMNS)


def test_a_good_row_breaks_nothing() -> None:
    assert broken(one()) == [] and broken(purchase()) == []


def test_columns_are_those_and_no_others() -> None:
    assert "missing column is 'Tags'" in str(next(problems([c for c in COLUMNS if c != "Tags"], [])))
    assert "column is 'Taggs'" in str(next(problems([*COLUMNS, "Taggs"], [])))


COMMITTED = {
    "CommitmentDiscountId": "c",
    "CommitmentDiscountName": "c",
    "CommitmentDiscountCategory": "Usage",
    "CommitmentDiscountType": "reserved_1y",
    "CommitmentDiscountStatus": "Used",
    "CommitmentDiscountQuantity": Decimal(1),
    "CommitmentDiscountUnit": "Hours",
    "PricingCategory": "Committed",
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"BilledCost": None}, "BilledCost is None; allowed: a value"),
        ({"SkuPriceId": None}, "SkuPriceId is None; allowed: a value"),
        ({"BilledCost": 3.0}, "BilledCost is 3.0; allowed: a decimal"),
        ({"BilledCost": Decimal("NaN")}, "a finite number"),
        ({"BilledCost": Decimal("Infinity")}, "a finite number"),
        ({"BilledCost": Decimal("1e20")}, "at most 20 digits"),
        ({"ListUnitPrice": Decimal(-2), "ListCost": Decimal(-3)}, "a price of at least 0"),
        ({"BilledCost": Decimal(-1)}, "BilledCost is '-1'; allowed: at least 0"),
        ({"ConsumedQuantity": Decimal(-1)}, "ConsumedQuantity is '-1'; allowed: at least 0"),
        ({"ProviderName": ""}, "ProviderName is ''"),
        ({"ChargeCategory": "Use"}, "one of Usage, Purchase, Tax, Credit, Adjustment"),
        ({"ChargeClass": "correction"}, "one of Correction"),
        ({"ChargeFrequency": "Monthly"}, "one of One-Time, Recurring, Usage-Based"),
        ({"PricingCategory": "Cheap"}, "one of Standard, Committed, Dynamic, Other"),
        ({"ServiceSubcategory": "Virtual Machines"}, "a subcategory of its ServiceCategory"),
        ({"BillingCurrency": "usd"}, "three-letter code"),
        ({"Tags": "workload=chat"}, "a JSON object"),
        ({"Tags": '{"workload": ["chat"]}'}, "a JSON object"),
        ({"BillingPeriodEnd": date(2025, 4, 30)}, "the first day of the month after"),
        ({"ChargePeriodEnd": date(2025, 4, 1)}, "after ChargePeriodStart"),
        ({"ChargePeriodEnd": date(2025, 5, 2)}, "at most BillingPeriodEnd"),
        ({"ChargePeriodStart": date(2025, 3, 31)}, "in the billing period"),
        ({"ListCost": Decimal("3.01")}, "PricingQuantity x ListUnitPrice = 3.0, to the last digit"),
        ({"ContractedCost": Decimal("2.99")}, "PricingQuantity x ContractedUnitPrice = 3.0, to the last digit"),
        ({"PricingUnit": None}, "null exactly where PricingQuantity is"),
        ({"ConsumedUnit": None}, "null exactly where ConsumedQuantity is"),
        ({"ConsumedQuantity": None, "ConsumedUnit": None}, "a quantity for usage that is not unused"),
        ({"CommitmentDiscountStatus": "Used"}, "Used or Unused for usage of a commitment"),
        ({"CommitmentDiscountStatus": "Active"}, "one of Used, Unused"),
        (COMMITTED | {"CommitmentDiscountStatus": None}, "Used or Unused for usage of a commitment"),
        (COMMITTED | {"CommitmentDiscountQuantity": None, "CommitmentDiscountUnit": None}, "a quantity where"),
        (COMMITTED | {"PricingCategory": "Standard"}, "Committed for usage of a commitment"),
        (COMMITTED, "EffectiveCost of c is '3.0'; allowed: 0, what its purchase billed"),
        ({"ResourceId": "pool"}, "null exactly where ResourceId is"),
    ],
)
def test_a_broken_rule_of_focus_1_2_is_found(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in problem for problem in broken(one(), **changes))


def test_a_purchase_has_no_effective_cost_and_is_not_usage_based() -> None:
    assert any("0 for a purchase" in problem for problem in broken(purchase(), EffectiveCost=Decimal(1)))
    assert any("One-Time or Recurring" in problem for problem in broken(purchase(), ChargeFrequency="Usage-Based"))
    assert any("ConsumedQuantity" in p for p in broken(purchase(), ConsumedQuantity=Decimal(1), ConsumedUnit="Tokens"))


def test_a_correction_may_leave_prices_open() -> None:
    """FOCUS 1.2: discrepancies between price, quantity and cost may exist where ChargeClass is Correction."""
    assert broken(one(), ChargeClass="Correction", ListCost=Decimal(1), SkuPriceId=None) == []


def test_a_price_belongs_to_one_sku_and_a_service_to_one_category() -> None:
    other = one() | {"SkuId": "other", "x_Workload": "other"}
    assert "SkuId is 'other'" in str(next(problems(COLUMNS, [one(), other])))
    moved = one() | {"ServiceCategory": "Compute", "ServiceSubcategory": "Containers", "x_Workload": "other"}
    assert "ServiceCategory is 'Compute'" in str(next(problems(COLUMNS, [one(), moved])))


def test_one_row_per_model_workload_token_kind_and_period() -> None:
    [problem] = problems(COLUMNS, [one(), one()])
    assert problem.row == 1 and "one row for it and its period; see row 0" in str(problem)
    june = plain(ChargePeriodStart=date(2025, 6, 1), ChargePeriodEnd=date(2025, 7, 1))
    rows: list[Any] = dataset([plain(), june, plain(x_Workload="mail")]).to_dict("records")
    assert not list(problems(COLUMNS, rows))
