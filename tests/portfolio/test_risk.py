"""How sure a plan is: draws that repeat, and intervals that hold the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from costlib.portfolio.assign import solve
from costlib.portfolio.economics import CostModel, economy
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Ints
from costlib.portfolio.risk import draw, sensitivity, simulate
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study

MakeStudy = Callable[..., Study]
NAMES = ("frontier", "small", "small batch", "open", "tiny", "people")
WORKLOADS = ("tail", "bulk", "legal", "private")


def build(study: Study) -> tuple[CostModel, Ints, Ints, np.ndarray]:
    workloads = load_workloads(study)
    found = supplies(study)
    money = economy(study, found, offers(study, workloads, load_scores(study), found))
    floors = np.array([workload.quality_floor for workload in workloads])
    return money, solve(money.at().problem).choice, np.array([0, 0, 0, 3]), floors


def test_draws_repeat_with_the_seed_and_hold_the_stated_value(make_study: MakeStudy) -> None:
    money, choice, base, floors = build(make_study())
    first, again, other = (
        simulate(money, choice, base, floors, draws=200, seed=seed, correlation=0.5) for seed in (1, 1, 2)
    )
    assert (first.plan == again.plan).all()
    assert (first.best == again.best).all()
    assert (first.plan != other.plan).any()
    stated = money.at().split(choice).sum()
    totals = first.plan.sum(axis=(1, 2))
    assert np.percentile(totals, 2.5) < stated < np.percentile(totals, 97.5)
    assert totals.mean() == pytest.approx(stated, rel=0.05)
    assert ((first.best >= 0) & (first.best <= 1)).all()
    assert (first.regret >= 0).all()


def test_what_is_certain_is_always_best_and_costs_no_regret(make_study: MakeStudy) -> None:
    money, choice, base, floors = build(make_study())
    sure = replace(
        money,
        ends={name: np.stack([ends[1]] * 3) for name, ends in money.ends.items()},
        seconds=np.stack([np.stack([part[1]] * 3) for part in money.seconds]),
    )
    found = simulate(sure, choice, base, floors, draws=10, seed=0, correlation=0.5)
    assert (found.best == 1).all()
    assert (found.regret == 0).all()
    assert np.ptp(found.plan, axis=0).max() == pytest.approx(0)


def test_success_rates_of_a_workload_move_together_as_far_as_the_study_says(make_study: MakeStudy) -> None:
    money, *_ = build(make_study())
    for correlation in (0.0, 0.6, 1.0):
        drawn = draw(money, 3000, 0, correlation)["success_rate"][:, 1, money.capability]
        assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(correlation, abs=0.05)
        assert (drawn[:, 1] == drawn[:, 2]).all()  # small and small batch are one capability


def test_sensitivity_covers_every_factor_with_a_range(make_study: MakeStudy) -> None:
    money, choice, base, _ = build(make_study())
    found = {row.factor: row for row in sensitivity(money, choice, base)}
    assert set(found) == {
        "requests_per_month", "miss_cost_usd", "success_rate", "speed", "max_utilization",
        "human_usd_per_hour", "evaluation_usd_per_month", "operations_usd_per_month",
    }  # fmt: skip
    miss = found["miss_cost_usd"]
    assert (miss.ends, miss.relative) == ((0.5, 1.0, 2.0), True)
    misses = money.at().split(choice)[3].sum()
    assert miss.plan[1] - miss.plan[0] == pytest.approx(1.5 * misses)
    assert found["human_usd_per_hour"].ends == (20, 30, 40)
    swings = [abs(row.plan[1] - row.plan[0]) for row in sensitivity(money, choice, base)]
    assert swings == sorted(swings, reverse=True)


def test_a_factor_that_no_option_of_the_plan_has_is_told_by_those_that_have_it(make_study: MakeStudy) -> None:
    """Where every workload is on an API, the speed of machines has no mean over the plan."""
    money, _, base, _ = build(make_study())
    speed = {row.factor: row for row in sensitivity(money, np.zeros(len(WORKLOADS), dtype=int), base)}["speed"]
    low, middle, high = speed.ends
    assert low <= middle == 1 < high and speed.plan[0] == speed.plan[1]
