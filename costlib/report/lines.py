"""Forms of chart about requests: when they come, how a share turns into a gain, loss by context, quality by cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from costlib.figure import Figure
from costlib.report.chart import INK, LINE, PALETTE, PAPER, SOFT, draw, label, note, plain_axis
from costlib.report.ledger import Ledger, spread

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LOOKS = ((PALETTE[0], "-"), (PALETTE[2], (0, (5, 2))), (INK, (0, (6, 1.5, 1, 1.5))), (SOFT, (0, (1, 1.2))))

_LONGEST = 36
"""Letters of a name in a chart; the table beside it has it whole."""

Busy = tuple[str, Sequence[float], Figure, Sequence[float], Figure]


def rhythms(ledger: Ledger, name: str, rows: Sequence[Busy]) -> str:
    """For each subject its requests by hour of day and by weekday, with the share of the busiest of each.

    A row is (subject, 24 counts, share of the busiest hour, 7 counts, share of the busiest day).
    """

    def paint(canvas: Any) -> None:
        grid = canvas.subplots(len(rows), 2, squeeze=False, width_ratios=(24, 12))
        for pair, (subject, hours, hour, days, day) in zip(grid, rows, strict=True):
            last = pair[0] is grid[-1][0]
            for ax, counts, figure, what in ((pair[0], hours, hour, "hour"), (pair[1], days, day, "weekday")):
                top = int(np.argmax(counts))
                colours = [PALETTE[1] if at == top else PALETTE[0] for at in range(len(counts))]
                ax.bar(range(len(counts)), counts, width=0.8, color=colours)
                ax.set_ylim(0, max(counts) * 1.35)
                ax.set_yticks([])
                ax.spines["left"].set_visible(False)
                label(ax, top, max(counts), ledger, f"{subject} · busiest {what}", figure, offset=(0, 6), ha="center")
                ax.tick_params(axis="x", length=0)
            pair[0].set_title(subject)
            pair[0].set_xticks(range(0, 24, 3), [f"{at}" for at in range(0, 24, 3)] if last else [""] * 8)
            pair[1].set_xticks(range(7), _DAYS if last else [""] * 7)
        grid[-1][0].set_xlabel("hour of the day, UTC")
        grid[-1][1].set_xlabel("day of the week, UTC")

    return draw(name, 0.4 + 0.95 * len(rows), paint)


@dataclass(frozen=True)
class Curve:
    """A named line through points; `at` is the x where its name stands, `end` a figure written at its last point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    at: float
    figure: Figure | None = None


def curves(
    ledger: Ledger, name: str, lines: Sequence[Curve], axes: tuple[str, str], units: tuple[str, str], zero: bool = False
) -> str:
    """At most four lines, each named where it runs; a line's figure is listed under its name. `zero` draws y = 0."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        if zero:
            ax.axhline(0, color=INK, linewidth=0.8)
        for line, (colour, dash) in zip(lines, _LOOKS, strict=False):
            ax.plot(line.x, line.y, color=colour, linestyle=dash)
            y = float(np.interp(line.at, line.x, line.y))
            text = {"color": colour, "fontweight": "bold", "ha": "center", "backgroundcolor": PAPER, "zorder": 7}
            note(ax, line.name, (line.at, y), (0, 0), **text)
            if line.figure is not None:
                ledger.add(f"{line.name} · {axes[1]}", line.figure)
        ax.margins(x=0.02, y=0.12)
        ax.set_xlabel(axes[0])
        ax.set_ylabel(axes[1])
        plain_axis(ax.xaxis, units[0])
        plain_axis(ax.yaxis, units[1])

    return draw(name, 3.1, paint)


def profiles(
    ledger: Ledger,
    name: str,
    places: Sequence[str],
    lines: Sequence[tuple[str, Sequence[Figure]]],
    base: str,
    axes: tuple[str, str],
) -> str:
    """At most four lines over named places with an interval at each, beside the line y = 0 of `base`; named at the end.

    Lines stand a little apart at each place, so that their intervals can be told apart.
    """

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        ax.axhline(0, color=INK, linewidth=0.8)
        ends: list[tuple[float, str, str]] = [(0.0, base, INK)]
        for turn, ((subject, figures), (colour, dash)) in enumerate(zip(lines, _LOOKS, strict=False)):
            xs = [at + 0.09 * (turn - (len(lines) - 1) / 2) for at in range(len(places))]
            ys = [float(figure.value or 0) for figure in figures]
            ax.plot(xs, ys, "o", color=colour, linestyle=dash, markersize=4.5)
            for x, place, figure in zip(xs, places, figures, strict=True):
                ledger.add(f"{subject} · {axes[1]} · {place} {axes[0]}", figure)
                if between := spread(figure):
                    ax.plot([x, x], between, color=colour, linewidth=1.1)
            ends.append((ys[-1], subject, colour))
        low, high = ax.get_ylim()
        below = low
        for y, subject, colour in sorted(ends):
            below = max(y, below + 0.09 * (high - low))
            style: dict[str, Any] = {"color": colour, "fontweight": "bold", "xycoords": ("axes fraction", "data")}
            note(ax, subject, (1, below), (6, 0), **style)
        ax.set_xticks(range(len(places)), places)
        ax.set_xlim(-0.4, len(places) - 0.6)
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel(axes[0])
        ax.set_ylabel(axes[1])
        plain_axis(ax.yaxis, "")

    return draw(name, 3.1, paint)


@dataclass(frozen=True)
class Spot:
    """A way to answer in the cost-quality plane; `chosen` marks the rule that was picked, `model` a single model."""

    name: str
    cost: Figure
    score: Figure
    model: bool
    chosen: bool = False


def plane(ledger: Ledger, name: str, spots: Sequence[Spot], edge: tuple[Sequence[float], Sequence[float]]) -> str:
    """Score against $ per request (logarithmic): models, ways to combine them, and the hull that mixing can reach."""

    def paint(canvas: Any) -> None:
        ax = canvas.subplots()
        ax.set_xscale("log")
        costs, scores = edge
        if len(costs) > 1:
            fine = np.geomspace(costs[0], costs[-1], 200)
            ax.plot(fine, np.interp(fine, costs, scores), color=PALETTE[3], linewidth=3, zorder=1)
        placed: list[tuple[float, float]] = []
        low, high = (f([float(s.cost.value or 0) for s in spots]) for f in (min, max))
        every = [end for s in spots for end in (spread(s.score) or (float(s.score.value or 0),) * 2)]
        height = (max(every) - min(every)) or 0.1
        for spot in sorted(spots, key=lambda s: (not s.chosen, not s.model)):
            x, y = float(spot.cost.value or 0), float(spot.score.value or 0)
            if ends := spread(spot.score):
                ax.plot([x, x], ends, color=LINE if not spot.chosen else SOFT, linewidth=1.1, zorder=2)
            marker, colour, size = ("o", PALETTE[0], 6.0) if spot.model else ("D", PALETTE[1], 5.0)
            ax.plot([x], [y], marker, color=colour, markeredgecolor=INK, markersize=size * (1.5 if spot.chosen else 1))
            here = (np.log(x / low) / (np.log(high / low) or 1), (y - min(every)) / height)
            ledger.add(f"{spot.name} · cost", spot.cost)
            ledger.add(f"{spot.name} · score", spot.score)
            if not (spot.model or spot.chosen) and any(_near(here, other) for other in placed):
                continue  # its name would cover another's; the table has it
            placed.append(here)
            left = here[0] > 0.6
            style: dict[str, Any] = {"ha": "right" if left else "left", "color": INK, "zorder": 8}
            style |= {"fontweight": "bold"} if spot.chosen else {}
            short = spot.name if len(spot.name) <= _LONGEST else f"{spot.name[:_LONGEST]}\u2026"
            note(ax, short, (x, y), (-8 if left else 8, 8 if left else -8), **style)
        ax.margins(x=0.1, y=0.12)
        ax.set_xlabel("USD per request, logarithmic")
        ax.set_ylabel("mean score")
        plain_axis(ax.xaxis, "USD/request", log=True)
        plain_axis(ax.yaxis, "share")

    return draw(name, 3.6, paint)


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two names at these places (shares of the width and height) would touch."""
    return abs(one[0] - other[0]) < 0.45 and abs(one[1] - other[1]) < 0.09
