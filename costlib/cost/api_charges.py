"""FOCUS rows of tokens bought from an API: the published price beside what a contract or promotion makes of it.

`usage_charges` turns a usage table into one row per month, workload, model, tier, kind of token and price. Its total
is that of `price_usage`, exactly.
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

from costlib.cost.focus import AI, Charge
from costlib.cost.focus_rules import PLACES, next_month
from costlib.errors import bad
from costlib.figure import Kind
from costlib.prices.book import AsOf, PriceBook
from costlib.prices.entries import FEES, Price, PriceError
from costlib.prices.usage import price_usage
from costlib.prices.usage_table import minutes, read_usage

MODALITIES = ("audio", "image", "video")
METERS = {
    "input": "Input Tokens",
    "cache_read": "Cached Input Tokens",
    "cache_write_5m": "Cache Write Tokens",
    "cache_write_1h": "Cache Write Tokens, 1 Hour",
    "output": "Output Tokens",
    "output_reasoning": "Reasoning Tokens",
    "output_citation": "Citation Tokens",
    **{f"{way}_{what}": f"{way} {what} Tokens".title() for way in ("input", "output") for what in MODALITIES},
    **{f"cache_read_{what}": f"Cached {what} Tokens".title() for what in MODALITIES},
    "search": "Searches",
    "storage_search": "Storage Searches",
    "request": "Requests",
}
_MILLION = Decimal(1_000_000)
_PRICE_PLACES = 12
"""Decimals of a price in US dollars per million: more are the noise of a float, and a cost has room for 18 in all."""
_EPOCH = date(1970, 1, 1)
DISCOUNTS = ("contracted", "promotional")
"""Purposes of own entries that are below the published price for one customer or for a while."""
NO_WORKLOAD = "all"
"""Workload of usage that names none."""


@dataclass(frozen=True)
class Priced:
    """A price of the book in US dollars per million, by its id."""

    id: str
    usd_per_mtok: Decimal
    kind: Kind
    source: str


@dataclass(frozen=True)
class ChargedUsage:
    """Charges of a usage table; rows without a price make none and are in `unpriced`, as in `PricedUsage`."""

    charges: list[Charge]
    unpriced: pd.DataFrame
    notes: tuple[str, ...]


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
) -> Charge:
    """Tokens (or searches, or requests) of one price; `listed` is the published price where another one was paid."""
    what = FEES.get(token_kind, "tokens").capitalize()
    listed = listed or paid
    prices = [_rounded(price.usd_per_mtok, _PRICE_PLACES) for price in (listed, paid)]
    most = max(-int(price.as_tuple().exponent) for price in prices)
    tokens = _rounded(tokens, PLACES - 6 - max(0, most))
    return Charge(
        model=model,
        workload=workload,
        token_kind=METERS.get(token_kind, token_kind),
        description=f"{METERS.get(token_kind, token_kind)} of {model}, {tier} tier, for {workload}",
        provider=provider,
        service=f"{provider} model API",
        service_category=AI,
        sku=f"{provider}/{model}:{token_kind}",
        sku_price=listed.id,
        start=start,
        end=end,
        quantity=tokens / _MILLION,
        unit=f"1000000 {what}",
        listed=prices[0],
        contracted=prices[1],
        kind=paid.kind,
        source=paid.source,
        consumed=(tokens, what),
        price_id=paid.id,
        details=(("x_ModelId", model), ("x_ServiceTier", tier)),
    )


def _rounded(value: Decimal, places: int) -> Decimal:
    """A number with at most so many decimals: some list prices carry the noise of a float."""
    return value if -int(value.as_tuple().exponent) <= places else round(value, places).normalize()


def without_discounts(book: PriceBook) -> PriceBook:
    """The same book at published prices: no contracted and no promotional entries."""
    kept = tuple(price for price in book.prices if price.purpose not in DISCOUNTS)
    return PriceBook(book.source, book.snapshot_date, kept, book.names, book.exchange_rates)


def usage_charges(
    book: PriceBook,
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: AsOf = None,
    columns: Mapping[str, str] | None = None,
) -> ChargedUsage:
    """A usage table (as in `price_usage`) by month; an optional column `workload` tells workloads apart.

    Rows belong to the month of their timestamp or date (UTC); without one, to that of `as_of` or the book's snapshot.
    Raises the errors of `price_usage`, and `InputError` where a published price cannot be told apart from a contract's.
    """
    frame, places, _ = read_usage(usage, columns)
    # names what is wrong by its line
    whole = price_usage(book, usage, provider=provider, tier=tier, as_of=as_of, columns=columns)
    named = next((name for name in ("timestamp", "date") if name in frame.columns), None)
    if named is None:
        days = np.full(len(frame), (book.moment(as_of)[0] - _EPOCH).days)
    else:
        days, of_day = np.divmod(minutes(frame[named], named, places), 24 * 60)
        if of_day.any():  # a part of the table may hold midnights only
            frame = frame.rename(columns={named: "timestamp"})
    known = whole.amounts.notna().to_numpy()
    frame, days = frame[known].reset_index(drop=True), days[known]
    workloads = (
        frame["workload"].fillna(NO_WORKLOAD).astype(str)
        if "workload" in frame.columns
        else pd.Series(NO_WORKLOAD, frame.index)
    )
    months = [(_EPOCH + timedelta(days=int(day))).replace(day=1) for day in days]
    listed = without_discounts(book)
    charges: list[Charge] = []
    parts: Any = frame.groupby([workloads, pd.Series(months, frame.index, dtype=object)])
    for (workload, month), part in parts:
        named_by = {"provider": provider, "tier": tier, "as_of": as_of}
        at = pd.Series(days, frame.index).loc[part.index]
        for key, tokens in _lines(book, listed, part, at, named_by).items():
            name, model, of_tier, kind, paid, published = key
            charges.append(
                api_charge(
                    name,
                    model,
                    of_tier,
                    kind,
                    Decimal(tokens),
                    paid,
                    workload=str(workload),
                    start=month,
                    end=next_month(month),
                    listed=published,
                )
            )
    return ChargedUsage(charges, whole.unpriced, whole.notes)


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
    if all(prices[name].purpose not in DISCOUNTS for name in lines["price_id"]):
        keep(lines, lines)
        return found
    for _, piece in part.groupby([days, part["model"]]):  # published prices may move inside a month
        paid = price_usage(book, piece, **named).lines
        try:
            keep(paid, price_usage(listed, piece, **named).lines)
        except PriceError:  # a model or day that only the contract prices
            keep(paid, paid)
    return found


def _paired(
    paid: pd.DataFrame, published: pd.DataFrame, prices: Mapping[str, Price]
) -> Iterator[tuple[dict[str, Any], dict[str, Any], int]]:
    """Each line of the bill with the published price of its tokens: of the same band, or the only one there is."""

    def bands(of: list[Any]) -> list[int]:
        return [prices[line["price_id"]].above_input_tokens for line in of]

    by = ["provider", "model", "tier", "token_kind"]
    others = {key: of.to_dict("records") for key, of in published.groupby(by)}
    for key, of in paid.groupby(by):
        lines, list_lines = of.to_dict("records"), others.get(key, of.to_dict("records"))
        if bands(lines) == bands(list_lines):
            yield from ((line, other, line["tokens"]) for line, other in zip(lines, list_lines, strict=True))  # type: ignore[misc]
        elif len(lines) == 1:
            yield from ((lines[0], other, other["tokens"]) for other in list_lines)  # type: ignore[misc]
        elif len(list_lines) == 1:
            yield from ((line, list_lines[0], line["tokens"]) for line in lines)  # type: ignore[misc]
        else:
            allowed = "one published or one contracted price for its requests of a day"
            raise bad(f"prices of {'/'.join(str(part) for part in key)}", len(lines), allowed)
