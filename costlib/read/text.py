"""The boundary to files that users write: text and JSON out of them, or the one sentence that says what is wrong.

Whatever a parser raises about the bytes of a file it was given is about that file: `parsing` wraps the calls of parsers
and of the file system, and nothing else, so that a defect of our own still shows as one. Text is UTF-8, with or without
a byte order mark, or UTF-16 or UTF-32 as spreadsheets and shells save them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from costlib.errors import CostlibError, invalid_input

_DEEPEST = 100
"""Levels of lists and objects in JSON: more is nobody's data, and what walks it would run out of stack."""
_LONGEST_WHOLE = 38
"""Digits of a whole number that stays exact (128 bits); a longer one is read as a float, as JavaScript does."""
_LONG_DIGITS = re.compile(rf"\d{{{_LONGEST_WHOLE + 1}}}")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class HalfCharacter(ValueError):  # noqa: N818 - what a text holds
    """JSON can spell half a character (a lone surrogate), which no tokenizer, hash or file takes.

    `name` is that of the value it is in, where that is in an object.
    """

    ALLOWED = r"whole characters: \ud800 to \udfff mean one only in pairs"

    def __init__(self, name: str | None, half: str) -> None:
        super().__init__(f"half a character; {self.ALLOWED}")
        self.name, self.half = name, half


@contextmanager
def parsing(field: str, file: Path | str, allowed: str, where: str | None = None) -> Iterator[None]:
    """Any failure of a parser or of the file system inside, as an `InputError` about `field`."""
    try:
        yield
    except CostlibError:
        raise
    except Exception as error:
        raise invalid_input(field, str(file), f"{allowed} ({_reason(error)})", where) from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeEncodeError):
        return "half a character"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def file_of(path: str | Path, field: str, allowed: str, where: str | None = None, folder: Path | None = None) -> Path:
    """The file at a path, which may be relative to `folder`; raises `InputError` about `field` where there is none."""
    with parsing(field, path, allowed, where):
        file = (folder or Path()) / Path(path).expanduser()
        if file.is_file():
            return file
    raise invalid_input(field, str(path), allowed, where)


def is_file(path: str | Path) -> bool:
    """Whether there is a file at a path; no for what cannot be a path."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name too long, a folder nobody may look into, a zero in it
        return False


def content(file: Path, field: str) -> str:
    """The text of a file; raises `InputError` about `field` for one that cannot be read or is no text."""
    with parsing(field, file, "a file that can be read"):
        raw = file.read_bytes()
    encoding = json.detect_encoding(raw)
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise invalid_input("byte", hex(raw[error.start]), "UTF-8 text, or UTF-16", f"{file}:{line}") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise invalid_input("character", "\0", "text (a zero is in binary files)", f"{file}:{line}")
    return text


def json_value(text: str) -> Any:
    """What a JSON text says; raises `ValueError` with a short reason for anything that nobody can work with.

    That is text that is not JSON, is nested deeper than 100 levels, or holds half a character. NaN and Infinity are
    taken, as Python writes them.
    """
    try:
        value = json.loads(text, parse_int=_whole if _LONG_DIGITS.search(text) else None)
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from None
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEEPEST} levels") from None
    if text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    if _HALF.search(text):
        for name, part in value.items() if isinstance(value, dict) else [(None, value)]:
            _check_characters(name, part)
    return value


def _check_characters(name: str | None, value: Any) -> None:
    text = json.dumps([name, value], ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise HalfCharacter(name, text[max(0, error.start - 20) : error.end + 20]) from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else float(digits)


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, (dict, list))]:
        level = [below for one in level for below in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return depth


def read_json(file: Path, field: str, allowed: str = "a file of JSON") -> dict[str, Any]:
    """The JSON object in a file; raises `InputError` about `field` for anything else."""
    text = content(file, field)
    with parsing(field, file, allowed):
        value = json_value(text)
    if not isinstance(value, dict):
        raise invalid_input(field, type(value).__name__, f"{allowed}: one object", str(file))
    return value
