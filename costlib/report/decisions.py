"""The forms of chart about choices: break-even, sensitivity, and where a choice turns."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from costlib.figure import Figure
from costlib.report.chart import INK, LINE, PALETTE, PAPER, SOFT, Row, draw, label, note, plain_axis, rows_axis
from costlib.report.figures import Part, part_names
from costlib.report.ledger import Ledger, spread

Line = tuple[str, Sequence[float]]


def staircase(
    ledger: Ledger,
    name: str,
    volumes: Sequence[float],
    lines: Sequence[Line],
    crossings: Sequence[tuple[str, Figure, str]],
    axes: tuple[str, str],
    now: Row,
) -> str:
    """Cost by volume, both logarithmic: the first line is the staircase, the others (at most three) are named APIs.

    `crossings` are the words for the ledger, the volume, and the name of the line that is crossed.
    """
    looks = ((PALETTE[0], "-"), (PALETTE[2], (0, (5, 2))), (SOFT, (0, (1, 1.2))), (INK, (0, (6, 1.5, 1, 1.5))))

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        ax.set_xscale("log")
        ax.set_yscale("log")
        for (_, costs), (colour, dash) in zip(lines, looks, strict=False):
            ax.plot(volumes, costs, color=colour, linestyle=dash)
        for (subject, _), (colour, _), y in zip(lines, looks, _apart([costs[-1] for _, costs in lines]), strict=False):
            note(ax, subject, (1, y), (6, 0), xycoords=("axes fraction", "data"), color=colour, fontweight="bold")
        drawn = sorted((crossing for crossing in crossings if crossing[1].value), key=lambda c: float(c[1].value or 0))
        for words, figure, _ in crossings:
            ledger.add(words, figure)
        for turn, (words, figure, other) in enumerate(drawn):
            x = float(figure.value or 0)
            y = dict(lines)[other][bisect.bisect_left(volumes, x)]
            ax.plot([x], [y], "o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=7, zorder=6)
            label(ax, x, y, ledger, words, figure, offset=(0, (11, -11)[turn % 2]), ha="center", fontweight="bold")
        x = float(now[1].value or 0)
        ax.axvline(x, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        shown = label(ax, x, ax.get_ylim()[0], ledger, now[0], now[1], offset=(4, 4), va="bottom", fontsize=7)
        shown.set_text(f"{now[0]}: {shown.get_text()}")
        ax.set_xlim(volumes[0], volumes[-1])
        ax.set_xlabel(axes[0])
        ax.set_ylabel(axes[1])
        plain_axis(ax.xaxis, "count", log=True)
        plain_axis(ax.yaxis, "USD/month", log=True)

    return draw(name, 3.7, paint)


def _apart(values: Sequence[float], factor: float = 1.6) -> list[float]:
    """The values moved up until each is at least `factor` above the one below, so that labels do not overlap."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = list(values)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] * factor)
    return placed


TornadoRow = tuple[str, Figure, Figure, str, str]


def tornado(ledger: Ledger, name: str, rows: Sequence[TornadoRow], centre: Figure, axis: str) -> str:
    """For each factor the outcome at its low and high end, widest first: (factor, at low, at high, low, high)."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [row[0] for row in rows])
        middle = float(centre.value or 0)
        for y, (factor, low, high, *ends) in enumerate(rows):
            for figure, end, colour, hatch in ((low, ends[0], PALETTE[0], ""), (high, ends[1], PALETTE[1], "///")):
                value, what = float(figure.value or 0), f"Plan when {factor} is {end}"
                ledger.add(what, figure)
                ax.barh(y, value - middle, left=middle, height=0.56, color=colour, hatch=hatch, edgecolor=PAPER, lw=0)
                if value > middle:
                    label(ax, value, y, ledger, what, figure, fontsize=7, offset=(4, 0))
                elif value < middle:
                    label(ax, value, y, ledger, what, figure, fontsize=7, offset=(-4, 0), ha="right")
        ax.axvline(middle, color=INK, linewidth=1)
        ax.margins(x=0.14)
        ax.set_xlabel(axis)
        plain_axis(ax.xaxis, centre.unit)
        part_names(ax, [Part("factor at its low end", PALETTE[0]), Part("factor at its high end", PALETTE[1], "///")])

    return draw(name, 0.95 + 0.36 * len(rows), paint)


FlipRow = tuple[str, Figure, Sequence[tuple[Figure, str]]]


def flips(ledger: Ledger, name: str, rows: Sequence[FlipRow], axis: str) -> str:
    """Where a choice turns: today's value (dot) and each value at which it turns (diamond, with what takes over)."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [row[0] for row in rows], space=0.3)
        ax.set_xscale("log")
        words: list[tuple[float, bool, str]] = []
        for y, (subject, now, turns) in enumerate(rows):
            here = float(now.value or 0)
            for figure, to in turns:
                there, what = float(figure.value or 0), f"{subject} · turns to {to} at"
                ax.plot([here, there], [y, y], color=SOFT, linewidth=1.2, zorder=2)
                ax.plot([there], [y], "D", markerfacecolor=PALETTE[1], markeredgecolor=INK, markersize=5.5, zorder=5)
                up = there >= here
                side: dict[str, Any] = {"offset": (7, 0)} if up else {"offset": (-7, 0), "ha": "right"}
                shown = label(ax, there, y, ledger, what, figure, fontsize=7, **side)
                shown.set_text(f"{shown.get_text()}  {to}" if up else f"{to}  {shown.get_text()}")
                words.append((there, up, shown.get_text()))
            words.append((here, True, ""))
            ax.plot([here], [y], "o", color=PALETTE[0], markersize=6.5, zorder=6)
            label(ax, here, y, ledger, f"{subject} · now", now, offset=(0, 9), ha="center", fontsize=7)
        ax.set_xlim(*_room(words))
        ax.set_xlabel(axis)
        plain_axis(ax.xaxis, rows[0][1].unit, log=True)
        ax.set_xticks(_decades([x for x, _, _ in words]))

    return draw(name, 0.8 + 0.42 * len(rows), paint)


def _decades(values: Sequence[float], most: int = 6) -> list[float]:
    """Powers of ten over the data, not over the room the words need: at most `most` of them."""
    first, last = (math.floor(math.log10(end)) for end in (min(values), max(values)))
    step = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 2, step)]


def _room(words: Sequence[tuple[float, bool, str]], width: float = 390, letter: float = 4.3) -> tuple[float, float]:
    """Ends of a logarithmic axis of `width` points with room for each text: (value, whether it stands right of it)."""
    low, high = min(math.log(x) for x, _, _ in words) - 0.1, max(math.log(x) for x, _, _ in words) + 0.1
    for _ in range(40):  # widening one end shortens the other's room, so the ends are found step by step
        point = (high - low) / width
        space = [(math.log(x), right, (letter * len(text) + 14) * point) for x, right, text in words]
        low = min(low, *(x - needed for x, right, needed in space if not right), low)
        high = max(high, *(x + needed for x, right, needed in space if right), high)
    return math.exp(low), math.exp(high)


def frontier(ledger: Ledger, name: str, points: Sequence[tuple[str, Figure, Figure]], x: str, y: str) -> str:
    """Points of two figures, more being better in both, with intervals; a line joins those nothing beats in both."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        known = [(float(a.value), float(b.value)) for _, a, b in points if a.value is not None and b.value is not None]
        best = sorted(p for p in known if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in known))
        ax.plot([p[0] for p in best], [p[1] for p in best], color=LINE, linewidth=2, zorder=1)
        for subject, first, second in points:
            if first.value is None or second.value is None:
                ledger.add(f"{subject} · {x}", first)
                ledger.add(f"{subject} · {y}", second)
                continue
            at = float(first.value), float(second.value)
            for figure, horizontal in ((first, True), (second, False)):
                ends = spread(figure)
                if ends is not None:
                    line = (ends, (at[1], at[1])) if horizontal else ((at[0], at[0]), ends)
                    ax.plot(*line, color=INK, linewidth=1.1, zorder=3)
            ax.plot(*at, "o", color=PALETTE[0], markersize=6, zorder=4)
            note(ax, subject, at, (8, 8), color=INK, fontsize=8)
            label(ax, *at, ledger, f"{subject} · {x}", first, offset=(8, -9), fontsize=7)
            ledger.add(f"{subject} · {y}", second)
        ax.margins(0.18)
        plain_axis(ax.xaxis, points[0][1].unit)
        plain_axis(ax.yaxis, points[0][2].unit)
        ax.set_xlabel(x)
        ax.set_ylabel(y)

    return draw(name, 3.2, paint)
