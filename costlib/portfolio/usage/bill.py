"""The bill of a log, exact at any size: calls that share their prices are added up before they are priced.

Prices change with the day, at a few hours of the day and at a few lengths of the input, so calls of one workload,
model, day, slot between two such hours and band between two such lengths cost what their sum costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.errors import InputError
from costlib.prices.book import PriceBook
from costlib.prices.usage import PricedUsage, price_usage
from costlib.read.tokens import TOKENS

_KEY = ["workload", "provider", "model"]
_NAMES = ["model", "provider", "host", "tier"]
_ALWAYS = ("input_tokens", "output_tokens")
_SUMMED = "add up many requests"


@dataclass(frozen=True)
class Bill:
    """`usd`, exactly, None where nothing has a price; by workload, provider and model in `models`; what has none, and
    why, in `unpriced`."""

    usd: Decimal | None
    models: pd.DataFrame
    unpriced: pd.DataFrame
    notes: tuple[str, ...]


def priced(base: Any, book: PriceBook, as_of: str | None) -> Bill:
    """Price the table `calls` of a DuckDB connection."""
    lengths = sorted({price.above_input_tokens for price in book.prices} - {0})
    hours = sorted({hour for price in book.prices for hour in price.hours or ()})
    minutes = [hour.hour * 60 + hour.minute for hour in hours]
    groups = base.execute(f"""
        SELECT workload, coalesce(provider, '') AS provider, model, tier, host, adds_up, requests IS NULL AS unknown,
            day_only OR coalesce(period_s, 0) > 3600 AS hourless,
            {_steps("floor(time / 60) % 1440", minutes, ">=")} AS slot,
            {_steps("ceil(input_tokens / coalesce(requests, 1e15))", lengths, ">")} AS band,
            floor(time / 86400) AS day, min(time) AS time, CAST(count(*) AS BIGINT) AS n,
            CAST(coalesce(sum(requests), 1 + sum(input_tokens) // 1000) AS BIGINT) AS requests,
            {", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in TOKENS)}
        FROM calls GROUP BY ALL ORDER BY ALL
    """).df()
    groups["tier"] = groups["tier"].fillna("standard")
    groups["reason"], groups["usd"] = None, float("nan")
    usd, notes = Decimal(0), dict[str, None]()
    for _, part in groups.groupby(["adds_up", "hourless"]):
        for bill, rows in _bills(book, part, as_of):
            if isinstance(bill, InputError):
                groups.loc[rows, "reason"] = str(bill)
                continue
            usd += bill.total
            groups.loc[rows, "usd"] = bill.amounts
            notes |= dict.fromkeys(note for note in bill.notes if part["adds_up"].iloc[0] or _SUMMED not in note)
    lost = groups[groups["usd"].isna()]
    unpriced = lost.groupby(["model", "provider", "tier", "reason"], sort=False)["requests"].sum().reset_index()
    unpriced = unpriced[["model", "provider", "tier", "requests", "reason"]]
    models = groups.groupby(_KEY)["usd"].sum(min_count=1).reset_index()
    return Bill(usd if len(lost) < len(groups) else None, models, unpriced, tuple(notes))


def _bills(book: PriceBook, part: pd.DataFrame, as_of: str | None) -> Iterator[tuple[PricedUsage | InputError, Any]]:
    """The bills of rows, or why some have none, each with the index of its rows."""
    asked = part[["model", "provider", "host", "tier", "requests", *TOKENS]]
    asked = asked.drop(columns=[name for name in TOKENS if name not in _ALWAYS and not asked[name].any()])
    moments = pd.to_datetime(part["time"], unit="s", utc=True)
    if part["hourless"].iloc[0]:
        asked = asked.assign(date=moments.dt.strftime("%Y-%m-%d"))
    else:
        asked = asked.assign(timestamp=moments)
    try:
        bill = price_usage(book, asked, as_of=as_of)
    except InputError as error:  # no row has a price
        if part.groupby(_NAMES, dropna=False).ngroups == 1:
            yield InputError(str(error).partition(": ")[2]), part.index
            return
    else:
        if (known := bill.amounts.notna()).all():
            yield bill, part.index
            return
        if known.any():
            yield bill, part.index[known]
            part = part[~known]
    for _, alone in part.groupby(_NAMES, dropna=False):
        yield from _bills(book, alone, as_of)


def _steps(value: str, steps: list[int], above: str) -> str:
    """SQL for how many of some steps a value is above."""
    return " + ".join(["0", *(f"CAST({value} {above} {step} AS INTEGER)" for step in steps)])
