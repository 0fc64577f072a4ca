"""A plan as FOCUS charges: what its APIs and machines would bill in a month.

Exported is what somebody would invoice: tokens at APIs, hours of machines, busy and idle. People, judging, expected
misses, evaluation and operations are costs of the plan too, but no charge of a provider, and are left out; the
effective cost of the export is the plan's inference and idle cost without judging, to the cent per API workload and per
pool. A plan's month has the hours the study states (730), whatever month it is exported for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.cost.api_charges import Priced, api_charge, without_discounts
from costlib.cost.focus import Charge
from costlib.cost.focus_rules import next_month
from costlib.cost.hosting_charges import Bought, Pool, hosting_charges
from costlib.errors import InputError, bad
from costlib.figure import Kind
from costlib.portfolio.api_use import api_use
from costlib.portfolio.offers import mean_request
from costlib.portfolio.options import supplies
from costlib.portfolio.plan import Plan
from costlib.portfolio.supply import Supply
from costlib.prices.book import PriceBook, load_book
from costlib.prices.rates import Rate, load_rates, rate
from costlib.read import read_rows
from costlib.store import Store
from costlib.study import DistilledOption, SelfHosted

_HOUR = Decimal("1e-9")
_CPU_ROW = "CPU 2 cores"
OWNED_COLUMNS = ("option", "paid_usd", "listed_usd", "residual_usd", "life_hours", "bought_on")


def plan_charges(
    plan: Plan,
    store: Store | None = None,
    *,
    month: date | None = None,
    owned: Mapping[str, Bought] | None = None,
) -> list[Charge]:
    """The charges of one month (default: that of the study's date).

    `store` is the one the plan was made from. `owned` tells, by option, what owned hardware of a pool cost; without it
    its hours are effective cost that bills nothing. Raises `InputError` for an option in `owned` that the plan does not
    run on owned machines.
    """
    start = (month or plan.study.as_of).replace(day=1)
    end = next_month(start)
    charges = _api(plan, load_book(), start, end)
    found = {supply.name: supply for supply in supplies(plan.study, store)}
    pools = [_pool(plan, row, found[row["pool"]], owned or {}) for row in plan.pools.to_dict("records")]
    for name in owned or {}:
        known = [pool.name for pool in pools if pool.rate_kind == "owned"]
        if name not in known:
            raise bad("option", name, f"a pool of the plan at rate_kind owned: {', '.join(known) or 'it has none'}")
    for pool in pools:
        charges += hosting_charges(pool, start, end)
    return charges


def _api(plan: Plan, book: PriceBook, start: date, end: date) -> list[Charge]:
    prices = {price.id: price for price in book.prices}
    published = without_discounts(book)
    charges = []
    for use in api_use(plan).to_dict("records"):
        request = mean_request(book, use, plan.study.as_of)
        try:
            listed = {line.kind: line for line in mean_request(published, use, plan.study.as_of).lines}
        except InputError:  # a model or day that only our own entries price
            listed = {}
        for line in request.lines:
            both = [
                Priced(one.price_id, one.usd_per_mtok, prices[one.price_id].kind, prices[one.price_id].source)
                for one in (line, listed.get(line.kind, line))
            ]
            charges.append(
                api_charge(
                    request.provider,
                    request.model,
                    request.tier,
                    line.kind,
                    line.tokens * use["requests_per_month"],
                    both[0],
                    workload=use["workload"],
                    start=start,
                    end=end,
                    listed=both[1],
                )
            )
    return charges


def _pool(plan: Plan, row: Any, supply: Supply, owned: Mapping[str, Bought]) -> Pool:
    option = supply.option
    assert isinstance(option, SelfHosted)
    assert supply.prefill_tokens_per_s is not None
    used: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    busy: dict[str, Decimal] = {}
    speeds = {"input": supply.prefill_tokens_per_s[1]}
    speeds |= {} if supply.decode_tokens_per_s is None else {"output": supply.decode_tokens_per_s[1]}
    for workload in plan.workloads.to_dict("records"):
        share = _asked(plan, workload["workload"], supply.name)
        if not share:
            continue
        for kind, speed in speeds.items():
            tokens = Decimal(repr(float(workload["requests_per_month"]))) * share * int(workload[f"{kind}_tokens"])
            hours = (tokens / Decimal(repr(speed)) / 3600).quantize(_HOUR)
            used[workload["workload"], kind] = (hours, tokens)
            busy[workload["workload"]] = busy.get(workload["workload"], Decimal(0)) + hours
    hours = Decimal(int(row["replicas"])) * Decimal(repr(plan.study.assume("hours_per_month")))
    hourly = Decimal(repr(float(row["usd_per_hour"]))).quantize(_HOUR)
    provider, listed = _provider(supply, option, plan, hourly)
    rated: dict[str, Kind] = {"assumed": "assumed", "derived": "derived"}
    return Pool(
        name=supply.name,
        model=str(supply.model) if isinstance(option, DistilledOption) else option.model,
        provider=provider,
        device=supply.device if supply.devices == 1 else f"{supply.devices} x {supply.device}",
        rate_kind=option.rate_kind,
        replicas=int(row["replicas"]),
        hours=hours,
        usd_per_hour=hourly,
        listed_usd_per_hour=listed,
        used=used,
        idle=_idle(hours - sum(busy.values(), Decimal(0)), busy),
        kind=rated.get(str(row["rate_kind"]), "quoted"),
        source=str(row["rate_source"]),
        bought=owned.get(supply.name),
    )


def _asked(plan: Plan, workload: str, option: str) -> Decimal:
    """Share of the workload's requests that the plan sends to an option."""
    rows = plan.serving[(plan.serving["workload"] == workload) & (plan.serving["stage"] == option)]
    return sum(rows["asked"], Decimal(0))


def _idle(hours: Decimal, busy: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Idle hours by workload, in proportion to busy ones, as the plan shares them; the largest takes the rest."""
    whole = sum(busy.values(), Decimal(0))
    parts = {name: (hours * part / whole).quantize(_HOUR) for name, part in busy.items()}
    parts[max(busy, key=lambda name: busy[name])] += hours - sum(parts.values(), Decimal(0))
    return parts


def _provider(supply: Supply, option: SelfHosted, plan: Plan, hourly: Decimal) -> tuple[str, Decimal]:
    """Who rents the machine out, and the published on-demand price of its hour (the price paid where there is none)."""
    if option.rate_kind == "owned":
        return "own hardware", hourly
    device = supply.device if supply.device in {known.device for known in load_rates()} else _CPU_ROW
    paid = rate(device, option.rate_kind, option.rate_provider, as_of=plan.study.as_of)
    if option.rate_kind == "on_demand":
        return paid.provider, hourly
    on_demand = _on_demand(device, paid.provider, plan)
    if on_demand is None:
        return paid.provider, hourly
    return paid.provider, (hourly * on_demand.usd_per_hour / paid.usd_per_hour).quantize(_HOUR)


def _on_demand(device: str, provider: str, plan: Plan) -> Rate | None:
    for of in (provider, None):
        try:
            return rate(device, "on_demand", of, as_of=plan.study.as_of)
        except InputError:
            continue
    return None


def read_owned(path: Path | str) -> dict[str, Bought]:
    """Hardware bought for pools, by option: a CSV with the columns `OWNED_COLUMNS`, amounts in US dollars.

    Raises `InputError` naming file, line and field.
    """
    found: dict[str, Bought] = {}
    for row in read_rows(Path(path), OWNED_COLUMNS):
        name = row.text("option")
        if name in found:
            raise bad("option", name, "a name no other line has", row.where)
        numbers = {field: row.number(field, zero=field == "residual_usd") for field in OWNED_COLUMNS[1:5]}
        try:
            found[name] = Bought(**numbers, on=row.day("bought_on"))
        except InputError as error:
            raise error if str(error).startswith(row.where) else InputError(f"{row.where}: {error}") from None
    return found
