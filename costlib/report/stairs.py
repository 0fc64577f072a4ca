"""Forms of chart about a break-even: the staircase itself, what moves the crossing, and how likely each side is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlib.figure import Figure
from costlib.report.chart import INK, PALETTE, PAPER, SOFT, Row, draw, label, note, plain_axis, rows_axis
from costlib.report.figures import Part, part_names
from costlib.report.ledger import Ledger

_LOOKS = ((PALETTE[2], (0, (5, 2))), (INK, (0, (6, 1.5, 1, 1.5))), (SOFT, (0, (1, 1.2))))


def stairs(
    ledger: Ledger,
    name: str,
    steps: Sequence[tuple[float, float, float, float]],
    lines: Sequence[tuple[str, float]],
    crossings: Sequence[tuple[str, Figure, float]],
    now: Row,
) -> str:
    """Monthly cost by volume, both linear, so that every step is as wide and as high as it is.

    `steps` are volume, cost, and its low and high end; `lines` are APIs and their $ per request; `crossings` are the
    words for the ledger, the volume and the cost there.
    """

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        volumes, costs, lows, highs = zip(*steps, strict=True)
        ax.fill_between(volumes, lows, highs, step="pre", color=PALETTE[3], alpha=0.6, linewidth=0)
        ax.step(volumes, costs, where="pre", color=PALETTE[0])
        end = volumes[-1]
        top = max(highs) * 1.15
        for (subject, price), (colour, dash) in zip(lines, _LOOKS, strict=False):
            ax.plot([0, end], [0, price * end], color=colour, linestyle=dash)
            if price * end <= top:
                note(ax, subject, (end, price * end), (6, 0), color=colour, fontweight="bold")
            else:
                note(ax, subject, (top / price, top), (0, 6), color=colour, fontweight="bold", ha="center")
        note(ax, "self-hosted", (end, costs[-1]), (6, 0), color=PALETTE[0], fontweight="bold")
        for turn, (words, figure, usd) in enumerate(crossings):
            x = float(figure.value or 0)
            ax.plot([x], [usd], "o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=7, zorder=6)
            beside = {"offset": (-5, 10), "ha": "right"} if turn % 2 else {"offset": (5, -10)}  # clear of a rising line
            label(ax, x, usd, ledger, words, figure, fontweight="bold", **beside)
        x = float(now[1].value or 0)
        ax.axvline(x, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        shown = label(ax, x, 0, ledger, now[0], now[1], offset=(4, 4), va="bottom", fontsize=7)
        shown.set_text(f"{now[0]}: {shown.get_text()}")
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


def swings(ledger: Ledger, name: str, rows: Sequence[SwingRow], centre: Row) -> str:
    """A tornado whose outcome may vanish: for each factor both ends, in words, and the outcome there.

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
        ax.set_xlabel("requests per month" + (", logarithmic" if high / low > _FAR else ""))
        plain_axis(ax.xaxis, "count", log=high / low > _FAR)
        part_names(ax, [Part("factor at its low end", PALETTE[0]), Part("factor at its high end", PALETTE[1], "///")])

    return draw(name, 0.95 + 0.36 * len(rows), paint)


def chances(
    ledger: Ledger,
    name: str,
    volumes: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float], Figure]],
    now: Row,
) -> str:
    """Probability that self-hosting is cheaper by volume, one line per API, with its value at today's volume."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        ax.set_xscale("log")
        x = float(now[1].value or 0)
        for turn, ((subject, shares, figure), (colour, dash)) in enumerate(zip(lines, _LOOKS, strict=False)):
            ax.plot(volumes, shares, color=colour, linestyle=dash)
            level = (0.75, 0.5, 0.25)[turn]
            at = next((v for v, share in zip(volumes, shares, strict=True) if share >= level), volumes[-1])
            after = turn == len(lines) - 1 > 0  # the last line has room behind it, the others before
            style = {"color": colour, "fontweight": "bold", "ha": "left" if after else "right"}
            note(ax, subject, (at, level), (10 if after else -14, 0), backgroundcolor=PAPER, **style)
            y = float(figure.value or 0)
            ax.plot([x], [y], "o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=6, zorder=6)
            ledger.add(f"Probability that self-hosting beats {subject} at {now[0]}", figure)
        ax.axvline(x, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        shown = label(ax, x, 0, ledger, now[0], now[1], offset=(4, 4), va="bottom", fontsize=7)
        shown.set_text(f"{now[0]}: {shown.get_text()}")
        ax.set_xlim(volumes[0], volumes[-1])
        ax.set_ylim(-0.03, 1.05)
        ax.set_xlabel("requests per month, logarithmic")
        plain_axis(ax.xaxis, "count", log=True)
        plain_axis(ax.yaxis, "share")

    return draw(name, 3.2, paint)
