"""What would change the answer: where choices turn, which factors move the plan, and what was assumed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from costlib.figure import Figure, Kind
from costlib.report.chart import Chart
from costlib.report.decisions import flips, tornado
from costlib.report.ledger import Html
from costlib.report.page import cited, figure_of, records
from costlib.report.plan_page import STATED, PlanPage

_MEASURE_NEXT = 8
_SOLVED = "solved exactly from stated numbers"
_WORKLOAD_COLUMNS = {
    "requests_per_month": ("Volume", "requests/month"),
    "input_tokens": ("Input", "tokens"),
    "cached_tokens": ("of it cached", "tokens"),
    "output_tokens": ("Output", "tokens"),
    "latency_limit_s": ("Answer within", "s"),
    "quality_floor": ("Success at least", "share"),
    "miss_cost_usd": ("A miss costs", "USD/miss"),
}


class DoubtPage(PlanPage):
    """Flips, sensitivity and assumptions of a plan."""

    def _turns(self, factor: str) -> list[dict[str, Any]]:
        rows = [row for row in records(self.plan.flips) if row["factor"] == factor and row["flips_at"] and row["now"]]
        return sorted(rows, key=lambda row: abs(math.log(row["flips_at"] / float(row["now"]))))

    def flips_heading(self) -> Html:
        """The choice that is closest to turning, by the cost of a miss."""
        rows = self._turns("miss cost")
        if not rows:
            return self.heading("No cost of a miss would change the plan")
        near = rows[0]
        at, now = self.derived(near["flips_at"], near["unit"], _SOLVED), self.stated(float(near["now"]), near["unit"])
        sentence = "{name} turns first: at {at}, not {now:bare}"
        return self.heading(sentence, name=near["workload"], at=at, now=now)

    def flips_chart(self) -> Chart | Html:
        """The cost of a miss now, and where it would turn the choice."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(self._turns("miss cost"), key=lambda row: -float(row["now"])):
            found.setdefault(row["workload"], []).append(row)
        rows = [
            (name, self.stated(float(both[0]["now"]), "USD/miss"),
             [(self.derived(r["flips_at"], "USD/miss", _SOLVED), r["to_option"]) for r in both])
            for name, both in found.items()
        ]  # fmt: skip
        if not rows:
            return self.text("Every choice holds at any cost of a miss.")
        every = self.plan.flips["workload"].nunique() == len(self.plan.workloads)
        which = "that is not listed" if every else "of flips.csv that is not listed"
        return Chart(
            "flips",
            "Where a dearer or cheaper miss turns the choice",
            "USD for one miss. Dot: as stated; diamond: where the named option takes over, the whole plan made anew",
            f"Source: {self.source}. A workload {which} keeps its choice at any cost of a miss.",
            "Dot chart of the cost of a miss by workload where diamonds mark the cost that turns the choice",
            flips(self.ledger, "flips", rows, "USD for one miss, logarithmic"),
        )

    def flips_table(self) -> Html:
        """Flips within reach: success rates inside their interval, prices and volumes within a factor of two."""
        rows = []
        chosen = {row["workload"]: row for row in self.chosen}
        for factor in ("success rate", "volume", "price of the choice", "price of the runner-up"):
            for r in self._turns(factor):
                at, now, row = r["flips_at"], float(r["now"]), chosen[r["workload"]]
                here: Figure | str
                if factor == "success rate":
                    near = row["success_rate_low"] <= at <= row["success_rate_high"]
                    here, by = self.success(row), self.derived(abs(at - now), "points", _SOLVED)
                else:
                    near = 0.5 <= at / now <= 2
                    here = self.stated(now, r["unit"]) if factor == "volume" else "as it is"
                    by = self.derived(abs(at / now - 1), "share", _SOLVED)
                line = {
                    "what": f"{r['workload']} · {factor} {r['direction']}",
                    "Workload": r["workload"],
                    "If this changes": f"{factor} {'falls' if at < now else 'rises'}",
                    "from": here,
                    "by at least": by,
                    "then served by": r["to_option"],
                }
                rows += [line] if near else []
        caption = "Other flips within reach, one change at a time, the whole plan made anew (all are in flips.csv)"
        return self.table("flip-list", caption, rows, mixed=("from", "by at least"))

    def sensitivity_heading(self) -> Html:
        """The factor that moves the plan most."""
        if not self._moving:
            return self.heading("No factor with a range moves the plan")
        top = self._moving[0]
        low, high = sorted((top["plan_usd_low"], top["plan_usd_high"]))
        sentence = "{factor} moves the plan most: from {low:bare} to {high}"
        return self.heading(sentence, factor=top["factor"].capitalize(), low=self.derived(low), high=self.derived(high))

    @property
    def _moving(self) -> list[dict[str, Any]]:
        return [row for row in records(self.plan.sensitivity) if row["swing_usd"]]

    def sensitivity_chart(self) -> Html:
        """One factor at a time between its ends, the plan unchanged."""
        found = self._moving[:9]
        if not found:
            return self.text("There is no range to draw.")
        rows = [
            (r["factor"], *((f"{r[end]:.3g}", self.derived(r[f"plan_usd_{end}"])) for end in ("low", "high")))
            for r in found
        ]
        chart = Chart(
            "sensitivity",
            f"{found[0]['factor'].capitalize()} moves the plan most",
            "USD per month of the plan when one factor moves between the ends of its range and the choices stay",
            f"Source: {self.source}; the ranges are in the table of assumptions.",
            f"Tornado chart of plan cost by factor where {found[0]['factor']} moves it most",
            tornado(self.ledger, "sensitivity", rows, ("Plan", self.total("plan")), "USD per month"),
        )
        return chart.html()

    def measure_next(self) -> Html:
        """What would be worth knowing before the plan is made: a sentence and a table, in $ per month."""
        everything, *each = records(self.plan.information)
        rows = [row for row in each if row["usd_per_month_low"]][:_MEASURE_NEXT]
        if not rows:
            return self.text("Nothing is worth measuring first: in these draws no single number changes a choice.")
        total: dict[str, Any] = {"Number": "Everything at once", "Worth knowing": self.cost(everything)}
        lines: list[dict[str, Any]] = [
            {
                "Number": f"{row['factor'].capitalize()}: {row['subject']}",
                "Worth knowing": self.cost(row),
                "could change the choice for": row["could_change"],
            }
            for row in rows
        ]
        caption = (
            "What to measure next: expected value of knowing each number before choosing "
            f"({self.study.draws:,} joint draws; the interval is of the simulation)"
        )
        table = self.table("measure-next", caption, lines, total=total)
        sentence = self.text(
            "A wide bar moves the bill; only what can move a choice is worth finding out. Measure the {factor} of "
            "{subject} next: choosing in the dark costs {usd} there, of {all} for everything that is uncertain.",
            factor=rows[0]["factor"],
            subject=rows[0]["subject"],
            usd=lines[0]["Worth knowing"],
            all=total["Worth knowing"],
        )
        return Html(f"{sentence}{table}")

    def remarks(self) -> Html:
        """How the plan was made."""
        return Html(f'<ul class="note-line">{"".join(f"<li>{cited(note)}</li>" for note in self.plan.notes[1:])}</ul>')

    def workloads_table(self) -> Html:
        """What was asked for."""
        rules = self.study.workload_columns

        def cell(row: Mapping[str, Any], key: str, unit: str) -> Figure:
            kind: Kind = rules[key].kind if key in rules else "assumed"
            source = rules[key].source if key in rules else row["source"]
            reason = "no limit" if row[key] is None else STATED
            return figure_of(row, key, unit, kind=kind, source=source, reason=reason)

        rows = [
            {"Workload": row["workload"]}
            | {title: cell(row, key, unit) for key, (title, unit) in _WORKLOAD_COLUMNS.items()}
            for row in records(self.plan.workloads)
        ]
        return self.table("workloads", "The workloads as stated", rows)

    def assumptions_table(self) -> Html:
        """Every assumption with its range, kind and source; those of use cases nobody serves yet in a table beside."""
        rows: list[dict[str, Any]] = []
        cases: dict[str, dict[str, Any]] = {}
        for r in records(self.plan.assumptions):
            ends = (r["low"], r["high"], None) if r["low"] != r["high"] else (None, None, "no range stated")
            source = r["source"] if r["use_case"] is None else f"{r['source']}; {r['meaning']}"
            value = Figure(r["value"], r["unit"] or "ratio", r["kind"], source, *ends)
            name = _spelt(str(r["name"]))
            if r["use_case"] is None:
                known = cited(f"{r['meaning']}; {source}")
                rows.append({"Assumption": name, "Value and range": value, "Meaning and source": known})
            else:
                cases.setdefault(name, {"Assumption": name})[r["use_case"]] = value
        caption = "Assumptions, with the range each is believed to lie in"
        stated = self.table("assumptions", caption, rows, mixed=("Value and range",))
        caption = "Use cases nobody serves yet, as stated, with the range each number is believed to lie in"
        mixed = [name for row in cases.values() for name in row]
        return Html(f"{stated}{self.table('use-cases', caption, list(cases.values()), mixed=mixed)}")


def _spelt(name: str) -> str:
    """A column's name as words: its unit stands beside the number."""
    words = re.sub(r"_(usd|s)$", "", name).replace("_usd_per_", "_cost_per_").replace("_", " ")
    return words[0].upper() + words[1:]
