"""Commands about machines: rates, owned, capacity."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import (
    AsOf,
    DecodeSpeed,
    Json,
    PrefillSpeed,
    RateDevice,
    RateKind,
    RateProvider,
    UsdPerHour,
    answer,
    names,
    plain_types,
    table,
)
from costlib.errors import bad
from costlib.figure import plain


def rates(
    device: Annotated[str | None, typer.Argument(help="Device of data/rates.csv; leave out to list them all.")] = None,
    rate_kind: RateKind = "on_demand",
    devices: Annotated[int | None, typer.Option(help="Only offers of that many sold together, e.g. 8.")] = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """$ per hour of one device: its spread between providers, or every device of data/rates.csv.

    Example: costlib rates 'H100 SXM' --devices 8
    """
    from costlib.door import rates as rates_of

    rows = rates_of(device, rate_kind, devices=devices, as_of=as_of)

    def show() -> None:
        body = []
        for row in rows.to_dict("records"):
            if device is None:
                ends = f"{plain(row['low'])} to {plain(row['high'])}"
                sold = f"{row['devices']} for {row['usd_per_hour']:.2f} at {row['provider']}"
                body.append([row["device"], sold, ends, row["kind"], row["observed_on"]])
            else:
                sold = f"{row['devices']} for {row['node_usd_per_hour']:.2f}"
                cells = [plain(row["usd_per_hour"]), f"{row['times_cheapest']:.2f}", sold]
                body.append([row["provider"], *cells, row["kind"], row["observed_on"]])
        if device is None:
            heads, title = ["device", "cheapest for one", "one device, for reading"], f"devices, {rate_kind}"
        else:
            heads, title = ["provider", "USD per hour", "times cheapest", "sold as"], f"{device}, {rate_kind}"
            title += f": the dearest costs {rows['times_cheapest'].iloc[-1]:.2f} times the cheapest"
        caption = "USD per hour, [cheapest, dearest provider] of one device; sources: --json or data/rates.csv"
        table(title, [*heads, "kind", "seen on"], body, caption)

    answer({"device": device, "rate_kind": rate_kind, "rows": rows, "currency": "USD"}, as_json, show)


def owned(
    capex: Annotated[float, typer.Option(help="$ paid for the hardware.")],
    life_years: Annotated[float, typer.Option(help="Years it is used, day and night.")],
    kw: Annotated[float, typer.Option(help="kW it draws.")],
    usd_per_kwh: Annotated[float, typer.Option(help="$ per kWh.")],
    pue: Annotated[float, typer.Option(help="Power of the site over power of the hardware.")] = 1.0,
    residual: Annotated[float, typer.Option(help="$ it is sold for in the end.")] = 0.0,
    hosting_per_hour: Annotated[float, typer.Option(help="$ an hour for space and network.")] = 0.0,
    staff_per_hour: Annotated[float, typer.Option(help="$ an hour for its share of people.")] = 0.0,
    discount_rate: Annotated[float, typer.Option(help="Yearly discount rate, e.g. 0.08.")] = 0.0,
    as_json: Json = False,
) -> None:
    """What an hour of your own hardware costs, busy or idle, by what it pays for.

    Example: costlib owned --capex 280000 --life-years 4 --kw 10.2 --pue 1.3 --usd-per-kwh 0.12 --residual 28000
    """
    from costlib.cost.inputs import number
    from costlib.prices.owned import HOURS_PER_YEAR, owned_hour

    found = owned_hour(
        capex,
        residual,
        number("life_years", life_years) * HOURS_PER_YEAR,
        kw,
        pue,
        usd_per_kwh,
        hosting_per_hour,
        staff_per_hour,
        discount_rate,
    )
    document = {**plain_types(found), "usd_per_hour": found.total}

    def show() -> None:
        body = [[name, f"{value:.4f}"] for name, value in (*vars(found).items(), ("whole hour", found.total))]
        table("an hour of your own hardware", ["what it pays for", "USD"], body, "USD per hour; derived")

    answer({**document, "currency": "USD", "kind": "derived"}, as_json, show)


def capacity(
    requests_per_month: Annotated[float | None, typer.Option(help="Requests in a month of 730 hours.")] = None,
    hourly_weights: Annotated[
        str | None, typer.Option("--hourly", help="24 or 168 weights, by hour of day or week, comma-separated.")
    ] = None,
    log: Annotated[str | None, typer.Option(help="CSV or Parquet with a column timestamp instead.")] = None,
    requests_per_s: Annotated[
        float | None, typer.Option(help="Requests/s of a full replica; or the next four.")
    ] = None,
    prefill_tokens_per_s: PrefillSpeed = None,
    decode_tokens_per_s: DecodeSpeed = None,
    prompt_tokens: Annotated[float | None, typer.Option(help="Mean prompt tokens of a request.")] = None,
    output_tokens: Annotated[float | None, typer.Option(help="Mean new tokens of a request.")] = None,
    batch: Annotated[int, typer.Option(help="Requests a replica answers at a time.")] = 1,
    usd_per_hour: UsdPerHour = None,
    device: RateDevice = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    as_of: AsOf = None,
    devices_per_replica: Annotated[int, typer.Option(help="Devices one replica needs.")] = 1,
    node_devices: Annotated[int | None, typer.Option(help="Devices sold together [default: as each offer is].")] = None,
    minimum_replicas: Annotated[int, typer.Option(help="Replicas kept for availability; 0 scales to zero.")] = 1,
    scaling: Annotated[str, typer.Option(help="fixed (at the busiest hour's size) or hourly.")] = "fixed",
    start_up_s: Annotated[float, typer.Option(help="Paid seconds before a new replica serves.")] = 0.0,
    idle_timeout_s: Annotated[float, typer.Option(help="Idle seconds before it scales to zero.")] = 300.0,
    latency_limit_s: Annotated[float | None, typer.Option(help="Seconds within which to answer.")] = None,
    percentile: Annotated[float, typer.Option(help="Share of requests that must meet the limit.")] = 0.95,
    utilization: Annotated[float | None, typer.Option(help="Typed instead of derived (assumed).")] = None,
    as_json: Json = False,
) -> None:
    """Replicas for an arrival profile and a latency limit, their bill, and the utilization that follows.

    Example: costlib capacity --requests-per-month 3000000 --requests-per-s 4 --batch 8 --latency-limit-s 5 --device L4
    """
    asked = dict(locals())
    del asked["as_json"]
    from costlib.cost.sizing import capacity as sized

    asked["hourly_weights"] = None if hourly_weights is None else _weights(hourly_weights)
    found = sized(**asked)
    fleet = found.fleet

    def show() -> None:
        body: list[list[str]] = [["requests per month", plain(fleet.requests_per_month)]]
        if fleet.replicas is not None:
            body += [
                ["replicas, nodes, devices at most", f"{fleet.replicas}, {fleet.nodes}, {fleet.devices}"],
                ["paid device hours per month", plain(fleet.paid_device_hours_per_month or 0)],
            ]
        if fleet.utilization is not None:
            used = fleet.utilization
            body.append([f"utilization ({used.kind}: {used.source})", f"{100 * used.value:.1f} %"])
        if fleet.delayed_share:
            body.append(["requests that wait for a start-up", f"{100 * fleet.delayed_share:.2f} %"])
        body.append(["USD per month", _between(found.usd_per_month)])
        body.append(["USD per 1,000 requests", _between(found.usd_per_1k_requests)])
        body.append(["the same if always busy", _between(found.usd_per_1k_requests_at_full_use)])
        table("capacity", ["what", "value"], body, "derived; a list price is exact, until it changes")
        print(f"  rate: {found.rate.sentence()}")
        for said in filter(None, (fleet.reason, fleet.warning)):
            print(f"  note: {said}")

    document: dict[str, Any] = plain_types(found) | {"rate": plain_types(found.rate.document())}
    answer({**document.pop("fleet"), **document, "currency": "USD", "kind": "derived"}, as_json, show)


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in names(text)]
    except ValueError:
        raise bad("--hourly", text, "24 or 168 numbers separated by commas") from None


def _between(amount: Any) -> str:
    if amount is None:
        return "-"
    return plain(amount.base) + (f" [{plain(amount.low)}, {plain(amount.high)}]" if amount.known else "")


COMMANDS = (rates, owned, capacity)
