"""What the market charges: APIs and self-hosting for the same request, and the volume at which they change places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from costlib.cost.breakeven import curve
from costlib.figure import Figure
from costlib.prices.book import PriceBook, load_book
from costlib.report.chart import Chart, short
from costlib.report.decisions import staircase
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE, Duel, api_usd, duel, hosted_usd, mean_request, per_mtok
from costlib.report.page import records
from costlib.report.plan_page import PlanPage
from costlib.reporting.charts import PALETTE
from costlib.study import ApiOption

_RIVALS = 3


@dataclass
class MarketPage(PlanPage):
    """Prices and break-even volumes for the mean request; `own` is the self-hosted option whose break-even is drawn.

    An empty `own` is the one that may serve the most workloads.
    """

    book: PriceBook = field(default_factory=load_book)
    own: str = field(kw_only=True, default="")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request = mean_request(self.plan.workloads, self.study)
        self.now = self.stated(self.request.per_month, "requests/month")

    @cached_property
    def ladder(self) -> list[tuple[str, bool, Figure]]:
        """Name, whether it is self-hosted, and $/Mtok of the mean request, dearest first."""
        found = []
        for supply in self.found:
            option = supply.option
            own = not isinstance(option, ApiOption)
            if isinstance(option, ApiOption):
                made = api_usd(self.book, option, self.request, self.study)
            else:
                made = hosted_usd(supply, self.request)
            found += [(option.name, own, per_mtok(made, self.request))] if made else []
        return sorted(found, key=lambda row: -float(row[2].value or 0))

    def prices_heading(self) -> Html:
        """How far apart the options are."""
        if len(self.ladder) < 2:
            return self.heading("No two options have a price per token to compare")
        (high_name, _, high), (low_name, _, low) = self.ladder[0], self.ladder[-1]
        ratio = self.derived(float(high.value or 0) / float(low.value or 1), "ratio", "ratio of two prices")
        return self.heading(
            "A token of {high} costs {x:bare} times one of {low}", high=high_name, low=low_name, x=ratio
        )

    def prices_text(self) -> Html:
        """The request that is compared."""
        return self.text(
            "Compared is the mean request of the study: {a} in, of which {c:bare} come from a cache where the provider "
            "sells one, and {b} out. Self-hosted options are shown for a replica that is always busy, which none is.",
            a=self.stated(self.request.input_tokens, "tokens"),
            b=self.stated(self.request.output_tokens, "tokens"),
            c=self.stated(self.request.cached_tokens, "tokens"),
        )

    def prices_chart(self) -> Chart | Html:
        """Every API and self-hosted option on one logarithmic axis."""
        if not self.ladder:
            return self.text("No option of this study has a price per token.")
        groups = Group("API", "o", "#ffffff"), Group("self-hosted, always busy", "D", PALETTE[1])
        rows = [(name, [(groups[own], figure)]) for name, own, figure in self.ladder]
        high, low = self.ladder[0][0], self.ladder[-1][0]
        return Chart(
            "prices",
            f"{short(high, 6)} is dearest per token",
            "USD per million tokens of the mean request; lines: 95 % interval, or cheapest to dearest provider",
            f"Source: {self.book.source}, prices as of {self.day}; self-hosted: see the ledger.",
            f"Dot chart of dollars per million tokens by option where {high} is dearest and {low} cheapest",
            dots(self.ledger, "prices", rows, "USD per million tokens, logarithmic"),
        )

    def prices_table(self) -> Html:
        """List prices as of the study's date."""

        def amount(row: Mapping[str, Any], kind: str) -> Figure:
            value = row[f"{kind}_usd_per_mtok"]
            reason = row["reason"] or (LIST_PRICE if value is not None else "no such price is published")
            return Figure(value, "USD/Mtok", "quoted", f"{row['source']}: {row['price_ids']}", reason=reason)

        rows = [
            {
                "Model": row["option"],
                "Provider": row["provider"],
                "Tier": row["tier"],
                "Input": amount(row, "input"),
                "Cached input": amount(row, "cache_read"),
                "Output": amount(row, "output"),
            }
            for row in records(self.plan.prices)
        ]
        return self.table("price-list", f"API list prices as of {self.day}", rows)

    @cached_property
    def duels(self) -> list[Duel]:
        """Each usable self-hosted option against the API of its model, the plan's cheapest API and the baseline."""
        apis = {o.name: o for o in self.study.options if isinstance(o, ApiOption)}
        priced = {n: usd for n, o in apis.items() if (usd := api_usd(self.book, o, self.request, self.study))}
        used = sorted({row["option"] for row in self.chosen} & priced.keys(), key=lambda n: priced[n].value or 0)
        found = []
        for supply in sorted(self.found, key=lambda s: -self.serves(s.name)):
            if not self.serves(supply.name):
                continue
            same = [n for n in priced if apis[n].capability == supply.option.capability]
            for name in dict.fromkeys([*same[:1], *used[:1], *([self.base] if self.base in priced else [])]):
                made = duel(supply, apis[name], priced[name], self.request, self.study)
                found += [made] if made else []
        return found

    def serves(self, option: str) -> int:
        """How many workloads an option may serve."""
        return sum(bool(self.others[name, option]["eligible"]) for name in self.names)

    @cached_property
    def rivals(self) -> list[Duel]:
        """The comparisons of one self-hosted option, the API that is beaten first in front."""

        def first(one: Duel) -> float:
            return one.result.first_requests_per_month or float("inf")

        best = min(self.duels, key=lambda one: (-self.serves(one.supply.name), first(one)), default=None)
        name = self.own or (best.supply.name if best else "")
        return sorted((one for one in self.duels if one.supply.name == name), key=first)[:_RIVALS]

    @cached_property
    def crossing(self) -> list[Duel]:
        """Those in which self-hosting is cheaper from some volume on; the hardest comes last."""
        return [one for one in self.rivals if one.result.first_requests_per_month]

    def breakeven_heading(self) -> Html:
        """From which volume own hardware wins, against the baseline and against the API of the same model."""
        if not self.crossing:
            return self.heading("Own hardware pays at no volume")
        first, last = self.crossing[0], self.crossing[-1]
        sentence = "Own hardware beats {easy} from {volume}" + (
            ", {hard} from {more:bare}" if last is not first else ""
        )
        figures = {"volume": first.figure(), "more": last.figure()}
        return self.heading(sentence, easy=first.api.name, hard=last.api.name, **figures)

    def breakeven_chart(self) -> Chart | Html:
        """Monthly cost by volume with every step, and the crossings of each API."""
        if not self.crossing:
            return self.text("There is no crossing to draw.")
        main = self.crossing[-1]
        crossings = [
            (f"Break-even with {one.api.name}", at, float(at.value or 0) * one.usd_per_request)
            for one in self.crossing
            for at in [one.figure()]
        ]
        past_one_step = (main.hosting.minimum_steps + 0.5) * main.requests_per_step[1]
        near = max(1.2 * self.request.per_month, *(1.6 * float(at.value or 0) for _, at, _ in crossings))
        frame = curve(main.hosting, main.price, min(max(near, past_one_step), 8 * near), points=600)
        columns = ("requests_per_month", "self_usd", "self_usd_low", "self_usd_high")
        points = list(zip(*(frame[name] for name in columns), strict=True))
        lines = [(one.api.name, one.usd_per_request) for one in self.rivals]
        return Chart(
            "breakeven",
            "A staircase meets a line where self-hosting starts to pay",
            "USD per month by requests per month of the mean request; band: low to high end of every factor; circles: "
            "break-even",
            f"Source: {main.supply.speed_source}; {main.supply.rate_source}; prices of {self.day}. At least "
            f"{main.hosting.minimum_steps * main.replicas_per_step} replicas.",
            f"Line chart of monthly cost by volume where {main.supply.name} becomes cheaper beyond each circle",
            staircase(self.ledger, "breakeven", points, lines, crossings, ("this study", self.now)),
        )

    def breakeven_table(self) -> Html:
        """Every pair, with the interval or the reason why there is no crossing."""
        rows = []
        for d in self.duels:
            at = d.figure()
            ends = [None if e is None else float(e) * self.request.tokens for e in (at.value, at.low, at.high)]
            rows.append(
                {
                    "what": f"{d.supply.name} against {d.api.name}",
                    "Self-hosted": d.supply.name,
                    "may serve": self.derived(self.serves(d.supply.name), "workloads", "a count"),
                    "Against": d.api.name,
                    "Cheaper from": at,
                    "In tokens": Figure(ends[0], "tokens/month", "derived", at.source, ends[1], ends[2], at.reason),
                    "At the unfavourable end": d.unfavourable(),
                }
            )
        return self.table("breakevens", "Monthly volume above which self-hosting is cheaper", rows)
