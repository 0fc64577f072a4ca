"""Checked against statsmodels, scipy, closed formulas written down here a second time, and published tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from costlib.errors import InputError
from costlib.quality.compare import (
    agresti_min,
    block_bootstrap,
    block_length,
    holm,
    mcnemar,
    minimum_detectable_accuracy,
    minimum_detectable_effect,
    non_inferiority,
    paired_bootstrap,
    paired_difference,
    wilson,
)

NUMBERS = st.lists(st.floats(-50, 50), min_size=2, max_size=60)


def answers(both, gained, lost, neither):
    """Right and wrong answers of two systems with these counts."""
    first = [1] * both + [0] * gained + [1] * lost + [0] * neither
    second = [1] * both + [1] * gained + [0] * lost + [0] * neither
    return first, second


def autoregressive(coefficient, n, seed):
    noise = np.random.default_rng(seed).normal(size=n + 200)
    series = np.zeros(n + 200)
    for i in range(1, n + 200):
        series[i] = coefficient * series[i - 1] + noise[i]
    return series[200:]


# Per-token series


def test_identical_series_differ_by_exactly_nothing():
    series = np.random.default_rng(1).normal(3, 2, 999)
    found = paired_difference(series, series)
    assert (found.mean, found.standard_error, found.low, found.high, found.p_value) == (0, 0, 0, 0, 1)
    assert found.ratio == (1, 1, 1)


def test_error_agrees_with_the_exact_variance_of_the_circular_block_bootstrap():
    series = autoregressive(0.5, 640, seed=3)
    block, blocks = 20, 32
    circle = np.concatenate([series, series])
    sums = np.array([circle[start : start + block].sum() for start in range(640)])
    exact = math.sqrt(blocks * sums.var()) / 640 * math.sqrt(blocks / (blocks - 1))
    assert block_bootstrap(series, block=block, resamples=20_000).standard_error == pytest.approx(exact, rel=0.02)


def test_exact_variance_holds_when_the_last_block_is_cut():
    series = autoregressive(0.5, 650, seed=4)
    circle = np.concatenate([series, series])
    whole = np.array([circle[start : start + 20].sum() for start in range(650)])
    last = np.array([circle[start : start + 10].sum() for start in range(650)])
    exact = math.sqrt(32 * whole.var() + last.var()) / 650 * math.sqrt(33 / 32)
    assert block_bootstrap(series, block=20, resamples=20_000).standard_error == pytest.approx(exact, rel=0.02)


def test_independent_values_in_blocks_of_one_give_the_t_test():
    series = np.random.default_rng(5).normal(0.2, 1, 80)
    found = block_bootstrap(series, block=1, resamples=40_000)
    expected = stats.ttest_1samp(series, 0)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(series.mean(), abs=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(series), rel=0.02)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.1)


def test_error_covers_correlation_that_single_values_hide():
    """The long-run error of an AR(1) series with coefficient 0.8 is 1 / ((1 - 0.8) sqrt(n)), 3 times the naive one."""
    series = [autoregressive(0.8, 4096, seed) for seed in range(30)]
    truth = 1 / (0.2 * 64)
    assert np.mean([block_bootstrap(one).standard_error for one in series]) == pytest.approx(truth, rel=0.1)
    assert np.mean([stats.sem(one) for one in series]) < truth / 2.5


def test_intervals_of_a_correlated_series_hold_the_truth_about_95_times_in_100():
    held = sum(
        found.low <= 0 <= found.high
        for found in (block_bootstrap(autoregressive(0.5, 1024, seed), resamples=400) for seed in range(200))
    )
    assert 180 <= held <= 200


def test_ratio_is_the_ratio_of_perplexities():
    baseline, variant = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 3.1, 4.4])
    ratio = math.exp(variant.mean()) / math.exp(baseline.mean())
    assert paired_difference(baseline, variant).ratio[0] == pytest.approx(ratio, rel=1e-12)


def test_interval_and_p_value_agree():
    for seed in range(50):
        found = block_bootstrap(np.random.default_rng(seed).normal(0.2, 1, 100))
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


@settings(deadline=None, max_examples=30)
@given(NUMBERS, st.floats(-20, 20))
def test_shifting_a_series_shifts_its_interval_and_keeps_its_error(values, shift):
    plain, moved = block_bootstrap(values, resamples=200), block_bootstrap(np.array(values) + shift, resamples=200)
    assert moved.mean == pytest.approx(plain.mean + shift, abs=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(NUMBERS)
def test_swapping_baseline_and_variant_turns_the_sign(values):
    other = values[::-1]
    there, back = paired_difference(values, other, resamples=200), paired_difference(other, values, resamples=200)
    assert back.mean == -there.mean
    assert back.p_value == pytest.approx(there.p_value, abs=1e-9)


def test_the_same_seed_gives_the_same_estimate_however_large_the_chunks(monkeypatch):
    series = autoregressive(0.3, 500, seed=9)
    whole = block_bootstrap(series)
    assert block_bootstrap(series) == whole
    assert block_bootstrap(series, seed=1) != whole
    monkeypatch.setattr("costlib.quality.compare._CHUNK", 1000)
    assert block_bootstrap(series) == whole


def test_default_blocks_are_32_and_never_empty():
    assert [block_length(n) for n in (2, 63, 64, 4096)] == [1, 1, 2, 128]


# Items


def test_paired_bootstrap_agrees_with_scipy():
    random = np.random.default_rng(11)
    baseline = random.normal(0, 1, 120)
    variant = baseline + random.normal(0.1, 0.5, 120)
    found = paired_bootstrap(baseline, variant)
    expected = stats.bootstrap(
        (variant - baseline,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    )
    interval = expected.confidence_interval
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.03)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert found.p_value == pytest.approx(stats.ttest_rel(variant, baseline).pvalue, abs=0.02)


def test_repeating_every_item_in_its_cluster_adds_no_certainty():
    random = np.random.default_rng(12)
    baseline, variant = random.normal(size=50), random.normal(0.3, size=50)
    single = paired_bootstrap(baseline, variant)
    tenfold = paired_bootstrap(baseline.repeat(10), variant.repeat(10), clusters=list(np.arange(50).repeat(10)))
    careless = paired_bootstrap(baseline.repeat(10), variant.repeat(10))
    assert (tenfold.standard_error, tenfold.low, tenfold.high) == pytest.approx(
        (single.standard_error, single.low, single.high), rel=1e-9
    )
    assert careless.standard_error == pytest.approx(single.standard_error / math.sqrt(10), rel=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_paired_differences_agree_with_statsmodels(seed):
    """Independent items, so its t interval and the percentile interval of the bootstrap are near each other."""
    from statsmodels.stats.weightstats import DescrStatsW

    random = np.random.default_rng(seed)
    baseline = random.normal(0, 1, 300)
    variant = baseline + random.normal(0.05, 0.4, 300)
    reference = DescrStatsW(variant - baseline)
    found, series = paired_bootstrap(baseline, variant), paired_difference(baseline, variant, block=1)
    for one in (found, series):
        assert one.mean == pytest.approx(reference.mean, rel=1e-9)
        assert one.standard_error == pytest.approx(reference.std_mean, rel=0.06)
        assert (one.low, one.high) == pytest.approx(reference.tconfint_mean(0.05), abs=0.005)
        assert one.p_value == pytest.approx(reference.ttest_mean(0)[1], abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_clustered_items_agree_with_statsmodels_clustered_errors(seed):
    """Questions about 150 documents: the error of a mean with cluster-robust covariance (Liang and Zeger 1986)."""
    from statsmodels.regression.linear_model import OLS

    random = np.random.default_rng(seed)
    clusters = random.integers(0, 150, 900)
    baseline = random.normal(size=900)
    variant = baseline + 0.1 + random.normal(0, 0.5, 150)[clusters] + random.normal(0, 0.5, 900)
    reference = OLS(variant - baseline, np.ones(900)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    found = paired_bootstrap(baseline, variant, clusters=clusters.tolist())
    assert found.mean == pytest.approx(reference.params[0], rel=1e-9)
    assert found.standard_error == pytest.approx(reference.bse[0], rel=0.06)


def test_equal_scores_have_p_value_1_and_a_clear_difference_never_0():
    assert paired_bootstrap([1, 2, 3], [1, 2, 3]).p_value == 1
    found = paired_bootstrap([0] * 30, [1] * 30, resamples=999)
    assert found.p_value == pytest.approx(2 / 1000)


# Right and wrong answers


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [(121, 59, 5.450095e-06), (70, 59, 0.3786151), (80, 59, 0.08981434), (25, 15, 0.15472892348537437)],
)
def test_mcnemar_with_continuity_equals_the_values_in_statsmodels_and_mlxtend(gained, lost, p_value):
    """statsmodels test_mcnemar_chisquare (taken from R); the last from mlxtend's user guide, example 2."""
    found = mcnemar(*answers(101, gained, lost, 33))
    assert found.test == "chi-square with continuity"
    assert found.p_value == pytest.approx(p_value, rel=1e-6)


def test_mcnemar_is_exact_below_25_flips_as_in_mlxtend():
    """mlxtend's user guide, example 3: 11 against 1 gives 0.00634765625."""
    found = mcnemar(*answers(9959, 1, 11, 29))
    assert (found.test, found.p_value) == ("exact", pytest.approx(0.00634765625, rel=1e-12))
    assert mcnemar(*answers(10, 12, 12, 10)).test == "exact"
    assert mcnemar(*answers(10, 13, 12, 10)).test == "chi-square with continuity"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_mcnemar_on_random_tables(both, gained, lost, neither):
    first, second = answers(both, gained, lost, neither)
    found = mcnemar(first, second)
    n, flips = both + gained + lost + neither, gained + lost
    difference = np.array(second) - np.array(first)
    assert (found.gained, found.lost, found.flips, found.n) == (gained, lost, flips, n)
    assert found.flip_share == flips / n
    assert found.difference == pytest.approx(difference.mean(), abs=1e-12)
    assert found.standard_error == pytest.approx(difference.std() / math.sqrt(n), abs=1e-12)
    assert found.low == pytest.approx(found.difference - 1.959963984540054 * found.standard_error, abs=1e-12)
    if flips < 25:
        tail = sum(math.comb(flips, i) for i in range(min(gained, lost) + 1)) / 2**flips
        assert found.p_value == pytest.approx(min(1, 2 * tail), rel=1e-9)
    else:
        assert found.p_value == pytest.approx(
            math.erfc(math.sqrt(max(0, abs(gained - lost) - 1) ** 2 / flips / 2)), rel=1e-9
        )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_mcnemar_is_statsmodels_mcnemar(both, gained, lost, neither):
    """Without a difference it lets the correction make one, (|0| - 1)^2; a correction ends at 0 (R's mcnemar.test)."""
    from statsmodels.stats.contingency_tables import mcnemar as reference

    found = mcnemar(*answers(both, gained, lost, neither))
    if gained == lost:
        assert found.p_value == 1
    else:
        table = [[both, lost], [gained, neither]]
        assert found.p_value == pytest.approx(reference(table, exact=gained + lost < 25).pvalue, rel=1e-9)


def test_no_flips_at_all_is_no_evidence():
    found = mcnemar([1, 0, 1], [1, 0, 1])
    assert (found.p_value, found.difference, found.standard_error, found.flip_share) == (1, 0, 0, 0)


# Decisions


def test_non_inferiority_is_the_one_sided_test_against_the_margin():
    for seed in range(40):
        difference = np.random.default_rng(seed).normal(0, 1, 60)
        passed = non_inferiority(block_bootstrap(difference, block=1, resamples=20_000).low, 0.3)
        p_value = stats.ttest_1samp(difference, -0.3, alternative="greater").pvalue
        if abs(p_value - 0.025) > 0.003:
            assert passed == (p_value < 0.025)


def test_non_inferiority_needs_the_bound_above_the_margin():
    assert not non_inferiority(-0.0196, 0.01)
    assert non_inferiority(-0.0196, 0.02)
    assert not non_inferiority(-0.0196, 0.0196)


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
@given(st.floats(0.1, 10), st.integers(20, 5000), st.floats(0.01, 0.1), st.floats(0.8, 0.95))
def test_minimum_detectable_effect_is_statsmodels_effect_size(deviation, n, significance, power):
    """It counts rejections on the wrong side, too, which are too rare here to matter."""
    from statsmodels.stats.power import zt_ind_solve_power

    size = zt_ind_solve_power(nobs1=n, alpha=significance, power=power, ratio=0)
    effect = minimum_detectable_effect(deviation, n, significance=significance, power=power)
    assert effect == pytest.approx(size * deviation, rel=1e-4)


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
    assert minimum_detectable_accuracy(0.05, 20) is None


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


# Bad input


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: block_bootstrap([1.0]), "values"),
        (lambda: block_bootstrap([1.0, math.nan]), "values"),
        (lambda: block_bootstrap([1.0, math.inf, 2.0]), "values"),
        (lambda: block_bootstrap([1.0, 2.0, 3.0, 4.0], block=3), "block"),
        (lambda: block_bootstrap([1.0, 2.0], block=True), "block"),
        (lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]), "variant"),
        (lambda: paired_bootstrap([1, 2], [1, 2], clusters=["a"]), "clusters"),
        (lambda: paired_bootstrap([1, 2], [1, 2], clusters=["a", "a"]), "clusters"),
        (lambda: mcnemar([1, 0], [1, 0.5]), "variant_right"),
        (lambda: non_inferiority(0.1, 0), "margin"),
        (lambda: minimum_detectable_effect(math.nan, 10), "standard_deviation"),
        (lambda: minimum_detectable_effect(1, 1), "n"),
        (lambda: minimum_detectable_effect(1, 10, power=1), "power"),
        (lambda: minimum_detectable_accuracy(1.5, 10), "flip_share"),
        (lambda: holm([0.5, math.nan]), "p_value"),
        (lambda: holm([1.5]), "p_value"),
    ],
)
def test_bad_input_names_the_field(call, field):
    with pytest.raises(InputError, match=f"^{field} is .*; allowed: "):
        call()
