"""The forms of chart that show amounts: bars, dots, stacks, a waterfall and a matrix.

A form draws what it is given, lists every number in the ledger and returns SVG; what a chart means (its finding, source
and alt text) is said by the view that makes a `Chart` of it. `decisions` holds the forms about choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from costlib.figure import Figure
from costlib.report.chart import PAPER, Row, amount, draw, fitted, held, label, note, plain_axis, rows_axis, whisker
from costlib.report.ledger import Ledger, wide
from costlib.reporting.charts import INK, LINE, PALETTE, SOFT, cut


@dataclass(frozen=True)
class Panel:
    """A column of a bar chart: its rows, a `mark` per row (a prediction). With a `reference` line it has dots."""

    title: str
    rows: Sequence[Row]
    mark: Sequence[Figure | None] = ()
    reference: tuple[float, str] | None = None


def bars(ledger: Ledger, name: str, panels: Sequence[Panel]) -> str:
    """Panels of horizontal bars (or dots) that share their rows; intervals drawn, values written at the ends."""

    def paint(canvas: Any) -> None:
        for ax, panel in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            rows_axis(ax, [row[0] for row in panel.rows], show=panel is panels[0])
            ax.set_title(panel.title)
            _limits(ax, panel)
            for y, (subject, figure) in enumerate(panel.rows):
                mark = panel.mark[y] if panel.mark else None
                _bar(ax, ledger, y, f"{subject} · {panel.title}", figure, mark, dot=panel.reference is not None)

    return draw(name, 0.75 + 0.46 * len(panels[0].rows), paint)


def _limits(ax: Any, panel: Panel) -> None:
    """The ends of a panel's axis, with room for numbers, and its reference line."""
    known = [figure for _, figure in panel.rows if figure.value is not None]
    ends = [held(figure) for figure in known] or [(0.0, 1.0)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if panel.reference is None:  # bars from 0 with their values written: ticks would only repeat them
        ax.set_xticks([])
        ax.axvline(0, color=SOFT, linewidth=0.8)
        ax.set_xlim(0, high * 1.42 or 1)
        return
    at, words = panel.reference
    low, high = min(at, low), max(at, high)
    span = (high - low) or 0.1
    units = {figure.unit for figure in known}
    plain_axis(ax.xaxis, units.pop() if units in ({"share"}, {"points"}) else "")
    ax.set_xlim(low - span * 0.08, high + span * 0.45)
    ax.axvline(at, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
    note(ax, words, (at, 1), (3, -1), xycoords=("data", "axes fraction"), va="top")


def _bar(ax: Any, ledger: Ledger, y: int, what: str, figure: Figure, mark: Figure | None, *, dot: bool) -> None:
    if figure.value is None:
        ledger.add(what, figure)
        note(ax, "unknown, see table", (0, y), (4, 0), fontstyle="italic", xycoords=("axes fraction", "data"))
        return
    value = float(figure.value)
    if dot:
        ax.plot([value], [y], "o", color=PALETTE[0], markersize=5.5, zorder=5)
    else:
        ax.barh(y, value, height=0.5, color=PALETTE[0])
    amount(ax, y, ledger, what, figure)
    if mark is not None and mark.value is not None:
        ledger.add(f"{what}, predicted", mark)
        ax.plot([float(mark.value)] * 2, [y - 0.38, y + 0.38], color=PALETTE[1], linewidth=2.4, zorder=6)


@dataclass(frozen=True)
class Group:
    """A kind of mark in a dot chart: its words, its marker's shape and its colour."""

    name: str
    marker: str
    colour: str


DotRow = tuple[str, Sequence[tuple[Group, Figure]]]


def dots(ledger: Ledger, name: str, rows: Sequence[DotRow], axis: str) -> str:
    """Dots on one logarithmic axis, one or two in a row; each group is named where it first appears."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [subject for subject, _ in rows], space=0.3)
        ax.set_xscale("log")
        ends = [end for _, marks in rows for _, figure in marks if figure.value for end in held(figure)]
        ax.set_xlim(fitted(ends, 0.16, log=True))
        named: set[str] = set()
        for y, (subject, marks) in enumerate(rows):
            values = [float(figure.value) for _, figure in marks if figure.value]
            if len(values) > 1:
                ax.plot([min(values), max(values)], [y, y], color=LINE, linewidth=2, zorder=1)
            for place, (group, figure) in enumerate(marks):
                if not figure.value:  # unknown, or 0, which a logarithmic axis has no place for
                    ledger.add(f"{subject} · {group.name}", figure)
                    continue
                x, what = float(figure.value), f"{subject} · {group.name}"
                last = figure == marks[-1][1]
                whisker(ax, y + 0.15 * place, figure, named=last)  # lower, so that two intervals can be told apart
                ax.plot([x], [y], group.marker, color=group.colour, markeredgecolor=INK, markersize=6, zorder=5)
                left, right = held(figure)
                up = 7 if wide(figure) else 0
                if x == max(values):
                    label(ax, right, y, ledger, what, figure, offset=(7, up))
                else:
                    label(ax, left, y, ledger, what, figure, offset=(-7, up), ha="right")
                if group.name not in named:
                    named.add(group.name)
                    note(ax, group.name, (x, y), (0, 9), ha="center")
        ax.set_xlabel(axis)
        plain_axis(ax.xaxis, rows[0][1][0][1].unit, log=True)

    return draw(name, 0.8 + 0.3 * len(rows), paint)


@dataclass(frozen=True)
class Part:
    """One part of stacked bars, the same in every row."""

    name: str
    colour: str
    hatch: str = ""


StackRow = tuple[str, Sequence[Figure], Figure]


def stacked(ledger: Ledger, name: str, parts: Sequence[Part], rows: Sequence[StackRow], axis: str) -> str:
    """Horizontal bars cut into parts, with each row's total and its interval at the end; parts are named above."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [subject for subject, _, _ in rows])
        ax.set_xlim(0, max(held(total)[1] for _, _, total in rows) * 1.18 or 1)
        for y, (subject, figures, total) in enumerate(rows):
            left = 0.0
            for part, figure in zip(parts, figures, strict=True):
                value = float(figure.value or 0)
                ledger.add(f"{subject} · {part.name}", figure)
                ax.barh(y, value, left=left, height=0.62, color=part.colour, hatch=part.hatch, edgecolor=PAPER)
                left += value
            ax.barh(y, left, height=0.62, fill=False, edgecolor=SOFT, linewidth=0.6)
            amount(ax, y, ledger, f"{subject} · total", total, left)
        ax.set_xlabel(axis)
        plain_axis(ax.xaxis, rows[0][2].unit)
        part_names(ax, parts)

    return draw(name, 0.95 + 0.34 * len(rows), paint)


def part_names(ax: Any, parts: Sequence[Part]) -> None:
    """Names of the parts above the bars, each with a swatch, in the order of the bars."""
    from matplotlib.patches import Patch

    swatches = [Patch(facecolor=p.colour, edgecolor=SOFT, hatch=p.hatch, linewidth=0.6, label=p.name) for p in parts]
    style: dict[str, Any] = {"frameon": False, "borderpad": 0, "handlelength": 1.4, "columnspacing": 1.6}
    ax.legend(handles=swatches, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts), labelcolor=INK, **style)


def waterfall(ledger: Ledger, name: str, start: Row, steps: Sequence[Row], end: Row, axis: str) -> str:
    """From `start` step by step to `end`; what saves and what costs more differ in shade, hatch and sign."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [start[0], *(step[0] for step in steps), end[0]])
        level = float(start[1].value or 0)
        levels = accumulate((-float(figure.value or 0) for _, figure in steps), initial=level)
        ax.set_xlim(0, max(*levels, *(held(figure)[1] for _, figure in (start, end))) * 1.13 or 1)
        for y, (subject, figure) in ((0, start), (len(steps) + 1, end)):
            ax.barh(y, float(figure.value or 0), height=0.6, color=PALETTE[0])
            amount(ax, y, ledger, f"{subject} · total", figure)
        for y, (subject, figure) in enumerate(steps, start=1):
            saved = float(figure.value or 0)
            colour, hatch = (PALETTE[1], "") if saved >= 0 else (PALETTE[2], "///")
            ax.barh(y, saved, left=level - saved, height=0.6, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0)
            ax.plot([level, level], [y - 1.3, y + 0.3], color=SOFT, linewidth=0.7)
            level -= saved
            change = Figure(-(figure.value or 0), figure.unit, figure.kind, figure.source, reason=figure.reason)
            shown = label(ax, max(level, level + saved), y, ledger, f"Change by {subject}", change)
            shown.set_text(shown.get_text() if saved >= 0 else f"+{shown.get_text()}")
        ax.plot([level, level], [len(steps) - 0.3, len(steps) + 1.3], color=SOFT, linewidth=0.7)
        ax.set_xlabel(axis)
        plain_axis(ax.xaxis, start[1].unit)

    return draw(name, 0.7 + 0.34 * (len(steps) + 2), paint)


_LEVEL = 4
"""Columns of a matrix whose names fit beside each other without being turned."""


def matrix(name: str, rows: Sequence[str], columns: Sequence[str], marks: Mapping[tuple[str, str], str]) -> str:
    """Rows against columns: `chosen` filled, `possible` a ring, anything else its letter."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, rows)
        ax.set_xlim(-0.5, len(columns) - 0.5)
        turned: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor", "fontsize": 7}
        turned = turned if len(columns) > _LEVEL else {}
        ax.set_xticks(range(len(columns)), [cut(name) for name in columns], **turned)
        ax.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelcolor=INK)
        for y, row in enumerate(rows):
            ax.axhline(y, color=LINE, linewidth=0.6, zorder=0)
            for x, column in enumerate(columns):
                mark = marks[row, column]
                if mark in ("chosen", "possible"):
                    fill, size = (PALETTE[0], 8) if mark == "chosen" else (PAPER, 6)
                    ax.plot([x], [y], "o", markerfacecolor=fill, markeredgecolor=PALETTE[0], markersize=size)
                else:
                    ax.text(x, y, mark, ha="center", va="center", color=SOFT, fontsize=7, backgroundcolor=PAPER)

    return draw(name, 1.7 + 0.27 * len(rows), paint)
