"""Commands below `costlib prices`: what changed in the price book, and its effect on a bill."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, records
from costlib.errors import InputError, bad, unused

if TYPE_CHECKING:
    from costlib.prices.book import PriceBook

_SHOWN = 30
_ORDER = ("moved", "corrected", "unclear", "removed", "added")


def ask_prices_diff(
    before: str,
    after: str,
    *,
    study: str | None = None,
    usage: str | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """Prices that changed between two days or saved books: moves told from corrections, and their effect in $.

    Args:
        before: Day of the price book (YYYY-MM-DD), or a file of `prices save`.
        after: Another day or file.
        study: Effect on what this study's plan sends to APIs.
        usage: Effect on a CSV or Parquet of requests.
        store: Folder of measurements [default: data/store].
    """
    if study is None:
        unused("without a study", ask_prices_diff, locals(), ["store"])
    if study is not None and usage is not None:
        raise bad("--study and --usage", (study, usage), "one of the two, not both")
    from costlib.prices.changes import diff as changed

    old, new = (_book(name, given) for name, given in (("BEFORE", before), ("AFTER", after)))
    days: dict[str, Any] = {"before_day": old[1], "after_day": new[1]}
    rows = changed(old[0], new[0], usage=usage, **days).sort_values(["provider", "model", "tier"], ignore_index=True)
    document: dict[str, Any] = {
        "before": old[1],
        "after": new[1],
        "counts": {str(name): int(count) for name, count in rows["change"].value_counts().items()},
        "changes": rows,
        "currency": "USD",
        "kind": "derived",
        "source": [old[0].source, new[0].source],
    }
    if usage is not None:
        document |= _usage_effect(usage, old, new)
    if study is not None:
        effect = _study_effect(study, store, old[0], new[0], days)
        document |= {"workloads": effect, **_known(effect["effect_usd"])}
    return document


def prices_diff(document: dict[str, Any], asked: Any) -> Card:
    """Example: costlib prices diff 2026-09-01 2026-11-10 --study demo"""
    yield document
    effect = document.get("workloads")
    yield from _changes(document, document["changes"], effect)
    if effect is not None:
        body = [
            [
                f"{row['workload']}: {row['option']}",
                *(_usd(row[f"{name}_usd"]) for name in ("before", "after", "effect")),
            ]
            for row in records(effect)
        ]
        yield Table(f"study {asked.study}", ["workload", "before", "after", "effect"], body, "USD per month; derived")
        yield from (f"  note: {reason}" for reason in dict.fromkeys(reason for reason in effect["reason"] if reason))
    if "effect_usd" in document:
        unknown = f"; unknown for {document['unknown']} workloads" if document.get("unknown") else ""
        yield f"  effect: {_usd(document['effect_usd'])} USD{' per month' if asked.study else ''}{unknown}"
    if document.get("reason"):
        yield f"  note: {document['reason']}"


def _changes(document: dict[str, Any], rows: Any, effect: Any) -> Card:
    """What a reader looks for first: changes with an effect, or of the study's models, else moves before new prices."""
    with_effect = "effect_usd" in rows
    if with_effect:
        size = [abs(change) if change is not None else Decimal(0) for change in rows["effect_usd"]]
        kept = rows.assign(size=size)[rows["tokens"] > 0].sort_values("size", ascending=False, kind="stable")
    else:
        order = rows["change"].map({name: place for place, name in enumerate(_ORDER)})
        kept = rows.assign(order=order).sort_values("order", kind="stable")
        if effect is not None:
            models = set(zip(effect["provider"], effect["model"], strict=True))
            kept = kept[[key in models for key in zip(kept["provider"], kept["model"], strict=True)]]
    body = []
    for row in records(kept.head(_SHOWN)):
        above = f" above {row['above_input_tokens']:,} tokens" if row["above_input_tokens"] else ""
        name = f"{row['provider']}/{row['model']} {row['tier']} {row['token_kind']}{above}"
        amounts = [_usd(row["usd_per_mtok_before"]), _usd(row["usd_per_mtok_after"])]
        body.append([name, row["change"], *amounts, *([_usd(row["effect_usd"])] if with_effect else [])])
    columns = ["price", "change", "before", "after", *(["effect"] if with_effect else [])]
    counts = document["counts"]
    counted = ", ".join(f"{counts[name]} {name}" for name in _ORDER if name in counts) or "nothing changed"
    title = f"{document['before']} to {document['after']}: {counted}"
    yield Table(title, columns, body, "USD per million tokens or requests; quoted")
    if len(kept) > _SHOWN:
        yield f"  and {len(kept) - _SHOWN} more; --json lists all"


def _known(effects: Any) -> dict[str, Any]:
    known = [effect for effect in effects if effect is not None and effect == effect]
    return {"effect_usd": sum(known, Decimal(0)), "unknown": len(effects) - len(known)}


def _usage_effect(usage: str, old: tuple[PriceBook, date], new: tuple[PriceBook, date]) -> dict[str, Any]:
    """Both bills of the usage and their difference; more than the sum of the changes where one adds a new price."""
    from costlib.prices.usage import price_usage

    before = price_usage(old[0], usage, as_of=old[1])
    try:
        after = price_usage(new[0], usage, as_of=new[1])
    except InputError as error:
        return {"before_usd": before.total, "after_usd": None, "effect_usd": None, "reason": str(error)}
    for row in [*before.unpriced.to_dict("records"), *after.unpriced.to_dict("records")]:
        reason = f"{row['rows']:,} rows have no price, the first {row['first_row']}: {row['reason']}"
        totals = [None if len(of.unpriced) else of.total for of in (before, after)]
        return {"before_usd": totals[0], "after_usd": totals[1], "effect_usd": None, "reason": reason}
    effect = after.total - before.total
    return {"before_usd": before.total, "after_usd": after.total, "effect_usd": effect, "reason": None}


def _usd(value: Any) -> str:
    """An amount as a person reads it: cents from a dollar on, all digits below."""
    if value is None or value != value:
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1 and value == round(value, 2) else f"{value.normalize():f}"


def _study_effect(study: str, store: str | None, old: PriceBook, new: PriceBook, days: dict[str, Any]) -> Any:
    from costlib.portfolio.api_use import api_use, price_effect
    from costlib.portfolio.plan import make_plan
    from costlib.store import Store
    from costlib.study import load_study

    return price_effect(api_use(make_plan(load_study(study), Store(store))), old, new, **days)


def _book(name: str, given: str) -> tuple[PriceBook, date]:
    """The book and day an argument means; a day the book does not cover is refused."""
    from costlib.prices.book import load_book
    from costlib.prices.changes import read_snapshot
    from costlib.read import iso_date

    day = iso_date(given)
    if day is None and not Path(given).is_file():
        raise bad(name, given, "a day as YYYY-MM-DD, or a file of `costlib prices save`")
    book = load_book() if day else read_snapshot(Path(given))
    day = day or book.snapshot_date
    first = min(price.known_from for price in book.prices)
    if not first <= day <= book.snapshot_date:
        raise bad(name, given, f"a day the price book covers, {first} to {book.snapshot_date}")
    return book, day


def ask_prices_save(file: str) -> dict[str, Any]:
    """Save the whole price book, for a later `prices diff`.

    Args:
        file: JSON file to write.
    """
    from costlib.output import check_file
    from costlib.prices.book import load_book
    from costlib.prices.changes import save_snapshot

    path, book = check_file(file, "FILE"), load_book()
    save_snapshot(book, path)
    found = {"file": path, "prices": len(book.prices), "snapshot_date": book.snapshot_date, "snapshot": book.snapshot}
    return {**found, "source": book.source}


def prices_save(document: dict[str, Any], asked: Any) -> Card:
    """Example: costlib prices save prices-2026-11-10.json"""
    yield document
    yield f"  {document['prices']} prices as of {document['snapshot_date']} in {document['file']}"
