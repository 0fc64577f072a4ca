import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.misses import Stage, break_even_miss, cascade, judged_stage, task_cost
from costlib.errors import InputError

SHARE = st.floats(0, 1)
COST = st.floats(0, 1e6)


def test_cost_of_a_task_is_the_sum_of_its_parts():
    found = task_cost(
        0.01,
        wrong_delivered=0.02,
        miss_usd=50,
        router_usd=0.001,
        judge_usd=0.004,
        escalated=0.1,
        human_usd=4,
        evaluation_usd=0.005,
    )
    assert found.total_usd == pytest.approx(0.01 + 0.001 + 0.004 + 1.0 + 0.4 + 0.005)
    assert found.per_good_answer_usd == pytest.approx(1.42 / 0.98)


def test_without_a_good_answer_there_is_no_price_for_one():
    assert task_cost(0.01, wrong_delivered=1, miss_usd=1).per_good_answer_usd is None


@settings(max_examples=100, deadline=None)
@given(cost=COST, wrong=SHARE, miss=COST, more=COST)
def test_cost_rises_with_the_cost_of_a_miss(cost, wrong, miss, more):
    low, high = (task_cost(cost, wrong_delivered=wrong, miss_usd=usd).total_usd for usd in (miss, miss + more / 2))
    assert 0 <= low <= high < math.inf


def test_break_even_miss_by_hand():
    """0.002 $ at 80 % against 0.052 $ at 90 %: 0.05 $ buys a tenth of a miss, so L* = 0.50 $."""
    found = break_even_miss(0.002, 0.80, 0.052, 0.90)
    assert found.miss_usd == pytest.approx(0.5)
    assert (found.case, found.below, found.above) == ("trade-off", "small", "frontier")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 0.9, 2, 0.9), (None, "equal quality", "small", "small")),
        ((2, 0.9, 1, 0.9), (None, "equal quality", "frontier", "frontier")),
        ((1, 0.9, 2, 0.8), (None, "cheaper is better", "small", "small")),
        ((2, 0.8, 1, 0.9), (None, "cheaper is better", "frontier", "frontier")),
        ((1, 0.8, 1, 0.9), (0.0, "equal cost", "either", "frontier")),
        ((1, 0.9, 1, 0.9), (None, "identical", "either", "either")),
        ((1, 0.1 + 0.2, 2, 0.3), (None, "equal quality", "small", "small")),
        ((1, 0.0, 2, 5e-324), (None, "equal quality", "small", "small")),
    ],
)
def test_cases_without_a_trade_off_are_named(arguments, expected):
    found = break_even_miss(*arguments)
    assert (found.miss_usd, found.case, found.below, found.above) == expected


@settings(max_examples=200, deadline=None)
@given(cost_s=COST, q_s=SHARE, cost_f=COST, q_f=SHARE, factor=st.sampled_from([0.5, 0.9, 1.1, 2.0]))
def test_who_wins_below_and_above_agrees_with_the_expected_costs(cost_s, q_s, cost_f, q_f, factor):
    found = break_even_miss(cost_s, q_s, cost_f, q_f)
    if found.miss_usd is None:
        return
    assert 0 <= found.miss_usd < math.inf
    miss = found.miss_usd * factor
    small, frontier = cost_s + (1 - q_s) * miss, cost_f + (1 - q_f) * miss
    winner = found.below if factor < 1 else found.above
    noise = 1e-9 * (1 + small + frontier)
    if winner == "small":
        assert small <= frontier + noise
    elif winner == "frontier":
        assert frontier <= small + noise


def test_a_cascade_by_hand():
    """Stage 1 takes 70 % (2 % wrong) for 0.01 + 0.002; the rest costs 0.10 and is 5 % wrong: 0.042 $ and 3.5 %."""
    found = cascade([Stage(0.01, 0.7, 0.02, 0.002), Stage(0.10, 1.0, 0.05)])
    assert found.usd == pytest.approx(0.012 + 0.3 * 0.10)
    assert found.delivered_error == pytest.approx(0.02 + 0.3 * 0.05)
    assert found.unanswered == 0
    assert found.reach == pytest.approx((1, 0.3))


def test_a_judge_with_two_error_rates():
    stage = judged_stage(0.01, 0.8, false_accept=0.25, false_reject=0.1, judge_usd=0.001)
    assert stage.accepted == pytest.approx(0.8 * 0.9 + 0.2 * 0.25)
    assert stage.accepted_wrong == pytest.approx(0.05)


def test_a_cascade_of_judged_stages_matches_a_simulation():
    random = np.random.default_rng(1)
    settings_of = [(0.01, 0.7, 0.2, 0.1, 0.002), (0.05, 0.8, 0.3, 0.05, 0.004), (0.3, 0.95, 1.0, 0.0, 0.0)]
    stages = [
        judged_stage(usd, accuracy, false_accept=fa, false_reject=fr, judge_usd=judge)
        for usd, accuracy, fa, fr, judge in settings_of
    ]
    found = cascade(stages)
    count = 400_000
    open_tasks, cost, wrong = np.ones(count, bool), np.zeros(count), np.zeros(count, bool)
    for usd, accuracy, fa, fr, judge in settings_of:
        cost[open_tasks] += usd + judge
        right = random.random(count) < accuracy
        accepted = np.where(right, random.random(count) >= fr, random.random(count) < fa) & open_tasks
        wrong |= accepted & ~right
        open_tasks &= ~accepted
    assert found.usd == pytest.approx(cost.mean(), rel=0.01)
    assert found.delivered_error == pytest.approx(wrong.mean(), abs=0.003)
    assert found.unanswered == pytest.approx(open_tasks.mean(), abs=0.002)


@settings(max_examples=100, deadline=None)
@given(stages=st.lists(st.tuples(COST, SHARE, SHARE), min_size=1, max_size=6))
def test_every_task_ends_right_wrong_or_unanswered(stages):
    found = cascade([Stage(usd, accepted, accepted * wrong) for usd, accepted, wrong in stages])
    assert 0 <= found.usd <= sum(usd for usd, _, _ in stages) * (1 + 1e-12)
    assert 0 <= found.delivered_error <= 1 + 1e-12 - found.unanswered + 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: task_cost(-1, wrong_delivered=0, miss_usd=0), "inference_usd is -1"),
        (
            lambda: task_cost(1, wrong_delivered=0.7, miss_usd=0, escalated=0.4),
            "at most 1, because a task ends in one way",
        ),
        (lambda: task_cost(1, wrong_delivered=float("nan"), miss_usd=0), "wrong_delivered is nan"),
        (lambda: break_even_miss(1, 1.2, 2, 0.5), "small_quality is 1.2"),
        (lambda: break_even_miss(1, True, 2, 0.5), "small_quality is True"),
        (lambda: cascade([]), "stages is 0; allowed: at least one"),
        (lambda: cascade([Stage(1, 0.5, 0.6)]), "stage 0: accepted_wrong is 0.6; allowed: at most accepted, 0.5"),
        (lambda: cascade([Stage(1, 1, 0), Stage(float("inf"), 1, 0)]), "stage 1: usd is inf"),
        (lambda: judged_stage(1, 0.5, false_accept=2, false_reject=0), "false_accept is 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
