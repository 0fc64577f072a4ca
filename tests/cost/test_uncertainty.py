import math

import numpy as np
import pytest

from costlib.cost.inputs import Interval
from costlib.cost.uncertainty import probability_cheaper, tornado
from costlib.errors import InputError


def test_a_tornado_ranks_by_swing():
    """cost = rate / speed + fixed: halving and doubling the speed matters most, then the rate, then the fixed part."""
    frame = tornado(
        lambda rate, speed, fixed: rate / speed + fixed,
        {"rate": (3, 4, 6), "fixed": Interval(0.1, 0.2, 0.3), "speed": (0.5, 1, 2)},
    )
    assert frame["factor"].tolist() == ["speed", "rate", "fixed"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["swing"].tolist() == pytest.approx([6, 3, 0.2])
    speed = frame.iloc[0]
    assert (speed["result_low"], speed["result_base"], speed["result_high"]) == pytest.approx((8.2, 4.2, 2.2))
    assert frame["reason"].isna().all()


def test_a_factor_that_takes_the_answer_away_ranks_first():
    frame = tornado(lambda a, b: None if a > 2 else a + b, {"b": (0, 1, 100), "a": (1, 2, 3)})
    assert frame["factor"].tolist() == ["a", "b"]
    assert math.isnan(frame["swing"][0])
    assert frame["reason"][0] == "no result at its high"
    infinite = tornado(lambda a: 1 / a if a else math.inf, {"a": (0, 1, 2)})
    assert infinite["reason"][0] == "no result at its low"
    assert np.isnan(infinite["result_low"][0])


def test_the_swing_includes_the_base_where_it_is_the_extreme():
    frame = tornado(lambda a: (a - 1) ** 2, {"a": (0, 1, 2)})
    assert frame["swing"][0] == 1


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({}, "at least one factor"),
        ({"a": (2, 1, 3)}, "factor a is .*low <= base <= high"),
        ({"a": (1, 2)}, "three numbers"),
        ({"a": (1, float("nan"), 3)}, "factor a is nan"),
        ({"a": (0, 1, float("inf"))}, "factor a is inf"),
    ],
)
def test_a_bad_factor_is_refused(factors, message):
    with pytest.raises(InputError, match=message):
        tornado(lambda **values: 1.0, factors)


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    factors = {"x": (1, 2, 4), "y": Interval(0, 1, 2)}
    one, two, other = (
        probability_cheaper(lambda x, y: x, lambda x, y: y + 1, factors, 1000, seed) for seed in (1, 1, 2)
    )
    assert one == two != other


def test_another_factor_does_not_redraw_the_first():
    alone = probability_cheaper(lambda x: x, lambda x: 0.3, {"x": (0, 0.5, 1)}, 100)
    both = probability_cheaper(lambda x, y: x + 0 * y, lambda x, y: 0.3, {"y": (5, 5, 6), "x": (0, 0.5, 1)}, 100)
    assert alone == both


def test_draws_are_those_of_the_triangle():
    """F of a triangle (1, 2, 6): (x - 1)^2 / 5 up to the mode, 1 - (6 - x)^2 / 20 above it."""
    for at, share in ((1.5, 0.05), (2, 0.2), (4, 0.8)):
        found = probability_cheaper(lambda x: x, lambda x, at=at: at, {"x": (1, 2, 6)})
        assert found.probability == pytest.approx(share, abs=4 * found.standard_error)
    found = probability_cheaper(lambda x: x, lambda x: 6, {"x": (1, 2, 6)})
    ends = math.sqrt(20 * 0.025), math.sqrt(20 * 0.5), 5 - math.sqrt(5 * 0.025)
    assert (found.low, found.median, found.high) == pytest.approx(ends, rel=0.02)


def test_probability_that_one_side_is_cheaper_is_exact_for_two_triangles():
    """A, triangular on [0, 1] with its mode at 1, is below an independent B of the same law with probability 1/2."""
    factors = {"a": (0, 1, 1), "b": (0, 1, 1)}
    found = probability_cheaper(lambda a, b: a, lambda a, b: b, factors)
    reverse = probability_cheaper(lambda a, b: b, lambda a, b: a, factors)
    assert found.probability == pytest.approx(0.5, abs=4 * found.standard_error)
    assert found.probability + reverse.probability == pytest.approx(1)
    assert found.median == -reverse.median


def test_a_tie_counts_for_neither():
    assert probability_cheaper(lambda x: x, lambda x: x, {"x": (0, 0, 1)}, 1000).probability == 0


def test_draws_without_a_value_are_left_out():
    cut = probability_cheaper(lambda x: np.where(x < 0.25, np.nan, x), lambda x: 0.5, {"x": (0, 1, 1)})
    assert cut.probability == pytest.approx((0.25 - 0.0625) / (1 - 0.0625), abs=4 * cut.standard_error)
    none = probability_cheaper(lambda x: x / 0, lambda x: x, {"x": (1, 1, 2)}, 10)
    assert (none.probability, none.low, none.reason) == (None, None, "no draw gave a finite result")


def test_plain_numbers_do_not_vary():
    found = probability_cheaper(lambda x, y: x + y, lambda x, y: 7.0, {"x": 1, "y": 2}, 10)
    assert (found.probability, found.low, found.median, found.high) == (1, 4, 4, 4)


@pytest.mark.parametrize(
    ("factors", "draws", "message"),
    [
        ({"x": (3, 2, 1)}, 10, "low <= base <= high"),
        ({"x": (0, float("nan"), 1)}, 10, "factor x is nan"),
        ({"x": True}, 10, "factor x is True"),
        ({"x": 1}, 0, "draws is 0"),
        ({"x": 1}, 10**8, "draws is 100000000; allowed: at most"),
    ],
)
def test_bad_draws_are_refused(factors, draws, message):
    with pytest.raises(InputError, match=message):
        probability_cheaper(lambda x: x, lambda x: x, factors, draws)


def test_a_result_of_another_shape_is_refused():
    with pytest.raises(InputError, match="shape of the result of cost_a"):
        probability_cheaper(lambda x: x[:3], lambda x: x, {"x": (0, 0, 1)}, 10)
