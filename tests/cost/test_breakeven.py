import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.breakeven import Api, SelfHosting, break_even, curve, monthly_usd
from costlib.errors import InputError

HOSTING = SelfHosting(usd_per_step_month=1000, requests_per_step_month=10_000)


def test_one_crossing_by_hand():
    """1000 $ a month against 0.02 $ a request cross at 50,000 requests, 35 million tokens at 700 each."""
    found = break_even(SelfHosting(1000, 100_000), Api(0.02), tokens_per_request=700)
    assert found.verdict == "crosses"
    assert [c.requests_per_month for c in found.crossings] == [50_000]
    assert found.crossings[0].tokens_per_month == 35_000_000
    assert found.crossings[0].cheaper_above == "self-hosted"
    assert found.first_requests_per_month == found.last_requests_per_month == 50_000


def test_every_crossing_of_the_staircase_by_hand():
    """1000 $ steps of 10,000 requests against 0.11 $: in at n * 1000 / 0.11, out at the end of each step, up to ten."""
    found = break_even(HOSTING, Api(0.11))
    ups = [c.exact for c in found.crossings if c.cheaper_above == "self-hosted"]
    downs = [c.exact for c in found.crossings if c.cheaper_above == "api"]
    assert ups == [Fraction(100_000 * n, 11) for n in range(1, 11)]
    assert downs == [10_000 * n for n in range(1, 10)]
    assert found.crossings_total == 19
    assert found.first_requests_per_month == pytest.approx(9090.909)
    assert found.last_requests_per_month == pytest.approx(90_909.09)


def test_never_when_a_full_step_costs_more_than_the_api():
    found = break_even(HOSTING, Api(0.02))
    assert found.verdict == "never"
    assert found.crossings == ()
    assert found.first_requests_per_month is None
    assert found.reason == "even a full step costs at least as much as its requests cost from the API"
    assert break_even(replace(HOSTING, usd_per_request=0.5), Api(0.2)).reason.startswith("a request costs no less")


def test_beyond_capacity_when_the_allowed_steps_end_before_the_crossing():
    dear = SelfHosting(1000, 10_000, minimum_steps=2, maximum_steps=3, fixed_usd_per_month=10_000)
    found = break_even(dear, Api(0.2))
    assert found.verdict == "beyond capacity"
    assert found.capacity_requests_per_month == 30_000
    assert break_even(replace(dear, maximum_steps=None), Api(0.2)).verdict == "crosses"


def test_a_capacity_of_zero_serves_nothing():
    found = break_even(SelfHosting(1000, 0), Api(0.2))
    assert found.verdict == "beyond capacity"
    assert found.capacity_requests_per_month == 0
    assert found.reason == "no load meets the latency limit, so self-hosting serves nothing"
    assert monthly_usd(SelfHosting(1000, 0), Api(0.2), 100) == (None, 20)


def test_always_when_the_api_has_a_dear_fixed_part():
    found = break_even(SelfHosting(1000, 100_000, maximum_steps=1), Api(0.02, fixed_usd_per_month=5000))
    assert found.verdict == "always"
    assert found.first_requests_per_month == 0


def test_self_hosting_first_and_the_api_later():
    """A fixed API fee of 1500 $ is dearer until metered power makes each request dearer than the API's."""
    found = break_even(SelfHosting(1000, 100_000, usd_per_request=0.03), Api(0.02, fixed_usd_per_month=1500))
    assert [(c.requests_per_month, c.cheaper_above) for c in found.crossings] == [(50_000, "api")]
    assert found.first_requests_per_month == 0
    assert found.last_requests_per_month is None


def test_a_price_equal_to_a_full_step_touches_the_line_and_never_crosses():
    assert break_even(HOSTING, Api(0.1)).verdict == "never"
    endless = break_even(HOSTING, Api(0.1, fixed_usd_per_month=500))
    assert endless.crossings_total is None
    assert len(endless.crossings) == 1000
    assert endless.reason == "the cheaper side changes within every step, for ever"
    assert break_even(replace(HOSTING, maximum_steps=3), Api(0.1, 500)).crossings_total == 5


def test_minimum_replicas_push_the_break_even_up():
    one, three = (break_even(SelfHosting(1000, 100_000, minimum_steps=n), Api(0.02)) for n in (1, 3))
    assert (one.first_requests_per_month, three.first_requests_per_month) == (50_000, 150_000)


def test_the_interval_comes_from_the_corners():
    hosting = SelfHosting((900, 1000, 1200), (90_000, 100_000, 110_000))
    found = break_even(hosting, Api((0.016, 0.02, 0.025)))
    assert found.first_low == pytest.approx(900 / 0.025)
    assert found.first_requests_per_month == pytest.approx(50_000)
    assert found.first_high == pytest.approx(1200 / 0.016)
    worse = break_even(replace(hosting, requests_per_step_month=(50_000, 100_000, 110_000)), Api((0.016, 0.02, 0.025)))
    assert worse.unfavourable == "never"
    assert worse.first_high is None


AMOUNT = st.floats(0.01, 1e6)


@settings(max_examples=100, deadline=None)
@given(
    step=st.tuples(AMOUNT, AMOUNT, AMOUNT),
    capacity=st.tuples(AMOUNT, AMOUNT, AMOUNT),
    price=st.tuples(*[st.floats(1e-4, 100)] * 3),
    most=st.one_of(st.none(), st.integers(1, 50)),
    where=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_no_point_inside_the_intervals_breaks_even_outside_the_corners(step, capacity, price, most, where):
    step, capacity, price = (tuple(sorted(values)) for values in (step, capacity, price))
    found = break_even(SelfHosting(step, capacity, maximum_steps=most), Api(price))

    def inside(values, share):
        return min(values[2], max(values[0], values[0] + share * (values[2] - values[0])))

    point = break_even(
        SelfHosting(inside(step, where[0]), inside(capacity, where[1]), maximum_steps=most),
        Api(inside(price, where[2])),
    )
    for name, low, high in (("first", found.first_low, found.first_high), ("last", found.last_low, found.last_high)):
        value = getattr(point, f"{name}_requests_per_month")
        if value is not None and found.crossings_total is not None:
            assert low is None or low <= value * (1 + 1e-9)
            assert high is None or value <= high * (1 + 1e-9)
    numbers = [found.first_requests_per_month, found.last_requests_per_month, found.first_low, found.first_high]
    assert all(number is None or (math.isfinite(number) and number >= 0) for number in numbers)


@settings(max_examples=60, deadline=None)
@given(
    step=AMOUNT,
    capacity=AMOUNT,
    price=st.floats(1e-4, 100),
    variable=st.floats(0, 10),
    fixed=st.floats(0, 1e6),
    api_fixed=st.floats(0, 1e6),
    minimum=st.integers(0, 5),
)
def test_costs_left_and_right_of_each_crossing_change_sides(step, capacity, price, variable, fixed, api_fixed, minimum):
    hosting = SelfHosting(step, capacity, minimum, None, fixed, variable)
    api = Api(price, api_fixed)
    found = break_even(hosting, api)
    exactly = {
        name: Fraction(str(value))
        for name, value in (("s", step), ("c", capacity), ("p", price), ("v", variable), ("f", fixed), ("a", api_fixed))
    }

    def gap(volume: Fraction) -> Fraction:
        steps = max(minimum, math.ceil(volume / exactly["c"]))
        own = exactly["f"] + steps * exactly["s"] + volume * exactly["v"]
        return own - exactly["a"] - volume * exactly["p"]

    for crossing in found.crossings[:20]:
        tiny = crossing.exact / 10**40
        left, right = gap(crossing.exact - tiny), gap(crossing.exact + tiny)
        assert (right < 0 <= left) if crossing.cheaper_above == "self-hosted" else (left <= 0 < right)
    if found.verdict == "never":
        assert all(gap(Fraction(str(capacity)) * n / 3) >= 0 for n in range(1, 60))


def test_monthly_cost_at_a_volume_and_beyond():
    hosting = replace(HOSTING, maximum_steps=2)
    assert monthly_usd(hosting, Api(0.11), 10_000) == (1000, pytest.approx(1100))
    assert monthly_usd(hosting, Api(0.11), 10_001) == (2000, pytest.approx(1100.11))
    assert monthly_usd(hosting, Api(0.11), 20_001)[0] is None
    assert monthly_usd(hosting, Api(0.11, 7), 0) == (1000, 7)
    assert monthly_usd(replace(hosting, minimum_steps=0), Api(0.11), 0) == (0, 0)


def test_the_curve_shows_both_sides_of_every_jump_and_ends_at_capacity():
    frame = curve(replace(HOSTING, maximum_steps=3), Api(0.11), 40_000, points=4)
    assert frame["requests_per_month"].is_monotonic_increasing
    assert frame["self_usd"].dropna().is_monotonic_increasing
    at_end = frame[frame["requests_per_month"].between(10_000, 10_000.001)]
    assert at_end["self_usd"].tolist() == [1000, 2000]
    assert at_end["cheaper"].tolist() == ["self-hosted", "api"]
    beyond = frame[frame["requests_per_month"] > 30_000]
    assert beyond["self_usd"].isna().all()
    assert set(beyond["reason"]) == {"beyond the capacity of the allowed steps"}
    assert frame["api_usd"].notna().all()


def test_the_curve_carries_the_corners():
    frame = curve(SelfHosting((900, 1000, 1200), (9000, 10_000, 11_000)), Api((0.1, 0.11, 0.12)), 35_000)
    assert (frame["self_usd_low"] <= frame["self_usd"]).all()
    assert (frame["self_usd"] <= frame["self_usd_high"]).all()
    assert (frame["api_usd_low"] <= frame["api_usd"]).all()
    assert len(frame) < 1000


def test_a_curve_of_a_million_steps_stays_small():
    assert len(curve(SelfHosting(1, 1), Api(0.5), 1e6)) < 700


@pytest.mark.parametrize(
    ("hosting", "api", "message"),
    [
        (SelfHosting(0, 1), Api(1), "usd_per_step_month is 0"),
        (SelfHosting(1, -1), Api(1), "requests_per_step_month is -1"),
        (SelfHosting(1, 1e-9), Api(1), "requests_per_step_month is 1e-09; allowed: 0, or at least 0.001"),
        (SelfHosting(1, 1), Api(0), "api usd_per_request is 0"),
        (SelfHosting(1, 1), Api(float("nan")), "api usd_per_request is nan"),
        (SelfHosting(1, 1, minimum_steps=3, maximum_steps=2), Api(1), "maximum_steps is 2; .* at least 3"),
        (SelfHosting(1, 1, maximum_steps=0), Api(1), "maximum_steps is 0"),
        (SelfHosting(1, 1, fixed_usd_per_month=-1), Api(1), "fixed_usd_per_month is -1"),
        (SelfHosting(True, 1), Api(1), "usd_per_step_month is True"),
        (SelfHosting(1, 1), Api(1, float("inf")), "api fixed_usd_per_month is inf"),
    ],
)
def test_bad_input_is_refused(hosting, api, message):
    with pytest.raises(InputError, match=message):
        break_even(hosting, api)
    with pytest.raises(InputError):
        curve(hosting, api, 100)
