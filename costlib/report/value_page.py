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
        """How many use cases pay, what the portfolio makes viable, and what pays at which option and price."""
        cases = self.cases()
        if not cases:
            return self.text("No workload has a stated value, so what pays cannot be said.")
        made = [case for case in cases if case["pays"] and not (case["served"] and (case["before"] or {}).get("pays"))]
        loss = [case for case in cases if not case["pays"]]
        never = [case for case in loss if not any(row["pays"] for row in case["able"])]
        elsewhere = [case for case in loss if case not in never]
        heading = self.heading(
            "{pay} {n} use cases with a stated value pay",
            pay="All" if not loss else f"{len(cases) - len(loss)} of", n=str(len(cases)),
        )  # fmt: skip
        sentence = self.text(
            "Each is counted as planned, or with the option that earns most where nobody serves it.{new}{never}{other}",
            new=f" Not served yet, or at a loss on {self.base}: {_names(made)}." if made else "",
            never=f" At a loss whoever serves: {_names(never)}." if never else "",
            other=f" At a loss as planned, but not with every option: {_names(elsewhere)}." if elsewhere else "",
        )
        rows: list[dict[str, Any]] = []
        for case in cases:
            dear = self._dearest(case)
            net = figure_of(case, "net_usd", "USD/request", kind="derived", source=self.source, reason=_ALONE)
            line = {
                "Use case": case["use_case"] + ("" if case["served"] else " (not served yet)"),
                "A good answer is worth": self.stated(case["value_usd"], "USD/good answer"),
                "Served by": case["option"],
                "and costs": self.derived(case["usd_per_good_answer"], "USD/good answer", _ALONE),
                "Left of a request": net,
                "Options it pays with": f"{sum(row['pays'] for row in case['able'])} of {len(case['able'])}",
                "Pays up to": self.derived(dear["price_multiple"], "times the price", dear["reason"] or _ALONE),
            }
            rows.append(line | ({"of": dear["option"]} if loss else {}))
        caption = "What pays, each use case alone on its option, misses and upkeep counted"
        return Html(f"{heading}{sentence}{self.table('paying', caption, rows)}")

    def _dearest(self, case: dict[str, Any]) -> dict[str, Any]:
        """The option itself, or where it does not pay the one whose price would have to fall least."""
        return case if case["pays"] else max(case["able"] or [case], key=lambda row: row["price_multiple"] or 0.0)


def _names(cases: list[dict[str, Any]]) -> str:
    return listed([str(case["use_case"]) for case in cases])
