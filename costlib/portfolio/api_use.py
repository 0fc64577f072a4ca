"""What a plan sends to APIs in a month, and what a change of prices would do to that bill.

A workload is its mean request times its volume, as everywhere in this room: a long-context price is chosen by the mean
length, and where a provider sells no cached input every token is charged in full.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from costlib.errors import InputError, invalid_input, unused
from costlib.portfolio.offers import mean_request
from costlib.portfolio.plan import Plan, make_plan
from costlib.portfolio.workloads import load_workloads
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.prices.changes import diff, read_snapshot
from costlib.prices.usage import price_usage
from costlib.read import iso_date
from costlib.store import Store
from costlib.study import ApiOption, load_study
from costlib.value import Answer

_EFFECT = "workload option provider model tier requests_per_month before_usd after_usd effect_usd reason kind source"


def api_use(plan: Plan) -> pd.DataFrame:
    """One row per workload and API that the plan asks; behind a cascade or router for its share of the requests.

    Columns: workload, option, provider, model, tier, requests_per_month (`Decimal`), input_tokens, cached_tokens and
    output_tokens of the mean request, at: a time of day (UTC) where the price depends on it, a row for each price.
    """
    book = load_book()
    profiles = {workload.workload: workload.profile for workload in load_workloads(plan.study)}
    workloads = {row["workload"]: row for row in plan.workloads.to_dict("records")}
    rows: list[dict[str, Any]] = []
    for chosen in plan.serving.to_dict("records"):
        option = plan.study.option(chosen["stage"])
        if isinstance(option, ApiOption):
            workload = workloads[chosen["workload"]]
            tokens = {name: int(workload[name]) for name in ("input_tokens", "cached_tokens", "output_tokens")}
            requests = Decimal(repr(float(workload["requests_per_month"]))) * Decimal(repr(chosen["asked_share"]))
            named = {"provider": option.provider, "model": option.model, "tier": option.tier}
            shares = plan.study.profiles[profiles[chosen["workload"]]].hourly_share()
            for at, share in book.periods(option.model, option.provider, option.tier, plan.study.as_of, shares):
                rows.append(
                    {
                        "workload": chosen["workload"],
                        "option": option.name,
                        **named,
                        "requests_per_month": requests * share,
                        **tokens,
                        "at": at.time() if isinstance(at, datetime) else None,
                    }
                )
    columns = "workload option provider model tier requests_per_month input_tokens cached_tokens output_tokens at"
    return pd.DataFrame(rows, columns=columns.split())


def price_effect(
    use: pd.DataFrame, before: PriceBook, after: PriceBook, *, before_day: AsOf = None, after_day: AsOf = None
) -> pd.DataFrame:
    """What the same requests cost at two sets of prices, $ per month, one row per workload of `api_use`.

    Columns: workload, option, provider, model, tier, requests_per_month, before_usd, after_usd, effect_usd (after less
    before; `Decimal`, exact), reason (why one of them is None), kind and source. Days default to the snapshot days.
    """
    rows: list[dict[str, Any]] = []
    for one in use.to_dict("records"):
        row = {str(name): one[name] for name in use.columns if not str(name).endswith("_tokens")}
        reasons: list[str] = []
        for side, book, day in (("before", before, before_day), ("after", after, after_day)):
            try:
                row[f"{side}_usd"] = mean_request(book, one, day).total * one["requests_per_month"]
            except InputError as error:
                row[f"{side}_usd"] = None
                reasons.append(f"{side}: {error}")
        known = row["before_usd"] is not None and row["after_usd"] is not None
        row["effect_usd"] = row["after_usd"] - row["before_usd"] if known else None
        row |= {"reason": "; ".join(reasons) or None, "kind": "derived", "source": f"{before.source}; {after.source}"}
        rows.append(row)
    return pd.DataFrame(rows, columns=_EFFECT.split(), dtype=object)


def prices_diff(
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
        unused("without a study", prices_diff, locals(), ["store"])
    if study is not None and usage is not None:
        raise invalid_input("--study and --usage", (study, usage), "one of the two, not both")
    old, new = (_book(name, given) for name, given in (("BEFORE", before), ("AFTER", after)))
    days: dict[str, Any] = {"before_day": old[1], "after_day": new[1]}
    rows = diff(old[0], new[0], usage=usage, **days).sort_values(["provider", "model", "tier"], ignore_index=True)
    document = Answer(
        {
            "before": old[1],
            "after": new[1],
            "counts": {str(name): int(count) for name, count in rows["change"].value_counts().items()},
            "changes": rows,
            "currency": "USD",
            "kind": "derived",
            "source": [old[0].source, new[0].source],
        }
    )
    if usage is not None:
        document |= _usage_effect(usage, old, new)
    if study is not None:
        used = api_use(make_plan(load_study(study), Store(store)))
        effect = price_effect(used, old[0], new[0], **days)
        document |= {"workloads": effect, **_known(effect["effect_usd"])}
    return document


def _known(effects: Any) -> dict[str, Any]:
    known = [effect for effect in effects if effect is not None and effect == effect]
    return {"effect_usd": sum(known, Decimal(0)), "unknown": len(effects) - len(known)}


def _usage_effect(usage: str, old: tuple[PriceBook, date], new: tuple[PriceBook, date]) -> dict[str, Any]:
    """Both bills of the usage and their difference; more than the sum of the changes where one adds a new price."""
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


def _book(name: str, given: str) -> tuple[PriceBook, date]:
    """The book and day an argument means; a day the book does not cover is refused."""
    day = iso_date(given)
    if day is None and not Path(given).is_file():
        raise invalid_input(name, given, "a day as YYYY-MM-DD, or a file of `costlib prices save`")
    book = load_book() if day else read_snapshot(Path(given))
    day = day or book.snapshot_date
    first = min(price.known_from for price in book.prices)
    if not first <= day <= book.snapshot_date:
        raise invalid_input(name, given, f"a day the price book covers, {first} to {book.snapshot_date}")
    return book, day
