"""What the quality notebook shows: what each precision loses on text and on tasks, and what that buys.

Losses are paired with the baseline precision on the same tokens or items. The evaluation matrix is the plan's view of
the same facts: which cell of workload and option is measured, assumed or empty, and $ per good answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from costlib.figure import Figure
from costlib.portfolio.measured import Row, configurations, qualities
from costlib.portfolio.plan import Plan
from costlib.portfolio.shared import plan as report_plan
from costlib.quality.gate import gate
from costlib.quality.tasks.items import Item, as_text
from costlib.quality.tasks.study import study_answers, study_scores, task_of
from costlib.report.chart import Chart
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.lines import Spot, plane
from costlib.report.page import End, cited, figure_of, listed, long_date, records
from costlib.report.quality_matrix import Matrix
from costlib.report.quality_text import Text
from costlib.store import Store
from costlib.study import Study, TaskSpec, load_study

_SHOWN = 5
"""Flipped items shown of each variant."""
_LONGEST = 160


@dataclass(frozen=True)
class Judged:
    """A task of the study: its scores and answers, and the precisions nobody has asked yet."""

    spec: TaskSpec
    items: dict[str, Item]
    scores: list[dict[str, Any]]
    answers: pd.DataFrame
    missing: dict[str, int]

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.spec.file.stem

    @property
    def variants(self) -> list[dict[str, Any]]:
        """Rows that are compared with the baseline."""
        return [row for row in self.scores if row["precision"] != self.spec.reference]


@dataclass
class QualityPage(Text, Matrix):
    """The page; rows by label of their configuration, tasks in the study's order."""

    study: Study = field(kw_only=True)
    text_rows: dict[str, Row] = field(kw_only=True)
    speeds: dict[str, Row] = field(kw_only=True)
    tasks: list[Judged] = field(kw_only=True)
    plan: Plan | None = field(kw_only=True)

    @cached_property
    def verdicts(self) -> list[tuple[str, str, str]]:
        """What each gate says: variant, answer (passed, refused or too few), reason."""
        found: list[tuple[str, str, str]] = []
        spec = self.study.quality
        for name, row in self.text_rows.items():
            if spec is not None and row["precision"] != spec.baseline:
                verdict = gate(row, spec.max_perplexity_ratio)
                found.append((f"{name} on text", verdict.answer, verdict.reason))
        for task in self.tasks:
            for row in task.variants:
                name = f"{row['precision']} on {task.name}"
                found.append((name, str(row["gate"]), str(row["gate_reason"])))
        return found

    def scored(self, task: Judged, row: Mapping[str, Any], column: str, unit: str = "share") -> Figure:
        """A number of a task's row."""
        found = task.answers[(task.answers["precision"] == row["precision"])]
        source = f"run {found['run_id'].iloc[-1]}" if len(found) else "not answered"
        counted = "a count" if unit == "items" else row["reason"] or "the baseline itself"
        return figure_of(row, column, unit, kind="measured", source=source, reason=counted)

    def opening(self) -> Html:
        """The executive summary."""
        named = {
            "refused": [name for name, answer, _ in self.verdicts if answer == "refused"],
            "few": [name for name, answer, _ in self.verdicts if answer == "too few"],
            "passed": [name for name, answer, _ in self.verdicts if answer == "passed"],
        }
        if not self.verdicts:
            return self.summary("No variant has been compared with its baseline yet; costlib run does it.", [])
        said = {
            "refused": ("fails its gate", "fail their gates"),
            "few": ("was asked too little to pass", "were asked too little to pass"),
            "passed": ("passes", "pass"),
        }
        parts = [f"{{{key}}} {said[key][len(names) > 1]}" for key, names in named.items() if names]
        sentence = "; ".join(parts) if len(named["passed"]) < len(self.verdicts) else "Every variant passes its gate"
        cards = []
        worst = max(
            (n for n, r in self.text_rows.items() if r["ppl_ratio"] is not None),
            key=lambda name: self.text_rows[name]["ppl_ratio"],
            default=None,
        )
        if worst is not None:
            cards.append((f"Largest loss on text: {worst}, perplexity", self.lost(worst, "ppl_ratio", "ratio")))
        every = [(task, row) for task in self.tasks for row in task.variants if row["difference"] is not None]
        for task, row in sorted(every, key=lambda pair: pair[1]["difference"])[:1]:
            name = f"Largest loss on a task: {row['precision']} on {task.name}"
            cards.append((name, self.scored(task, row, "difference", "points")))
        answered = sum(row["n"] for task in self.tasks for row in task.scores)
        if answered:
            count = Figure(answered, "items", "measured", "table answers", reason="a count")
            cards.append(("Items answered", count))
        return self.summary(sentence + ".", cards, **{key: listed(names) for key, names in named.items()})

    def gates_table(self) -> Html:
        """What each gate says, with its reason."""
        rows = [{"Variant": name, "Gate": answer, "Reason": cited(reason)} for name, answer, reason in self.verdicts]
        return self.table("gates", "A variant that does not pass a gate is recommended nowhere it applies", rows)

    def tasks_heading(self) -> Html:
        """Which variants the tasks tell from their baseline."""
        gates = [(r["gate"], f"{r['precision']} on {t.name}") for t in self.tasks for r in t.variants]
        refused, few = ([name for gate, name in gates if gate == answer] for answer in ("refused", "too few"))
        if not any(task.scores for task in self.tasks):
            return self.heading("No task has been answered")
        if refused:
            return self.heading("Tasks refuse {refused}", refused=listed(refused))
        if few:
            return self.heading("Tasks have too few items to pass {few}", few=listed(few))
        return self.heading("Tasks: every variant answers as well as its baseline")

    def tasks_chart(self) -> Chart | Html:
        """Success of each precision on each task, and its difference."""
        rows = [(f"{task.name} {row['precision']}", task, row) for task in self.tasks for row in task.scores]
        if not rows:
            return self.text("A study asks for tasks with the key tasks; costlib run answers them.")
        panels = [
            Panel("Answers wholly right", [(n, self.scored(t, r, "success")) for n, t, r in rows]),
            Panel("Score less the baseline's, points",
                  [(n, self.scored(t, r, "difference", "points")) for n, t, r in rows], reference=(0.0, "baseline")),
        ]  # fmt: skip
        return Chart(
            "tasks",
            "What each precision gets right",
            "Share of items wholly right, and the paired difference of scores; lines are 95 % intervals",
            f"Source: stored answers of {long_date(max(row['date'] for _, _, row in rows))}.",
            "Bar and dot chart of task results by precision where each is compared with the baseline",
            bars(self.ledger, "tasks", panels),
        )

    def tasks_table(self) -> Html:
        """Scores, differences, flips and the paired test."""
        columns = {
            "Wholly right": ("success", "share"),
            "Difference of scores": ("difference", "points"),
            "Gained": ("gained", "items"),
            "Lost": ("lost", "items"),
            "Test": ("p_holm", "p-value"),
            "Asked": ("n", "items"),
            "Unanswered": ("failed", "items"),
        }
        rows = [
            {"Task": f"{task.name} {row['precision']}"}
            | {title: self.scored(task, row, column, unit) for title, (column, unit) in columns.items()}
            for task in self.tasks
            for row in task.scores
        ]
        waiting = [
            self.text("Note: {count} items of {task} were not answered at {precision} yet.", "caution",
                      count=str(count), task=task.name, precision=name)
            for task in self.tasks for name, count in task.missing.items() if count
        ]  # fmt: skip
        return Html(str(self.table("scores", "Tasks, item by item", rows)) + "".join(map(str, waiting)))

    def frontier_chart(self) -> Chart | Html:
        """Decode speed against success of the first answered task, or against perplexity."""
        points = []
        for name, row in self.speeds.items():
            if row["status"] != "ok" or row["decode_tokens_per_s"] is None:
                continue
            reason = row.get("interval_reason")
            source = f"runs {row['run_ids']}"
            speed = figure_of(row, "decode_tokens_per_s", "tokens/s", kind="measured", source=source, reason=reason)
            judged = next(
                ((t, r) for t in self.tasks for r in t.scores
                 if (r["model"], r["precision"]) == (row["model"], row["precision"])), None,
            )  # fmt: skip
            if judged is not None:
                points.append(Spot(name, speed, self.scored(*judged, "success")))
        known = [
            (float(p.x.value), float(p.y.value)) for p in points if p.x.value is not None and p.y.value is not None
        ]
        best = [p for p in known if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in known)]
        if len(points) < 2:
            return self.text("Fewer than two precisions have both a speed and a task, so there is no frontier yet.")
        task = next(t for t in self.tasks if t.scores)
        return Chart(
            "frontier",
            "What speed costs in right answers",
            f"Decode tokens/s against the share of {task.name} wholly right; a line joins what nothing beats in both",
            "Source: stored measurements and answers; bars are 95 % intervals.",
            "Scatter chart of speed against success where a line joins the precisions nothing beats",
            plane(self.ledger, "frontier", points, best, ("Decode, tokens/s", "Wholly right")),
        )

    def flips_table(self) -> Html:
        """Items whose answer turned wrong, and their answers."""
        rows = []
        for task in self.tasks:
            base = task.answers[task.answers["precision"] == task.spec.reference].set_index("item")
            for row in task.variants:
                own = task.answers[task.answers["precision"] == row["precision"]].set_index("item")
                both = own.index.intersection(base.index)
                worse = [item for item in both if own.loc[item, "score"] < base.loc[item, "score"]]
                rows += [
                    {
                        "what": f"{task.name} {row['precision']} {number}",
                        "Variant": f"{task.name} {row['precision']}",
                        "Item": cited(_short(task.items[item].input)),
                        "Expected": cited(_short(as_text(task.items[item].expected))),
                        "Baseline": cited(_short(str(base.loc[item, "answer"]))),
                        "Its answer": cited(_short(str(own.loc[item, "answer"]))),
                    }
                    for number, item in enumerate(worse[:_SHOWN], 1)
                ]
        if not rows:
            return self.text("No item turned from right to worse.")
        return self.table("flips", f"Items a variant answers worse, the first {_SHOWN} of each", rows)

    def notes(self) -> Html:
        """What a reader must know about the weights."""
        rows = [*self.text_rows.values(), *(row for task in self.tasks for row in task.scores)]
        notes = sorted({str(row["weights_note"]) for row in rows if row.get("weights_note")})
        notes += [self.study.synthetic] if self.tasks else []
        return Html("".join(str(self.text("Note: {note}", "caution", note=note)) for note in notes))

    def close(self) -> End:
        """The ledger and the end."""
        runs = [str(row["run_id"]) for row in self.text_rows.values() if row["run_id"]]
        runs += sorted({str(run) for task in self.tasks for run in task.answers["run_id"]})
        return self.end(runs=runs)


def _short(text: str) -> str:
    """One line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def quality_page(study: str, store: str = "") -> QualityPage:
    """The page of a study (name or file) for what a store holds."""
    found, place = load_study(study), Store(store or None)
    tasks = []
    for spec in found.tasks:
        answers, missing = study_answers(spec, place)
        items = {item.id: item for item in task_of(spec).items}
        tasks.append(Judged(spec, items, records(study_scores(spec, answers)), answers, missing))
    speeds = configurations(found, place) if found.measure else {}
    return QualityPage(
        about=f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        study=found,
        text_rows=qualities(found, place, speeds),
        speeds=speeds,
        tasks=tasks,
        plan=report_plan(found, place),
    )
