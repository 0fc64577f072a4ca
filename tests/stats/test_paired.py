"""Checked against statsmodels, closed formulas written down here a second time, and published tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from costlib.stats.paired import (
    agresti_min,
    holm,
    mcnemar,
    minimum_detectable_accuracy,
    minimum_detectable_effect,
    wilson,
)

# Right and wrong answers


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [(121, 59, 5.450095e-06), (70, 59, 0.3786151), (80, 59, 0.08981434), (25, 15, 0.15472892348537437)],
)
def test_mcnemar_with_continuity_equals_the_values_in_statsmodels_and_mlxtend(gained, lost, p_value):
    """statsmodels test_mcnemar_chisquare (taken from R); the last from mlxtend's user guide, example 2."""
    assert mcnemar(gained, lost) == (pytest.approx(p_value, rel=1e-6), "chi-square with continuity")


def test_mcnemar_is_exact_below_25_flips_as_in_mlxtend():
    """mlxtend's user guide, example 3: 11 against 1 gives 0.00634765625."""
    assert mcnemar(1, 11) == (pytest.approx(0.00634765625, rel=1e-12), "exact")
    assert mcnemar(12, 12)[1] == "exact" and mcnemar(13, 12)[1] == "chi-square with continuity"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_statsmodels_mcnemar(gained, lost):
    """Without a difference it lets the correction make one, (|0| - 1)^2; a correction ends at 0 (R's mcnemar.test)."""
    from statsmodels.stats.contingency_tables import mcnemar as reference

    p_value, _ = mcnemar(gained, lost)
    if gained == lost:
        assert p_value == 1
    else:
        table = [[9, lost], [gained, 9]]
        assert p_value == pytest.approx(reference(table, exact=gained + lost < 25).pvalue, rel=1e-9)


# Decisions


def test_agresti_min_adds_half_an_item_to_each_cell():
    # By hand: (9 - 2) / 22 +- 1.959964 sqrt(12 - 49 / 22) / 22 = 0.318182 +- 0.278505
    low, high = agresti_min(9, 2, 20)
    assert (low, high) == pytest.approx((0.039677, 0.596687), abs=1e-6)
    low, high = agresti_min(0, 0, 10)
    assert (low, high) == pytest.approx((-1.959964 / 12, 1.959964 / 12), rel=1e-6)


def test_agresti_min_covers_where_the_plain_interval_does_not():
    random = np.random.default_rng(3)
    drawn = random.multinomial(30, [0.04, 0.01, 0.95], size=4000)
    kept = [agresti_min(b, c, 30) for b, c, _ in drawn]
    assert np.mean([low <= 0.03 <= high for low, high in kept]) > 0.95


def test_wilson_is_statsmodels_wilson():
    from statsmodels.stats.proportion import proportion_confint

    for right, n in ((0, 7), (3, 9), (41, 60), (500, 500)):
        assert wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-9)


def test_minimum_detectable_effect_has_the_power_it_promises():
    effect = minimum_detectable_effect(2.0, 400)
    assert effect == pytest.approx((1.959963984540054 + 0.8416212335729143) * 2 / 20, rel=1e-12)
    assert stats.norm.sf(1.959963984540054 - effect * 20 / 2) == pytest.approx(0.8, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.1, 10), st.integers(20, 5000))
def test_minimum_detectable_effect_is_statsmodels_effect_size(deviation, n):
    """It counts rejections on the wrong side, too, which are too rare here to matter."""
    from statsmodels.stats.power import zt_ind_solve_power

    size = zt_ind_solve_power(nobs1=n, alpha=0.05, power=0.8, ratio=0)
    assert minimum_detectable_effect(deviation, n) == pytest.approx(size * deviation, rel=1e-4)


def test_minimum_detectable_accuracy_has_the_power_it_promises():
    """Tables drawn with the effect Connor's formula names are found by McNemar's chi-square about 80 times in 100."""
    from statsmodels.stats.contingency_tables import mcnemar as reference

    effect = minimum_detectable_accuracy(0.2, 500)
    drawn = np.random.default_rng(5).multinomial(500, [(0.2 + effect) / 2, (0.2 - effect) / 2, 0.8], size=2000)
    found = [reference([[0, c], [b, 0]], exact=False, correction=False).pvalue < 0.05 for b, c, _ in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_minimum_detectable_accuracy_inverts_the_published_sample_size():
    """Connor (1987): flips of 0.45 one way and 0.05 the other need 22.8, i.e. 23 pairs, at 5 % and power 0.8."""
    pairs = ((1.959963984540054 * math.sqrt(0.5) + 0.8416212335729143 * math.sqrt(0.5 - 0.16)) / 0.4) ** 2
    assert math.ceil(pairs) == 23
    assert minimum_detectable_accuracy(0.5, 23) < 0.4 < minimum_detectable_accuracy(0.5, 22)


def test_too_few_items_detect_nothing():
    assert minimum_detectable_accuracy(0.05, 20) is None and minimum_detectable_accuracy(0.2, 1) is None


def test_holm_equals_the_published_example():
    """Wikipedia, Holm-Bonferroni method: 0.01, 0.04, 0.03, 0.005; only the first and the last stay below 0.05."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_statsmodels_holm(p_values):
    from statsmodels.stats.multitest import multipletests

    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.001, 1), max_size=12), st.floats(0.01, 0.5))
def test_holm_rejects_what_its_step_down_rule_rejects(p_values, level):
    """Holm (1979): from the smallest, reject while p <= level / (comparisons left), then stop."""
    rejected = set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - rank) > level:
            break
        rejected.add(index)
    assert {index for index, adjusted in enumerate(holm(p_values)) if adjusted <= level} == rejected
