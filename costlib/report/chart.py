"""Charts in one style: the finding as title, direct labels, intervals drawn, plain numbers on every axis, alt text.

A `Chart` cannot be made without a finding of at most ten words and alt text of the form "chart type of data where
reason". Charts are SVG with text kept as text (it can be read out, searched and enlarged); ids come from the chart's
name and a fixed salt, so the same data draw the same bytes. The forms are in `figures`, `decisions` and `lines`.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from costlib.figure import Figure
from costlib.report.ledger import Html, Ledger, interval, spread, wide
from costlib.reporting.charts import INK, LINE, PALETTE, SOFT, cut
from costlib.reporting.numbers import NARROW, number

PAPER = "#ffffff"
WIDTH = 7.4

LOOKS = ((PALETTE[0], "-"), (PALETTE[2], (0, (5, 2))), (INK, (0, (6, 1.5, 1, 1.5))), (SOFT, (0, (1, 1.2))))
"""Colour and dashes of up to four lines of one chart."""

Row = tuple[str, Figure]


@dataclass(frozen=True)
class Chart:
    """A drawn chart with the words around it; `source` says where its data come from, and their date."""

    name: str
    finding: str
    measure: str
    source: str
    alt: str
    svg: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.finding.split()) <= 10:
            raise ValueError(f"finding of chart {self.name} is {self.finding!r}; allowed: 1 to 10 words")
        if " of " not in self.alt or " where " not in self.alt:
            allowed = "'<chart type> of <data> where <reason>'"
            raise ValueError(f"alt text of chart {self.name} is {self.alt!r}; allowed: {allowed}")

    def html(self) -> Html:
        """The figure with its finding above and its caption below."""
        alt, measure, source = (
            escape(text).replace(" %", NARROW + "%") for text in (self.alt, self.measure, self.source)
        )
        svg = self.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        svg = re.sub(r"(<svg [^>]*>)", lambda m: f"{m[1]}<title>{alt}</title>", svg, count=1)
        return Html(
            f'<figure id="{self.name}"><h3>{escape(self.finding)}</h3><p class="measure">{measure}</p>'
            f'<div class="scroll" tabindex="0">{svg}</div><figcaption>{source}</figcaption></figure>'
        )

    def _repr_html_(self) -> str:
        return self.html()._repr_html_()


def draw(name: str, height: float, paint: Callable[[Any], None]) -> str:
    """An SVG of `WIDTH` by `height` inches; `paint` receives the empty matplotlib figure."""
    import matplotlib as mpl
    import seaborn
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: Any = {
        **seaborn.axes_style("white"),
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, and wider than what a browser will use
        "font.size": 8,
        "text.parse_math": False,  # a workload's name may hold dollar signs
        "text.color": INK,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": LINE,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 8.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": INK,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.8,
        "lines.linewidth": 1.6,
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # text stays text: the reader's browser has the letters
        canvas = Canvas(figsize=(WIDTH, height), facecolor=PAPER)
        FigureCanvasSVG(canvas)
        paint(canvas)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _tidy(buffer.getvalue(), name)


def _tidy(svg: str, name: str) -> str:
    """Drop the prologue and unused ids, and make the others unique to the chart."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'<g id="(n\d+)">', r'<g data-n="\1">', svg)
    used = set(re.findall(r'(?:url\(#|xlink:href="#|href="#)([\w.-]+)', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)\bheight="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)\bwidth="[^"]*"', r"<svg \1", svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()


def short(name: str, words: int) -> str:
    """The first words of a name, for a finding of at most ten."""
    return " ".join(name.split()[:words])


def note(ax: Any, text: str, xy: tuple[Any, Any], offset: tuple[float, float], **style: Any) -> Any:
    """Small words beside a point, `offset` in points from it."""
    given: dict[str, Any] = {"va": "center", "color": SOFT, "fontsize": 7, "annotation_clip": False, **style}
    return ax.annotate(text, xy, xytext=offset, textcoords="offset points", **given)


def label(ax: Any, x: float, y: float, ledger: Ledger, what: str, figure: Figure, **style: Any) -> Any:
    """Write a figure's number beside its mark, in the unit its axis names, and list it in the ledger."""
    text = number(figure.value, figure.unit) if figure.value is not None else "unknown"
    offset = style.pop("offset", (5, 0))
    shown = note(ax, text, (x, y), offset, **{"color": INK, "fontsize": 8, **style})
    shown.set_gid(ledger.add(what, figure))
    return shown


def plain_axis(axis: Any, unit: str, *, log: bool = False) -> None:
    """Ticks as plain numbers with at most a handful of them, and a light grid."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_major_locator(LogLocator(numticks=7) if log else MaxNLocator(5))
    if log:
        axis.set_minor_locator(NullLocator())
    zeros = re.compile(r"\.0+(?=\D|$)|(\.\d*?[1-9])0+(?=\D|$)")
    axis.set_major_formatter(FuncFormatter(lambda value, _: zeros.sub(r"\1", number(value, unit))))
    axis.grid(visible=True)
    axis.set_tick_params(length=0)


def rows_axis(ax: Any, names: Sequence[str], *, show: bool = True, space: float = 0) -> None:
    """One line per name, the first on top, with `space` lines above it."""
    ax.set_ylim(len(names) - 0.5, -0.5 - space)
    ax.set_yticks(range(len(names)), [cut(name) for name in names] if show else [""] * len(names))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_visible(False)


def held(figure: Figure) -> tuple[float, float]:
    """What an axis must hold of a known figure: its interval, or of one that is too wide for any axis its value."""
    ends, value = spread(figure), float(figure.value or 0)
    return (value, value) if ends is None or wide(figure) else (min(value, ends[0]), max(value, ends[1]))


def fitted(values: Sequence[float], room: float, *, log: bool = False) -> tuple[float, float]:
    """Ends of an axis that holds these values, with a share of its length as `room` on both sides."""
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    if log:
        factor = max((high / low) ** room, 1.5)
        return low / factor, high * factor
    more = (high - low or 0.1) * room
    return low - more, high + more


def whisker(ax: Any, y: float, figure: Figure, *, cap: float = 0.1, colour: str = INK, named: bool = True) -> None:
    """The interval as a line with ends, where there is one; with an arrow where it goes on beyond the axis.

    The limits of the axis must be set. `cap` is half the height of an end, `named` says that a wide interval is wide.
    """
    from matplotlib.markers import CARETLEFT, CARETRIGHT

    ends = spread(figure)
    if ends is None:
        return
    left, right = ax.get_xlim()
    low, high = max(ends[0], left), min(ends[1], right)
    for paint, width in ((PAPER, 3.0), (colour, 1.1)):  # a pale edge, to be seen on a dark bar
        style: dict[str, Any] = {"color": paint, "linewidth": width, "solid_capstyle": "butt", "zorder": 4}
        ax.plot([low, high], [y, y], **style)
        for x, end, arrow in ((low, ends[0], CARETLEFT), (high, ends[1], CARETRIGHT)):
            if x == end:
                ax.plot([x, x], [y - cap, y + cap], **style)
            else:
                ax.plot([x], [y], marker=arrow, color=paint, markersize=3.5 + width, clip_on=False, zorder=4)
    if named and wide(figure):
        note(ax, interval(figure), (high, y), (-2, -7), ha="right", fontsize=6.5)


def amount(ax: Any, y: float, ledger: Ledger, what: str, figure: Figure, least: float = -math.inf) -> None:
    """A figure's interval, and its number to the right of it and of `least`; above it where the line goes on."""
    whisker(ax, y, figure)
    label(ax, max(least, held(figure)[1]), y, ledger, what, figure, offset=(5, 8 if wide(figure) else 0))


def today(ax: Any, ledger: Ledger, now: Row, height: float) -> None:
    """A dashed upright line at today's value, named at a `height` between 0 and 1."""
    x = float(now[1].value or 0)
    ax.axvline(x, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
    style: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "backgroundcolor": PAPER, "zorder": 7}
    shown = label(ax, x, height, ledger, *now, offset=(5, 0), fontsize=7, **style)
    shown.set_text(f"{now[0]}: {shown.get_text()}")
