"""What knowing is worth: closed forms of a choice between two options, and 0 where nothing could change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import beta, norm

from costlib.portfolio.economics import economy
from costlib.portfolio.information import information, saved_by_knowing
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.risk import simulate
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study

MakeStudy = Callable[..., Study]
DRAWS = 20_000


def loss(mean: float, sd: float) -> float:
    """Unit normal loss: E[max(0, X)] of a normal X with a mean of -|mean|."""
    z = abs(mean) / sd
    return float(sd * (norm.pdf(z) - z * norm.sf(z)))


@pytest.mark.parametrize("mean", [0.0, 0.7, -1.5])
def test_two_options_with_a_normal_difference(mean: float) -> None:
    """The difference is mean + 2 a + b, a and b standard normal: EVPI has sd sqrt(5), knowing a alone sd 2, b sd 1."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, DRAWS))
    shared = 100 * rng.standard_normal(DRAWS)  # what all options cost alike says nothing
    change = shared[:, None] + np.stack([np.zeros(DRAWS), mean + 2 * a + b], axis=1)
    known = ndtr(np.stack([a, b], axis=1))
    for columns, sd in ((None, 5**0.5), (known, 5**0.5), (known[:, :1], 2.0), (known[:, 1:], 1.0)):
        saved = saved_by_knowing(change, columns)
        error = saved.std() / DRAWS**0.5
        assert saved.mean() == pytest.approx(loss(mean, sd), abs=3 * error + 0.01)
    irrelevant = saved_by_knowing(change, rng.random((DRAWS, 1)))
    assert abs(irrelevant.mean()) < 0.02


def test_what_cannot_change_the_choice_is_worth_exactly_nothing() -> None:
    rng = np.random.default_rng(6)
    known = rng.random((1000, 1))
    change = np.stack([np.zeros(1000), 1 + known[:, 0] + rng.random(1000)], axis=1)
    assert not saved_by_knowing(change).any()
    assert not saved_by_knowing(change, known).any()


def test_the_chance_to_be_best_and_the_worth_of_the_miss_cost_have_a_closed_form(make_study: MakeStudy) -> None:
    """Legal review by the frontier or the small API, only its cost of a miss uncertain: 1 to 5 USD, expected 2.

    The small API costs 0.237 USD less and misses 0.12 more often, so it is the best one below L* = 1.975.
    """
    study = make_study(("20000,0,2000,,0.8,500", "20000,0,2000,,0.8,2"))
    workloads, found = load_workloads(study), supplies(study)[:2]
    money = economy(study, found, offers(study, workloads, load_scores(study), found)[2:3])
    ends = {name: np.stack([value[1]] * 3) for name, value in money.ends.items()}
    money = replace(money, ends=ends | {"miss_cost_usd": np.array([[1.0], [2.0], [5.0]])})
    miss, star = beta(6 / 4, 6 * 3 / 4, loc=1, scale=4), 0.237 / 0.12
    assert miss.mean() == pytest.approx(2)
    choice = np.array([0])
    drawn = simulate(money, choice, choice, np.zeros(1), draws=4000, seed=3, correlation=0.5)
    chance = miss.sf(star)
    assert drawn.best[0] == pytest.approx(chance, abs=3 * (chance * (1 - chance) / 4000) ** 0.5)
    expected = 1000 * 0.12 * miss.expect(lambda x: star - x, ub=star)
    everything, only = information(money, drawn)
    assert (only.factor, only.index, only.workloads) == ("miss_cost_usd", 0, (0,))
    for worth in (everything, only):
        assert worth.usd == pytest.approx(expected, abs=3 * worth.error)
        assert 0 < worth.error < 0.1 * expected


def test_every_number_with_a_range_is_asked_about_and_one_alone_is_worth_no_more_than_all(
    make_study: MakeStudy,
) -> None:
    study = make_study()
    workloads, found = load_workloads(study), supplies(study)
    money = economy(study, found, offers(study, workloads, load_scores(study), found))
    choice = np.array([1, 3, 0, 3])
    drawn = simulate(money, choice, choice, np.zeros(4), draws=1000, seed=1, correlation=0.5)
    everything, *each = information(money, drawn)
    assert [worth.usd for worth in each] == sorted((worth.usd for worth in each), reverse=True)
    assert all(worth.usd <= everything.usd + 3 * everything.error for worth in each)
    asked = {(worth.factor, worth.index) for worth in each}
    assert {("requests_per_month", 0), ("miss_cost_usd", 2), ("success_rate", 1), ("max_utilization", -1)} <= asked
    # private has one eligible option, so nothing about it alone could change its choice; input lengths have no range
    assert not {("success_rate", 3), ("input_tokens", 0)} & asked
