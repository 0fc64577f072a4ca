"""Sentences, cards and headings: every figure in them is listed, and whatever a study calls things stays text."""

from __future__ import annotations

import pytest
from report.samples import money

from costlib.figure import Figure
from costlib.report.page import Page, listed, long_date
from costlib.reporting.look import END


def test_the_summary_answers_first_and_lists_every_figure_once() -> None:
    page = Page("Study test")
    html = str(page.summary("It costs {cost} for {who}.", [("Cost", money(3, 2, 4))], cost=money(3, 2, 4), who="<b>"))
    assert page.answer == "It costs $3.00 per month for <b>."
    assert html.index('class="headline"') < html.index('class="cards"') < html.index("Kinds of numbers")
    assert "95 % interval $2.00 to $4.00" in html and "&lt;b&gt;" in html and "<b>" not in html.split("Kinds")[0]
    assert [row["what"] for row in page.ledger.rows()] == ["Cost"]


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Figure(0.5, "USD/Mtok", "derived", "s", 0.4, 0.6), "95 % interval $0.40 to $0.60"),
        (Figure(4, "tokens/s", "measured", "s", 1e-6, 1e6), "95 % interval over 100-fold"),
        (Figure(4, "bytes", "measured", "s", reason="counted"), "counted"),
        (Figure(None, "J/token", "measured", "s", reason="no meter"), "no meter"),
    ],
)
def test_a_card_says_its_interval_or_why_there_is_none(figure: Figure, said: str) -> None:
    assert said in str(Page("Study test").summary("x", [("What", figure)]))


def test_a_heading_can_leave_the_unit_out_and_names_are_text() -> None:
    page = Page("Study test")
    html = str(page.heading("{name}: from {low:bare} to {high}", name="{x} & <y>", low=money(1), high=money(2)))
    assert "{x} &amp; &lt;y&gt;: from " in html and ">$1.00</a> to " in html and ">$2.00 per month</a>" in html


def test_the_end_carries_the_ledger_and_the_marker() -> None:
    page = Page("Study test")
    page.text("{cost}", cost=money(1))
    bundle = page.end(runs=["r"])._repr_mimebundle_()
    assert bundle[END]["complete"] is True and bundle[END]["runs"] == ["r"] and len(bundle[END]["ledger"]) == 1
    assert 'id="n1"' in bundle["text/html"]


def test_styles_for_jupyterlab_reach_outputs_only() -> None:
    style = str(Page("Study test").style())
    assert style.startswith("<style>@scope (.jp-OutputArea-output) {") and ":root" not in style


def test_words() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert long_date("2026-11-10T01:02:03+00:00") == "10 November 2026"
