"""The alarm and the interval: hand-worked values, the martingale over every stream, a seeded simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.stats.sequential import confidence_sequence, drift, e_capital

STREAMS = st.lists(st.floats(0, 1), max_size=40)
FLOORS = st.sampled_from([0.05, 0.3, 0.5, 0.85, 1.0])


def test_capital_by_hand() -> None:
    """At a floor of 1/2 a miss turns a stake into 1 + b of it and a hit into 1 - b; the bets' mean is 1.57 / 6."""
    first = 1 - 2**-0.25  # staked before the first item
    assert drift([0], 0.5).e_value == pytest.approx(1 + first * 1.57 / 6)
    assert drift([1], 0.5).e_value == pytest.approx(1 - first * 1.57 / 6)
    once, twice = 1 + 1.57 / 6, 1 + 2 * 1.57 / 6 + 0.8529 / 6  # means of 1 + b and of its square
    second = 2**-0.25 - 3**-0.25
    assert drift([0, 0], 0.5).e_values[1] == pytest.approx(first * twice + second * once + 3**-0.25)


def test_one_miss_refutes_a_floor_of_one_and_nothing_refutes_zero() -> None:
    assert drift([1, 1, 0], 1.0).alarm_at == 3
    assert drift([0] * 50, 0.0).alarm_at is None and drift([0] * 50, 0.0).e_value == 1


@pytest.mark.parametrize("floor", [0.2, 0.5, 0.9])
def test_over_all_streams_the_capital_stays_one_and_alarms_stay_below_alpha(floor: float) -> None:
    """Every stream of ten answers, weighted by its probability when the mean sits on the floor: no simulation."""
    streams = np.array(list(product([0.0, 1.0], repeat=10)))
    right = streams.sum(axis=1)
    chance = floor**right * (1 - floor) ** (10 - right)
    capital = e_capital(streams, floor)
    np.testing.assert_allclose(chance @ capital, 1.0)
    for alpha in (0.8, 0.5, 0.2):
        assert chance @ (capital >= 1 / alpha).any(axis=1) <= alpha


def test_an_alarm_stays_raised_and_says_where() -> None:
    found = drift([1] * 20 + [0] * 30 + [1] * 400, 0.8)
    assert 20 < found.alarm_at <= 35  # type: ignore[operator]
    assert found.e_values[found.alarm_at - 1] >= 20 > found.e_values[found.alarm_at - 2]  # type: ignore[operator]
    assert found.e_value < 20


@given(STREAMS, STREAMS, FLOORS)
@settings(deadline=None, max_examples=60)
def test_later_values_change_nothing_that_was_seen(first: list[float], later: list[float], floor: float) -> None:
    both, alone = drift(first + later, floor), drift(first, floor)
    assert both.e_values[: len(first)] == pytest.approx(alone.e_values)
    assert alone.alarm_at is None or both.alarm_at == alone.alarm_at
    assert all(0 <= value < np.inf for value in both.e_values)


@given(STREAMS.filter(bool), FLOORS)
@settings(deadline=None, max_examples=60)
def test_a_worse_answer_is_never_less_evidence(values: list[float], floor: float) -> None:
    worse = [0.0, *values[1:]]
    assert drift(worse, floor).e_value >= drift(values, floor).e_value * (1 - 1e-9)


def test_interval_by_hand() -> None:
    """At alpha 1/2 the bet is sqrt(2 log 4 / (log 2 / 4)) = 4, cut to 1/(2m): 1 + (1 - m)/(2m) >= 4 to m = 1/7."""
    assert confidence_sequence([1], 0.5) == pytest.approx((1 / 7, 1.0))
    assert confidence_sequence([0], 0.5) == pytest.approx((0.0, 6 / 7))
    assert confidence_sequence([]) == (0.0, 1.0)


@given(STREAMS)
@settings(deadline=None, max_examples=60)
def test_an_interval_mirrors_and_keeps_order(values: list[float]) -> None:
    low, high = confidence_sequence(values)
    assert 0 <= low <= high <= 1
    assert confidence_sequence([1 - value for value in values]) == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_false_alarms_stay_below_the_rate_and_drops_are_found() -> None:
    rng = np.random.default_rng(3)
    flat = e_capital((rng.random((500, 500)) < 0.85).astype(float), 0.85)
    assert (flat >= 20).any(axis=1).mean() <= 0.05
    means = np.where(np.arange(900) < 200, 0.87, 0.7)
    fallen = e_capital((rng.random((200, 900)) < means).astype(float), 0.85)
    assert (fallen >= 20).any(axis=1).all()
    covered = [confidence_sequence(row) for row in (rng.random((100, 300)) < 0.87).astype(float)]
    assert sum(low <= 0.87 <= high for low, high in covered) >= 95
    assert np.mean([high - low for low, high in covered]) < 0.2


@pytest.mark.parametrize(
    ("values", "floor", "alpha", "said"),
    [
        ([0.5, 1.5], 0.5, 0.05, "value 2 is 1.5"),
        ([float("nan")], 0.5, 0.05, "value 1"),
        ([1], 1.2, 0.05, "floor is 1.2"),
        ([1], 0.5, 1.0, "alpha is 1.0"),
    ],
)
def test_bad_input_is_named(values: list[float], floor: float, alpha: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        drift(values, floor, alpha)


def test_a_mean_of_rare_large_values_is_not_taken_for_what_mostly_comes():
    """A saving of mean 0 that is mostly a small loss: an interval by the deviation seen so far ends it in 37 %."""
    rare = np.where(np.random.default_rng(7).random((200, 1500)) < 0.01, 0.099, -0.001)
    shares = 0.5 + rare / 0.24
    assert (e_capital(shares, 0.5) >= 20).any(axis=1).mean() <= 0.05
    ends = [confidence_sequence(row[:n]) for row in shares for n in range(100, 1501, 100)]
    missed = [not low <= 0.5 <= high for low, high in ends]
    assert np.reshape(missed, (200, 15)).any(axis=1).mean() <= 0.05
