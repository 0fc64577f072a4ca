"""What a plan sends to APIs in a month, and what a change of prices would do to that bill.

A workload is its mean request times its volume, as everywhere in this room: a long-context price is chosen by the mean
length, and where a provider sells no cached input every token is charged in full.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.errors import InputError
from costlib.portfolio.offers import mean_request
from costlib.portfolio.plan import Plan
from costlib.portfolio.workloads import load_workloads
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.study import ApiOption

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
