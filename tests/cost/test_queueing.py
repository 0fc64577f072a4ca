"""The queueing formulas against textbook values and an independent event-by-event simulation."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.queueing import erlang_c, throughput_within_latency, wait_exceeds
from costlib.errors import InputError


def simulated_waits(slots: int, gaps: np.ndarray, services: np.ndarray) -> np.ndarray:
    """Waits of a first-come-first-served queue, one customer at a time."""
    free = [0.0] * slots
    waits = np.empty(len(gaps))
    for index, (now, service) in enumerate(zip(np.cumsum(gaps).tolist(), services.tolist(), strict=True)):
        start = max(heapq.heappop(free), now)
        waits[index] = start - now
        heapq.heappush(free, start + service)
    return waits[len(waits) // 10 :]


def bursty_gaps(random: np.random.Generator, rate: float, scv: float, count: int) -> np.ndarray:
    """Balanced hyperexponential gaps of the given mean rate and squared coefficient of variation."""
    first = 0.5 * (1 + math.sqrt((scv - 1) / (scv + 1)))
    chosen = random.random(count) < first
    means = np.where(chosen, 1 / (2 * first * rate), 1 / (2 * (1 - first) * rate))
    return random.exponential(1.0, count) * means


def erlang_c_by_definition(servers: int, load: float) -> float:
    terms = [1.0]
    for k in range(1, servers + 1):
        terms.append(terms[-1] * load / k)
    waiting = terms[-1] * servers / (servers - load)
    return waiting / (sum(terms[:-1]) + waiting)


def test_erlang_c_of_one_server_is_its_load_and_of_two_at_load_one_a_third():
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1) == pytest.approx(1 / 3)


@settings(max_examples=100, deadline=None)
@given(servers=st.integers(1, 60), share=st.floats(0.01, 0.999))
def test_erlang_c_is_its_definition(servers, share):
    load = servers * share
    assert erlang_c(servers, load) == pytest.approx(erlang_c_by_definition(servers, load), rel=1e-9, abs=1e-300)


def test_erlang_c_holds_for_a_million_servers_and_at_the_ends():
    assert 0 < erlang_c(1_000_000, 999_000) < 1
    assert erlang_c(5, 0) == 0
    assert erlang_c(5, 5) == erlang_c(5, 9) == 1


@pytest.mark.parametrize(("slots", "load"), [(1, 0.6), (4, 0.8), (16, 0.85)])
def test_waits_of_exponential_service_match_the_simulation(slots, load):
    random = np.random.default_rng(7)
    waits = simulated_waits(slots, random.exponential(1 / (slots * load), 200_000), random.exponential(1, 200_000))
    for wait in (0.0, 0.5, 1.0):
        expected = wait_exceeds(wait, slots * load, slots, 1.0)
        assert float((waits > wait).mean()) == pytest.approx(expected, rel=0.08, abs=0.004)


@pytest.mark.parametrize("slots", [1, 8, 32])
@pytest.mark.parametrize(("service_scv", "arrival_scv"), [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, 4.0), (0.0, 4.0)])
def test_the_throughput_for_five_percent_late_is_at_most_eight_late_when_simulated(slots, service_scv, arrival_scv):
    random = np.random.default_rng(3)
    limit = 1 + 4 / slots
    rate = throughput_within_latency(slots, 1.0, limit, 0.95, service_scv=service_scv, arrival_scv=arrival_scv)
    sigma = math.sqrt(math.log(1 + service_scv))
    services = random.lognormal(-sigma * sigma / 2, sigma, 120_000)
    poisson = arrival_scv == 1
    gaps = random.exponential(1 / rate, 120_000) if poisson else bursty_gaps(random, rate, arrival_scv, 120_000)
    late = float((simulated_waits(slots, gaps, services) > limit - 1).mean())
    assert (0.02 if poisson else 0.0) <= late <= 0.08
    assert poisson or rate < throughput_within_latency(slots, 1.0, limit, 0.95, service_scv=service_scv)


def test_the_default_is_on_the_safe_side_of_fixed_service_times():
    random = np.random.default_rng(5)
    waits = simulated_waits(8, random.exponential(1 / 6.8, 120_000), np.ones(120_000))
    for wait in (0.0, 0.5, 1.0, 2.0):
        assert float((waits > wait).mean()) < wait_exceeds(wait, 6.8, 8, 1.0)


def test_clockwork_below_capacity_never_waits():
    assert wait_exceeds(0, 3.9, 4, 1.0, service_scv=0, arrival_scv=0) == 0
    assert wait_exceeds(10, 4, 4, 1.0) == 1


def test_throughput_of_one_slot_solves_m_m_1_by_hand():
    """M/M/1: P(wait > t) = rho exp(-(1-rho) t / s); with t = 0 it is rho, so 5 % late means 5 % load."""
    assert throughput_within_latency(1, 2.0, 2.0, 0.95) == pytest.approx(0.05 / 2)
    rate = throughput_within_latency(1, 1.0, 4.0, 0.95)
    assert rate * math.exp(-(1 - rate) * 3) == pytest.approx(0.05)


@settings(max_examples=100, deadline=None)
@given(
    slots=st.integers(1, 300),
    service=st.floats(0.01, 100),
    slack=st.floats(1, 50),
    percentile=st.floats(0.5, 0.999),
    scv=st.floats(0, 5),
)
def test_throughput_meets_the_limit_and_no_more(slots, service, slack, percentile, scv):
    limit = service * slack
    rate = throughput_within_latency(slots, service, limit, percentile, service_scv=scv)
    assert 0 <= rate <= slots / service * (1 + 1e-12)
    late = wait_exceeds(max(0, limit - service), rate, slots, service, service_scv=scv)
    assert late <= (1 - percentile) + 1e-6 or rate >= slots / service * (1 - 1e-9)
    above = wait_exceeds(max(0, limit - service), rate * 1.001 + 1e-12, slots, service, service_scv=scv)
    assert above >= (1 - percentile) - 1e-6
    looser = throughput_within_latency(slots, service, limit * 1.5, percentile, service_scv=scv)
    assert looser >= rate * (1 - 1e-9)


def test_no_limit_is_full_speed_and_an_impossible_one_is_zero():
    assert throughput_within_latency(8, 4.0) == 2.0
    assert throughput_within_latency(8, 4.0, 3.9) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0), "slots is 0"),
        ((True, 1.0), "slots is True"),
        ((1, 0), "service_s is 0"),
        ((1, 1.0, 0), "latency_limit_s is 0"),
        ((1, 1.0, 2.0, 1.0), "percentile is 1.0"),
        ((1, 1.0, 2.0, 95), "percentile is 95"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        throughput_within_latency(*arguments)
