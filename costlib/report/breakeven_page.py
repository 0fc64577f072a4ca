"""What the break-even notebook shows: the staircase, what moves the crossing, and how likely self-hosting wins.

One self-hosted option is held against APIs for the mean request of the study. Every factor of the comparison is known
within a documented range: speeds and rates by their publications and providers, the rest by the study. The tornado
moves one at a time; Monte Carlo draws all of them, each from the triangle of its range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from costlib.cost.uncertainty import CheaperProbability
from costlib.errors import bad
from costlib.figure import Figure, plain
from costlib.portfolio.options import supplies
from costlib.portfolio.shared import plan as report_plan
from costlib.report.chart import Chart
from costlib.report.contest import UNITS, Contest
from costlib.report.decisions import tornado
from costlib.report.ledger import Html
from costlib.report.lines import Curve, curves
from costlib.report.market import Duel
from costlib.report.market_page import MarketPage
from costlib.report.page import End, cited, long_date, records
from costlib.reporting.numbers import header_unit
from costlib.store import Store
from costlib.study import load_study

_DRAWS, _CURVE_DRAWS = 100_000, 20_000
_LEVELS = (0.75, 0.5, 0.25)
"""Where the name of each line stands, so that no two names touch."""
_SOLVED = "solved exactly from stated numbers"


@dataclass
class BreakevenPage(MarketPage):
    """The page; the chart of the staircase is in `MarketPage`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [supply.name for supply in self.found if supply.usd_per_hour is not None]
        if self.own and self.own not in names:
            raise bad("own", self.own, names or "none, nothing is self-hosted")

    @cached_property
    def main(self) -> Duel | None:
        """The comparison the tornado is about: the hardest one that still crosses."""
        return self.crossing[-1] if self.crossing else None

    def opening(self) -> Html:
        """The executive summary."""
        if self.main is None:
            return self.summary("No self-hosted option of this study pays against an API at any volume.", [])
        main, chance = self.main, self.chance(self.main)
        volume = main.figure()
        first = self.rivals[0]
        cards = [(f"Break-even with {main.api.name}", volume)]
        cards += [(f"Break-even with {first.api.name}", first.figure())] if first is not main else []
        cards += [("Volume of this study", self.now), ("Draws in which self-hosting is cheaper there", chance)]
        verb = "above" if self.request.per_month > float(volume.value or 0) else "below"
        return self.summary(
            "{own} beats {api} from {volume} on; this study stands at {now}, {verb} it, where self-hosting is cheaper "
            "in {chance} of the draws.",
            cards,
            "{own} is compared because it may serve the most workloads of the study. At least {n} replicas are kept, "
            "busy or idle. A draw takes every factor at random from its range.",
            own=main.supply.name,
            api=main.api.name,
            volume=volume,
            now=self.now,
            verb=verb,
            chance=chance,
            n=str(main.hosting.minimum_steps * main.replicas_per_step),
        )

    def stairs_heading(self) -> Html:
        """How wide a step is."""
        if self.main is None:
            return self.heading("The staircase never meets an API")
        (usd_low, usd, usd_high), (low, value, high) = self.main.usd_per_step, self.main.requests_per_step
        return self.heading(
            "Each {purchase} adds {step} and carries {capacity}",
            purchase="replica" if self.main.replicas_per_step == 1 else f"{self.main.replicas_per_step} replicas",
            step=Figure(usd, "USD/month", "derived", self.main.supply.rate_source, usd_low, usd_high),
            capacity=Figure(value, "requests/month", "derived", self.main.supply.speed_source, low, high),
        )

    def crossings_table(self) -> Html:
        """Every crossing of each comparison with its interval, or the verdict where there is none."""
        rows = []
        for one in self.rivals:
            found = one.result
            source = one.figure().source
            last = Figure(found.last_requests_per_month, "requests/month", "derived", source, reason=found.reason)
            if found.last_low is not None and found.last_high is not None and found.last_requests_per_month is not None:
                ends = (found.last_low, found.last_high)
                last = Figure(found.last_requests_per_month, "requests/month", "derived", source, *ends)
            rows.append(
                {
                    "Against": one.api.name,
                    "Verdict": found.verdict,
                    "Changes of side": Figure(found.crossings_total, "crossings", "derived", source, reason=_SOLVED),
                    "First cheaper from": one.figure(),
                    "Cheaper for good from": last,
                    "At the unfavourable ends": found.unfavourable,
                }
            )
        name = self.rivals[0].supply.name if self.rivals else "self-hosting"
        return self.table("crossings", f"Every crossing of {name}", rows)

    def contest(self, one: Duel) -> Contest:
        """A comparison with its factors in their ranges."""
        return Contest(one, self.request, self.study, self.book)

    @cached_property
    def swings(self) -> list[dict[str, Any]]:
        """The tornado of the main comparison, widest first; factors without a range are left out."""
        if self.main is None:
            return []
        return [row for row in records(self.contest(self.main).tornado()) if row["low"] < row["high"]]

    def tornado_heading(self) -> Html:
        """The factor to pin down first."""
        if not self.swings:
            return self.heading("No factor has a range")
        top = self.swings[0]
        if top["swing"] is None:
            return self.heading("{factor} decides whether self-hosting pays at all", factor=top["factor"].capitalize())
        low, high = sorted((top["result_low"], top["result_high"]))
        return self.heading(
            "{factor} moves the break-even most: from {low:bare} to {high}",
            factor=top["factor"].capitalize(),
            low=self.derived(low, "requests/month", _SOLVED),
            high=self.derived(high, "requests/month", _SOLVED),
        )

    def tornado_chart(self) -> Chart | Html:
        """The break-even volume at both ends of each factor."""
        if self.main is None or not self.swings:
            return self.text("There is no break-even to move.")

        def end(row: dict[str, Any], side: str) -> tuple[str, Figure]:
            words = f"{plain(row[side])} {header_unit(UNITS[row['factor']])}"
            reason = _SOLVED if row[f"result_{side}"] is not None else "never: the API is cheaper at every volume"
            return words, self.derived(row[f"result_{side}"], "requests/month", reason)

        rows = [(row["factor"], end(row, "low"), end(row, "high")) for row in self.swings]
        centre = ("Break-even", self.main.figure())
        top = self.swings[0]["factor"]
        return Chart(
            "tornado",
            f"{top.capitalize()} moves the break-even most",
            f"First volume at which {self.main.supply.name} beats {self.main.api.name}, one factor at a time",
            f"Source: {self.main.supply.speed_source}; {self.main.supply.rate_source}; ranges in the table below.",
            f"Tornado chart of break-even volume by factor where {top} moves it most",
            tornado(self.ledger, "tornado", rows, centre, "requests per month"),
        )

    def ranges_table(self) -> Html:
        """Each factor with its range, and what it is known by."""
        if self.main is None:
            return Html("")
        contest = self.contest(self.main)
        rows = []
        for name, (low, value, high) in contest.ends.items():
            kind, source = contest.known_by(name)
            ends = (low, high, None) if low < high else (None, None, "no range published")
            figure = Figure(value, UNITS[name], kind, source, *ends)
            rows.append({"Factor": name.capitalize(), "Value and range": figure, "Known by": cited(source)})
        return self.table("ranges", "The factors of the comparison", rows, mixed=("Value and range",))

    @cached_property
    def odds(self) -> dict[str, CheaperProbability]:
        """How likely self-hosting is cheaper than each API at the study's volume."""
        return {one.api.name: self.contest(one).cheaper(self.request.per_month, _DRAWS) for one in self.rivals}

    def chance(self, one: Duel) -> Figure:
        """The probability that self-hosting is cheaper at the study's volume."""
        found = self.odds[one.api.name]
        value, error = found.probability, 1.96 * (found.standard_error or 0.0)
        source = f"{_DRAWS:,} draws, seed {self.study.seed}; {one.figure().source}"
        if value is None:
            return Figure(None, "probability", "derived", source, reason=found.reason)
        if value in (0.0, 1.0):
            return Figure(value, "probability", "derived", source, reason=f"every one of {_DRAWS:,} draws agrees")
        low, high = max(0.0, value - error), min(1.0, value + error)
        return Figure(value, "probability", "derived", source, low, high)

    def chance_heading(self) -> Html:
        """How likely self-hosting is cheaper at the study's volume."""
        if self.main is None:
            return self.heading("Self-hosting is never cheaper")
        return self.heading(
            "At this study's volume self-hosting beats {api} in {chance} of the draws",
            api=self.main.api.name, chance=self.chance(self.main),
        )  # fmt: skip

    def chance_chart(self) -> Chart | Html:
        """Probability by volume, one line per API."""
        if self.main is None:
            return self.text("There is no volume at which self-hosting is cheaper.")
        marks = [self.request.per_month, *(one.result.first_requests_per_month or 0 for one in self.crossing)]
        volumes = [float(volume) for volume in np.geomspace(min(marks) / 4, max(marks) * 4, 61)]
        aside = volumes[48] if self.request.per_month < volumes[30] else volumes[12]  # clear of the circle
        lines = []
        for one, level in zip(self.rivals, _LEVELS, strict=False):
            shares = [self.contest(one).cheaper(volume, _CURVE_DRAWS).probability or 0.0 for volume in volumes]
            at = next((v for v, share in zip(volumes, shares, strict=True) if share >= level), aside)
            lines.append(Curve(one.api.name, volumes, shares, at, self.chance(one)))
        axes = "requests per month, logarithmic", "probability"
        return Chart(
            "chances",
            "The odds turn around each break-even",
            "Probability that self-hosting is cheaper, by requests per month of the mean request; circles: this study",
            f"Source: {_CURVE_DRAWS:,} draws at each volume, seed {self.study.seed}; each factor drawn from the "
            "triangle of its range, independently.",
            "Line chart of the probability that self-hosting is cheaper where it rises past each break-even, that "
            f"with {self.main.api.name} last",
            curves(self.ledger, "chances", lines, axes, ("count", "share"), now=("this study", self.now)),
        )

    def chance_table(self) -> Html:
        """The probability at the study's volume, and what the difference comes to."""
        rows = []
        for one in self.rivals:
            found = self.odds[one.api.name]
            source = f"{_DRAWS:,} draws, seed {self.study.seed}; {one.figure().source}"
            saved = Figure(found.median, "USD/month", "derived", source, found.low, found.high, found.reason)
            rows.append(
                {
                    "Against": one.api.name,
                    "Draws in which self-hosting is cheaper": self.chance(one),
                    "What self-hosting saves, median": saved,
                }
            )
        return self.table("chance-list", "At this study's volume of the mean request", rows)

    def close(self) -> End:
        """The ledger and the end."""
        provenance = {"Prices": f"{self.book.source}, as of {self.study.as_of}, SHA-256 {self.book.snapshot}"}
        return self.end(provenance=provenance)


def breakeven_page(study: str, store: str = "", own: str = "") -> BreakevenPage:
    """The page of a study (name or file); `own` is a self-hosted option, empty for the one that serves most workloads.

    Raises `InputError` for an option that is not self-hosted.
    """
    found = load_study(study)
    kept = Store(store or None)
    return BreakevenPage(
        about=f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        plan=report_plan(found, kept),
        found=supplies(found, kept),
        own=own,
    )
