"""$ per million tokens of every configuration in a table of speeds, under each split convention.

A request of P prompt and N output tokens takes P / prefill speed + N / decode speed seconds of the device, so that
under `phase_time` the rates are the identity `usd_per_mtok` at the two speeds shown beside them. (Forced windows run
N-1 decode steps, because the first new token comes out of prefill; charging N overstates such a window by at most one
step in N.) A speed quoted over the whole time, prefill included, gives the bill of a request but not its phases.

The interval is the widest one: the low end takes the lowest rate with the highest speeds, the high end the highest rate
with the lowest speeds. Cost rises with the rate and falls with each speed, so no combination inside lies outside of it;
it covers at least as much as the intervals it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from costlib.cost.inputs import Interval, number, share, whole
from costlib.cost.sizing import NO_RATE, for_sale
from costlib.cost.speeds import whole_time
from costlib.cost.token import CONVENTIONS, per_good_answer, split, usd_per_mtok
from costlib.errors import InputError, invalid_input
from costlib.figure import Number
from costlib.prices.hardware import measured_offers
from costlib.prices.rates import GIVEN, RATE_COLUMNS, Offer, cheapest, given

if TYPE_CHECKING:
    from costlib.store import Store

Hourly = Number | Interval | tuple[Number, Number, Number] | tuple[Offer, ...]
"""$/hour: of one device a number, or (low, base, high); or what is for sale."""

AMOUNTS = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "blended_usd_per_mtok",
    "usd_per_request",
    "usd_per_1k_requests",
    "usd_per_million_documents",
    "usd_per_good_answer",
)
"""Columns of money, each followed by `_low` and `_high`."""

_CONFIGURATION = ("model", "architecture", "device", "devices", "precision", "engine", "batch", "metric")
_COUNTS = ("devices", "batch", "prompt_tokens", "output_tokens")
_SPEEDS = ("prefill_tokens_per_s", "decode_tokens_per_s")


def cost_per_token(
    speeds: pd.DataFrame,
    usd_per_hour: Hourly | Mapping[str, Hourly],
    *,
    conventions: Sequence[str] = CONVENTIONS,
    output_to_input_price_ratio: Number | None = None,
    utilization: Number = 1.0,
    success_rate: Number | None = None,
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
) -> pd.DataFrame:
    """One row per configuration and convention: $/Mtok of input, output and both, $ per request and per good answer.

    `speeds` has `prefill_tokens_per_s` and `decode_tokens_per_s` (both optionally with `_low` and `_high`),
    `prompt_tokens`, `output_tokens`, `devices` (1 where absent), and whatever names the configuration; a row whose
    `status` is not ok keeps its reason. `usd_per_hour` is $ per hour of ONE device as a number or (low, base, high), or
    the offers of a device, of which the cheapest whole one for the row's `devices` counts, or any of these by device
    name. A request without output tokens is an embedded document. `utilization` (above 0, up to 1) divides the tokens
    of a paid hour. `prompt_tokens` and `output_tokens` replace those of the rows. Every amount is a float, null where
    unknown with the cause in `reason`; `kind` is derived, `speed_kind` that of the speed, `rate_source` and its like
    say what is rented.

    Raises `InputError` for a bad number, an unknown convention, or a table without any speed column.
    """
    if not any(name in speeds.columns for name in _SPEEDS):
        raise invalid_input(
            "speeds columns", ", ".join(map(str, speeds.columns)), f"at least one of {', '.join(_SPEEDS)}"
        )
    for convention in conventions:
        if convention not in CONVENTIONS:
            raise invalid_input("convention", convention, CONVENTIONS)
    used = share("utilization", utilization, zero=False)
    good = None if success_rate is None else share("success_rate", success_rate, zero=False)
    ratio = None
    if output_to_input_price_ratio is not None:
        ratio = number("output_to_input_price_ratio", output_to_input_price_ratio)
    tables = []
    for position, cells in enumerate(speeds.to_dict("records")):
        record = {str(name): value for name, value in cells.items()}
        row = _row(record, position, prompt_tokens, output_tokens)
        bill, rate, unpriced = _hourly(usd_per_hour, record, row.devices)
        listed = rate.get("rate_source", GIVEN) != GIVEN
        for convention in conventions:
            priced = _priced(row, bill, listed, unpriced, convention, used, ratio, good)
            tables.append({**row.shown, "convention": convention, **priced, "utilization": used, **rate})
    names = [
        *(name for name in _CONFIGURATION if name in speeds.columns),
        *("prompt_tokens", "output_tokens", *_SPEEDS, "convention"),
        *(f"{name}{end}" for name in ("usd_per_hour", *AMOUNTS) for end in ("", "_low", "_high")),
        *("utilization", "kind", "speed_kind", "utilization_kind", "source", "interval_reason", "reason"),
        *(f"rate_{name}" for name in RATE_COLUMNS),
    ]
    frame = pd.DataFrame(tables, columns=names)
    frame["kind"] = "derived"
    frame["utilization_kind"] = "assumed"
    amounts = [name for name in names if name.startswith(("usd_per_", *AMOUNTS))]
    counts = [
        name
        for name in ("devices", "batch", "prompt_tokens", "output_tokens", "rate_devices_per_unit", "rate_units")
        if name in names
    ]
    types = dict.fromkeys((*amounts, *_SPEEDS, "utilization"), "float64") | dict.fromkeys(counts, "Int64")
    return frame.astype(types)


@dataclass(frozen=True)
class _Row:
    """A checked row: intervals of its speeds and the request that is priced."""

    shown: dict[str, Any]
    prefill: Interval | None
    decode: Interval | None
    whole: Interval | None
    devices: int
    prompt: int | None
    output: int | None
    reason: str | None


def _row(record: dict[str, Any], position: int, prompt_tokens: int | None, output_tokens: int | None) -> _Row:
    where = f"speeds row {position}"
    own = {name: _whole(name, record.get(name), where) for name in ("prompt_tokens", "output_tokens")}
    asked = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    length = {name: own[name] if asked[name] is None else _whole(name, asked[name], None) for name in own}
    prefill, decode = (_interval(record, name, where) for name in _SPEEDS)
    mixed = whole_time(record.get("metric"))
    reason = None
    status = record.get("status")
    if isinstance(status, str) and status != "ok":
        why = record.get("reason")
        reason = f"not measured ({status}): {why if isinstance(why, str) and why else 'no reason was stored'}"
    elif prefill is None and decode is None:
        reason = "no speed is known"
    elif mixed and length != own:
        reason = "the published throughput holds only for the prompt and output lengths it was measured with"
    shown: dict[str, Any] = {name: record.get(name) for name in (*_CONFIGURATION, *_SPEEDS)}
    source = record.get("source")
    shown |= {**length, "speed_kind": record.get("kind"), "source": record.get("run_ids") if source is None else source}
    return _Row(
        shown=shown,
        prefill=None if mixed else prefill,
        decode=None if mixed else decode,
        whole=decode if mixed else None,
        devices=_whole("devices", record.get("devices"), where, least=1) or 1,
        prompt=length["prompt_tokens"],
        output=length["output_tokens"],
        reason=reason,
    )


def _hourly(
    usd_per_hour: Hourly | Mapping[str, Hourly], record: dict[str, Any], devices: int
) -> tuple[Interval | None, dict[str, Any], str | None]:
    """$ per hour for the devices of a row and where they come from, or why there is no rate."""
    field = "usd_per_hour"
    if isinstance(usd_per_hour, Mapping):
        device = str(record.get("device"))
        if device not in usd_per_hour:
            return None, {}, f"no hourly rate is given for device {device!r}"
        field, usd_per_hour = f"usd_per_hour of {device}", usd_per_hour[device]
    if isinstance(usd_per_hour, Sequence) and usd_per_hour and isinstance(usd_per_hour[0], Offer):
        found = cheapest(cast(Sequence[Offer], usd_per_hour), devices)
        return Interval.of(field, found.usd_per_hour), found.columns(), None
    one = Interval.of(field, usd_per_hour)
    return (
        Interval(one.low * devices, one.base * devices, one.high * devices),
        given(one.base).rent(devices).columns(),
        None,
    )


def _priced(
    row: _Row,
    bill: Interval | None,
    listed: bool,
    unpriced: str | None,
    convention: str,
    utilization: float,
    ratio: float | None,
    success_rate: float | None,
) -> dict[str, Any]:
    """Every amount of one output row, with its ends and reasons."""
    reason = row.reason or unpriced
    if bill is None or reason:
        return {"reason": reason, "interval_reason": "nothing is priced"}
    cells: dict[str, Any] = {"usd_per_hour": bill.base}
    cells["interval_reason"], shown = _interval_reason(row, bill, listed)
    if bill.known:
        cells |= {"usd_per_hour_low": bill.low, "usd_per_hour_high": bill.high}
    reasons: list[str] = []
    ends = {"": (bill.base, "base"), "_low": (bill.low, "high"), "_high": (bill.high, "low")}
    for end, (rate, speed) in ends.items():
        if end and not shown:
            continue
        at = {name: getattr(getattr(row, name), speed, None) for name in ("prefill", "decode", "whole")}
        amounts = _amounts(rate / utilization, at, row, convention, ratio, reasons if not end else [])
        if success_rate is not None and amounts.get("usd_per_request") is not None:
            amounts["usd_per_good_answer"] = per_good_answer(amounts["usd_per_request"], success_rate)
        cells |= {f"{name}{end}": None if value is None else float(value) for name, value in amounts.items()}
    return cells | {"reason": "; ".join(dict.fromkeys(reasons)) or None}


def _amounts(
    rate: float,
    speed: dict[str, float | None],
    row: _Row,
    convention: str,
    ratio: float | None,
    reasons: list[str],
) -> dict[str, Decimal]:
    """The amounts at one end of the interval; what is unknown is left out and explained in `reasons`."""
    prefill, decode, mixed = speed["prefill"], speed["decode"], speed["whole"]
    prompt, output = row.prompt, row.output
    amounts: dict[str, Decimal] = {}
    if convention == "phase_time":
        if prefill is not None and prompt != 0:
            amounts["input_usd_per_mtok"] = usd_per_mtok(rate, prefill)
        if decode is not None and output != 0:
            amounts["output_usd_per_mtok"] = usd_per_mtok(rate, decode)
    elif convention == "output_carries_all" and mixed is not None and output != 0:
        amounts["output_usd_per_mtok"] = usd_per_mtok(rate, mixed)
    seconds = _seconds(prefill, decode, mixed, prompt, output, reasons)
    if seconds is None or prompt is None or output is None:
        return amounts
    bill = Decimal(str(rate)) * Decimal(str(seconds)) / 3600
    amounts["usd_per_request"] = bill
    amounts["usd_per_1k_requests"] = bill * 1000
    if not output:
        amounts["usd_per_million_documents"] = bill * 1_000_000
    amounts["blended_usd_per_mtok"] = bill * 1_000_000 / (prompt + output)
    if convention == "phase_time":
        if mixed is not None:
            reasons.append("the published throughput mixes prefill and decode, so phase_time cannot split it")
        elif decode is None and output:
            reasons.append("one new token comes out of prefill: no decode phase to charge it by")
    elif convention == "price_ratio" and ratio is None:
        reasons.append("price_ratio needs output_to_input_price_ratio")
    elif convention == "output_carries_all" and not output:
        reasons.append("there are no output tokens to carry the bill")
    else:
        rates = split(bill, prompt, output, convention, output_to_input_price_ratio=ratio)
        known = {"input_usd_per_mtok": rates.input_usd_per_mtok, "output_usd_per_mtok": rates.output_usd_per_mtok}
        amounts |= {name: value for name, value in known.items() if value is not None}
    return amounts


def _seconds(
    prefill: float | None,
    decode: float | None,
    mixed: float | None,
    prompt: int | None,
    output: int | None,
    reasons: list[str],
) -> float | None:
    """Device seconds of one request, or None with the cause."""
    missing = [name for name, tokens in (("prompt_tokens", prompt), ("output_tokens", output)) if tokens is None]
    if missing or prompt is None or output is None:
        reasons.append(f"{' and '.join(missing)} unknown: no bill of a request to split or blend")
    elif prompt + output == 0:
        reasons.append("a request without tokens has no price per token")
    elif mixed is not None:
        if output:
            return output / mixed
        reasons.append("an output throughput says nothing about requests without output tokens")
    elif prompt and prefill is None:
        reasons.append("no prefill speed is known")
    elif output > 1 and decode is None:
        reasons.append("no decode speed is known")
    else:
        seconds = (prompt / prefill if prefill and prompt else 0.0) + (output / decode if decode else 0.0)
        if seconds:
            return seconds
        reasons.append("no decode speed is known")
    return None


def _interval_reason(row: _Row, bill: Interval, listed: bool) -> tuple[str | None, bool]:
    """What the interval leaves out, and whether there is one."""
    parts: dict[str, Interval | None] = {} if listed else {"rate": bill}  # a list price is exact, until it changes
    parts |= {"prefill speed": row.prefill, "decode speed": row.decode, "throughput": row.whole}
    known = {name: part.known for name, part in parts.items() if part is not None}
    if not any(known.values()):
        return f"no interval is known for the {' or the '.join(known)}", False
    left_out = [name for name, has_interval in known.items() if not has_interval]
    return f"leaves out the spread of the {' and the '.join(left_out)}" if left_out else None, True


def _interval(record: dict[str, Any], name: str, where: str) -> Interval | None:
    ends = [record.get(name), record.get(f"{name}_low"), record.get(f"{name}_high")]
    value, low, high = (None if _null(end) else end for end in ends)
    if value is None:
        return None
    return Interval.of(name, value if low is None or high is None else (low, value, high), where)


def _whole(name: str, value: Any, where: str | None, least: int = 0) -> int | None:
    return None if _null(value) else whole(name, value, where, least=least)


def _null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def cost(
    model: str | None = None,
    *,
    prefill_tokens_per_s: float | None = None,
    decode_tokens_per_s: float | None = None,
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
    usd_per_hour: float | None = None,
    device: str | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: str | None = None,
    devices: int = 1,
    output_to_input_price_ratio: float | None = None,
    utilization: float = 1.0,
    success_rate: float | None = None,
    store: Store | str | None = None,
) -> pd.DataFrame:
    """$ per million tokens under each split convention, one row per configuration and convention.

    Either of a measured `model` (every ok measurement of it in the store) or of given speeds in tokens/s, of `devices`
    together. The rate is `usd_per_hour` of one, or the cheapest whole offer of a `device` of data/rates.csv as of a
    day, or, for measurements, of the device they ran on: one of eight sold together costs all eight. With a
    `success_rate` also $ per good answer; without output tokens, $ per million embedded documents. Kind: derived.
    Raises `InputError` where neither a measurement nor a speed is given or no rate is known.

    Args:
        model: A measured model; leave out to give speeds.
        prefill_tokens_per_s: Prompt tokens/s of the whole batch.
        decode_tokens_per_s: New tokens/s of the whole batch.
        prompt_tokens: Prompt tokens of a request.
        output_tokens: New tokens of a request; 0 for an embedding.
        usd_per_hour: $ per hour of one device, instead of device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        devices: Devices that give the speeds together.
        output_to_input_price_ratio: Output over input price: adds that split.
        utilization: Share of paid time that serves tokens (assumed).
        success_rate: Share of answers that are good.
        store: Folder of measurements [default: data/store].
    """
    from costlib.measure.run import measurements

    for field, speed in (("prefill_tokens_per_s", prefill_tokens_per_s), ("decode_tokens_per_s", decode_tokens_per_s)):
        if speed is not None:  # in a table NaN means unknown; typed, it is a mistake
            number(field, speed)
    price: Any = None
    if usd_per_hour is not None or device is not None:
        price = for_sale(usd_per_hour, device, rate_kind, rate_provider, as_of)
    whole("devices", devices, least=1)
    if model is not None:
        if prefill_tokens_per_s is not None or decode_tokens_per_s is not None:
            raise invalid_input("model and speeds", model, "a measured model or given speeds, not both")
        if devices != 1:
            raise invalid_input("devices", devices, "nothing beside a measured model, which ran on its own")
        found = measurements(store)
        speeds = found[found["model"] == model]
        if speeds.empty:
            known = sorted(set(found["model"])) or "none yet; run: costlib measure MODEL"
            raise invalid_input("model", model, f"a measured model in the store ({known})")
        if price is None:
            ran_on = sorted(set(speeds["device"]))
            price = {name: measured_offers(name, rate_kind, rate_provider, as_of) for name in ran_on}
    else:
        if decode_tokens_per_s is None and prefill_tokens_per_s is None:
            raise InputError("speeds are missing; allowed: a measured MODEL, or prefill and decode tokens/s")
        if price is None:
            raise InputError(NO_RATE)
        speeds = pd.DataFrame(
            [
                {
                    "model": "given speeds",
                    "device": device or "given rate",
                    "devices": devices,
                    "prefill_tokens_per_s": prefill_tokens_per_s,
                    "decode_tokens_per_s": decode_tokens_per_s,
                    "prompt_tokens": prompt_tokens,
                    "output_tokens": output_tokens,
                    "kind": "assumed",
                    "source": "given by the user",
                }
            ]
        )
    ratio = output_to_input_price_ratio
    wanted = [name for name in CONVENTIONS if name != "price_ratio" or ratio is not None]
    return cost_per_token(
        speeds,
        price,
        conventions=wanted,
        output_to_input_price_ratio=ratio,
        utilization=utilization,
        success_rate=success_rate,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )
