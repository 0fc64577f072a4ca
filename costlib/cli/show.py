"""The one printer: a document as JSON, or the tables and lines of its card, by what columns are declared to mean."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from costlib.reporting.numbers import NARROW, header_unit, is_share, unit_text
from costlib.reporting.numbers import number as written
from costlib.tables.hints import Hints
from costlib.tables.schema import is_null

_NAME = re.compile(r"{([\w. ]+?)(?::([\w/]+))?(?:\|([^}]*))?}")
"""`{path}`, `{path:unit}` or `{path|what is said where it is unknown}`."""
_WIDE, _SIDE = 22, 30
"""Letters of a row that stands upright, and of its labels."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A table of a card: `columns` of the `rows` of a document by name, those that a row has.

    `a+b` writes two columns into one cell, `a:USD` (or `a:decimals4`) gives one a unit, `a=My_words` a name. `upright`,
    rows stand beside each other, headed by those columns. `said` are columns of sentences, which follow the table, each
    once, as do the `hints`: what flatters a row, and what to do next. A `line` is written for each row in the place of
    a table.
    """

    rows: str = ""
    columns: str = ""
    title: str = ""
    caption: str = ""
    upright: str = ""
    said: str = ""
    line: str = ""
    hints: Hints = ()
    where: Callable[[dict[str, Any], Mapping[str, Any]], object] = lambda row, document: True
    order: Callable[[dict[str, Any]], Any] | None = None
    most: int = 40


Card = Sequence[Part | str]
"""Tables, and lines such as `note: {notes}`: one for each note, none where what it names is unknown."""


def tell(document: Mapping[str, Any], card: Card, beside: Mapping[str, Any], as_json: bool) -> None:
    """Print the document as one JSON line, or its card, whose lines may name what stands `beside` the document, too."""
    if as_json:
        text = json.dumps(redact_all(plain_types(document)), allow_nan=False, ensure_ascii=False)
        print(visible(text), file=raw(sys.stdout))  # its values are blotted, the names of its fields stay
        return
    known = {**document, **beside}
    for part in card:
        for line in _lines(part, known) if isinstance(part, str) else _part(part, known):
            print(line)


def _part(part: Part, document: Mapping[str, Any]) -> Iterator[str]:
    rows = [row for row in rows_of(at(document, part.rows)) if part.where(row, document)]
    rows = sorted(rows, key=part.order) if part.order else rows
    if part.line:
        yield from dict.fromkeys(line for row in rows for line in _lines(part.line, {**document, **row}))
        return
    columns = [_Column(text, rows) for text in part.columns.split()]
    columns = [one for one in columns if one.known]
    if rows and len(columns) > 1:
        heads = [_text_of(row, part.upright.split()) for row in rows]
        title, caption = ("; ".join(_pieces(text, document)) for text in (part.title, part.caption))
        if part.upright:
            side = max(1, (shutil.get_terminal_size().columns - _SIDE) // _WIDE)
            for first in range(0, len(rows), side):
                lines = [[one.head, *(one.cell(row) for row in rows[first : first + side])] for one in columns]
                is_last = first + side >= len(rows)
                _draw("" if first else title, ["", *heads[first : first + side]], lines, caption if is_last else "")
        else:
            lines = [[one.cell(row) for one in columns] for row in rows[: part.most]]
            _draw(title, [one.head for one in columns], lines, caption, [one.is_text for one in columns])
            heads = [one[0] for one in lines]
            if len(rows) > part.most:
                yield f"  and {len(rows) - part.most} more; --json lists them"
        yield from _sentences(part, columns, dict(zip(heads, rows, strict=False)))


def _sentences(part: Part, columns: Sequence[_Column], rows: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """What the rows say in words, each sentence once, with the rows it is about where it is not about all."""
    found: dict[str, list[str]] = {}
    for head, row in rows.items():
        texts = [f"{one.head} unknown: {why}" for one in columns if (why := one.reason(row))]
        texts += [f"note: {said}" for name in part.said.split() if (said := _text_of(row, [name]))]
        failed = row.get("status", "ok") != "ok"
        hints = [one for one in part.hints if not (failed and one[0] == "flattered by")]
        texts += [f"{kind}: {text(row)}" for kind, holds, text in hints if holds(row)]
        for text in dict.fromkeys(texts):
            found.setdefault(text, []).append(head)
    for text, where in found.items():
        about, _, rest = text.partition(": ")
        yield f"  {text}" if len(where) == len(rows) else f"  {about} ({', '.join(where)}): {rest}"


class _Column:
    """A column of a card: its names, what heads it, and whether any row has it."""

    def __init__(self, text: str, rows: Sequence[Mapping[str, Any]]) -> None:
        from costlib.tables.columns import described

        names, _, label = text.partition("=")
        names, _, unit = names.partition(":")
        self.names = names.split("+")
        values = [at(row, name) for row in rows for one in self.names for name in one.split("/")]
        self.is_text = next((isinstance(one, (str, bool, list)) for one in values if not is_null(one)), True)
        self.unit = unit or described(self.names[0]).unit
        none = (0, "") if self.unit == "bytes" else ("",)
        self.known = any(not is_null(one) and one not in none for one in values) or any(map(self.reason, rows))
        declared = label.replace("_", " ") or described(self.names[0]).label
        usd = self.unit.startswith("USD")
        after = unit_text(self.unit) if usd else f", {header_unit(self.unit)}"
        is_said = label or is_share(self.unit) or self.unit in ("bytes", "by row", "ratio", "decimals4", "")
        word = re.split(r"\W+", after.strip(", "))[-1 if usd else 0]
        is_said = is_said or word in re.split(r"\W+", declared.lower())
        self.head = declared if is_said else f"{declared}{after}"

    def cell(self, row: Mapping[str, Any]) -> str:
        """What is written of a row."""
        return _text_of(row, self.names, self.unit) or "-"

    def reason(self, row: Mapping[str, Any]) -> str:
        """Why a row has not this number, where it says so."""
        if not is_null(at(row, self.names[0])):
            return ""
        why = row.get(f"{self.names[0]}_reason")
        if not isinstance(why, str) and isinstance(codes := row.get("reasons"), str):
            from costlib.measure.device import REASON_CODES

            code = json.loads(codes).get(self.names[0], "")
            why = REASON_CODES.get(code, code)
        return why if isinstance(why, str) else ""


def _text_of(row: Mapping[str, Any], names: Sequence[str], unit: str = "") -> str:
    """Names in one cell; of `a/b` the first that is known."""
    texts = (next(filter(None, (_text(row, name, unit) for name in one.split("/"))), "") for one in names)
    return " ".join(filter(None, texts))


def _text(row: Mapping[str, Any], name: str, unit: str = "") -> str:
    """A value as a person reads it, with its interval; nothing where it is unknown."""
    from costlib.tables.columns import described

    value = at(row, name)
    if isinstance(value, Mapping) and "value" in value:
        return _text({"it": value["value"], "it_low": value.get("low"), "it_high": value.get("high")}, "it", unit)
    unit = unit or described(name.rpartition(".")[2]).unit
    unit = str(row.get("unit", "")) if unit == "by row" else unit
    if is_null(value):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value[:5]))
    if isinstance(value, (str, date)) or not (hasattr(value, "__float__") or hasattr(value, "base")):
        return str(value)
    low, high = (at(row, f"{name}{end}") for end in ("_low", "_high"))
    if hasattr(value, "base"):
        low, high = (value.low, value.high) if value.low < value.high else (None, None)
        value = value.base
    if not is_null(low) and not is_null(high):
        ends = ", ".join(re.sub("[$%]", "", _number(end, unit)) for end in (low, high))
        return f"{_number(value, unit)} [{ends}]"
    return _number(value, unit, exact=isinstance(value, Decimal))


def _number(value: Any, unit: str, exact: bool = False) -> str:
    if exact and (unit.startswith("USD") or not unit):
        return f"{'$' if unit else ''}{usd(value)}"
    if unit.startswith("decimals"):
        return f"{float(value):.{unit.removeprefix('decimals')}f}"
    if unit.startswith("USD") or is_share(unit) or unit == "bytes":
        return written(float(value), unit).replace(NARROW, " " if unit == "bytes" else "").replace("\u2212", "-")
    return f"{value:,}" if isinstance(value, int) else plain(float(value))


def usd(value: Decimal) -> str:
    """US dollars as a person reads them: cents from a dollar on, all that counts below: no bill is nothing."""
    digits = 2 if abs(value) >= 1 or not value else max(8, 4 - value.adjusted())
    whole, _, decimals = f"{value:,.{digits}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def _lines(template: str, document: Mapping[str, Any]) -> Iterator[str]:
    """The line with the values it names; for each item of a list it is about, and not at all where one is unknown."""
    texts: list[str] = [template]
    named = list(_NAME.finditer(template))
    for found in named:
        parent, _, name = found[1].rpartition(".")
        holder = at(document, parent)
        value = at(holder, name)
        if isinstance(value, Mapping):
            items = [f"{key}: {inner}" for key, inner in value.items()]
        elif isinstance(value, (list, tuple)):
            items = [str(item) for item in value]
        else:
            items = [_text(holder if isinstance(holder, Mapping) else {name: value}, name, found[2] or "")]
        items = list(filter(None, items)) or ([found[3]] if found[3] is not None else [])
        items = items if len(named) == 1 or not items else [", ".join(items)]
        texts = [text.replace(found[0], item, 1) for text in texts for item in items]
    yield from (f"  {text}" for text in texts)


def _pieces(template: str, document: Mapping[str, Any]) -> Iterator[str]:
    """The pieces of a caption whose values are known."""
    for piece in template.split("; "):
        yield from (line.strip() for line in _lines(piece, document))


def at(value: Any, path: str) -> Any:
    """What a path such as `fleet.replicas` or `rows.0.device` leads to; None where it leads nowhere."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for key in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(key)
        elif key.isdigit():
            items = value if isinstance(value, (list, tuple)) else rows_of(value)
            value = items[int(key)] if int(key) < len(items) else None
        else:
            value = getattr(value, key, None)
    return value


def rows_of(value: Any) -> list[dict[str, Any]]:
    """Rows of a frame, of a list, of one value with fields, or of values by name."""
    if type(value).__name__ == "DataFrame":
        return [{str(key): inner for key, inner in row.items()} for row in value.to_dict("records")]
    if isinstance(value, (list, tuple)):
        return [row for one in value for row in rows_of(one)]
    if isinstance(value, Mapping) and value and all(isinstance(inner, Mapping) for inner in value.values()):
        return [{"key": name, **inner} for name, inner in value.items()]
    if dataclasses.is_dataclass(value):
        return [{one.name: getattr(value, one.name) for one in dataclasses.fields(value)}]
    return [dict(value)] if isinstance(value, Mapping) else [{"it": value}] if isinstance(value, (str, Path)) else []


def _draw(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, is_text: Sequence[bool] = ()
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=shown(title) or None, caption=shown(caption) or None, title_justify="left",
                  caption_justify="left")  # fmt: skip
    for place, head in enumerate(heads):
        left = is_text[place] if is_text else place == 0
        table.add_column(shown(head), justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row))
    Console(file=raw(sys.stdout), markup=False, highlight=False).print(table)


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
    if isinstance(value, Mapping):
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


def _like(row: Mapping[Any, Any], name: str, end: Any) -> Any:
    """An end of an interval as exact as what it is of: that of money is money, to the same decimals."""
    money = row.get(name.removesuffix("_low").removesuffix("_high")) if name.endswith(("_low", "_high")) else None
    if not isinstance(money, Decimal) or not isinstance(end, float) or not math.isfinite(end):
        return end
    return Decimal(end).quantize(money)


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
