"""Documents from a file: text (one document a line), or JSONL and CSV with `input` and, if labelled, `expected`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from costlib.errors import bad


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
        raise bad(field, str(path), "a file that exists: .txt (one document a line), .jsonl or .csv with an input")
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise bad(field, str(path), f"a readable file in UTF-8 ({error})") from error
    pairs = list(_pairs(file, content, field))
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


def _pairs(file: Path, content: str, field: str) -> Iterable[tuple[str, str]]:
    if file.suffix == ".csv":
        rows = csv.DictReader(content.splitlines())
        if "input" not in (rows.fieldnames or ()):
            raise bad("column", ", ".join(rows.fieldnames or ("none",)), "a column called input", str(file))
        return [(row["input"] or "", row.get("expected") or "") for row in rows]
    if file.suffix not in (".jsonl", ".ndjson"):
        return [(line.strip(), "") for line in content.splitlines() if line.strip()]
    pairs = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise bad(field, line[:40], f"one JSON object a line ({error.msg})", f"{file}:{number}") from error
        if not isinstance(item, dict) or not isinstance(item.get("input"), str):
            raise bad("input", line[:40], "a JSON object whose input is text", f"{file}:{number}")
        check_characters("input", item["input"], f"{file}:{number}")
        check_characters("expected", item.get("expected"), f"{file}:{number}")
        pairs.append((item["input"], str(item.get("expected") or "")))
    return pairs
