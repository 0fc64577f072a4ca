"""Routers and calibration: what a router recovers against its floors, and whether a confidence means what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from costlib.figure import Figure
from costlib.portfolio.routing.calibration import coverage_error
from costlib.portfolio.routing.requests import Requests
from costlib.portfolio.routing.route import Routed
from costlib.report.chart import Chart
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.lines import Curve, curves
from costlib.report.page import Page, figure_of, records

_HALF = "a mean over the reporting half"
_MOST = 4


@dataclass
class RouterPage(Page):
    """The part about routers; `found` is the verdict, `requests` what was judged, `named` the file."""

    found: Routed = field(kw_only=True)
    requests: Requests = field(kw_only=True)
    named: str = field(kw_only=True)

    def derived(self, row: Mapping[str, Any], name: str, unit: str, reason: str = _HALF) -> Figure:
        """A number of the verdict with its interval."""
        return figure_of(row, name, unit, kind="derived", source=self.named, reason=reason)

    def routers_heading(self) -> Html:
        """The best router and its floor."""
        rows = records(self.found.routers)
        if not rows:
            return self.heading("No router could be judged")
        best = max(rows, key=lambda row: row["apgr"] or 0)
        return self.heading(
            "{name} recovers {apgr} of the gap on average, a coin half of it",
            name=best["router"],
            apgr=self.derived(best, "apgr", "share"),
        )

    def routers_text(self) -> Html:
        """Why there is no curve, or what the ceiling is."""
        if not len(self.found.routers):
            why = (
                "the cheapest model is the best one" if self.found.weak == self.found.strong else "there are no prompts"
            )
            return self.text("Nothing to draw: {why}.", why=why)
        reason = "exact, from the scores of every request"
        oracle = Figure(self.found.oracle_apgr, "share", "derived", self.named, reason=reason)
        sentence = "Between {weak} and {strong}; an oracle that knows every score would recover {oracle}."
        return self.text(sentence, weak=self.found.weak, strong=self.found.strong, oracle=oracle)

    def routers_chart(self) -> Chart | Html:
        """Gap recovered beyond a coin by the share sent to the strong model, one line per router."""
        frame = self.found.curve
        names = [name for name in dict.fromkeys(frame["router"]) if name != "random"][:_MOST]
        if not names:
            return Html("")
        lines = []
        for turn, name in enumerate(names):
            own = frame[frame["router"] == name]
            gain = (own["pgr"] - own["share_strong"]).tolist()
            lines.append(Curve(name, own["share_strong"].tolist(), gain, (turn + 1) / (len(names) + 1)))
        return Chart(
            "routers",
            "A router is worth what it adds to a coin",
            f"Share of the gap between {self.found.weak} and {self.found.strong} recovered beyond sending at random",
            f"Source: {self.named}; every score comes from a router that never saw the request.",
            f"Line chart of recovered gap by share of strong calls where {names[0]} is compared with a coin at zero",
            curves(self.ledger, "routers", lines, ("share sent to the stronger model", "recovered beyond a coin"),
                   ("share", "share"), zero=True),
        )  # fmt: skip

    def floors_chart(self) -> Chart | Html:
        """APGR of every router, and its distance to the best other floor, on paired intervals."""
        rows = records(self.found.routers)
        if not rows:
            return Html("")
        panels = [
            Panel("Gap recovered on average",
                  [(row["router"], self.derived(row, "apgr", "share")) for row in rows], reference=(0.5, "coin")),
            Panel("Beyond the best other floor, points",
                  [(row["router"], self.derived(row, "over_floor", "points")) for row in rows], reference=(0, "floor")),
        ]  # fmt: skip
        return Chart(
            "floors",
            "A learned router must beat every simple rule",
            "Average share of the gap recovered (APGR), and its paired difference to the best other floor",
            f"Source: {self.named}; lines: 95 % bootstrap interval over requests.",
            "Dot chart of routers where each is compared with a coin and with the best other floor",
            bars(self.ledger, "floors", panels),
        )

    def routers_table(self) -> Html:
        """Exact APGR beside its published approximations, and the shares that recover half and four fifths."""
        titles = {"apgr": "APGR, exact", "apgr_trapezoid": "by 11 thresholds", "apgr_mean": "mean of 10 shares",
                  "cpt_50": "Strong calls for half", "cpt_80": "for four fifths"}  # fmt: skip

        def reached(row: Mapping[str, Any], name: str) -> Figure:
            known = row[name] is not None
            return self.derived(row, name, "share", "exact, over all requests" if known else "it is never recovered")

        rows = [
            {"Router": f"{row['router']} (floor)" if row["floor"] else row["router"]}
            | {title: reached(row, name) for name, title in titles.items()}
            for row in records(self.found.routers)
        ]
        return self.table("router-table", "Routers by every public measure", rows)

    def calibration_heading(self) -> Html:
        """Whether a confidence means what it says."""
        said = [row for row in records(self.found.models) if row["calibration_error"] is not None]
        if not said:
            return self.heading("No model says how sure it is")
        worst = max(said, key=lambda row: row["calibration_error"])
        return self.heading(
            "What {model} says of its certainty is off by {error} on average",
            model=worst["model"],
            error=self.derived(worst, "calibration_error", "points", "over all requests, no interval is drawn"),
        )

    def calibration_chart(self) -> Chart | Html:
        """Share of wrong answers by the share answered, surest first."""
        lines = []
        known = list(self.requests.confidence.items())[:_MOST]
        for turn, (model, said) in enumerate(known):
            points = coverage_error(said, self.requests.of(model)[0])
            step = max(1, len(points) // 200)
            kept = [point for point in points[::step] if point[1] >= 0.02] + [points[-1]]
            at = (turn + 1) / (len(known) + 1)
            lines.append(Curve(model, [point[1] for point in kept], [point[2] for point in kept], at))
        if not lines:
            return self.text("A table with columns NAME_confidence would show whether a model knows when it is wrong.")
        return Chart(
            "coverage",
            "The surest answers are the ones to keep",
            "Share of wrong answers among those given, by the share of requests answered, surest first",
            f"Source: {self.named}; all requests.",
            f"Line chart of errors by coverage where {lines[0].name} answers its surest requests first",
            curves(self.ledger, "coverage", lines, ("share answered", "of them wrong"), ("share", "share")),
        )
