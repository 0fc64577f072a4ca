"""FOCUS 1.2: a plan or a period of usage as the rows every billing tool reads, CSV or Parquet.

One row is one model x workload x kind of token x period. It carries four costs, which differ where they should:

    ListCost        quantity x published price, no discount at all
    ContractedCost  quantity x the price agreed for this customer; a discount for a commitment does not count yet
    BilledCost      what the invoice asks for: the contracted cost, or less where a purchase has paid before
    EffectiveCost   what the use really cost: purchases spread over what they paid for; 0 for the purchase itself

Credits bought ahead, a reservation and owned hardware are each a purchase row, and usage rows that bill nothing (or
only power and people) for what the purchase covers. `api_charges` and `hosting_charges` make such rows, `focus_rules`
checks them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import pandas as pd

from costlib.cost.focus_rules import COLUMNS, COSTS, DAYS, DIGITS, NUMBERS, PLACES, added, next_month, problems, times
from costlib.errors import InputError, bad
from costlib.figure import Kind, spreadsheet_cell
from costlib.output import check_file, write_whole

Category = Literal["Usage", "Purchase"]
AI, RENTAL = ("AI and Machine Learning", "Generative AI"), ("Compute", "Virtual Machines")
"""Service category and subcategory of a model API, and of machines."""

_SHOWN = 3


@dataclass(frozen=True)
class Commitment:
    """What a purchase promised: `status` is Used or Unused for usage, None for the purchase; `quantity` in `unit`."""

    id: str
    category: Literal["Spend", "Usage"]
    type: str
    quantity: Decimal
    unit: str
    status: Literal["Used", "Unused"] | None = None


@dataclass(frozen=True)
class Charge:
    """One row to be: who sells what to which workload, how much of it, and its prices per `unit` in US dollars.

    `start` and `end` (exclusive) are what the charge covers; it is billed in the month of `start`. `contracted`,
    `billed` and `effective` are unit prices; None stands for the one before it (list, contracted, contracted).
    `credits` is a virtual currency and how much of it one unit costs. `consumed` is a quantity and its unit, for usage.
    """

    model: str
    workload: str
    token_kind: str
    description: str
    provider: str
    service: str
    service_category: tuple[str, str]
    sku: str
    sku_price: str
    start: date
    end: date
    quantity: Decimal
    unit: str
    listed: Decimal
    kind: Kind
    source: str
    contracted: Decimal | None = None
    billed: Decimal | None = None
    effective: Decimal | None = None
    category: Category = "Usage"
    recurring: bool = False
    pricing_category: Literal["Standard", "Committed", "Dynamic", "Other"] = "Standard"
    consumed: tuple[Decimal, str] | None = None
    commitment: Commitment | None = None
    credits: tuple[str, Decimal] | None = None
    resource: tuple[str, str] | None = None
    price_id: str | None = None
    details: tuple[tuple[str, str], ...] = ()


def dataset(charges: Iterable[Charge], *, account: str = "costlib") -> pd.DataFrame:
    """The FOCUS dataset of charges: `COLUMNS`, numbers as exact `Decimal`, days as `date`, unknown None.

    `account` is the id and the name of the billing account. Raises `InputError` for a charge that is against the
    specification (see `focus_rules`).
    """
    rows = [_row(charge, account) for charge in charges]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    check(frame)
    return frame


def _row(charge: Charge, account: str) -> dict[str, Any]:
    quantity, usage = charge.quantity, charge.category == "Usage"
    contracted = charge.listed if charge.contracted is None else charge.contracted
    billed = contracted if charge.billed is None else charge.billed
    effective = contracted if charge.effective is None else charge.effective
    effective_cost = times(quantity, effective) if usage else Decimal(0)
    currency, units = charge.credits or ("USD", None)
    start = charge.start.replace(day=1)
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "BilledCost": times(quantity, billed),
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": next_month(start),
        "BillingPeriodStart": start,
        "ChargeCategory": charge.category,
        "ChargeDescription": charge.description,
        "ChargeFrequency": "Usage-Based" if usage else "Recurring" if charge.recurring else "One-Time",
        "ChargePeriodEnd": charge.end,
        "ChargePeriodStart": charge.start,
        "ConsumedQuantity": charge.consumed[0] if charge.consumed else None,
        "ConsumedUnit": charge.consumed[1] if charge.consumed else None,
        "ContractedCost": times(quantity, contracted),
        "ContractedUnitPrice": contracted,
        "EffectiveCost": effective_cost,
        "InvoiceIssuerName": charge.provider,
        "ListCost": times(quantity, charge.listed),
        "ListUnitPrice": charge.listed,
        "PricingCategory": charge.pricing_category,
        "PricingCurrency": currency,
        "PricingCurrencyContractedUnitPrice": contracted if units is None else units,
        "PricingCurrencyEffectiveCost": effective_cost if units is None or not usage else times(quantity, units),
        "PricingCurrencyListUnitPrice": charge.listed if units is None else units,
        "PricingQuantity": quantity,
        "PricingUnit": charge.unit,
        "ProviderName": charge.provider,
        "PublisherName": charge.provider,
        "ResourceId": charge.resource[0] if charge.resource else None,
        "ResourceName": charge.resource[0] if charge.resource else None,
        "ResourceType": charge.resource[1] if charge.resource else None,
        "ServiceCategory": charge.service_category[0],
        "ServiceName": charge.service,
        "ServiceSubcategory": charge.service_category[1],
        "SkuId": charge.sku,
        "SkuMeter": charge.token_kind,
        "SkuPriceDetails": _json(dict(charge.details)) if charge.details else None,
        "SkuPriceId": charge.sku_price,
        "Tags": _json({"model": charge.model, "workload": charge.workload}),
        "x_Kind": charge.kind,
        "x_Model": charge.model,
        "x_PriceId": charge.price_id or charge.sku_price,
        "x_Source": charge.source,
        "x_TokenKind": charge.token_kind,
        "x_Workload": charge.workload,
    }
    if charge.commitment:
        for name in ("id", "category", "type", "quantity", "unit", "status"):
            row[f"CommitmentDiscount{name.capitalize()}"] = getattr(charge.commitment, name)
        row["CommitmentDiscountName"] = charge.commitment.id
    return row


def _json(pairs: Mapping[str, str]) -> str:
    return json.dumps(pairs, ensure_ascii=False, sort_keys=True)


def check(frame: pd.DataFrame, where: str = "FOCUS dataset") -> None:
    """Raise `InputError` for a dataset that breaks a rule of `focus_rules`, naming the first ones."""
    rows = frame.to_dict("records")
    found = list(islice(problems(list(frame.columns), rows), _SHOWN + 1))  # type: ignore[arg-type]
    if found:
        more = "; and more" if len(found) > _SHOWN else ""
        raise InputError(f"{where}: {'; '.join(str(problem) for problem in found[:_SHOWN])}{more}")


def totals(frame: pd.DataFrame) -> dict[str, Decimal]:
    """The four costs of a dataset in US dollars, summed exactly."""
    return {name: added(frame[name]) for name in COSTS}


def write(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a dataset as .csv or .parquet, whole or not at all.

    CSV has plain decimals, days as `2026-11-01T00:00:00Z`, and an apostrophe before text that a spreadsheet would take
    for a formula, such as `@cf/meta/llama`; Parquet has decimal128(38, 18) and UTC timestamps.
    Raises `InputError` for another kind of file, a folder that is not there, or a dataset that breaks a rule.
    """
    path = target(path)
    check(frame, str(path))
    write_whole(path, _csv(frame) if path.suffix == ".csv" else partial(_parquet, frame))


def target(path: Path | str) -> Path:
    """The file to write; raises `InputError` before any work where it cannot be one."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise bad("out", str(path), "a file that ends in .csv or .parquet")
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
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return (
            text if "." in text else f"{text}.0"
        )  # else readers that guess take a column of whole numbers for integers
    return f"{value.isoformat()}T00:00:00Z" if isinstance(value, date) else str(spreadsheet_cell(value))


def _parquet(frame: pd.DataFrame, file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def of(name: str) -> Any:
        if name in NUMBERS:
            return pa.decimal128(DIGITS, PLACES)
        return pa.timestamp("us", tz="UTC") if name in DAYS else pa.string()

    schema = pa.schema([(name, of(name)) for name in frame.columns])
    columns = [pa.array([_moment(v) for v in frame[name]], type=schema.field(name).type) for name in frame.columns]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), file)


def _moment(value: object) -> object:
    return pd.Timestamp(value, tz="UTC") if isinstance(value, date) else value
