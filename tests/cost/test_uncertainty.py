import math

import numpy as np
import pytest

from costlib.cost.inputs import Interval
from costlib.cost.uncertainty import (
    Lognormal,
    Triangular,
    Uniform,
    monte_carlo,
    probability_cheaper,
    tornado,
)
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
    factors = {"x": Triangular(1, 2, 4), "y": Lognormal(1, 0.5)}
    one, two, other = (monte_carlo(lambda x, y: x * y, factors, 1000, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert (one.draws, one.seed, one.undefined_share) == (1000, 1, 0)


def test_another_factor_does_not_redraw_the_first():
    alone = monte_carlo(lambda x: x, {"x": Uniform(0, 1)}, 100)
    both = monte_carlo(lambda x, y: x + 0 * y, {"y": Uniform(5, 6), "x": Uniform(0, 1)}, 100)
    assert np.array_equal(alone.samples, both.samples)


@pytest.mark.parametrize(
    ("distribution", "mean", "variance"),
    [
        (Uniform(2, 6), 4, 16 / 12),
        (Triangular(1, 2, 6), 3, (1 + 4 + 36 - 2 - 6 - 12) / 18),
        (Lognormal(2, 0.5), 2 * math.exp(0.125), 4 * math.exp(0.25) * (math.exp(0.25) - 1)),
        (Triangular(3, 3, 3), 3, 0),
    ],
)
def test_draws_have_the_moments_of_their_distribution(distribution, mean, variance):
    found = monte_carlo(lambda x: x, {"x": distribution})
    assert found.mean == pytest.approx(mean, abs=4 * found.standard_error + 1e-12)
    assert found.samples.var() == pytest.approx(variance, rel=0.03, abs=1e-12)


def test_a_lognormal_from_its_interval_holds_that_share_inside():
    distribution = Lognormal.from_interval(1, 4)
    assert distribution.median == pytest.approx(2)
    found = monte_carlo(lambda x: x, {"x": distribution})
    assert found.low == pytest.approx(1, rel=0.02)
    assert found.high == pytest.approx(4, rel=0.02)
    assert ((found.samples > 1) & (found.samples < 4)).mean() == pytest.approx(0.95, abs=0.005)
    assert Lognormal.from_interval(3, 3).sigma == 0


def test_probability_that_one_side_is_cheaper_is_exact_for_two_uniforms():
    """A uniform on [0, 1] is below an independent B on [0, 2] with probability 3/4."""
    factors = {"a": Uniform(0, 1), "b": Uniform(0, 2)}
    found = probability_cheaper(lambda a, b: a, lambda a, b: b, factors)
    assert found.probability == pytest.approx(0.75, abs=4 * found.standard_error)
    assert found.difference.mean == pytest.approx(0.5, abs=0.01)
    reverse = probability_cheaper(lambda a, b: b, lambda a, b: a, factors)
    assert found.probability + reverse.probability + found.tie_share == pytest.approx(1)


def test_a_tie_counts_for_neither():
    found = probability_cheaper(lambda x: x, lambda x: x, {"x": Uniform(0, 1)}, 1000)
    assert (found.probability, found.tie_share) == (0, 1)


def test_draws_without_a_value_are_left_out_and_counted():
    found = monte_carlo(lambda x: np.where(x < 0.25, np.nan, 1 / x), {"x": Uniform(0, 1)})
    assert found.undefined_share == pytest.approx(0.25, abs=0.01)
    assert np.isfinite(found.samples).all()
    assert found.mean == pytest.approx(math.log(4) / 0.75, rel=0.02)
    none = monte_carlo(lambda x: x / 0, {"x": Uniform(1, 2)}, 10)
    assert (none.mean, none.low, none.undefined_share) == (None, None, 1)
    assert none.reason == "no draw gave a finite result"
    assert probability_cheaper(lambda x: x / 0, lambda x: x, {"x": Uniform(1, 2)}, 10).probability is None


def test_plain_numbers_do_not_vary_and_one_draw_has_no_error():
    found = monte_carlo(lambda x, y: x + y, {"x": 1, "y": 2}, 1)
    assert (found.mean, found.standard_error) == (3, None)
    assert monte_carlo(lambda x: 7.0, {"x": Uniform(0, 1)}, 10).mean == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Triangular(3, 2, 1), "low <= mode <= high"),
        (lambda: Triangular(0, float("nan"), 1), "mode is nan"),
        (lambda: Uniform(2, 1), "low <= high"),
        (lambda: Lognormal(0, 1), "median is 0"),
        (lambda: Lognormal(1, 50), "sigma is 50"),
        (lambda: Lognormal.from_interval(2, 1), "low <= high"),
        (lambda: Lognormal.from_interval(1, 2, 1), "coverage is 1"),
        (lambda: monte_carlo(lambda x: x, {"x": True}), "factor x is True"),
        (lambda: monte_carlo(lambda x: x, {"x": 1}, 0), "draws is 0"),
        (lambda: monte_carlo(lambda x: x, {"x": 1}, 10**8), "draws is 100000000; allowed: at most"),
        (lambda: monte_carlo(lambda x: x[:3], {"x": Uniform(0, 1)}, 10), "shape of the result of function"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
