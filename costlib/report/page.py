"""What a notebook talks to: sentences, cards, headings, tables and charts of one report, sharing one ledger.

A notebook makes one `Page`, shows its parts, and ends with `end()`, which displays the ledger and the marker that says
the report is whole.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from typing import TYPE_CHECKING, Any

from costlib.figure import Figure, Kind
from costlib.report.ledger import Html, Ledger, interval, kinds_key
from costlib.report.tables import table
from costlib.reporting.look import CONTENTS, END, css
from costlib.reporting.markup import badge
from costlib.reporting.numbers import listed as listed
from costlib.reporting.numbers import number, unit_text

if TYPE_CHECKING:
    import pandas as pd

Words = Figure | str


@dataclass(frozen=True)
class End:
    """The last thing a notebook displays: the ledger for readers, its rows and the report's facts for the publisher."""

    html: Html
    facts: dict[str, Any]

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/html": self.html._repr_html_(), END: self.facts}


@dataclass
class Page:
    """One report being written. `about` is the line above the title: the study and its date."""

    about: str
    ledger: Ledger = field(default_factory=Ledger)
    answer: str = ""

    def style(self) -> Html:
        """The style sheet, for JupyterLab; its cell is tagged `screen` and left out of the published page."""
        theme = {"paper": "layout-color0", "panel": "layout-color2", "ink": "content-font-color0",
                 "soft": "content-font-color2", "line": "border-color2", "chosen": "layout-color2"}  # fmt: skip
        lab = "".join(f"--{name}: var(--jp-{theirs});" for name, theirs in theme.items())
        rules = css().replace(":root", ":scope") + f":scope {{ {lab} }}"
        return Html(f"<style>@scope (.jp-OutputArea-output) {{ {rules} }}</style>")

    def summary(self, sentence: str, cards: Sequence[tuple[str, Figure]], more: str = "", **figures: Words) -> Html:
        """The executive summary: the answer in a sentence, a card per key figure, then `more` in smaller type."""
        boxes = "".join(self._card(what, figure) for what, figure in cards)
        self.answer = _filled(sentence, figures, _plainly)
        return Html(
            f'<p class="eyebrow">{escape(self.about)}</p><section class="summary" id="summary">'
            f'<p class="headline">{self._markup(sentence, figures, kind=False)}</p><ul class="cards">{boxes}</ul>'
            f"{self.text(more, **figures) if more else ''}{kinds_key()}</section>{CONTENTS}"
        )

    def _card(self, what: str, figure: Figure) -> str:
        identity = self.ledger.add(what, figure)
        value = number(figure.value, figure.unit) if figure.value is not None else "unknown"
        value, per = (
            (value + unit_text("ratio"), "")
            if figure.unit == "ratio"
            else (value, unit_text(figure.unit, figure.value))
        )
        between = interval(figure)
        if (figure.reason or "").startswith("range"):
            named = between if between.startswith("interval") else f"range {between}"
        else:
            named = f"95 % interval {between.removeprefix('interval ')}"
        below = named if between else (figure.reason or "")
        return (
            f'<li class="card"><span class="what">{escape(what)} {badge(figure.kind)}</span>'
            f'<span class="value"><a class="n" data-n="{identity}" href="#{identity}">{escape(value)}</a> '
            f'<span class="per">{escape(per.strip())}</span></span>'
            f'<span class="interval" data-n="{identity}">{escape(below)}</span></li>'
        )

    def heading(self, sentence: str, **figures: Words) -> Html:
        """A finding as the heading of its section."""
        return Html(f"<h2>{self._markup(sentence, figures, kind=False, bounds=False)}</h2>")

    def text(self, sentence: str, style: str = "", /, **figures: Words) -> Html:
        """A paragraph; every `{name}` is a figure or text, `{name:bare}` a figure without its unit."""
        opening = f'<p class="{style}">' if style else "<p>"
        return Html(f"{opening}{self._markup(sentence, figures)}</p>")

    def table(self, name: str, caption: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> Html:
        """A table of figures whose rows hold their cells by title, as in `tables.table`."""
        return table(self.ledger, name, caption, rows, **more)

    def end(self, **facts: Any) -> End:
        """The ledger, and the marker without which nothing is published; `facts` go to the index and the checks."""
        return End(
            Html(f"<h2>Every number, with its source</h2>{self.ledger.html()}"),
            {"complete": True, "answer": self.answer, "ledger": self.ledger.rows(), **facts},
        )

    def _markup(self, sentence: str, figures: Mapping[str, Words], *, kind: bool = True, bounds: bool = True) -> str:
        def shown(name: str, value: Words, bare: bool) -> str:
            if not isinstance(value, Figure):
                return escape(value)
            what = self.ledger.words(value) or _filled(sentence, figures, lambda other, *_: f"[{other}]").rstrip(".")
            return self.ledger.show(what, value, unit=not bare, kind=kind, bounds=bounds)

        return _filled(sentence, figures, shown, escape)


def _filled(
    sentence: str,
    values: Mapping[str, Words],
    shown: Callable[[str, Words, bool], str],
    literal: Callable[[str], str] = str,
) -> str:
    """`sentence` with each `{name}` replaced by what `shown` makes of it; the text around goes through `literal`."""
    parts = []
    for text, name, form, _ in string.Formatter().parse(sentence):
        parts.append(literal(text))
        if name is not None:
            parts.append(shown(name, values[name], form == "bare"))
    return "".join(parts)


def _plainly(_: str, value: Words, bare: bool) -> str:
    if isinstance(value, str):
        return value
    return (
        "unknown"
        if value.value is None
        else number(value.value, value.unit) + ("" if bare else unit_text(value.unit, value.value))
    )


def figure_of(row: Mapping[str, Any], name: str, unit: str, *, kind: Kind, source: str, reason: str | None) -> Figure:
    """The number a row holds under `name`, with `name_low` and `name_high` where both are there; `reason` where not."""
    value, low, high = (_known(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    if low is None or high is None:
        low = high = None
    given = low is not None and value is not None
    return Figure(value, unit, kind, source, low, high, None if given else str(reason or "not measured"), name)


def counted(count: int, unit: str, source: str, kind: Kind = "derived") -> Figure:
    """A count, which has no interval."""
    return Figure(count, unit, kind, source, reason="a count")


def _known(value: Any) -> Any:
    """None for every null; numpy numbers as Python's."""
    if isinstance(value, (list, str)):
        return value
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def cited(text: str) -> Html:
    """Words of a source, whose numbers are the source's own and not figures of the report."""
    return Html(f'<span class="cite">{escape(text)}</span>')


def long_date(day: date | str) -> str:
    """10 November 2026."""
    when = date.fromisoformat(str(day)[:10])
    return f"{when.day} {when:%B %Y}"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame with every null as None."""
    return [{str(key): _known(value) for key, value in row.items()} for row in frame.to_dict("records")]
