"""Cards about studies and their reports: plan, monitor, run, report, batch, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, number, records

if TYPE_CHECKING:
    from costlib.figure import Figure
    from costlib.portfolio.plan import Plan
    from costlib.portfolio.watch import Looks
    from costlib.report.batch_result import BatchResult
    from costlib.report.checks import Check
    from costlib.report.run import RunResult


def ask_plan(study: str = "demo", *, store: str | None = None) -> Plan:
    """The portfolio: which option serves each workload, what it costs, and what would change the answer.

    Args:
        study: Study file, or the name of a shipped study.
        store: Folder of measurements [default: data/store].
    """
    from costlib.portfolio.plan import make_plan
    from costlib.store import Store
    from costlib.study import load_study

    return make_plan(load_study(study), Store(store))


def plan(made: Plan, asked: Any) -> Card:
    """Example: costlib plan data/studies/demo.yml"""
    yield made.document
    total = {side: records(made.totals.loc[[side]])[0] for side in ("plan", "baseline", "saving")}
    body = []
    for row in records(made.choices.sort_index()):
        best = f"{row['probability_best']:.0%}"
        body.append([row["workload"], row["option"], number(row, "usd_per_month"), best, str(row["runner_up"] or "-")])
    columns = ["workload", "option", "USD per month", "best in", "runner-up"]
    yield Table(made.study.title, columns, body, "derived; [95 % of draws]; 'best in' is the share of draws")
    yield from (f"  {side}: {number(row, 'usd_per_month')} USD per month" for side, row in total.items())
    everything, *each = records(made.information)
    if each and each[0]["usd_per_month"]:
        worth, most = (f"{number(row, 'usd_per_month')} USD per month" for row in (each[0], everything))
        what = f"{each[0]['factor']}, {each[0]['subject']}"
        yield f"  measure next: {what}: knowing it is worth {worth}; everything {most}"
    else:
        yield "  measure next: nothing; no uncertain number changes a choice"
    yield from (f"  note: {note}" for note in made.notes if note.startswith("Not "))


def monitor(made: Looks, asked: Any) -> Card:
    """Exits with 0 when every decision holds, with 1 when one does not or cannot be judged, so that cron or CI can act.

    Example: costlib monitor data/studies/demo.yml --no-answer
    """
    yield {name: getattr(made, name) for name in ("holds", "sentences", "alpha", "rows")} | {
        "study": made.study.name,
        "as_of": made.study.as_of,
        "looks": made.turns,
        "false_alarm_rate": made.study.monitor.false_alarm_rate,
        "kind": "derived",
    }
    rows = []
    for row in records(made.rows):
        what = row["workload"] if isinstance(row["workload"], str) else row["subject"]
        holds = {True: "yes", False: "no"}.get(row["holds"], "unknown")
        decision = row["decision"] if isinstance(row["decision"], str) else "-"
        evidence = [number(row, name) for name in ("n", "new_n", "score", "floor", "e_value")]
        rows.append([what, decision, holds, *evidence])
    columns = ["decision", "option in force", "holds", "items", "new", "score", "floor", "e-value"]
    caption = f"derived; an e-value of {1 / made.alpha:.4g} ever reached is an alarm; all streams together alarm "
    caption += f"falsely with a probability of at most {made.study.monitor.false_alarm_rate:g}"
    yield Table(f"{made.study.title}: decisions in force", columns, rows, caption)
    yield from (f"  {sentence}" for sentence in made.sentences or ["Every decision holds."])


def run(made: RunResult, asked: Any) -> Card:
    """Run it again to go on where it stopped.

    Example: costlib run data/studies/demo.yml
    """
    yield {"run_id": made.run_id, "files": list(made.files), "checks": list(made.checks)}
    failed = [check for check in made.checks if not check.ok]
    yield from (f"  check failed: {check.name}: {check.detail}" for check in failed)
    yield f"  {len(made.checks) - len(failed)} of {len(made.checks)} checks passed"
    yield from (f"  open {file}" for file in made.files if Path(file).name == "index.html")


def report(made: RunResult, asked: Any) -> Card:
    """Example: costlib report data/studies/demo.yml --out reports/demo"""
    yield from run(made, asked)


def batch(made: BatchResult, asked: Any) -> Card:
    """Run it again to go on where it stopped. Exits with 0 when every report is there and passes its checks, with 1
    when one does not, 2 before anything is written where the file, a study or a table is wrong.

    Example: costlib batch data/batches/demo.yml --workers 2
    """
    yield {name: getattr(made, name) for name in ("out", "workers", "ok", "index")} | {
        "batch": made.batch.file,
        "reports": [one.document() for one in made.reports],
    }
    rows = [[one.name, one.status, *(_told(one.totals[key]) for key in ("plan", "saving"))] for one in made.reports]
    columns = ["report", "status", "USD per month", "saving"]
    yield Table(made.batch.title, columns, rows, "derived; [95 % of draws]; wrong answers counted")
    yield from (f"  {one.name}: {one.reason}" for one in made.reports if not one.ok)
    yield f"  open {made.index}"


def check(found: list[Check], asked: Any) -> Card:
    """Example: costlib check reports/demo"""
    passed = sum(one.ok for one in found)
    yield {"folder": asked.folder, "ok": passed == len(found), "checks": found}
    yield from (f"  {'passed' if one.ok else 'FAILED'}  {one.name}: {one.detail}" for one in found)
    yield f"  {passed} of {len(found)} checks passed"


def _told(figure: Figure) -> str:
    return "-" if figure.value is None else figure.text().replace(f" {figure.unit}", "")
