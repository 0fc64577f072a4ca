"""Records from JSONL, CSV or Parquet files, each a mapping of names to values with its place in words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from costlib.errors import bad

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")
"""Of files that hold rows; any other is text."""


def read_records(file: Path, field: str) -> list[tuple[str, dict[str, Any]]]:
    """Each row of a JSONL, CSV (header first, all cells texts) or Parquet file, with its place in words.

    Raises `InputError` about `field` for a file that is none, a line without as many cells as the header, or half a
    character.
    """
    read = {".csv": _csv, ".parquet": _parquet}.get(file.suffix, _jsonl)
    rows = list(read(file, field))
    for where, row in rows:
        for name, value in row.items():
            check_characters(name, value, where)
    return rows


def content(file: Path, field: str) -> str:
    """The text of a file; raises `InputError` about `field` for one that cannot be read or is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise bad(field, str(file), f"a readable file in UTF-8 ({error})") from error


def _jsonl(file: Path, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(content(file, field).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise bad(field, line[:40], f"one JSON object a line ({error.msg})", where) from error
        if not isinstance(row, dict):
            raise bad(field, line[:40], "one JSON object a line", where)
        yield where, row


def _csv(file: Path, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(content(file, field)))
    for row in reader:
        where = f"{file}:{reader.line_num}"
        if None in row or None in row.values():
            raise bad("row", reader.line_num, f"as many cells as the header has, {len(reader.fieldnames or ())}", where)
        yield where, row


def _parquet(file: Path, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise bad(field, str(file), f"a Parquet file ({str(error).splitlines()[0]})") from error
    yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, 1))


def check_characters(field: str, value: object, where: str) -> None:
    """Refuse half a character: JSON can spell one (a lone surrogate), which no tokenizer, hash or file takes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[max(0, error.start - 20) : error.end + 20]
        allowed = r"whole characters: \ud800 to \udfff mean one only in pairs"
        raise bad(field, half, allowed, where) from error
