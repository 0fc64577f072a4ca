"""How much traffic fits under a latency limit.

Model: one replica is an M/G/c queue. Its c slots are the sequences it runs together (its batch), a request holds a
slot for `service_s` seconds at full batch, arrivals are random and spread evenly over replicas, and whoever finds all
slots taken waits in order of arrival. The chance to wait is Erlang's C formula (L. Kleinrock, Queueing Systems I, 1975,
section 3.5); those who wait do so for an exponential time whose mean is scaled by (arrival scv + service scv) / 2, the
approximation of A. O. Allen and J. Cunneen (W. Whitt, Approximations for the GI/G/m queue, 1993). Arrivals burstier
than Poisson scale slots and load down by z = (1 + arrival scv) / 2, at most to one slot, in Erlang's formula: the
Hayward approximation (A. A. Fredericks, Congestion in blocking systems, 1980). For Poisson arrivals and exponential
service (both scv 1, the default) the model is exact; elsewhere, where 5 % late requests were asked for, simulation gave
at most 8 % (tests/cost/test_queueing.py).

scv is the squared coefficient of variation, variance / mean^2: 0 for fixed lengths, 1 for exponential ones. The default
is on the safe side for requests of similar length.

The limit is on wait plus service of a request of mean length: longer requests take their own time on top. A replica
that is not full runs faster than at full batch, which the model leaves out, on the safe side.
"""

from __future__ import annotations

import math

from scipy import special
from scipy.optimize import brentq

from costlib.cost.inputs import SMALLEST, number, whole
from costlib.errors import invalid_input
from costlib.figure import Number


def erlang_c(servers: float, load: float) -> float:
    """Probability that a request finds all servers busy; `load` is arrival rate * service time.

    Continued to a fraction of a server through the incomplete gamma function, and computed from the Poisson tail, so
    that it holds for a million servers; 1 where the load reaches the servers.
    """
    if load == 0:
        return 0.0
    if load >= servers:
        return 1.0
    idle_tail = math.log(special.gammaincc(servers + 1, load))
    blocked = math.exp(servers * math.log(load) - load - special.gammaln(servers + 1) - idle_tail)
    return blocked / (1 - load / servers * (1 - blocked))


def wait_exceeds(
    wait_s: Number,
    rate_per_s: Number,
    slots: int,
    service_s: Number,
    *,
    service_scv: Number = 1.0,
    arrival_scv: Number = 1.0,
) -> float:
    """Probability that a request waits longer than `wait_s` seconds for a slot; 1 where the queue grows for ever."""
    wait, service = number("wait_s", wait_s, zero=True), number("service_s", service_s)
    count = whole("slots", slots, least=1)
    bursts = number("arrival_scv", arrival_scv, zero=True)
    variability = (bursts + number("service_scv", service_scv, zero=True)) / 2
    load = number("rate_per_s", rate_per_s, zero=True) * service
    if load >= count:
        return 1.0
    if variability < SMALLEST:
        return 0.0  # clockwork arrivals and clockwork service below capacity never meet
    peakedness = min(float(count), (1 + max(1.0, bursts)) / 2)
    chance = erlang_c(count / peakedness, load / peakedness)
    return chance * math.exp(-(count - load) * wait / (service * variability))


def throughput_within_latency(
    slots: int,
    service_s: Number,
    latency_limit_s: Number | None = None,
    percentile: Number = 0.95,
    *,
    service_scv: Number = 1.0,
    arrival_scv: Number = 1.0,
) -> float:
    """Largest arrival rate in requests/s of one replica at which `percentile` of the requests meet the limit.

    Without a limit (work that may queue) it is the full speed, slots / service_s. It is 0 where the service alone takes
    longer than the limit. Raises `InputError` for a bad number or a percentile outside of 0 to 1.
    """
    count, service = whole("slots", slots, least=1), number("service_s", service_s)
    full_speed = count / service
    if latency_limit_s is None:
        return full_speed
    wait = number("latency_limit_s", latency_limit_s) - service
    late = 1 - number("percentile", percentile)
    if late <= 0:
        raise invalid_input("percentile", percentile, "above 0 and below 1, such as 0.95")
    if wait < 0:
        return 0.0

    def surplus(load_share: float) -> float:
        rate = load_share * full_speed
        return wait_exceeds(wait, rate, count, service, service_scv=service_scv, arrival_scv=arrival_scv) - late

    if surplus(1 - 1e-12) <= 0:
        return full_speed
    return float(brentq(surplus, 0.0, 1 - 1e-12, xtol=1e-12)) * full_speed
