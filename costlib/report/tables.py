"""Tables of figures as HTML: right-aligned numerals, units and kinds in the header where a column shares them.

Own markup rather than a table library's, because it is short and has no random ids: the same rows give the same bytes.
An unknown number is a dash with a note under the table that says why. Everything that is text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from costlib.figure import Figure
from costlib.report.ledger import Html, Ledger, interval
from costlib.reporting.markup import badge, letter
from costlib.reporting.numbers import header_unit

Cell = Figure | Html | str | None
NUMERIC = ' class="num"'


class Notes:
    """Footnotes of one table: each reason is said once and lettered in order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts: dict[str, str] = {}

    def mark(self, text: str, identity: str) -> str:
        """A superscript letter that leads to the note; `identity` is a line of the ledger that has the reason, too."""
        self._texts.setdefault(text, identity)
        mark = letter(list(self._texts).index(text))
        return f'<sup><a class="note" href="#{self._name}-{mark}" aria-label="note {mark}">{mark}</a></sup>'

    def html(self) -> str:
        """The list of notes, or nothing."""
        lines = "".join(
            f'<li id="{self._name}-{letter(i)}"><b>{letter(i)}</b> <span data-n="{identity}">{escape(text)}</span></li>'
            for i, (text, identity) in enumerate(self._texts.items())
        )
        return f'<ol class="notes">{lines}</ol>' if lines else ""


def table(
    ledger: Ledger,
    name: str,
    caption: str,
    rows: Sequence[Mapping[str, Cell]],
    *,
    columns: Mapping[str, str] | None = None,
    total: Mapping[str, Cell] | None = None,
    mixed: Sequence[str] = (),
) -> Html:
    """A table whose rows hold their cells by the title of the column; nothing without rows. `name` is its id.

    The first cell names the row on the page, and in the ledger where it has no cell `what`, which is not shown.
    `columns` are keys with their titles where rows hold more than is shown; `total` is a last row. A column of figures
    has one unit, which its header shows, or `ValueError` is raised; in the `mixed` ones each cell shows its own.
    """
    if not rows:
        return Html("")
    everything = [*rows, *([total] if total else [])]
    columns = columns or {title: title for row in everything for title in row if title != "what"}
    heads, shared, numeric = [], {}, {}
    for key, title in columns.items():
        figures = [cell for row in everything if isinstance(cell := row.get(key), Figure)]
        units, kinds = {figure.unit for figure in figures}, {figure.kind for figure in figures}
        if len(units) > 1 and key not in mixed:
            raise ValueError(f"column {key} mixes units {', '.join(sorted(units))}")
        shared[key] = len(kinds) == 1 and key not in mixed
        unit = header_unit(units.pop()) if figures and key not in mixed else ""
        detail = f'<span class="unit">{escape(unit)}</span>' if unit else ""
        mark = f" {badge(kinds.pop())}" if shared[key] else ""
        start, _, last = title.rpartition(" ")
        words = f'{escape(start)} <span class="whole">{escape(last)}{mark}</span>'
        numeric[key] = NUMERIC if figures else ""
        heads.append(f'<th scope="col"{numeric[key]}>{words}{detail}</th>')
    notes = Notes(name)
    body = []
    for row in everything:
        first = row.get(next(iter(columns)))
        what = str(row.get("what") or first)
        cells = [
            _cell(ledger, f"{what} · {title}", row.get(key), numeric[key], key in mixed, not shared[key], notes)
            for key, title in columns.items()
        ]
        cells[0] = cells[0].replace("<td", '<th scope="row"', 1).removesuffix("</td>") + "</th>"
        body.append(f"<tr{' class=' + chr(34) + 'total' + chr(34) if row is total else ''}>{''.join(cells)}</tr>")
    return Html(
        f'<div class="block" id="{name}"><div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><caption><span>{escape(caption)}</span></caption><thead><tr>{''.join(heads)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{notes.html()}</div>"
    )


def _cell(ledger: Ledger, what: str, cell: Cell, style: str, own_unit: bool, own_kind: bool, notes: Notes) -> str:
    if not isinstance(cell, Figure):
        return f"<td{style}>{cell if isinstance(cell, Html) else escape(cell or '')}</td>"
    shown = ledger.show(what, cell, unit=own_unit, kind=own_kind, bounds=False)
    if cell.value is None:
        shown += notes.mark(cell.reason or "", ledger.add(what, cell))
    between = interval(cell)
    below = f'<span class="interval" data-n="{ledger.add(what, cell)}">{escape(between)}</span>' if between else ""
    return f"<td{style}>{shown}{below}</td>"
