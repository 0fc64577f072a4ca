"""Reading a usage table strictly: counts that are counts, moments that are moments, and rows that can be named."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from costlib.errors import InputError, bad
from costlib.prices.buckets import MOST_TOKENS

Integers = npt.NDArray[np.int64]
_LONGEST_HEADER = 100_000
_COUNT = f"a whole number from 0 to {MOST_TOKENS - 1}, without thousands separators"


@dataclass(frozen=True)
class Places:
    """How to name a row: by file and line for a CSV, by position otherwise."""

    file: str | None = None
    lines: bool = False

    def row(self, position: int) -> str:
        """The row at `position`, for a message."""
        if self.file is None:
            return f"row {position}"
        return f"{self.file}:{position + 2}" if self.lines else f"{self.file}, row {position}"


def read_usage(usage: pd.DataFrame | Path | str) -> tuple[pd.DataFrame, Places]:
    """A DataFrame as it is, or a .csv or .parquet file as one.

    Raises `InputError` for another kind of file, one that cannot be read or parsed, a byte order mark, semicolons, a
    column that appears twice, or a line with a wrong number of cells.
    """
    if isinstance(usage, pd.DataFrame):
        return usage, Places()
    path = Path(usage)
    if path.suffix not in (".csv", ".parquet"):
        raise bad("usage file", path.name, "a .csv or .parquet file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path), Places(str(path))
        with path.open("rb") as file:
            header = file.readline(_LONGEST_HEADER)
        if header.startswith(b"\xef\xbb\xbf"):
            raise bad("first character", "\ufeff", "UTF-8 without a byte order mark", f"{path}:1")
        if b";" in header and b"," not in header:
            raise bad("separator", ";", "a comma", f"{path}:1")
        names = next(csv.reader([header.decode("utf-8", "replace")]), [])
        for name in names:
            if names.count(name) > 1:
                raise bad("column", name, "each column once", f"{path}:1")
        return pd.read_csv(path, engine="pyarrow"), Places(str(path), lines=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); allowed: a readable file") from None
    except ValueError as error:
        _refuse_ragged(path)
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is not a table ({reason}); allowed: comma-separated UTF-8, or Parquet") from None


def _refuse_ragged(path: Path) -> None:
    """Name the first line of a CSV that could not be parsed whose number of cells is not the header's."""
    if path.suffix != ".csv":
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        for cells in reader:
            if cells and len(cells) != len(header):
                allowed = f"{len(header)}, as in the header (quote cells that hold commas)"
                raise bad("number of cells", len(cells), allowed, f"{path}:{reader.line_num}")


def refuse(wrong: npt.NDArray[np.bool_], field: str, values: Any, places: Places, allowed: str) -> None:
    """Raise `InputError` naming the first row where `wrong`; `values` is the Series or array it was found in."""
    if wrong.any():
        position = int(wrong.argmax())
        value = values.iloc[position] if isinstance(values, pd.Series) else values[position]
        value = value.item() if isinstance(value, np.generic) else value
        raise bad(field, value, allowed, places.row(position))


def counts(frame: pd.DataFrame, name: str, places: Places) -> Integers:
    """A column of token counts as 64-bit integers; zeros where there is no such column.

    Raises `InputError` for a count that is missing, not whole, negative, a bool, text, or `MOST_TOKENS` or more.
    """
    if name not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64)
    column = frame[name]
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        # One bad cell of a CSV makes its whole column text, so there text that is a count is not the culprit.
        wrong = np.array([not _is_count(value, text=places.lines) for value in column], dtype=bool)
        refuse(wrong, name, column, places, _COUNT)
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


def _is_count(value: object, *, text: bool = False) -> bool:
    if text and isinstance(value, str):
        return value.isascii() and value.isdigit() and int(value) < MOST_TOKENS
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
