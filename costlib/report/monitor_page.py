"""What the monitor notebook shows: which decisions hold, the streams of answers they are watched by, and every look.

The newest look is shown as it was stored; the paths of score and evidence behind it are made again from the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from costlib.figure import Figure, Kind
from costlib.portfolio.streams import values_of
from costlib.portfolio.watch import BEYOND, looks, said
from costlib.report.chart import Chart
from costlib.report.ledger import Html
from costlib.report.page import End, Page, cited, counted, figure_of, listed, long_date, records
from costlib.report.streams_chart import Stream, paths
from costlib.store import Store
from costlib.study import Study, load_study

_SHOWN = 6
"""Streams drawn, those with the most evidence first; the table has all."""
_LOOKS = 12
"""Looks listed, the newest; the store has all."""


@dataclass
class MonitorPage(Page):
    """The page; `rows` are those of the newest look, `history` those of all."""

    study: Study = field(kw_only=True)
    rows: list[dict[str, Any]] = field(kw_only=True)
    history: pd.DataFrame = field(kw_only=True)
    streams: list[Stream] = field(kw_only=True)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """One row per decision of the newest look, though it may have several streams."""
        return list({(row["subject"], row["workload"]): row for row in self.rows}.values())

    def number(self, row: Mapping[str, Any], column: str, unit: str, reason: str, kind: Kind = "derived") -> Figure:
        """A number of a row."""
        return figure_of(row, column, unit, kind=kind, source=f"look {row['run_id']}", reason=reason)

    def opening(self) -> Html:
        """The executive summary: what no longer holds, and how sure an alarm is."""
        if not self.rows:
            sentence = "No look at this study is stored yet: costlib monitor takes one, and keeps it."
            return self.summary(sentence, [])
        source, rate = f"look {self.rows[0]['run_id']}", self.study.monitor.false_alarm_rate
        counts: dict[str, list[str]] = {"fallen": [], "unknown": [], "kept": []}
        for row in self.decisions:
            verdict = "unknown" if row["holds"] is None else "kept" if row["holds"] else "fallen"
            counts[verdict].append(_name(row))
        fallen, unknown = counts["fallen"], counts["unknown"]
        sentence = "Every decision holds"
        if fallen:
            sentence = "{fallen}: the decision no longer holds" if len(fallen) == 1 else "{fallen} no longer hold"
        if unknown:
            sentence += "; {unknown} cannot be judged" if fallen else ", but {unknown} cannot be judged"
        cards = [
            ("Decisions that hold", counted(len(counts["kept"]), "decisions", source)),
            ("Decisions in force", counted(len(self.decisions), "decisions", source)),
        ]
        items = [row["new_n"] for row in self.rows if row["new_n"] is not None]
        if items:
            cards.append(("Items new at this look", counted(sum(items), "items", source, "measured")))
        stated = Figure(rate, "probability", "assumed", f"study {self.study.name}", reason="the rate the watch keeps")
        more = "Newest look of {day}. All streams together raise a false alarm with a probability of at most {rate}, "
        more += "however often anybody looks."
        words = {"fallen": listed(fallen), "unknown": listed(unknown), "day": long_date(self.rows[0]["started_at"])}
        return self.summary(sentence + ".", cards, more, rate=stated, **words)

    def notes(self) -> Html:
        """What a reader must know."""
        return self.text("Note: {note}", "caution", note=self.study.synthetic)

    def decisions_heading(self) -> Html:
        """How many decisions hold."""
        if not self.rows:
            return self.heading("No decision is watched yet")
        wrong = [row for row in self.decisions if not row["holds"]]
        return self.heading("What holds, what does not, and why" if wrong else "Every decision holds, and why")

    def decisions_table(self) -> Html:
        """Every decision in force with its verdict, those that do not hold first."""
        words = {True: "yes", False: "no", None: "unknown"}
        rows = [
            {
                "Decision": _name(row),
                "In force": row["decision"] or "no option",
                "Holds": words[row["holds"]],
                "The plan chooses now": row["instead"] or "",
                "Reason": cited(row["reason"]),
            }
            for row in sorted(self.decisions, key=lambda row: (row["holds"] is True, row["holds"] is None))
        ]
        return self.table("decisions", "Decisions in force at the newest look", rows)

    def streams_heading(self) -> Html:
        """Whether a stream alarms."""
        alarmed = [_name(row) for row in self.rows if row["alarm"]]
        if not self.streams:
            return self.heading("No decision is watched by a stream of answers")
        return self.heading("Drift alarm: {names}" if alarmed else "No stream of answers has drifted below its floor",
                            names=listed(alarmed))  # fmt: skip

    def streams_chart(self) -> Chart | Html:
        """Score with its confidence sequence over items, and the evidence against the floor."""
        if not self.streams:
            return self.text("A stream needs a task with a workload, answered by an option that the plan chose.")
        shown = self.streams[:_SHOWN]
        return Chart(
            "streams",
            "Scores against their floors, and what that proves",
            "Mean score so far with an interval valid at every item, and the e-value against the floor, logarithmic",
            f"Source: stored answers up to the look of {long_date(self.rows[0]['started_at'])}.",
            "Line charts of score and e-value by stream where a dashed line is the floor and the alarm",
            paths(self.ledger, "streams", shown),
        )

    def streams_table(self) -> Html:
        """Every stream in numbers."""
        rows = []
        for row in self.rows:
            if row["n"] is None:
                continue
            level = f"confidence sequence at {1 - row['alpha']:.2%}, valid at any look"
            score = self.number(row, "score", "share", "no item yet", "measured" if row["workload"] else "derived")
            if score.low is not None:
                score = Figure(score.value, "share", score.kind, score.source, score.low, score.high, level)
            alarm = Figure(
                1 / row["alpha"], "e-value", "derived", f"study {self.study.name}",
                reason="1 over this stream's share of the false-alarm rate",
            )  # fmt: skip
            evidence = self.number(row, "e_value", "e-value", "exact, given the answers")
            rows.append(
                {
                    "Stream": f"{_name(row)}: {row['task']}",
                    "Items": self.number(row, "n", "items", "a count", "measured"),
                    "New": self.number(row, "new_n", "items", "a count", "measured"),
                    "Score": score,
                    "Floor": self.number(row, "floor", "share", row["floor_basis"], _floor_kind(self.study, row)),
                    "Evidence now": "over a million" if (row["e_value"] or 0) >= BEYOND else evidence,
                    "Alarm from": alarm,
                    "Ever alarmed": {True: "yes", False: "no", None: "no floor"}[row["alarm"]],
                }
            )
        return self.table("streams_numbers", "Streams at the newest look; intervals hold at all looks together", rows)

    def looks_table(self) -> Html:
        """The newest looks: how many decisions held, and what was said."""
        if not self.rows:
            return self.text("No look is stored yet.")
        rows = []
        for run, found in list(self.history.groupby("run_id", sort=False))[-_LOOKS:]:
            source = f"look {run}"
            decisions = found.drop_duplicates(["subject", "workload"])
            held = int(decisions["holds"].fillna(False).sum())
            when = str(found["started_at"].iloc[0])[:16].replace("T", " ")
            rows.append(
                {
                    "what": f"look of {when}",
                    "Look, UTC": when,
                    "Held": counted(held, "decisions", source),
                    "Watched": counted(len(decisions), "decisions", source),
                    "New items": counted(int(found["new_n"].sum()), "items", source, "measured"),
                    "What it said": cited(" ".join(said(found)) or "Every decision holds."),
                }
            )
        return self.table("looks", f"The newest looks, at most {_LOOKS}", rows)

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=list(dict.fromkeys(map(str, self.history["run_id"]))))


def _name(row: Mapping[str, Any]) -> str:
    return str(row["workload"] or row["subject"])


def _floor_kind(study: Study, row: Mapping[str, Any]) -> Kind:
    """A stated floor is what the study's column says of it; all others are derived."""
    stated = row["floor_basis"] == "quality floor of the workload"
    return study.workload_columns["quality_floor"].kind if stated else "derived"


def monitor_page(study: str, store: str = "") -> MonitorPage:
    """The page of a study (name or file) for the looks a store holds."""
    found, place = load_study(study), Store(store or None)
    history = looks(found, place)
    rows = records(history[history["run_id"] == history["run_id"].iloc[-1]]) if len(history) else []
    watched = [
        Stream(f"{_name(row)}: {row['task']}", *behind, row["alpha"],
               "measured" if row["workload"] else "derived", f"look {row['run_id']}")
        for row in rows
        if row["n"] and len((behind := values_of(found, row, place))[0])
    ]  # fmt: skip
    return MonitorPage(
        about=f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        study=found,
        rows=rows,
        history=history,
        streams=sorted(watched, key=lambda stream: -stream.evidence),
    )
