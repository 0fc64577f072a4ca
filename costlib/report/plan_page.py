"""What every page about a plan shares: the plan's rows, and its numbers as figures with their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costlib.figure import Figure, Kind
from costlib.portfolio.plan import RENAMED, Plan
from costlib.portfolio.supply import Supply
from costlib.report.page import Page, figure_of, long_date, records

STATED = "stated, with its range in the assumptions"


@dataclass
class PlanPage(Page):
    """A page about a plan; `found` are the options with their speeds and rates."""

    plan: Plan = field(kw_only=True)
    found: Sequence[Supply] = field(kw_only=True)

    def __post_init__(self) -> None:
        self.study = self.plan.study
        self.base = self.study.baseline.option
        self.source = f"study {self.study.name}, plan of {self.study.as_of}"
        self.day = long_date(self.study.as_of)
        self.drawn = f"share of {self.study.draws:,} draws"
        self.chosen = sorted(records(self.plan.choices.rename(columns=RENAMED)), key=lambda row: -row["usd_per_month"])
        self.names = [row["workload"] for row in self.chosen]
        self.others = {
            (row["workload"], row["option"]): row for row in records(self.plan.alternatives.rename(columns=RENAMED))
        }

    def derived(
        self, value: Any, unit: str = "USD/month", reason: str = "a sum; intervals are drawn for totals"
    ) -> Figure:
        """A number calculated from the study, without an interval of its own."""
        return Figure(value, unit, "derived", self.source, reason=reason)

    def stated(self, value: Any, unit: str, kind: Kind = "assumed") -> Figure:
        """A number of the study file."""
        return Figure(value, unit, kind, self.source, reason=STATED)

    def cost(self, row: Mapping[str, Any]) -> Figure:
        """`usd_per_month` of a row, with its interval."""
        return figure_of(row, "usd_per_month", "USD/month", kind="derived", source=self.source, reason="not drawn")

    def success(self, row: Mapping[str, Any]) -> Figure:
        """The success rate of a row."""
        kind, source = row["success_kind"], row["success_source"]
        return figure_of(row, "success_rate", "share", kind=kind, source=source, reason=STATED)

    def total(self, side: str, part: str = "total") -> Figure:
        """One number of the plan's totals."""
        name = {"total": "", "misses": "errors_"}.get(part, f"{part}_") + "usd_per_month"
        row = self.plan.totals.loc[side]
        return self.cost({f"usd_per_month{end}": row[f"{name}{end}"] for end in ("", "_low", "_high")})
