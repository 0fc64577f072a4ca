"""What pays: each use case's worth against the cost of a good answer, and the price at which it would pay."""

from __future__ import annotations

from typing import Any

from costlib.report.ledger import Html
from costlib.report.page import figure_of, listed, records
from costlib.report.plan_page import PlanPage

_ALONE = "exact, from stated numbers"


class ValuePage(PlanPage):
    """Use cases with a value, those of the plan and those nobody serves yet."""

    def cases(self) -> list[dict[str, Any]]:
        """Each use case at the option the plan gives it, or that earns most where none serves it yet.

        With its row on the baseline as `before` and those of the options that may serve it as `able`.
        """
        plan = {row["workload"]: row["option"] for row in self.chosen}
        found: dict[str, list[dict[str, Any]]] = {}
        for row in records(self.plan.value):
            found.setdefault(row["use_case"], []).append(row)
        return [
            {
                **max(
                    rows, key=lambda row: (row["option"] == plan.get(row["use_case"]), row["eligible"], row["net_usd"])
                ),
                "before": next((row for row in rows if row["baseline"]), None),
                "able": [row for row in rows if row["eligible"]],
            }
            for rows in found.values()
        ]

    def paying(self) -> Html:
        """A sentence on what the portfolio makes viable, and a table of what pays at which option and price."""
        cases = self.cases()
        if not cases:
            return self.text("No workload has a stated value, so what pays cannot be said.")
        made = [case for case in cases if case["pays"] and not (case["served"] and (case["before"] or {}).get("pays"))]
        loss = [case for case in cases if not case["pays"]]
        never = [case for case in loss if not any(row["pays"] for row in case["able"])]
        elsewhere = [case for case in loss if case not in never]
        sentence = self.text(
            "{pay} of {n} use cases with a stated value pay, as planned or where they earn most.{new}{never}{other}",
            pay="All" if not loss else str(len(cases) - len(loss)),
            n=str(len(cases)),
            new=f" Not served yet, or at a loss on {self.base}: {_names(made)}." if made else "",
            never=f" At a loss whoever serves: {_names(never)}." if never else "",
            other=f" At a loss as planned, but not with every option: {_names(elsewhere)}." if elsewhere else "",
        )
        rows = [
            {
                "name": case["use_case"] + ("" if case["served"] else " (not served yet)"),
                "value": self.stated(case["value_usd"], "USD/good answer"),
                "option": case["option"],
                "cost": self.derived(case["usd_per_good_answer"], "USD/good answer", _ALONE),
                "net": figure_of(case, "net_usd", "USD/request", kind="derived", source=self.source, reason=_ALONE),
                "pays": f"{sum(row['pays'] for row in case['able'])} of {len(case['able'])}",
                "most": self.derived(dear["price_multiple"], "times", dear["reason"] or _ALONE),
                "with": dear["option"],
            }
            for case in cases
            for dear in [self._dearest(case)]
        ]
        columns = {"name": "Use case", "value": "A good answer is worth", "option": "Served by", "cost": "and costs",
                   "net": "Left of a request", "pays": "Pays with", "most": "Pays up to, times the price",
                   "with": "of"}  # fmt: skip
        caption = "What pays, each use case alone on its option, misses and upkeep counted"
        return Html(f"{sentence}{self.table('paying', caption, columns, rows)}")

    def _dearest(self, case: dict[str, Any]) -> dict[str, Any]:
        """The option itself, or where it does not pay the one whose price would have to fall least."""
        return case if case["pays"] else max(case["able"] or [case], key=lambda row: row["price_multiple"] or 0.0)


def _names(cases: list[dict[str, Any]]) -> str:
    return listed([str(case["use_case"]) for case in cases])
