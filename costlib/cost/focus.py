"""FOCUS 1.2: a plan or a period of usage as the rows every billing tool reads, CSV or Parquet.

FOCUS is the FinOps Open Cost and Usage Specification; the tests hold every kind of row to what it says with MUST. One
row is one model x workload x kind of token x period, with four costs that differ where they should:

    ListCost        quantity x published price, no discount at all
    ContractedCost  quantity x the price agreed for this customer; a discount for a commitment does not count yet
    BilledCost      what the invoice asks for: the contracted cost, or less where a purchase has paid before
    EffectiveCost   what the use really cost: purchases spread over what they paid for; 0 for the purchase itself

A reservation and owned hardware are each a purchase row, and usage rows that bill nothing (or only power and people)
for what the purchase covers. `costlib.cost.charges` makes such rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import date
from decimal import Context, Decimal, Inexact
from functools import partial
from pathlib import Path
from typing import IO, Any

import pandas as pd

from costlib.errors import invalid_input
from costlib.figure import spreadsheet_cell
from costlib.output import check_file, write_whole

NUMBERS = (
    "BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice",
    "EffectiveCost", "ListCost", "ListUnitPrice", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity",
)  # fmt: skip
DAYS = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
_TEXTS = (
    "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId",
    "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit",
    "ConsumedUnit", "InvoiceId", "InvoiceIssuerName", "PricingCategory", "PricingCurrency", "PricingUnit",
    "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "Tags", "x_Kind", "x_Model",
    "x_PriceId", "x_Source", "x_TokenKind", "x_Workload",
)  # fmt: skip
COLUMNS = tuple(sorted((*_TEXTS, *NUMBERS, *DAYS), key=lambda name: (name.startswith("x_"), name)))
"""Every mandatory column of FOCUS 1.2, the conditional ones that such charges fill (no regions, availability zones, sub
accounts or capacity reservations), and ours (`x_`): model, workload, kind of token, price id, kind and source."""
COSTS = ("ListCost", "ContractedCost", "BilledCost", "EffectiveCost")
DIGITS, PLACES = 38, 18
"""A number has at most 38 digits, 18 of them decimals, so that Parquet holds it as it is."""

_EXACT = Context(prec=4 * DIGITS, traps=[Inexact])
Row = dict[str, Any]


def charge(
    listed: Decimal,
    contracted: Decimal | None = None,
    billed: Decimal | None = None,
    effective: Decimal | None = None,
    **given: Any,
) -> Row:
    """One row of a dataset, with its costs to the last digit.

    Args:
        listed: Published price of a unit, in US dollars.
        contracted: The price agreed for this customer [default: listed].
        billed: What the invoice asks for each unit [default: contracted].
        effective: What a unit really costs [default: contracted]; a purchase has no effective cost.
        given: Columns by their FOCUS names; what follows from others may be left out.
    """
    quantity, usage = given["PricingQuantity"], given.get("ChargeCategory", "Usage") == "Usage"
    contracted = listed if contracted is None else contracted
    billed, effective = (contracted if one is None else one for one in (billed, effective))
    used = _EXACT.multiply(quantity, effective) if usage else Decimal(0)
    start = given["ChargePeriodStart"].replace(day=1)
    follows: Row = {
        "BilledCost": _EXACT.multiply(quantity, billed),
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": next_month(start),
        "BillingPeriodStart": start,
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based" if usage else "One-Time",
        "CommitmentDiscountName": given.get("CommitmentDiscountId"),
        "ContractedCost": _EXACT.multiply(quantity, contracted),
        "ContractedUnitPrice": contracted,
        "EffectiveCost": used,
        "InvoiceIssuerName": given["ProviderName"],
        "ListCost": _EXACT.multiply(quantity, listed),
        "ListUnitPrice": listed,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": contracted,
        "PricingCurrencyEffectiveCost": used,
        "PricingCurrencyListUnitPrice": listed,
        "PublisherName": given["ProviderName"],
        "ResourceName": given.get("ResourceId"),
        "SkuMeter": given["x_TokenKind"],
        "Tags": as_json(model=given["x_Model"], workload=given["x_Workload"]),
        "x_PriceId": given["SkuPriceId"],
    }
    return dict.fromkeys(COLUMNS) | follows | given


def as_json(**pairs: str) -> str:
    """A JSON object of texts, as FOCUS has tags and details."""
    return json.dumps(pairs, ensure_ascii=False, sort_keys=True)


def next_month(day: date) -> date:
    """The first day of the month after the one of `day`."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def dataset(rows: Iterable[Row], *, account: str = "costlib") -> pd.DataFrame:
    """The FOCUS dataset of rows: `COLUMNS`, numbers as exact `Decimal`, days as `date`, unknown None.

    `account` is the id and the name of the billing account. Raises `InputError` for a number with more digits than the
    specification allows.
    """
    who = {"BillingAccountId": account, "BillingAccountName": account}
    frame = pd.DataFrame([row | who for row in rows], columns=list(COLUMNS), dtype=object)
    for name in NUMBERS:
        for number, value in enumerate(frame[name]):
            if value is not None and (value.adjusted() >= DIGITS - PLACES or -value.as_tuple().exponent > PLACES):
                allowed = f"at most {DIGITS - PLACES} digits before the point and {PLACES} after it"
                raise invalid_input(name, value, allowed, f"FOCUS dataset: row {number}")
    return frame


def totals(frame: pd.DataFrame) -> dict[str, Decimal]:
    """The four costs of a dataset in US dollars, summed exactly."""
    found = dict.fromkeys(COSTS, Decimal(0))
    for name in COSTS:
        for value in frame[name]:
            found[name] = _EXACT.add(found[name], value)
    return found


def write(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a dataset as .csv or .parquet, whole or not at all.

    CSV has plain decimals, days as `2026-11-01T00:00:00Z`, and an apostrophe before text that a spreadsheet would take
    for a formula, such as `@cf/meta/llama`; Parquet has decimal128(38, 18) and UTC timestamps.
    Raises `InputError` for another kind of file or a folder that is not there.
    """
    path = target(path)
    write_whole(path, _csv(frame) if path.suffix == ".csv" else partial(_parquet, frame))


def target(path: Path | str) -> Path:
    """The file to write; raises `InputError` before any work where it cannot be one."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise invalid_input("out", str(path), "a file that ends in .csv or .parquet")
    return check_file(path)


def _csv(frame: pd.DataFrame) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows([_plain(value) for value in row] for row in frame.itertuples(index=False, name=None))
    return text.getvalue()


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):  # else readers that guess take a column of whole numbers for integers
        return f"{value:f}" if "." in f"{value:f}" else f"{value:f}.0"
    return f"{value.isoformat()}T00:00:00Z" if isinstance(value, date) else str(spreadsheet_cell(value))


def _parquet(frame: pd.DataFrame, file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, day = pa.decimal128(DIGITS, PLACES), pa.timestamp("us", tz="UTC")
    kinds = [number if name in NUMBERS else day if name in DAYS else pa.string() for name in frame.columns]
    for name in DAYS:
        frame = frame.assign(**{name: pd.to_datetime(frame[name], utc=True)})
    columns = [pa.array(frame[name], type=kind) for name, kind in zip(frame.columns, kinds, strict=True)]
    pq.write_table(pa.Table.from_arrays(columns, names=list(frame.columns)), file)
