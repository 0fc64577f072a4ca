"""What a usage table costs: a million rows in about a second, equal to pricing each row by itself.

Rows with the same model, provider, tier, day and long-context band share their prices, so the exact bill is the sum of
their tokens times a price, in `Decimal`; only the amounts shown per row are floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from costlib.errors import InputError, bad
from costlib.prices.api import MOST_TOKENS
from costlib.prices.book import AsOf, Band, PriceBook, Sheet
from costlib.prices.usage_table import Integers, Places, counts, minutes, read_usage, refuse

DatedBy = Literal["timestamp", "date", "as_of", "snapshot day"]

_PARTS = {
    "cached_tokens": "cache_read",
    "cache_write_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
}
_COUNTS = ("input_tokens", "output_tokens", *_PARTS, "reasoning_tokens")
_KEYS = ("model", "provider", "tier")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_A_DAY = 24 * 60


@dataclass(frozen=True)
class PricedUsage:
    """The bill of a usage table, in US dollars.

    `lines` is the exact bill, one row per price: provider, model, tier, token_kind, price_id, tokens, usd_per_mtok and
    amount (`Decimal`), which sum to `total`, doubt (see `Price.doubt`), source and kind. `amounts` is the amount of
    each row of the table (float, same index). `dated_by` says which days' prices were taken: those of a column of the
    table, of the one `as_of` that was asked for, or of the book's snapshot day.
    """

    total: Decimal
    currency: str
    lines: pd.DataFrame
    amounts: pd.Series[float]
    dated_by: DatedBy
    source: str
    snapshot: str


def price_usage(
    book: PriceBook,
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: AsOf = None,
) -> PricedUsage:
    """Price every row of a DataFrame, CSV or Parquet file as one request.

    Columns: model, input_tokens, output_tokens; optional provider, tier, timestamp or date (UTC unless it says
    otherwise), cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, with the meaning they have
    in `price_request`; further columns are left alone. `provider` and `tier` are for rows that name none; `as_of`
    prices every row on that day whatever its own. A `request_id` may appear once: a request billed twice is refused.
    Raises `InputError` naming the row (line of a CSV) and field, and the errors of `price_request`.
    """
    frame, places = read_usage(usage)
    for column in ("model", "input_tokens", "output_tokens"):
        if column not in frame.columns:
            raise bad("missing column", column, "model, input_tokens and output_tokens", places.file)
    if "request_id" in frame.columns:
        again = frame["request_id"].notna() & frame["request_id"].duplicated()
        refuse(again.to_numpy(), "request_id", frame["request_id"], places, "each request once")
    count = {name: counts(frame, name, places) for name in _COUNTS}
    inside = sum((count[name] for name in _PARTS), np.zeros(len(frame), dtype=np.int64))
    over = inside > count["input_tokens"]
    refuse(over, "cached_tokens + cache writes", inside, places, "at most input_tokens, which include them")
    over = count["reasoning_tokens"] > count["output_tokens"]
    refuse(over, "reasoning_tokens", count["reasoning_tokens"], places, "at most output_tokens, which include them")

    sheet_of_row, sheets, dated_by = _sheets(book, frame, places, provider, tier, as_of)
    band_of_row, bands = _bands(sheets, sheet_of_row, count["input_tokens"])
    apart = _has(sheets, "output_reasoning")[sheet_of_row] * count["reasoning_tokens"]
    tokens = {
        "input": count["input_tokens"] - inside,
        **{kind: count[name] for name, kind in _PARTS.items()},
        "output": count["output_tokens"] - apart,
        "output_reasoning": apart,
        "request": _has(sheets, "request")[sheet_of_row],
    }
    lines, amounts = _bill(tokens, band_of_row, [(sheets[sheet], stands_for) for sheet, stands_for in bands], places)
    total = sum(lines["amount"], Decimal(0))
    row_amounts = pd.Series(amounts, index=frame.index, name="usd")
    source = ", ".join(dict.fromkeys(lines["source"])) or book.source
    return PricedUsage(total, "USD", lines, row_amounts, dated_by, source, book.snapshot)


def _has(sheets: list[Sheet], token_kind: str) -> Integers:
    return np.array([token_kind in sheet.bands for sheet in sheets], dtype=np.int64)


def _sheets(
    book: PriceBook, frame: pd.DataFrame, places: Places, provider: str | None, tier: str, as_of: AsOf
) -> tuple[Integers, list[Sheet], DatedBy]:
    """The price sheets the table needs, and the number of each row's."""
    codes: list[Integers] = []
    values: list[list[Any]] = []
    for name, default in zip(_KEYS, (None, provider, tier), strict=True):
        column = frame[name] if name in frame.columns else pd.Series(np.nan, index=frame.index)
        code, unique = pd.factorize(column)
        if name == "model":
            refuse(code < 0, name, column, places, "a model name")
        codes.append(code.astype(np.int64) + 1)
        values.append([default, *(str(value) for value in unique)])
    moments, dated_by = _moments(book, frame, places, values[0], codes[0], as_of)
    code, unique_moments = pd.factorize(moments)
    codes.append(code.astype(np.int64))
    values.append([int(moment) for moment in unique_moments])
    combined = codes[0]
    for code, of in zip(codes[1:], values[1:], strict=True):
        combined = combined * len(of) + code
    sheet_of_row, distinct = pd.factorize(combined)
    first = np.full(len(distinct), len(frame))
    np.minimum.at(first, sheet_of_row, np.arange(len(frame)))
    sheets = []
    for position in first:
        model, of_provider, of_tier, minute = (of[code[position]] for of, code in zip(values, codes, strict=True))
        when = as_of
        if dated_by in ("timestamp", "date"):
            moment = _EPOCH + timedelta(minutes=minute)
            when = moment if dated_by == "timestamp" else moment.date()
        try:
            sheets.append(book.sheet(model, of_provider, of_tier, when))
        except InputError as error:
            raise type(error)(f"{places.row(int(position))}: {error}") from None
    return sheet_of_row.astype(np.int64), sheets, dated_by


def _moments(
    book: PriceBook, frame: pd.DataFrame, places: Places, models: list[Any], model_of_row: Integers, as_of: AsOf
) -> tuple[Integers, DatedBy]:
    """When each row's prices are looked up, in minutes since 1970: by the day, unless they depend on the hour."""
    nowhere: Integers = np.zeros(len(frame), dtype=np.int64)
    if as_of is not None:
        return nowhere, "as_of"
    name: Literal["timestamp", "date"]
    for name in ("timestamp", "date"):
        if name in frame.columns:
            minute = minutes(frame[name], name, places)
            by_the_hour = np.array([False, *(_by_the_hour(book, model) for model in models[1:])])
            return np.where(by_the_hour[model_of_row], minute, minute // _A_DAY * _A_DAY), name
    return nowhere, "snapshot day"


def _by_the_hour(book: PriceBook, model: str) -> bool:
    names = book.names.get(model.strip().lower(), ())
    return any(price.hours for name in names for price in book.by_model.get((name.provider, name.model), ()))


def _bands(sheets: list[Sheet], sheet_of_row: Integers, inputs: Integers) -> tuple[Integers, list[tuple[int, int]]]:
    """The long-context bands of the sheets, as (sheet, an input length in the band), and the number of each row's."""
    cliffs = [sorted({band.above for of in sheet.bands.values() for band in of if band.above}) for sheet in sheets]
    most = max((len(of) for of in cliffs), default=0)
    height = np.zeros(len(inputs), dtype=np.int64)
    for level in range(most):
        above = np.array([of[level] if level < len(of) else MOST_TOKENS for of in cliffs])
        height += inputs > above[sheet_of_row]
    lengths = [[0, *(cliff + 1 for cliff in of), *[0] * (most - len(of))] for of in cliffs]
    bands = [(sheet, length) for sheet, of in enumerate(lengths) for length in of]
    return sheet_of_row * (most + 1) + height, bands


def _bill(
    tokens: dict[str, Integers], band_of_row: Integers, bands: list[tuple[Sheet, int]], places: Places
) -> tuple[pd.DataFrame, np.ndarray[Any, np.dtype[np.float64]]]:
    """The exact bill by price, and the amount of each row."""
    amounts = np.zeros(len(band_of_row))
    bill: dict[tuple[str, Decimal], tuple[Sheet, Band, int]] = {}
    for kind, of_kind in tokens.items():
        if not of_kind.any():
            continue
        usd_per_token = np.zeros(len(bands))
        for number, total in enumerate(_sums(of_kind, band_of_row, len(bands))):
            if total:
                sheet, length = bands[number]
                try:
                    band = sheet.band(kind, length)
                except InputError as error:
                    first = int(((band_of_row == number) & (of_kind > 0)).argmax())
                    raise type(error)(f"{places.row(first)}: {error}") from None
                usd_per_token[number] = float(band.usd_per_mtok) / 1e6
                key = (band.price.id, band.usd_per_mtok)
                known, _, before = bill.get(key, (sheet, band, 0))
                bill[key] = (min(known, sheet, key=lambda one: one.day), band, total + before)
        amounts += of_kind * usd_per_token[band_of_row]
    columns = ["provider", "model", "tier", "token_kind", "price_id", "tokens", "usd_per_mtok", "amount"]
    columns += ["doubt", "source", "kind"]
    rows = [
        (
            sheet.provider,
            sheet.model,
            sheet.tier,
            band.price.token_kind,
            band.price.id,
            total,
            band.usd_per_mtok,
            total * band.usd_per_mtok / 1_000_000,
            band.price.doubt(sheet.day),
            band.price.source,
            band.price.kind,
        )
        for sheet, band, total in bill.values()
    ]
    return pd.DataFrame(rows, columns=columns), amounts


def _sums(values: Integers, group: Integers, groups: int) -> list[int]:
    """Exact sums by group; halves of the bits are summed apart where 64 would not hold the whole."""
    if int(values.max()) * len(values) < 2**62:
        sums = np.zeros(groups, dtype=np.int64)
        np.add.at(sums, group, values)
        return [int(total) for total in sums]
    low, high = _sums(values & 0xFFFFFFFF, group, groups), _sums(values >> 32, group, groups)
    return [lower + (upper << 32) for lower, upper in zip(low, high, strict=True)]
