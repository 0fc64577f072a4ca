"""What the prices notebook shows: the price ladder by tier, what caches and batches save, and which prices moved.

`prices_page` makes the plan of a study, because a price change matters by what the plan buys; each method returns one
piece for a notebook cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from costlib.errors import InputError, bad
from costlib.figure import Figure
from costlib.portfolio.options import supplies
from costlib.portfolio.shared import plan as report_plan
from costlib.prices.api import PricedRequest, cache_break_even, price_request
from costlib.prices.book import Sheet
from costlib.read import iso_date
from costlib.report.chart import Chart, short
from costlib.report.figures import Group, Panel, bars, dots
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE
from costlib.report.moves_page import MovesPage
from costlib.report.page import End, long_date
from costlib.reporting.charts import PALETTE
from costlib.store import Store
from costlib.study import ApiOption, load_study

_THOUSAND = Decimal(1000)
_NOT_SOLD = "no such price is published"
_RATIO = "from two list prices"


@dataclass
class PricesPage(MovesPage):
    """The page; what moved is in `MovesPage`."""

    def opening(self) -> Html:
        """The executive summary."""
        steps, both = self.ladder_rows, self.savings
        if not steps:
            return self.summary("This study holds no API with a price for its mean request.", [])
        cheap, dear = steps[-1], steps[0]
        ratio = self.derived(float(dear["usd"].value) / float(cheap["usd"].value), "ratio", _RATIO)
        cards = [
            (f"1,000 mean requests with {dear['name']}", dear["usd"]),
            (f"1,000 mean requests with {cheap['name']}", cheap["usd"]),
        ]
        cached = [row for row in both if row["cache"].value]
        batched = [row for row in both if row["batch"].value]
        if cached:
            best = max(cached, key=lambda row: row["cache"].value)
            cards.append((f"Most saved by a cache: {best['name']}", best["cache"]))
        if batched:
            best = max(batched, key=lambda row: row["batch"].value)
            cards.append((f"Most saved by a batch: {best['name']}", best["batch"]))
        return self.summary(
            "The mean request of the study costs {x:bare} times as much with {dear} as with {cheap}; since {day}, "
            "{moved} of {known} list prices moved and {fell} of them fell.",
            cards,
            "Prices are list prices of {source}, as of {today}. A cheaper model is only cheaper where its answers are "
            "good enough; the portfolio report weighs that.",
            x=ratio,
            dear=dear["name"],
            cheap=cheap["name"],
            day=long_date(self.since),
            moved=f"{len(self.moves):,}",
            known=f"{self.known:,}",
            fell=f"{sum(row['usd_per_mtok_after'] < row['usd_per_mtok_before'] for row in self.moves):,}",
            source=self.book.source,
            today=self.day,
        )

    def _sheet(self, option: ApiOption, tier: str = "standard") -> Sheet | None:
        try:
            return self.book.sheet(option.model, option.provider, tier, self.study.as_of)
        except InputError:
            return None

    def _request(self, option: ApiOption, tier: str, cached_tokens: int) -> PricedRequest | None:
        try:
            return price_request(
                self.book,
                option.model,
                option.provider,
                input_tokens=self.request.input_tokens,
                output_tokens=self.request.output_tokens,
                cached_tokens=cached_tokens,
                tier=tier,
                as_of=self.study.as_of,
            )
        except InputError:
            return None

    def _price(self, option: ApiOption, kind: str) -> Figure:
        sheet = self._sheet(option)
        bands = sheet.bands.get(kind) if sheet else None
        if not bands:
            return Figure(None, "USD/Mtok", "quoted", self.book.source, reason=_NOT_SOLD)
        band = bands[0]
        return Figure(band.usd_per_mtok, "USD/Mtok", band.price.kind, band.price.id, reason=LIST_PRICE)

    @cached_property
    def ladder_rows(self) -> list[dict[str, Any]]:
        """Each API model that answers in words: tier of capability, prices, and $ of 1,000 mean requests."""
        rows = []
        for option in self.models.values():
            whole = self._request(option, "standard", 0)
            if whole is None:
                continue
            usd = Figure(whole.total * _THOUSAND, "USD/1,000 requests", "derived", whole.source, reason=LIST_PRICE)
            prices = {kind: self._price(option, kind) for kind in ("input", "cache_read", "output")}
            found = {"tier": option.capability, "name": option.name, "what": option.name, "option": option}
            rows.append({**found, "provider": option.provider, "usd": usd, **prices})
        return sorted(rows, key=lambda row: -row["usd"].value)

    def ladder_heading(self) -> Html:
        """How far apart the steps are."""
        if not (sold := [row for row in self.ladder_rows if row["output"].value]):
            return self.heading("No output token of this study has a price")
        top, low = sold[0], sold[-1]
        ratio = self.derived(float(top["output"].value) / float(low["output"].value), "ratio", _RATIO)
        return self.heading(
            "An output token of the {top} tier costs {x:bare} times one of the {low} tier",
            top=top["tier"],
            low=low["tier"],
            x=ratio,
        )

    def ladder_chart(self) -> Chart | Html:
        """Input and output list price of each tier."""
        if not self.ladder_rows:
            return self.text("There is no price to draw.")
        groups = Group("input", "o", "#ffffff"), Group("output", "s", PALETTE[0])
        one = Group("input and output", "D", PALETTE[1])
        rows = [
            (
                f"{row['tier']}: {row['name']}",
                [(one, row["output"])]
                if row["input"].value == row["output"].value
                else [(group, row[group.name]) for group in groups],
            )
            for row in self.ladder_rows
        ]
        top = self.ladder_rows[0]
        return Chart(
            "ladder",
            f"The {short(top['tier'], 4)} tier is the dearest step",
            "USD per million tokens, list price of the standard tier, by capability tier and model",
            f"Source: {self.book.source}, prices as of {self.day}.",
            f"Dot chart of input and output price by capability tier where {top['tier']} is the dearest step",
            dots(self.ledger, "ladder", rows, "USD per million tokens, logarithmic"),
        )

    def ladder_table(self) -> Html:
        """The prices, and what the mean request comes to."""
        columns = {"tier": "Tier", "name": "Model", "provider": "Provider", "input": "Input"}
        columns |= {"cache_read": "Cached input", "output": "Output", "usd": "1,000 mean requests"}
        return self.table("price-ladder", f"The price ladder, as of {self.day}", self.ladder_rows, columns=columns)

    @cached_property
    def savings(self) -> list[dict[str, Any]]:
        """Each model: what the cache and the batch tier save on the mean request, and when a cache pays."""
        rows = []
        for row in self.ladder_rows:
            option, plain = row["option"], row["usd"]
            cached, batch = (
                self._request(option, "standard", self.request.cached_tokens),
                self._request(option, "batch", 0),
            )
            pays = self._cache(option)
            rows.append(
                {
                    **row,
                    "cache": self._saved(plain, cached),
                    "batch": self._saved(plain, batch),
                    "reads": self._when(option, pays.reads_per_write if pays else None, "reads/write"),
                    "hits": self._when(option, pays.hit_rate if pays else None, "share"),
                }
            )
        return rows

    def _saved(self, plain: Figure, other: PricedRequest | None) -> Figure:
        source = other.source if other else self.book.source
        if other is None:
            return Figure(None, "share", "derived", source, reason=_NOT_SOLD)
        return Figure(
            1 - other.total * _THOUSAND / Decimal(str(plain.value)), "share", "derived", source, reason=_RATIO
        )

    def _cache(self, option: ApiOption) -> Any:
        sheet = self._sheet(option)
        kinds = [sheet.bands.get(kind) if sheet else None for kind in ("input", "cache_write_5m", "cache_read")]
        if not all(kinds):
            return None
        return cache_break_even(*(bands[0].usd_per_mtok for bands in kinds))  # type: ignore[index]

    def _when(self, option: ApiOption, value: Decimal | None, unit: str) -> Figure:
        reason = _RATIO if value is not None else "no price for writing to the cache: nothing to earn back"
        return Figure(value, unit, "derived", f"{self.book.source}: {option.provider}/{option.model}", reason=reason)

    def savings_heading(self) -> Html:
        """What the study's cached share is worth, at best and at least."""
        known = [row for row in self.savings if row["cache"].value]
        if not known:
            return self.heading("No provider of this study sells cached input")
        high, low = (pick(known, key=lambda row: row["cache"].value) for pick in (max, min))
        return self.heading(
            "A cache saves {low} with {cheap} and {high} with {dear}",
            low=low["cache"], cheap=low["name"], high=high["cache"], dear=high["name"],
        )  # fmt: skip

    def savings_text(self) -> Html:
        """What is compared."""
        share = self.derived(self.request.cached_tokens / self.request.input_tokens, "share", "from the workload table")
        return self.text(
            "Compared is the mean request of the study: {a} in and {b} out, {share} of the input repeating from one "
            "request to the next. The saving counts reads alone; where a provider charges for writing, the table says "
            "how often a written token must be read before the cache pays.",
            a=self.stated(self.request.input_tokens, "tokens"),
            b=self.stated(self.request.output_tokens, "tokens"),
            share=share,
        )

    def savings_chart(self) -> Chart | Html:
        """The saving of the cache and of the batch tier, by model."""
        if not self.savings:
            return self.text("There is no saving to draw.")
        panels = [
            Panel(title, [(row["name"], row[key]) for row in self.savings])
            for key, title in (("cache", "Saved by the cache"), ("batch", "Saved by the batch tier"))
        ]
        best = max(self.savings, key=lambda row: row["cache"].value or 0)
        return Chart(
            "savings",
            f"{short(best['name'], 4)} saves most by caching",
            "Share of the standard price of the mean request; unknown: the provider publishes no such price",
            f"Source: {self.book.source}, prices as of {self.day}.",
            f"Bar chart of savings by model where {best['name']} saves most by caching",
            bars(self.ledger, "savings", panels),
        )

    def savings_table(self) -> Html:
        """The savings as numbers, with the break-even of a cache."""
        columns = {"name": "Model", "usd": "1,000 mean requests", "cache": "Saved by the cache",
                   "batch": "Saved by the batch", "reads": "Cache pays from", "hits": "as a hit rate"}  # fmt: skip
        return self.table("effects", "What a cache and a batch save on the mean request", self.savings, columns=columns)

    def close(self) -> End:
        """The ledger and the end."""
        provenance = {"Prices": f"{self.book.source}, as of {self.study.as_of}, SHA-256 {self.book.snapshot}"}
        return self.end(provenance=provenance)


def prices_page(study: str, store: str = "", since: str = "") -> PricesPage:
    """The page of a study (name or file); `since` is a day as YYYY-MM-DD, empty for a year before the study's date.

    Raises `InputError` for a day the price book does not cover.
    """
    found = load_study(study)
    kept = Store(store or None)
    year_before = found.as_of.replace(year=found.as_of.year - 1, day=min(found.as_of.day, 28))
    day = year_before if not since else iso_date(since)
    if day is None or not day < found.as_of:
        raise bad("since", since, f"a day as YYYY-MM-DD before the study's date, {found.as_of}")
    return PricesPage(
        about=f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        plan=report_plan(found, kept),
        found=supplies(found, kept),
        since=day,
    )
