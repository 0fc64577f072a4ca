"""What every chart has in common: one look, words instead of names of columns, and names at the ends of lines.

`theme` sets seaborn and matplotlib, so that an analyst's own figure looks like the others; `dress` turns labels that
are names of columns into words with their unit, `drawing` a figure into markup with alt text. What a chart shows is
drawn in a notebook.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from costlib.reporting.numbers import NARROW, header_unit, is_share, number
from costlib.tables.columns import COLUMNS, known

PALETTE = ("#12355b", "#e3a83b", "#7c2d3c", "#c3ccd4")
"""Neighbours differ at least 3:1 in contrast, also to a reader who sees no colour; at most these four in one chart."""
LINES = ("#12355b", "#b35900", "#0f7a6c", "#7a4fa3")
"""Colours of thin lines, all dark enough on white."""
INK, SOFT, LINE = "#1b2733", "#51606e", "#d7dde2"

LONGEST = 36
"""Letters of a name in a chart; the numbers beside it have it whole."""


def theme() -> None:
    """One font, no frame, four colours; the same inputs draw the same bytes."""
    import seaborn

    seaborn.set_theme(
        style="ticks",
        palette=list(PALETTE),
        rc={
            "figure.figsize": (7.4, 3.7),
            "figure.constrained_layout.use": True,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, and wider than what a browser will use
            "font.size": 9,
            "axes.labelsize": 9,
            "axes.labelcolor": SOFT,
            "axes.edgecolor": SOFT,
            "axes.titlesize": 9,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "xtick.labelcolor": SOFT,
            "ytick.labelcolor": INK,
            "text.color": INK,
            "text.parse_math": False,  # a workload's name may hold dollar signs
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "legend.title_fontsize": 8.5,
            "patch.edgecolor": "white",
            "hatch.linewidth": 0.8,
            "lines.linewidth": 1.8,
            "svg.fonttype": "none",
            "svg.hashsalt": "costlib",
        },
    )


def cut(text: str, most: int = LONGEST) -> str:
    """A name short enough for an axis."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def label_ends(ax: Any, lines: Mapping[str, tuple[float, float]], gap: float = 13) -> None:
    """Write each name right of the end (x, y) of its line, pushed apart so that no two touch; then drop the legend."""
    ax.figure.draw_without_rendering()
    place = {name: ax.transData.transform(end) for name, end in lines.items()}
    last = float("-inf")
    for name, (_, y) in sorted(place.items(), key=lambda item: item[1][1]):
        at = max(y, last + gap)
        ax.annotate(cut(name), lines[name], xytext=(6, at - y - 4), textcoords="offset pixels")
        last = at
    if ax.get_legend():
        ax.get_legend().remove()


def dress(ax: Any) -> str:
    """Labels that are names of columns become words, ticks plain numbers, long names short; returns what is drawn."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatter, ScalarFormatter

    names = []
    for axis, name in ((ax.xaxis, ax.get_xlabel()), (ax.yaxis, ax.get_ylabel())):
        formatter = axis.get_major_formatter()
        words = isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator))
        if words or (name in COLUMNS and COLUMNS[name].type == "text"):
            _shorten(axis)
            own = not name.isidentifier()
            names.append((name if own else _label(name)).lower())
            axis.set_label_text(name if own else "")
        elif name in COLUMNS or (name.isidentifier() and "_" in name):
            about = known(name)
            if isinstance(formatter, (ScalarFormatter, LogFormatter)):
                axis.set_major_formatter(FuncFormatter(lambda v, _, unit=about.unit: _tick(v, unit)))
                axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
            unit = header_unit(about.unit)
            said = is_share(about.unit) or about.unit in ("bytes", "ratio") or not unit  # by the ticks or the label
            axis.set_label_text(about.label if said else f"{about.label}, {unit}")
            names.append(about.label.lower())
        elif name:
            names.append(name)
    legend = ax.get_legend()
    for text in legend.get_texts() if legend else []:
        text.set_text(cut(_label(text.get_text())))
    kind = "Line chart" if ax.lines else "Dot chart"
    kind = "Bar chart" if ax.containers else kind
    kind = "Heat map" if any(type(c).__name__ == "QuadMesh" for c in ax.collections) else kind
    return f"{kind} of {' by '.join(filter(None, names)) or 'numbers'}"


def _label(name: str) -> str:
    return COLUMNS[name].label if name in COLUMNS else name.replace("_", " ") if name.isidentifier() else name


def _shorten(axis: Any) -> None:
    """Long names of a category axis, cut."""
    axis.figure.draw_without_rendering()
    texts = [text.get_text() for text in axis.get_ticklabels()]
    if any(len(text) > LONGEST for text in texts):
        axis.set_ticks(axis.get_ticklocs(), [cut(text) for text in texts])


def _tick(value: float, unit: str) -> str:
    if unit == "bytes" and not value:
        return "0"
    if unit in ("bytes", "points") or is_share(unit) or abs(value) >= 10 or not value:
        return number(value, unit, 0) if abs(value) < 1e6 or unit == "bytes" else number(value, unit)
    return f"{'$' if unit.startswith('USD') else ''}{value:g}".replace("-", "\N{MINUS SIGN}")


def drawing(figure: Any, alt: str, name: str, style: str) -> str:
    """A figure as SVG markup with alt text; ids begin with `name`, so that two drawings on a page do not clash."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    svg = re.sub(r'(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    said = escape(alt.replace(" %", NARROW + "%"))
    return svg.replace("<svg ", f'<svg class="{style}" role="img" aria-label="{said}" ', 1)


def texts(axes: Iterable[Any]) -> list[str]:
    """What is written in a drawing beside its ticks."""
    found = []
    for ax in axes:
        found += [ax.get_title(loc) for loc in ("left", "center", "right")]
        found += [text.get_text() for text in (*ax.texts, ax.xaxis.label, ax.yaxis.label)]
    return found
