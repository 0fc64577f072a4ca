"""Every number a report shows, in one list: what it is, its interval or why there is none, its unit, kind and source.

A view shows a number only through `Ledger.show`, which numbers it, renders it and links it to its line of the ledger,
so that no number can reach a reader without them. Numbers are numbered in the order they are first shown, which makes
the same inputs give the same page, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from costlib.figure import Figure, plain
from costlib.reporting.markup import DASH, badge, key
from costlib.reporting.numbers import between, number, unit_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["id", "what", "value", "low", "high", "reason", "unit", "kind", "source", "formula"]
"""Columns of the ledger, as a table and as CSV."""

WIDEST = 100
"""An interval wider than this factor, as two busy runs can give, is told in words and drawn to the edge of the axis."""


@dataclass(frozen=True)
class Html:
    """A piece of a report; JupyterLab and the publisher render it, `str()` is its markup."""

    text: str

    def _repr_html_(self) -> str:
        # JupyterLab would typeset what stands between two dollar signs as mathematics.
        return f'<div class="tex2jax_ignore mathjax_ignore">{self.text}</div>'

    def __str__(self) -> str:
        return self.text


def spread(figure: Figure) -> tuple[float, float] | None:
    """The ends of the interval, where there is one."""
    if figure.low is None or figure.high is None:
        return None
    return float(figure.low), float(figure.high)


def wide(figure: Figure) -> bool:
    """Whether the ends of the interval are further apart than a factor of `WIDEST`."""
    ends = spread(figure)
    return ends is not None and ends[0] > 0 and ends[1] / ends[0] > WIDEST


def interval(figure: Figure) -> str:
    """The 95 % interval in words; nothing where there is none or it adds nothing to the number."""
    if figure.low is None or figure.high is None:
        return ""
    if wide(figure):
        return f"interval over {WIDEST}-fold"
    return between(figure.low, figure.high, figure.unit, figure.value)


def kinds_key() -> Html:
    """The key to the letters, shown once per report."""
    return Html(key())


class Ledger:
    """The figures of one report, numbered as they are first shown."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, Figure], str] = {}

    def add(self, what: str, figure: Figure) -> str:
        """List a figure under the words that say what it is; returns its id. The same again keeps its id."""
        return self._ids.setdefault((what, figure), f"n{len(self._ids) + 1}")

    def words(self, figure: Figure) -> str | None:
        """What a figure is already listed as."""
        return next((what for what, listed in self._ids if listed == figure), None)

    def show(self, what: str, figure: Figure, *, unit: bool = True, kind: bool = True, bounds: bool = True) -> str:
        """Markup of one number, linked to the ledger; `unit`, `kind`, `bounds` leave out what a header says."""
        identity = self.add(what, figure)
        if figure.value is None:
            why = escape(figure.reason or "")
            return f'<a class="n unknown" data-n="{identity}" href="#{identity}" title="{why}">{DASH}</a>'
        shown = number(figure.value, figure.unit) + (unit_text(figure.unit, figure.value) if unit else "")
        text = f'<a class="n" data-n="{identity}" href="#{identity}">{escape(shown)}</a>'
        between = interval(figure)
        if bounds and between:
            text += f' <span class="interval" data-n="{identity}">{escape(between)}</span>'
        return text + (f" {badge(figure.kind)}" if kind else "")

    def frame(self) -> pd.DataFrame:
        """One row per figure, columns as in `COLUMNS`."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=COLUMNS)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per figure with JSON types; money keeps its digits as text."""
        return [{"id": identity, "what": what} | as_json(figure) for (what, figure), identity in self._ids.items()]

    def html(self) -> Html:
        """The ledger as the last table of a report, folded away until a number is followed to it."""
        lines = []
        for (what, figure), identity in self._ids.items():
            value = DASH if figure.value is None else escape(plain(figure.value))
            known = figure.low is not None and figure.high is not None
            ends = f"{plain(figure.low or 0)} to {plain(figure.high or 0)}" if known else ""
            if known and figure.reason:
                ends += f", {figure.reason}"
            lines.append(
                f'<tr id="{identity}"><th scope="row">{identity[1:]}</th><td>{escape(what)}</td>'
                f'<td class="num">{value}</td>'
                f"<td>{escape(ends or figure.reason or 'no interval was given')}</td><td>{escape(figure.unit)}</td>"
                f"<td>{figure.kind}</td><td>{escape(figure.source)}</td></tr>"
            )
        heads = ("No.", "What", "Value", "95 % interval or range, or why there is none", "Unit", "Kind", "Source")
        return Html(
            f'<details class="ledger" id="ledger"><summary>All {len(lines)} numbers of this report, with unit, '
            f"interval, kind and source</summary>{scrolling(heads, lines, 'small')}</details>"
            f'<p class="print-only">The ledger of all {len(lines)} numbers is in ledger.csv, and in this page on a '
            "screen.</p>"
        )


def scrolling(heads: Sequence[str], rows: Sequence[str], style: str = "") -> str:
    """A plain table in a frame that scrolls sideways on a narrow screen."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="scroll" tabindex="0"><table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def as_json(figure: Figure) -> dict[str, Any]:
    """A figure as a mapping with JSON types and the ledger's names; money keeps its digits as text."""
    held = {name: _plain_json(getattr(figure, name)) for name in COLUMNS[2:-1]}
    return held | {"reason": figure.reason or (None if figure.low is not None else "no interval was given")}


def from_json(held: Mapping[str, Any]) -> Figure:
    """The figure that `as_json` wrote."""
    value, low, high = (None if held[name] is None else Decimal(str(held[name])) for name in ("value", "low", "high"))
    return Figure(value, held["unit"], held["kind"], held["source"], low, high, held["reason"])


def _plain_json(value: object) -> object:
    if value is None or isinstance(value, (int, float, str)):
        return value
    return str(value)
