"""Cards about money: price, rates, owned, cost, breakeven, capacity, payback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, number, plain_types, records, remarks
from costlib.errors import InputError, bad, unused
from costlib.figure import plain

if TYPE_CHECKING:
    import pandas as pd

    from costlib.cost.breakeven import BreakEven
    from costlib.cost.capacity import FleetBill
    from costlib.cost.payback import Payback, ProjectPayback
    from costlib.prices.api import PricedRequest
    from costlib.prices.owned import OwnedHour
    from costlib.prices.usage import PricedUsage

_SHOWN = 20
"""Crossings shown to a person."""


def ask_price(
    model: str | None = None,
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    usage: str | None = None,
    columns: Mapping[str, str] | None = None,
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    **request: int,
) -> PricedRequest | PricedUsage:
    """Price one API request, or a table of them, line by line, at the list price of a date.

    Args:
        model: API model, e.g. gpt-4o; leave out with --usage.
        usage: Log or table of requests to price instead of one.
        columns: FIELD=COLUMN of a log whose export is not recognised; again for each field.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        tier: standard, batch, flex or priority; with --usage, of rows that name none.
        **request: Those of `costlib.price`.
    """
    import costlib

    if usage is None:
        unused("without --usage", ask_price, locals(), ["columns"])
        if model is None or input_tokens is None or output_tokens is None:
            raise InputError("Missing MODEL, --prompt-tokens or --output-tokens; allowed: these three, or --usage FILE")
        request |= {"input_tokens": input_tokens, "output_tokens": output_tokens}
        return costlib.price(model, provider, tier=tier, as_of=as_of, **request)
    named = {"model": model, "input_tokens": input_tokens, "output_tokens": output_tokens}
    asked = request | {name: value for name, value in named.items() if value is not None}
    unused("beside --usage, whose columns say it", costlib.price, asked, asked)
    from costlib.prices.usage import price_table

    return price_table(usage, provider=provider, tier=tier, as_of=as_of, columns=columns)


def price(priced: Any, asked: Any) -> Card:
    """Example: costlib price gpt-4o --provider openai --prompt-tokens 1000 --output-tokens 100

    Example: costlib price gemini-2.5-pro --prompt-tokens 900000000 --output-tokens 40000000 --requests 300000

    Example: costlib price --usage requests.parquet
    """
    if asked.usage is not None:
        yield from _usage(priced, asked)
        return
    yield {**plain_types(priced), "price_ids": [line.price_id for line in priced.lines]}
    body = [[line.kind, f"{line.tokens:,}", f"{line.usd_per_mtok:f}", f"{line.amount:f}"] for line in priced.lines]
    body.append(["total", "", "", f"{priced.total:f}"])
    when = f"prices as of {priced.as_of}" + ("" if priced.as_of_given else ", the day of the snapshot")
    title = f"{priced.provider}/{priced.model}, {priced.tier}"
    caption = f"USD; {priced.kind}; {when}; {priced.source}"
    yield Table(title, ["bucket", "tokens", "USD per million", "USD"], body, caption)
    yield from (f"  {line.price_id}" for line in priced.lines)
    yield from (f"  note: {note}" for note in priced.notes)


def _usage(priced: PricedUsage, asked: Any) -> Card:
    from costlib.prices.book import load_book

    day, _ = load_book().moment(asked.as_of)
    dated = {"as_of": f"prices as of {day}", "snapshot day": f"prices as of {day}, the day of the snapshot"}
    names = ("total", "currency", "unpriced", "lines", "dated_by", "source", "snapshot", "notes")
    yield {name: getattr(priced, name) for name in names} | {
        "rows": len(priced.amounts),
        "price_ids": list(priced.lines["price_id"]),
        "as_of": day if priced.dated_by in dated else None,
        "kind": "assumed" if "assumed" in set(priced.lines["kind"]) else "quoted",
    }
    body = []
    for line in records(priced.lines):
        name = f"{line['provider']}/{line['model']} {line['tier']} {line['token_kind']}"
        body.append([name, f"{line['tokens']:,}", f"{line['usd_per_mtok']:f}", f"{line['amount']:f}"])
    body.append([f"total of {int(priced.amounts.notna().sum()):,} rows", "", "", f"{priced.total:f}"])
    caption = f"USD; {dated.get(priced.dated_by, f'prices of the day in column {priced.dated_by}')}; {priced.source}"
    yield Table(Path(asked.usage).name, ["model, tier and bucket", "tokens", "USD per million", "USD"], body, caption)
    yield from remarks(priced.notes, priced.unpriced)


def rates(rows: list[dict[str, Any]], asked: Any) -> Card:
    """Example: costlib rates 'H100 SXM' --devices 8"""
    yield {"device": asked.device, "rate_kind": asked.rate_kind, "rows": rows, "currency": "USD"}
    body = []
    for row in rows:
        if asked.device is None:
            ends = f"{plain(row['low'])} to {plain(row['high'])}"
            sold = f"{row['devices']} for {row['usd_per_hour']:.2f} at {row['provider']}"
            body.append([row["device"], sold, ends, row["kind"], row["observed_on"]])
        else:
            sold = f"{row['devices']} for {row['node_usd_per_hour']:.2f}"
            cells = [plain(row["usd_per_hour"]), f"{row['times_cheapest']:.2f}", sold]
            body.append([row["provider"], *cells, row["kind"], row["observed_on"]])
    if asked.device is None:
        heads, title = ["device", "cheapest for one", "one device, for reading"], f"devices, {asked.rate_kind}"
    else:
        heads, title = ["provider", "USD per hour", "times cheapest", "sold as"], f"{asked.device}, {asked.rate_kind}"
        title += f": the dearest costs {rows[-1]['times_cheapest']:.2f} times the cheapest"
    caption = "USD per hour, [cheapest, dearest provider] of one device; sources: --json or data/rates.csv"
    yield Table(title, [*heads, "kind", "seen on"], body, caption)


def ask_owned(
    *,
    capex: float,
    life_years: float,
    kw: float,
    usd_per_kwh: float,
    pue: float = 1.0,
    residual: float = 0.0,
    hosting_per_hour: float = 0.0,
    staff_per_hour: float = 0.0,
    discount_rate: float = 0.0,
) -> OwnedHour:
    """What an hour of your own hardware costs, busy or idle, by what it pays for.

    Args:
        capex: $ paid for the hardware.
        life_years: Years it is used, day and night.
        kw: kW it draws.
        usd_per_kwh: $ per kWh.
        pue: Power of the site over power of the hardware.
        residual: $ it is sold for in the end.
        hosting_per_hour: $ an hour for space and network.
        staff_per_hour: $ an hour for its share of people.
        discount_rate: Yearly discount rate, e.g. 0.08.
    """
    asked = dict(locals())
    from costlib.cost.inputs import number
    from costlib.prices.owned import HOURS_PER_YEAR, owned_hour

    return owned_hour(life_hours=number("life_years", asked.pop("life_years")) * HOURS_PER_YEAR, **asked)


def owned(found: OwnedHour, asked: Any) -> Card:
    """Example: costlib owned --capex 280000 --life-years 4 --kw 10.2 --pue 1.3 --usd-per-kwh 0.12 --residual 28000"""
    yield {**plain_types(found), "usd_per_hour": found.total, "currency": "USD", "kind": "derived"}
    body = [[name, f"{value:.4f}"] for name, value in (*vars(found).items(), ("whole hour", found.total))]
    yield Table("an hour of your own hardware", ["what it pays for", "USD"], body, "USD per hour; derived")


def cost(rows: pd.DataFrame, asked: Any) -> Card:
    """Example: costlib cost --prefill-tokens-per-s 30946 --decode-tokens-per-s 6612 --prompt-tokens 1000
    --output-tokens 200 --device 'H100 SXM'

    Example: costlib cost --prefill-tokens-per-s 30946 --prompt-tokens 250 --output-tokens 0 --device L4
    """
    yield {"rows": rows, "kind": "derived"}
    answers = {"usd_per_1k_requests": "1,000 requests"}
    answers |= {} if asked.success_rate is None else {"usd_per_good_answer": "good answer"}
    answers = {"usd_per_million_documents": "million documents"} if asked.output_tokens == 0 else answers
    body: list[list[str]] = []
    reasons: dict[str, None] = {}
    for row in records(rows):
        given = " ".join(str(row[k]) for k in ("precision", "engine") if isinstance(row.get(k), str)) or "given"
        amounts = [
            number(row, name) for name in (*(f"{k}_usd_per_mtok" for k in ("input", "output", "blended")), *answers)
        ]
        body.append([f"{given} {row['convention']}", *amounts])
        reasons |= {row["reason"]: None} if isinstance(row["reason"], str) else {}
    columns = ["configuration and split", "input", "output", "blended", *answers.values()]
    caption = "USD per million tokens [low, high], and per what is named; derived from speed and rate; each split "
    yield Table(f"cost of {asked.model or 'given speeds'}", columns, body, caption + "conserves the same bill")
    names = ["usd_per_hour", "rate_units", "rate_devices_per_unit", "rate_provider", "rate_region", "rate_commitment"]
    offers = rows[[*names, "rate_observed_on", "rate_kind", "rate_source"]].drop_duplicates()
    for usd, units, sold_by, provider, region, commitment, *seen in offers.itertuples(index=False):
        if isinstance(provider, str):
            at = f"{provider}, {region}" if isinstance(region, str) else provider
            yield f"  note: {usd:g} USD per hour for {units} x {sold_by} at {at}, {commitment}, {', '.join(seen)}"
    yield from (f"  note: {reason}" for reason in reasons)


def breakeven(found: BreakEven, asked: Any) -> Card:
    """Example: costlib breakeven claude-haiku-4-5 --prompt-tokens 1000 --output-tokens 200
    --prefill-tokens-per-s 30946 --decode-tokens-per-s 6612 --device 'H100 SXM'
    """
    document = plain_types(found)
    for crossing in document["crossings"]:
        crossing.pop("exact", None)
    document["rate"] = None if found.rate is None else plain_types(found.rate.document())
    yield {**document, "kind": "derived"}
    body = []
    for one in found.crossings[:_SHOWN]:
        amounts = [plain(one.requests_per_month), plain(one.tokens_per_month or 0)]
        body.append([*amounts, one.cheaper_above, str(one.steps * found.replicas_per_step)])
    yield Table(found.verdict, ["requests per month", "tokens per month", "cheaper above", "replicas"], body)
    if len(found.crossings) > _SHOWN:
        yield f"  and {len(found.crossings) - _SHOWN} more; --json lists them"
    for name in ("first", "last"):
        value, low, high = (getattr(found, f"{name}_{end}") for end in ("requests_per_month", "low", "high"))
        if value is not None:
            ends = ", ".join(plain(end) if end is not None else "none" for end in (low, high))
            yield f"  {name}: {plain(value)} requests per month{'' if low == value == high else f' [{ends}]'}"
    if found.rate is not None:
        yield f"  rate: {found.rate.sentence()}"
    yield f"  {found.reason}; at the favourable end: {found.favourable}, unfavourable: {found.unfavourable}"


def capacity(found: FleetBill, asked: Any) -> Card:
    """Example: costlib capacity --requests-per-month 3000000 --requests-per-s 4 --batch 8 --device L4"""
    fleet = found.fleet
    document: dict[str, Any] = plain_types(found) | {"rate": plain_types(found.rate.document())}
    yield {**document.pop("fleet"), **document, "currency": "USD", "kind": "derived"}
    body: list[list[str]] = [["requests per month", plain(fleet.requests_per_month)]]
    if fleet.replicas is not None:
        body.append(["replicas, nodes, devices at most", f"{fleet.replicas}, {fleet.nodes}, {fleet.devices}"])
        body.append(["paid device hours per month", plain(fleet.paid_device_hours_per_month or 0)])
    if fleet.utilization is not None:
        used = fleet.utilization
        body.append([f"utilization ({used.kind}: {used.source})", f"{100 * used.value:.1f} %"])
    if fleet.delayed_share:
        body.append(["requests that wait for a start-up", f"{100 * fleet.delayed_share:.2f} %"])
    amounts = {
        "USD per month": found.usd_per_month,
        "USD per 1,000 requests": found.usd_per_1k_requests,
        "the same if always busy": found.usd_per_1k_requests_at_full_use,
    }
    body += [[label, _between(amount)] for label, amount in amounts.items()]
    yield Table("capacity", ["what", "value"], body, "derived; a list price is exact, until it changes")
    yield f"  rate: {found.rate.sentence()}"
    yield from (f"  note: {said}" for said in (fleet.reason, fleet.warning) if said)


def _between(amount: Any) -> str:
    if amount is None:
        return "-"
    return plain(amount.base) + (f" [{plain(amount.low)}, {plain(amount.high)}]" if amount.known else "")


_CAPITAL = ("capex", "saving_per_month", "cloud", "owned", "amortization", "life_months", "discount_rate", "residual")
_PARTS = (
    "teacher_mtok",
    "teacher_usd_per_mtok",
    "gpu_hours",
    "usd_per_gpu_hour",
    "people_hours",
    "usd_per_people_hour",
)


def ask_payback(
    *,
    capex: float | None = None,
    saving_per_month: float | None = None,
    cloud: float | None = None,
    owned: float | None = None,
    amortization: float | None = None,
    life_months: int | None = None,
    discount_rate: float | None = None,
    residual: float | None = None,
    effort: float | None = None,
    teacher_mtok: float | None = None,
    teacher_usd_per_mtok: float | None = None,
    gpu_hours: float | None = None,
    usd_per_gpu_hour: float | None = None,
    people_hours: float | None = None,
    usd_per_people_hour: float | None = None,
    saving_per_request: float | None = None,
    requests_per_week: float | None = None,
    within_weeks: float | None = None,
    retraining: float | None = None,
    retrain_every_weeks: float | None = None,
) -> tuple[Payback | ProjectPayback, dict[str, float]]:
    """When capital, a distilled model or a migration pays back: payback, NPV and IRR, retraining included.

    Args:
        capex: $ paid at the start for owned hardware.
        saving_per_month: $ a month it saves.
        cloud: $ a month the cloud costs instead.
        owned: $ a month owning costs.
        amortization: Part of --owned that is the capital, spread.
        life_months: Months it lasts; NPV and IRR need it.
        discount_rate: Yearly discount rate, e.g. 0.08.
        residual: $ it is sold for in the end.
        effort: $ of a distillation or migration; or its parts, the next six.
        teacher_mtok: Million tokens a teacher writes.
        teacher_usd_per_mtok: $ per million of them.
        gpu_hours: Hours of training.
        usd_per_gpu_hour: $ of each.
        people_hours: Hours of people.
        usd_per_people_hour: $ of each.
        saving_per_request: $ it saves on each request.
        requests_per_week: Requests it serves a week.
        within_weeks: Asks for the volume that pays it back by then.
        retraining: $ of each retraining.
        retrain_every_weeks: Weeks between retrainings.
    """
    asked = dict(locals())
    from costlib.cost.payback import distillation_effort_usd, owned_payback, project_payback, requests_per_week_needed
    from costlib.cost.payback import payback as capital_payback

    if capex is not None:
        unused("beside --capex", ask_payback, asked, [name for name in asked if name not in _CAPITAL])
        if life_months is None:
            unused("without --life-months, at the end of which it is sold", ask_payback, asked, ["residual"])
        terms: dict[str, Any] = {"discount_rate_per_year": discount_rate or 0, "residual_usd": residual or 0}
        terms["life_months"] = life_months
        if saving_per_month is not None and cloud is None and owned is None:
            unused("beside --saving-per-month", ask_payback, asked, ["amortization"])
            return capital_payback(capex, saving_per_month, **terms), {}
        if saving_per_month is None and cloud is not None and owned is not None:
            return owned_payback(capex, cloud, owned, amortization_usd_per_month=amortization or 0, **terms), {}
        given = {"--saving-per-month": saving_per_month, "--cloud": cloud, "--owned": owned}
        shown = ", ".join(name for name, value in given.items() if value is not None) or "nothing"
        raise bad("beside --capex", shown, "--saving-per-month, or both --cloud and --owned")
    parts = {name: asked[name] for name in _PARTS}
    if any(value is not None for value in parts.values()):
        spent = distillation_effort_usd(**{name: value or 0 for name, value in parts.items()})
        if effort is not None:
            raise bad("--effort and its parts", (effort, spent), "one of the two, not both")
        for amount, each in zip(_PARTS[::2], _PARTS[1::2], strict=True):
            if parts[amount] is None:
                unused(f"without --{amount.replace('_', '-')}", ask_payback, asked, [each])
        effort = spent
    volume = requests_per_week
    if effort is None or saving_per_request is None or (volume is None and within_weeks is None):
        allowed = "--capex with --saving-per-month, or with --cloud and --owned; or --effort, --saving-per-request "
        raise InputError(f"amounts are missing; allowed: {allowed}and --requests-per-week or --within-weeks")
    unused("beside --effort", ask_payback, asked, _CAPITAL)
    if retraining is None:
        unused("without --retraining, what each costs", ask_payback, asked, ["retrain_every_weeks"])
    cadence: dict[str, Any] = {"retraining_usd": retraining or 0, "retrain_every_weeks": retrain_every_weeks}
    needed = {"effort_usd": effort}
    if within_weeks is not None:
        least = requests_per_week_needed(effort, saving_per_request, within_weeks, **cadence)
        needed["requests_per_week_needed"] = least
        volume = least if volume is None else volume
    return project_payback(effort, saving_per_request, volume or 0, **cadence), needed


def payback(answered: tuple[Any, dict[str, float]], asked: Any) -> Card:
    """Example: costlib payback --capex 392000 --cloud 14400 --owned 11543 --amortization 8166.67 --life-months 48

    Example: costlib payback --effort 20000 --saving-per-request 0.002 --requests-per-week 500000
    """
    found, needed = answered
    units = {} if asked.capex is None else {"units": {"irr_per_year": "share per year, 0.25 for 25 %"}}
    yield {**needed, **plain_types(found), **units, "kind": "derived"}
    values = {name: value for name, value in (needed | vars(found)).items() if name != "reason"}
    shown = {name: "-" if value is None else plain(value) for name, value in values.items()}
    if values.get("irr_per_year") is not None:
        shown["irr_per_year"] = f"{plain(100 * values['irr_per_year'])} %"
    body = [[name.replace("_", " "), text] for name, text in shown.items()]
    yield Table("payback", ["what", "value"], body, "months, weeks and USD as named; derived")
    if found.reason:
        yield f"  note: {found.reason}"
