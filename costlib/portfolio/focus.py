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

from costlib.cost.charges import Bought, Pool, Priced, api_charge, hosting_charges, usage_charges, without_discounts
from costlib.cost.focus import Row, dataset, next_month, target, totals, write
from costlib.errors import InputError, invalid_input, unused
from costlib.figure import Kind
from costlib.portfolio.api_use import api_use
from costlib.portfolio.offers import mean_request
from costlib.portfolio.options import supplies
from costlib.portfolio.plan import Plan, make_plan
from costlib.portfolio.supply import PricedOption, rented
from costlib.prices.book import PriceBook, load_book
from costlib.prices.hardware import measured_offers
from costlib.read import iso_date, read_rows
from costlib.store import Store
from costlib.study import DistilledOption, SelfHosted, load_study

_HOUR = Decimal("1e-9")
OWNED_COLUMNS = ("option", "paid_usd", "listed_usd", "residual_usd", "life_hours", "bought_on")


def plan_charges(
    plan: Plan,
    store: Store | None = None,
    *,
    month: date | None = None,
    owned: Mapping[str, Bought] | None = None,
) -> list[Row]:
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
            raise invalid_input(
                "option", name, f"a pool of the plan at rate_kind owned: {', '.join(known) or 'it has none'}"
            )
    for pool in pools:
        charges += hosting_charges(pool, start, end)
    return charges


def _api(plan: Plan, book: PriceBook, start: date, end: date) -> list[Row]:
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


def _pool(plan: Plan, row: Any, supply: PricedOption, owned: Mapping[str, Bought]) -> Pool:
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
    hours = Decimal(int(row["replicas_count"])) * Decimal(repr(plan.study.assume("hours_per_month")))
    hourly = Decimal(repr(float(row["usd_per_hour"]))).quantize(_HOUR)
    rated: dict[str, Kind] = {"assumed": "assumed", "derived": "derived"}
    return Pool(
        name=supply.name,
        model=str(supply.model) if isinstance(option, DistilledOption) else option.model,
        provider="own hardware" if option.rate_kind == "owned" else str(row["rate_provider"]),
        device=supply.device if supply.devices == 1 else f"{supply.devices} x {supply.device}",
        rate_kind=option.rate_kind,
        replicas=int(row["replicas_count"]),
        hours=hours,
        usd_per_hour=hourly,
        listed_usd_per_hour=_listed(supply, row, plan, hourly),
        used=used,
        idle=_idle(hours - sum(busy.values(), Decimal(0)), busy),
        kind=rated.get(str(row["rate_kind"]), "quoted"),
        source=f"{row['rate_source']} ({row['rate_observed_on']})",
        bought=owned.get(supply.name),
    )


def _asked(plan: Plan, workload: str, option: str) -> Decimal:
    """Share of the workload's requests that the plan sends to an option."""
    rows = plan.serving[(plan.serving["workload"] == workload) & (plan.serving["stage"] == option)]
    return sum((Decimal(repr(share)) for share in rows["asked_share"].tolist()), Decimal(0))


def _idle(hours: Decimal, busy: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Idle hours by workload, in proportion to busy ones, as the plan shares them; the largest takes the rest."""
    whole = sum(busy.values(), Decimal(0))
    parts = {name: (hours * part / whole).quantize(_HOUR) for name, part in busy.items()}
    parts[max(busy, key=lambda name: busy[name])] += hours - sum(parts.values(), Decimal(0))
    return parts


def _listed(supply: PricedOption, row: Any, plan: Plan, hourly: Decimal) -> Decimal:
    """The published on-demand price of the hour of a replica, of the same provider or the cheapest one, where any is.

    What nobody sells on demand is listed at what is paid.
    """
    if row["rate_commitment"] in ("on_demand", "owned"):
        return hourly
    for provider in (row["rate_provider"], None):
        try:
            found = measured_offers(supply.device, provider=provider, as_of=plan.study.as_of)
        except InputError:
            continue
        replicas = int(row["replicas_count"])
        return (rented(supply, found, supply.devices).rent(replicas).usd_per_hour / replicas).quantize(_HOUR)
    return hourly


def read_owned(path: Path | str) -> dict[str, Bought]:
    """Hardware bought for pools, by option: a CSV with the columns `OWNED_COLUMNS`, amounts in US dollars.

    Raises `InputError` naming file, line and field.
    """
    found: dict[str, Bought] = {}
    for row in read_rows(Path(path), OWNED_COLUMNS):
        name = row.text("option")
        if name in found:
            raise invalid_input("option", name, "a name no other line has", row.where)
        numbers = {field: row.number(field, zero=field == "residual_usd") for field in OWNED_COLUMNS[1:5]}
        try:
            found[name] = Bought(**numbers, on=row.day("bought_on"))
        except InputError as error:
            raise error if str(error).startswith(row.where) else InputError(f"{row.where}: {error}") from None
    return found


def focus(
    study: str | None = None,
    *,
    out: str,
    usage: str | None = None,
    columns: Mapping[str, str] | None = None,
    month: str | None = None,
    owned: str | None = None,
    account: str = "costlib",
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """Export a plan, or a period of usage, as FOCUS 1.2: one row per model, workload, kind of token and period.

    Args:
        study: Study whose plan is exported; leave out with --usage.
        out: File to write, .csv or .parquet.
        usage: Log or table of requests to export instead.
        columns: FIELD=COLUMN of a log whose export is not recognised; again for each field.
        month: Month of the plan, YYYY-MM [default: the study's].
        owned: CSV of hardware bought: option, paid_usd, listed_usd, ...
        account: BillingAccountId of every row.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        tier: Tier of usage rows that name none.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        store: Folder of measurements [default: data/store].
    """
    asked = dict(locals())
    if (study is None) == (usage is None):
        raise invalid_input("STUDY and --usage", (study, usage), "one of the two")
    target(out)
    left_out: dict[str, Any] = {}
    if usage is not None:
        unused("beside --usage", focus, asked, ("month", "owned", "store"))
        named: dict[str, Any] = {"provider": provider, "tier": tier, "as_of": as_of}
        charges, unpriced, notes = usage_charges(load_book(), usage, columns=columns, **named)
        left_out = {"unpriced": unpriced, "notes": notes}
    else:
        unused("without --usage", focus, asked, ("columns", "provider", "tier", "as_of"))
        first = None if month is None else iso_date(f"{month}-01")
        if month is not None and first is None:
            raise invalid_input("--month", month, "a month as YYYY-MM")
        hardware, kept = None if owned is None else read_owned(owned), Store(store)
        charges = plan_charges(make_plan(load_study(str(study)), kept), kept, month=first, owned=hardware)
    frame = dataset(charges, account=account)
    write(frame, out)
    return {
        "file": out,
        "focus_version": "1.2",
        "rows": len(frame),
        "billing_periods": sorted({str(day) for day in frame["BillingPeriodStart"]}),
        "currency": "USD",
        "totals": totals(frame),
        **left_out,
        "kind": "derived",
        "source": f"study {study}" if usage is None else usage,
    }
