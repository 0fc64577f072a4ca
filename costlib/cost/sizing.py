"""The fleet a request profile needs, at what is for sale: profile, speed, offers and limits brought together."""

from __future__ import annotations

from collections.abc import Sequence

from costlib.cost.arrivals import from_file, steady
from costlib.cost.arrivals import hourly as profile
from costlib.cost.capacity import FleetBill, Replica, cheapest_bill, service_seconds
from costlib.cost.inputs import money, number, whole
from costlib.errors import InputError, invalid_input, unused
from costlib.prices.book import AsOf
from costlib.prices.hardware import measured_rate
from costlib.prices.rates import Offer, Rental, given, offers, rental

NO_RATE = "the rate is missing; allowed: usd_per_hour, or a device of data/rates.csv"


def for_sale(
    usd_per_hour: float | None,
    device: str | None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: AsOf = None,
    sold_by: int | None = None,
) -> tuple[Offer, ...]:
    """What can be rented: the one offer somebody typed ($ per hour of one device), or those of a device as of a day.

    `sold_by` is how many devices are sold together: a typed rate is that of one of them, and of a device only offers of
    that size count. Empty where neither a rate nor a device is given.
    """
    if usd_per_hour is not None and device is not None:
        raise invalid_input("usd_per_hour and device", (usd_per_hour, device), "one of the two, not both")
    size = None if sold_by is None else whole("node_devices", sold_by, least=1)
    if device is None:
        unused("without a device", for_sale, locals(), ("rate_kind", "rate_provider", "as_of"))
        return () if usd_per_hour is None else (given(money("usd_per_hour", usd_per_hour), size or 1),)
    found = offers(device, rate_kind, rate_provider, as_of=as_of)
    if size is None:
        return found
    sized = tuple(one for one in found if one.devices == size)
    if not sized:
        sizes = sorted({one.devices for one in found})
        raise invalid_input(
            f"node_devices of {rate_kind} {device}", sold_by, f"as it is sold: {', '.join(map(str, sizes))}"
        )
    return sized


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
    as_of: str | None = None,
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
    answers `requests_per_s`, or what its speeds (tokens/s of the whole batch) and the mean lengths give. Of the offers
    of `device` as of a day (or of those of `node_devices` sold together) the one whose whole bill for the fleet is
    least is rented. A typed `utilization` is assumed, and takes the place of the profile and of the limit.

    Args:
        requests_per_month: Requests in a month of 730 hours.
        hourly_weights: 24 or 168 weights, by hour of day or week.
        log: CSV or Parquet with a column timestamp instead.
        requests_per_s: Requests/s of a full replica; or both speeds with both lengths.
        prefill_tokens_per_s: Prompt tokens/s of the whole batch.
        decode_tokens_per_s: New tokens/s of the whole batch.
        prompt_tokens: Mean prompt tokens of a request.
        output_tokens: Mean new tokens of a request.
        batch: Requests a replica answers at a time.
        usd_per_hour: $ per hour of one device, instead of device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        devices_per_replica: Devices one replica needs.
        node_devices: Devices sold together [default: as each offer is].
        minimum_replicas: Replicas kept for availability; 0 scales to zero.
        scaling: fixed (at the busiest hour's size) or hourly.
        start_up_s: Paid seconds before a new replica serves.
        idle_timeout_s: Idle seconds before it scales to zero.
        latency_limit_s: Seconds within which to answer.
        percentile: Share of requests that must meet the limit.
        utilization: Typed instead of derived (assumed).
    """
    asked = dict(locals())
    speeds = (prefill_tokens_per_s, decode_tokens_per_s, prompt_tokens, output_tokens)
    if log is not None:
        if requests_per_month is not None or hourly_weights is not None:
            raise invalid_input(
                "log", log, "nothing beside it that it says itself: no requests_per_month, no hourly_weights"
            )
        arrivals = from_file(log)
    elif requests_per_month is None:
        raise InputError("the volume is missing; allowed: requests_per_month, or a log of requests")
    else:
        weights = hourly_weights
        arrivals = steady(requests_per_month) if weights is None else profile(requests_per_month, weights)
    if requests_per_s is not None:
        if any(given is not None for given in speeds):
            raise invalid_input(
                "requests_per_s", requests_per_s, "nothing beside it that it says itself: no speeds, no lengths"
            )
        service = batch / number("requests_per_s", requests_per_s)
    elif None in speeds:
        raise InputError("the speed is missing; allowed: requests_per_s, or both speeds with both lengths")
    else:
        service = service_seconds(batch, prompt_tokens, output_tokens, prefill_tokens_per_s, decode_tokens_per_s)  # type: ignore[arg-type]
    found = for_sale(usd_per_hour, device, rate_kind, rate_provider, as_of, node_devices)
    if not found:
        raise InputError(NO_RATE)
    if latency_limit_s is None:
        unused("without a latency_limit_s", capacity, asked, ["percentile"])
    if scaling == "fixed":  # nothing is started, and nothing stops
        unused("at scaling fixed", capacity, asked, ["start_up_s"])
    if scaling == "fixed" or minimum_replicas:
        unused("unless scaling is hourly and minimum_replicas 0", capacity, asked, ["idle_timeout_s"])
    return cheapest_bill(
        found,
        arrivals,
        Replica(batch, service, devices_per_replica, start_up_s, latency_limit_s, percentile),
        scaling=scaling,  # type: ignore[arg-type]
        minimum=minimum_replicas,
        idle_timeout_s=idle_timeout_s,
        utilization=utilization,
    )


def hourly_rate(
    device: str,
    usd_per_hour: float | None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: str | None = None,
) -> Rental:
    """$ per hour of a measured device: as given, or the cheapest whole offer in data/rates.csv as of a day."""
    if usd_per_hour is not None:
        unused("beside usd_per_hour", hourly_rate, locals(), ("rate_kind", "rate_provider"))
        return rental(number("usd_per_hour", usd_per_hour))
    return measured_rate(device, rate_kind, rate_provider, as_of)
