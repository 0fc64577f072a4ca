"""$ per million tokens of a server under load: its hourly rate over what it delivered in the steady-state window.

A server reads and writes the prompts and answers of many requests at once, so its seconds cannot be split by phase: the
conventions are `output_carries_all`, and `price_ratio` where a ratio is given. At a lower load the same hour is spread
over fewer tokens; the highest load that keeps the promise made to users gives the lowest honest price.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from costlib.cost.inputs import Interval, number
from costlib.cost.token import split, usd_per_mtok
from costlib.figure import Number
from costlib.prices.rates import Rental, rental
from costlib.tables.schema import is_null

_HOUR_S = 3600
_SPEEDS = ("output_tokens_per_s", "input_tokens_per_s")
_AMOUNTS = ("input_usd_per_mtok", "output_usd_per_mtok", "blended_usd_per_mtok")


def price_loads(
    rows: pd.DataFrame, usd_per_hour: Rental | Interval | Number, *, output_to_input_price_ratio: Number | None = None
) -> pd.DataFrame:
    """One row per test (table `loads`) and convention, kind derived; `usd_per_hour` is that of the whole server.

    `good_usd_per_mtok` charges the hour to the output tokens that kept the SLO only. The interval takes the lowest rate
    with the highest throughput and the other way round. An amount that is unknown is null, and `reason` says why.
    """
    if isinstance(usd_per_hour, Rental):
        rate = usd_per_hour
        hourly = Interval.of("usd_per_hour", rate.usd_per_hour)
    else:
        hourly = Interval.of("usd_per_hour", usd_per_hour)
        rate = rental(hourly.base)
    ratio = output_to_input_price_ratio
    if ratio is not None:
        number("output_to_input_price_ratio", ratio)
    conventions = ["output_carries_all"] if ratio is None else ["output_carries_all", "price_ratio"]
    found = [
        _priced({str(name): value for name, value in row.items()}, hourly, convention, ratio)
        for row in rows.to_dict("records")
        for convention in conventions
    ]
    names = ["run_id", "rate_per_s", "concurrency", "convention", "usd_per_hour"]
    names += [f"{name}{end}" for name in _AMOUNTS for end in ("", "_low", "_high")]
    frame = pd.DataFrame(found, columns=[*names, "good_usd_per_mtok", "interval_reason", "reason"])
    return frame.assign(kind="derived", **rate.columns())


def _priced(row: dict[str, Any], hourly: Interval, convention: str, ratio: Number | None) -> dict[str, Any]:
    out = {name: row[name] for name in ("run_id", "rate_per_s", "concurrency")}
    out |= {"convention": convention, "usd_per_hour": hourly.base}
    good = convention == "output_carries_all" and not is_null(row["goodput_tokens_per_s"])
    if good and row["goodput_tokens_per_s"] > 0:
        out["good_usd_per_mtok"] = float(usd_per_mtok(hourly.base, row["goodput_tokens_per_s"]))
    if is_null(row["output_tokens_per_s"]):
        return out | {
            "reason": f"no throughput: {row['reason'] if is_null(row['window_reason']) else row['window_reason']}"
        }
    known = not is_null(row["output_tokens_per_s_low"]) and row["output_tokens_per_s_low"] > 0
    if not known:
        out["interval_reason"] = "the throughput has no interval"
    if is_null(row["input_tokens_per_s"]):
        out["reason"] = "the server does not tell its prompt tokens: input and blended prices are unknown"
    ends = {"": (hourly.base, ""), "_low": (hourly.low, "_high"), "_high": (hourly.high, "_low")}
    for end, (usd, side) in ends.items():
        if not end or known:
            out |= {f"{name}{end}": value for name, value in _amounts(row, usd, side, convention, ratio).items()}
    return out


def _amounts(
    row: dict[str, Any], usd: float, side: str, convention: str, ratio: Number | None
) -> dict[str, float | None]:
    written, read = (row[f"{name}{side}"] for name in _SPEEDS)
    if is_null(read):
        only = float(usd_per_mtok(usd, written)) if convention == "output_carries_all" else None
        return {"output_usd_per_mtok": only}
    per_hour = (float(read) * _HOUR_S, float(written) * _HOUR_S)
    rates = split(usd, *per_hour, convention, output_to_input_price_ratio=ratio)
    return {name: None if (value := getattr(rates, name)) is None else float(value) for name in _AMOUNTS}
