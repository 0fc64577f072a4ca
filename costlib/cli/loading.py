"""The card of a load test: load."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from costlib.cli.load_card import card
from costlib.cli.show import Card, records
from costlib.figure import plain

if TYPE_CHECKING:
    import pandas as pd

    from costlib.measure.load.run import LoadTest

_METRICS = {
    "ttft": ("ttft_scheduled_s", "ttft_sent_s"),
    "tpot": ("stream_tpot_s",),
    "itl": ("itl_s",),
    "e2e": ("e2e_scheduled_s", "e2e_sent_s"),
}
_THROUGHPUT = ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s")
_GOODPUT = ("good_requests", "good_share", "goodput_requests_per_s", "goodput_tokens_per_s")


def load(answered: tuple[LoadTest, pd.DataFrame | None], asked: Any) -> Card:
    """Example: costlib load http://127.0.0.1:8000/v1 --model NAME --rate 2 --requests 200 --slo-ttft-s 1"""
    found, costs = answered
    rows, percentiles, spoken = records(found.rows), records(found.latencies), records(found.dialects)
    money = [] if costs is None else records(costs)
    if found.unstored:
        print(f"costlib: {found.unstored}; the last test is on stdout only (--json: by request)", file=sys.stderr)
    document: dict[str, Any] = {"rows": rows, "highest": found.highest, "cost": money, "dialects": spoken}
    document |= {name: [row for row in percentiles if row["metric"] in ids] for name, ids in _METRICS.items()}
    for name, columns in (("throughput", _THROUGHPUT), ("goodput", _GOODPUT)):
        document[name] = [{key: row[key] for key in ("run_id", *_with_ends(columns)) if key in row} for row in rows]
    if found.unstored:
        document |= {"unstored": found.unstored, "requests": records(found.requests)}
    yield {**document, "kind": "measured"}
    yield f"{asked.model} at {rows[0]['url']}; measured from here; [95 % interval]"
    for row in rows:
        parts = ([one for one in part if one["run_id"] == row["run_id"]] for part in (percentiles, spoken, money))
        yield "\n" + "\n".join(card(row, *parts))
    if found.highest is not None:
        yield f"\n{_highest(found.highest)}"


def _with_ends(columns: tuple[str, ...]) -> list[str]:
    return [f"{name}{end}" for name in columns for end in ("", "_low", "_high")]


def _highest(found: Any) -> str:
    lines = []
    if found.rate_per_s is not None:
        lines.append(f"The highest rate tested that keeps the SLO is {plain(found.rate_per_s)} requests/s.")
    if found.fails_at_per_s is not None:
        lines.append(f"At {plain(found.fails_at_per_s)} requests/s it does not hold.")
    if found.reason:
        lines.append(f"Note: {found.reason}.")
    if found.rate_per_s is not None:
        rest = "--requests-per-month VOLUME --usd-per-hour RATE"
        lines.append(f"Next: costlib capacity --requests-per-s {found.rate_per_s:g} {rest}")
    return "\n".join(lines)
