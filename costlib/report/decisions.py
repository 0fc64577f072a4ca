"""The forms of chart about choices: break-even, sensitivity, and where a choice turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from costlib.figure import Figure
from costlib.report.chart import LOOKS, PAPER, Row, draw, label, note, plain_axis, rows_axis, today
from costlib.report.figures import Part, part_names
from costlib.report.ledger import Ledger
from costlib.reporting.charts import INK, PALETTE, SOFT, cut


def staircase(
    ledger: Ledger,
    name: str,
    steps: Sequence[tuple[float, float, float, float]],
    lines: Sequence[tuple[str, float]],
    crossings: Sequence[tuple[str, Figure, float]],
    now: Row,
) -> str:
    """Monthly cost by volume, both linear, so that every step is as wide and as high as it is.

    `steps` are volume, cost, and its low and high end; `lines` are at most three APIs and their $ per request;
    `crossings` are the words for the ledger, the volume and the cost there.
    """

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        volumes, costs, lows, highs = zip(*steps, strict=True)
        ax.fill_between(volumes, lows, highs, step="pre", color=PALETTE[3], alpha=0.6, linewidth=0)
        ax.step(volumes, costs, where="pre", color=PALETTE[0])
        end = volumes[-1]
        top = max(highs) * 1.15
        for (subject, price), (colour, dash) in zip(lines, LOOKS[1:], strict=False):
            ax.plot([0, end], [0, price * end], color=colour, linestyle=dash)
            if price * end <= top:
                note(ax, cut(subject), (end, price * end), (6, 0), color=colour, fontweight="bold")
            else:
                note(ax, cut(subject), (top / price, top), (0, 6), color=colour, fontweight="bold", ha="center")
        note(ax, "self-hosted", (end, costs[-1]), (6, 0), color=PALETTE[0], fontweight="bold")
        for turn, (words, figure, usd) in enumerate(crossings):
            x = float(figure.value or 0)
            ax.plot([x], [usd], "o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=7, zorder=6)
            beside = {"offset": (-5, 10), "ha": "right"} if turn % 2 else {"offset": (5, -10)}  # clear of a rising line
            label(ax, x, usd, ledger, words, figure, fontweight="bold", **beside)
        today(ax, ledger, now, 0.08)
        ax.set_xlim(0, end)
        ax.set_ylim(0, top)
        ax.set_xlabel("requests per month")
        ax.set_ylabel("USD per month")
        plain_axis(ax.xaxis, "count")
        plain_axis(ax.yaxis, "USD/month")

    return draw(name, 3.9, paint)


_FAR = 20
"""Outcomes this many times apart need a logarithmic axis."""

SwingRow = tuple[str, tuple[str, Figure], tuple[str, Figure]]


def tornado(ledger: Ledger, name: str, rows: Sequence[SwingRow], centre: Row, axis: str) -> str:
    """For each factor the outcome at its low and at its high end, each end in words; widest first.

    An outcome that is unknown is written as `never` at the edge; the axis is logarithmic where outcomes are far apart.
    """

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        rows_axis(ax, [row[0] for row in rows])
        middle = float(centre[1].value or 0)
        values = [middle, *(float(f.value) for _, *ends in rows for _, f in ends if f.value)]
        low, high = min(values), max(values)
        if high / low > _FAR:
            ax.set_xscale("log")
            ax.set_xlim(low / (high / low) ** 0.3, high * (high / low) ** 0.3)
        else:
            room = 0.25 * (high - low) or 0.1 * middle
            ax.set_xlim(low - room, high + room)
        for y, (factor, *ends) in enumerate(rows):
            for (words, figure), colour, hatch in zip(ends, (PALETTE[0], PALETTE[1]), ("", "///"), strict=True):
                what = f"{centre[0]} when {factor} is {words}"
                if not figure.value:
                    ledger.add(what, figure)
                    note(ax, f"never at {words}", (1, y), (-4, 0), xycoords=("axes fraction", "data"), ha="right")
                    continue
                value = float(figure.value)
                ax.barh(y, value - middle, left=middle, height=0.56, color=colour, hatch=hatch, edgecolor=PAPER, lw=0)
                side: dict[str, Any] = {"offset": (4, 0)} if value > middle else {"offset": (-4, 0), "ha": "right"}
                ledger.add(what, figure)
                if value != middle:
                    label(ax, value, y, ledger, what, figure, fontsize=7, **side)
            if all(figure.value == centre[1].value for _, figure in ends):
                note(ax, "moves nothing in its range", (middle, y), (6, 0), fontstyle="italic")
        ax.axvline(middle, color=INK, linewidth=1)
        ledger.add(*centre)
        ax.set_xlabel(axis + (", logarithmic" if high / low > _FAR else ""))
        plain_axis(ax.xaxis, centre[1].unit, log=high / low > _FAR)
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
                named = cut(to, 24)  # names on both sides must leave room for the axis
                shown.set_text(f"{shown.get_text()}  {named}" if up else f"{named}  {shown.get_text()}")
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
