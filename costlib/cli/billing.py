"""Commands about what is paid back and what is billed: payback, focus."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import (
    AsOf,
    Columns,
    Json,
    Provider,
    StoreOption,
    answer,
    columns_of,
    plain_types,
    remarks,
    table,
    usd,
)
from costlib.errors import InputError, bad, unused
from costlib.figure import plain


def payback(
    capex: Annotated[float | None, typer.Option(help="$ paid at the start for owned hardware.")] = None,
    saving_per_month: Annotated[float | None, typer.Option(help="$ a month it saves.")] = None,
    cloud: Annotated[float | None, typer.Option(help="$ a month the cloud costs instead.")] = None,
    owned: Annotated[float | None, typer.Option(help="$ a month owning costs.")] = None,
    amortization: Annotated[float | None, typer.Option(help="Part of --owned that is the capital, spread.")] = None,
    life_months: Annotated[int | None, typer.Option(help="Months it lasts; NPV and IRR need it.")] = None,
    discount_rate: Annotated[float | None, typer.Option(help="Yearly discount rate, e.g. 0.08.")] = None,
    residual: Annotated[float | None, typer.Option(help="$ it is sold for in the end.")] = None,
    effort: Annotated[float | None, typer.Option(help="$ of a distillation or migration; or its parts:")] = None,
    teacher_mtok: Annotated[float | None, typer.Option(help="Million tokens a teacher writes.")] = None,
    teacher_usd_per_mtok: Annotated[float | None, typer.Option(help="$ per million of them.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(help="Hours of training.")] = None,
    usd_per_gpu_hour: Annotated[float | None, typer.Option(help="$ of each.")] = None,
    people_hours: Annotated[float | None, typer.Option(help="Hours of people.")] = None,
    usd_per_people_hour: Annotated[float | None, typer.Option(help="$ of each.")] = None,
    saving_per_request: Annotated[float | None, typer.Option(help="$ it saves on each request.")] = None,
    requests_per_week: Annotated[float | None, typer.Option(help="Requests it serves a week.")] = None,
    within_weeks: Annotated[float | None, typer.Option(help="Asks for the volume that pays it back by then.")] = None,
    retraining: Annotated[float | None, typer.Option(help="$ of each retraining.")] = None,
    retrain_every_weeks: Annotated[float | None, typer.Option(help="Weeks between retrainings.")] = None,
    as_json: Json = False,
) -> None:
    """When capital, a distilled model or a migration pays back: payback, NPV and IRR, retraining included.

    Example: costlib payback --capex 392000 --cloud 14400 --owned 11543 --amortization 8166.67 --life-months 48

    Example: costlib payback --effort 20000 --saving-per-request 0.002 --requests-per-week 500000
    """
    asked = dict(locals())
    from costlib.cost.payback import distillation_effort_usd, owned_payback, project_payback, requests_per_week_needed
    from costlib.cost.payback import payback as capital_payback

    capital = ["capex", "saving_per_month", "cloud", "owned", "amortization", "life_months"]
    capital += ["discount_rate", "residual"]
    parts = {"--teacher-mtok": teacher_mtok, "--teacher-usd-per-mtok": teacher_usd_per_mtok,
             "--gpu-hours": gpu_hours, "--usd-per-gpu-hour": usd_per_gpu_hour,
             "--people-hours": people_hours, "--usd-per-people-hour": usd_per_people_hour}  # fmt: skip
    project = [name for name in asked if name not in (*capital, "as_json")]
    found: Any
    needed: dict[str, float] = {}
    if capex is not None:
        unused("beside --capex", payback, asked, project)
        if life_months is None:
            unused("without --life-months, at the end of which it is sold", payback, asked, ["residual"])
        terms: dict[str, Any] = {
            "life_months": life_months,
            "discount_rate_per_year": discount_rate or 0,
            "residual_usd": residual or 0,
        }
        if saving_per_month is not None and cloud is None and owned is None:
            unused("beside --saving-per-month", payback, asked, ["amortization"])
            found = capital_payback(capex, saving_per_month, **terms)
        elif saving_per_month is None and cloud is not None and owned is not None:
            found = owned_payback(capex, cloud, owned, amortization_usd_per_month=amortization or 0, **terms)
        else:
            given = {"--saving-per-month": saving_per_month, "--cloud": cloud, "--owned": owned}
            shown = ", ".join(name for name, value in given.items() if value is not None) or "nothing"
            raise bad("beside --capex", shown, "--saving-per-month, or both --cloud and --owned")
    else:
        if any(value is not None for value in parts.values()):
            spent = distillation_effort_usd(**{name[2:].replace("-", "_"): value or 0 for name, value in parts.items()})
            if effort is not None:
                raise bad("--effort and its parts", (effort, spent), "one of the two, not both")
            names = list(parts)
            for amount, price in zip(names[::2], names[1::2], strict=True):
                if parts[amount] is None:
                    unused(f"without {amount}", payback, asked, [price[2:].replace("-", "_")])
            effort = spent
        volume = requests_per_week
        if effort is None or saving_per_request is None or (volume is None and within_weeks is None):
            allowed = "--capex with --saving-per-month, or with --cloud and --owned; or --effort, --saving-per-request "
            raise InputError(f"amounts are missing; allowed: {allowed}and --requests-per-week or --within-weeks")
        unused("beside --effort", payback, asked, capital)
        if retraining is None:
            unused("without --retraining, what each costs", payback, asked, ["retrain_every_weeks"])
        cadence: dict[str, Any] = {"retraining_usd": retraining or 0, "retrain_every_weeks": retrain_every_weeks}
        needed["effort_usd"] = effort
        if within_weeks is not None:
            least = requests_per_week_needed(effort, saving_per_request, within_weeks, **cadence)
            needed["requests_per_week_needed"] = least
            volume = least if volume is None else volume
        found = project_payback(effort, saving_per_request, volume or 0, **cadence)

    def show() -> None:
        values = {name: value for name, value in (needed | vars(found)).items() if name != "reason"}
        shown = {name: "-" if value is None else plain(value) for name, value in values.items()}
        if values.get("irr_per_year") is not None:
            shown["irr_per_year"] = f"{plain(100 * values['irr_per_year'])} %"
        body = [[name.replace("_", " "), text] for name, text in shown.items()]
        table("payback", ["what", "value"], body, "months, weeks and USD as named; derived")
        if found.reason:
            print(f"  note: {found.reason}")

    units = {} if capex is None else {"units": {"irr_per_year": "share per year, 0.25 for 25 %"}}
    answer({**needed, **plain_types(found), **units, "kind": "derived"}, as_json, show)


def focus(
    study: Annotated[str | None, typer.Argument(help="Study whose plan is exported; leave out with --usage.")] = None,
    out: Annotated[str | None, typer.Option(help="File to write, .csv or .parquet.")] = None,
    usage: Annotated[str | None, typer.Option(help="Log or table of requests to export instead.")] = None,
    column: Columns = None,
    month: Annotated[str | None, typer.Option(help="Month of the plan, YYYY-MM [default: the study's].")] = None,
    owned: Annotated[str | None, typer.Option(help="CSV of hardware bought: option, paid_usd, listed_usd, ...")] = None,
    account: Annotated[str, typer.Option(help="BillingAccountId of every row.")] = "costlib",
    provider: Provider = None,
    tier: Annotated[str, typer.Option(help="Tier of usage rows that name none.")] = "standard",
    as_of: AsOf = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Export a plan, or a period of usage, as FOCUS 1.2: one row per model, workload, kind of token and period.

    Example: costlib focus demo --out focus.csv

    Example: costlib focus --usage requests.csv --out focus.parquet
    """
    asked = dict(locals())
    from costlib.cost.focus import dataset, target, totals, write

    if (study is None) == (usage is None):
        raise bad("STUDY and --usage", (study, usage), "one of the two")
    if out is None:
        raise InputError("Missing --out; allowed: a file that ends in .csv or .parquet")
    target(out)
    left_out: dict[str, Any] = {}
    if usage is not None:
        unused("beside --usage", focus, asked, ("month", "owned", "store"))
        from costlib.cost.api_charges import usage_charges
        from costlib.prices.book import load_book

        named: dict[str, Any] = {"provider": provider, "tier": tier, "as_of": as_of}
        charged = usage_charges(load_book(), usage, columns=columns_of(column), **named)
        charges, left_out = charged.charges, {"unpriced": charged.unpriced, "notes": charged.notes}
    else:
        unused("without --usage", focus, asked, ("column", "provider", "tier", "as_of"))
        charges = _plan_charges(str(study), store, month, owned)
    frame = dataset(charges, account=account)
    write(frame, out)
    costs = totals(frame)
    periods = sorted({str(day) for day in frame["BillingPeriodStart"]})

    def show() -> None:
        body = [[name, usd(total)] for name, total in costs.items()]
        body.append(["ListCost less ContractedCost", usd(costs["ListCost"] - costs["ContractedCost"])])
        table(f"FOCUS 1.2, {len(frame)} rows", ["cost", "USD"], body, f"billing periods from {', '.join(periods)}")
        if left_out:
            remarks(**left_out)
        print(f"  wrote {out}")

    document = {
        "file": out,
        "focus_version": "1.2",
        "rows": len(frame),
        "billing_periods": periods,
        "currency": "USD",
        "totals": costs,
        **left_out,
        "kind": "derived",
        "source": f"study {study}" if usage is None else usage,
    }
    answer(document, as_json, show)


def _plan_charges(study: str, store: str | None, month: str | None, owned: str | None) -> Any:
    from costlib.portfolio.focus import plan_charges, read_owned
    from costlib.portfolio.plan import make_plan
    from costlib.read import iso_date
    from costlib.store import Store
    from costlib.study import load_study

    first = None if month is None else iso_date(f"{month}-01")
    if month is not None and first is None:
        raise bad("--month", month, "a month as YYYY-MM")
    hardware = None if owned is None else read_owned(owned)
    kept = Store(store)
    return plan_charges(make_plan(load_study(study), kept), kept, month=first, owned=hardware)


COMMANDS = (payback, focus)
