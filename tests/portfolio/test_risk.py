"""How sure a plan is: draws that repeat, intervals that hold the value, and flips that do flip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from costlib.portfolio.assign import solve
from costlib.portfolio.economics import Economy, economy
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Ints, switch_usd
from costlib.portfolio.risk import Flip, break_even_miss_usd, draw, flips, sensitivity, simulate
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study

MakeStudy = Callable[..., Study]
NAMES = ("frontier", "small", "small batch", "open", "tiny", "people")
WORKLOADS = ("tail", "bulk", "legal", "private")


def build(study: Study) -> tuple[Economy, Ints, Ints, np.ndarray]:
    workloads = load_workloads(study)
    found = supplies(study)
    money = economy(study, found, offers(study, workloads, load_scores(study, workloads), found))
    floors = np.array([workload.quality_floor for workload in workloads])
    return money, solve(money.at().problem).choice, np.array([0, 0, 0, 3]), floors


def find(found: list[Flip], workload: str, factor: str, direction: str) -> Flip:
    named = (WORKLOADS.index(workload), factor, direction)
    return next(flip for flip in found if (flip.workload, flip.factor, flip.direction) == named)


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
        rng = np.random.default_rng(0)
        drawn = np.array([draw(money, rng, correlation)["success_rate"][1] for _ in range(3000)])
        assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(correlation, abs=0.05)
        assert (drawn[:, 1] == drawn[:, 2]).all()  # small and small batch are one capability


def test_the_break_even_miss_cost_is_that_of_the_definition(make_study: MakeStudy) -> None:
    """L* = (c_F - c_S) / (q_F - q_S): what frontier costs more per request, over what it misses less."""
    money, choice, *_ = build(make_study())
    assert NAMES[choice[2]] == "frontier"
    frontier, small = (20000 * 8 + 2000 * 40) / 1e6, (20000 * 0.1 + 2000 * 0.5) / 1e6
    kept = 50 / 1000 if 0 not in choice[[0, 1, 3]] else 0  # the fixed sum for the model, if legal alone keeps it
    added = 50 / 1000 if 1 not in choice and 2 not in choice else 0
    expected = (frontier + kept - small - added) / (0.97 - 0.85)
    assert break_even_miss_usd(money, choice)[2, 1] == pytest.approx(expected)


def test_beyond_the_miss_cost_of_a_flip_a_plan_made_anew_takes_the_named_option_and_before_it_the_choice(
    make_study: MakeStudy,
) -> None:
    money, choice, _, floors = build(make_study())
    found = [flip for flip in flips(money, choice, floors) if flip.factor == "miss cost"]

    def served(workload: int, usd: float) -> int:
        level = money.at().level["miss_cost_usd"].copy()
        level[workload] = usd
        return int(solve(money.at(miss_cost_usd=level).problem).choice[workload])

    assert len(found) == 2 * len(choice)
    for flip in found:
        own, beyond = choice[flip.workload], -1e-6 if flip.direction == "down" else 1e-6
        if flip.at is None:
            assert served(flip.workload, 1e-9 if flip.direction == "down" else 1e4) == own
            continue
        assert served(flip.workload, flip.at * (1 + beyond)) == flip.option != own
        assert served(flip.workload, flip.at * (1 - beyond)) == served(flip.workload, flip.now) == own
    alone = np.nanmax(break_even_miss_usd(money, choice)[2, [1, 2]])
    legal = find(found, "legal", "miss cost", "down")
    assert legal.at is not None and legal.at >= alone - 1e-9  # with the others free to move, too, it turns no later


def test_at_a_flip_the_named_option_costs_the_same_and_beyond_it_less(make_study: MakeStudy) -> None:
    money, choice, _, floors = build(make_study())
    level = money.at().level
    seen = 0
    for flip in flips(money, choice, floors):
        if flip.at is None or flip.factor != "volume":
            continue
        gains = []
        for step in (-1e-6, 1e-6):
            moved = level["requests_per_month"].copy()
            moved[flip.workload] = flip.at * (1 + (step if flip.direction == "up" else -step))
            change = switch_usd(money.at(requests_per_month=moved).problem, choice)
            gains.append(change[flip.workload, flip.option])
        assert gains[0] >= -1e-6
        assert gains[1] <= 1e-6
        seen += 1
    assert seen


def test_price_and_success_flips_equal_the_gap_over_what_is_paid(make_study: MakeStudy) -> None:
    money, choice, _, floors = build(make_study())
    found = list(flips(money, choice, floors))
    scenario = money.at()
    others = switch_usd(scenario.problem, choice)[2].copy()
    others[choice[2]] = np.inf
    gap = others.min()
    assert find(found, "legal", "price of the choice", "up").at == pytest.approx(1 + gap / (1000 * 0.24))
    success = find(found, "legal", "success rate", "down")
    assert success.at == pytest.approx(max(0.97 - gap / (1000 * 500), 0.8))


def test_what_never_flips_says_why(make_study: MakeStudy) -> None:
    money, choice, _, floors = build(make_study())
    for flip in flips(money, choice, floors):
        assert (flip.at is None) == (flip.reason is not None)
        assert flip.reason is None or flip.reason.startswith("never")
    only = list(flips(money, choice, floors))
    private = [flip for flip in only if flip.workload == 3 and flip.factor.startswith("price")]
    assert {flip.reason for flip in private} == {"never: no other option is eligible"}


def test_sensitivity_covers_every_factor_with_a_range(make_study: MakeStudy) -> None:
    money, choice, base, _ = build(make_study())
    found = {row.factor: row for row in sensitivity(money, choice, base)}
    assert set(found) == {
        "requests_per_month", "miss_cost_usd", "success_rate", "speed", "device_rate", "max_utilization",
        "human_usd_per_hour", "evaluation_usd_per_month", "operations_usd_per_month",
    }  # fmt: skip
    miss = found["miss_cost_usd"]
    assert (miss.ends, miss.relative) == ((0.5, 1.0, 2.0), True)
    misses = money.at().split(choice)[3].sum()
    assert miss.plan[1] - miss.plan[0] == pytest.approx(1.5 * misses)
    assert found["human_usd_per_hour"].ends == (20, 30, 40)
    swings = [abs(row.plan[1] - row.plan[0]) for row in sensitivity(money, choice, base)]
    assert swings == sorted(swings, reverse=True)
