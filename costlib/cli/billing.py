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
    remarks,
    table,
    usd,
)
from costlib.errors import InputError, bad, unused


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
            print(*remarks(**left_out), sep=chr(10))
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


COMMANDS = (focus,)
