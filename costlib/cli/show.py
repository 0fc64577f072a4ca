"""What every command shares: its options, JSON answers, terminal tables and progress bars."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.cli.screen import raw
from costlib.figure import plain
from costlib.output import UnstoredWarning
from costlib.progress import Step
from costlib.redact import redact_all, shown, visible


def plain_types(value: Any) -> Any:
    """JSON types: money as decimal strings, unknown as null, tables as lists of rows."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_types(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain_types(_like(value, str(key), inner)) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain_types(inner) for inner in value]
    if type(value).__name__ == "DataFrame":
        return [plain_types(row) for row in value.to_dict("records")]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item"):
        return plain_types(value.item())
    return str(value)


def _like(row: dict[Any, Any], name: str, end: Any) -> Any:
    """An end of an interval as exact as what it is of: that of money is money, to the same decimals."""
    money = row.get(name.removesuffix("_low").removesuffix("_high")) if name.endswith(("_low", "_high")) else None
    if not isinstance(money, Decimal) or not isinstance(end, float) or not math.isfinite(end):
        return end
    return Decimal(end).quantize(money)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a card; the first column is text, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


Card = Iterator[dict[str, Any] | Table | str]
"""What a command says: the JSON document first, then the tables and lines of its card."""


@contextmanager
def unstored() -> Iterator[list[str]]:
    """What was said of rows that the store did not take; other warnings are shown as ever."""
    with warnings.catch_warnings():
        said: list[str] = []
        shows = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, UnstoredWarning):
                said.append(str(message))
            else:
                shows(message, category, *where, **more)

        warnings.simplefilter("always", UnstoredWarning)
        warnings.showwarning = note
        yield said


def tell(card: Card, as_json: bool, unstored: Sequence[str] = ()) -> None:
    """Print the document as one JSON line, or the rest of the card; then what the store did not take."""
    document = next(card)
    for text in unstored:
        print(f"costlib: {text}", file=sys.stderr)
    if as_json:
        if unstored and isinstance(document, dict):
            document = document | {"unstored": "; ".join(unstored)}
        text = json.dumps(redact_all(plain_types(document)), allow_nan=False, ensure_ascii=False)
        print(visible(text), file=raw(sys.stdout))  # its values are blotted, the names of its fields stay
        return
    for part in card:
        if isinstance(part, Table):
            _draw(part)
        else:
            print(part)


def _draw(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Drawn

    left: Any = {"title_justify": "left", "caption_justify": "left"}
    drawn = Drawn(title=shown(table.title), caption=shown(table.caption) or None, **left)
    for place, column in enumerate(table.columns):
        drawn.add_column(shown(column), justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(shown, row))
    Console(file=raw(sys.stdout), markup=False).print(drawn)


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


@contextmanager
def watching(as_json: bool) -> Iterator[Callable[[str], None]]:
    """A callable that draws progress on stderr: one bar per stage, and the step under way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=raw(sys.stderr))
    stages: dict[str, Any] = {}
    if not console.is_terminal:

        def line(text: str) -> None:
            counted = f"[{text.stage} {text.done}/{text.total}] " if isinstance(text, Step) else ""
            print(f"{counted}{text}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[stage]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=as_json) as bars:

        def draw(text: str) -> None:
            said = shown(text)
            if isinstance(text, Step):
                if text.stage not in stages:
                    stages[text.stage] = bars.add_task("", total=text.total, stage=shown(text.stage))
                bars.update(stages[text.stage], completed=text.done, total=text.total, description=said)
            else:
                bars.console.print(said, markup=False, highlight=False)

        yield draw


def remarks(notes: Sequence[str], unpriced: Any) -> Iterator[str]:
    """What a reader of a bill must know, and the rows of its table that have no price."""
    yield from (f"  note: {note}" for note in notes)
    for row in unpriced.to_dict("records"):
        yield f"  not priced: {row['rows']:,} rows of {row['model']}, the first {row['first_row']}: {row['reason']}"


def number(row: Any, name: str, unit: str = "", scale: float = 1.0) -> str:
    """A number with its interval, or a dash; the reason stands in a column of its own."""
    value = row.get(name)
    if value is None or value != value or type(value).__name__ == "NAType":
        return "-"
    text = f"{plain(float(value) * scale)}{unit}"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None or low != low or high is None or high != high:
        return text
    return f"{text} [{plain(float(low) * scale)}, {plain(float(high) * scale)}]"


def usd(value: Any) -> str:
    """US dollars as a person reads them: cents from a dollar on, all that counts below: no bill is nothing."""
    if value is None or value != value:
        return "-"
    amount = Decimal(str(value))
    digits = 2 if abs(amount) >= 1 or not amount else max(8, 4 - amount.adjusted())
    whole, _, decimals = f"{amount:,.{digits}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
