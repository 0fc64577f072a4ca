"""The usage page: its numbers are the log's, what does not tie is shown, and the synthetic log says that it is one."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from report.samples import explained, study_in
from report.test_look import seen

from costlib.errors import InputError
from costlib.portfolio.samples import LOG_INVOICE_USD, write_log
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.usage_page import UsagePage, usage_page


def pieces(page: UsagePage) -> list[Any]:
    """Everything the notebook shows, in its order."""
    return [
        page.opening(), page.caution(), page.read_heading(), page.read_table(), page.rhythm_heading(),
        page.rhythm_chart(), page.tokens_heading(), page.tokens_chart(), page.tokens_table(), page.prefix_heading(),
        page.prefix_table(), page.spend_heading(), page.spend_table(), page.unpriced(), page.invoice_heading(),
        page.invoice_table(),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a log of four calls at 9 o'clock of two days and one at 10 o'clock, and two records of no use."""
    file = study_in(tmp_path_factory.mktemp("usage"))
    call = {"model": "gpt-4o", "provider": "openai", "workload": "a", "input_tokens": 1000, "output_tokens": 100}
    times = ["2026-11-02T09:00:00Z", "2026-11-02T09:30:00Z", "2026-11-03T09:10:00Z", "2026-11-03T10:00:00Z"]
    rows = [call | {"timestamp": time} for time in times] + [call, call | {"timestamp": times[0], "model": None}]
    (file.parent / "calls.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def page(study: Path) -> UsagePage:
    return usage_page(str(study), "calls.jsonl", 0.02)


def test_every_number_is_the_logs_and_explained(page: UsagePage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    explained(page.ledger, html)
    rows = {row["what"]: row for row in page.ledger.rows()}
    assert rows["The log at list prices"]["value"] == "0.014"  # 4 x (1000 x 2.5 + 100 x 10) / 1e6
    assert rows["Invoice beyond that"]["value"] == "0.006"
    assert rows["a · busiest hour"]["value"] == 0.75 and rows["a · busiest weekday"]["value"] == 0.5
    assert rows["left out: no time · Count"]["value"] == rows["left out: no model · Count"]["value"] == 1
    assert rows["used as calls · Count"]["kind"] == "measured"
    assert "no prompts" in html and "the log has no cost column" in html


def test_the_end_ties_what_was_read_and_what_was_billed(page: UsagePage) -> None:
    ties = page.close().facts["ties"]
    assert ties[0] == {"what": "records", "total": "6", "parts": ["4", "1", "1"]}
    assert Decimal(ties[1]["total"]) == sum(map(Decimal, ties[1]["parts"])) == Decimal("0.02")


@pytest.mark.parametrize("invoice", [0.0, 9.0])
def test_a_log_of_own_servers_has_no_bill_and_says_why(study: Path, invoice: float) -> None:
    call = {"model": "our-own-7b", "input_tokens": 1000, "output_tokens": 100, "timestamp": "2026-11-02T09:00:00Z"}
    (study.parent / "own.jsonl").write_text(json.dumps(call) + "\n", encoding="utf-8")
    page = usage_page(str(study), "own.jsonl", invoice)
    html = "".join(piece._repr_html_() for piece in pieces(page))
    explained(page.ledger, html)
    rows = {row["what"]: row for row in page.ledger.rows()}
    for what in ("The log at list prices", "Spent on unnamed", *(["Invoice beyond that"] if invoice else [])):
        assert rows[what]["value"] is None and rows[what]["reason"] == "no request of the log has a price"
    assert "has no known cost" in page.answer and "its bill is unknown" in html
    assert ("No invoice was given" in html) == (not invoice)
    assert [tie["what"] for tie in page.close().facts["ties"]] == ["records"]


def test_without_a_log_a_synthetic_one_is_read_and_named(study: Path, tmp_path: Path) -> None:
    page = usage_page(str(study))
    html = "".join(piece._repr_html_() for piece in pieces(page))
    assert "The log is synthetic" in html and "in-house-summarizer" in html
    explained(page.ledger, html)
    assert not any(row["kind"] == "measured" for row in page.ledger.rows())
    assert page.usage.read == page.usage.used + sum(page.usage.rejected.values()) == page.usage.used + 7
    assert page.usage.invoice_usd == Decimal(str(LOG_INVOICE_USD))
    assert write_log(tmp_path / "a.jsonl").read_bytes() == write_log(tmp_path / "b.jsonl").read_bytes()


def test_a_log_that_is_not_there_and_a_negative_invoice_are_refused(study: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl"):
        usage_page(str(study), "none.jsonl")
    with pytest.raises(InputError, match="invoice_usd is -1"):
        usage_page(str(study), "calls.jsonl", -1.0)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(study: Path, width: int, tmp_path: Path) -> None:
    page = usage_page(str(study))
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("usage", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
