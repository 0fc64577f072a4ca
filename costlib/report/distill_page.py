"""What the distillation notebook shows: what each student keeps, how much faster it is, and when it is paid back.

Students are the rows of table `distillations` of a store. What is measured stays as measured; the money around it is
derived from the rate of the device that ran both, the study's rate for people, and the volume the notebook is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from costlib.cost.distillation import PricedDistillation, price_distillation
from costlib.cost.inputs import number
from costlib.figure import Figure
from costlib.prices.hardware import measured_rate
from costlib.quality.distill.run import distillations
from costlib.report.chart import Chart
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.page import End, Page, figure_of, long_date, records
from costlib.store import Store
from costlib.study import Study, load_study

_NAMES = {
    "static": "static table",
    "layers": "fewer layers",
    "soft": "soft labels",
    "language": "small language model",
}
_EMPTY = (
    "Nothing has been distilled in this store yet. The command that does it: costlib distill demo:minilm --student "
    "static --task FILE --requests-per-week N, with a labelled file of inputs and expected answers."
)


@dataclass
class DistillPage(Page):
    """The page; `rows` are the students, volume and hours are assumptions of the reader."""

    study: Study = field(kw_only=True)
    rows: list[dict[str, Any]] = field(kw_only=True)
    requests_per_week: float = field(kw_only=True)
    people_hours: float = field(kw_only=True)
    retrain_every_weeks: float = field(kw_only=True)

    @cached_property
    def done(self) -> list[dict[str, Any]]:
        """Students that were made, the one that keeps most first."""
        made = [row for row in self.rows if row["status"] == "ok" and row["retention"] is not None]
        return sorted(made, key=lambda row: -row["retention"])

    def name(self, row: Mapping[str, Any]) -> str:
        """How a reader tells students apart: what it is, and the setting that differs where two are alike."""
        alike = [other for other in self.done if other["student"] == row["student"]]
        recipe = json.loads(row["recipe"])
        told = ", ".join(
            f"{key} {value}"
            for key, value in recipe.items()
            if len({json.dumps(json.loads(other["recipe"]).get(key)) for other in alike}) > 1
        )
        tasks = f" on {row['task']}" if len({other["task"] for other in alike}) > 1 else ""
        return f"{_NAMES[row['student']]}{tasks}{f' ({told})' if told else ''}"

    def measured(self, row: Mapping[str, Any], name: str, unit: str) -> Figure:
        """A measured number of a student with its interval."""
        reason = row["speed_reason"] if name in ("speedup", "retention") else None
        return figure_of(row, name, unit, kind="measured", source=f"run {row['run_id']}", reason=reason)

    def price(self, row: Mapping[str, Any]) -> PricedDistillation:
        """The money around a student at this page's volume, hours and retraining."""
        return price_distillation(
            row,
            measured_rate(row["device"], as_of=self.study.as_of).usd_per_hour,
            self.requests_per_week,
            people_hours=self.people_hours,
            usd_per_people_hour=self.study.assume("human_usd_per_hour"),
            retrain_every_weeks=self.retrain_every_weeks,
            retraining_people_hours=self.people_hours / 2,
        )

    @cached_property
    def money(self) -> dict[str, PricedDistillation]:
        """The money around each student, by run."""
        return {row["run_id"]: self.price(row) for row in self.done}

    @cached_property
    def ends(self) -> dict[str, list[PricedDistillation]]:
        """The same at the low and the high end of the speed-up; nothing where it has no interval."""
        return {
            row["run_id"]: [
                self.price({**row, "student_items_per_s": row["teacher_items_per_s"] * row[f"speedup_{end}"]})
                for end in ("low", "high")
            ]
            for row in self.done
            if row["speedup_low"] is not None
        }

    def surely_pays(self, row: Mapping[str, Any]) -> bool:
        """Whether a student is paid back at the low end of its speed-up, too."""
        every = [self.money[row["run_id"]], *self.ends.get(row["run_id"], [])]
        return len(every) > 1 and all(one.payback.weeks is not None for one in every)

    def priced(
        self, row: Mapping[str, Any], get: Callable[[PricedDistillation], float | None], unit: str, reason: str = ""
    ) -> Figure:
        """A derived number about a student, over the interval of its speed-up; `reason` is why it may be unknown."""
        source = f"run {row['run_id']}; {measured_rate(row['device'], as_of=self.study.as_of).source}"
        value, ends = get(self.money[row["run_id"]]), [get(one) for one in self.ends.get(row["run_id"], [])]
        known = [end for end in ends if end is not None]
        if value is None or len(known) < 2:
            unsure = "none at the low end of the speed-up" if ends else "the speed-up has no interval"
            return Figure(value, unit, "derived", source, reason=unsure if value is not None else reason)
        if known[0] == known[1]:
            return Figure(value, unit, "derived", source, reason="no speed-up is in it")
        return Figure(value, unit, "derived", source, min(value, *known), max(value, *known))

    def weeks(self, row: Mapping[str, Any]) -> Figure:
        """Weeks until a student is paid back for good."""
        reason = self.money[row["run_id"]].payback.reason
        return self.priced(row, lambda money: money.payback.weeks, "weeks", str(reason))

    def opening(self) -> Html:
        """The executive summary."""
        if not self.done:
            return self.summary(_EMPTY, [])
        fast = max(self.done, key=lambda row: row["speedup"])
        kept, speed = self.measured(fast, "retention", "share"), self.measured(fast, "speedup", "ratio")
        weeks, miss = self.weeks(fast), self._miss(fast)
        cards = [("Score kept by the fastest student", kept), ("Its speed-up", speed), ("Paid back for good in", weeks)]
        cards += [("Items a week, assumed", self.stated(self.requests_per_week, "items/week"))]
        verdict = "pays for itself" if self.surely_pays(fast) else "may pay for itself, if it is as fast as that"
        verdict = verdict if weeks.value is not None else "never pays for itself at this volume"
        condition = ", as long as an answer it loses costs less than {miss}"
        return self.summary(
            "{student} keeps {kept} of the score of {teacher} at {speed} the speed and {verdict}"
            + (condition if weeks.value is not None and miss.value is not None else "")
            + ".",
            cards,
            "Scores are of {items} held-out items of {task}, paired by item.",
            student=self.name(fast).capitalize(),
            teacher=fast["teacher"],
            kept=kept,
            speed=speed,
            verdict=verdict,
            miss=miss,
            items=f"{fast['items']:,}",
            task=fast["task"],
        )

    def stated(self, value: float, unit: str) -> Figure:
        """A number the reader of the notebook gave."""
        return Figure(value, unit, "assumed", "a parameter of the notebook", reason="given as it is")

    def kept_heading(self) -> Html:
        """What is lost."""
        if not self.done:
            return self.heading("No student has been scored")
        best = self.done[0]
        return self.heading(
            "Most is kept by {student}: {kept} of the teacher's score",
            student=self.name(best),
            kept=self.measured(best, "retention", "share"),
        )

    def kept_chart(self) -> Chart | Html:
        """Retention and speed-up of every student, with intervals."""
        if not self.done:
            return self.text("There is nothing to draw.")
        panels = [
            Panel("Score kept, student over teacher",
                  [(self.name(row), self.measured(row, "retention", "share")) for row in self.done],
                  reference=(1.0, "teacher")),
            Panel("Speed-up, times the teacher's speed",
                  [(self.name(row), self.measured(row, "speedup", "ratio")) for row in self.done]),
        ]  # fmt: skip
        return Chart(
            "kept",
            self._finding(),
            "Score over the teacher's on the same held-out items, and items per second over the teacher's; lines: 95 % "
            "interval",
            f"Source: runs of {long_date(self.done[0]['started_at'])} on {self.done[0]['device']}.",
            "Dot and bar chart of students where each is compared with its teacher in retention and speed",
            bars(self.ledger, "kept", panels),
        )

    def _finding(self) -> str:
        """What the chart shows: who loses score, and who is faster, with the whole interval."""
        lose = [row["retention_high"] is not None and row["retention_high"] < 1 for row in self.done]
        gain = [row["speedup_low"] is not None and row["speedup_low"] > 1 for row in self.done]
        if not any(gain):
            return "No student is measurably faster than its teacher"
        if not any(lose):
            return "No student measurably loses score"
        return "Students trade score for speed" if all(lose) and all(gain) else "Some students trade score for speed"

    def kept_table(self) -> Html:
        """Scores, retention and speed of each student, and what failed."""
        rows = [
            {
                "Student": self.name(row),
                "Teacher": row["teacher"],
                "Score": row["metric"],
                "Teacher's score": self.measured(row, "teacher_score", "share"),
                "Student's score": self.measured(row, "student_score", "share"),
                "Score kept": self.measured(row, "retention", "share"),
                "Speed-up": self.measured(row, "speedup", "ratio"),
            }
            for row in self.done
        ]
        return self.table("students", "What each student keeps", rows)

    def remarks(self) -> Html:
        """What flatters or limits the numbers: training budgets, timing, failures."""
        notes = [
            f"{self.name(row)}: {row['steps_note']}; timed: {row['speed_basis']}; {row['speed_reason']}."
            for row in self.done
        ]
        notes += [
            f"{_NAMES[row['student']]} of {row['teacher']} failed ({row['status']}): {row['reason']}."
            for row in self.rows
            if row["status"] != "ok"
        ]
        return Html("".join(str(self.text("{note}", "note", note=note)) for note in notes))

    def money_heading(self) -> Html:
        """Whether the best saving pays."""
        surely = [row for row in self.done if self.surely_pays(row)]
        if not surely:
            may = any(self.weeks(row).value is not None for row in self.done)
            return self.heading(f"At this volume no student {'surely ' if may else ''}pays for itself")
        first = min(surely, key=lambda row: self.weeks(row).value or 0)
        return self.heading(
            "Paid back first, after {weeks}: {student}", student=self.name(first), weeks=self.weeks(first)
        )

    def _miss(self, row: Mapping[str, Any]) -> Figure:
        """What an answer the student loses may cost before it eats the saving."""
        return self.priced(
            row, lambda money: money.largest_usd_per_miss, "USD/answer", "nothing is lost, or nothing saved"
        )

    def money_table(self) -> Html:
        """$ per million items, effort, payback, the volume it takes and what a miss may cost, of each student."""
        per_million = "USD/million items"
        rows = [
            {
                "Student": self.name(row),
                "Teacher's cost": self.priced(row, lambda money: money.teacher_usd_per_million, per_million),
                "Student's cost": self.priced(row, lambda money: money.student_usd_per_million, per_million),
                "Effort": self.priced(row, lambda money: money.effort_usd, "USD"),
                "Each retraining": self.priced(row, lambda money: money.retraining_usd, "USD"),
                "Paid back for good": self.weeks(row),
                "Volume that pays in a year": self.priced(
                    row,
                    lambda money: money.payback_requests_per_week,
                    "items/week",
                    str(self.money[row["run_id"]].reason),
                ),
                "A lost answer may cost": self._miss(row),
            }
            for row in self.done
        ]
        return self.table("money", "What it costs and when it pays", rows)

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=[row["run_id"] for row in self.rows])


def distill_page(
    study: str,
    store: str = "",
    requests_per_week: float = 1e6,
    people_hours: float = 40,
    retrain_every_weeks: float = 13,
) -> DistillPage:
    """The page of a study (name or file) for the students of a store; raises `InputError` for a bad number."""
    found = load_study(study)
    return DistillPage(
        about=f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        study=found,
        rows=records(distillations(Store(store or None))),
        requests_per_week=float(number("requests_per_week", requests_per_week)),
        people_hours=float(number("people_hours", people_hours, zero=True)),
        retrain_every_weeks=float(number("retrain_every_weeks", retrain_every_weeks)),
    )
