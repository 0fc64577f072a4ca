"""What the market charges: APIs and self-hosting for the same request, and the volume at which they change places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from costlib.figure import Figure
from costlib.prices.book import PriceBook, load_book
from costlib.report.chart import PALETTE, Chart
from costlib.report.decisions import staircase
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE, Duel, api_usd, duel, hosted_usd, mean_request, per_mtok
from costlib.report.page import records
from costlib.report.plan_page import PlanPage, short
from costlib.study import ApiOption


@dataclass
class MarketPage(PlanPage):
    """Prices and break-even volumes for the mean request of the study."""

    book: PriceBook = field(default_factory=load_book)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request = mean_request(self.plan.workloads, self.study)

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

    def prices_chart(self) -> Chart:
        """Every API and self-hosted option on one logarithmic axis."""
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
        kinds = {"input": "Input", "cache_read": "Cached input", "output": "Output"}

        def amount(row: Mapping[str, Any], kind: str) -> Figure:
            value = row[f"{kind}_usd_per_mtok"]
            reason = row["reason"] or (LIST_PRICE if value is not None else "no such price is published")
            return Figure(value, "USD/Mtok", "quoted", f"{row['source']}: {row['price_ids']}", reason=reason)

        rows = [row | {kind: amount(row, kind) for kind in kinds} for row in records(self.plan.prices)]
        columns = {"option": "Model", "provider": "Provider", "tier": "Tier", **kinds}
        return self.table("price-list", f"API list prices as of {self.day}", columns, rows)

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

    @property
    def _widest(self) -> list[Duel]:
        """The duels of the self-hosted option that may serve the most workloads; of several, the earliest to pay."""

        def rank(one: Duel) -> tuple[int, float]:
            return -self.serves(one.supply.name), one.result.first_requests_per_month or math.inf

        best = min(self.duels, key=rank, default=None)
        return [d for d in self.duels if best and d.supply.name == best.supply.name]

    def breakeven_heading(self) -> Html:
        """From which volume own hardware wins, against the baseline and against the API of the same model."""
        winning = [d for d in self._widest if d.result.first_requests_per_month]
        if not winning:
            return self.heading("Own hardware pays at no volume")
        first, last = (pick(winning, key=lambda d: d.result.first_requests_per_month or 0) for pick in (min, max))
        sentence = "Own hardware beats {easy} from {volume}"
        if last is first:
            return self.heading(sentence, easy=first.api.name, volume=first.figure())
        return self.heading(
            sentence + ", {hard} from {more:bare}",
            easy=first.api.name, volume=first.figure(), hard=last.api.name, more=last.figure(),
        )  # fmt: skip

    def breakeven_chart(self) -> Chart | Html:
        """Monthly cost against volume for the strongest self-hosted option and its APIs."""
        rivals = self._widest
        if not rivals:
            return self.text("No self-hosted option may serve a workload of this study.")
        own = rivals[0].supply
        marks = [m for d in rivals if (m := d.result.first_requests_per_month)]
        low, high = (
            10 ** math.floor(math.log10(min(marks, default=1e5)) - 1),
            max(max(marks, default=1e6), self.request.per_month),
        )
        volumes = sorted({*np.geomspace(low, high * 4, 400).tolist(), *marks})
        lines = [(own.name, rivals[0].usd(volumes)[0]), *((d.api.name, d.usd(volumes)[1]) for d in rivals)]
        crossings = [(f"Break-even of {own.name} against {d.api.name}", d.figure(), d.api.name) for d in rivals]
        now = ("this study", self.stated(self.request.per_month, "requests/month"))
        return Chart(
            "breakeven",
            "Own hardware is a staircase, an API a line",
            "USD per month by requests per month of the mean request, both logarithmic; circles mark break-even",
            f"Source: {own.speed_source}; prices of {self.day}. At least {rivals[0].hosting.minimum_steps} replicas.",
            f"Line chart of monthly cost by volume where {own.name} becomes cheaper than an API beyond each circle",
            staircase(
                self.ledger, "breakeven", volumes, lines, crossings, ("requests per month", "USD per month"), now
            ),
        )

    def breakeven_table(self) -> Html:
        """Every pair, with the interval or the reason why there is no crossing."""
        rows = []
        for d in self.duels:
            at = d.figure()
            ends = [None if e is None else float(e) * self.request.tokens for e in (at.value, at.low, at.high)]
            tokens = Figure(ends[0], "tokens/month", "derived", at.source, ends[1], ends[2], at.reason)
            may = self.derived(self.serves(d.supply.name), "workloads", "a count")
            names = {"own": d.supply.name, "api": d.api.name, "what": f"{d.supply.name} against {d.api.name}",
                     "worst": d.unfavourable()}  # fmt: skip
            rows.append({**names, "may": may, "at": at, "tokens": tokens})
        columns = {
            "own": "Self-hosted",
            "may": "may serve",
            "api": "Against",
            "at": "Cheaper from",
            "tokens": "In tokens",
            "worst": "At the unfavourable end",
        }
        return self.table("breakevens", "Monthly volume above which self-hosting is cheaper", columns, rows)
