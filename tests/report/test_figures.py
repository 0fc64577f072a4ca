"""Every form of chart draws, names its numbers in the ledger, and gives the same bytes twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from report.samples import money

from costlib.figure import Figure
from costlib.report.chart import PAPER, Chart, whisker
from costlib.report.figures import Group, Panel, Part, bars, dots, matrix, stacked, waterfall
from costlib.report.ledger import Ledger
from costlib.report.lines import Curve, Spot, curves, plane
from costlib.reporting.charts import PALETTE

NAME = "A <b> & $x$ =1"
UNKNOWN = Figure(None, "USD/month", "derived", "s", reason="not known")
GROUP = Group("API", "o", "#ffffff")
PARTS = [Part("use", PALETTE[0]), Part("idle", PALETTE[1], "///")]

MARKS = ("chosen", "possible", "l")

WIDE = money(3, 1e-6, 1e6)

FORMS: dict[str, Callable[[Ledger], str]] = {
    "bars": lambda led: bars(
        led, "c", [Panel("Cost", [(NAME, money(3, 2, 4)), ("b", UNKNOWN), ("c", WIDE)], [money(3.1), None, None])]
    ),
    "reference": lambda led: bars(led, "c", [Panel("Ratio", [(NAME, money(1, 1, 1))], reference=(1.0, "as $x$"))]),
    "dots": lambda led: dots(led, "c", [(NAME, [(GROUP, money(3, 2, 4))]), ("b", [(GROUP, UNKNOWN)])], "USD"),
    "stacked": lambda led: stacked(led, "c", PARTS, [(NAME, [money(1), money(2)], money(3, 2, 5))], "USD"),
    "waterfall": lambda led: waterfall(
        led, "c", (NAME, money(9, 8, 10)), [("x", money(4)), ("y", money(-1))], ("P", money(6)), "USD"
    ),
    "matrix": lambda led: matrix("c", [NAME], [*"xyz"], dict(zip([(NAME, c) for c in "xyz"], MARKS, strict=True))),
    "curves": lambda led: curves(led, "c", [Curve(NAME, [1, 2, 3], [-1, 0, 2], 2)], ("x", "y"), ("", ""), zero=True),
    "odds": lambda led: curves(
        led, "c", [Curve(NAME, [1, 10, 100], [0, 0.5, 1], 10, money(0.7, unit="share"))], ("x", "y"), ("", "share"),
        now=("now", money(20, unit="requests/month")),
    ),
    "plane": lambda led: plane(
        led, "c", [Spot(NAME, money(3, 2, 4), money(0.9, 0.8, 1, unit="share")), Spot("b", WIDE, money(1)),
                   Spot("c", UNKNOWN, money(1, unit="share"), plain=False)], [(1, 0.5), (3, 0.9)], ("x", "y"), log=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_lists_its_numbers_escapes_names_and_is_stable(form: str) -> None:
    ledger = Ledger()
    svg = FORMS[form](ledger)
    assert svg == FORMS[form](Ledger())
    assert svg.startswith("<svg ") and "A &lt;b&gt; &amp; $x$ =1" in svg
    assert "<b>" not in svg and "<metadata" not in svg and "<!--" not in svg
    listed = {row["id"] for row in ledger.rows()}
    linked = set(re.findall(r'data-n="(n\d+)"', svg))
    assert linked <= listed
    assert linked or form in ("matrix", "curves", "plane")
    assert listed or form in ("matrix", "curves")
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
    assert set(used) <= set(re.findall(r' id="([^"]+)"', svg))
    assert all(name.startswith("c-") for name in re.findall(r' id="([^"]+)"', svg))


@pytest.mark.parametrize("form", ["bars", "dots", "stacked", "waterfall", "plane"])
def test_an_interval_too_wide_for_the_axis_runs_to_its_edge_and_is_named(form: str) -> None:
    """The axis stays that of the values, or nothing else could be read from the chart."""
    wide, narrow = money(3, 1e-6, 1e6), money(4, 3, 5)
    forms: dict[str, Callable[[Figure], str]] = {
        "bars": lambda f: bars(Ledger(), "c", [Panel("Cost", [("a", f), ("b", narrow)])]),
        "dots": lambda f: dots(Ledger(), "c", [("a", [(GROUP, f)]), ("b", [(GROUP, narrow)])], "USD"),
        "stacked": lambda f: stacked(Ledger(), "c", PARTS, [("a", [money(1), money(2)], f)], "USD"),
        "waterfall": lambda f: waterfall(Ledger(), "c", ("a", f), [("x", money(1))], ("P", money(2)), "USD"),
        "plane": lambda f: plane(Ledger(), "c", [Spot("a", f, narrow), Spot("b", narrow, narrow)], [], ("x", "y")),
    }
    drawn, bare = forms[form](wide), forms[form](money(3))
    assert "interval over 100-fold" in drawn and "interval over" not in bare
    ticks = [re.findall(r">(\$?[\d.,]+)<", svg) for svg in (drawn, bare)]
    assert ticks[0] == ticks[1]
    assert drawn.count("<path") > bare.count("<path")


def test_a_wide_interval_ends_where_it_ends_within_the_axis() -> None:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.markers import CARETRIGHT

    ax = Canvas().subplots()
    ax.set_xlim(0, 10)
    whisker(ax, 0, money(3, 0.01, 20))
    lines = [(list(line.get_xdata()), line.get_marker()) for line in ax.lines]
    assert ([0.01, 10.0], "None") in lines and ([0.01, 0.01], "None") in lines  # closed on the left
    assert ([10.0], CARETRIGHT) in lines and ([10.0, 10.0], "None") not in lines  # open on the right
    assert ax.get_xlim() == (0, 10)


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_neighbouring_colours_differ_three_to_one() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert len(PALETTE) <= 4
    for one, other in pairwise(PALETTE):
        assert _contrast(one, other) >= 3, (one, other)
    assert _contrast(PALETTE[0], PAPER) >= 3


def chart(**changes: str) -> Chart:
    words = {
        "name": "c",
        "finding": "A costs most",
        "measure": "USD",
        "source": "Source: test",
        "alt": "Bar chart of costs where A costs most",
        "svg": "<svg viewBox='0 0 1 1'></svg>",
    }
    return Chart(**(words | changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("finding", "one two three four five six seven eight nine ten eleven"),
        ("finding", ""),
        ("alt", ""),
        ("alt", "A chart"),
    ],
)
def test_a_chart_without_a_short_finding_and_alt_text_cannot_be_made(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        chart(**{field: value})


def test_alt_text_is_read_out_and_escaped() -> None:
    html = str(chart(alt='Bar chart of "x" where <y> leads').html())
    assert 'role="img" aria-label="Bar chart of &quot;x&quot; where &lt;y&gt; leads"' in html
    assert "<title>Bar chart of &quot;x&quot; where &lt;y&gt; leads</title>" in html
