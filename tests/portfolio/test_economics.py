"""The money as arrays: ranges, scenarios, and bills that add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.portfolio.economics import PARTS, CostModel, between, economy
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import replicas, total_usd
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study

MakeStudy = Callable[..., Study]
NAMES = ("frontier", "small", "small batch", "open", "tiny", "people")


def build(study: Study) -> CostModel:
    workloads = load_workloads(study)
    found = supplies(study)
    return economy(study, found, offers(study, workloads, load_scores(study), found))


def choice(*options: str) -> np.ndarray:
    return np.array([NAMES.index(option) for option in options])


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(0, 100))
def test_a_range_keeps_its_ends_and_its_value_is_the_mean(place: float, width: float) -> None:
    ends = np.array([[10.0], [10 + place * width], [10 + width]])
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    drawn = between(np.repeat(ends, len(quantiles), axis=1), quantiles)
    assert drawn.min() >= 10 - 1e-9
    assert drawn.max() <= 10 + width + 1e-9
    if 0.05 <= place <= 0.95:
        assert drawn.mean() == pytest.approx(ends[1, 0], rel=1e-3)
    assert between(ends, 0.0)[0] == pytest.approx(10 if width else ends[1, 0])
    assert between(ends, 1.0)[0] == pytest.approx(10 + width)


def test_costs_of_a_cell_by_hand(make_study: MakeStudy) -> None:
    """Expected $ = inference + people + P(miss) x cost of a miss + evaluation (definitions: cost of a good answer)."""
    problem = build(make_study()).at().problem
    frontier = 1000 * (20000 * 8 + 2000 * 40) / 1e6 + 1000 * 0.03 * 500 + 10
    assert problem.usd[2, 0] == pytest.approx(frontier)
    assert problem.cash[2, 0] == pytest.approx(frontier - 1000 * 0.03 * 500)
    people = 1000 * 30 / 60 * 30 + 1000 * 0.025 * 500
    assert problem.usd[2, 5] == pytest.approx(people)


def test_a_pool_is_sized_for_its_busiest_hour_and_paid_busy_or_idle(make_study: MakeStudy) -> None:
    """Rented hours are paid idle or not: 730 h x rate x replicas, whatever the utilization (case rent-1)."""
    money = build(make_study())
    scenario = money.at()
    chosen = choice("frontier", "open", "frontier", "open")
    bulk = 300_000 / 20 * 4 / 24 * (1000 / 64832 + 100 / 23223) / 3600  # 4 of 24 weights on each of 20 days
    private = 400_000 / 730 * (400 / 64832 + 50 / 23223) / 3600
    use = int(np.flatnonzero(scenario.problem.user == 3)[0])
    pool = scenario.problem.pool[use]
    load = (scenario.problem.load[[1, 3], use, None] * scenario.problem.hours[[1, 3]]).sum(axis=0).max()
    assert load == pytest.approx((bulk + private) / 0.5)
    count = replicas(scenario.problem, chosen)[pool]
    assert count == 1
    split = scenario.split(chosen)
    rate = money.replica_hour_usd[3, 0]
    assert (split[0, [1, 3]] + split[1, [1, 3]]).sum() == pytest.approx(730 * rate)
    assert (split[1, [1, 3]] > 0).all()


def test_the_parts_of_any_choice_add_up_to_its_total(make_study: MakeStudy) -> None:
    money, rng = build(make_study()), np.random.default_rng(0)
    for _ in range(50):
        scenario = money.at({"speed": rng.random(6), "success_rate": rng.random((4, 6)), "minimum_replicas": 1.0})
        chosen = rng.choice([0, 1, 2, 3, 5], 4)  # without tiny, which was never measured
        split = scenario.split(chosen)
        assert split.shape == (len(PARTS), 4)
        assert split.sum() == pytest.approx(total_usd(scenario.problem, chosen))
        assert (split >= -1e-9).all()


def test_factors_move_only_what_they_should(make_study: MakeStudy) -> None:
    money = build(make_study())
    base, dear = money.at(), money.at({"miss_cost_usd": 1.0})
    assert dear.parts["misses"] == pytest.approx(2 * base.parts["misses"])
    assert dear.problem.cash == pytest.approx(base.problem.cash)
    more = money.at({"requests_per_month": 1.0})
    assert more.parts["api"] == pytest.approx(1.2 * base.parts["api"])
    assert more.problem.load == pytest.approx(1.2 * base.problem.load)
    slow = money.at({"speed": 1.0})
    assert slow.parts["busy"][3, 3] > base.parts["busy"][3, 3]
    assert money.at({"max_utilization": 0.0}).problem.load == pytest.approx(base.problem.load * 0.5 / 0.4)
