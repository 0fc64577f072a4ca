from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from measure.load.traces import request_row, trace
from scipy.stats import binom

from costlib.measure.load.trace import PERCENTILES, fewest, latencies, percentile


@pytest.mark.parametrize("which", PERCENTILES)
def test_the_fewest_samples_are_those_with_both_ends(which: int) -> None:
    """By hand: no sample above the quantile has probability q^n, which must not pass 2.5 %."""
    least = fewest(which)
    assert (which / 100) ** least <= 0.025 < (which / 100) ** (least - 1)
    few, enough = (percentile([float(n) for n in range(count)], which) for count in (least - 1, least))
    assert few["value_s"] is None and enough["low_s"] < enough["value_s"] < enough["high_s"] == least - 1
    assert {50: 6, 90: 36, 95: 72, 99: 368}[which] == least


@pytest.mark.parametrize(("count", "which"), [(6, 50), (30, 50), (100, 95), (500, 99), (40, 90)])
def test_the_ends_are_the_nearest_order_statistics_that_cover(count: int, which: int) -> None:
    found = percentile([float(rank) for rank in range(1, count + 1)], which)
    low, high = int(found["low_s"]), int(found["high_s"])
    assert binom.cdf(low - 1, count, which / 100) <= 0.025 and binom.sf(high - 1, count, which / 100) <= 0.025
    assert binom.cdf(low, count, which / 100) > 0.025 and binom.sf(high - 2, count, which / 100) > 0.025


def test_the_interval_covers_the_true_percentile() -> None:
    random, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        found = percentile(random.lognormal(0, 1, 100).tolist(), 90)
        hits += found["low_s"] <= math.exp(1.2815515655) <= found["high_s"]
    assert 0.94 <= hits / 1000 <= 0.99


def test_thirty_samples_have_no_p99_and_say_why() -> None:
    found = percentile([0.1] * 30, 99)
    assert found["value_s"] is None and found["reason"] == "p99 needs 368 samples, there are 30"
    assert percentile([0.1] * 30, 50)["value_s"] == 0.1
    assert percentile([], 50)["reason"] == "p50 needs 6 samples, there are 0"


def test_every_latency_twice_from_hand_made_times() -> None:
    """Due at 1, sent at 1.5, text at 2, 2.5 and 3.5: six times the same request, and one that failed."""
    row = {"scheduled_s": 1.0, "sent_s": 1.5}
    requests = trace(
        *(request_row(n, chunks=[2.0, 2.5, 3.5], **{"scheduled": 1.0, **row}) for n in range(6)),
        request_row(6, 1.0, []),
    )
    found = latencies(requests)
    medians = found[found["percentile"] == 50].set_index("metric")
    expected = {"ttft_scheduled_s": 1.0, "ttft_sent_s": 0.5, "e2e_scheduled_s": 2.5, "e2e_sent_s": 2.0}
    for metric, value in {**expected, "stream_tpot_s": 0.75, "itl_s": 0.75}.items():
        assert medians.loc[metric, "value_s"] == pytest.approx(value), metric
    assert medians.loc["ttft_sent_s", "samples"] == 6 and medians.loc["itl_s", "samples"] == 12
    assert pd.isna(medians.loc["itl_s", "low_s"]) and "depend on each other" in str(medians.loc["itl_s", "reason"])
    assert found["value_s"].notna().sum() == 6, "6 answers allow a median and nothing else"


def test_one_token_has_no_time_per_token() -> None:
    found = latencies(trace(*(request_row(n, 0.0, [1.0]) for n in range(6)))).set_index(["metric", "percentile"])
    assert found.loc[("stream_tpot_s", 50), "samples"] == 0 and pd.isna(found.loc[("stream_tpot_s", 50), "value_s"])
