"""Every form of chart draws, names its numbers in the ledger, and gives the same bytes twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from report.samples import money

from costlib.figure import Figure
from costlib.report.chart import PALETTE, PAPER, Chart, ends
from costlib.report.decisions import flips, staircase, tornado
from costlib.report.figures import Group, Panel, Part, bars, dots, matrix, stacked, waterfall
from costlib.report.ledger import Ledger

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
    "staircase": lambda led: staircase(
        led, "c", [1, 10, 100], [(NAME, [50.0, 50, 50]), ("API", [5.0, 50, 500])],
        [("break-even", money(10, unit="requests/month"), "API"), ("never", UNKNOWN, "API")], ("x", "y"),
        ("now", money(20, unit="requests/month")),
    ),
    "tornado": lambda led: tornado(led, "c", [(NAME, money(5), money(9), "1", "2")], money(7), "USD"),
    "flips": lambda led: flips(led, "c", [(NAME, money(5), [(money(2), "x"), (money(9), NAME)])], "USD"),
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
    assert linked or form == "matrix"
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
    assert set(used) <= set(re.findall(r' id="([^"]+)"', svg))
    assert all(name.startswith("c-") for name in re.findall(r' id="([^"]+)"', svg))


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_an_interval_too_wide_for_the_axis_is_cut_with_an_arrow_and_said() -> None:
    """A line that is not drawn would look like certainty."""
    assert ends(WIDE) == (1, 9) and ends(money(3, 2, 1e6)) == (2, 9)
    assert ends(money(3, 2, 4)) == (2, 4) and ends(money(3)) is None and ends(UNKNOWN) is None
    wide, narrow = (bars(Ledger(), "c", [Panel("Cost", [("a", figure)])]) for figure in (WIDE, money(3, 2, 4)))
    assert "interval over 100-fold" in wide and "interval over" not in narrow
    assert wide.count("<use ") == narrow.count("<use ") + 2  # an arrow at either end


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
