"""Where self-hosting and an API change places.

Self-hosting costs a staircase: whole purchases of hardware, each paid in full busy or idle. An API costs a straight
line. Where a full purchase costs less than its requests cost from the API, the line crosses the staircase inside the
first step, and again at the end of every step and inside the next one until the steps are settled; all crossings
follow from two formulas and are counted without being listed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from costlib.cost.inputs import HOURS_PER_MONTH, SECONDS_PER_MONTH, number, share, whole
from costlib.cost.sizing import NO_RATE, for_sale
from costlib.errors import InputError, invalid_input
from costlib.prices.api import price
from costlib.prices.rates import Offer, Rental, cheapest, useful
from costlib.value import brief

Side = Literal["self-hosted", "api"]
Verdict = Literal["crosses", "never"]

MOST_CROSSINGS = 1000
"""Crossings listed; a staircase that hugs the line can have millions, which are counted instead."""

_TIE = 1e-12
"""A full step that saves less than this share of its cost only touches the line."""


@dataclass(frozen=True)
class Crossing:
    """A monthly volume above which `cheaper_above` is the cheaper side, until the next crossing.

    `steps` is the number of steps just below it; `at_jump` whether it is the end of a step, where one more request
    needs one more step.
    """

    requests_per_month: float
    tokens_per_month: float
    cheaper_above: Side
    steps: int
    at_jump: bool


@brief
@dataclass(frozen=True)
class BreakEven:
    """Every volume at which the cheaper side changes, or why there is none.

    `verdict` is `crosses` (see `crossings`) or `never` (the API is cheaper or equal at every volume). `first` is the
    smallest volume above which self-hosting is cheaper, `last` the volume above which it stays cheaper up to its
    capacity. Speeds, rate and price are exact, so the ends of both are the volumes themselves.
    """

    verdict: Verdict
    crossings: tuple[Crossing, ...]
    crossings_total: int
    first_requests_per_month: float | None
    first_low: float | None
    first_high: float | None
    last_requests_per_month: float | None
    last_low: float | None
    last_high: float | None
    capacity_requests_per_month: float | None
    favourable: Verdict
    unfavourable: Verdict
    reason: str
    replicas_per_step: int
    rate: Rental
    """What is bought: the smallest purchase, at the least number of steps."""

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: the rate with where it comes from."""
        return {**vars(self), "crossings": [vars(one) for one in self.crossings], "rate": self.rate.document()}


def _of_offer(
    rate: Rental, held: int, step_usd: float, carries: float, request_usd: float, tokens: int, least: int,
    most: int | None,
) -> BreakEven:  # fmt: skip
    """The break-even of steps that hold `held` replicas, cost `step_usd` and carry `carries` requests a month."""
    saved = request_usd * carries - step_usd  # by one full step
    if saved <= _TIE * step_usd:
        first = last = None
        settled, total, reason = 0, 0, "even a full step costs at least as much as its requests cost from the API"
    else:
        settled = max(least, math.ceil(step_usd / saved - 1e-9))  # the first step that begins cheaper than the API
        settled = settled if most is None else min(settled, most)
        total = 1 + 2 * (settled - least)
        first, last = (n * step_usd / request_usd for n in (least, settled))
        reason = f"the cheaper side changes {total} time{'s' if total > 1 else ''}"
        reason += f"; the first {MOST_CROSSINGS} are listed" if total > MOST_CROSSINGS else ""

    def crossings() -> Iterator[Crossing]:
        for n in range(least, settled + 1):
            inside, end = n * step_usd / request_usd, n * carries
            yield Crossing(inside, inside * tokens, "self-hosted", n, at_jump=False)
            if n < settled:
                yield Crossing(end, end * tokens, "api", n, at_jump=True)

    verdict: Verdict = "crosses" if total else "never"
    return BreakEven(
        verdict, tuple(islice(crossings(), MOST_CROSSINGS)) if total else (), total, first, first, first, last, last,
        last, None if most is None else most * carries, verdict, verdict, reason, held, rate,
    )  # fmt: skip


def _first_to_pay(
    offers: Sequence[Offer], per_replica: float, request_usd: float, tokens: int, devices: int, least: int,
    most: int | None,
) -> BreakEven:  # fmt: skip
    """The break-even of the offer that pays first, in whole purchases of what is sold together.

    Every other offer pays from a larger volume on, or never. Raises `InputError` where fewer replicas are allowed than
    any purchase holds.
    """
    dearest = cheapest(offers, devices, max(1, least)).dearest_usd_per_hour
    found = []
    for one in useful(offers, devices):
        held, units = one.bundle(devices)
        if most is None or held <= most:
            rate = replace(one.rent(devices, max(1, least)), dearest_usd_per_hour=dearest)
            step_usd = number("usd_per_step_month", one.usd_per_hour * units * HOURS_PER_MONTH)
            steps = max(1, -(-least // held)), None if most is None else most // held
            found.append(_of_offer(rate, held, step_usd, per_replica * held, request_usd, tokens, *steps))
    if not found:
        held = min(one.bundle(devices)[0] for one in offers)
        raise invalid_input("maximum_replicas", most, f"at least {held}, which are sold together")
    return min(found, key=lambda one: (one.first_requests_per_month or math.inf, one.replicas_per_step))


def breakeven(
    api_model: str,
    provider: str | None = None,
    *,
    input_tokens: int,
    output_tokens: int,
    prefill_tokens_per_s: float,
    decode_tokens_per_s: float,
    usd_per_hour: float | None = None,
    device: str | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    devices_per_replica: int = 1,
    utilization: float = 0.6,
    minimum_replicas: int = 1,
    maximum_replicas: int | None = None,
    cached_tokens: int = 0,
    tier: str = "standard",
    as_of: str | None = None,
) -> BreakEven:
    """Every monthly volume of one kind of request at which self-hosting and an API change places.

    One replica serves requests one after another at the given speeds (tokens/s of the whole batch), for `utilization`
    (assumed) of the month; a rented hour costs the same busy or idle. Of the offers of `device`, the one that pays
    first is rented, in whole units as they are sold; `as_of` holds for it and for the API. Volumes are requests (and
    tokens) per month.

    Args:
        api_model: API model to compare with.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        input_tokens: Input tokens of a request.
        output_tokens: Output tokens of a request.
        prefill_tokens_per_s: Prompt tokens/s of one replica.
        decode_tokens_per_s: New tokens/s of one replica.
        usd_per_hour: $ per hour of one device, instead of device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        devices_per_replica: Devices one replica needs.
        utilization: Share of the month a replica may be busy (assumed).
        minimum_replicas: Replicas kept for availability.
        maximum_replicas: Replicas that can be had [default: no limit].
        cached_tokens: Input tokens the API reads from its cache.
        tier: standard, batch, flex or priority.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    prefill = number("prefill_tokens_per_s", prefill_tokens_per_s)
    decode = number("decode_tokens_per_s", decode_tokens_per_s)
    used = share("utilization", utilization, zero=False)
    offers = for_sale(usd_per_hour, device, rate_kind, rate_provider, as_of if device else None)
    if not offers:
        raise InputError(NO_RATE)
    priced = price(
        api_model,
        provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        tier=tier,
        as_of=as_of,
    )
    seconds = input_tokens / prefill + output_tokens / decode
    if seconds == 0:
        raise invalid_input("input_tokens + output_tokens", 0, "at least one token")
    request_usd = number("api usd_per_request", priced.total)
    devices = whole("devices_per_replica", devices_per_replica, least=1)
    least = whole("minimum_replicas", minimum_replicas)
    most = None if maximum_replicas is None else whole("maximum_replicas", maximum_replicas, least=max(1, least))
    return _first_to_pay(
        offers, SECONDS_PER_MONTH / seconds * used, request_usd, input_tokens + output_tokens, devices, least, most
    )
