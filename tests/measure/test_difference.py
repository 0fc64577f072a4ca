from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from costlib.measure.compare import difference_apart, paired_difference

ONE, OTHER = [[1.0, 1.1], [1.2], [1.15], [1.3]], [[1.5], [1.4], [1.7], [1.45, 1.6, 1.9]]


def _logs(side: list[list[float]]) -> list[float]:
    return [float(np.median(np.log(process))) for process in side]


def test_turns_are_a_paired_t_test_on_medians_of_logarithms() -> None:
    """Checked against scipy's ttest_rel."""
    expected = stats.ttest_rel(_logs(OTHER), _logs(ONE))
    found = paired_difference(ONE, OTHER)
    assert found.low is not None and found.high is not None and found.p_value == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval(0.95)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((ends.low, ends.high))
    back = paired_difference(OTHER, ONE)
    assert back.ratio == pytest.approx(1 / found.ratio) and back.high == pytest.approx(1 / found.low)


def test_only_rounds_in_which_both_have_a_sample_are_pairs() -> None:
    gaps = paired_difference([*ONE, [9.0], []], [*OTHER, [], [9.0]])
    assert gaps == paired_difference([*ONE, [5.0]], OTHER) == paired_difference(ONE, OTHER)
    with pytest.raises(ValueError, match="no round"):
        paired_difference([[1.0], []], [[], [1.0]])


def test_apart_the_error_is_the_spread_of_processes_not_its_standard_error() -> None:
    """Many processes do not narrow it: (4 % and 3 %) give 5 % whatever their number."""
    for repeats in (10, 1000):
        one = [[math.exp(0.04 * sign)] for sign in (-1, 1)] * repeats
        other = [[math.exp(0.2 + 0.03 * sign)] for sign in (-1, 1)] * repeats
        found = difference_apart(one, other)
        assert found.low is not None and found.ratio == pytest.approx(math.exp(0.2))
        half = math.log(found.ratio / found.low)
        exact = 2 * repeats / (2 * repeats - 1)  # variance by n - 1
        assert half == pytest.approx(stats.t.ppf(0.975, 4 * repeats - 2) * 0.05 * math.sqrt(exact))


def test_equal_processes_and_single_ones_have_no_p_value_out_of_thin_air() -> None:
    for compared in (paired_difference, difference_apart):
        same = compared([[1.0], [1.0]], [[1.0], [1.0]])
        assert (same.ratio, same.p_value, same.shown) == (1.0, 1.0, False)
        single = compared([[1.0]], [[2.0], [2.0]])
        assert (single.ratio, single.low, single.p_value, single.shown) == (2.0, None, None, False)
    with pytest.raises(ValueError, match="without a sample"):
        difference_apart([], [[1.0]])
