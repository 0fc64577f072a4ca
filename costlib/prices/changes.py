"""What changed between two price books or two days: moves, corrections, and their effect on a usage table.

A *move* is a new price from a new first day. A *correction* is another amount for days that already had one: the
earlier answer was wrong. Where neither book has a first day, the two cannot be told apart and the change is `unclear`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from costlib.errors import invalid_input
from costlib.output import check_file, write_whole
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.prices.currency import load_exchange_rates
from costlib.prices.entries import Price
from costlib.prices.names import Name
from costlib.prices.usage import price_usage
from costlib.read import iso_date, parsing, read_json

_KEY = ("provider", "model", "tier", "token_kind", "above_input_tokens", "hours")
_DAYS = ("effective_from", "effective_to", "known_from", "observed_on")


def diff(
    before: PriceBook,
    after: PriceBook,
    *,
    before_day: AsOf = None,
    after_day: AsOf = None,
    usage: pd.DataFrame | Path | str | None = None,
    unchanged: bool = False,
) -> pd.DataFrame:
    """The prices that differ between `before` on `before_day` and `after` on `after_day` (default: snapshot days).

    Columns: provider, model, tier, token_kind, above_input_tokens, hours, change (moved, corrected, unclear, added or
    removed), usd_per_mtok_before and _after (`Decimal`, None where there is none), effective_from_before and _after,
    observed_on_before and _after, price_id_before and _after. With `usage`, also tokens (billed at that price before)
    and effect_usd: what the same usage costs more after the change (None where the price is gone). With `unchanged` a
    row for every other price, too. Raises what `price_usage` raises.
    """
    days = before.moment(before_day)[0], after.moment(after_day)[0]
    old, new = _in_force(before, days[0]), _in_force(after, days[1])
    tokens: dict[str, int] = {}
    if usage is not None:
        lines = price_usage(before, usage, as_of=before_day or days[0]).lines
        for billed_id, billed_tokens in zip(lines["price_id"], lines["tokens"], strict=True):
            tokens[billed_id] = tokens.get(billed_id, 0) + billed_tokens
    rows: list[dict[str, Any]] = []
    for key in sorted(old.keys() | new.keys(), key=str):
        was, now = old.get(key), new.get(key)
        usd_was = before.exchange_rates.to_usd(was.amount, was.currency, days[0]) if was else None
        usd_now = after.exchange_rates.to_usd(now.amount, now.currency, days[1]) if now else None
        if usd_was == usd_now and not unchanged:
            continue
        changed = _change(was, now) if usd_was != usd_now else "unchanged"
        row: dict[str, Any] = dict(zip(_KEY, key, strict=True)) | {"change": changed}
        for suffix, price, usd in (("before", was, usd_was), ("after", now, usd_now)):
            row[f"usd_per_mtok_{suffix}"] = usd
            row[f"effective_from_{suffix}"] = price.effective_from if price else None
            row[f"observed_on_{suffix}"] = price.observed_on if price else None
            row[f"price_id_{suffix}"] = price.id if price else None
        if usage is not None:
            billed = tokens.get(was.id, 0) if was else 0
            row["tokens"] = billed
            known = usd_was is not None and usd_now is not None
            row["effect_usd"] = billed * (usd_now - usd_was) / 1_000_000 if known else None  # type: ignore[operator]
        rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*_KEY, "change"])


def price_changes(since: date | str, as_of: AsOf = None) -> pd.DataFrame:
    """Every list price on two days, a row per model, tier and kind of token: `before_` and `after_usd_per_mtok`.

    `change` says moved (from a new first day), corrected (the earlier answer was wrong), unclear (no first day is
    published), added, removed or unchanged. Raises `InputError` for a day that is none, or not before the other.

    Args:
        since: The first day, YYYY-MM-DD.
        as_of: The second day [default: the snapshot].
    """
    book = load_book()
    first, last = iso_date(str(since)), book.moment(as_of)[0]
    if first is None or first >= last:
        raise invalid_input("since", str(since), f"a day as YYYY-MM-DD before {last}")
    frame = diff(book, book, before_day=first, after_day=last, unchanged=True)
    for side in ("before", "after"):
        frame = frame.rename(columns={f"usd_per_mtok_{side}": f"{side}_usd_per_mtok"})
        frame = frame.rename(columns={f"price_id_{side}": f"{side}_usd_per_mtok_source"})
        frame = frame.astype({f"{side}_usd_per_mtok": float})
    return frame.assign(kind="quoted", source=book.source)


def _change(was: Price | None, now: Price | None) -> str:
    if was is None or now is None:
        return "added" if was is None else "removed"
    if now.purpose == "correction":
        return "corrected"
    if was.effective_from == now.effective_from:
        return "unclear" if was.effective_from is None else "corrected"
    return "moved"


def _in_force(book: PriceBook, day: date) -> dict[tuple[Any, ...], Price]:
    """The one price in force on a day for each thing priced; ours before the list's, the last observation."""
    chosen: dict[tuple[Any, ...], Price] = {}
    own = {_key(price)[:4] for price in book.prices if price.own and book.holds(price, day)}
    for price in sorted(book.prices, key=lambda price: price.observed_on):
        if book.holds(price, day) and (price.own or _key(price)[:4] not in own):
            chosen[_key(price)] = price
    return chosen


def _key(price: Price) -> tuple[Any, ...]:
    hours = f"{price.hours[0]:%H:%M}-{price.hours[1]:%H:%M}" if price.hours else ""
    return price.provider, price.model, price.tier, price.token_kind, price.above_input_tokens, hours


def save_snapshot(book: PriceBook, path: Path) -> None:
    """Write the whole book to one JSON file, for a later `diff` (`read_snapshot`); never half a file."""
    document = {
        "source": book.source,
        "snapshot_date": str(book.snapshot_date),
        "snapshot": book.snapshot,
        "names": {alias: [asdict(name) for name in names] for alias, names in book.names.items()},
        "prices": [{name: _plain(value) for name, value in asdict(price).items()} for price in book.prices],
    }
    write_whole(path, json.dumps(document, indent=0, sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [f"{part:%H:%M}" for part in value]
    return str(value) if isinstance(value, (Decimal, date)) else value


def read_snapshot(path: Path) -> PriceBook:
    """The book a `save_snapshot` file holds.

    Raises `InputError` for a file that is no snapshot, or whose prices do not match the hash it was saved with.
    """
    allowed = "a file of costlib prices save"
    document = read_json(path, "price snapshot", allowed)
    with parsing("price snapshot", path, allowed):
        book = PriceBook(
            document["source"],
            date.fromisoformat(document["snapshot_date"]),
            tuple(_price(fields) for fields in document["prices"]),
            {alias: tuple(_name(name) for name in names) for alias, names in document["names"].items()},
            load_exchange_rates(),
        )
    if book.snapshot != document.get("snapshot"):
        raise invalid_input("hash of the prices", book.snapshot, f"{document.get('snapshot')}, as saved", str(path))
    return book


def _name(saved: dict[str, Any]) -> Name:
    known = {field.name: saved[field.name] for field in fields(Name) if field.name in saved}
    return Name(**known | {name: tuple(known.get(name, ())) for name in ("also", "sold_by")})


def _price(fields: dict[str, Any]) -> Price:
    days = {name: fields[name] and date.fromisoformat(fields[name]) for name in _DAYS}
    hours = fields["hours"] and tuple(time.fromisoformat(part) for part in fields["hours"])
    return Price(**fields | days | {"hours": hours, "amount": Decimal(fields["amount"])})


def prices_save(file: str) -> dict[str, Any]:
    """Save the whole price book, for a later `prices diff`.

    Args:
        file: JSON file to write.
    """
    path, book = check_file(file, "FILE"), load_book()
    save_snapshot(book, path)
    found = {"file": path, "prices": len(book.prices), "snapshot_date": book.snapshot_date, "snapshot": book.snapshot}
    return {**found, "source": book.source}
