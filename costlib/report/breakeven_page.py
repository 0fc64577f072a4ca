"""What the break-even notebook shows: the staircase, what moves the crossing, and how likely self-hosting wins.

One self-hosted option is held against APIs for the mean request of the study. Every factor of the comparison is known
within a documented range: speeds and rates by their publications and providers, the rest by the study. The tornado
moves one at a time; Monte Carlo draws all of them, each from the triangle of its range.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from costlib.cost.breakeven import curve
from costlib.errors import bad
from costlib.figure import Figure, plain
from costlib.portfolio.options import supplies
from costlib.portfolio.plan import make_plan
from costlib.report.chart import Chart
from costlib.report.contest import UNITS, Contest
from costlib.report.ledger import Html, header_unit
from costlib.report.market import Duel
from costlib.report.market_page import MarketPage
from costlib.report.page import End, cited, long_date, records
from costlib.report.stairs import chances, stairs, swings
from costlib.store import Store
from costlib.study import load_study

_RIVALS = 3
_DRAWS, _CURVE_DRAWS = 100_000, 20_000
_SOLVED = "solved exactly from stated numbers"


@dataclass
class BreakevenPage(MarketPage):
    """The page; `own` is the self-hosted option (empty: the one that may serve most workloads)."""

    own: str = field(kw_only=True, default="")

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [supply.name for supply in self.found if supply.usd_per_hour is not None]
        if self.own and self.own not in names:
            raise bad("own", self.own, names or "none, nothing is self-hosted")
        self.now = self.stated(self.request.per_month, "requests/month")

    @cached_property
    def rivals(self) -> list[Duel]:
        """The comparisons shown, the API that is beaten first in front."""
        found = [one for one in self.duels if one.supply.name == self.own] if self.own else self._widest
        return sorted(found, key=lambda one: one.result.first_requests_per_month or float("inf"))[:_RIVALS]

    @cached_property
    def main(self) -> Duel | None:
        """The comparison the tornado is about: the hardest one that still crosses."""
        crossing = [one for one in self.rivals if one.result.first_requests_per_month]
        return crossing[-1] if crossing else None

    def opening(self) -> Html:
        """The executive summary."""
        if self.main is None:
            return self.summary("No self-hosted option of this study pays against an API at any volume.", [])
        main, chance = self.main, self.chance(self.main)
        volume = main.figure()
        first = self.rivals[0]
        cards = [(f"Break-even with {main.api.name}", volume)]
        cards += [(f"Break-even with {first.api.name}", first.figure())] if first is not main else []
        cards += [("Volume of this study", self.now), ("Probability that self-hosting is cheaper there", chance)]
        verb = "above" if self.request.per_month > float(volume.value or 0) else "below"
        return self.summary(
            "{own} beats {api} from {volume} on; this study stands at {now}, {verb} it, where self-hosting is cheaper "
            "with a probability of {chance}.",
            cards,
            "{own} is compared because it may serve the most workloads of the study. At least {n} replicas are kept, "
            "busy or idle.",
            own=main.supply.name,
            api=main.api.name,
            volume=volume,
            now=self.now,
            verb=verb,
            chance=chance,
            n=str(main.hosting.minimum_steps),
        )

    def stairs_heading(self) -> Html:
        """How wide a step is."""
        if self.main is None:
            return self.heading("The staircase never meets an API")
        return self.heading("Each replica adds {step} and carries {capacity}", step=self._step, capacity=self._capacity)

    @property
    def _step(self) -> Figure:
        assert self.main is not None
        low, value, high = self.main.hosting.usd_per_step_month  # type: ignore[misc]
        return Figure(value, "USD/month", "derived", self.main.supply.rate_source, low, high)

    @property
    def _capacity(self) -> Figure:
        assert self.main is not None
        low, value, high = self.main.hosting.requests_per_step_month  # type: ignore[misc]
        return Figure(value, "requests/month", "derived", self.main.supply.speed_source, low, high)

    def stairs_chart(self) -> Chart | Html:
        """Monthly cost by volume with every step, and the crossings of each API."""
        if self.main is None:
            return self.text("There is no crossing to draw.")
        hosting, minimum = self.main.hosting, self.main.hosting.minimum_steps
        marks = [one for one in self.rivals if one.result.first_requests_per_month]
        past_one_step = (minimum + 0.5) * float(self._capacity.value or 0)
        near = max(1.2 * self.request.per_month, *(1.6 * float(one.figure().value or 0) for one in marks))
        frame = curve(hosting, self.main.price, min(max(near, past_one_step), 8 * near), points=600)
        points = list(zip(*(frame[f"{n}"] for n in ("requests_per_month", "self_usd", "self_usd_low", "self_usd_high")),
                          strict=True))  # fmt: skip
        lines = [(one.api.name, float(one.price.usd_per_request)) for one in self.rivals]  # type: ignore[arg-type]
        crossings = []
        for one in marks:
            figure = one.figure()
            usd = float(figure.value or 0) * float(one.price.usd_per_request)  # type: ignore[arg-type]
            crossings.append((f"Break-even with {one.api.name}", figure, usd))
        return Chart(
            "stairs",
            "A staircase meets a line where self-hosting starts to pay",
            "USD per month by requests per month of the mean request; band: low to high end of every factor",
            f"Source: {self.main.supply.speed_source}; {self.main.supply.rate_source}; prices of {self.day}.",
            f"Line chart of monthly cost by volume where {self.main.supply.name} becomes cheaper beyond each circle",
            stairs(self.ledger, "stairs", points, lines, crossings, ("this study", self.now)),
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
            total = Figure(found.crossings_total, "crossings", "derived", source, reason=_SOLVED)
            rows.append(
                {
                    "api": one.api.name,
                    "verdict": found.verdict,
                    "total": total,
                    "first": one.figure(),
                    "last": last,
                    "worst": found.unfavourable,
                }
            )
        columns = {
            "api": "Against",
            "verdict": "Verdict",
            "total": "Changes of side",
            "first": "First cheaper from",
            "last": "Cheaper for good from",
            "worst": "At the unfavourable ends",
        }
        name = self.rivals[0].supply.name if self.rivals else "self-hosting"
        return self.table("crossings", f"Every crossing of {name}", columns, rows)

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
            swings(self.ledger, "tornado", rows, centre),
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
            rows.append({"name": name.capitalize(), "value": figure, "source": cited(source)})
        columns = {"name": "Factor", "value": "Value and range", "source": "Known by"}
        return self.table("ranges", "The factors of the comparison", columns, rows, mixed=("value",))

    def chance(self, one: Duel) -> Figure:
        """The probability that self-hosting is cheaper at the study's volume."""
        found = self.contest(one).cheaper(self.request.per_month, _DRAWS)
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
            "At this study's volume self-hosting beats {api} with a probability of {chance}",
            api=self.main.api.name, chance=self.chance(self.main),
        )  # fmt: skip

    def chance_chart(self) -> Chart | Html:
        """Probability by volume, one line per API."""
        if self.main is None:
            return self.text("There is no volume at which self-hosting is cheaper.")
        marks = [first for one in self.rivals if (first := one.result.first_requests_per_month)]
        low, high = min([*marks, self.request.per_month]) / 4, max([*marks, self.request.per_month]) * 4
        volumes = [float(volume) for volume in np.geomspace(low, high, 61)]
        lines = [
            (
                one.api.name,
                [self.contest(one).cheaper(v, _CURVE_DRAWS).probability or 0.0 for v in volumes],
                self.chance(one),
            )
            for one in self.rivals
        ]
        return Chart(
            "chances",
            "The odds turn around each break-even",
            "Probability that self-hosting is cheaper, by requests per month of the mean request",
            f"Source: {_CURVE_DRAWS:,} draws at each volume, seed {self.study.seed}; each factor drawn from the "
            "triangle of its range, independently.",
            "Line chart of the probability that self-hosting is cheaper where it rises past each break-even, that "
            f"with {self.main.api.name} last",
            chances(self.ledger, "chances", volumes, lines, ("this study", self.now)),
        )

    def chance_table(self) -> Html:
        """The probability at the study's volume, and what the difference comes to."""
        rows = []
        for one in self.rivals:
            found = self.contest(one).cheaper(self.request.per_month, _DRAWS).difference
            source = f"{_DRAWS:,} draws, seed {self.study.seed}; {one.figure().source}"
            saved = Figure(found.median, "USD/month", "derived", source, found.low, found.high, found.reason)
            rows.append({"api": one.api.name, "chance": self.chance(one), "saved": saved})
        columns = {
            "api": "Against",
            "chance": "Probability that self-hosting is cheaper",
            "saved": "What self-hosting saves, median",
        }
        return self.table("chance-list", "At this study's volume of the mean request", columns, rows)

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
        plan=make_plan(found, kept),
        found=supplies(found, kept),
        own=own,
    )
