"""What a public value says of itself: one line, and in a notebook a small table; nothing is computed for it."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, TypeVar

_PLAIN = (str, int, float, Decimal, date, Path, type(None))
_LONG = 40
T = TypeVar("T")


def brief(cls: type[T]) -> type[T]:
    """A class whose values have a short `repr`, its own if it wrote one, and their fields as a table in a notebook."""
    written = vars(cls).get("__repr__")
    if written is None or hasattr(written, "__wrapped__") or issubclass(cls, tuple):  # none, or a generated one
        cls.__repr__ = cls.__str__ = _line  # type: ignore[method-assign]
    cls._repr_html_ = _table  # type: ignore[attr-defined]
    return cls


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if dataclasses.is_dataclass(value) and not hasattr(value, "__dict__"):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    held: dict[str, Any] = getattr(value, "_asdict", lambda: vars(value))()
    return {name: inner for name, inner in held.items() if not name.startswith("_")}


def _said(value: Any) -> str:
    value = getattr(value, "base", value)
    if type(value).__name__ == "DataFrame":
        return f"{len(value):,} rows"
    if isinstance(value, (list, tuple, set, dict)) and type(value) in (list, tuple, set, dict):
        return f"{len(value):,} of them"
    text = str(value) if isinstance(value, _PLAIN) or hasattr(value, "__float__") else type(value).__name__
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def _line(self: Any) -> str:
    parts = [f"{name}={_said(value)}" for name, value in _fields(self).items()]
    more = f", and {len(parts) - 8} more" if len(parts) > 8 else ""
    return f"<{type(self).__name__}: {', '.join(parts[:8])}{more}>"


def _table(self: Any) -> str:
    fields = _fields(self)
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(_said(value))}</td></tr>" for name, value in fields.items())
    frame = next((one for one in fields.values() if type(one).__name__ == "DataFrame" and len(one)), None)
    shown = "" if frame is None else frame.to_html(max_rows=10, max_cols=12, index=False)
    return f"<p>{type(self).__name__}</p><table>{rows}</table>{shown}"


@brief
class Answer(dict[str, Any]):
    """The fields of a command's document, as a value."""
