"""Rows of files: of small tables people edit by hand, read strictly, and of CSV, JSON Lines and Parquet of any shape.

A spreadsheet saves semicolons, `1,234.50` or `1.000` without asking, and a lenient reader turns each into a wrong
price. Every cell stays text here; what is wrong is named with its file and line.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import CONTROL, invalid_input
from costlib.read.text import HalfCharacter, content, json_value, parsing
from costlib.read.tree import near

if TYPE_CHECKING:
    import pandas as pd

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a prompt is longer than the 131,072 characters of the default
Cells = tuple[int, list[str]]
"""The line that a row begins on, and its cells."""

_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
"""A number that a table with semicolons may mean in thousands."""
_PARTIAL_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True)
class Row:
    """One line of a CSV: its cells by column name, and where it stands."""

    cells: Mapping[str, str]
    where: str
    separator: str = ","

    def text(self, field: str, allowed: Collection[str] = ()) -> str:
        """A cell that may not be empty, on one line, one of `allowed` where given."""
        value = self.cells[field]
        if not value or (allowed and value not in allowed):
            raise invalid_input(field, value, near(value, allowed) if allowed else "a value", self.where)
        if CONTROL.search(value):
            raise invalid_input(field, value, "a text on one line, without control characters", self.where)
        return value

    def number(self, field: str, *, zero: bool = False, least: float = 0, most: float = 1e15) -> Decimal:
        """A plain decimal above zero (or not below, with `zero`), at least `least`, at most `most` and below 1e15.

        A table with semicolons comes from where `1.000` is a thousand and `1,5` a half more than one: there neither is
        read.
        """
        value = self.cells[field]
        ends = f"of at least {least:g}" if zero or least else "above 0"
        ends += f" and at most {most:g}" if most < 1e15 else " and below 1e15"
        allowed = f"a number {ends}, without thousands separators, decimal commas or currency signs"
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise invalid_input(field, value, allowed, self.where) from None
        absurd = not number.is_finite() or number < 0 or (number and not -15 <= number.adjusted() < 15)
        if "_" in value or absurd or not least <= number <= most or (number == 0 and not zero):
            raise invalid_input(field, value, allowed, self.where)
        if self.separator == ";" and _GROUPED.fullmatch(value):
            raise invalid_input(
                field, value, "a number that is not thousands in one country and decimals in another", self.where
            )
        return number

    def optional_number(self, field: str) -> Decimal | None:
        """A decimal above zero, or None for an empty cell."""
        return self.number(field) if self.cells.get(field) else None

    def count(self, field: str, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self.cells[field]
        if not re.fullmatch(r"\d{1,15}", value) or int(value) < least:
            raise invalid_input(field, value, f"a whole number >= {least}", self.where)
        return int(value)

    def day(self, field: str) -> date:
        """A date as YYYY-MM-DD."""
        value = self.cells[field]
        parsed = iso_date(value)
        if parsed is None:
            raise invalid_input(field, value, "a date as YYYY-MM-DD", self.where)
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


@dataclass(frozen=True)
class Table:
    """A CSV: its header and the line it stands on, and an iterator over the rows below."""

    header: list[str]
    line: int
    separator: str
    rows: Iterator[Cells]


def read_cells(file: Path, field: str = "table", *, notes: bool = False) -> Table:
    """A CSV as RFC 4180 has it, with commas, semicolons or tabs, whichever gives the header most columns.

    Cells may hold line breaks and any number of characters. Rows whose cells are all blank are left out and, with
    `notes`, those that start with #. Raises `InputError` for a file that cannot be read, a repeated column, or, as the
    rows go by, one with another number of cells than the header.
    """
    text = content(file, field)
    firsts = {separator: next(_rows(text, separator, file, notes), (1, [])) for separator in ",;\t"}
    separator = max(firsts, key=lambda one: len(firsts[one][1]))
    line, cells = firsts[separator]
    header = [name.strip() for name in cells]
    for name in header:
        if header.count(name) > 1:
            raise invalid_input("column", name, "each column once", f"{file}:{line}")
    below = islice(_rows(text, separator, file, notes), 1, None)
    return Table(header, line, separator, _even(below, len(header), file))


def _rows(text: str, separator: str, file: Path, notes: bool) -> Iterator[Cells]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not (notes and cells[0].startswith("#")):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise invalid_input("line", str(error), "comma-separated values", f"{file}:{line}") from None


def _even(rows: Iterator[Cells], columns: int, file: Path) -> Iterator[Cells]:
    for line, cells in rows:
        if len(cells) != columns:
            allowed = f"{columns}, as in the header (quote cells that hold the separator)"
            raise invalid_input("number of cells", len(cells), allowed, f"{file}:{line}")
        yield line, cells


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a table that has these columns and no others, cells stripped of surrounding blanks.

    Raises `InputError` as `read_cells`, and for a missing or unknown column.
    """
    table = read_cells(path, notes=True)
    for name in table.header:
        if name not in required and name not in optional:
            raise invalid_input("column", name, near(name, [*required, *optional]), f"{path}:{table.line}")
    for name in required:
        if name not in table.header:
            raise invalid_input("missing column", name, f"all of {', '.join(required)}", f"{path}:{table.line}")
    for line, cells in table.rows:
        named = {name: cell.strip() for name, cell in zip(table.header, cells, strict=True)}
        yield Row(dict.fromkeys(optional, "") | named, f"{path}:{line}", table.separator)


SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")
"""Of files that hold rows; any other is text."""

Record = tuple[str, dict[str, Any]]
"""The place of a row in words, and its values by name."""


@dataclass(frozen=True)
class Places:
    """How to name a row of a frame: by file and line, or by its number where it has no line."""

    file: str | None = None
    lines: Sequence[int] = ()

    def row(self, position: int) -> str:
        """The row at `position`, for a message."""
        if self.lines:
            return f"{self.file}:{self.lines[position]}"
        return f"row {position}" if self.file is None else f"{self.file}, row {position + 1}"


def read_records(file: Path, field: str) -> list[Record]:
    """Each row of a CSV (all cells texts), Parquet or, by any other name, JSON Lines file, with its place in words.

    Raises `InputError` about `field` for a file that is none, a line without as many cells as the header, or half a
    character.
    """
    return list({".csv": _csv, ".parquet": _parquet}.get(file.suffix, json_lines)(file, field))


def json_lines(file: Path, field: str) -> Iterator[Record]:
    """The object on each line of a file that has one; raises as `read_records`."""
    allowed = "one JSON object a line"
    for number, line in enumerate(content(file, field).replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        with parsing(field, line[:40], allowed, where):
            try:
                row = json_value(line)
            except HalfCharacter as error:
                raise invalid_input(error.name or field, error.half, error.ALLOWED, where) from None
        if not isinstance(row, dict):
            raise invalid_input(field, line[:40], allowed, where)
        yield where, row


def read_frame(file: Path, field: str) -> tuple[pd.DataFrame, Places]:
    """A CSV (all cells texts) or Parquet file as a frame, and how to name its rows; raises as `read_records`."""
    import pandas as pd

    if file.suffix not in (".csv", ".parquet"):
        raise invalid_input(field, str(file), "a .csv or .parquet file")
    if file.suffix == ".parquet":
        return _table(file, field).to_pandas(), Places(str(file))
    table = read_cells(file, field)
    rows = list(table.rows)
    frame = pd.DataFrame([cells for _, cells in rows], columns=table.header, dtype="object")
    return frame, Places(str(file), [line for line, _ in rows])


def _csv(file: Path, field: str) -> Iterator[Record]:
    table = read_cells(file, field)
    for line, cells in table.rows:
        yield f"{file}:{line}", dict(zip(table.header, cells, strict=True))


def _parquet(file: Path, field: str) -> Iterator[Record]:
    rows = _table(file, field).to_pylist()
    yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, 1))


def _table(file: Path, field: str) -> Any:
    """The Arrow table in a Parquet file, every value of which is one."""
    import pyarrow.parquet as pq

    with parsing(field, file, "a Parquet file"):
        table = pq.read_table(file)
        table.validate(full=True)
        return table.replace_schema_metadata(None)  # what pandas wrote there about itself is not needed
