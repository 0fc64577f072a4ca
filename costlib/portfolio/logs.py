"""Request logs to workloads: what is read, what is left out and why, what it cost, and how the month looks.

Calls go into a temporary DuckDB file with a memory limit, so that a log larger than memory is no problem; quantiles are
exact. The bill is computed again from the price book, call by call on the day it was made, and reconciled with what the
log says and with an invoice: differences are shown, never spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from costlib.cost.inputs import HOURS_PER_MONTH, money
from costlib.errors import InputError
from costlib.output import check_file, scratch, write_all
from costlib.portfolio.samples import LOG_INVOICE_USD, write_log
from costlib.portfolio.workloads import Workload
from costlib.prices.book import PriceBook, load_book
from costlib.prices.usage import PricedUsage, price_usage
from costlib.read.calls import REPEATED, Tally, calls, noted
from costlib.read.tokens import TOKENS
from costlib.value import brief

DEMO = "demo"
"""In the place of files: a synthetic log, written from a fixed seed."""
_BATCH = 100_000
_MEMORY_LIMIT = "96MB"
_BLOCK_CHARACTERS = 256
"""Prompts are compared in blocks, as a prefix cache compares them; about 64 tokens of English."""
_MOST_BLOCKS = 2_000_000
"""Blocks remembered; beyond, new ones are not added and the repeated share is a lower bound."""
_WEEK_H = 168.0
_NO_PROMPTS = "the log holds no prompts"
_SYNTHETIC = "The log is synthetic: written from a fixed seed, it describes no company."


@brief
@dataclass(frozen=True)
class Usage:
    """What a log holds. `read` = `used` + sum of `rejected`, in records; money is US dollars.

    `workloads`: one row per workload: requests, requests_per_month (derived from the observed hours), means and
    quantiles of tokens per request, repeated-prefix share, current model, usd. `models`: one row per workload, provider
    and model. `profiles`, by workload: `weights`, requests by hour of day (UTC); `weekdays`, requests by day of the
    week from Monday on; `days_per_month`, active days. `synthetic`: that the log was made up, where it was.
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
    source: str
    synthetic: str = ""

    def __repr__(self) -> str:
        return f"Usage({self.source}: {self.used} of {self.read} records, {len(self.workloads)} workloads)"

    @property
    def reason(self) -> str | None:
        """Why there is no bill."""
        return "no request of the log has a price" if self.usd is None else None

    @property
    def difference_usd(self) -> Decimal | None:
        """Invoice minus the bill computed here; None without one of the two."""
        return None if self.invoice_usd is None or self.usd is None else self.invoice_usd - self.usd

    @property
    def summary(self) -> pd.DataFrame:
        """One row: requests, workloads, observed hours, the bill, the log's own, the invoice and what is left over."""
        money = {"usd": self.usd, "logged_usd": self.logged_usd, "invoice_usd": self.invoice_usd}
        row = {name: np.nan if usd is None else float(usd) for name, usd in money.items()}
        row["difference_usd"] = row["invoice_usd"] - row["usd"]
        why = {
            "usd": self.reason,
            "difference_usd": self.reason or (None if self.invoice_usd is not None else "no invoice was given"),
            "logged_usd": "the log has no cost column" if self.logged_usd is None else None,
            "invoice_usd": "no invoice was given" if self.invoice_usd is None else None,
        }
        kind = "assumed" if self.synthetic else "measured"
        counts = {
            "requests": self.workloads["requests"].sum(),
            "requests_per_month": self.workloads["requests_per_month"].sum(),
            "workloads_count": len(self.workloads), "observed_hours": self.observed_hours,
            "used_share": self.used / self.read, "requests_kind": kind, "observed_hours_kind": kind,
            "requests_per_month_reason": _extrapolated(self.observed_hours),
            "invoice_usd_kind": "assumed" if self.synthetic else "quoted", "logged_usd_kind": kind,
        }  # fmt: skip
        return pd.DataFrame([row | {f"{name}_reason": said for name, said in why.items()} | counts])

    @property
    def records(self) -> pd.DataFrame:
        """What became of every record: used as a call, or left out and why. One row per reason."""
        kinds = sorted(self.rejected.items(), key=lambda item: -item[1])
        rows = [("used as calls", self.used, "")]
        rows += [(f"left out: {kind}", count, Path(self.places.get(kind, "")).name) for kind, count in kinds]
        kind = "assumed" if self.synthetic else "measured"
        return pd.DataFrame(rows, columns=["records", "records_count", "first"]).assign(records_count_kind=kind)

    @property
    def rhythm(self) -> pd.DataFrame:
        """Requests by hour of the day (UTC) and by weekday; one row per workload, cycle and place in it.

        A workload whose times are dates or long sums has no hours.
        """
        named = {"weights": "hour", "weekdays": "weekday"}
        rows = [
            (workload, cycle, place, float(count), count / max(sum(found[name]), 1))
            for workload, found in self.profiles.items()
            for name, cycle in named.items()
            if found[name] is not None
            for place, count in enumerate(found[name])
        ]
        return pd.DataFrame(rows, columns=["workload", "cycle", "place", "requests", "requests_share"])

    @property
    def tokens(self) -> pd.DataFrame:
        """Mean and exact quantiles of tokens per request; one row per workload and kind of token."""
        columns = {"mean_tokens": "", "median_tokens": "_p50", "p95_tokens": "_p95", "p99_tokens": "_p99"}
        rows = [
            {"workload": row["workload"], "token_kind": kind}
            | {name: row[f"{kind}_tokens{end}"] for name, end in columns.items()}
            | {"kind": row["kind"]}
            for row in self.workloads.to_dict("records")
            for kind in ("input", "cached", "output")
        ]
        return pd.DataFrame(rows).assign(reason="the log adds up many requests in a row")


def _extrapolated(hours: float) -> str:
    return f"extrapolated from {hours:,.0f} observed hours"


def usage(
    files: Sequence[str | Path] | str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    invoice: float | Decimal | None = None,
    as_of: str | None = None,
    out: str | Path | None = None,
) -> Usage:
    """Read request logs: workloads with volume, hours and tokens, and the bill priced again and reconciled.

    Raises `InputError` for files that cannot be read or hold no usable call.

    Args:
        files: Logs: .csv, .jsonl, .json or .parquet; the text ones also .gz; `demo` is a synthetic one.
        columns: FIELD=COLUMN of a log whose export is not recognised; again for each field.
        invoice: $ on the invoice of the same calls.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the day of each call].
        out: Write the workloads as a CSV that a study can be made from.
    """
    place = check_file(out) if out is not None else None
    paths = [files] if isinstance(files, (str, Path)) else list(files)
    paid = None if invoice is None else money("invoice", invoice, zero=True)
    with scratch() as folder:
        made_up = [str(path) for path in paths] == [DEMO]
        if made_up:
            paths, paid = [write_log(folder / "synthetic.jsonl")], paid or Decimal(str(LOG_INVOICE_USD))
        found = _read(folder, paths, columns or {}, paid, as_of, made_up)
    if place is not None:
        write_workloads(found, place)
    return found


def _read(
    folder: Path, files: Sequence[str | Path], columns: Mapping[str, str], invoice: Decimal | None, as_of: str | None,
    made_up: bool,
) -> Usage:  # fmt: skip
    import duckdb

    tally = Tally()
    base = duckdb.connect(str(folder / "calls.duckdb"))
    try:
        base.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        base.execute("SET threads = 2")
        base.execute("SET checkpoint_threshold = '1TB'")  # nobody opens this file again
        base.execute("PRAGMA disable_checkpoint_on_shutdown")
        base.execute(f"SET temp_directory = '{folder}'")
        _fill(base, files, columns, tally)
        named = "a synthetic log" if made_up else ", ".join(Path(file).name for file in files)
        return _summed(base, tally, invoice, as_of, named, made_up)
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


def _summed(base: Any, tally: Tally, invoice: Decimal | None, as_of: str | None, named: str, made_up: bool) -> Usage:
    book, kind = load_book(), "assumed" if made_up else "measured"
    bill = priced(base, book, as_of)
    first, last, used, logged = base.execute(
        "SELECT min(time), max(time + coalesce(period_s, 0)), count(*), sum(cost_usd) FROM calls"
    ).fetchone()
    hours = max((last - first) / 3600, 1.0)
    if hours < _WEEK_H:
        tally.noted["the log spans less than a week, so the month is extrapolated"] = used
    workloads = base.execute(_WORKLOADS).df().merge(_quantiles(base), how="left", on="workload")
    models = base.execute(_MODELS).df().merge(bill.models, how="left", on=["workload", "provider", "model"])
    current = models.sort_values(["requests", "input_tokens"], ascending=False, kind="stable")
    current = current.drop_duplicates("workload").set_index("workload")["model"]
    workloads["current_model"] = workloads["workload"].map(current)
    workloads["usd"] = workloads["workload"].map(models.groupby("workload")["usd"].sum(min_count=1))
    workloads["repeated_prefix_share_reason"] = "blocks of 256 characters from the start, every call"
    workloads.loc[workloads["repeated_prefix_share"].isna(), "repeated_prefix_share_reason"] = _NO_PROMPTS
    for frame in (workloads, models):
        frame["requests_per_month"] = frame["requests"] / hours * HOURS_PER_MONTH
        frame["requests_per_month_kind"], frame["requests_per_month_reason"] = "derived", _extrapolated(hours)
        frame["usd_kind"], frame["usd_source"] = "derived", f"{named}; {book.source}"
        frame["usd_reason"] = np.where(frame["usd"].isna(), "a request has no price", "at list prices, exact")
        frame["kind"], frame["source"] = kind, named
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
        source=named,
        synthetic=_SYNTHETIC if made_up else "",
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
    """Price the table `calls` of a DuckDB connection: calls that share their prices are added up before.

    Prices change with the day, at a few hours of the day and at a few lengths of the input, so calls of one workload,
    model, day, slot between two such hours and band between two such lengths cost what their sum costs.
    """
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


def write_workloads(usage: Usage, path: Path) -> None:
    """Write the CSV of a study, and beside it NAME.profiles.yml with each workload's hours, both or neither.

    What a log cannot know is left empty, for a person to fill in.
    """
    hours = {name: found for name, found in usage.profiles.items() if found["weights"] is not None}  # days tell none
    rows = [
        {"workload": _inert(row["workload"]), "profile": _inert(row["workload"]) if row["workload"] in hours else "",
         "own_machines_only": "no", **_volume(row, usage.observed_hours)}
        for row in usage.workloads.to_dict("records")
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=[field.name for field in fields(Workload)], dtype=object)
    note = "# Measured from request logs. Empty cells cannot be read from a log: fill them in before planning.\n"
    source = f"{usage.observed_hours:.0f} hours of request logs, by hour of day in UTC"
    profiles = ""
    for name, found in hours.items():
        quoted = _inert(name).replace("'", "''")
        profiles += f"'{quoted}':\n  weights: {found['weights']}\n  days_per_month: {found['days_per_month']}\n"
        profiles += f"  kind: measured\n  source: {source}\n"
    text = note + table.to_csv(index=False, lineterminator="\n")
    write_all({path: text, path.with_suffix(".profiles.yml"): profiles or "\n"})


def _volume(row: Mapping[Any, Any], hours: float) -> dict[str, Any]:
    """Volume and means; empty where the log adds up an unknown number of requests."""
    if pd.isna(row["requests"]):
        return {"source": f"measured: sums of {hours:.0f} hours of logs, without a number of requests"}
    return {
        "requests_per_month": f"{row['requests_per_month']:.0f}",
        "input_tokens": round(row["input_tokens"]),
        "cached_tokens": min(round(row["cached_tokens"]), round(row["input_tokens"])),
        "output_tokens": round(row["output_tokens"]),
        "source": f"measured: {row['requests']:.0f} requests in {hours:.0f} hours of logs",
    }


def _inert(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
