"""What every command shares: its options, JSON answers, terminal tables and progress bars."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from costlib.cli.screen import raw
from costlib.errors import bad
from costlib.figure import plain
from costlib.progress import Step
from costlib.redact import redact_all, shown, visible

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Folder of measurements [default: data/store].")]
Provider = Annotated[str | None, typer.Option(help="API provider, e.g. anthropic; needed where several offer a model.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda[:n] [default: the GPU when there is one].")]
RateDevice = Annotated[str | None, typer.Option("--device", help="Device of data/rates.csv, e.g. 'H100 SXM'.")]
PrefillSpeed = Annotated[float | None, typer.Option("--prefill-speed", help="Prompt tokens/s of the whole batch.")]
DecodeSpeed = Annotated[float | None, typer.Option("--decode-speed", help="New tokens/s of the whole batch.")]
RateKind = Annotated[str, typer.Option(help="on_demand, spot, reserved_1y, reserved_3y or owned.")]
RateProvider = Annotated[str | None, typer.Option(help="Provider of the rate [default: median of all].")]
UsdPerHour = Annotated[float | None, typer.Option(help="$ per hour of one device, instead of --device.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="FIELD=COLUMN of a log whose export is not recognised; again for each field."),
]
AsOf = Annotated[
    str | None, typer.Option(help="Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot.]")
]


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
        return {str(key): plain_types(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain_types(inner) for inner in value]
    if type(value).__name__ == "DataFrame":
        return [plain_types(row) for row in value.to_dict("records")]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item"):
        return plain_types(value.item())
    return str(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a card; the first column is text, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


Card = Iterator[dict[str, Any] | Table | str]
"""What a command says: the JSON document first, then the tables and lines of its card."""


def tell(card: Card, as_json: bool) -> None:
    """Print the document as one JSON line, or the rest of the card."""
    document = next(card)
    if as_json:
        answer(document, True, print)  # type: ignore[arg-type]
        return
    for part in card:
        if isinstance(part, Table):
            table(part.title, list(part.columns), [list(row) for row in part.rows], part.caption)
        else:
            print(part)


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def answer(document: dict[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """Print the document as one JSON line, or let `show` draw it."""
    if as_json:
        text = json.dumps(redact_all(plain_types(document)), allow_nan=False, ensure_ascii=False)
        print(visible(text), file=raw(sys.stdout))  # its values are blotted, the names of its fields stay
    else:
        show()


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


def table(title: str, columns: list[str], rows: list[list[str]], caption: str = "") -> None:
    """Draw a table on stdout; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=shown(title), caption=shown(caption) or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(shown(column), justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row))
    Console(file=raw(sys.stdout), markup=False).print(table)


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


def names(text: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def counts(field: str, text: str) -> list[int]:
    """Whole numbers of a comma-separated list; raises `InputError` naming `field`."""
    counts = []
    for part in names(text):
        if not part.isdecimal():
            raise bad(field, part, "whole numbers separated by commas")
        counts.append(int(part))
    return counts


def json_object(field: str, text: str | None) -> dict[str, Any]:
    """The JSON object of an option, empty where it was not given; raises `InputError` naming `field`."""
    found: Any = "no JSON"
    with suppress(ValueError, RecursionError):
        found = json.loads(text or "{}")
    if not isinstance(found, dict):  # which is not shown: it may hold a key
        raise bad(field, found if found == "no JSON" else type(found).__name__, "a JSON object, e.g. '{\"top_p\": 1}'")
    return found


def columns_of(texts: list[str] | None) -> dict[str, str]:
    """The fields and columns of `--column FIELD=COLUMN`."""
    columns = {}
    for text in texts or ():
        name, _, source = text.partition("=")
        if not (name and source):
            raise bad("column", text, "FIELD=COLUMN")
        columns[name] = source
    return columns
