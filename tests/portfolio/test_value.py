"""What pays: worth against cost by hand, at the price now and at the price where they are equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.portfolio import Plan, make_plan
from costlib.portfolio.workloads import load_use_cases
from costlib.study import Study

MakeStudy = Callable[..., Study]
CASE = "digest,summarization,2000,flat,10000,0,1000,,0.5,0.1,0.05,1,no,assumed"
SCORES = "digest,frontier,0.95,0.95,0.95,assumed,us\ndigest,small,0.9,0.9,0.9,assumed,us\n"


HEADER = (
    "workload,task,requests_per_month,profile,input_tokens,cached_tokens,output_tokens,latency_limit_s,quality_floor,"
    "miss_cost_usd,value_usd,human_minutes,own_machines_only,source"
)
NAMED = ("workloads: workloads.csv", "workloads: workloads.csv\nuse_cases: cases.csv")


@pytest.fixture
def shelved(make_study: MakeStudy, tmp_path: Path) -> Callable[..., Study]:
    """The small study with one use case nobody serves yet."""

    def make(case: str = CASE) -> Study:
        (tmp_path / "cases.csv").write_text(f"{HEADER}\n{case}\n", encoding="utf-8")
        return make_study(NAMED, ("private,open,", f"{SCORES}private,open,"))

    return make


def row(plan: Plan, option: str) -> pd.Series:
    return plan.value[(plan.value["use_case"] == "digest") & (plan.value["option"] == option)].iloc[0]


def test_a_shelved_use_case_becomes_viable_at_the_smaller_model_and_at_a_price_of_the_larger_one(
    shelved: Callable[..., Study],
) -> None:
    """A request is 10,000 + 1,000 tokens: 0.12 USD of the frontier, 0.0015 of the small one; upkeep 60 / 2,000."""
    plan = make_plan(shelved())
    large, small = row(plan, "frontier"), row(plan, "small")
    upkeep = (10 + 50) / 2000
    assert large["use_usd"] == pytest.approx(0.12)
    assert large["usd_per_request"] == pytest.approx(0.12 + upkeep + 0.05 * 0.1)
    assert large["usd_per_good_answer"] == pytest.approx((0.12 + upkeep + 0.005) / 0.95)
    assert large["net_usd"] == pytest.approx(0.95 * 0.05 - 0.12 - upkeep - 0.005)
    assert large["net_usd_low"] < large["net_usd"] < large["net_usd_high"]
    assert (large["pays"], large["probability_pays"], bool(large["served"]), bool(large["baseline"])) == (
        False, 0.0, False, True,
    )  # fmt: skip
    assert large["price_multiple"] == pytest.approx((0.95 * 0.05 - upkeep - 0.005) / 0.12)
    assert small["net_usd"] == pytest.approx(0.9 * 0.05 - 0.0015 - upkeep - 0.01)
    assert small["pays"] and 0.4 < small["probability_pays"] < 1
    assert set(plan.choices["workload"]) == {"tail", "bulk", "legal", "private"}


def test_what_a_use_case_states_is_among_the_assumptions_with_unit_range_and_source(
    shelved: Callable[..., Study],
) -> None:
    plan = make_plan(shelved())
    found = plan.assumptions[plan.assumptions["use_case"] == "digest"].set_index("name")
    assert found.loc["requests_per_month", ["low", "value", "high", "unit"]].tolist() == [
        1600, 2000, 2400, "requests/month",
    ]  # fmt: skip
    assert found.loc["miss_cost_usd", ["low", "value", "high"]].tolist() == pytest.approx([0.05, 0.1, 0.2])
    assert found.loc["success rate of small", ["value", "unit", "source"]].tolist() == [0.9, "share", "us"]
    assert "latency_limit_s" not in found.index  # it has none
    assert found["source"].str.len().gt(0).all() and set(found["kind"]) == {"assumed"}


def test_where_free_use_would_not_pay_there_is_no_price_but_a_reason(shelved: Callable[..., Study]) -> None:
    plan = make_plan(shelved(CASE.replace(",0.1,0.05,", ",5,0.05,")))
    found = row(plan, "small")
    assert pd.isna(found["price_multiple"]) and found["reason"].startswith("never: misses and upkeep")
    assert not found["pays"]


def test_workloads_with_a_value_are_judged_too(make_study: MakeStudy) -> None:
    plan = make_plan(make_study())
    assert set(plan.value["use_case"]) == {"bulk", "legal"}  # the others have no value
    legal = plan.value[(plan.value["use_case"] == "legal") & (plan.value["option"] == "frontier")].iloc[0]
    assert legal["net_usd"] == pytest.approx(0.97 * 100 - 0.24 - 0.06 - 0.03 * 500)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (CASE.replace(",0.05,1,", ",,1,"), "value_usd is ''; allowed: what a good answer of digest is worth"),
        (CASE.replace("digest,summ", "legal,summ"), "workload is 'legal'; allowed: a name no workload has"),
        (CASE.replace(",2000,", ",-1,"), "cases.csv:2: requests_per_month is '-1'"),
    ],
)
def test_a_wrong_use_case_is_named(shelved: Callable[..., Study], case: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_use_cases(shelved(case))
    assert message in str(caught.value)


def test_a_table_that_is_not_there_is_named_with_its_line(make_study: MakeStudy) -> None:
    with pytest.raises(InputError, match=r"study.yml:\d+: use_cases is 'cases.csv'; allowed: a file that exists"):
        make_study(NAMED)
