"""Numbers, kinds and dates as people read them, and text that no spreadsheet takes for a formula."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costlib.figure import Kind, spreadsheet_cell
from costlib.reporting.markup import badge
from costlib.reporting.numbers import between, listed, number, unit_text
from costlib.reporting.publish import long_date


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
    assert between(0.85, 0.95, "share", 0.9) == "85.0 to 95.0\u202f%"
    assert between(2, 4, "USD/month", 3) == "$2.00 to $4.00"
    assert between(0, 0, "USD/month", 0) == ""


def test_words() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert long_date("2026-11-10T01:02:03+00:00") == "10 November 2026"


@pytest.mark.parametrize("kind", ["measured", "quoted", "assumed", "derived"])
def test_a_kind_is_a_letter_and_a_word_not_only_a_colour(kind: Kind) -> None:
    assert f">{kind[0].upper()}<" in badge(kind) and f'title="{kind}:' in badge(kind)


@pytest.mark.parametrize("text", ["=SUM(A1)", "+1+1", "-2+3", "@cmd", "  =1+1", "\t=1", "\r=1"])
def test_text_that_looks_like_a_formula_is_disarmed(text: str) -> None:
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("value", ["-540.00", "12", "1e-06", "a=b", "", None, -5, 0.5])
def test_numbers_and_ordinary_text_stay_as_they_are(value: object) -> None:
    assert spreadsheet_cell(value) == value
