"""Tables say units and kinds once, explain every gap, and take no text for markup."""

from __future__ import annotations

import re

import pytest
from report.samples import money

from costlib.figure import Figure
from costlib.report.ledger import Ledger
from costlib.report.tables import table


def test_a_shared_unit_and_kind_stand_in_the_header_only() -> None:
    html = str(
        table(Ledger(), "t", "Costs", [{"Workload": "a", "Cost": money(1)}, {"Workload": "b", "Cost": money(2)}])
    )
    head, body = html.split("<tbody>")
    assert "USD per month" in head and 'class="kind derived"' in head
    assert "per month" not in body and "kind" not in body
    assert '<th scope="row">a</th>' in body


def test_mixed_kinds_stand_in_the_cells() -> None:
    quoted = Figure(2, "USD/month", "quoted", "list", reason="exact")
    html = str(table(Ledger(), "t", "Costs", [{"Workload": "a", "Cost": money(1)}, {"Workload": "b", "Cost": quoted}]))
    head, body = html.split("<tbody>")
    assert "kind" not in head and "kind derived" in body and "kind quoted" in body


def test_mixed_units_are_refused_unless_asked_for() -> None:
    rows = [{"Workload": "a", "Cost": money(1)}, {"Workload": "b", "Cost": money(1, unit="USD/hour")}]
    with pytest.raises(ValueError, match="mixes units USD/hour, USD/month"):
        table(Ledger(), "t", "Costs", rows)
    html = str(table(Ledger(), "t", "Costs", rows, mixed=("Cost",)))
    assert "$1.00 per month" in html and "$1.00 per hour" in html


def test_each_reason_is_one_note_and_every_mark_leads_to_it() -> None:
    def gap(reason: str) -> Figure:
        return Figure(None, "USD/month", "derived", "s", reason=reason)

    rows = [{"Workload": str(i), "Cost": gap(reason)} for i, reason in enumerate(["first", "second", "first"])]
    html = str(table(Ledger(), "t", "Costs", rows))
    assert re.findall(r'href="#(t-\w)"', html) == ["t-a", "t-b", "t-a"]
    assert html.count("<li id=") == 2 and '<li id="t-a"><b>a</b> <span data-n="n1">first</span></li>' in html


def test_text_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>"
    html = str(table(Ledger(), "t", evil, [{evil: evil, "Cost": money(1)}]))
    assert "<script" not in html


def test_the_total_is_a_row_of_its_own_and_numbers_are_named_by_row_and_column() -> None:
    ledger = Ledger()
    html = str(
        table(ledger, "t", "Costs", [{"Workload": "a", "Cost": money(1)}], total={"Workload": "All", "Cost": money(1)})
    )
    assert html.count("<tr") == 3 and '<tr class="total">' in html
    assert [row["what"] for row in ledger.rows()] == ["a · Cost", "All · Cost"]


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [{"Workload": "a", "Cost": money(1, 0.5, 2)}]
    assert str(table(Ledger(), "t", "C", rows)) == str(table(Ledger(), "t", "C", rows))


def test_columns_are_the_titles_of_all_rows_or_those_asked_for_and_what_is_never_one() -> None:
    rows = [{"Workload": "a", "what": "hidden"}, {"Workload": "b", "Cost": money(1)}]
    ledger = Ledger()
    heads = re.findall(r'<th scope="col"[^>]*> <span class="whole">(\w+)', str(table(ledger, "t", "C", rows)))
    assert heads == ["Workload", "Cost"] and ledger.rows()[0]["what"] == "b \u00b7 Cost"
    chosen = str(table(Ledger(), "t", "C", rows, columns={"Cost": "Price"}))
    assert "Price" in chosen and "Workload" not in chosen
    assert str(table(Ledger(), "t", "C", [])) == ""
