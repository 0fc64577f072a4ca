"""Adds up a log on disk: workloads with their volume, hours and token distributions, and what the log cost.

Calls go into a temporary DuckDB file with a memory limit, so that a log larger than memory is no problem; quantiles are
exact. The bill is computed again from the price book, call by call on the day it was made, and reconciled with what the
log says and with an invoice: differences are shown, never spread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from costlib.cost.inputs import HOURS_PER_MONTH, money
from costlib.errors import InputError
from costlib.portfolio.usage.dialects import Call
from costlib.portfolio.usage.reading import Tally, calls
from costlib.prices.book import PriceBook, load_book
from costlib.prices.usage import price_usage

_BATCH = 50_000
_MEMORY_LIMIT = "1GB"
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
    dialects: dict[str, int]
    broken_files: dict[str, str]
    observed_hours: float
    workloads: pd.DataFrame
    models: pd.DataFrame
    profiles: dict[str, dict[str, Any]]
    usd: Decimal
    unpriced: pd.DataFrame
    logged_usd: float | None
    invoice_usd: Decimal | None

    @property
    def difference_usd(self) -> Decimal | None:
        """Invoice minus the bill computed here; None without an invoice."""
        return None if self.invoice_usd is None else self.invoice_usd - self.usd


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
    with tempfile.TemporaryDirectory(prefix="costlib-usage-") as folder:
        base = duckdb.connect(str(Path(folder) / "calls.duckdb"))
        try:
            base.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            base.execute("SET threads = 2")
            base.execute(f"SET temp_directory = '{folder}'")
            _fill(base, files, columns or {}, tally)
            return _summed(base, tally, invoice, book or load_book(), as_of)
        finally:
            base.close()


_FIELDS = [field.name for field in fields(Call) if field.name != "prompt"]
_VALUES = attrgetter(*_FIELDS)


def _fill(base: Any, files: Sequence[str | Path], columns: Mapping[str, str], tally: Tally) -> None:
    base.execute(
        "CREATE TABLE calls (time DOUBLE, has_zone BOOLEAN, model VARCHAR, provider VARCHAR, tier VARCHAR, "
        "workload VARCHAR, id VARCHAR, input_tokens BIGINT, cached_tokens BIGINT, cache_write_tokens BIGINT, "
        "cache_write_1h_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DOUBLE, "
        "requests BIGINT, blocks BIGINT, repeated BIGINT, number BIGINT)"
    )
    seen: set[bytes] = set()
    stream, number = calls(files, columns, tally), 0
    while batch := list(islice(stream, _BATCH)):
        rows = []
        for call in batch:
            rows.append([*_VALUES(call), *_prefix(call, seen), number])
            number += 1
        frame = pd.DataFrame(rows, columns=[*_FIELDS, "blocks", "repeated", "number"])
        frame = frame.astype({name: "object" for name in ("provider", "tier", "workload", "id")})
        base.register("batch", frame)
        base.execute("INSERT INTO calls SELECT * FROM batch")
        base.unregister("batch")
    if number == 0:
        said = [f"{count} x {kind}" for kind, count in tally.rejected.items()] + list(tally.broken.values())
        counted = ", ".join(said) or "no records"
        raise InputError(f"{', '.join(map(str, files))}: no usable call ({counted}); allowed: a log of model calls")
    repeated = "id IS NOT NULL AND number NOT IN (SELECT min(number) FROM calls WHERE id IS NOT NULL GROUP BY id)"
    duplicates = base.execute(f"SELECT count(*) FROM calls WHERE {repeated}").fetchone()[0]
    if duplicates:
        tally.rejected["duplicated id"] += duplicates
        base.execute(f"DELETE FROM calls WHERE {repeated}")
    base.execute("UPDATE calls SET workload = coalesce(workload, 'unnamed')")


def _prefix(call: Call, seen: set[bytes]) -> tuple[int, int]:
    """Whole blocks of the prompt, and how many of them, from the start, an earlier prompt of the workload had."""
    prompt = call.prompt
    if prompt is None:
        return 0, 0
    digest, repeated, unbroken = (call.workload or "").encode(), 0, True
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
    priced, total, unpriced = _priced(base, book, as_of)
    first, last, used, logged = base.execute(
        "SELECT min(time), max(time), count(*), sum(cost_usd) FROM calls"
    ).fetchone()
    hours = max((last - first) / 3600, 1.0)
    if hours < _WEEK_H:
        tally.noted["the log spans less than a week, so the month is extrapolated"] = used
    if len(kinds := [kind for kind in tally.noted if kind.startswith("time with") and tally.noted[kind]]) < 2:
        for kind in kinds:
            del tally.noted[kind]
    workloads = base.execute(_WORKLOADS).df()
    workloads["requests_per_month"] = workloads["requests"] / hours * HOURS_PER_MONTH
    models = base.execute(_MODELS).df().merge(priced, how="left", on=["workload", "provider", "model"])
    current = models.sort_values("requests", ascending=False).drop_duplicates("workload").set_index("workload")["model"]
    workloads["current_model"] = workloads["workload"].map(current)
    usd = models.groupby("workload")["usd"].sum(min_count=1)
    workloads["usd"] = workloads["workload"].map(usd)
    workloads["kind"] = "measured"
    return Usage(
        read=tally.read,
        used=used,
        rejected=dict(tally.rejected),
        noted={kind: count for kind, count in tally.noted.items() if count},
        dialects=dict(tally.dialects),
        broken_files=dict(tally.broken),
        observed_hours=hours,
        workloads=workloads,
        models=models,
        profiles=_profiles(base, hours),
        usd=total,
        unpriced=unpriced,
        logged_usd=logged,
        invoice_usd=invoice,
    )


_SPREAD = ", ".join(
    f"sum({name}) / sum(requests) AS {name}, "
    + ", ".join(f"quantile_cont({name} / requests, {q / 100}) AS {name}_p{q}" for q in (50, 95, 99))
    for name in ("input_tokens", "cached_tokens", "output_tokens")
)
_WORKLOADS = f"""
    SELECT workload, CAST(sum(requests) AS BIGINT) AS requests, {_SPREAD},
        CASE WHEN sum(blocks) > 0 THEN sum(repeated) / sum(blocks) END AS repeated_prefix_share
    FROM calls GROUP BY workload ORDER BY requests DESC, workload
"""
_MODELS = """
    SELECT workload, coalesce(provider, '') AS provider, model, CAST(sum(requests) AS BIGINT) AS requests,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens, CAST(sum(cached_tokens) AS BIGINT) AS cached_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens, sum(cost_usd) AS logged_usd
    FROM calls GROUP BY ALL ORDER BY requests DESC, workload, model
"""


def _profiles(base: Any, hours: float) -> dict[str, dict[str, Any]]:
    """Requests by hour of day and by weekday, and active days per month, of each workload."""
    rows = base.execute(
        "SELECT workload, CAST(floor(time / 3600) AS BIGINT) % 24 AS hour, sum(requests) AS n FROM calls GROUP BY ALL"
    ).fetchall()
    days = base.execute("SELECT workload, count(DISTINCT floor(time / 86400)) FROM calls GROUP BY workload").fetchall()
    weeks = base.execute(  # day 0 of the epoch was a Thursday
        "SELECT workload, (CAST(floor(time / 86400) AS BIGINT) + 3) % 7, sum(requests) FROM calls GROUP BY ALL"
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
        name: {"weights": weights[name], "weekdays": weekdays[name], "days_per_month": round(active[name], 2)}
        for name in sorted(weights)
    }


def _priced(base: Any, book: PriceBook, as_of: str | None) -> tuple[pd.DataFrame, Decimal, pd.DataFrame]:
    """$ by workload, provider and model, the exact total, and what the book has no price for, with the reason."""
    resolved, reasons = _resolved(base, book, as_of)
    total = Decimal(0)
    sums: dict[Any, float] = {}
    for frame in _chunks(base):
        keys = list(zip(frame["model"], frame["provider"], frame["tier"], frame["day"], strict=True))
        found = [resolved.get(_key(key)) for key in keys]
        named = [names for names in found if names is not None]
        frame = frame[[names is not None for names in found]].reset_index(drop=True)
        if not named:
            continue
        names = ("input", "cached", "cache_write", "cache_write_1h", "output", "reasoning")
        asked = frame[[f"{name}_tokens" for name in names]]
        asked = asked.floordiv(frame["requests"], axis=0)  # an added-up row is priced at its mean request
        asked["model"], asked["provider"] = zip(*named, strict=True)
        asked["tier"], asked["date"] = frame["tier"].fillna("standard"), frame["day"]
        bill = price_usage(book, asked, as_of=as_of)
        amounts = bill.amounts * frame["requests"]
        single = bool((frame["requests"] == 1).all())
        total += bill.total if single else Decimal(str(round(float(amounts.sum()), 6)))
        for key, amount in (
            amounts.groupby([frame["workload"], frame["provider"].fillna(""), frame["model"]]).sum().items()
        ):
            sums[key] = sums.get(key, 0.0) + float(amount)
    columns = ["workload", "provider", "model"]
    priced = pd.DataFrame([[*key, usd] for key, usd in sums.items()], columns=[*columns, "usd"])
    return priced, total, pd.DataFrame(reasons, columns=["model", "provider", "tier", "requests", "reason"])


def _key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if part is None or part != part else part for part in key)


def _chunks(base: Any) -> Iterator[pd.DataFrame]:
    low, high = base.execute("SELECT min(number), max(number) FROM calls").fetchone()
    for start in range(low, high + 1, _BATCH):
        yield base.execute(
            "SELECT *, strftime(to_timestamp(floor(time / 86400) * 86400), '%Y-%m-%d') AS day FROM calls "
            "WHERE number >= ? AND number < ? ORDER BY number",
            [start, start + _BATCH],
        ).df()


def _resolved(
    base: Any, book: PriceBook, as_of: str | None
) -> tuple[dict[tuple[Any, ...], tuple[str, str | None]], list[list[Any]]]:
    """The book's (model, provider) of every combination in the log, and why some have none."""
    rows = base.execute(
        "SELECT model, provider, tier, strftime(to_timestamp(floor(time / 86400) * 86400), '%Y-%m-%d') AS day, "
        "sum(requests) FROM calls GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    found: dict[tuple[Any, ...], tuple[str, str | None]] = {}
    missing: dict[tuple[Any, ...], list[Any]] = {}
    for model, provider, tier, day, count in rows:
        prefix, slash, rest = str(model).partition("/")
        tries = [(model, provider), (model, None), *([(rest, prefix), (rest, None)] if slash else [])]
        reason = ""
        for name, by in dict.fromkeys(tries):
            try:
                book.sheet(name, by, tier or "standard", as_of or day)
            except InputError as error:
                reason = reason or str(error)
                continue
            found[(model, provider, tier, day)] = (name, by)
            break
        else:
            entry = missing.setdefault((model, provider, tier, reason), [model, provider, tier, 0, reason])
            entry[3] += int(count)
    return found, list(missing.values())
