"""Where self-hosting and an API change places.

Self-hosting costs a staircase: whole steps (a replica or a node), each paid in full busy or idle, plus what every
request adds. An API costs a straight line, perhaps from a fixed part. `staircase` finds every crossing exactly; here
the inputs are checked, each known within an interval, and the answer is put in words.

The interval of a break-even volume comes from two corners: favourable to self-hosting (lowest rate, highest capacity,
highest API price) and unfavourable. The difference in cost is monotone in all three, so no combination between them has
its first or last crossing outside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import pandas as pd

from costlib.cost.inputs import HOURS_PER_MONTH, SECONDS_PER_MONTH, Interval, fraction, number, share, whole
from costlib.cost.sizing import NO_RATE, for_sale
from costlib.cost.staircase import Staircase, changes
from costlib.errors import InputError, bad
from costlib.figure import Number
from costlib.prices.api import price
from costlib.prices.rates import Offer, Rental, cheapest, useful
from costlib.value import brief

Side = Literal["self-hosted", "api"]
Verdict = Literal["crosses", "never", "always", "beyond capacity"]
Corner = Literal["base", "favourable", "unfavourable"]
CORNERS: tuple[Corner, ...] = ("base", "favourable", "unfavourable")
Uncertain = Number | Interval | tuple[Number, Number, Number]
"""A number, or (low, base, high)."""

_SMALLEST_CAPACITY = 0.001  # a request in 83 years

MOST_CROSSINGS = 1000
"""Crossings listed; a staircase that hugs the line can have millions, which are counted instead."""


@dataclass(frozen=True)
class SelfHosting:
    """A staircase: what one step costs and serves in a month.

    A step is what is added at once, a replica or a whole node. A capacity of 0 means that no load meets the latency
    limit. `usd_per_request` is what each request adds (metered power); `maximum_steps` None means no limit.
    """

    usd_per_step_month: Uncertain
    requests_per_step_month: Uncertain
    minimum_steps: int = 1
    maximum_steps: int | None = None
    fixed_usd_per_month: Number = 0
    usd_per_request: Number = 0


@dataclass(frozen=True)
class Api:
    """A line: $ per request from an optional fixed part per month."""

    usd_per_request: Uncertain
    fixed_usd_per_month: Number = 0


@dataclass(frozen=True)
class Crossing:
    """A monthly volume above which `cheaper_above` is the cheaper side, until the next crossing.

    `steps` is the number of steps just below it; `exact` the volume without rounding; `at_jump` whether it is the end
    of a step, where one more request needs one more step.
    """

    requests_per_month: float
    tokens_per_month: float | None
    cheaper_above: Side
    steps: int
    at_jump: bool
    exact: Fraction


@brief
@dataclass(frozen=True)
class BreakEven:
    """Every volume at which the cheaper side changes, or why there is none.

    `verdict` is `crosses` (see `crossings`), `never` (the API is cheaper or equal at every volume), `always`
    (self-hosting is) or `beyond capacity` (self-hosting would become cheaper only at volumes its allowed steps cannot
    serve). `first` is the smallest volume above which self-hosting is cheaper (0 where it is from the first request
    on), `last` the volume above which it stays cheaper up to its capacity. Their `_low` and `_high` come from the
    favourable and the unfavourable corner and are None where that corner has none; its verdict is beside them.
    """

    verdict: Verdict
    crossings: tuple[Crossing, ...]
    crossings_total: int | None
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
    replicas_per_step: int = 1
    rate: Rental | None = None
    """Where steps are bought as they are sold: the smallest purchase, at the least number of steps."""

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: volumes rounded, the rate with where it comes from."""
        crossings = [{name: value for name, value in vars(one).items() if name != "exact"} for one in self.crossings]
        return {**vars(self), "crossings": crossings, "rate": self.rate and self.rate.document()}


@dataclass(frozen=True)
class _Solution:
    verdict: Verdict
    crossings: tuple[Crossing, ...] = ()
    total: int | None = 0
    first: float | None = None
    last: float | None = None


def break_even(hosting: SelfHosting, api: Api, tokens_per_request: Number | None = None) -> BreakEven:
    """Find every crossing of the staircase and the line, with the interval of the first and the last.

    `tokens_per_request` (input and output) turns requests into tokens. Raises `InputError` for a bad number: the step's
    cost and the API's price are above 0, other costs and the capacity at least 0.
    """
    tokens = None if tokens_per_request is None else number("tokens_per_request", tokens_per_request)
    stairs = {corner: _stairs(hosting, api, corner) for corner in CORNERS}
    base, best, worst = (_solve(stairs[corner], tokens) for corner in CORNERS)
    reach = _reach(stairs["base"])
    return BreakEven(
        verdict=base.verdict,
        crossings=base.crossings,
        crossings_total=base.total,
        first_requests_per_month=base.first,
        first_low=best.first,
        first_high=worst.first,
        last_requests_per_month=base.last,
        last_low=best.last,
        last_high=worst.last,
        capacity_requests_per_month=None if reach is None else float(reach),
        favourable=best.verdict,
        unfavourable=worst.verdict,
        reason=_sentence(base, stairs["base"]),
    )


def break_even_as_sold(
    offers: Sequence[Offer],
    requests_per_replica_month: Number,
    api: Api,
    tokens_per_request: Number | None = None,
    *,
    devices_per_replica: int = 1,
    minimum_replicas: int = 1,
    maximum_replicas: int | None = None,
) -> BreakEven:
    """The break-even of the offer that pays first, its steps being whole purchases of what is sold together.

    Every other offer pays from a larger volume on, or never. Raises `InputError` where fewer replicas are allowed than
    any purchase holds.
    """
    devices = whole("devices_per_replica", devices_per_replica, least=1)
    least = whole("minimum_replicas", minimum_replicas)
    most = None if maximum_replicas is None else whole("maximum_replicas", maximum_replicas, least=max(1, least))
    dearest = cheapest(offers, devices, max(1, least)).dearest_usd_per_hour
    found = []
    for one in useful(offers, devices):
        held, units = one.bundle(devices)
        if most is not None and held > most:
            continue
        hosting = SelfHosting(
            usd_per_step_month=one.usd_per_hour * units * HOURS_PER_MONTH,
            requests_per_step_month=requests_per_replica_month * held,
            minimum_steps=-(-least // held),
            maximum_steps=None if most is None else most // held,
        )
        result = break_even(hosting, api, tokens_per_request)
        rate = replace(one.rent(devices, max(1, least)), dearest_usd_per_hour=dearest)
        found.append(replace(result, replicas_per_step=held, rate=rate))
    if not found:
        held = min(one.bundle(devices)[0] for one in offers)
        raise bad("maximum_replicas", most, f"at least {held}, which are sold together")

    def order(one: BreakEven) -> tuple[bool, float, int]:
        return one.first_requests_per_month is None, one.first_requests_per_month or 0.0, one.replicas_per_step

    return min(found, key=order)


def monthly_usd(hosting: SelfHosting, api: Api, requests_per_month: Number) -> tuple[float | None, float]:
    """Monthly cost in $ of self-hosting (None beyond its capacity) and of the API at one volume."""
    volume = fraction(number("requests_per_month", requests_per_month, zero=True))
    return _usd(_stairs(hosting, api, "base"), volume)


def curve(
    hosting: SelfHosting,
    api: Api,
    largest_requests_per_month: Number,
    points: int = 200,
) -> pd.DataFrame:
    """Both costs against volume, for a chart, from 0 to `largest_requests_per_month`.

    One row per volume: `points` even ones, both sides of the first `points` jumps, and every listed crossing. Columns:
    `requests_per_month`, `steps`, `self_usd` and `api_usd` per month, each with `_low` and `_high`,
    and `cheaper` (self-hosted, api, equal). Self-hosted cost is null beyond capacity, with the cause in `reason`.
    """
    largest = number("largest_requests_per_month", largest_requests_per_month)
    stairs = {corner: _stairs(hosting, api, corner) for corner in CORNERS}
    base = stairs["base"]
    volumes = {largest * index / whole("points", points, least=1) for index in range(points + 1)}
    if base.capacity:
        most = min(base.most or points, points, math.ceil(fraction(largest) / base.capacity) - 1)
        ends = [float(n * base.capacity) for n in range(max(1, base.least), most + 1)]
        volumes |= {side for end in ends for side in (end, math.nextafter(end, math.inf))}
    volumes |= {crossing.requests_per_month for crossing in break_even(hosting, api).crossings}
    rows = []
    for volume in sorted(volume for volume in volumes if volume <= largest):
        own, other = _usd(base, fraction(volume))
        own_low, other_high = _usd(stairs["favourable"], fraction(volume))
        own_high, other_low = _usd(stairs["unfavourable"], fraction(volume))
        rows.append(
            {
                "requests_per_month": volume,
                "steps": None if own is None else base.steps(fraction(volume)),
                "self_usd": own,
                "self_usd_low": own_low,
                "self_usd_high": own_high,
                "api_usd": other,
                "api_usd_low": other_low,
                "api_usd_high": other_high,
                "cheaper": "api" if own is None or other < own else "self-hosted" if own < other else "equal",
                "reason": "beyond the capacity of the allowed steps" if own is None else None,
            }
        )
    frame = pd.DataFrame(rows)
    numbers = [name for name in frame if name not in ("steps", "cheaper", "reason")]
    return frame.astype(dict.fromkeys(numbers, "float64") | {"steps": "Int64", "reason": "str"})


def _stairs(hosting: SelfHosting, api: Api, corner: Corner) -> Staircase:
    """The checked problem at a corner."""
    step = Interval.of("usd_per_step_month", hosting.usd_per_step_month)
    capacity = Interval.of("requests_per_step_month", hosting.requests_per_step_month, zero=True)
    if 0 < capacity.base < _SMALLEST_CAPACITY or 0 < capacity.low < _SMALLEST_CAPACITY:
        raise bad("requests_per_step_month", hosting.requests_per_step_month, f"0, or at least {_SMALLEST_CAPACITY:g}")
    price = Interval.of("api usd_per_request", api.usd_per_request)
    least = whole("minimum_steps", hosting.minimum_steps)
    most = hosting.maximum_steps
    ends = {
        "base": (step.base, capacity.base, price.base),
        "favourable": (step.low, capacity.high, price.high),
        "unfavourable": (step.high, capacity.low, price.low),
    }
    cost, served, charged = (fraction(end) for end in ends[corner])
    return Staircase(
        step=cost,
        capacity=served,
        variable=fraction(number("usd_per_request", hosting.usd_per_request, zero=True)),
        fixed=fraction(number("fixed_usd_per_month", hosting.fixed_usd_per_month, zero=True)),
        price=charged,
        api_fixed=fraction(number("api fixed_usd_per_month", api.fixed_usd_per_month, zero=True)),
        least=least,
        most=None if most is None else whole("maximum_steps", most, least=max(1, least)),
    )


def _reach(stairs: Staircase) -> Fraction | None:
    return stairs.reach if stairs.capacity else Fraction(0)


def _usd(stairs: Staircase, volume: Fraction) -> tuple[float | None, float]:
    reach = _reach(stairs)
    served = stairs.capacity > 0 and (reach is None or volume <= reach)
    return (float(stairs.self_usd(volume)) if served else None), float(stairs.api_usd(volume))


def _solve(stairs: Staircase, tokens: float | None) -> _Solution:
    if not stairs.capacity:
        return _Solution("beyond capacity")
    found = changes(stairs)
    if found.total == 0:
        if found.self_first:
            return _Solution("always", first=0.0, last=0.0)
        return _Solution("never" if changes(replace(stairs, most=None)).total == 0 else "beyond capacity")
    listed = tuple(_crossing(stairs, *at, tokens) for at in itertools.islice(found, MOST_CROSSINGS))
    last = found.last()
    final = None if last is None else _crossing(stairs, *last, tokens)
    return _Solution(
        verdict="crosses",
        crossings=listed,
        total=found.total,
        first=0.0 if found.self_first else listed[0].requests_per_month,
        last=final.requests_per_month if final and final.cheaper_above == "self-hosted" else None,
    )


def _crossing(stairs: Staircase, n: int, at_jump: bool, tokens: float | None) -> Crossing:
    exact = stairs.change_at(n, at_jump)
    return Crossing(
        requests_per_month=float(exact),
        tokens_per_month=None if tokens is None else float(exact) * tokens,
        cheaper_above="self-hosted" if stairs.gain > 0 and not at_jump else "api",
        steps=n,
        at_jump=at_jump,
        exact=exact,
    )


def _sentence(solution: _Solution, stairs: Staircase) -> str:
    if not stairs.capacity:
        return "no load meets the latency limit, so self-hosting serves nothing"
    if solution.verdict == "always":
        return "self-hosting is cheaper from the first request on"
    if solution.verdict == "beyond capacity":
        return "self-hosting would become cheaper only beyond the volume its allowed steps can serve"
    if solution.verdict == "never":
        if stairs.gain <= 0:
            return "a request costs no less self-hosted than from the API, and the steps come on top"
        return "even a full step costs at least as much as its requests cost from the API"
    if solution.total is None:
        return "the cheaper side changes within every step, for ever"
    changed = f"the cheaper side changes {solution.total} time{'s' if solution.total > 1 else ''}"
    return changed + (f"; the first {MOST_CROSSINGS} are listed" if solution.total > MOST_CROSSINGS else "")


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
        raise bad("input_tokens + output_tokens", 0, "at least one token")
    return break_even_as_sold(
        offers,
        float(SECONDS_PER_MONTH) / seconds * used,
        Api(priced.total),
        input_tokens + output_tokens,
        devices_per_replica=devices_per_replica,
        minimum_replicas=minimum_replicas,
        maximum_replicas=maximum_replicas,
    )
