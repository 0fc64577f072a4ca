"""Adds up a log on disk: workloads with their volume, hours and token distributions, and what the log cost.

Calls go into a temporary DuckDB file with a memory limit, so that a log larger than memory is no problem; quantiles are
exact. The bill is computed again from the price book, call by call on the day it was made, and reconciled with what the
log says and with an invoice: differences are shown, never spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from costlib.cost.inputs import HOURS_PER_MONTH, money
from costlib.errors import InputError
from costlib.output import scratch
from costlib.portfolio.usage.bill import priced
from costlib.prices.book import PriceBook, load_book
from costlib.read.calls import REPEATED, Tally, calls, noted

_BATCH = 100_000
_MEMORY_LIMIT = "96MB"
_BLOCK_CHARACTERS = 256
"""Prompts are compared in blocks, as a prefix cache compares them; about 64 tokens of English."""
_MOST_BLOCKS = 2_000_000
"""Blocks remembered; beyond, new ones are not added and the repeated share is a lower bound."""
_WEEK_H = 168.0


@dataclass(frozen=True)
class Usage:
    """What a log holds. `read` = `used` + sum of `rejected`, in records; money is US dollars.

    `workloads`: one row per workload: requests, requests_per_month (derived from the observed hours), means and
    quantiles of tokens per request, repeated-prefix share, current model, usd. `models`: one row per workload, provider
    and model. `profiles`, by workload: `weights`, requests by hour of day (UTC); `weekdays`, requests by day of the
    week from Monday on; `days_per_month`, active days.
    """

    read: int
    used: int
    rejected: dict[str, int]
    noted: dict[str, int]
    places: dict[str, str]
    dialects: dict[str, int]
    broken_files: dict[str, str]
    observed_hours: float
    workloads: pd.DataFrame
    models: pd.DataFrame
    profiles: dict[str, dict[str, Any]]
    usd: Decimal | None
    unpriced: pd.DataFrame
    price_notes: tuple[str, ...]
    logged_usd: float | None
    invoice_usd: Decimal | None

    @property
    def reason(self) -> str | None:
        """Why there is no bill."""
        return "no request of the log has a price" if self.usd is None else None

    @property
    def difference_usd(self) -> Decimal | None:
        """Invoice minus the bill computed here; None without one of the two."""
        return None if self.invoice_usd is None or self.usd is None else self.invoice_usd - self.usd


def read_logs(
    files: Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    invoice_usd: float | Decimal | None = None,
    book: PriceBook | None = None,
    as_of: str | None = None,
) -> Usage:
    """Read logs, add them up and price them.

    `columns` maps fields to columns where an export is not recognised (see `dialects.FIELDS`); `as_of` prices every
    call on one day instead of its own. Raises `InputError` for files that cannot be read or hold no usable call.
    """
    import duckdb

    invoice = None if invoice_usd is None else money("invoice_usd", invoice_usd, zero=True)
    tally = Tally()
    with scratch() as folder:
        base = duckdb.connect(str(folder / "calls.duckdb"))
        try:
            base.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            base.execute("SET threads = 2")
            base.execute("SET checkpoint_threshold = '1TB'")  # nobody opens this file again
            base.execute("PRAGMA disable_checkpoint_on_shutdown")
            base.execute(f"SET temp_directory = '{folder}'")
            _fill(base, files, columns or {}, tally)
            return _summed(base, tally, invoice, book or load_book(), as_of)
        finally:
            base.close()


def _fill(base: Any, files: Sequence[str | Path], columns: Mapping[str, str], tally: Tally) -> None:
    seen: set[bytes] = set()
    number, held = 0, list[Any]()

    def insert() -> None:
        if held:
            base.register("batch", pa.concat_tables(held))
            first = held[0]["number"][0].as_py() == 0
            base.execute(f"{'CREATE TABLE calls AS' if first else 'INSERT INTO calls'} SELECT * FROM batch")
            base.unregister("batch")
            held.clear()

    for table in calls(files, columns, tally):
        blocks, repeated = _prefixes(table, seen)
        at = np.arange(number, number + len(table))
        batch = table.drop_columns(["prompt", "file", "line"])
        for name, column in (("blocks", blocks), ("repeated", repeated), ("number", at)):
            batch = batch.append_column(name, pa.array(column))
        held.append(batch)
        number += len(table)
        if sum(map(len, held)) >= _BATCH:
            insert()
    insert()
    if number == 0:
        said = [f"{count} x {kind} (first: {tally.places[kind]})" for kind, count in tally.rejected.items()]
        counted = ", ".join([*said, *tally.broken.values()]) or "no records"
        raise InputError(f"{', '.join(map(str, files))}: no usable call ({counted}); allowed: a log of model calls")
    base.execute(_REPEATED)
    repeats = base.execute("SELECT count(*) FROM repeated").fetchone()[0]
    if repeats:
        tally.rejected[REPEATED] += repeats
        base.execute("DELETE FROM calls WHERE number IN (SELECT number FROM repeated)")
    gap = base.execute(_GAP).fetchone()[0] or _A_DAY_S
    base.execute("UPDATE calls SET period_s = ? WHERE adds_up AND period_s IS NULL", [min(gap, _A_DAY_S)])
    base.execute("UPDATE calls SET workload = 'unnamed' WHERE workload IS NULL")


_A_DAY_S = 86400.0
_REPEATED = """
    CREATE TEMP TABLE repeated AS SELECT number FROM (
        SELECT number, row_number() OVER (
            PARTITION BY id ORDER BY input_tokens + output_tokens DESC, cached_tokens DESC, number DESC
        ) AS place
        FROM calls WHERE id IS NOT NULL AND hash(id) IN (
            SELECT hash(id) FROM calls WHERE id IS NOT NULL GROUP BY ALL HAVING count(*) > 1
        )
    ) WHERE place > 1
"""
"""A stream is logged as snapshots of one message, each with the counts so far."""
_GAP = """
    SELECT min(gap) FROM (
        SELECT time - lag(time) OVER (ORDER BY time) AS gap
        FROM (SELECT DISTINCT time FROM calls WHERE adds_up AND period_s IS NULL)
    ) WHERE gap > 0
"""
"""How long the buckets are that rows add up, where they do not say it: as they follow one another, a day at most."""


def _prefixes(table: Any, seen: set[bytes]) -> tuple[list[int], list[int]]:
    """Whole blocks of each prompt, and how many of them, from the start, an earlier prompt of the workload had."""
    prompts = table["prompt"]
    if prompts.null_count == len(prompts):
        return [0] * len(prompts), [0] * len(prompts)
    found = zip(table["workload"].to_pylist(), prompts.to_pylist(), strict=True)
    counted = [_prefix(workload, prompt, seen) for workload, prompt in found]
    return [blocks for blocks, _ in counted], [repeated for _, repeated in counted]


def _prefix(workload: str | None, prompt: str | None, seen: set[bytes]) -> tuple[int, int]:
    if prompt is None:
        return 0, 0
    digest, repeated, unbroken = (workload or "").encode(), 0, True
    blocks = len(prompt) // _BLOCK_CHARACTERS
    for block in range(blocks):
        part = prompt[block * _BLOCK_CHARACTERS : (block + 1) * _BLOCK_CHARACTERS]
        digest = blake2b(digest + part.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if digest in seen:
            repeated += unbroken
        else:
            unbroken = False
            if len(seen) < _MOST_BLOCKS:
                seen.add(digest)
    return blocks, repeated


def _summed(base: Any, tally: Tally, invoice: Decimal | None, book: PriceBook, as_of: str | None) -> Usage:
    bill = priced(base, book, as_of)
    first, last, used, logged = base.execute(
        "SELECT min(time), max(time + coalesce(period_s, 0)), count(*), sum(cost_usd) FROM calls"
    ).fetchone()
    hours = max((last - first) / 3600, 1.0)
    if hours < _WEEK_H:
        tally.noted["the log spans less than a week, so the month is extrapolated"] = used
    workloads = base.execute(_WORKLOADS).df().merge(_quantiles(base), how="left", on="workload")
    workloads["requests_per_month"] = workloads["requests"] / hours * HOURS_PER_MONTH
    models = base.execute(_MODELS).df().merge(bill.models, how="left", on=["workload", "provider", "model"])
    current = models.sort_values(["requests", "input_tokens"], ascending=False, kind="stable")
    current = current.drop_duplicates("workload").set_index("workload")["model"]
    workloads["current_model"] = workloads["workload"].map(current)
    workloads["usd"] = workloads["workload"].map(models.groupby("workload")["usd"].sum(min_count=1))
    workloads["kind"] = "measured"
    return Usage(
        read=tally.read,
        used=used,
        rejected=dict(tally.rejected),
        noted=noted(tally),
        places=tally.places,
        dialects=dict(tally.dialects),
        broken_files=dict(tally.broken),
        observed_hours=hours,
        workloads=workloads,
        models=models,
        profiles=_profiles(base, hours),
        usd=bill.usd,
        unpriced=bill.unpriced,
        price_notes=bill.notes,
        logged_usd=logged,
        invoice_usd=invoice,
    )


_SPREAD = ("input_tokens", "cached_tokens", "output_tokens")
_WORKLOADS = f"""
    SELECT workload, CAST(sum(requests) AS BIGINT) AS requests,
        {", ".join(f"sum({name}) FILTER (requests IS NOT NULL) / sum(requests) AS {name}" for name in _SPREAD)},
        CASE WHEN sum(blocks) > 0 THEN sum(repeated) / sum(blocks) END AS repeated_prefix_share
    FROM calls GROUP BY workload ORDER BY requests DESC NULLS LAST, workload
"""
_MODELS = """
    SELECT workload, coalesce(provider, '') AS provider, model, CAST(sum(requests) AS BIGINT) AS requests,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens, CAST(sum(cached_tokens) AS BIGINT) AS cached_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens, sum(cost_usd) AS logged_usd
    FROM calls GROUP BY ALL ORDER BY requests DESC NULLS LAST, workload, model
"""


def _quantiles(base: Any) -> pd.DataFrame:
    """Exact quantiles of tokens per request, from how often each count occurs; null where rows add up requests."""
    found: dict[str, dict[str, float]] = {}
    for name in _SPREAD:
        counts = base.execute(
            f"SELECT workload, {name} AS tokens, count(*) AS n FROM calls WHERE NOT adds_up GROUP BY ALL ORDER BY ALL"
        ).df()
        for workload, of in counts.groupby("workload", sort=False):
            tokens, until = of["tokens"].to_numpy(), of["n"].to_numpy().cumsum()
            for q in (50, 95, 99):
                at = (until[-1] - 1) * q / 100
                low, high = (tokens[until.searchsorted(place, side="right")] for place in (int(at), math.ceil(at)))
                found.setdefault(str(workload), {})[f"{name}_p{q}"] = float(low + (high - low) * (at - int(at)))
    columns = ["workload", *(f"{name}_p{q}" for name in _SPREAD for q in (50, 95, 99))]
    return pd.DataFrame([{"workload": name, **of} for name, of in found.items()], columns=columns)


def _profiles(base: Any, hours: float) -> dict[str, dict[str, Any]]:
    """Requests by hour of day and by weekday, and active days per month, of each workload.

    A date tells no hour, and no more does a bucket longer than one: `weights` is then None.
    """
    day = "CAST(floor(time / 86400) AS BIGINT)"
    rows = base.execute(
        "SELECT workload, CAST(floor(time / 3600) AS BIGINT) % 24, sum(requests) FROM calls "
        "WHERE NOT day_only AND coalesce(period_s, 0) <= 3600 AND requests IS NOT NULL GROUP BY ALL"
    ).fetchall()
    days = base.execute(f"SELECT workload, count(DISTINCT {day}) FROM calls GROUP BY workload").fetchall()
    weeks = base.execute(  # day 0 of the epoch was a Thursday
        f"SELECT workload, ({day} + 3) % 7, sum(coalesce(requests, 0)) FROM calls GROUP BY ALL"
    ).fetchall()
    weights: dict[str, list[int]] = {}
    weekdays: dict[str, list[int]] = {}
    for counts, length, found in ((weights, 24, rows), (weekdays, 7, weeks)):
        for workload, at, count in found:
            counts.setdefault(workload, [0] * length)[int(at)] = int(count)
    observed = max(hours / 24, 1.0)
    month = HOURS_PER_MONTH / 24
    active = {workload: min(1.0, count / observed) * month for workload, count in days}
    return {
        name: {"weights": weights.get(name), "weekdays": weekdays[name], "days_per_month": round(active[name], 2)}
        for name in sorted(weekdays)
    }
