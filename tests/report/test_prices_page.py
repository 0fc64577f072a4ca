"""The prices page: the ladder is the price book's, savings are two requests apart, moves are the diff's."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from report.samples import study_in
from report.test_look import seen

from costlib.errors import InputError
from costlib.prices.api import price_request
from costlib.prices.book import load_book
from costlib.prices.changes import diff
from costlib.report.moves_page import MOVES
from costlib.report.page import long_date
from costlib.report.prices_page import PricesPage, prices_page
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents

BOOK = load_book()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> PricesPage:
    root = tmp_path_factory.mktemp("prices")
    return prices_page(str(study_in(root)), str(root / "store"))


def pieces(page: PricesPage) -> list[Any]:
    return [
        page.opening(), page.ladder_heading(), page.ladder_chart(), page.ladder_table(), page.savings_heading(),
        page.savings_text(), page.savings_chart(), page.savings_table(), page.moves_heading(), page.moves_chart(),
        page.own_text(), page.own_table(), page.effects_table(),
    ]  # fmt: skip


def test_every_piece_renders_and_lists_its_numbers(page: PricesPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    rows = {row["id"]: row for row in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    assert all(row["source"] and row["unit"] and (row["reason"] or row["low"] is not None) for row in rows.values())
    figures = re.findall(r'<svg [^>]*aria-label="([^"]+)"', html)
    assert len(figures) == 3 and all(" of " in alt and " where " in alt for alt in figures)
    assert page.close().facts["provenance"]["Prices"].startswith(BOOK.source)


def test_the_ladder_is_the_price_books_and_descends(page: PricesPage) -> None:
    rows = page.ladder_rows
    assert len(rows) >= 5 and [row["usd"].value for row in rows] == sorted((r["usd"].value for r in rows), reverse=True)
    for row in rows:
        option = row["option"]
        tokens = {"input_tokens": page.request.input_tokens, "output_tokens": page.request.output_tokens}
        priced = price_request(BOOK, option.model, option.provider, **tokens, as_of=page.study.as_of)
        assert row["usd"].value == priced.total * 1000
        assert row["input"].value == priced.lines[0].usd_per_mtok and row["input"].kind == "quoted"


def test_a_saving_is_what_two_requests_differ_by_and_a_missing_price_saves_nothing(page: PricesPage) -> None:
    for row in page.savings:
        bands = BOOK.sheet(row["option"].model, row["option"].provider, as_of=page.study.as_of).bands
        if "cache_read" not in bands:
            assert row["cache"].value is None and row["cache"].reason
            continue
        per_token = (bands["input"][0].usd_per_mtok - bands["cache_read"][0].usd_per_mtok) / 1_000_000
        saved = per_token * page.request.cached_tokens * 1000 / row["usd"].value
        assert abs(row["cache"].value - saved) < Decimal("1e-12")
        if row["reads"].value is not None:
            assert row["hits"].value == row["reads"].value / (1 + row["reads"].value)


def test_moves_are_those_of_the_diff(page: PricesPage) -> None:
    frame = diff(BOOK, BOOK, before_day=page.since, after_day=page.study.as_of)
    assert len(page.moves) == frame["change"].isin(MOVES).sum() > 10
    largest = page.largest
    factors = [max(r["usd_per_mtok_after"], r["usd_per_mtok_before"]) / min(r["usd_per_mtok_after"],
               r["usd_per_mtok_before"]) for r in largest]  # fmt: skip
    assert factors == sorted(factors, reverse=True) and len(largest) <= 12
    assert str(page.since) == "2025-11-10"


def test_the_effect_on_the_plan_is_unknown_where_a_model_was_not_listed_yet(page: PricesPage) -> None:
    for row in page.effects:
        known = row["before_usd"] is not None and row["after_usd"] is not None
        assert (row["effect_usd"] is not None) == known and (known or row["reason"])


def test_moves_of_a_studys_own_models_are_listed(tmp_path: Path) -> None:
    moved = prices_page(str(study_in(tmp_path)), str(tmp_path / "store"), "2026-09-01")
    own = [r for r in moved.changes if (r["provider"], r["model"]) in moved.models and r["change"] in MOVES]
    assert ("own-changes" in moved.own_table().text) == bool(own)
    assert "of this study" in moved.own_text().text


def test_a_model_sold_later_has_no_bill_then_and_the_note_says_since_when(page: PricesPage) -> None:
    late = [row for row in page.effects if row["before_usd"] is None]
    assert late
    html = page.effects_table().text
    for row in late:
        of = page.book.by_model[row["provider"], row["model"]]
        first = min(price.known_from for price in of if price.tier == row["tier"])
        assert first > page.since and f"no price is known before {long_date(first)}" in html
    assert "allowed" not in html


@pytest.mark.parametrize("since", ["2026-11-10", "2027-01-01", "last year", "2026-02-30"])
def test_a_day_that_is_none_or_too_late_is_refused(tmp_path: Path, since: str) -> None:
    with pytest.raises(InputError, match=f"since is '{since}'"):
        prices_page(str(study_in(tmp_path)), str(tmp_path / "store"), since)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: PricesPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in [*pieces(page), page.close().html])
    text = html_page("prices", with_contents(f"<h1>A title</h1>{body}") + provenance_block([("Run", "1")]))
    assert seen(text, width, tmp_path) == []
