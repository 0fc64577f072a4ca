"""The pieces of a page as HTML: a number with its line of the ledger, tables, key figures, the ledger itself."""

from __future__ import annotations

import hashlib
import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from costlib.figure import KINDS, plain
from costlib.reporting.numbers import WORDS, between, header_unit, listed, number, places_of, unit_text
from costlib.tables.columns import COLUMNS, RefusedError, helper, known
from costlib.tables.expression import evaluate, filled, inputs, sums
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

DASH = "\N{EN DASH}"
LOOSE = re.compile(r"(?<![\w.\-])\d[\d,.]*(?![\w\-])")
"""A number typed into a text."""
CITED = (
    "source",
    "meaning",
    "note",
    "reason",
    "about",
    "gate_reason",
    "question",
    "expected",
    "answer",
    "baseline_answer",
)
"""Columns of words whose numbers are their source's and not the page's."""

KIND_MEANINGS = {
    "measured": "measured by costlib",
    "quoted": "published by someone else, source given",
    "assumed": "an assumption of the study",
    "derived": "calculated from the others",
}
_WHY = {
    "measured": "no interval was recorded",
    "quoted": "a published figure: exact, until it changes",
    "assumed": "stated; ranges stand with the assumptions",
    "derived": "calculated from numbers without a range",
}


@dataclass(frozen=True)
class Number:
    """One number of a page, as its line of the ledger holds it. `value` None is unknown, and `reason` says why."""

    what: str
    value: float | None
    low: float | None
    high: float | None
    reason: str | None
    unit: str
    kind: str
    source: str
    formula: str = ""

    @property
    def id(self) -> str:
        """The same number has the same id in every run."""
        return f"n{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    def row(self) -> dict[str, Any]:
        """The line of the ledger."""
        return {"id": self.id, **asdict(self)}

    def text(self, places: int | None = None) -> str:
        """The number as a person writes it, without its unit."""
        return DASH if self.value is None else number(self.value, self.unit, places)

    def ends(self, places: int | None = None) -> str:
        """Its interval or range in words; nothing where there is none or it adds nothing."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        return between(self.low, self.high, self.unit, self.value, places)


def the_number(name: str, row: Mapping[str, Any], what: str, source: str) -> Number:
    """The number `name` of a row, with what its row and its declaration say of it.

    Raises `RefusedError` where the declared formula does not give the value that the row holds.
    """
    about, value = known(name), _float(row.get(name))
    unit = str(row.get("unit") or "") if about.unit == "by row" else about.unit
    kind = _first(row.get(f"{name}_kind"), about.kind, row.get("kind")) or "derived"
    said = None if kind == "derived" else row.get("source")
    formula, held = about.formula, {one: _float(row.get(one)) for one in inputs(about.formula)} if about.formula else {}
    if value is not None and held and all(one is not None for one in held.values()) and not sums(formula):
        again = float(evaluate(formula, held))
        if not math.isclose(again, value, rel_tol=1e-9, abs_tol=0.02 if unit.startswith("USD/m") else 1e-12):
            raise RefusedError(f"{name} is {value} in the frame, but {formula} gives {again}; derive it again")
        formula += f" = {filled(formula, {k: v for k, v in held.items() if v is not None})}"
    low, high = (_float(row.get(f"{name}_{end}")) for end in ("low", "high"))
    both = value is not None and low is not None and high is not None
    why = _first(row.get(f"{name}_reason"), row.get("reason") if value is None else None)
    if not both and not why:
        why = "unknown" if value is None else "a count" if unit == "count" else _WHY.get(kind, "no interval was given")
    return Number(
        what, value, low if both else None, high if both else None, why or None, unit, kind,
        _first(row.get(f"{name}_source"), about.source, said, source), formula,
    )  # fmt: skip


def _float(value: Any) -> float | None:
    if isinstance(value, str) or is_null(value):
        return None
    if isinstance(value, (Decimal, complex)):
        raise RefusedError(f"{value!r} is a {type(value).__name__}; a number of a frame is a float")
    return float(value)


def _first(*found: Any) -> str:
    return next((text for text in found if isinstance(text, str) and text), "")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def numeric(frame: pd.DataFrame) -> list[str]:
    """The columns of numbers that a reader sees, without those that qualify others."""
    return [str(c) for c in frame.select_dtypes("number") if not helper(str(c), frame)]


def link(found: Number, text: str) -> str:
    """A number that leads to its line of the ledger; what it says on a screen before it is followed."""
    style = "n" if found.value is not None else "n unknown"
    why = f' title="{escape(found.reason or "")}"' if found.value is None else ""
    return f'<a class="{style}" data-n="{found.id}" href="#{found.id}"{why}>{escape(text)}</a>'


def interval(found: Number, places: int | None = None) -> str:
    """The interval as markup, or nothing."""
    text = found.ends(places)
    return f' <span class="interval" data-n="{found.id}">{escape(text)}</span>' if text else ""


def badge(kind: str) -> str:
    """The kind as a letter in a frame of its own shape, spelt out for a screen reader and on hover."""
    return f'<abbr class="kind {kind}" title="{kind}: {KIND_MEANINGS.get(kind, "")}">{kind[:1].upper()}</abbr>'


def key() -> str:
    """The key to the letters, shown once a page."""
    items = "".join(f"<li>{badge(kind)} <b>{kind}</b>, {KIND_MEANINGS[kind]}</li>" for kind in KINDS)
    return f'<ul class="key" aria-label="Kinds of numbers">{items}</ul>'


def card(found: Number) -> str:
    """A key figure in a box."""
    value, per = found.text(), unit_text(found.unit, found.value).strip()
    return (
        f'<li class="card"><span class="what">{escape(found.what)} {badge(found.kind)}</span>'
        f'<span class="value">{link(found, value)} <span class="per">{escape(per)}</span></span>'
        f"{interval(found) or _small(found.reason if found.value is None else '')}</li>"
    )


def _small(text: str | None) -> str:
    return f'<span class="interval">{escape(text)}</span>' if text else ""


class Table:
    """A frame as a table: numbers aligned, with unit and kind in the head where a column has one of them."""

    def __init__(
        self, frame: pd.DataFrame, columns: Sequence[str] | None, total: Mapping[str, Any] | None,
        digits: Mapping[str, int], source: str,
    ) -> None:  # fmt: skip
        left_out = ("kind", "source", "unit", "note", "reason")
        every = [str(c) for c in frame if not helper(str(c), frame) and c not in left_out]
        self.columns = list(columns or every)
        missing = [name for name in self.columns if name not in frame]
        if missing:
            raise RefusedError(f"{missing[0]!r} is no column of the frame; there are {', '.join(map(str, frame))}")
        self.numeric, rows = numeric(frame[self.columns]), records(frame)
        self.ties = {}
        if total is not None:
            total = {str(name): value for name, value in dict(total).items()}
            added = [name for name in self.numeric if name in total]
            self.ties = {name: (float(total[name]), frame[name].dropna().tolist()) for name in added}
            for name, (said, parts) in self.ties.items():
                if abs(math.fsum(parts) - said) > 0.02:
                    raise RefusedError(f"{name} adds up to {math.fsum(parts):.2f}, but its total is {said:.2f}")
            rows.append({self.columns[0]: "Total", **total})
        self.rows, self.total = rows, total is not None
        self.numbers = [self._numbers(row, source) for row in rows]
        self.kinds = {c: {one[c].kind for one in self.numbers if c in one} for c in self.numeric}
        self.places = {c: places_of(frame[c].dropna().tolist(), known(c).unit) for c in self.numeric} | dict(digits)
        self.notes: list[str] = []

    def _numbers(self, row: Mapping[str, Any], source: str) -> dict[str, Number]:
        what = row[self.columns[0]]
        return {c: the_number(c, row, f"{what} · {known(c).label}", source) for c in self.numeric if c in row}

    def html(self, caption: str, plain_caption: str) -> str:
        """The markup, with reasons of what is unknown as notes below."""
        heads = "".join(self._head(c) for c in self.columns)
        body = "".join(
            f"<tr{' class=total' if self.total and row is self.rows[-1] else ''}>"
            f"{''.join(self._cell(row, one, c) for c in self.columns)}</tr>"
            for row, one in zip(self.rows, self.numbers, strict=True)
        )
        notes = "".join(f"<li><sup>{letter(i)}</sup> {escape(note)}</li>" for i, note in enumerate(self.notes))
        return (
            f'<div class="block"><div class="scroll" tabindex="0" role="region" aria-label="{escape(plain_caption)}">'
            f"<table><caption><span>{caption}</span></caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
            + (f'<ul class="notes">{notes}</ul>' if notes else "")
            + "</div>"
        )

    def _head(self, name: str) -> str:
        label = COLUMNS[name].label if name in COLUMNS else name.replace("_", " ").capitalize()
        if name not in self.numeric:
            return f'<th scope="col">{escape(label)}</th>'
        kinds, start = self.kinds[name], label.rpartition(" ")
        mark = f" {badge(next(iter(kinds)))}" if len(kinds) == 1 else ""
        unit = header_unit(known(name).unit) if known(name).unit not in ("by row", "count") else ""
        return (
            f'<th scope="col" class="num">{escape(start[0])} <span class="whole">{escape(start[2])}{mark}</span>'
            f'<span class="unit">{escape(unit)}</span></th>'
        )

    def _cell(self, row: Mapping[str, Any], numbers: Mapping[str, Number], name: str) -> str:
        first = name == self.columns[0]
        if name not in self.numeric:
            value = row.get(name)
            if isinstance(value, (Decimal, complex)):
                raise RefusedError(f"{name} holds {type(value).__name__}; a number of a frame is a float")
            text = "" if value is None or value != value else escape(str(value))
            text = f'<span class="cite">{text}</span>' if name in CITED and text else text
            return f'<th scope="row">{text}</th>' if first else f"<td>{text}</td>"
        found = numbers.get(name)
        if found is None:
            return '<td class="num"></td>'
        mixed = known(name).unit == "by row"
        places = None if mixed and abs(found.value or 0) >= 1000 else self.places[name]
        text = link(found, found.text(places))
        if found.value is None:
            if found.reason not in self.notes:
                self.notes.append(found.reason or "unknown")
            text += f"<sup>{letter(self.notes.index(found.reason or 'unknown'))}</sup>"
        elif mixed:
            text += escape(unit_text(found.unit, found.value))
        mark = f" {badge(found.kind)}" if len(self.kinds[name]) > 1 else ""
        tag, end = ('th scope="row" class="num"', "th") if first else ('td class="num"', "td")
        return f"<{tag}>{text}{mark}{interval(found, places)}</{end}>"


def fill(text: str, row: Mapping[str, Any], source: str, *, kinds: bool = True) -> tuple[str, list[Number]]:
    """A sentence with the numbers and words of a row as markup, and its numbers; see `Page.say`.

    kinds: whether a number shows the letter of its kind
    """
    subjects = [str(value) for value in row.values() if isinstance(value, str)][:1]
    out: list[str] = []
    found: list[Number] = []
    for literal, name, form, _ in string.Formatter().parse(text):
        if loose := LOOSE.search(literal):
            raise RefusedError(f"the number {loose[0]!r} is typed into the text; pass it in a row: {text!r}")
        out.append(escape(literal))
        if name is None:
            continue
        if name not in row:
            raise RefusedError(f"{{{name}}} is no column of the row; there are {', '.join(map(str, row)) or 'none'}")
        if isinstance(words := row[name], (str, list)):
            words = words if isinstance(words, str) else listed(words)
            cited = name in CITED and re.search(r"\d", words)
            out.append(f'<span class="cite">{escape(words)}</span>' if cited else escape(words))
            continue
        one = the_number(name, row, " · ".join([*subjects, known(name).label]), source)
        if one.value is None:
            raise RefusedError(f"{name} is unknown in this row ({one.reason}); choose a sentence that says so")
        found.append(one)
        shown = one.text() if form == "bare" or one.unit == "count" else one.text() + unit_text(one.unit, one.value)
        if form == "words" and one.value in range(len(WORDS)):
            shown = WORDS[int(one.value)] if "".join(out) else WORDS[int(one.value)].capitalize()
        out.append(link(one, shown) + (interval(one) if form == "range" else ""))
        if kinds and form != "words":
            out.append(f" {badge(one.kind)}")
    return "".join(out), found


def letter(place: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    found = ""
    while place >= 0:
        found = chr(ord("a") + place % 26) + found
        place = place // 26 - 1
    return found


def curve(frame: pd.DataFrame, source: str) -> tuple[str, list[Number]]:
    """A curve of many points as the range of each of its columns."""
    lines, found = [], []
    for name in numeric(frame):
        rows = [row for row in records(frame) if row[name] == row[name]]
        rows.sort(key=lambda row: float(row[name]))
        words = zip(("smallest", "largest"), [rows[0], rows[-1]] if rows else [], strict=False)
        two = [the_number(name, row, f"curve · {known(name).label}, {word}", source) for word, row in words]
        found += two
        said = " to ".join(link(one, one.text()) for one in two)
        lines.append(f"<li>{escape(known(name).label)}: {said} {escape(header_unit(known(name).unit))}</li>")
    return f"<ul>{''.join(lines)}</ul>", found


def ledger(numbers: Iterable[Number]) -> str:
    """Every number of a page, folded away until one is followed to its line."""
    lines = []
    for place, one in enumerate({one.id: one for one in numbers}.values(), 1):
        ends = f"{plain(one.low)} to {plain(one.high)}" if one.low is not None and one.high is not None else ""
        why = "; ".join(filter(None, (ends, one.reason)))
        lines.append(
            f'<tr id="{one.id}"><th scope="row">{place}</th><td>{escape(one.what)}</td>'
            f'<td class="num">{DASH if one.value is None else escape(f"{one.value:,.12g}")}</td><td>{escape(why)}</td>'
            f"<td>{escape(one.unit)}</td><td>{one.kind}</td>"
            f"<td>{escape(one.formula)}</td><td>{escape(one.source)}</td></tr>"
        )
    heads = ("No.", "What", "Value", "95 % interval or range, or why there is none", "Unit", "Kind", "How", "Source")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<details class="ledger" id="ledger"><summary>All {len(lines)} numbers of this report, with unit, interval, '
        f'kind, formula and source</summary><div class="scroll" tabindex="0" role="region" aria-label="Ledger">'
        f'<table class="small"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div></details>'
        f'<p class="print-only">The ledger of all {len(lines)} numbers is in ledger.csv, and in this page on a '
        "screen.</p>"
    )


def bare(html: str) -> str:
    """The words of a piece of markup."""
    html = re.sub(r'<span class="interval"[^>]*>(.*?)</span>', r"(\1)", html)
    return unescape(re.sub(r" ?<abbr.*?</abbr>|<[^>]+>", "", html)).strip()
