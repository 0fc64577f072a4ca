"""Records of JSON Lines, CSV and Parquet files: names and values, each with its place in words, or all as a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import bad
from costlib.read.table import read_cells
from costlib.read.text import HalfCharacter, content, json_value, parsing

if TYPE_CHECKING:
    import pandas as pd

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
                raise bad(error.name or field, error.half, error.ALLOWED, where) from None
        if not isinstance(row, dict):
            raise bad(field, line[:40], allowed, where)
        yield where, row


def read_frame(file: Path, field: str) -> tuple[pd.DataFrame, Places]:
    """A CSV (all cells texts) or Parquet file as a frame, and how to name its rows; raises as `read_records`."""
    import pandas as pd

    if file.suffix not in (".csv", ".parquet"):
        raise bad(field, str(file), "a .csv or .parquet file")
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
