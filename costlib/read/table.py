"""Strict reading of the small CSV files people edit by hand: prices, rates, exchange rates.

A spreadsheet saves a byte order mark, semicolons or `1,234.50` without asking, and a lenient reader turns each into a
wrong price. Every cell stays text here; what is wrong is named with its file and line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from costlib.errors import InputError, bad
from costlib.read.tree import near

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARTIAL_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True)
class Row:
    """One line of a CSV: its cells by column name, and where it stands."""

    cells: Mapping[str, str]
    where: str

    def text(self, field: str, allowed: Collection[str] = ()) -> str:
        """A cell that may not be empty, one of `allowed` where given."""
        value = self.cells[field]
        if not value or (allowed and value not in allowed):
            raise bad(field, value, near(value, allowed) if allowed else "a value", self.where)
        return value

    def number(self, field: str, *, zero: bool = False) -> Decimal:
        """A decimal above zero (or not below, with `zero`) and below 1e15, without thousands separators."""
        value = self.cells[field]
        allowed = f"a number {'>= 0' if zero else '> 0'} and below 1e15, without thousands separators or currency signs"
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise bad(field, value, allowed, self.where) from None
        absurd = not number.is_finite() or number < 0 or (number and not -15 <= number.adjusted() < 15)
        if "_" in value or absurd or (number == 0 and not zero):
            raise bad(field, value, allowed, self.where)
        return number

    def optional_number(self, field: str) -> Decimal | None:
        """A decimal above zero, or None for an empty cell."""
        return self.number(field) if self.cells.get(field) else None

    def count(self, field: str, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self.cells[field]
        if not re.fullmatch(r"\d{1,15}", value) or int(value) < least:
            raise bad(field, value, f"a whole number >= {least}", self.where)
        return int(value)

    def day(self, field: str) -> date:
        """A date as YYYY-MM-DD."""
        value = self.cells[field]
        parsed = iso_date(value)
        if parsed is None:
            raise bad(field, value, "a date as YYYY-MM-DD", self.where)
        return parsed

    def optional_day(self, field: str) -> date | None:
        """A date as YYYY-MM-DD, or None for an empty cell."""
        return self.day(field) if self.cells.get(field) else None


def iso_date(value: str) -> date | None:
    """The date of a strict YYYY-MM-DD, else None."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def earliest_date(value: str) -> date | None:
    """The first day that `2026`, `2026-04` or `2026-04-20` can mean, else None."""
    match = _PARTIAL_DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day = (int(part) if part else 1 for part in match.groups())
    try:
        return date(year, month, day)
    except ValueError:
        return None


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), *, marked: bool = False
) -> Iterator[Row]:
    """The lines of a comma-separated UTF-8 file, cells stripped of surrounding blanks.

    Blank lines, and those that start with #, are left out; only where `marked` the file may begin with a byte order
    mark. Raises `InputError` for a file that cannot be read, a byte order mark, a semicolon-separated header, a
    missing, unknown or repeated column, or a line with a wrong number of cells.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); allowed: a readable CSV file") from None
    if raw.startswith(_BYTE_ORDER_MARK):
        if not marked:
            raise bad("first character", "\ufeff", "UTF-8 without a byte order mark", f"{path}:1")
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise bad("byte", hex(raw[error.start]), "UTF-8 text", f"{path}:{line}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
                continue
            if not header:
                header = [name.strip() for name in cells]
                _check_header(header, required, optional, where)
                continue
            if len(cells) != len(header):
                allowed = f"{len(header)}, as in the header (quote cells that hold commas)"
                raise bad("number of cells", len(cells), allowed, where)
            named = dict.fromkeys(optional, "") | {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            yield Row(named, where)
    except csv.Error as error:
        raise bad("line", str(error), "comma-separated values", f"{path}:{reader.line_num}") from None
    if not header:
        _check_header([], required, optional, f"{path}:1")


def _check_header(header: Sequence[str], required: Sequence[str], optional: Sequence[str], where: str) -> None:
    if len(header) == 1 and ";" in header[0]:
        raise bad("separator", ";", "a comma", where)
    for name in header:
        if name not in required and name not in optional:
            raise bad("column", name, near(name, [*required, *optional]), where)
        if header.count(name) > 1:
            raise bad("column", name, "each column once", where)
    for name in required:
        if name not in header:
            raise bad("missing column", name, f"all of {', '.join(required)}", where)
