from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.arrivals import from_log, hourly, steady
from costlib.errors import InputError


def test_steady_spreads_a_month_over_730_hours():
    profile = steady(2_628_000)
    assert profile.peak_rate_per_s == profile.mean_rate_per_s == 1.0
    assert profile.requests_per_month == pytest.approx(2_628_000)
    assert profile.kind == "assumed"
    assert steady(0).peak_rate_per_s == 0


def test_hourly_weights_keep_the_volume_and_the_shape():
    profile = hourly(2_628_000, [0] * 12 + [2] * 12)
    assert profile.mean_rate_per_s == pytest.approx(1.0)
    assert profile.peak_rate_per_s == pytest.approx(2.0)
    assert profile.cycle_s == 24 * 3600


@settings(max_examples=25, deadline=None)
@given(weights=st.lists(st.floats(0, 1e6), min_size=168, max_size=168).filter(any), volume=st.floats(0, 1e12))
def test_a_week_of_weights_conserves_the_volume(weights, volume):
    assert hourly(volume, weights).requests_per_month == pytest.approx(volume)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1] * 23, "hourly weights is 23"), ([0] * 24, "all 0"), ([1] * 23 + [-1], "hourly weight 23 is -1")],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        hourly(1, weights)


def test_a_log_counts_every_request_once_per_hour():
    start = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    times = [start + timedelta(seconds=60 * i) for i in range(60)] + [
        start + timedelta(hours=1, minutes=m) for m in (5, 50)
    ]
    profile = from_log(reversed(times))
    assert [round(r * d) for r, d in zip(profile.rates_per_s, profile.durations_s, strict=True)] == [60, 2]
    assert profile.kind == "measured"
    assert profile.durations_s[0] == 3600


def test_a_short_last_piece_joins_the_hour_before_it():
    profile = from_log([0.0, 3600.0, 3600.0 + 600])
    assert profile.durations_s == pytest.approx((4200.0,))
    assert profile.mean_rate_per_s * profile.cycle_s == pytest.approx(3)


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.floats(0, 1e6), min_size=2, max_size=200).filter(lambda times: max(times) - min(times) >= 60))
def test_a_log_loses_no_request(times):
    profile = from_log(times)
    assert profile.mean_rate_per_s * profile.cycle_s == pytest.approx(len(times))
    assert profile.scv >= 1


def test_the_daily_rhythm_is_no_burst_and_bursts_are_seen():
    random = np.random.default_rng(1)
    hours = [random.uniform(0, 3600, count) + 3600 * hour for hour, count in enumerate((50, 5000, 100, 3000))]
    assert from_log(np.concatenate([[0.0], *hours])).scv == pytest.approx(1, abs=0.1)
    bursts = np.cumsum(np.where(random.random(20_000) < 0.1, random.exponential(10, 20_000), 0.01))
    assert from_log(bursts).scv > 5


def test_every_way_to_write_a_time_gives_the_same_profile():
    stamps = pd.date_range("2026-01-01", periods=50, freq="7min", tz="UTC")
    seconds = from_log([stamp.timestamp() for stamp in stamps])
    naive = stamps.tz_localize(None)
    for form in (stamps, list(stamps.to_pydatetime()), naive.to_numpy(), list(naive.to_pydatetime())):
        assert from_log(form) == seconds


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "timestamps is '0 times'; allowed: at least two"),
        ([1.0], "timestamps is '1 times'"),
        ([5.0, 5.0], "span of the timestamps is '0 s'; allowed: a minute to ten years"),
        ([0.0, 1e12], "span of the timestamps is '1e\\+12 s'"),
    ],
)
def test_a_log_without_a_rate_is_refused(times, message):
    with pytest.raises(InputError, match=message):
        from_log(times)


@pytest.mark.parametrize("wrong", [float("nan"), "2026-01-01", pd.NaT, True, None], ids=repr)
def test_what_is_not_a_time_is_refused(wrong):
    with pytest.raises(InputError, match="timestamp 1"):
        from_log([1.0, wrong, 100.0])
