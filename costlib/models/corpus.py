"""The text that a model's fidelity is measured on: prose every Python ships, a file, or a folder of files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from costlib.errors import bad
from costlib.read import content, parsing

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
    if not folder:
        return _filled(Text(str(text), _read(place)), "a file")
    inside = sorted((file.relative_to(place).as_posix(), file) for file in place.rglob("*") if file.is_file())
    files = {name: file for name, file in inside if not any(part.startswith(".") for part in name.split("/"))}
    return _filled(Text(str(text), "\n\n".join(map(_read, files.values())), tuple(files)), "a folder of files")


def _filled(text: Text, what: str) -> Text:
    if not text.content.strip():
        raise bad("text", text.name, f"{what} that holds prose (this one is empty)")
    return text


def _read(file: Path) -> str:
    return content(file, "text")
