"""The rules that a row of a FOCUS 1.2 Cost and Usage dataset must keep.

`problems` holds a dataset to what the specification says with MUST about its columns: which may be null and when, which
values are allowed, that a cost is a quantity times a unit price. The product is checked in `Decimal` to the last
digit; the public validator compares floats, and by default skips it. Beyond the specification, a row may appear once
per model, workload, kind of token, price and period.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, Inexact
from typing import Any

from costlib.cost.focus import COLUMNS, COSTS, DAYS, DIGITS, NUMBERS, PLACES, next_month

Row = Mapping[str, Any]

_NEVER_NULL = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeDescription", "ChargeFrequency"),
    *("ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost"),
    *("PricingCurrency", "PricingCurrencyEffectiveCost", "ProviderName", "PublisherName", "ServiceCategory"),
    *("ServiceName", "ServiceSubcategory", "x_Kind", "x_Model", "x_Source", "x_TokenKind", "x_Workload"),
)
_CHARGED = (
    *("ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingCurrencyContractedUnitPrice"),
    *("PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "SkuId", "SkuPriceId"),
)
"""Not null where a row is usage or a purchase and no correction."""

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "ChargeCategory": ("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    "ChargeClass": ("Correction",),
    "ChargeFrequency": ("One-Time", "Recurring", "Usage-Based"),
    "PricingCategory": ("Standard", "Committed", "Dynamic", "Other"),
    "CommitmentDiscountCategory": ("Spend", "Usage"),
    "CommitmentDiscountStatus": ("Used", "Unused"),
}
SUBCATEGORIES: Mapping[str, tuple[str, ...]] = {
    "AI and Machine Learning": ("AI Platforms", "Generative AI", "Machine Learning", "Other (AI and Machine Learning)"),
    "Compute": ("Containers", "Serverless Compute", "Virtual Machines", "Other (Compute)"),
}
"""Service categories this export uses, with the subcategories that belong to each."""

_TOGETHER = (
    ("PricingQuantity", "PricingUnit"),
    ("ConsumedQuantity", "ConsumedUnit"),
    ("CommitmentDiscountQuantity", "CommitmentDiscountUnit"),
    ("CommitmentDiscountId", "CommitmentDiscountCategory"),
    ("CommitmentDiscountId", "CommitmentDiscountType"),
    ("ResourceId", "ResourceType"),
    ("ResourceId", "ResourceName"),
)
_PRODUCTS = (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost"))
_ONE_PARENT = (("SkuPriceId", "SkuId"), ("ServiceName", "ServiceCategory"), ("ServiceName", "ServiceSubcategory"))
_ONE_ROW = (
    *("x_Model", "x_Workload", "x_TokenKind", "ChargeCategory", "SkuPriceId", "x_PriceId"),
    *("ChargePeriodStart", "ChargePeriodEnd", "CommitmentDiscountStatus", "ResourceId"),
)
_EXACT = Context(prec=4 * DIGITS, traps=[Inexact])
TEXTS = tuple(name for name in COLUMNS if name not in (*NUMBERS, *DAYS))


@dataclass(frozen=True)
class Problem:
    """A rule that a dataset breaks: the row (None: the whole), the column, what is there and what must be."""

    row: int | None
    column: str
    value: object
    rule: str

    def __str__(self) -> str:
        """One sentence."""
        where = "the dataset" if self.row is None else f"row {self.row}"
        return f"{where}: {self.column} is {self.value!r}; allowed: {self.rule}"


def _added(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def problems(columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Problem]:
    """Every rule the rows break; numbers are `Decimal`, days `date`, unknown None."""
    for column in COLUMNS:
        if column not in columns:
            yield Problem(None, "missing column", column, "the columns of focus_rules.COLUMNS")
    for column in columns:
        if column not in COLUMNS:
            yield Problem(None, "column", column, "the columns of focus_rules.COLUMNS")
    if set(columns) != set(COLUMNS):
        return
    sound = True
    for number, row in enumerate(rows):
        for rule in (_types, _nulls, _values, _periods, _money):
            for found in rule(row):
                sound = False
                yield Problem(number, *found)
    if sound:  # rows that are sound by themselves can be added up
        yield from _across(rows)


Found = Iterator[tuple[str, object, str]]


def _types(row: Row) -> Found:
    kinds: tuple[tuple[Sequence[str], type, str], ...] = ((TEXTS, str, "text"), (NUMBERS, Decimal, "a decimal"))
    for names, of, what in (*kinds, (DAYS, date, "a day")):
        for name in names:
            if row[name] is not None and (not isinstance(row[name], of) or row[name] == ""):
                yield name, row[name], f"{what} or null"
    for name in NUMBERS:
        value = row[name]
        if isinstance(value, Decimal):
            exponent = value.as_tuple().exponent
            if not isinstance(exponent, int):
                yield name, value, "a finite number"
            elif -exponent > PLACES or value.adjusted() >= DIGITS - PLACES:
                yield name, value, f"at most {DIGITS - PLACES} digits before the point and {PLACES} after it"
            elif value < 0 and "UnitPrice" in name:
                yield name, value, "a price of at least 0"


def _nulls(row: Row) -> Found:
    usage, unused = row["ChargeCategory"] == "Usage", row["CommitmentDiscountStatus"] == "Unused"
    charged = row["ChargeCategory"] in ("Usage", "Purchase") and row["ChargeClass"] is None
    for name in (*_NEVER_NULL, *(_CHARGED if charged else ())):
        if row[name] is None:
            yield name, None, "a value"
    for one, other in _TOGETHER:
        if (row[one] is None) != (row[other] is None):
            yield other, row[other], f"null exactly where {one} is"
    if (row["ConsumedQuantity"] is not None) != (usage and not unused):
        yield "ConsumedQuantity", row["ConsumedQuantity"], "a quantity for usage that is not unused, else null"
    committed = row["CommitmentDiscountId"] is not None
    if (row["CommitmentDiscountStatus"] is not None) != (committed and usage):
        yield "CommitmentDiscountStatus", row["CommitmentDiscountStatus"], "Used or Unused for usage of a commitment"
    if committed and row["CommitmentDiscountQuantity"] is None:
        yield "CommitmentDiscountQuantity", None, "a quantity where CommitmentDiscountId is given"
    if committed and usage and row["PricingCategory"] != "Committed":
        yield "PricingCategory", row["PricingCategory"], "Committed for usage of a commitment"


def _values(row: Row) -> Found:
    for name, allowed in _ALLOWED.items():
        if row[name] is not None and row[name] not in allowed:
            yield name, row[name], "one of " + ", ".join(allowed)
    if row["ServiceSubcategory"] not in SUBCATEGORIES.get(str(row["ServiceCategory"]), ()):
        yield "ServiceSubcategory", row["ServiceSubcategory"], "a subcategory of its ServiceCategory"
    if row["ChargeCategory"] == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        yield "ChargeFrequency", "Usage-Based", "One-Time or Recurring for a purchase"
    if not re.fullmatch("[A-Z]{3}", str(row["BillingCurrency"])):
        yield "BillingCurrency", row["BillingCurrency"], "a national currency as its three-letter code (ISO 4217)"
    for name in ("Tags", "SkuPriceDetails"):
        if row[name] is not None and not _flat(row[name]):
            yield name, row[name], "a JSON object whose values are texts, numbers, true, false or null"


def _flat(text: str) -> bool:
    try:
        parsed = json.loads(text)
    except ValueError:
        return False
    return isinstance(parsed, dict) and not any(isinstance(value, (dict, list)) for value in parsed.values())


def _periods(row: Row) -> Found:
    start, end = row["BillingPeriodStart"], row["BillingPeriodEnd"]
    first, last = row["ChargePeriodStart"], row["ChargePeriodEnd"]
    if not all(isinstance(day, date) for day in (start, end, first, last)):
        return  # said already
    if start.day != 1 or end != next_month(start):
        yield "BillingPeriodEnd", str(end), "the first day of the month after BillingPeriodStart, itself a first day"
    if not first < last:
        yield "ChargePeriodEnd", str(last), f"after ChargePeriodStart ({first}); ends are exclusive"
    if not start <= first < end:
        yield "ChargePeriodStart", str(first), f"in the billing period ({start} to {end})"
    if row["ChargeCategory"] == "Usage" and last > end:
        yield "ChargePeriodEnd", str(last), f"at most BillingPeriodEnd ({end}) for usage"


def _money(row: Row) -> Found:
    quantity = row["PricingQuantity"]
    for unit_price, cost in _PRODUCTS:
        known = all(isinstance(row[name], Decimal) and row[name].is_finite() for name in (unit_price, cost))
        if known and isinstance(quantity, Decimal) and quantity.is_finite() and row["ChargeClass"] is None:
            product = _EXACT.multiply(quantity, row[unit_price])
            if product != row[cost]:
                yield cost, str(row[cost]), f"PricingQuantity x {unit_price} = {product:f}, to the last digit"
    if row["ChargeCategory"] in ("Usage", "Purchase") and row["ChargeClass"] is None:
        for name in ("PricingQuantity", "ConsumedQuantity", *COSTS):
            if isinstance(row[name], Decimal) and row[name].is_finite() and row[name] < 0:
                yield name, str(row[name]), "at least 0 for usage or a purchase that corrects nothing"
    if row["ChargeCategory"] == "Purchase" and row["EffectiveCost"] != 0:
        yield "EffectiveCost", str(row["EffectiveCost"]), "0 for a purchase that later charges draw on"


def _across(rows: Sequence[Row]) -> Iterator[Problem]:
    for child, parent in _ONE_PARENT:
        seen: dict[Any, Any] = {}
        for number, row in enumerate(rows):
            if row[child] is not None and seen.setdefault(row[child], row[parent]) != row[parent]:
                yield Problem(number, parent, row[parent], f"{seen[row[child]]}, as for {child} {row[child]} before")
    keys: dict[tuple[Any, ...], int] = {}
    for number, row in enumerate(rows):
        first = keys.setdefault(tuple(row[name] for name in _ONE_ROW), number)
        if first != number:
            what = f"{row['x_Model']}, {row['x_Workload']}, {row['x_TokenKind']}"
            yield Problem(number, "row", what, f"one row for it and its period; see row {first}")
    commitments = sorted({row["CommitmentDiscountId"] for row in rows if row["CommitmentDiscountId"] is not None})
    for name in commitments:
        own = [row for row in rows if row["CommitmentDiscountId"] == name]
        bought = _added(row["BilledCost"] for row in own if row["ChargeCategory"] == "Purchase")
        used = _added(row["EffectiveCost"] for row in own if row["ChargeCategory"] == "Usage")
        if bought != used:
            yield Problem(None, f"EffectiveCost of {name}", f"{used:f}", f"{bought:f}, what its purchase billed")
