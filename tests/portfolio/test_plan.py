"""The plan: tables that tie to the cent, reasons that can be acted on, and the demo's answers by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import costlib as cl
from costlib.errors import InputError
from costlib.figure import KINDS
from costlib.portfolio import Infeasible, Plan, make_plan
from costlib.portfolio.bill import cents
from costlib.portfolio.economics import PARTS
from costlib.portfolio.tables import column_of
from costlib.store import Store
from costlib.study import Study, load_study

MakeStudy = Callable[..., Study]
StoreHolds = Callable[..., None]
FRAMES = ("choices", "alternatives", "baseline", "flips", "saving_by_cause", "prices", "pools",
          "sensitivity", "information", "assumptions")  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    study = load_study("demo").model_copy(update={"draws": 100})
    return make_plan(study, Store(tmp_path_factory.mktemp("empty")))


def usd(plan: Plan, side: str, part: str = "") -> Decimal:
    """A total, which is a float of whole cents."""
    return whole(plan.totals.loc[side, f"{part}_usd_per_month".removeprefix("_")])


def whole(*amounts: float) -> Decimal:
    """The sum of amounts that each are whole cents."""
    assert all(cents(amount) == Decimal(repr(float(amount))) for amount in amounts)
    return sum(map(cents, amounts), Decimal(0))


def row(frame: pd.DataFrame, **values: object) -> pd.Series:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_what_is_costly_is_computed_where_it_is_read_and_kept(make_study: MakeStudy) -> None:
    plan = make_plan(make_study())
    costly = {"flips", "sensitivity", "information", "value"}
    assert str(plan).startswith("<plan of ") and not costly & vars(plan).keys()
    assert all(getattr(plan, name) is getattr(plan, name) for name in costly)
    assert costly <= vars(plan).keys()
    with pytest.raises(AttributeError, match="a plan has no 'flip'"):
        plan.flip  # type: ignore[attr-defined]  # noqa: B018


def test_a_plan_is_made_of_a_study_of_its_file_or_of_its_name(make_study: MakeStudy) -> None:
    study = make_study()
    totals = [cl.plan(given).totals for given in (study, study.path, str(study.path))]
    assert all(frame.equals(totals[0]) for frame in totals)
    assert cl.plan("demo").study.name == load_study("demo").name


TWIN = """  - name: twin
    type: api
    capability: small
    provider: anthropic
    model: claude-haiku-5-5
    latency: {ttft_s: 1, tokens_per_s_per_user: 100, kind: assumed, source: us}
"""


@pytest.mark.parametrize(("before", "first", "second"), [("small", "twin", "small"), ("small batch", "small", "twin")])
def test_of_options_that_cost_the_same_the_first_listed_is_chosen_and_none_turns_to_its_equal(
    make_study: MakeStudy, before: str, first: str, second: str
) -> None:
    plan = make_plan(make_study((f"  - name: {before}\n", f"{TWIN}  - name: {before}\n")))
    chosen, others = set(plan.choices["option"]), set(plan.flips["to_option"])
    assert first in chosen | others and second not in chosen | others
    assert f"to {second} at" not in " ".join(plan.sensitivity["changes"])


@pytest.mark.parametrize("name", FRAMES)
def test_every_row_has_its_kind_and_source(demo: Plan, name: str) -> None:
    frame = getattr(demo, name)
    assert len(frame)
    assert set(frame["kind"]) <= set(KINDS)
    assert frame["source"].str.len().gt(0).all()


def test_parts_workloads_causes_and_totals_tie_to_the_cent(demo: Plan) -> None:
    for frame in (demo.choices, demo.baseline):
        for _, found in frame.iterrows():
            assert whole(*(found[column_of(part)] for part in PARTS)) == whole(found["usd_per_month"])
    for side, frame in (("plan", demo.choices), ("baseline", demo.baseline)):
        assert whole(*frame["usd_per_month"]) == usd(demo, side)
        for part in PARTS:
            assert whole(*frame[column_of(part)]) == whole(demo.totals.loc[side, column_of(part)])
        assert usd(demo, side, "cash") + usd(demo, side, "errors") == usd(demo, side)
    assert usd(demo, "baseline") - usd(demo, "plan") == usd(demo, "saving")
    assert whole(*demo.saving_by_cause["usd_per_month"]) == usd(demo, "saving")
    assert demo.causes["usd_per_month"].sum() == pytest.approx(float(usd(demo, "saving")))
    by_workload = demo.saving_by_cause.groupby("workload")["usd_per_month"].sum()
    for _, found in demo.choices.iterrows():
        before = row(demo.baseline, workload=found["workload"])["usd_per_month"]
        assert before - found["usd_per_month"] == pytest.approx(by_workload.get(found["workload"], 0.0), abs=1e-6)


def test_pools_are_paid_by_the_hour_and_their_bill_is_split_exactly(demo: Plan) -> None:
    for _, pool in demo.pools.iterrows():
        assert pool["usd_per_month"] == pytest.approx(pool["usd_per_hour"] * 730 * pool["replicas_count"], abs=0.005)
        assert whole(pool["busy_usd_per_month"], pool["idle_usd_per_month"]) == whole(pool["usd_per_month"])
        assert pool["replicas_count"] >= pool["minimum_replicas"]
        assert 0 < pool["mean_busy_share"] <= pool["peak_busy_share"] <= demo.study.assume("max_utilization")
        users = demo.choices[demo.choices["option"] == pool["pool"]].sort_index()
        assert whole(*users["inference_usd_per_month"], *users["idle_usd_per_month"]) == whole(pool["usd_per_month"])
        assert pool["workloads"].split(", ") == list(users["workload"])


def test_points_lie_inside_their_intervals(demo: Plan) -> None:
    for frame in (demo.choices, demo.baseline, demo.totals):
        low, high = frame["usd_per_month_low"], frame["usd_per_month_high"]
        points = frame["usd_per_month"].astype(float)
        assert ((low <= points) & (points <= high)).all()


def test_legal_review_stays_on_the_frontier_for_its_misses_and_says_at_which_miss_cost_it_would_not(demo: Plan) -> None:
    legal = row(demo.choices, workload="Contract and liability review")
    assert legal["option"] == "Claude Fable 5.2"
    assert legal["misses_share"] > 0.5
    down = row(demo.flips, workload=legal["workload"], factor="miss cost", direction="down")
    frontier, mid = (30000 * 8 + 2500 * 40) / 1e6, (30000 * 2 + 2500 * 10) / 1e6
    alone = row(demo.alternatives, workload=legal["workload"], option="Claude Sonnet 5.5")
    assert alone["break_even_miss_cost_usd"] == pytest.approx((frontier - mid) / (0.965 - 0.92))
    assert alone["break_even_miss_cost_usd"] <= down["flips_at"] + 1e-9 < 20  # others may move along
    up = row(demo.flips, workload=legal["workload"], factor="miss cost", direction="up")
    assert up["to_option"] == "Support agent"
    human = 60 / 60 * 38 - 180 / 1200
    assert up["flips_at"] == pytest.approx((human - frontier) / (0.97 - 0.965))
    assert f"{down['to_option']} takes over below {down['flips_at']:,.4g} USD a miss; now 900" in down["sentence"]


def test_three_numbers_of_the_demo_by_hand(demo: Plan) -> None:
    """Prices of genai-prices 0.2.3, tokens and volumes of demo_workloads.csv."""
    chat = row(demo.baseline, workload="Help chat turn")
    per_turn = (800 * Decimal(8) + 1800 * Decimal("0.2") + 180 * Decimal(40)) / 1_000_000
    assert whole(chat["inference_usd_per_month"]) == round(per_turn * 2_400_000, 2)
    assert whole(chat["errors_usd_per_month"]) == round(Decimal("0.045") * Decimal("0.25") * 2_400_000, 2)
    pool = row(demo.pools, pool="Llama 3.3 70B fp8 on 1 x H200")
    hourly = cl.offer("H200 SXM", as_of=demo.study.as_of).usd_per_hour
    assert whole(pool["usd_per_month"]) == round(2 * 730 * hourly, 2)


def test_the_plan_works_before_anything_is_measured(demo: Plan) -> None:
    gemma = demo.alternatives[demo.alternatives["type"] == "measured"]
    assert len(gemma) == 3 * len(demo.workloads)
    assert not gemma["eligible"].any()
    assert gemma["reason"].str.contains("speed: not measured yet").all()
    assert gemma["usd_per_month"].isna().all()
    assert any("Not measured yet" in note for note in demo.notes)
    assert any("it would add about 87.1 USD a month, most of it (81.3) for Outage" in note for note in demo.notes)


def test_a_plan_of_an_earlier_day_says_whose_first_day_is_not_published(tmp_path: Path) -> None:
    study = load_study("demo").model_copy(update={"draws": 100, "as_of": date(2026, 11, 1)})
    notes = make_plan(study, Store(tmp_path)).notes
    assert "List price of voyage-4 on 2026-11-01: first day not published: taken to hold since 2025-05-22" in str(notes)


def test_a_choice_is_explained_by_its_runner_up(demo: Plan) -> None:
    for _, found in demo.choices.iterrows():
        assert found["gap_usd_per_month"] >= 0
        assert found["runner_up"] in found["why"]
        assert f"{found['gap_usd_per_month']:,.0f} USD" in found["why"]
        alternative = row(demo.alternatives, workload=found["workload"], option=found["option"])
        assert alternative["chosen"]
        assert alternative["eligible"]
    assert demo.alternatives["chosen"].sum() == len(demo.workloads)
    unexplained = demo.alternatives["break_even_miss_cost_usd"].isna() & demo.alternatives["break_even_reason"].isna()
    assert not unexplained.any()
    refused = demo.alternatives[~demo.alternatives["eligible"]]
    assert refused["reason"].str.len().gt(0).all()


def test_the_same_study_gives_the_same_plan(make_study: MakeStudy) -> None:
    first, again = make_plan(make_study()), make_plan(make_study())
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))


def test_a_measured_option_is_used_and_its_precision_saving_is_told_apart(
    make_study: MakeStudy, store_holds: StoreHolds
) -> None:
    """private may only run on the small CPU: 0.01 s and 0.1 s of prefill and decode make replicas of 70 USD enough."""
    store_holds({"prefill_tokens_per_s": 40000, "decode_tokens_per_s": 500}, {})
    plan = make_plan(make_study(("private,open,0.95,0.9,0.97", "private,open,0.82,0.8,0.85")))
    private = row(plan.choices, workload="private")
    assert (private["option"], private["inference_kind"]) == ("tiny", "measured")
    assert "run-1" in private["source"]
    assert "de-quantized" in private["note"]
    assert row(plan.alternatives, workload="private", option="tiny")["replicas"] == 1


def test_a_variant_that_breaks_the_gate_gets_no_dollars(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    store_holds({}, {"ppl_ratio": 1.3, "ppl_ratio_high": 1.4})
    plan = make_plan(make_study())
    refused = row(plan.alternatives, workload="private", option="tiny")
    assert "above the gate" in refused["reason"]
    assert np.isnan(refused["usd_per_month"])
    assert np.isnan(refused["usd_per_request"])
    assert refused["break_even_reason"].startswith("unknown")


def test_the_batch_tier_is_told_apart_from_the_cheaper_model(make_study: MakeStudy) -> None:
    plan = make_plan(make_study(("tail,open,0.97,0.95,0.98,assumed,us\n", "")))
    assert row(plan.choices, workload="tail")["option"] == "small batch"
    tail = plan.saving_by_cause[plan.saving_by_cause["workload"] == "tail"].set_index("cause")["usd_per_month"]
    tokens = (200 * Decimal("0.1") + 5 * Decimal("0.5")) * 1_000_000 / 1_000_000
    assert whole(tail["batch tier"]) == tokens / 2
    assert whole(tail["cheaper model"]) == (200 * 8 + 5 * 40) - tokens


@pytest.mark.parametrize(
    ("old", "new", "requirements", "message"),
    [
        (
            "400,100,50,10,0.8",
            "400,100,50,10,0.96",
            ("quality floor",),
            r"floor \(the best success rate is 0.95 \(open\), 0.01 below the floor of 0.96; 5 options have no price",
        ),
        (
            "400,100,50,10,0.8",
            "400,100,50,1,0.8",
            ("latency limit",),
            r"\(the fastest answer takes 1.50 s \(open\), 0.5 s over the limit of 1 s;",
        ),
        (
            "20000,0,2000,,0.8",
            "20000,0,2000,,0.99",
            ("quality floor",),
            r"rate is 0.975 \(people\), 0.015 below the floor",
        ),
        ("20000,0,2000,,0.8", "20000,0,2000,1,0.98", ("latency limit",), r"21.0 s \(small\), 20.0 s over the limit"),
        (
            "draws: 100",
            "draws: 100\nbudget_usd_per_month: 100",
            ("budget_usd_per_month 100",),
            "cheapest plan is billed",
        ),
        (
            "    device: H100 SXM",
            "    maximum_replicas: 1\n    minimum_replicas: 2\n    device: H100 SXM",
            ("maximum_replicas 1 of open",),
            "limits is 'maximum_replicas 1 of open'; .*: open needs 2 replicas or more, 1 more",
        ),
    ],
)
def test_requirements_that_cannot_be_kept_are_named_with_the_amount(
    make_study: MakeStudy, old: str, new: str, requirements: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Infeasible, match=message) as caught:
        make_plan(make_study((old, new)))
    assert caught.value.requirements == requirements
    assert "\n" not in str(caught.value)


def test_every_workload_that_cannot_be_served_is_named_and_a_budget_says_what_would_do(make_study: MakeStudy) -> None:
    both = make_study(("20000,0,2000,,0.8", "20000,0,2000,,0.99"), ("400,100,50,10,0.8", "400,100,50,1,0.8"))
    with pytest.raises(Infeasible, match=r"workload is 'legal, private'.*for legal every.*for private every") as caught:
        make_plan(both)
    assert caught.value.requirements == ("quality floor", "latency limit")
    with pytest.raises(Infeasible) as caught:
        make_plan(make_study(("draws: 100", "draws: 100\nbudget_usd_per_month: 100")))
    least = re.search(r"billed ([\d,.]+) USD a month, ([\d,.]+) more", str(caught.value))
    assert least is not None
    cheapest, over = (Decimal(amount.replace(",", "")) for amount in least.groups())
    assert over == cheapest - 100
    enough = make_study(("draws: 100", f"draws: 100\nbudget_usd_per_month: {cheapest + Decimal('0.01')}"))
    assert usd(make_plan(enough), "plan", "cash") <= cheapest + Decimal("0.05")
    with pytest.raises(Infeasible):
        make_plan(make_study(("draws: 100", f"draws: 100\nbudget_usd_per_month: {cheapest - 1}")))


def test_a_pool_on_machines_of_four_replicas_is_rented_by_fours(make_study: MakeStudy) -> None:
    one = row(make_plan(make_study()).pools, pool="open")
    four = row(
        make_plan(make_study(("    device: H100", "    replicas_per_node: 4\n    device: H100"))).pools, pool="open"
    )
    assert one["replicas_count"] < 4 == four["replicas_count"]
    assert float(four["usd_per_month"]) == pytest.approx(four["usd_per_hour"] * 730 * 4, abs=0.005)
    assert four["peak_busy_share"] <= one["peak_busy_share"]


def test_a_budget_moves_the_plan_below_it(make_study: MakeStudy) -> None:
    free = make_plan(make_study())
    cash = usd(free, "plan", "cash")
    tight = make_plan(make_study(("draws: 100", f"draws: 100\nbudget_usd_per_month: {float(cash) - 100:.0f}")))
    assert usd(tight, "plan", "cash") <= cash - 100
    assert usd(tight, "plan") > usd(free, "plan")


def test_a_baseline_that_cannot_serve_a_workload_needs_an_exception(make_study: MakeStudy) -> None:
    cut = "  exceptions:\n    - {workload: private, option: open, reason: these requests may not leave}\n"
    with pytest.raises(
        InputError, match=r"baseline.option is 'frontier'; allowed: an option that serves 'private' too"
    ):
        make_plan(make_study((cut, "")))


def test_spreadsheet_and_browser_text_passes_through_unchanged(make_study: MakeStudy) -> None:
    """Escaping is the publisher's work; the plan keeps names as they are."""
    plan = make_plan(make_study(("tail,classification", "<script>,classification"), ("tail,", "<script>,")))
    assert "<script>" in set(plan.choices["workload"])


def test_a_stored_foreign_file_is_no_obstacle(make_study: MakeStudy, tmp_path: Path) -> None:
    store = Store(tmp_path / "other")
    (store.root / "measurements").mkdir(parents=True)
    (store.root / "measurements" / "torn.parquet").write_bytes(b"PAR1")
    assert len(make_plan(make_study(), store).choices) == 4


def test_scores_of_an_option_taken_out_are_reported_and_a_misspelt_one_is_found(make_study: MakeStudy) -> None:
    kept = cl.plan(make_study())
    more = "private,tiny,0.82,0.8,0.85,assumed,us\n"
    left = "tail,gone,0.9,0.8,0.95,assumed,us\nbulk,gone,0.9,0.8,0.95,assumed,us\nbulky,open,0.9,0.8,0.95,assumed,us\n"
    made = cl.plan(make_study((more, more + left)))
    note = (
        "Not used of scores.csv: capability gone (2 rows); workload bulky (1 row, did you mean bulk?); the study has "
        "none of that name."
    )
    assert made.notes == (*kept.notes, note)
    assert made.totals.equals(kept.totals)
    with pytest.raises(InputError, match=r"no success rate of frontier on tail, did you mean fronteir\?"):
        cl.plan(make_study(("tail,frontier,", "tail,fronteir,")))


def test_an_assumption_is_changed_in_one_line_and_the_plan_says_what_that_moved(make_study: MakeStudy) -> None:
    study = make_study()
    plan = cl.plan(study)
    assert plan.compare(plan)[["moved", "change_usd_per_month"]].eq(0).all(axis=None)
    dear = study.replace(miss_cost_usd={"tail": 40}, max_utilization=0.6)
    assert study.changed == {} and study.assume("max_utilization") == 0.5 and dear.hash != study.hash
    found = plan.compare(cl.plan(dear)).set_index("workload")
    assert found.loc["tail", "moved"] and found.index[0] == "tail"
    assert (
        found.loc["tail", "changed"].startswith("miss_cost_usd ")
        and "max_utilization 0.5 to 0.6" in found["changed"].iloc[1]
    )
    parts = [f"change_{part}_usd_per_month" for part in ("use", "idle", "errors", "upkeep")]
    assert np.allclose(found[parts].sum(axis=1), found["change_usd_per_month"])
    saved = cl.plan(dear).totals.loc["plan", "usd_per_month"] - plan.totals.loc["plan", "usd_per_month"]
    assert found["change_usd_per_month"].sum() == pytest.approx(saved)
    twice = dear.replace(miss_cost_usd={"bulk": 1}, draws=100)
    assert set(twice.changed["miss_cost_usd"]) == {"tail", "bulk"} and twice.draws == 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"volume": {"tail": 1}}, "change is 'volume'"),
        ({"requests_per_month": {"tial": 1}}, "workload of replace.requests_per_month=.*'tial'.*tail"),
        ({"requests_per_month": 5}, "values by workload"),
        ({"requests_per_month": {"tail": -1}}, "requests_per_month is '-1'"),
        ({"max_utilization": 1.5}, "replace.assumptions.max_utilization.: max_utilization is 1.5; allowed: at most 1"),
        ({"draws": 5}, "replace.draws.: draws is 5"),
        ({"path": "x.yml"}, "change is 'path'"),
    ],
)
def test_a_change_that_a_study_could_not_hold_is_refused(
    make_study: MakeStudy, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        cl.plan(make_study().replace(**changes))
