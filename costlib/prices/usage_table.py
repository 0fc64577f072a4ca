"""A usage table, strictly: counts that are counts, moments that are moments, and rows that can be named.

A file is read as `costlib usage` reads it, any export of `costlib.read.calls`; but what is wrong with a record is one
sentence here, because a bill that leaves rows out is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from costlib.errors import InputError, invalid_input
from costlib.prices.buckets import COUNTS, MOST_TOKENS
from costlib.read import Places
from costlib.read.calls import Tally, calls, notes_of, without_repeats

Integers = npt.NDArray[np.int64]
_COUNT = f"a whole number from 0 to {MOST_TOKENS - 1}, without thousands separators"


def read_usage(
    usage: pd.DataFrame | Path | str, columns: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, Places, tuple[str, ...]]:
    """A DataFrame as it is, or a log or table as one, how to name its rows, and what to know about them.

    `columns` maps fields to the columns or paths that hold them, where an export is not recognised. Raises `InputError`
    for a file that cannot be read, and for the first record that holds something wrong.
    """
    if isinstance(usage, pd.DataFrame):
        return usage, Places(), ()
    import pyarrow as pa

    path, tally = Path(usage), Tally(strict=True)
    tables = [table.drop_columns(["prompt"]) for table in calls([path], columns or {}, tally, timed=False)]
    if not tables:
        counted = ", ".join(f"{count} x {kind}" for kind, count in tally.rejected.items()) or "no records"
        raise InputError(f"{path}: is not a table of requests ({counted}); allowed: a log of model calls")
    table = without_repeats(pa.concat_tables(tables), tally)
    frame = table.select(["model", "provider", "tier", "workload", "host"]).to_pandas()
    places = Places(str(path), () if path.suffix == ".parquet" else table["line"].to_pylist())
    times = table["time"].to_numpy()
    if (timed := ~np.isnan(times)).any():
        refuse(~timed, "timestamp", times, places, "a date or moment in every row, or in none")
        moments = pd.Series(pd.to_datetime(times, unit="s", utc=True))
        days = table["day_only"].to_numpy()
        frame["date" if days.all() else "timestamp"] = moments.dt.strftime("%Y-%m-%d") if days.all() else moments
    for name in COUNTS:
        if name in table.column_names and name != "requests":
            column = table[name].to_numpy()
            if column.any() or name in ("input_tokens", "output_tokens"):
                frame[name] = column
    if table["adds_up"].to_numpy().any():
        requests = table["requests"].to_pandas()
        frame["requests"] = requests.fillna(1 + frame["input_tokens"] // 1000).astype(np.int64)
    return frame, places, notes_of(tally)


def refuse(wrong: npt.NDArray[np.bool_], field: str, values: Any, places: Places, allowed: str) -> None:
    """Raise `InputError` naming the first row where `wrong`; `values` is the Series or array it was found in."""
    if wrong.any():
        position = int(wrong.argmax())
        value = values.iloc[position] if isinstance(values, pd.Series) else values[position]
        value = value.item() if isinstance(value, np.generic) else value
        raise invalid_input(field, value, allowed, places.row(position))


def counts(frame: pd.DataFrame, name: str, places: Places) -> Integers:
    """A column of token counts as 64-bit integers; zeros where there is no such column.

    Raises `InputError` for a count that is missing, not whole, negative, a bool, text, or `MOST_TOKENS` or more.
    """
    if name not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64)
    column = frame[name]
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        refuse(np.array([not _is_count(value) for value in column], dtype=bool), name, column, places, _COUNT)
        return np.array([int(value) for value in column], dtype=np.int64)
    if pd.api.types.is_integer_dtype(column) and not column.hasnans:
        whole = column.to_numpy()
        refuse((whole < 0) | (whole >= MOST_TOKENS), name, column, places, _COUNT)
        return whole.astype(np.int64, copy=False)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        is_whole = np.isfinite(numbers) & (numbers == np.floor(numbers))
        wrong = ~is_whole | (numbers < 0) | (numbers >= MOST_TOKENS)
    refuse(wrong, name, column, places, _COUNT)
    return numbers.astype(np.int64)


def _is_count(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < MOST_TOKENS


def minutes(column: pd.Series[Any], name: str, places: Places) -> Integers:
    """Minutes since 1970 (UTC) of a column of moments or dates."""
    return seconds(column, name, places).astype(np.int64) // 60


def seconds(column: pd.Series[Any], name: str, places: Places) -> npt.NDArray[np.float64]:
    """Seconds since 1970 (UTC) of a column of moments or dates; text is ISO 8601, and UTC unless it says otherwise."""
    form = None if column.dtype.kind == "M" else "ISO8601"
    times = pd.to_datetime(column, utc=True, errors="coerce", format=form)
    refuse(times.isna().to_numpy(), name, column, places, "a date or moment in ISO 8601")
    return times.dt.as_unit("us").astype("int64").to_numpy().astype(np.float64) / 1e6
