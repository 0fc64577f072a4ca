"""What a usage table costs: a million rows in about a second, equal to pricing each row by itself.

Rows with the same model, provider, tier, day and long-context band share their prices, so the exact bill is the sum of
their tokens times a price, in `Decimal`; only the amounts shown per row are floats. A row that has no price (a model, a
provider, a day nobody knows) is left out of the bill and reported with the reason; it does not end the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from costlib.errors import InputError, invalid_input
from costlib.prices.book import AsOf, Band, PriceBook, Sheet, load_book
from costlib.prices.buckets import COUNTS, MOST_TOKENS, not_used, own_buckets, plan
from costlib.prices.entries import DateOutsideCoverage, TimeNeeded
from costlib.prices.served import served_by
from costlib.prices.usage_table import Integers, counts, minutes, read_usage, refuse
from costlib.read import Places
from costlib.value import brief

DatedBy = Literal["timestamp", "date", "as_of", "snapshot day"]

_KEYS = ("model", "provider", "tier")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_A_DAY = 24 * 60


@brief
@dataclass(frozen=True)
class PricedUsage:
    """The bill of a usage table, in US dollars.

    `lines` is the exact bill, one row per price: provider, model, tier, token_kind, price_id, tokens, usd_per_mtok and
    amount (`Decimal`), which sum to `total`, doubt (see `Price.doubt`), deprecated, source and kind. `amounts` is the
    amount of each row of the table (float, same index; NaN without a price). `unpriced` is about those rows: model,
    provider and tier as the table has them, rows, first_row, reason. `dated_by` says which days' prices were taken:
    those of a column of the table, of the one `as_of` that was asked for, or of the book's snapshot day. `notes` say
    what a reader must know: doubts, tokens that were not used as such.
    """

    total: Decimal
    currency: str
    lines: pd.DataFrame
    amounts: pd.Series[float]
    unpriced: pd.DataFrame
    dated_by: DatedBy
    source: str
    snapshot: str
    notes: tuple[str, ...]
    as_of: date | None = None
    """The one day of all prices; None where each row has its own."""

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: of the amounts only how many they are."""
        found = {name: value for name, value in vars(self).items() if name != "amounts"}
        kind = "assumed" if "assumed" in set(self.lines["kind"]) else "quoted"
        return {**found, "rows": len(self.amounts), "price_ids": list(self.lines["price_id"]), "kind": kind}


def price_usage(
    book: PriceBook,
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: AsOf = None,
    columns: Mapping[str, str] | None = None,
) -> PricedUsage:
    """Price every row of a DataFrame, or of a file that `costlib usage` reads, as one request or its `requests`.

    Columns of a DataFrame: model, input_tokens, output_tokens; optional provider, tier, timestamp or date (UTC unless
    it says otherwise) and every other count of `COUNTS`, with the meaning it has in `price_request`; further columns
    are left alone. `provider` and `tier` are for rows that name none; `as_of` prices every row on that day whatever its
    own; `columns` maps fields of a file to its columns. A `request_id` may appear once in a DataFrame. Raises
    `InputError` naming the row (line of a file) and field of a count that is none, and the first reason where no row at
    all has a price.
    """
    frame, places, said = read_usage(usage, columns)
    frame = served_by(book, frame)
    for column in ("model", "input_tokens", "output_tokens"):
        if column not in frame.columns:
            raise invalid_input("missing column", column, "model, input_tokens and output_tokens", places.file)
    if "request_id" in frame.columns:
        again = frame["request_id"].notna() & frame["request_id"].duplicated()
        refuse(again.to_numpy(), "request_id", frame["request_id"], places, "each request once")
    given = {name: counts(frame, name, places) for name in COUNTS if name in frame.columns}
    requests = given.pop("requests", None)
    if requests is not None:
        refuse(requests < 1, "requests", requests, places, "a whole number from 1 on")

    sheets = _sheets(book, frame, places, provider, tier, as_of)
    own = {name: mask for name in (*given, "requests") if (mask := sheets.own(name)).any()}
    masked = {name: number if own[name].all() else number * own[name] for name, number in given.items() if name in own}
    planned = plan(tuple(given), frozenset(own))
    billed = planned.bill(masked)
    for field, number, whole, left in planned.beyond(given, billed):
        refuse(left < 0, field, number, places, f"at most {whole}, which include them")
    if "requests" in own:
        billed["request"] = own["requests"] * (1 if requests is None else requests)
    mean = given["input_tokens"] if requests is None else -(-given["input_tokens"] // requests)
    band_of_row, bands = _bands(sheets, mean)
    priced, unpriced, found, sums = _prices(sheets, billed, band_of_row, bands, places)
    lines = _lines(found, sums, bands)
    amounts = np.where(priced, 0.0, np.nan)
    for kind, number in billed.items():
        usd_per_token = np.zeros(len(bands))
        for (of, position), band in found.items():
            if of == kind:
                usd_per_token[position] = float(band.usd_per_mtok) / 1e6
        amounts += number * usd_per_token[band_of_row]
    return PricedUsage(
        total=sum(lines["amount"], Decimal(0)),
        currency="USD",
        lines=lines,
        amounts=pd.Series(amounts, index=frame.index, name="usd"),
        unpriced=unpriced,
        dated_by=sheets.dated_by,
        source=", ".join(dict.fromkeys(lines["source"])) or book.source,
        snapshot=book.snapshot,
        notes=tuple(
            dict.fromkeys([*said, *lines["doubt"].dropna(), *_notes(frame, sheets, given, own, requests, priced)])
        ),
        as_of=book.moment(as_of)[0] if sheets.dated_by in ("as_of", "snapshot day") else None,
    )


@dataclass(frozen=True)
class _Sheets:
    """The price sheets a table needs (or why there is none), what was asked for, and the number of each row's."""

    of_row: Integers
    found: list[Sheet | InputError]
    asked: list[tuple[Any, ...]]
    dated_by: DatedBy

    def own(self, name: str) -> Integers:
        """1 for each row in which a count is a bucket of its own, else 0."""
        known = (sheet.known if isinstance(sheet, Sheet) else frozenset() for sheet in self.found)
        return np.array([name in own_buckets(of) for of in known], dtype=np.int64)[self.of_row]


def _sheets(
    book: PriceBook, frame: pd.DataFrame, places: Places, provider: str | None, tier: str, as_of: AsOf
) -> _Sheets:
    codes: list[Integers] = []
    values: list[list[Any]] = []
    for name, default in zip(_KEYS, (None, provider, tier), strict=True):
        column = frame[name] if name in frame.columns else pd.Series(np.nan, index=frame.index)
        code, unique = pd.factorize(column)
        if name == "model":
            refuse(code < 0, name, column, places, "a model name")
        codes.append(code.astype(np.int64) + 1)
        values.append([default, *(str(value) for value in unique)])
    day, at = book.moment(as_of)
    named = next((name for name in ("timestamp", "date") if name in frame.columns), None)
    minute = np.zeros(len(frame), dtype=np.int64) if named is None else minutes(frame[named], named, places)
    timed = at is None and (named == "timestamp" or bool((minute % _A_DAY).any()))
    if as_of is not None or named is None:
        dated_by: DatedBy = "snapshot day" if as_of is None else "as_of"
        codes.append(np.zeros(len(frame), dtype=np.int64))
        values.append([day if at is None else datetime.combine(day, at)])
    else:
        dated_by = "timestamp" if named == "timestamp" else "date"
        code, unique_days = pd.factorize(minute // _A_DAY)
        codes.append(code.astype(np.int64))
        values.append([(_EPOCH + timedelta(days=int(one))).date() for one in unique_days])
    combined = codes[0]
    for code, of in zip(codes[1:], values[1:], strict=True):
        combined = combined * len(of) + code
    of_row, distinct = pd.factorize(combined)
    of_row = of_row.astype(np.int64)
    first = np.full(len(distinct), len(frame))
    np.minimum.at(first, of_row, np.arange(len(frame)))
    asked = [tuple(of[code[position]] for of, code in zip(values, codes, strict=True)) for position in first]
    found = [_sheet(book, *one) for one in asked]
    by_the_hour = np.array([isinstance(sheet, TimeNeeded) for sheet in found], dtype=bool)
    if timed and by_the_hour.any():
        rows = np.flatnonzero(by_the_hour[of_row])
        code, moments = pd.factorize(of_row[rows] * _A_DAY + minute[rows] % _A_DAY)
        for number, minute_of_day in (divmod(int(moment), _A_DAY) for moment in moments):
            *key, on = asked[number]
            asked.append((*key, datetime.combine(on, time(*divmod(minute_of_day, 60)), UTC)))
        of_row[rows] = len(found) + code
        found += [_sheet(book, *one) for one in asked[len(found) :]]
    return _Sheets(of_row, found, asked, dated_by)


def _sheet(book: PriceBook, model: str, provider: str | None, tier: str, on: AsOf) -> Sheet | InputError:
    try:
        return book.sheet(model, provider, tier, on)
    except InputError as error:
        return error


def _bands(sheets: _Sheets, inputs: Integers) -> tuple[Integers, list[tuple[Any, int]]]:
    """The long-context bands of the sheets, as (sheet, an input length in the band), and the number of each row's."""
    cliffs = [sheet.cliffs if isinstance(sheet, Sheet) else () for sheet in sheets.found]
    most = max((len(of) for of in cliffs), default=0)
    height = np.zeros(len(inputs), dtype=np.int64)
    for level in range(most):
        above = np.array([of[level] if level < len(of) else MOST_TOKENS for of in cliffs])
        height += inputs > above[sheets.of_row]
    lengths = [[0, *(cliff + 1 for cliff in of), *[0] * (most - len(of))] for of in cliffs]
    bands = [(sheet, length) for sheet, of in zip(sheets.found, lengths, strict=True) for length in of]
    return sheets.of_row * (most + 1) + height, bands


def _prices(
    sheets: _Sheets, billed: dict[str, Integers], band_of_row: Integers, bands: list[tuple[Any, int]], places: Places
) -> tuple[Any, pd.DataFrame, dict[tuple[str, int], Band], dict[str, list[int]]]:
    """Which rows have a price, why the others have none, the price of each kind and band, and the tokens it is for.

    Tokens of rows without a price are taken out of `billed`.
    """
    errors: dict[tuple[Any, ...], tuple[int, InputError]] = {}

    def code(error: InputError, asked: tuple[Any, ...]) -> int:
        days_apart = type(error) if isinstance(error, (DateOutsideCoverage, TimeNeeded)) else str(error)
        return errors.setdefault((*asked[:3], days_apart), (len(errors), error))[0]

    failed = [
        code(sheet, asked) if isinstance(sheet, InputError) else -1
        for sheet, asked in zip(sheets.found, sheets.asked, strict=True)
    ]
    reason_of_row = np.array(failed, dtype=np.int64)[sheets.of_row]
    bands_each = len(bands) // max(len(sheets.found), 1)
    found: dict[tuple[str, int], Band] = {}
    sums: dict[str, list[int]] = {}
    for kind, number in billed.items():
        sums[kind] = _sums(number, band_of_row, len(bands))
        without = np.full(len(bands), -1, dtype=np.int64)
        for position, total in enumerate(sums[kind]):
            sheet, length = bands[position]
            if total and isinstance(sheet, Sheet):
                try:
                    found[kind, position] = sheet.band(kind, length)
                except InputError as error:
                    without[position] = code(error, sheets.asked[position // bands_each])
        if (without >= 0).any():
            of_row = without[band_of_row]
            reason_of_row = np.where((reason_of_row < 0) & (of_row >= 0) & (number > 0), of_row, reason_of_row)
    priced = reason_of_row < 0
    if not priced.all():
        for kind in billed:
            billed[kind] = billed[kind] * priced
            sums[kind] = _sums(billed[kind], band_of_row, len(bands))
    rows = []
    for (model, provider, tier, _), (number_of, why) in errors.items():
        hit = np.flatnonzero(reason_of_row == number_of)
        if len(hit):
            first_row = places.row(int(hit[0]))
            rows.append((model, provider, tier, len(hit), first_row, str(why)))
            if not priced.any():
                raise type(why)(f"{first_row}: {why}")
    columns = ["model", "provider", "tier", "rows", "first_row", "reason"]
    return priced, pd.DataFrame(rows, columns=columns), found, sums


def _lines(
    found: Mapping[tuple[str, int], Band], sums: Mapping[str, Sequence[int]], bands: Sequence[tuple[Any, int]]
) -> pd.DataFrame:
    """The exact bill by price."""
    bill: dict[tuple[str, Decimal], tuple[Sheet, Band, int]] = {}
    for (kind, position), band in found.items():
        if total := sums[kind][position]:
            sheet, key = bands[position][0], (band.price.id, band.usd_per_mtok)
            known, _, before = bill.get(key, (sheet, band, 0))
            bill[key] = (min(known, sheet, key=lambda one: one.day), band, total + before)
    columns = ["provider", "model", "tier", "token_kind", "price_id", "tokens", "usd_per_mtok", "amount"]
    columns += ["doubt", "deprecated", "source", "kind"]
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
            sheet.deprecated,
            band.price.source,
            band.price.kind,
        )
        for sheet, band, total in bill.values()
    ]
    return pd.DataFrame(rows, columns=columns)


def _notes(
    frame: pd.DataFrame,
    sheets: _Sheets,
    given: Mapping[str, Integers],
    own: Mapping[str, Integers],
    requests: Integers | None,
    priced: Any,
) -> Iterator[str]:
    """Tokens that have no price of their own, counts that nobody knows, and rows that add up many requests."""
    for number_of in np.unique(sheets.of_row[priced]):
        sheet = sheets.found[number_of]
        if isinstance(sheet, Sheet):
            yield from sheet.notes
    for name, number in given.items():
        if name not in own or not own[name].all():
            apart: dict[str, int] = {}
            there = _sums(number * (1 - sheets.own(name)) * priced, sheets.of_row, len(sheets.found))
            for sheet, total in zip(sheets.found, there, strict=True):
                if total and isinstance(sheet, Sheet):
                    where = f"{sheet.provider}/{sheet.model}"
                    apart[where] = apart.get(where, 0) + total
            yield from (not_used(name, total, where) for where, total in apart.items())
    for name in frame.columns:
        if str(name).endswith("_tokens") and name not in COUNTS:
            if name == "total_tokens":
                differ = pd.to_numeric(frame[name], errors="coerce") != given["input_tokens"] + given["output_tokens"]
                if count := int((differ & frame[name].notna()).sum()):
                    yield f"total_tokens of {count:,} rows is not input_tokens + output_tokens"
            else:
                yield f"column {name} was not used; counts are named {', '.join(COUNTS)}"
    if requests is not None:
        cliffs = np.array([isinstance(sheet, Sheet) and bool(sheet.cliffs) for sheet in sheets.found], dtype=bool)
        if count := int(((requests > 1) & cliffs[sheets.of_row]).sum()):
            yield f"{count:,} rows add up many requests: their long-context price follows the mean request"


def _sums(values: Integers, group: Integers, groups: int) -> list[int]:
    """Exact sums by group; halves of the bits are summed apart where 64 would not hold the whole."""
    if int(values.max(initial=0)) * len(values) < 2**62:
        sums = np.zeros(groups, dtype=np.int64)
        np.add.at(sums, group, values)
        return [int(total) for total in sums]
    low, high = _sums(values & 0xFFFFFFFF, group, groups), _sums(values >> 32, group, groups)
    return [lower + (upper << 32) for lower, upper in zip(low, high, strict=True)]


def price_table(
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> PricedUsage:
    """What a table of requests costs: a frame with the counts of `price` as columns, or a log as `costlib usage` reads.

    Columns `model`, `input_tokens` and `output_tokens`; optional `provider`, `tier`, `timestamp` or `date` and the
    other counts, `requests` among them for rows that add up many. A row without a price is in `unpriced`.

    Args:
        usage: A frame, or a file.
        provider: Provider of rows that name none.
        tier: Tier of rows that name none.
        as_of: Date of the prices [default: the day of each row, else the snapshot].
        columns: Column of the file for each field it does not name so.
    """

    return price_usage(load_book(), usage, provider=provider, tier=tier, as_of=as_of, columns=columns)
