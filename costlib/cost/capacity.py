"""How many replicas a workload needs, what is paid for them, and the utilization that follows.

Replicas are whole numbers with a minimum for availability, and may only be rented as whole nodes. Paid time is paid
busy or idle. Utilization is the share of what the paid time could have served at full speed: it divides the tokens, and
$/Mtok at that utilization times the tokens gives back the bill. One that is typed instead sizes the fleet for the mean
rate, and is marked assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from scipy import special

from costlib.cost.arrivals import Arrivals
from costlib.cost.inputs import SECONDS_PER_MONTH, Interval, fraction, number, share, whole
from costlib.cost.queueing import throughput_within_latency
from costlib.errors import invalid_input
from costlib.figure import Kind, Number
from costlib.prices.rates import Offer, Rental, cheapest, purchase
from costlib.value import brief

Scaling = Literal["fixed", "hourly"]


@dataclass(frozen=True)
class Replica:
    """One copy of the model: `slots` requests at a time, each for `service_s` seconds, on `devices` devices.

    `start_up_s` is the time from asking for a replica to its first request, paid for. With a `latency_limit_s`, the
    share `percentile` of requests must be answered within it (see `queueing`).
    """

    slots: int
    service_s: float
    devices: int = 1
    start_up_s: float = 0.0
    latency_limit_s: float | None = None
    percentile: float = 0.95
    service_scv: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no number; take a decimal as the float it is."""
        object.__setattr__(self, "slots", whole("slots", self.slots, least=1))
        object.__setattr__(self, "devices", whole("devices", self.devices, least=1))
        object.__setattr__(self, "service_s", number("service_s", self.service_s))
        object.__setattr__(self, "start_up_s", number("start_up_s", self.start_up_s, zero=True))
        self.capacity_per_s()

    @property
    def full_speed_per_s(self) -> float:
        """Requests per second with every slot always taken."""
        return self.slots / self.service_s

    def capacity_per_s(self, arrival_scv: float = 1.0) -> float:
        """Requests per second that still meet the latency limit; 0 where none do."""
        return throughput_within_latency(
            self.slots,
            self.service_s,
            self.latency_limit_s,
            self.percentile,
            service_scv=self.service_scv,
            arrival_scv=arrival_scv,
        )


@dataclass(frozen=True)
class Replicas:
    """A whole number of replicas and the whole nodes and devices paid for them."""

    replicas: int
    nodes: int
    devices: int


@dataclass(frozen=True)
class Utilization:
    """Share of paid capacity that serves; `kind` is assumed where one was typed, and derived otherwise."""

    value: float
    kind: Kind
    source: str


@dataclass(frozen=True)
class Fleet:
    """Replicas for a profile, what is paid and how well it is used; None with a `reason` where the limit cannot be met.

    `devices` is the largest number paid at once; `delayed_share` the share of requests that wait for a start-up.
    `warning` says what the numbers leave out: without a latency limit, how busy the busiest replica is.
    """

    replicas: int | None
    nodes: int | None
    devices: int | None
    replicas_by_period: tuple[int, ...]
    paid_device_hours_per_month: float | None
    requests_per_month: float
    utilization: Utilization | None
    delayed_share: float | None
    reason: str | None = None
    warning: str | None = None


@brief
@dataclass(frozen=True)
class FleetBill:
    """What a fleet costs; each amount in $, at a list price: exact, until it changes. None: nothing is served.

    `usd_per_1k_requests_at_full_use` is what is left where every replica is busy all the time: the least it can cost.
    `rate` is the whole offer for the fleet at its largest: $ per device hour is for reading.
    """

    fleet: Fleet
    service_s: float
    usd_per_device_hour: Interval
    usd_per_month: Interval | None
    usd_per_1k_requests: Interval | None
    usd_per_1k_requests_at_full_use: Interval
    rate: Rental

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: those of the fleet beside the amounts."""
        amounts = {name: value for name, value in vars(self).items() if name != "fleet"}
        return {**vars(self.fleet), **amounts, "rate": self.rate.document()}


def cheapest_bill(
    offers: Iterable[Offer],
    arrivals: Arrivals,
    replica: Replica,
    *,
    scaling: Scaling = "fixed",
    minimum: int = 1,
    idle_timeout_s: Number = 300,
    utilization: Number | None = None,
) -> FleetBill:
    """The fleet and its bill at the offer whose whole bill is least: paid hours, in which utilization has no part.

    By 1,000 requests it is the cost of all replicas over the requests of all replicas.
    """
    bills = []
    for one in offers:
        sized = fleet(
            arrivals,
            replica,
            scaling=scaling,
            minimum=minimum,
            node_devices=one.devices,
            idle_timeout_s=idle_timeout_s,
            utilization=utilization,
        )
        bills.append((float(one.usd_per_device_hour) * (sized.paid_device_hours_per_month or 0.0), sized, one))
    usd, sized, offer = min(bills, key=lambda bill: (bill[0], bill[2].devices, bill[2].provider))

    def exact(amount: float) -> Interval:
        return Interval(amount, amount, amount)

    held, units = offer.bundle(replica.devices)
    full = float(offer.usd_per_hour) * units / held / (replica.full_speed_per_s * 3600) * 1000
    need = replica.devices, max(1, sized.replicas or 0)
    dearest = cheapest((one for _, _, one in bills), *need).dearest_usd_per_hour
    served, requests = sized.paid_device_hours_per_month is not None, sized.requests_per_month
    return FleetBill(
        fleet=sized,
        service_s=replica.service_s,
        usd_per_device_hour=exact(float(offer.usd_per_device_hour)),
        usd_per_month=exact(usd) if served else None,
        usd_per_1k_requests=exact(usd * 1000 / requests) if served and requests else None,
        usd_per_1k_requests_at_full_use=exact(full),
        rate=replace(offer.rent(*need), dearest_usd_per_hour=dearest),
    )


def service_seconds(
    batch: int,
    prompt_tokens: Number,
    output_tokens: Number,
    prefill_tokens_per_s: Number,
    decode_tokens_per_s: Number,
) -> float:
    """Seconds a full batch takes from first prompt token to last new token; speeds are those of the whole batch."""
    size = whole("batch", batch, least=1)
    prefill = number("prompt_tokens", prompt_tokens, zero=True) / number("prefill_tokens_per_s", prefill_tokens_per_s)
    decode = number("output_tokens", output_tokens, zero=True) / number("decode_tokens_per_s", decode_tokens_per_s)
    if prefill + decode == 0:
        raise invalid_input("prompt_tokens + output_tokens", 0, "above 0")
    return size * (prefill + decode)


def replicas(
    rate_per_s: Number,
    capacity_per_s: Number,
    *,
    minimum: int = 1,
    devices_per_replica: int = 1,
    node_devices: int = 1,
) -> Replicas:
    """Smallest whole number of replicas for a rate, at least `minimum`, and the whole nodes they fill.

    `capacity_per_s` is what one replica serves within its latency limit, above 0. A replica never spans nodes unless it
    is larger than one; devices of a started node are paid for, used or not.
    """
    need = fraction(number("rate_per_s", rate_per_s, zero=True)) / fraction(number("capacity_per_s", capacity_per_s))
    count = max(whole("minimum", minimum), math.ceil(need))
    size = whole("devices_per_replica", devices_per_replica, least=1)
    node = whole("node_devices", node_devices, least=1)
    held, units = purchase(node, size)
    nodes = -(-count // held) * units
    return Replicas(count, nodes, nodes * node)


def fleet(
    arrivals: Arrivals,
    replica: Replica,
    *,
    scaling: Scaling = "fixed",
    minimum: int = 1,
    node_devices: int = 1,
    idle_timeout_s: Number = 300,
    utilization: Number | None = None,
) -> Fleet:
    """Size a fleet for a profile, or for its mean rate at a typed `utilization` (above 0, up to 1), if there is one.

    `fixed` holds the replicas of the busiest period all the time. `hourly` follows the periods: every device added is
    paid for `start_up_s` before it serves. With `minimum=0` it also scales to zero where one replica is enough: the
    replica stops after `idle_timeout_s` without a request, and the next one waits for the start-up.
    """
    if scaling not in ("fixed", "hourly"):
        raise invalid_input("scaling", scaling, ("fixed", "hourly"))
    timeout = number("idle_timeout_s", idle_timeout_s, zero=True)
    capacity = replica.capacity_per_s(arrivals.scv)
    if utilization is not None:
        if replica.latency_limit_s is not None:
            raise invalid_input("utilization", utilization, "none beside a latency limit, which it follows from")
        capacity = replica.full_speed_per_s * share("utilization", utilization, zero=False)
        source = f"typed: at most {utilization:g} of full speed"
        arrivals = replace(
            arrivals,
            rates_per_s=(arrivals.mean_rate_per_s,),
            durations_s=(arrivals.cycle_s,),
            kind="assumed",
            source=source,
        )
    if capacity == 0 and arrivals.peak_rate_per_s > 0:
        reason = f"one request takes {replica.service_s:g} s, longer than the limit of {replica.latency_limit_s:g} s"
        return Fleet(None, None, None, (), None, arrivals.requests_per_month, None, None, reason)

    def sized(rate: float) -> Replicas:
        return replicas(
            rate,
            capacity or 1.0,
            minimum=minimum,
            devices_per_replica=replica.devices,
            node_devices=node_devices,
        )

    peak = sized(arrivals.peak_rate_per_s)
    steps = [peak if scaling == "fixed" else sized(rate) for rate in arrivals.rates_per_s]
    paid_s, delayed = 0.0, 0.0
    before = _standing(steps[-1], minimum, scaling)
    for rate, duration, step in zip(arrivals.rates_per_s, arrivals.durations_s, steps, strict=True):
        standing = _standing(step, minimum, scaling)
        if standing or not step.devices:
            paid_s += standing * duration + max(0, standing - before) * replica.start_up_s
        else:
            on, late = scale_to_zero(rate, replica, timeout)
            paid_s += step.devices * on * duration
            delayed += late * rate * duration
        before = standing
    warning = None
    if replica.latency_limit_s is None and utilization is None:
        loads = [rate / step.replicas for rate, step in zip(arrivals.rates_per_s, steps, strict=True) if step.replicas]
        busy = max(loads, default=0) / replica.full_speed_per_s
        warning = (
            "no latency limit was given, so how long requests wait is not looked at: a replica may be filled to its "
            f"full speed, and in the busiest hour is {100 * busy:.3g} % busy; near 100 % the queue of random arrivals "
            "grows without end"
        )
    requests = arrivals.mean_rate_per_s * arrivals.cycle_s
    possible = replica.full_speed_per_s * paid_s / replica.devices
    return Fleet(
        replicas=peak.replicas,
        nodes=peak.nodes,
        devices=peak.devices,
        replicas_by_period=tuple(step.replicas for step in steps),
        paid_device_hours_per_month=paid_s / arrivals.cycle_s * SECONDS_PER_MONTH / 3600,
        requests_per_month=arrivals.requests_per_month,
        utilization=Utilization(
            min(1.0, requests / possible), "derived" if utilization is None else "assumed", arrivals.source
        )
        if possible
        else None,
        delayed_share=delayed / requests if requests else 0.0,
        reason=None if possible else "nothing is paid for and nothing is served",
        warning=warning,
    )


def _standing(step: Replicas, minimum: int, scaling: str) -> int:
    """Devices that stay on for the whole period; 0 where the single replica comes and goes."""
    return 0 if scaling == "hourly" and minimum == 0 and step.replicas == 1 else step.devices


def scale_to_zero(rate_per_s: float, replica: Replica, idle_timeout_s: float) -> tuple[float, float]:
    """Share of time a replica that scales to zero is paid for, and share of requests its start-up delays.

    A cycle runs from one stop to the next: off until a request comes (1/rate), start-up D, then busy and idle periods
    in turn until an idle one outlasts the timeout T, which happens with probability exp(-rate*T). With B the mean busy
    period, the cycle lasts 1/rate + D + (exp(rate*T)-1)/rate + (exp(rate*T) + rate*D)*B, where the last part counts
    that requests which come during the start-up lengthen the first busy period. With 1/(1 + rate*B) = P, the share of
    time a replica that never stops is empty, this is (exp(rate*T) + rate*D) / (rate*P). Exact for one slot (M/G/1 with
    set-up, tested by simulation); for more slots it overstates the paid time, because those requests overlap.
    """
    load = rate_per_s * replica.service_s
    waits = rate_per_s * idle_timeout_s
    if load >= replica.slots or load + waits > 600:
        return 1.0, 0.0  # beyond exp's range the replica never stops
    full = math.exp(replica.slots * math.log(load) - load - special.gammaln(replica.slots + 1)) if load else 0.0
    some_free = special.gammaincc(replica.slots, load)
    empty = math.exp(-load) / (some_free + full / (1 - load / replica.slots))
    during_start = rate_per_s * replica.start_up_s
    off = float(empty / (math.exp(waits) + during_start))
    return 1 - off, off * (1 + during_start)
