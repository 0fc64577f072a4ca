"""Documents from a file: text (one a line), or JSONL, CSV or Parquet with `input` and, if labelled, `expected`.

`read_rows` reads the rows of such a file for whoever knows more columns, as the tasks of `costlib.quality` do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costlib.errors import bad

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")
"""Of files that hold rows; any other holds a document a line."""


@dataclass(frozen=True)
class Documents:
    """Distinct documents in the file's order; `labels` is empty where the file has none.

    `duplicates` counts repeated documents that were left out: a copy is its own nearest neighbour, and in a test set
    it would be counted twice.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    duplicates: int
    name: str


def read_documents(path: str | Path, *, labelled: bool = False, field: str = "text") -> Documents:
    """Read a file of documents.

    Raises `InputError` for a file that cannot be read, an empty document, a repeated document with two labels, and,
    where `labelled`, a missing label or fewer than two classes.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        allowed = "a file that exists: .txt (one document a line), .jsonl, .csv or .parquet with an input"
        raise bad(field, str(path), allowed)
    pairs = _pairs(file, field)
    found: dict[str, str] = {}
    for line, (text, label) in enumerate(pairs, start=1):
        where = f"{file}, document {line}"
        if not text.strip():
            raise bad("input", text, "a document that is not empty", where)
        if labelled and not label:
            raise bad("expected", label, "a label", where)
        if found.setdefault(text, label) != label:
            raise bad("expected", label, f"{found[text]!r}, which the same document had before", where)
    if not found:
        raise bad(field, str(path), "a file with at least one document")
    classes = sorted(set(found.values()))
    if labelled and len(classes) < 2:
        raise bad(field, str(path), f"labels of at least two classes (all are {classes[0]!r})")
    labels = tuple(found.values()) if all(found.values()) else ()
    return Documents(tuple(found), labels, len(pairs) - len(found), file.name)


def check_characters(field: str, value: object, where: str) -> None:
    """Refuse half a character: JSON can spell one (a lone surrogate), which no tokenizer, hash or file takes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[max(0, error.start - 20) : error.end + 20]
        allowed = r"whole characters: \ud800 to \udfff mean one only in pairs"
        raise bad(field, half, allowed, where) from error


def _pairs(file: Path, field: str) -> list[tuple[str, str]]:
    if file.suffix not in SUFFIXES:
        return [(line.strip(), "") for line in _content(file, field).splitlines() if line.strip()]
    pairs = []
    for where, row in read_rows(file, field):
        if "input" not in row:
            raise bad("column", ", ".join(row), "a column called input", where)
        if not isinstance(row["input"], str):
            raise bad("input", row["input"], "a row whose input is text", where)
        label = row.get("expected")
        pairs.append((row["input"], "" if label is None else str(label)))
    return pairs


def read_rows(file: Path, field: str) -> list[tuple[str, dict[str, Any]]]:
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


def _content(file: Path, field: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise bad(field, str(file), f"a readable file in UTF-8 ({error})") from error


def _jsonl(file: Path, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_content(file, field).split("\n"), 1):
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
    reader = csv.DictReader(io.StringIO(_content(file, field)))
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
