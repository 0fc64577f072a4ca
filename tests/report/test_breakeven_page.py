"""The break-even page: its crossings are the cost room's, its odds those of an independent simulation."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.samples import study_in
from report.test_look import seen

from costlib.cost.breakeven import monthly_usd
from costlib.errors import InputError
from costlib.report.breakeven_page import BreakevenPage, breakeven_page
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> BreakevenPage:
    root = tmp_path_factory.mktemp("breakeven")
    return breakeven_page(str(study_in(root)), str(root / "store"))


def pieces(page: BreakevenPage) -> list[Any]:
    return [
        page.opening(), page.stairs_heading(), page.breakeven_chart(), page.crossings_table(), page.tornado_heading(),
        page.tornado_chart(), page.ranges_table(), page.chance_heading(), page.chance_chart(), page.chance_table(),
    ]  # fmt: skip


def test_every_piece_renders_and_lists_its_numbers(page: BreakevenPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    rows = {row["id"]: row for row in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    for row in rows.values():
        assert row["source"] and row["unit"] and (row["reason"] or row["low"] is not None), row
        if row["low"] is not None:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"]), row
    figures = re.findall(r'<svg [^>]*aria-label="([^"]+)"', html)
    assert len(figures) == 3 and all(" of " in alt and " where " in alt for alt in figures)


def test_the_factors_at_their_values_give_the_duel(page: BreakevenPage) -> None:
    for one in page.rivals:
        contest = page.contest(one)
        base = {name: ends[1] for name, ends in contest.ends.items()}
        first = one.result.first_requests_per_month
        assert contest.first(**base) == (None if first is None else pytest.approx(first, rel=1e-6))
        for volume in (1e5, 5e6, 5e7):
            own, api = monthly_usd(one.hosting, one.price, volume)
            assert contest.own_usd(volume, **base) == pytest.approx(own)
            assert contest.api_usd(volume, **base) == pytest.approx(api, rel=1e-6)


def test_the_odds_are_those_of_an_independent_simulation(page: BreakevenPage) -> None:
    """Priced by hand with other random numbers, at the break-even itself, where they are neither 0 nor 1."""
    assert page.main is not None
    contest, volume = page.contest(page.main), float(page.main.figure().value or 0)
    random = np.random.default_rng(7)
    drawn = {
        name: random.triangular(*ends, 50_000) if ends[0] < ends[2] else np.full(50_000, ends[1])
        for name, ends in contest.ends.items()
    }
    seconds = drawn["prompt length"] / drawn["prefill speed"] + drawn["answer length"] / drawn["decode speed"]
    replicas = np.maximum(2, np.ceil(volume * seconds / (730 * 3600 * drawn["busy share allowed"])))
    share = (replicas * drawn["hourly rate"] * 730 < contest.api_usd(volume, **drawn)).mean()
    found = contest.cheaper(volume, 50_000).probability
    assert found is not None and 0.05 < found < 0.95 and found == pytest.approx(share, abs=0.01)


def test_the_tornado_moves_one_factor_and_ranks_by_swing(page: BreakevenPage) -> None:
    assert page.main is not None
    contest = page.contest(page.main)
    base = {name: ends[1] for name, ends in contest.ends.items()}
    sizes = [row["swing"] for row in page.swings]
    assert sizes == sorted(sizes, reverse=True)
    for row in page.swings:
        assert row["result_low"] == contest.first(**{**base, row["factor"]: row["low"]})
    assert {row["factor"] for row in page.swings} == {n for n, ends in contest.ends.items() if ends[0] < ends[2]}


def test_another_option_can_be_compared_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    study, store = str(study_in(tmp_path)), str(tmp_path / "store")
    other = breakeven_page(study, store, "Llama 3.1 8B fp8 on 1 x H100")
    assert other.rivals and {one.supply.name for one in other.rivals} == {"Llama 3.1 8B fp8 on 1 x H100"}
    assert "".join(piece._repr_html_() for piece in pieces(other))
    with pytest.raises(InputError, match=r"own is 'Claude Fable 5.2'"):
        breakeven_page(study, store, "Claude Fable 5.2")


def test_hardware_that_never_pays_says_so(page: BreakevenPage) -> None:
    """A replica that decodes a token a second can beat no API."""
    name = "Llama 3.1 8B fp8 on 1 x H100"
    crawling = [replace(s, decode_tokens_per_s=(1.0, 1.0, 1.0)) if s.name == name else s for s in page.found]
    slow = BreakevenPage(about="a study", plan=page.plan, found=crawling, own=name)
    html = "".join(piece._repr_html_() for piece in [*pieces(slow), slow.close().html])
    assert slow.main is None and "pays against an API at any volume" in html
    assert all(one.result.verdict == "never" for one in slow.rivals) and "<svg" not in html


def test_a_factor_that_can_take_the_break_even_away_is_ranked_first(page: BreakevenPage) -> None:
    name = "Llama 3.1 8B fp8 on 1 x H100"
    shaky = [replace(s, decode_tokens_per_s=(1.0, 20000.0, 36000.0)) if s.name == name else s for s in page.found]
    slow = BreakevenPage(about="a study", plan=page.plan, found=shaky, own=name)
    assert slow.swings[0]["result_low"] is None
    assert "decode speed" in {one["factor"] for one in slow.swings if one["swing"] is None}
    assert "decides whether self-hosting pays at all" in slow.tornado_heading().text
    assert "never at" in slow.tornado_chart()._repr_html_()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: BreakevenPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in [*pieces(page), page.close().html])
    text = html_page("breakeven", with_contents(f"<h1>A title</h1>{body}") + provenance_block([("Run", "1")]))
    assert seen(text, width, tmp_path) == []
