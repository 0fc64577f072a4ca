"""The assignment: equal to brute force, and true to a published fleet."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio.samples import every_choice, problems

from costlib.portfolio.assign import Infeasible, smallest_conflict, solve
from costlib.portfolio.problem import Problem, busiest_hours, replicas, switch_usd, total_usd


def within(problem: Problem, choice: np.ndarray, keep: frozenset[str]) -> bool:
    """Whether a choice keeps the limits named."""
    counts = replicas(problem, choice)
    if any(counts[pool] > problem.maximum[pool] and f"pool {pool}" in keep for pool in range(2)):
        return False
    cash = total_usd(problem, choice, cash=True)
    return problem.budget is None or "budget" not in keep or cash <= problem.budget


def brute(problem: Problem, keep: frozenset[str] = frozenset({"budget", "pool 0", "pool 1"})) -> float | None:
    """The cheapest total over every choice, or None where none keeps the limits."""
    return min((total_usd(problem, c) for c in every_choice(problem) if within(problem, c, keep)), default=None)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_equal_to_brute_force(problem: Problem) -> None:
    found = solve(problem)
    assert found.usd == pytest.approx(brute(problem), rel=1e-9, abs=1e-6)
    assert found.usd == total_usd(problem, found.choice)
    assert problem.eligible[np.arange(len(found.choice)), found.choice].all()
    assert found.gap <= 1e-6


@settings(max_examples=60, deadline=None)
@given(problems(limits=True))
def test_equal_to_brute_force_with_a_budget_and_replica_limits_or_a_smallest_conflict(problem: Problem) -> None:
    best = brute(problem)
    if best is not None:
        assert solve(problem).usd == pytest.approx(best, rel=1e-9, abs=1e-6)
        return
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    named = frozenset(caught.value.requirements)
    assert brute(problem, named) is None
    for size in range(len(named)):
        for fewer in itertools.combinations({"budget", "pool 0", "pool 1"}, size):
            assert brute(problem, frozenset(fewer)) is not None
    for name, least in zip(caught.value.requirements, caught.value.least, strict=True):
        kept = [c for c in every_choice(problem) if within(problem, c, named - {name})]
        pool = -1 if name == "budget" else int(name[-1])
        asked = [total_usd(problem, c, cash=True) if pool < 0 else replicas(problem, c)[pool] for c in kept]
        assert least == pytest.approx(min(asked), rel=1e-9, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_a_switch_costs_the_difference_of_the_totals(problem: Problem, random: object) -> None:
    rng = np.random.default_rng(random.randint(0, 1000))  # type: ignore[attr-defined]
    choice = np.array([rng.choice(np.flatnonzero(row)) for row in problem.eligible])
    change = switch_usd(problem, choice)
    before = total_usd(problem, choice)
    for workload, option in np.ndindex(change.shape):
        moved = choice.copy()
        moved[workload] = option
        if problem.eligible[workload, option]:
            assert change[workload, option] == pytest.approx(total_usd(problem, moved) - before, abs=1e-9)
        else:
            assert change[workload, option] == np.inf


@settings(max_examples=40, deadline=None)
@given(problems())
def test_only_hours_that_no_other_hour_covers_matter(problem: Problem) -> None:
    choice = np.array([np.flatnonzero(row)[0] for row in problem.eligible])
    fewer = replace(problem, hours=busiest_hours(problem.hours))
    assert fewer.hours.shape[1] <= problem.hours.shape[1]
    assert (replicas(fewer, choice) == replicas(problem, choice)).all()


def test_published_fleet_three_a10g_and_one_a100() -> None:
    """melange-release example.json (case fleet-2): 6.70 USD per hour; all A100 costs 7.34."""
    rate = 30 * np.array([[0.2], [0.1], [0.5], [0.2]])
    sustained = np.array([[2, 20], [1, 20], [5, 40], [2, 20]])
    problem = Problem(
        usd=np.zeros((4, 2)),
        cash=np.zeros((4, 2)),
        eligible=np.ones((4, 2), dtype=bool),
        load=rate / sustained,
        user=np.array([0, 1]),
        pool=np.array([0, 1]),
        hours=np.ones((4, 1)),
        replica_usd=np.array([1.01, 3.67]),
        minimum=np.array([1, 1]),
        maximum=np.full(2, np.inf),
        kept=np.zeros((2, 0), dtype=bool),
        model_usd=np.zeros(0),
    )
    found = solve(problem)
    assert found.usd == pytest.approx(6.70)
    assert found.replicas.tolist() == [3, 1]
    assert total_usd(problem, np.ones(4, dtype=np.int64)) == pytest.approx(7.34)


def test_peaks_in_different_hours_share_a_replica() -> None:
    """Two workloads of 0.8 replicas each fit one replica if one runs by day and the other by night."""
    day_and_night = Problem(
        usd=np.zeros((2, 1)),
        cash=np.zeros((2, 1)),
        eligible=np.ones((2, 1), dtype=bool),
        load=np.full((2, 1), 0.8),
        user=np.array([0]),
        pool=np.array([0]),
        hours=np.eye(2),
        replica_usd=np.array([100.0]),
        minimum=np.array([1]),
        maximum=np.array([np.inf]),
        kept=np.ones((1, 1), dtype=bool),
        model_usd=np.array([7.0]),
    )
    assert solve(day_and_night).usd == pytest.approx(107)
    assert solve(replace(day_and_night, hours=np.ones((2, 1)))).usd == pytest.approx(207)
    assert solve(replace(day_and_night, minimum=np.array([3]))).usd == pytest.approx(307)


def test_a_cascade_shares_the_replica_of_its_first_stage_and_keeps_both_models() -> None:
    """Option 0 runs alone on pool 0; option 1 asks pool 0 and, for a tenth, pool 1; each replica 100, each model 7."""
    problem = Problem(
        usd=np.array([[0.0, 9.0], [500.0, 10.0]]),
        cash=np.zeros((2, 2)),
        eligible=np.ones((2, 2), dtype=bool),
        load=np.array([[0.3, 0.3, 0.05], [0.3, 0.3, 0.05]]),
        user=np.array([0, 1, 1]),
        pool=np.array([0, 0, 1]),
        hours=np.ones((2, 1)),
        replica_usd=np.array([100.0, 100.0]),
        minimum=np.array([1, 1]),
        maximum=np.full(2, np.inf),
        kept=np.array([[True, False], [True, True]]),
        model_usd=np.array([7.0, 7.0]),
    )
    found = solve(problem)
    assert found.choice.tolist() == [0, 1]
    assert found.replicas.tolist() == [1, 1]
    assert found.usd == pytest.approx(0 + 10 + 200 + 14)
    assert switch_usd(problem, found.choice)[0, 1] == pytest.approx(9)
    assert switch_usd(problem, np.array([0, 0]))[1, 1] == pytest.approx(-490 + 100 + 7)


def test_replicas_that_come_in_nodes_are_paid_by_the_node() -> None:
    """A load of 2.5 needs 3 replicas: 4 in nodes of two or four, 8 in nodes of eight."""
    one = Problem(
        usd=np.zeros((2, 1)),
        cash=np.zeros((2, 1)),
        eligible=np.ones((2, 1), dtype=bool),
        load=np.full((2, 1), 1.25),
        user=np.array([0]),
        pool=np.array([0]),
        hours=np.ones((2, 1)),
        replica_usd=np.array([100.0]),
        minimum=np.array([1]),
        maximum=np.array([np.inf]),
        kept=np.zeros((1, 0), dtype=bool),
        model_usd=np.zeros(0),
    )
    for node, count in ((1, 3), (2, 4), (3, 3), (4, 4), (8, 8)):
        found = solve(replace(one, node=np.array([node])))
        assert (found.replicas.tolist(), found.usd) == ([count], 100 * count)
    with pytest.raises(Infeasible) as caught:  # three replicas fit, but they come by twos
        solve(replace(one, node=np.array([2]), maximum=np.array([3.0])))
    assert (caught.value.requirements, caught.value.least) == (("pool 0",), (4.0,))


def test_of_several_offers_the_least_whole_bill_counts_that_the_maximum_allows() -> None:
    """A load of 2.5 needs 3: three alone for 330, four by twos for 320, eight for 300."""
    one = Problem(
        usd=np.zeros((1, 1)),
        cash=np.zeros((1, 1)),
        eligible=np.ones((1, 1), dtype=bool),
        load=np.full((1, 1), 2.5),
        user=np.array([0]),
        pool=np.array([0]),
        hours=np.ones((1, 1)),
        replica_usd=np.array([[110.0, 80.0, 37.5]]),
        minimum=np.array([1]),
        maximum=np.array([np.inf]),
        kept=np.zeros((1, 0), dtype=bool),
        model_usd=np.zeros(0),
        node=np.array([[1, 2, 8]]),
    )
    for most, count, usd in ((np.inf, 8, 300), (8, 8, 300), (7, 4, 320), (4, 4, 320), (3, 3, 330)):
        found = solve(replace(one, maximum=np.array([float(most)])))
        assert (found.replicas.tolist(), found.usd) == ([count], usd)
    with pytest.raises(Infeasible) as caught:
        solve(replace(one, maximum=np.array([2.0])))
    assert caught.value.least == (3.0,)


def test_a_load_that_is_whole_but_for_rounding_needs_no_further_replica() -> None:
    third = 0.1 + 0.2 - 0.3  # 5.6e-17
    problem = Problem(
        usd=np.zeros((1, 1)),
        cash=np.zeros((1, 1)),
        eligible=np.ones((1, 1), dtype=bool),
        load=np.array([[2 + third]]),
        user=np.array([0]),
        pool=np.array([0]),
        hours=np.ones((1, 1)),
        replica_usd=np.array([1.0]),
        minimum=np.array([1]),
        maximum=np.array([np.inf]),
        kept=np.zeros((1, 0), dtype=bool),
        model_usd=np.zeros(0),
    )
    assert solve(problem).replicas.tolist() == [2]


@pytest.mark.parametrize("over", [2e-9, 3e-7])
def test_a_load_a_trifle_above_a_whole_number_needs_one_replica_more_and_the_plan_knows(over: float) -> None:
    """HiGHS would call 1.0000003 replicas one; at two the other option is cheaper."""
    problem = Problem(
        usd=np.array([[0.0, 150.0]]),
        cash=np.zeros((1, 2)),
        eligible=np.ones((1, 2), dtype=bool),
        load=np.array([[1 + over]]),
        user=np.array([0]),
        pool=np.array([0]),
        hours=np.ones((1, 1)),
        replica_usd=np.array([100.0]),
        minimum=np.array([1]),
        maximum=np.array([np.inf]),
        kept=np.zeros((2, 0), dtype=bool),
        model_usd=np.zeros(0),
    )
    found = solve(problem)
    assert (found.choice.tolist(), found.usd) == ([1], 150)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=6))
def test_the_conflict_named_is_a_smallest_one(failures: list[set[str]]) -> None:
    found = smallest_conflict(failures)
    assert all(set(found) & failed for failed in failures)
    for fewer in itertools.combinations("abcde", len(found) - 1):
        assert not all(set(fewer) & failed for failed in failures)


def test_a_workload_without_an_option_is_a_defect_of_the_caller() -> None:
    problem = Problem(
        usd=np.zeros((1, 1)),
        cash=np.zeros((1, 1)),
        eligible=np.zeros((1, 1), dtype=bool),
        load=np.zeros((1, 0)),
        user=np.zeros(0, dtype=np.int64),
        pool=np.zeros(0, dtype=np.int64),
        hours=np.ones((1, 1)),
        replica_usd=np.zeros(0),
        minimum=np.zeros(0, dtype=np.int64),
        maximum=np.zeros(0),
        kept=np.zeros((1, 0), dtype=bool),
        model_usd=np.zeros(0),
    )
    with pytest.raises(ValueError, match="without an eligible option"):
        solve(problem)
