"""A page of four verbs over pandas frames and matplotlib axes; every number it shows stands in its ledger.

`say` a sentence, `table` a frame, `chart` any axes, `end` the page. What a number is (unit, kind, formula, source) is
looked up by the name of its column, see `costlib.tables.columns`; nothing here knows of models or workloads.

A cell owns what it shows: run again, in any order, its numbers take the place of those it showed before.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any

from costlib.figure import KINDS
from costlib.reporting import markup
from costlib.reporting.charts import drawing, dress, texts, theme
from costlib.reporting.look import CONTENTS, END, wrapped
from costlib.reporting.markup import Number, Table, bare, numeric, the_number
from costlib.reporting.numbers import number
from costlib.tables.columns import RefusedError, known, running_cell
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

_CURVE = 60


class Page:
    """One page being written.

    about: the line above the answer, such as the study and its date
    source: what a derived number names as its source where its row does not
    """

    def __init__(self, about: str, source: str) -> None:
        self.about, self.source, self.answer = about, source, ""
        self._cells: dict[object, tuple[int, list[Number]]] = {}
        self._ties: dict[object, list[dict[str, Any]]] = {}
        theme()

    def __repr__(self) -> str:
        return f"Page({self.about!r}: {len(self.numbers)} numbers)"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> None:
            """Say what replaces a method that a notebook of an earlier version calls."""
            raise AttributeError(f"a page has no {name!r}; it has say, table, chart and end, see notebooks/README.md")

    @property
    def numbers(self) -> list[Number]:
        """Every number that the cells show now, once."""
        return list({one.id: one for _, shown in self._cells.values() for one in shown}.values())

    def say(self, text: str, row: Mapping[str, Any] | pd.Series | None = None, **more: Any) -> None:
        """Show a sentence; `{name}` is the number, the word or the list of words `name` of `row`; no number is typed.

        text: `# ` before it makes it the answer of the page, `## ` a heading, `> ` an aside. `{name:range}` adds the
            interval, `{name:words}` writes small numbers as words, `{name:bare}` leaves the unit out
        row: a row of a frame, or a mapping
        more: further names

        Raises `RefusedError` for a digit typed into the text, a name that is not in the row and an unknown number.
        """
        level, text = re.match(r"(#{1,2} |> |)(.*)", text, re.S).groups()  # type: ignore[union-attr]
        html, found = self._fill(text, {**dict(row if row is not None else {}), **more}, kinds=level in ("", "> "))
        if level == "# ":
            self.answer = bare(html)
            html = f'<p class="eyebrow">{escape(self.about)}</p><p class="headline">{html}</p>{markup.key()}{CONTENTS}'
        elif level == "## ":
            html = f"<h2>{html}</h2>"
        else:
            html = f'<p class="caution">{html}</p>' if level else f"<p>{html}</p>"
        self._show(html, found)

    def table(
        self,
        frame: pd.DataFrame,
        caption: str,
        columns: Sequence[str] | None = None,
        *,
        total: Mapping[str, Any] | pd.Series | None = None,
        cards: bool = False,
        digits: Mapping[str, int] | None = None,
        row: Mapping[str, Any] | pd.Series | None = None,
        **more: Any,
    ) -> None:
        """Show a frame as a table, or with `cards` its first row as key figures.

        frame: one row per line; `x_low`, `x_high`, `x_reason`, `x_kind` and `x_source` qualify `x`
        caption: what the table is; may hold `{name}` of `row` as in `say`
        columns: which columns, and their order; all where None
        total: a last line; what it adds up is checked
        digits: decimals by column, where the usual ones do not fit

        Raises `RefusedError` for a column without a unit, a total that does not add up, a value that its formula does
        not give, and a `Decimal`.
        """
        frame = frame.reset_index(drop=frame.index.name is None)
        said, found = self._fill(caption, {**dict(row if row is not None else {}), **more}, kinds=False)
        if cards:
            first = markup.records(frame)[0]
            shown = [the_number(c, first, known(c).label, self.source) for c in columns or numeric(frame)]
            boxes = "".join(markup.card(one) for one in shown)
            return self._show(f'<ul class="cards" aria-label="{escape(bare(said))}">{boxes}</ul>', found + shown)
        made = Table(frame, columns, None if total is None else dict(total), digits or {}, self.source)
        ties = [
            {"what": f"{bare(said)}: {known(c).label}", "total": _exact(whole), "parts": [_exact(p) for p in parts]}
            for c, (whole, parts) in made.ties.items()
            if known(c).unit.startswith("USD")
        ]
        return self._show(made.html(said, bare(said)), found + [n for one in made.numbers for n in one.values()], ties)

    def chart(
        self,
        ax: Any,
        finding: str,
        frame: pd.DataFrame,
        row: Mapping[str, Any] | pd.Series | None = None,
        *,
        note: str = "",
        alt: str = "",
        **more: Any,
    ) -> None:
        """Show a drawing with its finding above and its numbers folded away below.

        ax: Axes, Figure or a seaborn grid; labels that are names of columns become words with their unit
        finding: what it shows, in a sentence; `{name}` of `row` as in `say`
        frame: the numbers drawn; more than 60 rows are a curve and stand in the ledger as their range
        note: how to read it
        alt: the drawing in words; "kind of chart of what by what", then the finding, where empty

        Raises `RefusedError` for a number in the drawing that is no number of `frame`.
        """
        import matplotlib.pyplot as plt

        figure = ax.figure if hasattr(ax, "figure") else ax
        words = {**dict(row if row is not None else {}), **more}
        frame = frame.reset_index(drop=frame.index.name is None)
        self._check_labels(figure.axes, frame, words)
        plt.close(figure)  # else Jupyter shows it once more
        figure = copy.deepcopy(figure)  # so that the cell of this call can run again on the same axes
        forms = [dress(each) for each in figure.axes]
        said, found = self._fill(finding, words, kinds=False)
        told = alt or f"{forms[0]}. {bare(said)}"
        name = "c" + sha256(f"{told}{frame.to_csv()}".encode()).hexdigest()[:8]
        drawn = drawing(figure, told, f"{name}w", "wide")
        if sum(len(each.texts) for each in figure.axes) <= _CURVE:  # more words than that need the width
            drawn += self._narrow(figure, told, f"{name}n")
        if len(frame) > _CURVE:
            data, numbers = markup.curve(frame, self.source)
        else:
            made = Table(frame, None, None, {}, self.source)
            data, numbers = made.html("The numbers", bare(said)), [n for one in made.numbers for n in one.values()]
        below, more_found = self._fill(note, words) if note else ("", [])
        kinds = [kind for kind in KINDS if any(one.kind == kind for one in numbers)]
        foot = f"{below} Source: {escape(self._source_of(numbers))}. Numbers: {', '.join(kinds)}.".strip()
        self._show(
            f'<figure id="{name}"><h3>{said}</h3><div class="scroll" tabindex="0" role="region" '
            f'aria-label="Chart: {escape(bare(said))}">{drawn}</div><figcaption>{foot}</figcaption>'
            f"<details><summary>The numbers in this chart</summary>{data}</details></figure>",
            [*found, *numbers, *more_found],
        )

    def _narrow(self, figure: Any, told: str, name: str) -> str:
        """The same drawing for a narrow screen."""
        from matplotlib.ticker import MaxNLocator

        figure.set_size_inches(4.4, max(figure.get_size_inches()[1], 2.6))
        for each in figure.axes:
            if each.get_xscale() == "linear" and isinstance(each.xaxis.get_major_locator(), MaxNLocator):
                each.locator_params(axis="x", nbins=3 if len(figure.axes) < 3 else 2)
        return drawing(figure, told, name, "narrow")

    def end(
        self,
        *,
        totals: Mapping[str, tuple[str, Mapping[str, Any] | pd.Series]] | None = None,
        runs: Iterable[str] = (),
        provenance: Mapping[str, str] | None = None,
        **frames: pd.DataFrame,
    ) -> None:
        """Show the ledger, and set the marker without which nothing is published.

        totals: what an index of many reports says of this one: name -> (column, row)
        runs: ids of the measurements behind the page
        provenance: what the last block of the page says beside what it knows
        frames: written as CSV beside the page, by their names
        """
        exports = {name: _plain(frame) for name, frame in frames.items()}
        rows = [one.row() for one in self.numbers]
        told = {}
        for name, (column, row) in (totals or {}).items():
            line = the_number(column, dict(row), name, self.source).row()
            told[name] = {key: value for key, value in line.items() if key not in ("id", "what", "formula")}
        facts = {
            "complete": True, "answer": self.answer, "ledger": rows, "exports": exports, "totals": told,
            "runs": sorted(set(runs)), "ties": [tie for ties in self._ties.values() for tie in ties],
            "provenance": dict(provenance or {}),
        }  # fmt: skip
        self._show(f"<h2>Every number, with its source</h2>{markup.ledger(self.numbers)}", [], facts=facts)

    # what a verb is made of -------------------------------------------------------------------------------------------

    def _fill(self, text: str, row: Mapping[str, Any], *, kinds: bool = True) -> tuple[str, list[Number]]:
        return markup.fill(text, row, self.source, kinds=kinds)

    def _source_of(self, numbers: Sequence[Number]) -> str:
        """Where the numbers of a chart come from: the page's source, or their own where none has that."""
        own = list(dict.fromkeys(one.source for one in numbers))
        if self.source in own or not own:
            return self.source
        return own[0] if len(own) == 1 else "of each number in the ledger"

    def _check_labels(self, axes: Iterable[Any], frame: pd.DataFrame, words: Mapping[str, Any]) -> None:
        """A number written in a drawing must be one of its frame."""
        values = [(value, known(c).unit) for c in numeric(frame) for value in frame[c].dropna()]
        good = {text for value, unit in values for places in (None, 0, 1, 2)
                for text in re.findall(r"\d[\d,.]*", number(float(value), unit, places))}  # fmt: skip
        named = " ".join(map(str, [*frame.select_dtypes(exclude="number").to_numpy().ravel(), *words.values()]))
        for label in texts(axes):
            for loose in markup.LOOSE.findall(label):
                if loose not in good and loose not in named:
                    raise RefusedError(
                        f"the chart says {label!r}, but {loose} is no number of the frame that was passed"
                    )

    def _show(
        self,
        html: str,
        found: Sequence[Number],
        ties: Sequence[dict[str, Any]] = (),
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Display, in a loop or an `if` too; the ledger follows what the running cell shows in this run."""
        from IPython.display import display

        cell, run = running_cell()
        if self._cells.get(cell, (None,))[0] != run:
            self._cells[cell], self._ties[cell] = (run, []), []
        self._cells[cell][1].extend(found)
        self._ties[cell].extend(ties)
        display(  # type: ignore[no-untyped-call]
            {"text/html": wrapped(html), "text/plain": bare(html), **({END: facts} if facts else {})}, raw=True
        )


def _exact(value: float) -> str:
    return str(Decimal(repr(round(float(value), 6))))


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON has them, nulls as None."""
    frame = frame.reset_index(drop=frame.index.name is None)
    return [{key: _json(value) for key, value in row.items()} for row in markup.records(frame)]


def _json(value: Any) -> Any:
    if is_null(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (str, int, float, bool, list)) else str(value)
