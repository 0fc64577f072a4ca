"""Numbers as people read them, and a ledger that misses none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from report.samples import money

from costlib.figure import Figure, Kind, spreadsheet_cell
from costlib.report.ledger import COLUMNS, Ledger, interval
from costlib.report.ledger import wide as is_wide
from costlib.reporting.markup import badge
from costlib.reporting.numbers import number, unit_text


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.5e-6, "USD/request", "$0.0000015"),
        (0.25, "USD/hour", "$0.25"),
        (0.0421, "USD/Mtok", "$0.0421"),
        (14.2, "USD/Mtok", "$14.20"),
        (99.999, "USD/Mtok", "$100.00"),
        (178861.4, "USD/month", "$178,861"),
        (Decimal("-540.00"), "USD/month", "\u2212$540"),
        (2_400_000, "USD/month", "$2.4\u202fmillion"),
        (0, "USD/Mtok", "$0"),
        (0.942, "share", "94.2\u202f%"),
        (1, "probability", "100\u202f%"),
        (536_000_000, "bytes", "536\u202fMB"),
        (1_150_000_000, "bytes", "1.15\u202fGB"),
        (12, "bytes", "12\u202fbytes"),
        (14.23, "tokens/s", "14.2"),
        (0.665, "tokens/s", "0.665"),
        (2, "replicas", "2"),
        (450_000, "requests/month", "450,000"),
        (699_118, "requests/month", "699,000"),
        (7_163_700, "requests/month", "7.16\u202fmillion"),
        (0.00001, "p-value", "< 0.0001"),
        (1.29, "ratio", "1.29"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) == shown


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("USD/month", " per month"),
        ("USD/Mtok", " per million tokens"),
        ("tokens/s", " tokens/s"),
        ("requests/month", " requests per month"),
        ("share", ""),
        ("ratio", "\u202f\u00d7"),
        ("USD", ""),
    ],
)
def test_units_follow_the_number(unit: str, text: str) -> None:
    assert unit_text(unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1, "requests", "1 request"),
        (2, "requests", "2 requests"),
        (1, "requests/month", "1 request per month"),
        (1, "processes", "1 process"),
        (1, "s", "1 s"),
        (1, "times", "1 times"),
        (38, "USD/h", "$38.00 per hour"),
        (730, "h", "730 hours"),
        (0.6, "share of the peak hour", "60.0\u202f% of the peak hour"),
    ],
)
def test_one_thing_is_not_several_and_units_are_spelt(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) + unit_text(unit, value) == shown


def test_an_interval_names_its_unit_once_and_is_left_out_where_it_says_nothing() -> None:
    assert interval(Figure(0.9, "share", "measured", "run", 0.85, 0.95)) == "85.0 to 95.0\u202f%"
    assert interval(money(3, 2, 4)) == "$2.00 to $4.00"
    assert interval(money(0, 0, 0)) == ""
    assert interval(money(3)) == ""


def test_an_interval_too_wide_to_say_anything_is_told_in_words_and_kept_in_the_ledger() -> None:
    wide = Figure(4.48, "tokens/s", "measured", "run", 5.8e-7, 3.46e7)
    assert interval(wide) == "interval over 100-fold" and is_wide(wide)
    assert not is_wide(Figure(4, "tokens/s", "measured", "run", 1, 100))
    assert not is_wide(money(4, -1, 1000)) and not is_wide(money(4))
    ledger = Ledger()
    assert "3.46e7" not in ledger.show("x", wide) and ledger.rows()[0]["high"] == 3.46e7


def test_the_same_figure_keeps_its_number_and_another_gets_the_next() -> None:
    ledger = Ledger()
    assert [ledger.add("a", money(1)), ledger.add("b", money(1)), ledger.add("a", money(1))] == ["n1", "n2", "n1"]
    assert ledger.words(money(1)) == "a"
    assert ledger.words(money(2)) is None


def test_what_is_shown_is_escaped_linked_and_listed() -> None:
    ledger = Ledger()
    shown = ledger.show("<script>alert(1)</script>", money(5, 4, 6))
    assert '<a class="n" data-n="n1" href="#n1">$5.00 per month</a>' in shown
    assert '<span class="interval" data-n="n1">$4.00 to $6.00</span>' in shown
    assert badge("derived") in shown
    assert "<script>" not in str(ledger.html()) and "&lt;script&gt;" in str(ledger.html())
    assert 'id="n1"' in str(ledger.html())


def test_an_unknown_number_is_a_dash_with_its_reason() -> None:
    ledger = Ledger()
    shown = ledger.show("x", Figure(None, "J/token", "measured", "run", reason='no "NVML" here'))
    assert "\u2013</a>" in shown and "no &quot;NVML&quot; here" in shown
    assert ledger.rows()[0]["reason"] == 'no "NVML" here' and ledger.rows()[0]["value"] is None


def test_rows_are_plain_and_money_keeps_its_digits() -> None:
    ledger = Ledger()
    ledger.add("x", Figure(Decimal("0.10"), "USD", "quoted", "list"))
    assert list(ledger.frame().columns) == COLUMNS
    assert ledger.rows() == [
        {"id": "n1", "what": "x", "value": "0.10", "low": None, "high": None, "reason": "no interval was given",
         "unit": "USD", "kind": "quoted", "source": "list"}
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["measured", "quoted", "assumed", "derived"])
def test_a_kind_is_a_letter_and_a_word_not_only_a_colour(kind: Kind) -> None:
    assert f">{kind[0].upper()}<" in badge(kind) and f'title="{kind}:' in badge(kind)


@pytest.mark.parametrize("text", ["=SUM(A1)", "+1+1", "-2+3", "@cmd", "  =1+1", "\t=1", "\r=1"])
def test_text_that_looks_like_a_formula_is_disarmed(text: str) -> None:
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("value", ["-540.00", "12", "1e-06", "a=b", "", None, -5, 0.5])
def test_numbers_and_ordinary_text_stay_as_they_are(value: object) -> None:
    assert spreadsheet_cell(value) == value
