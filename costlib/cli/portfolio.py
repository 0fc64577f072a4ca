"""Commands about a whole study: plan, run, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from costlib.cli.show import Json, StoreOption, answer, number, table, watching


def plan(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """The portfolio: which option serves each workload, what it costs, and what would change the answer.

    Example: costlib plan data/studies/demo.yml
    """
    from costlib.portfolio.plan import make_plan
    from costlib.store import Store
    from costlib.study import load_study

    made = make_plan(load_study(study), Store(store))

    def total(side: str) -> dict[str, Any]:
        rows = made.totals
        row = rows[(rows["side"] == side) & (rows["part"] == "total")].iloc[0]
        return {str(key): value for key, value in row.to_dict().items()}

    def show() -> None:
        body = []
        for row in made.assignments.to_dict("records"):
            best = f"{row['probability_best']:.0%}"
            body.append(
                [row["workload"], row["option"], number(row, "usd_per_month"), best, str(row["runner_up"] or "-")]
            )
        columns = ["workload", "option", "USD per month", "best in", "runner-up"]
        table(made.study.title, columns, body, "derived; [95 % of draws]; 'best in' is the share of draws")
        for side in ("plan", "baseline", "saving"):
            print(f"  {side}: {number(total(side), 'usd_per_month')} USD per month")
        everything, *each = made.information.to_dict("records")
        if each and each[0]["usd_per_month"]:
            what = f"{each[0]['factor']}, {each[0]['subject']}"
            worth, most = (f"{number(row, 'usd_per_month')} USD per month" for row in (each[0], everything))
            print(f"  measure next: {what}: knowing it is worth {worth}; everything {most}")
        else:
            print("  measure next: nothing; no uncertain number changes a choice")
        for note in made.notes:
            if note.startswith("Not "):
                print(f"  note: {note}")

    document = {
        "study": made.study.name,
        "as_of": made.study.as_of,
        "currency": made.study.currency,
        "assignments": made.assignments,
        "total": total("plan"),
        "baseline": total("baseline"),
        "saving": total("saving"),
        "interval": {"low": total("plan")["usd_per_month_low"], "high": total("plan")["usd_per_month_high"]},
        "gap": made.gap,
        "alternatives": made.alternatives,
        "flips": made.flips,
        "sensitivity": made.sensitivity,
        "saving_by_cause": made.saving_by_cause,
        "information": made.information,
        "value": made.value,
        "notes": list(made.notes),
    }
    answer(document, as_json, show)


def run(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    out: Annotated[str | None, typer.Option(help="Folder of the report [default: reports/STUDY].")] = None,
    store: StoreOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what is missing, evaluate, plan and report; run it again to go on where it stopped.

    Example: costlib run data/studies/demo.yml
    """
    _report(study, out, store, fresh=fresh, report_only=False, as_json=as_json)


def report(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    out: Annotated[str | None, typer.Option(help="Folder of the report [default: reports/STUDY].")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write the report from what is stored; nothing is measured.

    Example: costlib report data/studies/demo.yml --out reports/demo
    """
    _report(study, out, store, fresh=False, report_only=True, as_json=as_json)


def _report(study: str, out: str | None, store: str | None, *, fresh: bool, report_only: bool, as_json: bool) -> None:
    from costlib.report.run import run as make

    with watching(as_json) as progress:
        made = make(study, out=out, store=store, fresh=fresh, report_only=report_only, progress=progress)

    def show() -> None:
        failed = [check for check in made.checks if not check.ok]
        for check in failed:
            print(f"  check failed: {check.name}: {check.detail}")
        print(f"  {len(made.checks) - len(failed)} of {len(made.checks)} checks passed")
        index = next((file for file in made.files if Path(file).name == "index.html"), None)
        if index:
            print(f"  open {index}")

    answer({"run_id": made.run_id, "files": list(made.files), "checks": list(made.checks)}, as_json, show)
    if not all(check.ok for check in made.checks):
        raise typer.Exit(1)


COMMANDS = (plan, run, report)
