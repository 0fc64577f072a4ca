"""A plan as FOCUS charges: the bill of the plan, to the cent, with purchases where somebody bought something."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cost.focus_rules import problems
from hypothesis import given, settings
from hypothesis import strategies as st

import costlib as cl
from costlib.cost.charges import Bought
from costlib.cost.focus import COLUMNS, dataset, totals
from costlib.errors import InputError
from costlib.portfolio import Plan, make_plan
from costlib.portfolio.bill import cents
from costlib.portfolio.focus import _idle, plan_charges, read_owned
from costlib.store import Store
from costlib.study import Study, load_study

MakeStudy = Callable[..., Study]
StoreHolds = Callable[..., None]
OWNED = ("    device: H100 SXM\n", "    device: H100 SXM\n    rate_kind: {}\n")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def demo(empty: Store) -> Plan:
    return make_plan(load_study("demo").model_copy(update={"draws": 100}), empty)


def hosted(make_study: MakeStudy, store_holds: StoreHolds, rate_kind: str) -> Plan:
    store_holds(None, None)
    return make_plan(make_study((OWNED[0], OWNED[1].format(rate_kind))))


def inference(plan: Plan) -> dict[str, Decimal]:
    """$ of inference and idle hours by workload, without what judging costs, which no provider bills."""
    found = {}
    for row in plan.choices[plan.choices["type"] != "human"].to_dict("records"):
        judge = Decimal(repr(getattr(plan.study.option(row["option"]), "usd_per_request", 0.0)))
        judged = cents(Decimal(repr(row["requests_per_month"])) * judge)
        found[row["workload"]] = cents(row["inference_usd_per_month"]) + cents(row["idle_usd_per_month"]) - judged
    return found


def test_the_demo_costs_what_its_plan_says_by_workload_and_in_all(demo: Plan, empty: Store) -> None:
    frame = dataset(plan_charges(demo, empty))
    rows: list[Any] = frame.to_dict("records")
    assert not list(problems(COLUMNS, rows))
    effective = frame.groupby("x_Workload")["EffectiveCost"].sum()
    planned = inference(demo)
    assert set(effective.index) == set(planned)
    by_api = set(demo.choices.loc[demo.choices["type"].isin(["api", "cascade"]), "workload"])
    for workload, usd in planned.items():
        off = abs(effective[workload] - usd)
        assert (cents(effective[workload]) == usd) if workload in by_api else off < Decimal("0.02"), workload
    assert cents(totals(frame)["EffectiveCost"]) == sum(planned.values())
    assert set(frame["BillingPeriodStart"]) == {date(2026, 11, 1)}


def test_tokens_are_those_of_the_workloads(demo: Plan, empty: Store) -> None:
    frame = dataset(plan_charges(demo, empty))
    tokens = frame[frame["ConsumedUnit"] == "Tokens"].groupby("x_Workload")["ConsumedQuantity"].sum()
    for row in demo.workloads.to_dict("records"):
        asked = demo.serving.loc[demo.serving["workload"] == row["workload"], "asked_share"].sum()
        expected = row["requests_per_month"] * float(asked) * (row["input_tokens"] + row["output_tokens"])
        assert int(tokens[row["workload"]]) == pytest.approx(expected)


def test_another_month_changes_the_period_and_nothing_else(demo: Plan, empty: Store) -> None:
    here, there = (dataset(plan_charges(demo, empty, month=month)) for month in (None, date(2027, 2, 14)))
    assert set(there["ChargePeriodEnd"]) == {date(2027, 3, 1)}
    assert there["EffectiveCost"].equals(here["EffectiveCost"])


def test_on_demand_machines_bill_every_hour_of_every_replica(demo: Plan, empty: Store) -> None:
    frame = dataset(plan_charges(demo, empty))
    hours = frame[frame["PricingUnit"] == "Hours"].groupby("ResourceId")["PricingQuantity"].sum()
    for pool in demo.pools.to_dict("records"):
        assert hours[pool["pool"]] == pool["replicas_count"] * 730


def test_a_reserved_pool_is_bought_and_listed_on_demand(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    plan = hosted(make_study, store_holds, "reserved_1y")
    frame = dataset(plan_charges(plan))
    bought = frame[frame["ChargeCategory"] == "Purchase"].iloc[0]
    used = frame[frame["CommitmentDiscountStatus"] == "Used"].iloc[0]
    assert cents(bought["BilledCost"]) == cents(plan.pools["usd_per_month"].iloc[0]) and bought["EffectiveCost"] == 0
    provider = str(bought["ProviderName"])
    try:
        on_demand = cl.offer("H100 SXM", provider=provider)
    except InputError:
        on_demand = cl.offer("H100 SXM")
    assert abs(used["ListUnitPrice"] - on_demand.usd_per_hour) < Decimal("1e-6")
    assert used["BilledCost"] == 0 < used["EffectiveCost"] < used["ListCost"]


def sold(make_study: MakeStudy, store_holds: StoreHolds, provider: str, **option: object) -> Plan:
    store_holds(None, None)
    lines = "".join(f"    {name}: {value}\n" for name, value in {"rate_provider": provider, **option}.items())
    return cl.plan(make_study((OWNED[0], OWNED[0] + lines)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("provider", "option", "replicas", "usd_per_hour"),
    [
        ("AWS", {}, 8, "55.04"),  # one is needed, eight are sold
        ("AWS", {"minimum_replicas": 9}, 16, "110.08"),
        ("Lambda", {"minimum_replicas": 3}, 3, "12.87"),  # 3 x 4.29 against 4 for 16.36 and 2 x 2 for 16.76
        ("Lambda", {"minimum_replicas": 4}, 4, "16.36"),
        ("Lambda", {"minimum_replicas": 8}, 8, "31.92"),  # 8 x 4.29 are 34.32
        ("Lambda", {"minimum_replicas": 9}, 9, "38.61"),  # against 3 x 4 for 49.08 and 2 x 8 for 63.84
        ("RunPod Secure", {"replicas_per_node": 4}, 4, "15.96"),
    ],
)
def test_a_plan_rents_and_bills_hardware_as_it_is_sold(
    make_study: MakeStudy, store_holds: StoreHolds, provider: str, option: dict[str, int], replicas: int,
    usd_per_hour: str,
) -> None:  # fmt: skip
    plan = sold(make_study, store_holds, provider, **option)
    pool = plan.pools.set_index("pool").loc["open"]
    assert (pool["replicas_count"], pool["rate_provider"]) == (replicas, provider)
    assert cents(pool["usd_per_month"]) == cents(Decimal(usd_per_hour) * 730)
    assert pool["rate_units"] * pool["rate_devices_per_unit"] == replicas and pool["rate_commitment"] == "on_demand"
    frame = dataset(plan_charges(plan))
    hours = frame[frame["ResourceId"].eq("open")]
    assert hours["PricingQuantity"].sum() == replicas * 730 and set(hours["ProviderName"]) == {provider}
    assert cents(hours["EffectiveCost"].sum()) == cents(pool["usd_per_month"])


def test_more_replicas_than_may_be_had_are_no_plan(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    with pytest.raises(InputError, match=r"maximum_replicas 7 of open.*open needs 8 replicas or more"):
        sold(make_study, store_holds, "AWS", maximum_replicas=7)


def test_an_owned_pool_is_a_purchase_row_plus_amortized_usage(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    plan = hosted(make_study, store_holds, "owned")
    pool = plan.pools.iloc[0]
    bought = Bought(Decimal(25_000), Decimal(30_000), Decimal(5_000), Decimal(35_040), date(2026, 11, 10))
    frame = dataset(plan_charges(plan, owned={"open": bought}))
    purchase = frame[frame["ChargeCategory"] == "Purchase"].iloc[0]
    assert (purchase["ListCost"], purchase["BilledCost"], purchase["EffectiveCost"]) == (30_000, 25_000, 0)
    usage = frame[frame["ResourceId"].eq("open") & frame["ChargeCategory"].eq("Usage")]
    assert cents(usage["EffectiveCost"].sum()) == cents(pool["usd_per_month"])
    capital = (usage["EffectiveCost"] - usage["BilledCost"]).sum()
    assert abs(capital - Decimal(20_000) / 35_040 * 730) < Decimal("0.0001")
    without = dataset(plan_charges(plan))
    hours = without[without["ResourceId"].eq("open")]
    assert set(hours["ChargeCategory"]) == {"Usage"} and hours["BilledCost"].sum() == 0
    assert cents(hours["EffectiveCost"].sum()) == cents(pool["usd_per_month"])


def test_hardware_for_a_pool_that_is_not_owned_is_refused(demo: Plan, empty: Store) -> None:
    bought = Bought(Decimal(1), Decimal(1), Decimal(0), Decimal(1), date(2026, 11, 10))
    with pytest.raises(InputError, match="option is 'open'; allowed: a pool of the plan at rate_kind owned"):
        plan_charges(demo, empty, owned={"open": bought})


HEADER = "option,paid_usd,listed_usd,residual_usd,life_hours,bought_on\n"


def test_hardware_is_read_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(HEADER + "open,25000,30000,0,35040,2026-11-10\n", encoding="utf-8")
    found = read_owned(tmp_path / "o.csv")["open"]
    assert (found.paid_usd, found.residual_usd, found.on) == (25_000, 0, date(2026, 11, 10))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("open,25000,30000,30001,35040,2026-11-10", "o.csv:2: residual_usd is '30001'; allowed: at most paid_usd"),
        ("open,25000,20000,0,35040,2026-11-10", "o.csv:2: listed_usd"),
        ("open,25000,30000,0,0,2026-11-10", "o.csv:2: life_hours is '0'"),
        ('open,"25,000",30000,0,35040,2026-11-10', "o.csv:2: paid_usd is '25,000'"),
        ("open,25000,30000,0,35040,10.11.2026", "o.csv:2: bought_on"),
        ("open,1,1,0,1,2026-11-10\nopen,1,1,0,1,2026-11-10", "o.csv:3: option is 'open'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "o.csv").write_text(HEADER + line + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_owned(tmp_path / "o.csv")
    assert sentence in str(caught.value)


@given(st.dictionaries(st.text(min_size=1), st.decimals(Decimal("0.000000001"), 700, places=9), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_idle_hours_are_shared_to_the_last_digit(busy: dict[str, Decimal]) -> None:
    idle = Decimal(5840) - sum(busy.values())
    shared = _idle(idle, busy)
    assert sum(shared.values()) == idle and all(hours >= 0 for hours in shared.values())


def test_people_misses_and_upkeep_are_no_charges(demo: Plan, empty: Store) -> None:
    frame = dataset(plan_charges(demo, empty))
    assert set(frame["ServiceCategory"]) <= {"AI and Machine Learning", "Compute"}
    assert isinstance(frame, pd.DataFrame) and totals(frame)["BilledCost"] < demo.totals["usd_per_month"].max()
