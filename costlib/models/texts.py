"""The texts that models are measured on: prose, or documents.

Prose is what every Python ships, a file, or a folder of files. Documents come from a file: text (one a line), or JSONL,
CSV or Parquet with `input` and, if labelled, `expected`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from costlib.errors import invalid_input
from costlib.read import SUFFIXES, content, file_of, parsing, read_records

DEFAULT_TEXT = "pydoc_data.topics"
"""English prose that every Python ships; it differs a little between Python versions, so its hash is stored."""


@dataclass(frozen=True)
class Text:
    """A text: what the user named, its content, and for a folder the files it was joined from, in order."""

    name: str
    content: str
    files: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the content in UTF-8."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def read_text(text: str | Path | Text | None = None) -> Text:
    """The text of a name: None or `pydoc_data.topics`, a UTF-8 file, or a folder.

    A folder's files, those of its folders too, are joined in the order of their names with an empty line between them;
    names that begin with a dot are not part of it. Raises `InputError` for what is missing or empty, and for a file
    that is not UTF-8 text: leaving it out would measure another text than the one that was named.
    """
    if isinstance(text, Text):
        return text
    if text is None or str(text) == DEFAULT_TEXT:
        from pydoc_data.topics import topics

        return Text(DEFAULT_TEXT, "\n\n".join(topics[name] for name in sorted(topics)))
    place = Path(text)
    with parsing("text", place, f"{DEFAULT_TEXT}, or a file or folder that can be read"):
        folder = place.is_dir()
    files = {"": place}
    if folder:
        inside = sorted((file.relative_to(place).as_posix(), file) for file in place.rglob("*") if file.is_file())
        files = {name: file for name, file in inside if not any(part.startswith(".") for part in name.split("/"))}
    read = "\n\n".join(content(file, "text") for file in files.values())
    if not read.strip():
        what = "a folder of files" if folder else "a file"
        raise invalid_input("text", str(text), f"{what} that holds prose (this one is empty)")
    return Text(str(text), read, tuple(files) if folder else ())


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
    allowed = "a file that exists: .txt (one document a line), .jsonl, .csv or .parquet with an input"
    file = file_of(path, field, allowed)
    pairs = _pairs(file, field)
    found: dict[str, str] = {}
    for line, (text, label) in enumerate(pairs, start=1):
        where = f"{file}, document {line}"
        if not text.strip():
            raise invalid_input("input", text, "a document that is not empty", where)
        if labelled and not label:
            raise invalid_input("expected", label, "a label", where)
        if found.setdefault(text, label) != label:
            raise invalid_input("expected", label, f"{found[text]!r}, which the same document had before", where)
    if not found:
        raise invalid_input(field, str(path), "a file with at least one document")
    classes = sorted(set(found.values()))
    if labelled and len(classes) < 2:
        raise invalid_input(field, str(path), f"labels of at least two classes (all are {classes[0]!r})")
    labels = tuple(found.values()) if all(found.values()) else ()
    return Documents(tuple(found), labels, len(pairs) - len(found), file.name)


def _pairs(file: Path, field: str) -> list[tuple[str, str]]:
    if file.suffix not in SUFFIXES:
        return [(line.strip(), "") for line in content(file, field).splitlines() if line.strip()]
    pairs = []
    for where, row in read_records(file, field):
        if "input" not in row:
            raise invalid_input("column", ", ".join(row), "a column called input", where)
        if not isinstance(row["input"], str):
            raise invalid_input("input", row["input"], "a row whose input is text", where)
        label = row.get("expected")
        pairs.append((row["input"], "" if label is None else str(label)))
    return pairs
