"""The form of chart about a watch: scores that pile up item by item, and the evidence against their floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from costlib.figure import Figure, Kind
from costlib.portfolio.problem import Floats
from costlib.portfolio.watch import BEYOND
from costlib.report.chart import draw, label, note, plain_axis
from costlib.report.ledger import Ledger
from costlib.reporting.charts import INK, LINE, PALETTE, SOFT
from costlib.stats.sequential import Floor, confidence_sequence, drift

_POINTS = 40
"""Places at which the interval is drawn."""
_LONGEST = 40
"""Letters of a name in a chart; the table beside it has it whole."""


@dataclass(frozen=True)
class Stream:
    """Scores in their order, what they are watched against, and the stream's false-alarm rate."""

    name: str
    values: Floats
    against: Floor
    alpha: float
    kind: Kind
    source: str

    @cached_property
    def capital(self) -> Floats:
        """The e-value after each item."""
        return np.array(drift(self.values, self.against, self.alpha).e_values)

    @property
    def floor(self) -> float | None:
        """The score below which it has fallen; of a floor for each value their mean."""
        return None if self.against is None else float(np.mean(self.against))

    @property
    def evidence(self) -> float:
        """The largest e-value there was."""
        return float(self.capital.max())


def paths(ledger: Ledger, name: str, streams: Sequence[Stream]) -> str:
    """For each stream the mean score so far in its interval with the floor, beside it the e-value with the alarm."""

    def paint(canvas: Any) -> None:
        grid = canvas.subplots(len(streams), 2, squeeze=False)
        for (left, right), stream in zip(grid, streams, strict=True):
            last = left is grid[-1][0]
            _score(left, ledger, stream)
            _evidence(right, ledger, stream)
            for ax in (left, right):
                ax.set_xlim(0, len(stream.values) * 1.18)
                plain_axis(ax.xaxis, "items")
                ax.set_xlabel("items answered" if last else "")

    return draw(name, 0.5 + 1.75 * len(streams), paint)


def _score(ax: Any, ledger: Ledger, stream: Stream) -> None:
    values = stream.values
    at = np.unique(np.linspace(1, len(values), min(_POINTS, len(values))).astype(int))
    ends = [confidence_sequence(values[:n], stream.alpha) for n in at]
    low, high = zip(*ends, strict=True)
    ax.fill_between(at, low, high, color=LINE, linewidth=0)
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    ax.plot(at, means[at - 1], color=PALETTE[0], linewidth=1.6)
    level = f"confidence sequence at {1 - stream.alpha:.2%}, valid at any look"
    score = Figure(float(means[-1]), "share", stream.kind, stream.source, low[-1], high[-1], level)
    label(ax, len(values), float(means[-1]), ledger, f"{stream.name} · score", score)
    if stream.floor is not None:
        ax.axhline(stream.floor, color=PALETTE[2], linewidth=1.1, linestyle=(0, (4, 2)))
        note(ax, "floor", (0, stream.floor), (4, -6), color=PALETTE[2])
    ax.set_ylim(max(0, min(float(np.quantile(low, 0.25)), stream.floor or 1.0) - 0.08), 1.02)
    ax.set_title(stream.name if len(stream.name) <= _LONGEST else f"{stream.name[:_LONGEST]}\u2026", loc="left")
    plain_axis(ax.yaxis, "share")


def _evidence(ax: Any, ledger: Ledger, stream: Stream) -> None:
    if stream.floor is None:
        ax.set_yticks([])
        note(ax, "no floor: no score changes the decision", (0.05, 0.5), (0, 0), xycoords="axes fraction")
        return
    items, alarm = np.arange(1, len(stream.values) + 1), 1 / stream.alpha
    ax.set_yscale("log")
    drawn = np.minimum(stream.capital, BEYOND)
    ax.plot(items, drawn, color=INK, linewidth=1.3)
    ax.axhline(alarm, color=PALETTE[2], linewidth=1.1, linestyle=(0, (4, 2)))
    note(ax, "alarm", (0, alarm), (4, 6), color=PALETTE[2])
    if stream.capital[-1] < BEYOND:
        now = Figure(float(drawn[-1]), "e-value", "derived", stream.source, reason="exact, given the answers")
        label(ax, len(items), float(drawn[-1]), ledger, f"{stream.name} · e-value", now)
    else:
        note(ax, "over a million", (len(items), BEYOND), (0, 7), color=INK, fontsize=8, ha="right")
    ax.set_ylim(min(0.3, float(drawn.min()) * 0.7), max(alarm * 4, float(drawn.max()) * 5))
    ax.set_title("e-value", loc="left", color=SOFT)
    plain_axis(ax.yaxis, "e-value", log=True)
