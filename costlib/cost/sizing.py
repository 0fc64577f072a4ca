"""The fleet a request profile needs, at the rate of a device: profile, speed, rate and limits brought together."""

from __future__ import annotations

from collections.abc import Sequence

from costlib.cost.arrivals import from_file, steady
from costlib.cost.arrivals import hourly as profile
from costlib.cost.capacity import FleetBill, Replica, bill, fleet, service_seconds
from costlib.cost.inputs import Interval, number
from costlib.errors import InputError, bad
from costlib.prices.rates import Rate, rate

NO_RATE = "the rate is missing; allowed: usd_per_hour, or a device of data/rates.csv"


def hourly(
    usd_per_hour: float | None, device: str | None, rate_kind: str, provider: str | None
) -> tuple[Interval | None, Rate | None]:
    """$ per hour of one device with its spread, and the rate it was read from; (None, None) where neither is given."""
    if usd_per_hour is not None and device is not None:
        raise bad("usd_per_hour and device", (usd_per_hour, device), "one of the two, not both")
    if device is None:
        return (None if usd_per_hour is None else Interval.of("usd_per_hour", usd_per_hour)), None
    found = rate(device, rate_kind, provider)
    return Interval(float(found.low), float(found.usd_per_hour), float(found.high)), found


def capacity(
    requests_per_month: float | None = None,
    *,
    hourly_weights: Sequence[float] | None = None,
    log: str | None = None,
    requests_per_s: float | None = None,
    prefill_tokens_per_s: float | None = None,
    decode_tokens_per_s: float | None = None,
    prompt_tokens: float | None = None,
    output_tokens: float | None = None,
    batch: int = 1,
    usd_per_hour: float | None = None,
    device: str | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    devices_per_replica: int = 1,
    node_devices: int | None = None,
    minimum_replicas: int = 1,
    scaling: str = "fixed",
    start_up_s: float = 0.0,
    idle_timeout_s: float = 300.0,
    latency_limit_s: float | None = None,
    percentile: float = 0.95,
    utilization: float | None = None,
) -> FleetBill:
    """The replicas an arrival profile needs within a latency limit, their bill, and the utilization that follows.

    The profile is steady, has 24 or 168 `hourly_weights`, or is read from a `log` (column `timestamp`). One replica
    answers `requests_per_s`, or what its speeds (tokens/s of the whole batch) and the mean lengths give. `node_devices`
    are sold together, by default as the rate of `device` is; a typed `utilization` is assumed, and takes the place of
    the profile and of the limit.
    """
    speeds = (prefill_tokens_per_s, decode_tokens_per_s, prompt_tokens, output_tokens)
    if log is not None:
        if requests_per_month is not None or hourly_weights is not None:
            raise bad("log", log, "nothing beside it that it says itself: no requests_per_month, no hourly_weights")
        arrivals = from_file(log)
    elif requests_per_month is None:
        raise InputError("the volume is missing; allowed: requests_per_month, or a log of requests")
    else:
        weights = hourly_weights
        arrivals = steady(requests_per_month) if weights is None else profile(requests_per_month, weights)
    if requests_per_s is not None:
        if any(given is not None for given in speeds):
            raise bad("requests_per_s", requests_per_s, "nothing beside it that it says itself: no speeds, no lengths")
        service = batch / number("requests_per_s", requests_per_s)
    elif None in speeds:
        raise InputError("the speed is missing; allowed: requests_per_s, or both speeds with both lengths")
    else:
        service = service_seconds(batch, prompt_tokens, output_tokens, prefill_tokens_per_s, decode_tokens_per_s)  # type: ignore[arg-type]
    price, found = hourly(usd_per_hour, device, rate_kind, rate_provider)
    if price is None:
        raise InputError(NO_RATE)
    node = node_devices if node_devices is not None else found.devices if found is not None else 1
    replica = Replica(batch, service, devices_per_replica, start_up_s, latency_limit_s, percentile)
    sized = fleet(
        arrivals,
        replica,
        scaling=scaling,  # type: ignore[arg-type]
        minimum=minimum_replicas,
        node_devices=node,
        idle_timeout_s=idle_timeout_s,
        utilization=utilization,
    )
    return bill(sized, replica, price)
