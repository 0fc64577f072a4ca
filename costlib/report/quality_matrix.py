"""The part of the quality page that shows the evaluation matrix, and what it costs to keep."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from costlib.figure import Figure, Kind
from costlib.portfolio.matrix import evaluation_matrix, upkeep
from costlib.portfolio.plan import Plan
from costlib.report.chart import Chart
from costlib.report.figures import matrix
from costlib.report.ledger import Html
from costlib.report.page import Page, figure_of, records
from costlib.study import Study

_EXACT = "follows from the numbers beside it"
_HYPHEN = "\u2011"
"""Keeps a date on one line."""


class Matrix(Page):
    """Mixed into the quality page, which has a study and its plan, or none where nothing can be planned."""

    study: Study
    plan: Plan | None

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The evaluation matrix as rows; none without a plan."""
        return records(evaluation_matrix(self.plan)) if self.plan is not None else []

    def matrix_heading(self) -> Html:
        """How much of the matrix is measured."""
        if not self.cells:
            return self.heading("There is no plan, and so no evaluation matrix")
        counts = {kind: sum(cell["success_kind"] == kind for cell in self.cells) for kind in ("measured", "assumed")}
        empty = sum(cell["success_rate"] is None for cell in self.cells)
        shown = {
            name: Figure(count, "cells", "derived", f"study {self.study.name}", reason="a count")
            for name, count in {**counts, "empty": empty, "all": len(self.cells)}.items()
        }
        sentence = "Of {all:bare} cells {measured:bare} are measured, {assumed:bare} assumed, {empty:bare} empty"
        return self.heading(sentence, **shown)

    def matrix_chart(self) -> Chart | Html:
        """Workloads against options: how each cell is known."""
        if not self.cells:
            return Html("")
        letter = {"measured": "m", "quoted": "q", "assumed": "a", "derived": "d", None: " "}
        marks = {
            (cell["workload"], cell["option"]): "chosen" if cell["chosen"] else letter[cell["success_kind"]]
            for cell in self.cells
        }
        rows, columns = (list(dict.fromkeys(cell[key] for cell in self.cells)) for key in ("workload", "option"))
        return Chart(
            "cells",
            "Where success is measured, assumed, or unknown",
            "Filled: chosen; m measured, q quoted, a assumed, d derived; nothing: nobody evaluated it",
            f"Source: study {self.study.name}, stored answers.",
            "Matrix chart of workloads and options where each cell says how its success rate is known",
            matrix("cells", rows, columns, marks),
        )

    def matrix_table(self) -> Html:
        """Cells that are measured or chosen: success, items, date, $ per good answer."""
        rows = []
        for cell in self.cells:
            if not (cell["chosen"] or cell["success_kind"] == "measured"):
                continue
            kind: Kind = cell["success_kind"] or "derived"
            source = cell["success_source"] or "none"
            why = cell["reason"] or "no interval"
            money = figure_of(cell, "usd_per_good_answer", "USD/good answer", kind="derived",
                              source=f"study {self.study.name}", reason=why)  # fmt: skip
            items = cell["success_items"]
            rows.append(
                {
                    "Cell": f"{cell['workload']}: {cell['option']}",
                    "Success": figure_of(cell, "success_rate", "share", kind=kind, source=source, reason=why),
                    "Scored on": Figure(items, "items", kind, source, reason="a count" if items else "not a task"),
                    "Date": str(cell["success_date"] or "").replace("-", _HYPHEN),
                    "Good answer": money,
                    "In the plan": "chosen" if cell["chosen"] else "eligible" if cell["eligible"] else "kept out",
                }
            )
        return self.table("known", "Cells that are chosen or measured", rows)

    def upkeep_table(self) -> Html:
        """What keeping the matrix costs each month."""
        if self.plan is None:
            return Html("")
        source = f"study {self.study.name}"
        names = {"evaluation": "Evaluations of a model on a workload", "operations": "Models kept in operation"}
        rows = [
            {
                "What": names[row["part"]],
                "Count": Figure(row["count"], "pieces", "derived", source, reason="a count"),
                "Each": Figure(row["usd_each_per_month"], "USD/month", "assumed", source, reason="see assumptions"),
                "Together": Figure(row["usd_per_month"], "USD/month", "derived", source, reason=_EXACT),
            }
            for row in records(upkeep(self.plan))
        ]
        return self.table("upkeep", "What it costs to keep the matrix current", rows)
