"""FOCUS rows of tokens bought from an API, and of machines rented by the hour, reserved ahead, or bought.

Tokens: the published price beside what a contract or promotion makes of it; the total of `usage_charges` is that of
`price_usage`, exactly. A machine bills hours, busy or idle, and serves tokens: its rows are priced in hours and count
tokens as consumed. A reservation and owned hardware are paid for by a purchase row whose effective cost is 0; their
hours then bill nothing, or only what running them costs (power, hosting, people), and carry the purchase as effective
cost. Over the life of owned hardware these add up to what was paid less what it is sold for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costlib.cost.focus import PLACES, Row, as_json, charge, next_month
from costlib.cost.inputs import money
from costlib.errors import invalid_input
from costlib.figure import Kind
from costlib.prices.book import AsOf, PriceBook
from costlib.prices.entries import FEES, Price, PriceError
from costlib.prices.usage import price_usage
from costlib.prices.usage_table import minutes, read_usage

_MODALITIES = ("audio", "image", "video")
_METERS = {
    "input": "Input Tokens",
    "cache_read": "Cached Input Tokens",
    "cache_write_5m": "Cache Write Tokens",
    "cache_write_1h": "Cache Write Tokens, 1 Hour",
    "output": "Output Tokens",
    "output_reasoning": "Reasoning Tokens",
    "output_citation": "Citation Tokens",
    **{f"{way}_{what}": f"{way} {what} Tokens".title() for way in ("input", "output") for what in _MODALITIES},
    **{f"cache_read_{what}": f"Cached {what} Tokens".title() for what in _MODALITIES},
    "search": "Searches",
    "storage_search": "Storage Searches",
    "request": "Requests",
}
_PRICE_PLACES = 12
"""Decimals of a price in US dollars per million: more are the noise of a float, and a cost has room for 18 in all."""
_EPOCH = date(1970, 1, 1)
_DISCOUNTS = ("contracted", "promotional")
"""Purposes of own entries that are below the published price for one customer or for a while."""
_NO_WORKLOAD = "all"
"""Workload of usage that names none."""
_UNIT_PRICE = Decimal("1e-9")


@dataclass(frozen=True)
class Priced:
    """A price of the book in US dollars per million, by its id."""

    id: str
    usd_per_mtok: Decimal
    kind: Kind
    source: str


def api_charge(
    provider: str,
    model: str,
    tier: str,
    token_kind: str,
    tokens: Decimal,
    paid: Priced,
    *,
    workload: str,
    start: date,
    end: date,
    listed: Priced | None = None,
) -> Row:
    """Tokens (or searches, or requests) of one price; `listed` is the published price where another one was paid."""
    meter, listed = _METERS.get(token_kind, token_kind), listed or paid
    prices = [_rounded(price.usd_per_mtok, _PRICE_PLACES) for price in (listed, paid)]
    tokens = _rounded(tokens, PLACES - 6 - max(0, *(-int(price.as_tuple().exponent) for price in prices)))
    what = FEES.get(token_kind, "tokens").capitalize()
    return charge(
        *prices,
        ChargeDescription=f"{meter} of {model}, {tier} tier, for {workload}",
        ChargePeriodEnd=end,
        ChargePeriodStart=start,
        ConsumedQuantity=tokens,
        ConsumedUnit=what,
        PricingQuantity=tokens / 1_000_000,
        PricingUnit=f"1000000 {what}",
        ProviderName=provider,
        ServiceCategory="AI and Machine Learning",
        ServiceName=f"{provider} model API",
        ServiceSubcategory="Generative AI",
        SkuId=f"{provider}/{model}:{token_kind}",
        SkuPriceDetails=as_json(x_ModelId=model, x_ServiceTier=tier),
        SkuPriceId=listed.id,
        x_Kind=paid.kind,
        x_Model=model,
        x_PriceId=paid.id,
        x_Source=paid.source,
        x_TokenKind=meter,
        x_Workload=workload,
    )


def _rounded(value: Decimal, places: int) -> Decimal:
    """A number with at most so many decimals: some list prices carry the noise of a float."""
    return value if -int(value.as_tuple().exponent) <= places else round(value, places).normalize()


def without_discounts(book: PriceBook) -> PriceBook:
    """The same book at published prices: no contracted and no promotional entries."""
    kept = tuple(price for price in book.prices if price.purpose not in _DISCOUNTS)
    return PriceBook(book.source, book.snapshot_date, kept, book.names, book.exchange_rates)


def usage_charges(
    book: PriceBook,
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: AsOf = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[list[Row], pd.DataFrame, tuple[str, ...]]:
    """The rows of a usage table (as in `price_usage`) by month, what has no price as in `PricedUsage`, and its notes.

    A column `workload` tells workloads apart. Rows belong to the month of their timestamp or date (UTC); without one,
    to that of `as_of` or the book's snapshot. Raises the errors of `price_usage`, and `InputError` where a published
    price cannot be told apart from a contract's.
    """
    frame, places, _ = read_usage(usage, columns)
    named: dict[str, Any] = {"provider": provider, "tier": tier, "as_of": as_of}
    whole = price_usage(book, usage, columns=columns, **named)  # names what is wrong by its line
    dated = next((name for name in ("timestamp", "date") if name in frame.columns), None)
    if dated is None:
        days = np.full(len(frame), (book.moment(as_of)[0] - _EPOCH).days)
    else:
        days, of_day = np.divmod(minutes(frame[dated], dated, places), 24 * 60)
        if of_day.any():  # a part of the table may hold midnights only
            frame = frame.rename(columns={dated: "timestamp"})
    known = whole.amounts.notna().to_numpy()
    frame, on = frame[known].reset_index(drop=True), pd.Series(days[known])
    workloads = frame.get("workload", pd.Series(_NO_WORKLOAD, frame.index)).fillna(_NO_WORKLOAD).astype(str)
    months = on.map(lambda day: (_EPOCH + timedelta(days=int(day))).replace(day=1)).astype(object)
    listed = without_discounts(book)
    rows = []
    parts: Any = frame.groupby([workloads, months])
    for (workload, month), part in parts:
        for key, tokens in _lines(book, listed, part, on.loc[part.index], named).items():
            provider_of, model, tier_of, kind, paid, published = key
            period: dict[str, Any] = {"workload": str(workload), "start": month, "end": next_month(month)}
            what = (provider_of, model, tier_of, kind, Decimal(tokens), paid)
            rows.append(api_charge(*what, listed=published, **period))
    return rows, whole.unpriced, whole.notes


def _lines(
    book: PriceBook, listed: PriceBook, part: pd.DataFrame, days: pd.Series[Any], named: Mapping[str, Any]
) -> dict[tuple[Any, ...], int]:
    """Tokens by provider, model, tier, kind, paid price and published price (None: the one paid)."""
    prices = {price.id: price for price in book.prices}
    found: dict[tuple[Any, ...], int] = {}

    def keep(paid: pd.DataFrame, published: pd.DataFrame) -> None:
        for line, other, tokens in _paired(paid, published, prices):
            ids = ((one["price_id"], one["usd_per_mtok"]) for one in (line, other))
            both = [Priced(name, usd, prices[name].kind, prices[name].source) for name, usd in ids]
            of = tuple(line[name] for name in ("provider", "model", "tier", "token_kind"))
            key = (*of, both[0], None if both[0] == both[1] else both[1])
            found[key] = found.get(key, 0) + tokens

    lines = price_usage(book, part, **named).lines
    if all(prices[name].purpose not in _DISCOUNTS for name in lines["price_id"]):
        keep(lines, lines)
        return found
    for _, piece in part.groupby([days, part["model"]]):  # published prices may move inside a month
        paid = price_usage(book, piece, **named).lines
        try:
            keep(paid, price_usage(listed, piece, **named).lines)
        except PriceError:  # a model or day that only the contract prices
            keep(paid, paid)
    return found


def _paired(paid: pd.DataFrame, published: pd.DataFrame, prices: Mapping[str, Price]) -> Iterator[tuple[Any, Any, int]]:
    """Each line of the bill with the published price of its tokens: of the same band, or the only one there is."""

    def bands(of: list[Any]) -> list[int]:
        return [prices[line["price_id"]].above_input_tokens for line in of]

    by = ["provider", "model", "tier", "token_kind"]
    others = {key: of.to_dict("records") for key, of in published.groupby(by)}
    for key, of in paid.groupby(by):
        lines: list[Any] = of.to_dict("records")
        listed: list[Any] = others.get(key, lines)
        if bands(lines) == bands(listed):
            yield from ((line, other, line["tokens"]) for line, other in zip(lines, listed, strict=True))
        elif len(lines) == 1:
            yield from ((lines[0], other, other["tokens"]) for other in listed)
        elif len(listed) == 1:
            yield from ((line, listed[0], line["tokens"]) for line in lines)
        else:
            allowed = "one published or one contracted price for its requests of a day"
            raise invalid_input(f"prices of {'/'.join(str(part) for part in key)}", len(lines), allowed)


@dataclass(frozen=True)
class Bought:
    """Hardware of a whole pool, bought once: what was paid, its published price, and what it is sold for in the end.

    `life_hours` are hours of wall clock. Raises `InputError` for a residual above the price, or a price above the list.
    """

    paid_usd: Decimal
    listed_usd: Decimal
    residual_usd: Decimal
    life_hours: Decimal
    on: date

    def __post_init__(self) -> None:
        """Refuse what would amortize to less than nothing."""
        for name in ("paid_usd", "listed_usd", "residual_usd", "life_hours"):
            money(name, getattr(self, name), zero=name == "residual_usd")
        if self.residual_usd > self.paid_usd:
            raise invalid_input("residual_usd", f"{self.residual_usd:f}", f"at most paid_usd ({self.paid_usd:f})")
        if self.listed_usd < self.paid_usd:
            raise invalid_input("listed_usd", f"{self.listed_usd:f}", f"at least paid_usd ({self.paid_usd:f})")

    def per_hour(self, price: Decimal, replicas: int) -> Decimal:
        """What an hour of one of `replicas` carries of a `price` of the pool, to nine decimals."""
        return ((price - self.residual_usd) / self.life_hours / replicas).quantize(_UNIT_PRICE)


@dataclass(frozen=True)
class Pool:
    """Machines that serve one option for a period: `replicas` of them, each at `usd_per_hour`, for `hours` in all.

    `listed_usd_per_hour` is the published on-demand price of the same machine. `used` is hours and tokens by workload
    and kind of token, `idle` hours by workload; together they are `hours`. `bought` belongs to owned machines.
    """

    name: str
    model: str
    provider: str
    device: str
    rate_kind: str
    replicas: int
    hours: Decimal
    usd_per_hour: Decimal
    listed_usd_per_hour: Decimal
    used: Mapping[tuple[str, str], tuple[Decimal, Decimal]]
    idle: Mapping[str, Decimal]
    kind: Kind
    source: str
    bought: Bought | None = None

    @property
    def reserved(self) -> bool:
        """Whether its hours are paid ahead."""
        return self.rate_kind.startswith("reserved")

    def unit_prices(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Listed, contracted, billed and effective price of an hour."""
        hourly, listed = self.usd_per_hour, self.listed_usd_per_hour
        if self.reserved:
            return listed, listed, Decimal(0), hourly
        if self.rate_kind != "owned":
            return listed, hourly, hourly, hourly
        if self.bought is None:  # bought before, at a price nobody gave: a cost and no bill
            return hourly, hourly, Decimal(0), hourly
        capital, at_list = (
            self.bought.per_hour(usd, self.replicas) for usd in (self.bought.paid_usd, self.bought.listed_usd)
        )
        if capital > hourly:
            allowed = f"a purchase whose capital is at most the {hourly:f} USD an hour of {self.name} costs"
            raise invalid_input("capital per hour", f"{capital:f}", allowed)
        return at_list + hourly - capital, hourly, hourly - capital, hourly


def hosting_charges(pool: Pool, start: date, end: date) -> list[Row]:
    """The purchase (of a reservation, or of hardware bought in the month of `start`) and every hour of a pool.

    Raises `InputError` where used and idle hours are not the paid ones, or an owned hour costs less than its capital.
    """
    spent = sum((hours for hours, _ in pool.used.values()), Decimal(0)) + sum(pool.idle.values(), Decimal(0))
    if spent != pool.hours:
        raise invalid_input(
            f"hours of pool {pool.name}", f"{spent:f}", f"used and idle hours that add up to {pool.hours:f}"
        )
    machine = f"{pool.provider}/{pool.device}"
    common: Row = {
        "ChargePeriodEnd": end,
        "ChargePeriodStart": start,
        "PricingUnit": "Hours",
        "ProviderName": pool.provider,
        "ResourceId": pool.name,
        "ResourceType": "Replica",
        "ServiceCategory": "Compute",
        "ServiceName": f"{pool.provider} machines",
        "ServiceSubcategory": "Virtual Machines",
        "x_Kind": pool.kind,
        "x_Model": pool.model,
        "x_Source": pool.source,
    }
    hour: Row = common | {
        "PricingCategory": "Committed" if pool.reserved else "Dynamic" if pool.rate_kind == "spot" else "Standard",
        "SkuId": machine,
        "SkuPriceId": f"{machine}:{'owned' if pool.rate_kind == 'owned' else 'on_demand'}",
        "x_PriceId": f"{machine}:{pool.rate_kind}",
    }
    rows, prices = _purchases(pool, common), pool.unit_prices()
    for (workload, kind), (hours, tokens) in pool.used.items():
        meter = _METERS.get(kind, kind)
        row = {"PricingQuantity": hours, "x_Workload": workload, "x_TokenKind": meter} | _reserved(pool, hours, "Used")
        row |= {"ChargeDescription": f"{meter} of {pool.model} for {workload}, on {pool.name}"}
        rows.append(charge(*prices, **hour | row, ConsumedQuantity=tokens, ConsumedUnit="Tokens"))
    for workload, hours in pool.idle.items():
        row = {"PricingQuantity": hours, "x_Workload": workload, "x_TokenKind": "Idle Hours"}
        row |= {"ChargeDescription": f"Idle hours of {pool.name}, borne by {workload}"}
        consumed = {"ConsumedQuantity": hours, "ConsumedUnit": "Hours"}
        row |= _reserved(pool, hours, "Unused") if pool.reserved else consumed
        rows.append(charge(*prices, **hour | row))
    return [row for row in rows if row["PricingQuantity"]]


def _reserved(pool: Pool, hours: Decimal, status: str | None) -> Row:
    """What a row of a reservation says of it; nothing where there is none."""
    if not pool.reserved:
        return {}
    said = {"Id": f"{pool.name}, {pool.rate_kind}", "Category": "Usage", "Type": pool.rate_kind, "Quantity": hours}
    return {f"CommitmentDiscount{name}": value for name, value in (said | {"Unit": "Hours", "Status": status}).items()}


def _purchases(pool: Pool, common: Row) -> list[Row]:
    """The purchase row that pays for hours to come, if there is one in this month."""
    sku, bought = f"{pool.provider}/{pool.device}:{pool.rate_kind}", pool.bought
    row = common | {"ChargeCategory": "Purchase", "SkuId": sku, "SkuPriceId": f"{sku}:purchase"}
    row |= {"x_TokenKind": "Purchase", "x_Workload": _NO_WORKLOAD}
    if pool.reserved:
        row |= {"ChargeFrequency": "Recurring", "PricingQuantity": pool.hours}
        row |= {"ChargeDescription": f"Reservation of {pool.replicas} replicas of {pool.name}"}
        return [charge(pool.usd_per_hour, **row | _reserved(pool, pool.hours, None))]
    start = common["ChargePeriodStart"]
    if bought is None or pool.rate_kind != "owned" or not start <= bought.on < next_month(start):
        return []
    end = max(bought.on + timedelta(hours=float(bought.life_hours)), bought.on + timedelta(days=1))
    back = f"{bought.residual_usd:f} USD of it expected back after {bought.life_hours:f} hours"
    row |= {"ChargeDescription": f"Hardware of {pool.name}, {back}", "ChargePeriodStart": bought.on}
    row |= {"ChargePeriodEnd": end, "PricingQuantity": Decimal(1), "PricingUnit": "Pools"}
    return [charge(bought.listed_usd, bought.paid_usd, **row)]
