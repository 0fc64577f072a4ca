"""The portfolio page: the plan's own numbers, tied to the cent, and every piece drawn from them."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from report.samples import portfolio_pieces, store_with, study_in

from costlib.cost.breakeven import monthly_usd
from costlib.report.market import Request, hosted_usd, mean_request, per_mtok
from costlib.report.portfolio_page import PortfolioPage, portfolio_page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> PortfolioPage:
    root = tmp_path_factory.mktemp("portfolio")
    return portfolio_page(str(study_in(root)), str(store_with(root / "store").root))


def markup(piece: object) -> str:
    return str(getattr(piece, "text", None) or piece._repr_html_())  # type: ignore[attr-defined]


def pieces(page: PortfolioPage) -> list[str]:
    return [markup(piece) for piece in portfolio_pieces(page)]


def test_every_piece_renders_and_lists_its_numbers(page: PortfolioPage) -> None:
    html = "".join(pieces(page))
    rows = {row["id"]: row for row in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    for row in rows.values():
        assert row["source"] and row["unit"] and (row["reason"] or row["low"] is not None), row
        if row["low"] is not None and row["value"] is not None:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"]), row
    figures = re.findall(r'<svg [^>]*aria-label="([^"]+)"', html)
    assert len(figures) == 7 and all(" of " in alt and " where " in alt for alt in figures)


def test_the_sums_a_reader_can_check_tie_to_the_cent(page: PortfolioPage) -> None:
    facts = page.close().facts
    assert [tie["what"] for tie in facts["ties"]] == [
        "plan by part", "baseline by part", "saving by part", "plan by workload", "saving by cause",
    ]  # fmt: skip
    for tie in facts["ties"]:
        assert sum(map(Decimal, tie["parts"])) == Decimal(tie["total"]), tie["what"]
    assert len(facts["exports"]["plan"]) == len(page.chosen)
    assert facts["runs"] == page.measured.runs()  # type: ignore[union-attr]


def test_the_mean_request_weighs_workloads_by_volume_and_leaves_embeddings_out(page: PortfolioPage) -> None:
    frame = page.plan.workloads
    text = frame[frame["output_tokens"] > 0]
    expected = (text["input_tokens"] * text["requests_per_month"]).sum() / text["requests_per_month"].sum()
    request = mean_request(frame, page.study)
    assert request.input_tokens == round(expected)
    assert 1 < request.peak_to_mean < 6
    assert request.per_month == text["requests_per_month"].sum() < frame["requests_per_month"].sum()


def test_a_busy_replica_costs_its_seconds_of_the_hour(page: PortfolioPage) -> None:
    supply = next(s for s in page.found if s.usd_per_hour and s.decode_tokens_per_s and s.prefill_tokens_per_s)
    request = Request(1000, 0, 100, 1.0)
    figure = hosted_usd(supply, request)
    assert figure is not None and supply.usd_per_hour and supply.prefill_tokens_per_s and supply.decode_tokens_per_s
    seconds = 1000 / supply.prefill_tokens_per_s[1] + 100 / supply.decode_tokens_per_s[1]
    assert figure.value == pytest.approx(supply.usd_per_hour[1] / 3600 * seconds)
    assert per_mtok(figure, request).value == pytest.approx(float(figure.value or 0) * 1e6 / 1100)


def test_a_break_even_is_where_both_sides_cost_the_same(page: PortfolioPage) -> None:
    crossed = [d for d in page.market.duels if d.result.first_requests_per_month]
    assert crossed
    for one in crossed:
        at = one.result.first_requests_per_month or 0
        own, api = monthly_usd(one.hosting, one.price, at)
        assert own is not None and (own == pytest.approx(api, rel=1e-6) or own < api)
        below, charged = monthly_usd(one.hosting, one.price, at * 0.9)
        assert below is not None and below > charged


def test_names_from_a_study_cannot_become_markup(tmp_path: Path) -> None:
    file = study_in(tmp_path)
    for name in ("demo_workloads.csv", "demo_use_cases.csv", "demo_quality.csv"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("Ticket routing", "<script>x</script> =1+1 $y$"), encoding="utf-8")
    page = portfolio_page(str(file), str(tmp_path / "store"))
    html = "".join(pieces(page)) + str(page.close().html)
    assert "<script" not in html and "&lt;script&gt;x&lt;/script&gt; =1+1 $y$" in html


def test_what_to_measure_next_is_the_number_most_worth_knowing(
    page: PortfolioPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, *each = page.plan.information.to_dict("records")
    text = re.sub(r"<[^>]+>", "", markup(page.doubt.measure_next()))
    assert f"Measure the {each[0]['factor']} of {each[0]['subject']} next" in text
    assert 0 < each[0]["usd_per_month"] < everything["usd_per_month"]
    certain = replace(page.plan, information=page.plan.information.assign(usd_per_month_low=0.0))
    monkeypatch.setattr(page.doubt, "plan", certain)
    assert "no single number changes a choice" in str(page.doubt.measure_next())


def test_what_pays_is_said_with_its_price(page: PortfolioPage) -> None:
    text = re.sub(r"<[^>]+>", "", markup(page.value.paying()))
    valued = page.plan.value["use_case"].nunique()
    assert f"{valued} use cases with a stated value pay" in text and "Pays up to" in text
    planned = {row["workload"]: row["option"] for row in page.chosen}
    served = [case for case in page.value.cases() if case["served"]]
    assert 0 < len(served) < valued
    assert all(case["option"] == planned[case["use_case"]] for case in served)


def test_what_was_assumed_of_use_cases_stands_beside_the_other_assumptions(page: PortfolioPage) -> None:
    html = markup(page.doubt.assumptions_table())
    assert 'id="use-cases"' in html and "Weekly digest for a" in html
    row = next(r for r in page.ledger.rows() if r["what"] == "Miss cost · Weekly digest for a team")
    assert (row["value"], row["low"], row["high"], row["unit"]) == (2.0, 1.0, 4.0, "USD/miss")
    assert "a quarter of an hour of a team leader" in row["source"]


def test_a_flip_is_told_as_the_change_it_takes(page: PortfolioPage) -> None:
    """95.7 % to 95.7 % would say nothing: what turns the choice is the difference."""
    text = re.sub(r"<[^>]+>", " ", markup(page.doubt.flips_table()))
    changes = [row for row in page.ledger.rows() if row["what"].endswith("by at least")]
    assert changes and all(float(row["value"]) > 0 for row in changes)
    assert {row["unit"] for row in changes} == {"points", "share"} and "success rate falls" in text
    flips = page.plan.flips.query("factor == 'success rate'").set_index("workload")
    for row in changes:
        name, _, rest = row["what"].partition(" \u00b7 ")
        if rest.startswith("success rate"):
            assert float(row["value"]) == pytest.approx(
                abs(flips.loc[name, "flips_at"] - float(flips.loc[name, "now"]))
            )
