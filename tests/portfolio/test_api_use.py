"""What a plan sends to APIs, and what a change of prices does to it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from costlib.portfolio import Plan, make_plan
from costlib.portfolio.api_use import api_use, price_effect
from costlib.portfolio.bill import cents
from costlib.portfolio.offers import mean_request
from costlib.prices.book import load_book
from costlib.prices.entries import DateOutsideCoverage
from costlib.store import Store
from costlib.study import load_study

BOOK = load_book()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    study = load_study("demo").model_copy(update={"draws": 100})
    return make_plan(study, Store(tmp_path_factory.mktemp("empty")))


def test_the_mean_requests_cost_what_the_plan_says(demo: Plan) -> None:
    planned = dict(zip(demo.choices["workload"], demo.choices["inference_usd_per_month"], strict=True))
    uses = api_use(demo).to_dict("records")
    assert uses and {use["workload"] for use in uses} <= set(planned)
    found: dict[str, Decimal] = {}
    for use in uses:
        total = mean_request(BOOK, use, demo.study.as_of).total * use["requests_per_month"]
        found[use["workload"]] = found.get(use["workload"], judged(demo, use["workload"])) + total
    assert len(found) < len(uses)  # a cascade asks two
    for name, total in found.items():
        assert cents(total) == cents(planned[name])


def judged(demo: Plan, workload: str) -> Decimal:
    """What judging the answers of a cascade costs in a month."""
    chosen = demo.choices[demo.choices["workload"] == workload].iloc[0]
    option = demo.study.option(chosen["option"])
    return Decimal(repr(float(chosen["requests_per_month"]))) * Decimal(repr(getattr(option, "usd_per_request", 0.0)))


def test_the_same_prices_have_no_effect(demo: Plan) -> None:
    found = price_effect(api_use(demo), BOOK, BOOK)
    assert set(found["effect_usd"]) == {Decimal(0)} and set(found["kind"]) == {"derived"}


def test_a_dearer_price_costs_its_difference_times_the_tokens(demo: Plan, tmp_path: Path) -> None:
    use = api_use(demo)
    one = use.iloc[0]
    header = "model,provider,token_kind,tier,unit,amount,currency,effective_from,effective_to,observed_on,source,kind"
    price = BOOK.sheet(one["model"], one["provider"], one["tier"]).bands["output"][0].usd_per_mtok
    what = f"{one['model']},{one['provider']},output,{one['tier']}"
    row = f"{what},1M tokens,{price + 1},USD,2026-11-01,,2026-11-01,us,quoted"
    (tmp_path / "own.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    found = price_effect(use, BOOK, load_book(tmp_path)).to_dict("records")
    for before, after in zip(use.to_dict("records"), found, strict=True):
        same = (before["provider"], before["model"], before["tier"]) == (one["provider"], one["model"], one["tier"])
        mtok = before["output_tokens"] * before["requests_per_month"] / 1_000_000
        assert after["effect_usd"] == (mtok if same else 0)


def test_a_day_without_a_price_is_unknown_with_its_reason(demo: Plan) -> None:
    found = price_effect(api_use(demo), BOOK, BOOK, before_day="2020-01-01")
    assert found["effect_usd"].isna().all() and found["before_usd"].isna().all()
    assert found["reason"].str.startswith("before: as-of date").all()
    with pytest.raises(DateOutsideCoverage):
        mean_request(BOOK, api_use(demo).to_dict("records")[0], "2020-01-01")
