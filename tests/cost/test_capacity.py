import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.arrivals import from_log, hourly, steady
from costlib.cost.capacity import (
    Replica,
    cheapest_bill,
    fleet,
    replicas,
    scale_to_zero,
    service_seconds,
)
from costlib.cost.inputs import SECONDS_PER_MONTH
from costlib.cost.sizing import capacity
from costlib.cost.token import usd_per_mtok
from costlib.errors import InputError
from costlib.prices.rates import given as offer_of


def test_rent_1_a_rented_hour_is_paid_idle_or_not_public_calculator():
    """1.50 $/h for 730 hours at 30 % utilization is 1095 $; multiplying by utilization gives a wrong 328.50."""
    busy = 0.3 * SECONDS_PER_MONTH  # of a replica that answers one request a second
    for asked in ({"requests_per_month": busy}, {"requests_per_month": busy, "utilization": 0.3}):
        found = capacity(**asked, requests_per_s=1, usd_per_hour=1.50)
        assert found.usd_per_month.base == pytest.approx(1095) and found.fleet.replicas == 1
        assert found.fleet.utilization.value == pytest.approx(0.3)


def test_rent_1_utilization_divides_the_tokens_public_calculator():
    """At 30 % utilization the 1095 $ buy 30 % of the tokens: $/Mtok times tokens is the bill again."""
    served = Decimal(1000) * SECONDS_PER_MONTH * Decimal("0.3")
    rate = usd_per_mtok(1.50, 1000) / Decimal("0.3")
    assert round(rate * served / 1_000_000, 6) == 1095


def test_fleet_1_usd_per_thousand_prompts_public_tco_notebook():
    """119000 $ per server-year, 41.6 prompts/s each, 200 prompts/s; one server's prompts would give a wrong 0.44."""
    found = capacity(200 * SECONDS_PER_MONTH, requests_per_s=41.6, usd_per_hour=119_000 / 8760)
    assert round(found.usd_per_1k_requests_at_full_use.base, 4) == 0.0907
    assert round(found.usd_per_1k_requests.base, 4) == 0.0943
    assert found.fleet.replicas == 5


@pytest.mark.parametrize(
    ("rate", "options", "expected"),
    [
        (0, {}, (1, 1, 1)),
        (0, {"minimum": 0}, (0, 0, 0)),
        (10, {}, (1, 1, 1)),
        (10.000001, {}, (2, 2, 2)),
        (0.3, {"minimum": 2}, (2, 2, 2)),
        (45, {"node_devices": 8}, (5, 1, 8)),
        (85, {"node_devices": 8}, (9, 2, 16)),
        (25, {"devices_per_replica": 2, "node_devices": 8}, (3, 1, 8)),
        (45, {"devices_per_replica": 2, "node_devices": 8}, (5, 2, 16)),
        (15, {"devices_per_replica": 3, "node_devices": 8}, (2, 1, 8)),
        (25, {"devices_per_replica": 3, "node_devices": 8}, (3, 2, 16)),
        (15, {"devices_per_replica": 16, "node_devices": 8}, (2, 4, 32)),
    ],
)
def test_replicas_are_whole_and_so_are_nodes(rate, options, expected):
    found = replicas(rate, 10, **options)
    assert (found.replicas, found.nodes, found.devices) == expected


def test_binary_noise_adds_no_replica():
    assert replicas(0.3, 0.1).replicas == 3


@settings(max_examples=100, deadline=None)
@given(rate=st.floats(0, 1e6), more=st.floats(0, 1e6), capacity=st.floats(0.001, 1e4), node=st.integers(1, 16))
def test_replicas_suffice_and_rise_with_the_rate(rate, more, capacity, node):
    few, many = (replicas(r, capacity, node_devices=node) for r in (rate, rate + more))
    assert few.replicas * capacity >= rate * (1 - 1e-12)
    assert few.replicas == 1 or (few.replicas - 1) * capacity < rate * (1 + 1e-12)
    assert many.devices >= few.devices >= few.replicas


def test_a_full_batch_takes_its_prefill_and_its_decode():
    """32 requests of 512 + 512 tokens at 4134 and 713 tokens/s of the whole batch (llm-analysis, row 2)."""
    assert service_seconds(32, 512, 512, 4134.24, 712.93) == pytest.approx(3.963 + 22.981, abs=0.01)
    assert service_seconds(1, 0, 100, 1, 50) == 2


def test_the_bill_of_a_fleet_is_conserved_by_its_utilization():
    """Requests * seconds * $/s / utilization is exactly what is paid."""
    replica = Replica(slots=8, service_s=4.0, devices=2, latency_limit_s=10, start_up_s=120)
    profile = hourly(5_000_000, [1] * 8 + [10] * 10 + [3] * 6)
    for scaling in ("fixed", "hourly"):
        plan = fleet(profile, replica, scaling=scaling, node_devices=8)
        per_request = 2.21 * 2 / 3600 * 4.0 / 8
        paid = plan.requests_per_month * per_request / plan.utilization.value
        node = offer_of(2.21, 8)
        assert paid == pytest.approx(cheapest_bill([node], profile, replica, scaling=scaling).usd_per_month.base)
        assert plan.utilization.kind == "derived"


def test_fixed_holds_the_peak_and_hourly_follows_it():
    """Peak 3 requests/s needs 3 replicas of 1 request/s; the other half day needs 1."""
    profile = hourly(2_628_000 * 2, [1] * 12 + [3] * 12)
    replica = Replica(slots=4, service_s=4.0, start_up_s=360)
    fixed, following = (fleet(profile, replica, scaling=scaling) for scaling in ("fixed", "hourly"))
    assert fixed.paid_device_hours_per_month == pytest.approx(3 * 730)
    assert fixed.utilization.value == pytest.approx(2 / 3)
    assert following.replicas_by_period == (1,) * 12 + (3,) * 12
    assert following.paid_device_hours_per_month == pytest.approx((2 + 2 * 0.1 / 24) * 730)
    assert following.utilization.value == pytest.approx(2 / (2 + 2 * 0.1 / 24))


def test_a_latency_limit_costs_utilization():
    loose = fleet(steady(20_000_000), Replica(8, 4.0))
    tight = fleet(steady(20_000_000), Replica(8, 4.0, latency_limit_s=5, percentile=0.99))
    assert tight.replicas > loose.replicas
    assert tight.utilization.value < loose.utilization.value


def test_a_limit_no_load_can_meet_gives_no_number_but_a_reason():
    replica = Replica(8, 4.0, latency_limit_s=3)
    plan = fleet(steady(1000), replica)
    assert plan.replicas is None
    assert plan.utilization is None
    priced = cheapest_bill([offer_of(2)], steady(1000), replica)
    assert priced.usd_per_month is None and priced.usd_per_1k_requests is None
    assert plan.reason == "one request takes 4 s, longer than the limit of 3 s"


def test_no_requests_cost_the_minimum_and_nothing_when_scaled_to_zero():
    idle = fleet(steady(0), Replica(8, 4.0), minimum=2)
    assert idle.paid_device_hours_per_month == pytest.approx(2 * 730)
    assert idle.utilization.value == 0
    gone = fleet(steady(0), Replica(8, 4.0), scaling="hourly", minimum=0)
    assert gone.paid_device_hours_per_month == 0
    assert gone.utilization is None
    assert gone.reason == "nothing is paid for and nothing is served"
    assert fleet(steady(0), Replica(8, 4.0, latency_limit_s=3), minimum=0).reason == gone.reason


def simulated_scale_to_zero(rate: float, service: np.ndarray, start_up: float, timeout: float) -> tuple[float, float]:
    """Paid share of time and share of requests that meet a start-up, one request at a time on one slot."""
    arrivals = np.cumsum(np.random.default_rng(9).exponential(1 / rate, len(service)))
    paid, delayed, started, ready, done = 0.0, 0, 0.0, 0.0, -math.inf
    for now, seconds in zip(arrivals.tolist(), service.tolist(), strict=True):
        if now > done + timeout:
            paid += 0.0 if done == -math.inf else done + timeout - started
            started, ready = now, now + start_up
            done = ready
        delayed += now < ready
        done = max(done, now) + seconds
    return (paid + done + timeout - started) / arrivals[-1], delayed / len(service)


@pytest.mark.parametrize(
    ("rate", "service_s", "start_up", "timeout"), [(0.01, 2.0, 60, 300), (0.02, 5.0, 120, 30), (0.2, 2.0, 30, 10)]
)
@pytest.mark.parametrize("spread", ["fixed", "exponential"])
def test_scale_to_zero_of_one_slot_matches_the_simulation(rate, service_s, start_up, timeout, spread):
    random = np.random.default_rng(2)
    service = np.full(150_000, service_s) if spread == "fixed" else random.exponential(service_s, 150_000)
    on, delayed = scale_to_zero(rate, Replica(1, service_s, start_up_s=start_up), timeout)
    simulated_on, simulated_delayed = simulated_scale_to_zero(rate, service, start_up, timeout)
    assert on == pytest.approx(simulated_on, rel=0.01)
    assert delayed == pytest.approx(simulated_delayed, rel=0.03)


def test_scale_to_zero_pays_less_the_rarer_the_requests_and_never_more_than_always():
    replica = Replica(8, 4.0, start_up_s=90)
    shares = [scale_to_zero(rate, replica, 300)[0] for rate in (1e-320, 1e-9, 1e-4, 1e-2, 1.0, 1.99, 5.0)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 1e-6
    assert shares[-1] == 1


def test_a_quiet_service_scaled_to_zero_costs_a_fraction():
    plan = fleet(steady(2000), Replica(8, 4.0, start_up_s=90), scaling="hourly", minimum=0)
    assert 0.2 < plan.paid_device_hours_per_month / 730 < 0.3
    assert 0.7 < plan.delayed_share < 0.9


def test_a_log_plans_for_its_bursts():
    random = np.random.default_rng(4)
    even = np.cumsum(random.exponential(1 / 2, 20_000))
    bursty = np.cumsum(np.where(random.random(20_000) < 0.2, random.exponential(2.5, 20_000), 1e-3))
    replica = Replica(4, 1.0, latency_limit_s=2)
    assert fleet(from_log(bursty), replica).replicas > fleet(from_log(even), replica).replicas


def test_decimals_are_taken_as_the_numbers_they_are():
    exact = Replica(8, Decimal(4), start_up_s=Decimal(90))
    assert fleet(steady(1e6), exact, scaling="hourly") == fleet(
        steady(1e6), Replica(8, 4.0, start_up_s=90.0), scaling="hourly"
    )


def test_a_typed_utilization_sizes_for_the_mean_and_is_marked_assumed():
    weights = [0] * 8 + [3] * 8 + [0] * 8
    replica, arrivals = Replica(1, 1.0), hourly(2.4 * SECONDS_PER_MONTH, weights)
    typed, derived = fleet(arrivals, replica, utilization=0.6), fleet(arrivals, replica)
    assert (typed.replicas, derived.replicas) == (4, 8)
    assert (typed.utilization.kind, derived.utilization.kind) == ("assumed", "derived")
    assert typed.utilization.value == pytest.approx(0.6)
    for nonsense in (0, 1.5, True, float("nan")):
        with pytest.raises(InputError, match="utilization is"):
            fleet(arrivals, replica, utilization=nonsense)
    with pytest.raises(InputError, match=r"utilization is 0.5; allowed: none beside a latency limit"):
        fleet(arrivals, Replica(1, 1.0, latency_limit_s=2), utilization=0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replicas(1, 0), "capacity_per_s is 0"),
        (lambda: replicas(-1, 1), "rate_per_s is -1"),
        (lambda: replicas(1, 1, minimum=-1), "minimum is -1"),
        (lambda: replicas(1, 1, node_devices=0), "node_devices is 0"),
        (lambda: Replica(0, 1.0), "slots is 0"),
        (lambda: Replica(1, float("nan")), "service_s is nan"),
        (lambda: Replica(1, 1.0, devices=0), "devices is 0"),
        (lambda: capacity(1, requests_per_s=1, usd_per_hour=0), "usd_per_hour is 0"),
        (lambda: capacity(1, requests_per_s=0, usd_per_hour=1), "requests_per_s is 0"),
        (lambda: capacity(1, usd_per_hour=1), "the speed is missing"),
        (lambda: capacity(requests_per_s=1, usd_per_hour=1), "the volume is missing"),
        (lambda: capacity(1, requests_per_s=1), "the rate is missing"),
        (
            lambda: capacity(1, requests_per_s=1, prompt_tokens=3, usd_per_hour=1),
            "requests_per_s is 1; allowed: nothing",
        ),
        (
            lambda: fleet(steady(1), Replica(1, 1.0), scaling="yearly"),
            "scaling is 'yearly'; allowed: one of fixed, hourly",
        ),
        (lambda: service_seconds(1, 0, 0, 1, 1), "prompt_tokens \\+ output_tokens is 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@settings(max_examples=40, deadline=None)
@given(
    volume=st.floats(0, 1e8),
    more=st.floats(0, 1e8),
    rate=st.floats(0.01, 100),
    dearer=st.floats(0, 100),
    minimum=st.integers(0, 3),
    node=st.sampled_from([1, 8]),
)
def test_the_bill_rises_with_volume_and_rate_and_utilization_stays_a_share(volume, more, rate, dearer, minimum, node):
    replica = Replica(8, 4.0, 2, start_up_s=60, latency_limit_s=9)
    priced = [
        cheapest_bill([offer_of(usd, node)], steady(v), replica, minimum=minimum)
        for v, usd in ((volume, rate), (volume + more, rate), (volume + more, rate + dearer))
    ]
    bills = [one.usd_per_month.base for one in priced]
    assert 0 <= bills[0] <= bills[1] <= bills[2] < math.inf
    for plan in (one.fleet for one in priced):
        assert plan.utilization is None or 0 <= plan.utilization.value <= 1
