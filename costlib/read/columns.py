"""Columns of a log as numbers, texts and moments: all values of a field at once, with masks of those that are none."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
COUNT = "a whole number from 0 on, without thousands separators"

_THOUSANDS = re.compile(r"\s*\d{1,3}([.,' \u2019\u00a0\u202f]\d{3})+\s*")
_ZONE = r".*(:|T\d\d|\d\d)\S*\s*(Z|z|[+-]\d{2}(:?\d{2})?)"
_SCALES: tuple[tuple[float, float], ...] = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which size an epoch counts nano-, micro- or milliseconds."""


def texts(columns: Sequence[Any], size: int) -> pa.StringArray:
    """The first text of each row in `columns`, null where all are blank. Of a list its first item is taken."""
    found = pa.nulls(size, pa.string())
    for column in columns:
        found = pc.coalesce(found, _text(column))
        if not found.null_count:
            break
    return found


def _text(column: Any) -> pa.StringArray:
    found = _strings(column)
    if found is None:
        found = pa.array([_one_text(value) for value in column], pa.string())
    found = pc.utf8_trim_whitespace(found)
    return pc.if_else(pc.equal(pc.utf8_length(found), 0), None, found)


def _strings(column: Any) -> pa.StringArray | None:
    """A column as it is where it holds nothing but texts."""
    if isinstance(column, pd.Series):
        if column.dtype != "str":
            return None
        found = pa.array(column, from_pandas=True)
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        return found.cast(pa.string())
    try:
        return pa.array(column, pa.string())
    except (pa.ArrowException, TypeError, UnicodeError):
        return None


def _one_text(value: Any) -> str | None:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        value = next(iter(value), None)
    if value is None or value in ("", "[]", "{}") or value != value:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).encode("utf-8", "replace").decode()


def matches(text: pa.StringArray, pattern: str) -> Mask:
    """Which texts a regular expression (of RE2) matches whole; none that is null."""
    found = pc.match_substring_regex(text, f"^(?:{pattern})$")
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False))


def numbers(columns: Sequence[Any], size: int, *, whole: bool = True) -> tuple[Numbers, dict[str, tuple[Mask, str]]]:
    """The first number of each row in `columns`, NaN where there is none; and by kind, which are no numbers, and why.

    With `whole` a number is a count, otherwise any amount of at least zero, and what is none is missing or infinite.
    """
    found = np.full(size, np.nan)
    wrong: dict[str, tuple[Mask, str]] = {}
    for column in columns:
        values, kinds = _numbers(column, size)
        with np.errstate(invalid="ignore"):
            negative, broken = values < 0, (values != np.floor(values)) & ~np.isnan(values)
        infinite = np.isinf(values)
        if whole:
            kinds[_NEGATIVE] = kinds.get(_NEGATIVE, False) | negative
            kinds[_BROKEN] = kinds.get(_BROKEN, False) | (broken & ~infinite)
            kinds[_NO_NUMBER] = kinds.get(_NO_NUMBER, False) | infinite
            for kind, mask in kinds.items():
                if mask.any():
                    before = wrong[kind][0] if kind in wrong else False
                    wrong[kind] = (mask | before, COUNT)
        usable = ~(negative | (broken | infinite if whole else False))
        found = np.where(np.isnan(found) & usable, values, found)
    return found, wrong


_NEGATIVE = "a negative token count"
_BROKEN = "a token count that is not whole or a billion and more"
_NO_NUMBER = "a token count that is not a number"
_SEPARATED = "a token count with a thousands separator"


def _numbers(column: Any, size: int) -> tuple[Numbers, dict[str, Any]]:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float", "empty"):
        try:
            if isinstance(column, pd.Series):
                return column.to_numpy(dtype=np.float64, na_value=np.nan), {}
            return np.array(column, dtype=np.float64), {}
        except (OverflowError, ValueError, TypeError):
            pass
    if kind == "string" and (text := _strings(column)) is not None:
        text = pc.utf8_trim_whitespace(text)
        try:
            return pc.cast(text, pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64), {}
        except pa.ArrowInvalid:
            pass
        plain = matches(text, "[0-9]{1,18}")
        values = pc.cast(pc.if_else(plain, text, None), pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
        blank = pc.fill_null(pc.equal(pc.utf8_length(text), 0), True).to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(~blank & ~plain)
        column = text.to_pylist() if len(odd) else ()
    else:
        column = list(column)
        values, odd = np.full(size, np.nan), np.arange(size)
    kinds: dict[str, Any] = {}
    for at in odd:
        value = _number(column[at])
        if isinstance(value, str):
            kinds.setdefault(value, np.zeros(size, dtype=bool))[at] = True
        else:
            values[at] = value
    return values, kinds


def _number(value: Any) -> float | str:
    """A number, NaN for a blank, or the kind of reason why it is none."""
    if value is None or value is pd.NaT or value is pd.NA or value == "":
        return math.nan
    if isinstance(value, bool | np.bool_):
        return _NO_NUMBER
    if isinstance(value, str) and _THOUSANDS.fullmatch(value):
        return _SEPARATED
    if isinstance(value, str) and not value.isascii():
        return _NO_NUMBER
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return _NO_NUMBER


def moments(columns: Sequence[Any], size: int) -> tuple[Numbers, Mask, Mask, Mask]:
    """Seconds since 1970 (NaN: none), whether a zone is named (an epoch always has one), only a day, or unreadable.

    A time without a zone is UTC.
    """
    seconds, zone = np.full(size, np.nan), np.zeros(size, dtype=bool)
    day, unread = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    for column in columns:
        open_ = np.isnan(seconds) & ~unread
        if not open_.any():
            break
        found = _moments(column, size)
        seconds = np.where(open_, found[0], seconds)
        for mask, more in zip((zone, day, unread), found[1:], strict=True):
            mask |= more & open_
    return seconds, zone, day, unread


def _moments(column: Any, size: int) -> tuple[Numbers, Mask, Mask, Mask]:
    none = np.zeros(size, dtype=bool)
    if isinstance(column, pd.Series) and column.dtype.kind == "M":
        zoned = getattr(column.dt, "tz", None) is not None
        utc = column if zoned else column.dt.tz_localize(UTC)
        seconds = utc.dt.as_unit("us").astype("int64").to_numpy().astype(np.float64) / 1e6
        seconds[column.isna().to_numpy()] = np.nan
        return seconds, np.full(size, zoned), none, none
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float"):
        values, wrong = _numbers(column, size)
        unread = np.logical_or.reduce([none, *wrong.values()])
        return _scaled(values), ~np.isnan(values), none, unread | np.isinf(values)
    if kind != "string":
        column = [_as_text(value) for value in column]
    text = _text(column)
    blank = pc.is_null(text).to_numpy(zero_copy_only=False)
    epoch = matches(text, r"[0-9]{9,}(\.[0-9]+)?")
    seconds = np.full(size, np.nan)
    if epoch.any():
        seconds = pc.cast(pc.if_else(epoch, text, None), pa.float64()).to_numpy(zero_copy_only=False)
        seconds, text = _scaled(seconds), pc.if_else(epoch, None, text)
    ends = pc.fill_null(pc.ends_with(text, " UTC"), False).to_numpy(zero_copy_only=False)
    if ends.any():
        text = pc.if_else(ends, pc.replace_substring(text, " UTC", "Z"), text)
    day = matches(text, r"\d{4}-\d{2}-\d{2}")
    zone = matches(text, _ZONE) & ~day
    if not (blank | epoch).all():
        times = pd.to_datetime(pd.Series(text.to_pandas()), utc=True, errors="coerce", format="ISO8601")
        stamps = times.dt.as_unit("us").astype("int64").to_numpy().astype(np.float64) / 1e6
        seconds = np.where(times.notna().to_numpy(), stamps, seconds)
    return seconds, zone | epoch, day, np.isnan(seconds) & ~blank


def _as_text(value: Any) -> str | None:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or value != value or isinstance(value, bool):
        return None if value is None or value != value else "true"
    return str(value)


def _scaled(values: Numbers) -> Numbers:
    """Seconds of an epoch in seconds, milli-, micro- or nanoseconds."""
    out = values.copy()
    with np.errstate(invalid="ignore"):
        for least, scale in reversed(_SCALES):
            out = np.where(values >= least, values / scale, out)
    return out
