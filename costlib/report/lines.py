"""Forms of chart about requests: how a share turns into a gain, loss by context, quality by cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from costlib.figure import Figure
from costlib.report.chart import LOOKS, PAPER, Row, draw, fitted, held, note, plain_axis, today, whisker
from costlib.report.ledger import Ledger, spread
from costlib.reporting.charts import INK, LINE, PALETTE, SOFT, cut

_TOUCHING = (0.45, 0.09)
"""Shares of a chart's width and height within which two names touch."""


@dataclass(frozen=True)
class Curve:
    """A named line through points; `at` is the x where its name stands, `now` its figure at today's x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    at: float
    now: Figure | None = None


def curves(
    ledger: Ledger,
    name: str,
    lines: Sequence[Curve],
    axes: tuple[str, str],
    units: tuple[str, str],
    *,
    zero: bool = False,
    now: Row | None = None,
) -> str:
    """At most four lines, each named where it runs; `zero` draws y = 0.

    With today's value `now` the x axis is logarithmic and each line's figure there is marked; at most three lines.
    """

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        for line, (colour, dash) in zip(lines, LOOKS[1:] if now else LOOKS, strict=False):
            ax.plot(line.x, line.y, color=colour, linestyle=dash)
            y = float(np.interp(line.at, line.x, line.y))
            text = {"color": colour, "fontweight": "bold", "ha": "center", "backgroundcolor": PAPER, "zorder": 7}
            note(ax, cut(line.name), (line.at, y), (0, 0), **text)
            if now and line.now is not None:
                mark = float(now[1].value or 0), float(line.now.value or 0)
                ax.plot(*mark, "o", markerfacecolor=PAPER, markeredgecolor=INK, markersize=6, zorder=6)
                ledger.add(f"{line.name} · {axes[1]} at {now[0]}", line.now)
        ax.margins(x=0.02, y=0.12)
        if zero:
            ax.axhline(0, color=INK, linewidth=0.8)
        if now:
            ax.set_xscale("log")
            today(ax, ledger, now, 0.5)
        ax.set_xlabel(axes[0])
        ax.set_ylabel(axes[1])
        plain_axis(ax.xaxis, units[0], log=now is not None)
        plain_axis(ax.yaxis, units[1])

    return draw(name, 3.1, paint)


@dataclass(frozen=True)
class Spot:
    """A way to serve by two figures; `chosen` marks the one that was picked, `plain` one that is no combination."""

    name: str
    x: Figure
    y: Figure
    plain: bool = True
    chosen: bool = False


Path = Sequence[tuple[float, float]]


def plane(
    ledger: Ledger, name: str, spots: Sequence[Spot], edge: Path, axes: tuple[str, str], *, log: bool = False
) -> str:
    """Spots with their intervals, and a pale `edge` through the best of them; `log` for an x axis of costs.

    A combination whose name would cover another's is drawn without it; the table beside the chart has it.
    """
    known = [spot for spot in spots if spot.x.value is not None and spot.y.value is not None]

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        ax.set_xscale("log" if log else "linear")
        ax.set_xlim(fitted([end for spot in known for end in held(spot.x)], 0.1, log=log))
        low, high = fitted([end for spot in known for end in held(spot.y)], 0.12)
        ax.set_ylim(low, min(high, 1.02) if spots[0].y.unit == "share" else high)
        if len(edge) > 1:
            xs, ys = zip(*sorted(edge), strict=True)
            between = np.geomspace(xs[0], xs[-1], 200) if log else np.array(xs)
            ax.plot(between, np.interp(between, xs, ys), color=PALETTE[3], linewidth=3, zorder=1)
        placed: list[Any] = []
        for spot in sorted(known, key=lambda s: (not s.chosen, not s.plain)):
            x, y = float(spot.x.value or 0), float(spot.y.value or 0)
            colour = SOFT if spot.plain or spot.chosen else LINE
            whisker(ax, y, spot.x, cap=0, colour=colour)
            if ends := spread(spot.y):
                ax.plot([x, x], ends, color=colour, linewidth=1.1, zorder=2)
            marker, fill, size = ("o", PALETTE[0], 6.0) if spot.plain else ("D", PALETTE[1], 5.0)
            size *= 1.5 if spot.chosen else 1
            ax.plot([x], [y], marker, color=fill, markeredgecolor=INK, markersize=size, zorder=5)
            here = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))  # shares of width and height
            if not (spot.plain or spot.chosen) and any((abs(here - other) < _TOUCHING).all() for other in placed):
                continue
            placed.append(here)
            left = here[0] > 0.6
            style: dict[str, Any] = {"ha": "right" if left else "left", "color": INK, "zorder": 8}
            style |= {"fontweight": "bold"} if spot.chosen else {}
            note(ax, cut(spot.name), (x, y), (-8 if left else 8, 8 if left else -8), **style)
        ax.set_xlabel(axes[0] + (", logarithmic" if log else ""))
        ax.set_ylabel(axes[1])
        plain_axis(ax.xaxis, spots[0].x.unit, log=log)
        plain_axis(ax.yaxis, spots[0].y.unit)

    for spot in spots:
        ledger.add(f"{spot.name} · {axes[0]}", spot.x)
        ledger.add(f"{spot.name} · {axes[1]}", spot.y)
    return draw(name, 3.4, paint)
