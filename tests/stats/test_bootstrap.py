"""Checked against scipy, statsmodels and closed formulas written down here a second time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from costlib.errors import InputError
from costlib.stats.bootstrap import block_bootstrap, paired_bootstrap, paired_difference

NUMBERS = st.lists(st.floats(-50, 50), min_size=2, max_size=60)


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
    block, blocks = 20, 32  # 640 values make 32 blocks of 20
    circle = np.concatenate([series, series])
    sums = np.array([circle[start : start + block].sum() for start in range(640)])
    exact = math.sqrt(blocks * sums.var()) / 640 * math.sqrt(blocks / (blocks - 1))
    assert block_bootstrap(series, resamples=20_000).standard_error == pytest.approx(exact, rel=0.02)


def test_exact_variance_holds_when_the_last_block_is_cut():
    series = autoregressive(0.5, 650, seed=4)
    circle = np.concatenate([series, series])
    whole = np.array([circle[start : start + 20].sum() for start in range(650)])
    last = np.array([circle[start : start + 10].sum() for start in range(650)])
    exact = math.sqrt(32 * whole.var() + last.var()) / 650 * math.sqrt(33 / 32)
    assert block_bootstrap(series, resamples=20_000).standard_error == pytest.approx(exact, rel=0.02)


def test_independent_values_in_blocks_of_one_give_the_t_test():
    series = np.random.default_rng(5).normal(0.2, 1, 60)
    found = block_bootstrap(series, resamples=40_000)
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
    monkeypatch.setattr("costlib.stats.bootstrap._CHUNK", 1000)
    assert block_bootstrap(series) == whole


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
    found = paired_bootstrap(baseline, variant)
    assert found.mean == pytest.approx(reference.mean, rel=1e-9)
    assert found.standard_error == pytest.approx(reference.std_mean, rel=0.06)
    assert (found.low, found.high) == pytest.approx(reference.tconfint_mean(0.05), abs=0.005)
    assert found.p_value == pytest.approx(reference.ttest_mean(0)[1], abs=0.03)


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


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: block_bootstrap([1.0]), "values"),
        (lambda: block_bootstrap([1.0, math.nan]), "values"),
        (lambda: block_bootstrap([1.0, math.inf, 2.0]), "values"),
        (lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]), "variant"),
        (lambda: paired_bootstrap([1, 2], [1, 2], clusters=["a"]), "clusters"),
        (lambda: paired_bootstrap([1, 2], [1, 2], clusters=["a", "a"]), "clusters"),
    ],
)
def test_bad_input_names_the_field(call, field):
    with pytest.raises(InputError, match=f"^{field} is .*; allowed: "):
        call()
