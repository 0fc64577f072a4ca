"""What the portfolio notebook shows: the answer, the plan by workload and what it saves.

`portfolio_page` makes the plan of a study; each method returns one piece for a notebook cell. Four more pages share
its ledger: `measured` (the measurements), `market` (prices, break-even), `doubt` (what would change the answer) and
`value` (which use cases pay).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from costlib.figure import Figure
from costlib.portfolio.options import supplies
from costlib.report.chart import PALETTE, Chart, short
from costlib.report.doubt_page import DoubtPage
from costlib.report.figures import Part, matrix, stacked, waterfall
from costlib.report.ledger import Html, as_json
from costlib.report.market_page import MarketPage
from costlib.report.measure_page import MeasurePage, NothingMeasured, measure_page
from costlib.report.page import End, listed, long_date, records
from costlib.report.plan_page import PlanPage
from costlib.report.shared_plan import report_plan
from costlib.report.value_page import ValuePage
from costlib.store import Store
from costlib.study import BaselineException, load_study

_PARTS = {
    Part("use", PALETTE[0]): ("inference", "human"),
    Part("idle capacity", PALETTE[1], "///"): ("idle",),
    Part("expected misses", PALETTE[2]): ("misses",),
    Part("upkeep", PALETTE[3]): ("evaluation", "operations"),
}


_SIDES = ("plan", "baseline", "saving")


@dataclass
class PortfolioPage(PlanPage):
    """The page of a plan, and the four pages beside it."""

    measured: MeasurePage | NothingMeasured = field(kw_only=True)
    market: MarketPage = field(init=False)
    doubt: DoubtPage = field(init=False)
    value: ValuePage = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        beside: dict[str, Any] = {"plan": self.plan, "found": self.found, "ledger": self.ledger}
        self.market = MarketPage(self.about, **beside)
        self.doubt = DoubtPage(self.about, **beside)
        self.value = ValuePage(self.about, **beside)
        self.measured.ledger = self.ledger

    def opening(self) -> Html:
        """The executive summary."""
        cash, before = self.total("plan", "cash"), self.total("baseline", "cash")
        saving, share = self.total("saving"), 1 - float(cash.value or 0) / float(before.value or 1)
        kept = sum(row["option"] == self.base for row in self.chosen)
        cards = [
            ("Bills of the plan", cash),
            (f"Bills with everything possible on {self.base}", before),
            ("Saving once the expected cost of wrong answers is counted", saving),
        ]
        cards.append(("Probability that the plan is cheaper, wrong answers counted", self.chance))
        return self.summary(
            "Serve the {n} workloads with {m} options, and the bills come to {cash}, {share} {less} than with "
            "everything on {base}{but}.",
            cards,
            "Wrong answers cost money, too, billed or not. With their expected cost the plan comes to {total}, "
            "everything on {base} to {whole}: the plan {verb} {saving}, {part} of it. "
            "{kept} of the {n} workloads stay on {base}.{apart}",
            n=str(len(self.chosen)),
            m=str(len({row["option"] for row in self.chosen})),
            cash=cash,
            share=self.derived(abs(share), "share", "both amounts have intervals"),
            less="less" if share >= 0 else "more",
            base=self.base,
            total=self.total("plan"),
            whole=self.total("baseline"),
            verb="saves" if float(saving.value or 0) >= 0 else "costs",
            saving=saving,
            part=self.derived(
                abs(float(saving.value or 0)) / float(self.total("baseline").value or 1),
                "share",
                "both amounts have intervals",
            ),
            kept=str(kept),
            apart="".join(f" In the comparison {e.workload} is on {e.option}: {e.reason}." for e in self._apart),
            but=f" but {listed([e.workload for e in self._apart])}" if self._apart else "",
        )

    @property
    def chance(self) -> Figure:
        """The probability that the plan is cheaper than the baseline."""
        return self.derived(self.plan.probability_saves, "probability", self.drawn)

    @property
    def _apart(self) -> Sequence[BaselineException]:
        """Workloads that the baseline cannot serve, and what it is given for them."""
        return self.study.baseline.exceptions

    def caution(self) -> Html:
        """What is made up."""
        return self.text("{note}", "caution", note=self.plan.notes[0])

    def glance(self) -> Chart:
        """Cost of each workload by part."""
        rows = [
            (
                r["workload"],
                [self.derived(sum(r[f"{n}_usd"] for n in names)) for names in _PARTS.values()],
                self.cost(r),
            )
            for r in self.chosen
        ]
        top = self.chosen[0]
        largest = max(_PARTS, key=lambda part: sum(top[f"{n}_usd"] for n in _PARTS[part])).name
        return Chart(
            "plan-cost",
            f"{short(top['workload'], 4)} costs most, through {largest}",
            "USD per month of each workload under the plan; lines are 95 % intervals",
            f"Source: {self.source}. Expected misses are a cost without an invoice.",
            f"Stacked bar chart of monthly cost by workload where {top['workload']} costs most because of {largest}",
            stacked(self.ledger, "plan-cost", list(_PARTS), rows, "USD per month"),
        )

    def plan_heading(self) -> Html:
        """How many workloads leave the baseline."""
        apart = {e.workload for e in self._apart}
        there = [row["option"] for row in self.chosen if row["workload"] not in apart]
        left = sum(option != self.base for option in there)
        return self.heading("{left} of {n} workloads leave {base}", left=str(left), n=str(len(there)), base=self.base)

    def plan_table(self) -> Html:
        """Who serves what, at which cost and quality."""
        rows = [
            {
                "Workload": r["workload"],
                "Served by": r["option"],
                "Volume": self.stated(r["requests_per_month"], "requests/month"),
                "Cost": self.cost(r),
                "of which misses": self.derived(r["misses_usd"]),
                "Success": self.success(r),
                "Floor": self.stated(r["quality_floor"], "share"),
            }
            for r in self.chosen
        ]
        total = {
            "Workload": "All workloads",
            "Cost": self.total("plan"),
            "of which misses": self.total("plan", "misses"),
        }
        return self.table("plan", "The plan", rows, total=total)

    def why_table(self) -> Html:
        """The next best option of each workload and what it would change."""
        rows = []
        for r in self.chosen:
            own, rival = self.others[r["workload"], r["option"]], self.others.get((r["workload"], r["runner_up"]))
            line = {"Workload": r["workload"], "Next best option": r["runner_up"] or "no other is eligible"}
            if rival is not None:
                misses = (rival["misses_usd_per_request"] - own["misses_usd_per_request"]) * r["requests_per_month"]
                gap = r["gap_usd_per_month"]
                line |= {
                    "would cost more by": self.derived(gap),
                    "of which misses": self.derived(misses),
                    "of which use and upkeep": self.derived(gap - misses),
                }
            chance = self.derived(r["probability_best"], "probability", self.drawn)
            rows.append(line | {"Chance to be best": chance})
        return self.table("why", "Why: what the next best option would change", rows)

    def matrix_chart(self) -> Chart:
        """Every workload against every option: chosen, possible, or the requirement that fails."""
        options = [s.name for s in self.found if any(self.others[name, s.name]["eligible"] for name in self.names)]
        nowhere = [s.name for s in self.found if s.name not in options]
        left_out = f" Ruled out everywhere: {', '.join(nowhere)}." if nowhere else ""
        marks = {
            key: "chosen" if row["chosen"] else "possible" if row["eligible"] else row["reason"][0]
            for key, row in self.others.items()
        }
        fewest = min(self.names, key=lambda name: sum(self.others[name, option]["eligible"] for option in options))
        return Chart(
            "matrix",
            f"{short(fewest, 5)} has the fewest options",
            "Filled: chosen; ring: possible. A letter says what rules it out: l latency, o data must stay on own "
            "machines, p price, q quality, s speed",
            f"Source: {self.source}. The cost and the reason of every cell are in alternatives.csv.{left_out}",
            f"Matrix chart of options by workload where a filled mark is the choice and {fewest} has the fewest",
            matrix("matrix", self.names, options, marks),
        )

    def pools_table(self) -> Html:
        """The replicas the plan rents, and how busy they are."""
        rows = [
            {
                "Pool": r["pool"],
                "Replicas": self.derived(r["replicas"], "replicas"),
                "Rented as": f"{r['rate_units']} x {r['rate_devices_per_unit']} {r['device']} at {r['rate_provider']}, "
                f"{r['rate_commitment']}, seen {r['rate_observed_on']}",
                "Rate of one": Figure(
                    r["usd_per_hour"], "USD/hour", r["rate_kind"], r["rate_source"], reason="a list price"
                ),
                "Busy, peak hour": self.derived(r["utilization_peak"], "share"),
                "Busy, mean": self.derived(r["utilization_mean"], "share"),
                "Busy": self.derived(r["busy_usd"]),
                "Idle": self.derived(r["idle_usd"]),
                "Together": self.derived(r["usd_per_month"]),
            }
            for r in records(self.plan.pools)
        ]
        if not rows:
            return self.text("The plan rents no hardware.")
        return self.table("pools", "Hardware the plan rents", rows)

    @cached_property
    def causes(self) -> list[tuple[str, Figure]]:
        """Saving by cause, largest first."""
        sums = self.plan.saving_by_cause.groupby("cause")["usd_per_month"].sum()
        return sorted(
            ((str(c), self.derived(v)) for c, v in sums.items()), key=lambda cause: -float(cause[1].value or 0)
        )

    def saving_heading(self) -> Html:
        """The largest cause."""
        if not self._saves:
            return self.heading("The plan saves nothing in any part")
        return self.heading(
            "{cause} saves most: {amount}", cause=self.causes[0][0].capitalize(), amount=self.causes[0][1]
        )

    @property
    def _saves(self) -> bool:
        """Whether any cause saves something; none does where the plan stays on its baseline."""
        return bool(self.causes) and float(self.causes[0][1].value or 0) > 0

    def saving_chart(self) -> Chart | Html:
        """From the baseline to the plan, cause by cause."""
        if not self._saves:
            return self.text("There is no saving to draw.")
        first, last = self.causes[0][0].capitalize(), self.causes[-1]
        ends = (f"Everything on {self.base}", self.total("baseline")), ("The plan", self.total("plan"))
        return Chart(
            "saving",
            f"{first} saves most, {last[0]} cost more" if float(last[1].value or 0) < 0 else f"{first} saves most",
            "USD per month from the baseline to the plan by cause, expected misses included",
            f"Source: {self.source}. The steps add up to the saving to the cent.",
            f"Waterfall chart of the saving by cause where {first} saves most",
            waterfall(self.ledger, "saving", ends[0], self.causes, ends[1], "USD per month"),
        )

    def saving_table(self) -> Html:
        """The saving of each workload."""
        before = {row["workload"]: row for row in records(self.plan.baseline)}
        rows: list[dict[str, Any]] = [
            {
                "Workload": r["workload"],
                "Baseline": self.cost(before[r["workload"]]),
                "Plan": self.cost(r),
                "Saving": self.derived(before[r["workload"]]["usd_per_month"] - r["usd_per_month"]),
            }
            for r in self.chosen
        ]
        total = {"Workload": "All workloads"} | {side.capitalize(): self.total(side) for side in _SIDES}
        return self.table("savings", "Baseline, plan and saving by workload", rows, total=total)

    def close(self) -> End:
        """The ledger and the end, with the plan as tables and the sums that must tie."""
        frame = self.plan.totals[~self.plan.totals["part"].isin(["total", "cash"])]
        sums = {f"{side} by part": (side, frame[frame["side"] == side]["usd_per_month"]) for side in _SIDES}
        sums |= {
            "plan by workload": ("plan", self.plan.assignments["usd_per_month"]),
            "saving by cause": ("saving", self.plan.saving_by_cause["usd_per_month"]),
        }
        ties = [{"what": what, "total": str(self.total(side).value), "parts": [str(part) for part in parts]}
                for what, (side, parts) in sums.items()]  # fmt: skip
        frames = {"plan": self.plan.assignments, "alternatives": self.plan.alternatives, "flips": self.plan.flips,
                  "information": self.plan.information, "value": self.plan.value}  # fmt: skip
        exports = {
            name: [{key: str(v) if isinstance(v, Decimal) else v for key, v in row.items()} for row in records(table)]
            for name, table in frames.items()
        }
        prices = f"{self.market.book.source}, as of {self.study.as_of}, SHA-256 {self.market.book.snapshot}"
        runs = self.measured.runs()
        totals = {"plan": self.total("plan"), "bills": self.total("plan", "cash"), "saving": self.total("saving"),
                  "probability_saves": self.chance}  # fmt: skip
        told = {name: as_json(figure) for name, figure in totals.items()}
        return self.end(runs=runs, ties=ties, provenance={"Prices": prices}, exports=exports, totals=told)


def portfolio_page(study: str, store: str = "") -> PortfolioPage:
    """The page of a study (its name or file), planned from a store (empty: the default one)."""
    found, kept = load_study(study), Store(store or None)
    return PortfolioPage(
        f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        plan=report_plan(found, kept),
        found=supplies(found, kept),
        measured=measure_page(study, store),
    )
