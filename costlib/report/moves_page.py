"""Which list prices moved since a day, and what that does to a plan's bill."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from costlib.figure import Figure
from costlib.portfolio.api_use import api_use, price_effect
from costlib.prices.changes import diff
from costlib.report.chart import Chart
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE
from costlib.report.market_page import MarketPage
from costlib.report.page import listed, long_date, records
from costlib.reporting.charts import PALETTE
from costlib.study import ApiOption

MOVES = ("moved", "corrected", "unclear")
"""Changes that are another price for the same thing."""
_TOP, _OF_EACH, _WORDS = 12, 3, "three"


@dataclass
class MovesPage(MarketPage):
    """Price moves since a day, over the whole list and for the study's models."""

    since: date = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.models: dict[tuple[str, str], ApiOption] = {}
        for option in self.study.options:
            if isinstance(option, ApiOption):
                self.models.setdefault((option.provider, option.model), option)

    @cached_property
    def changes(self) -> list[dict[str, Any]]:
        """Every change of the list since the day."""
        return records(diff(self.book, self.book, before_day=self.since, after_day=self.study.as_of))

    @property
    def moves(self) -> list[dict[str, Any]]:
        """Changes that are another price for the same thing."""
        return [row for row in self.changes if row["change"] in MOVES]

    @property
    def known(self) -> int:
        """Prices that were known on the first day."""
        return sum(self.book.holds(price, self.since) for price in self.book.prices)

    def moves_heading(self) -> Html:
        """How many prices moved, and which way."""
        fell = sum(row["usd_per_mtok_after"] < row["usd_per_mtok_before"] for row in self.moves)
        return self.heading(
            "Since {day}, {n} list prices moved: {fell} fell and {rose} rose",
            day=long_date(self.since), n=f"{len(self.moves):,}", fell=f"{fell:,}", rose=f"{len(self.moves) - fell:,}",
        )  # fmt: skip

    @cached_property
    def largest(self) -> list[dict[str, Any]]:
        """The largest moves of input and output prices by factor, at most a few of each provider."""
        rows = [r for r in self.moves if r["token_kind"] in ("input", "output") and not r["above_input_tokens"]]
        rows = [r for r in rows if r["usd_per_mtok_before"] and r["usd_per_mtok_after"] and r["tier"] == "standard"]
        size = {id(r): abs(math.log(r["usd_per_mtok_after"] / r["usd_per_mtok_before"])) for r in rows}
        found: list[dict[str, Any]] = []
        of = Counter[str]()
        for row in sorted(rows, key=lambda r: (-size[id(r)], r["provider"], r["model"], r["token_kind"])):
            of[row["provider"]] += 1
            found += [row] * (of[row["provider"]] <= _OF_EACH)
        return found[:_TOP]

    def _side(self, row: dict[str, Any], side: str) -> Figure:
        return Figure(row[f"usd_per_mtok_{side}"], "USD/Mtok", "quoted", row[f"price_id_{side}"], reason=LIST_PRICE)

    def moves_chart(self) -> Chart | Html:
        """The largest moves, before and after."""
        if not self.largest:
            return self.text("No input or output price of the standard tier moved.")
        groups = Group("before", "o", "#ffffff"), Group("after", "s", PALETTE[0])
        rows = [
            (f"{r['provider']}: {_tail(r['model'])}, {r['token_kind']}", [(g, self._side(r, g.name)) for g in groups])
            for r in self.largest
        ]
        return Chart(
            "moves",
            f"{_tail(self.largest[0]['model'])} moved most",
            f"USD per million tokens on {long_date(self.since)} and on {self.day}; at most {_WORDS} of each provider",
            f"Source: {self.book.source}; each price with its id in the ledger.",
            f"Dot chart of prices before and after where {_tail(self.largest[0]['model'])} moved most",
            dots(self.ledger, "moves", rows, "USD per million tokens, logarithmic"),
        )

    def own_text(self) -> Html:
        """How many of the study's own prices moved, and which of its models are newer than the day."""
        own = [row for row in self.changes if (row["provider"], row["model"]) in self.models]
        moved = sum(row["change"] in MOVES for row in own)
        before = {(price.provider, price.model) for price in self.book.prices if self.book.holds(price, self.since)}
        new = [option.name for key, option in self.models.items() if key not in before]
        sentence = (
            f"{moved or 'None'} of these {'is the price of a model' if moved < 2 else 'are prices of models'} of "
        )
        sentence += "this study."
        if new:
            sentence += f" {len(new)} of its {len(self.models)} models were first listed later: {listed(new)}."
        undated = {(p.provider, p.model) for p in self.book.prices if p.effective_from is None and p.tier == "standard"}
        unknown = [option.name for key, option in self.models.items() if key in undated and option.name not in new]
        if unknown:
            sentence += f" For {listed(unknown)} no first day of the price is published: whether it moved is unknown, "
            sentence += "and today's price stands for both days."
        return self.text("{sentence}", sentence=sentence)

    def own_table(self) -> Html:
        """Every price of the study's models that moved, was corrected or is gone."""
        own = [r for r in self.changes if (r["provider"], r["model"]) in self.models and r["change"] != "added"]
        rows = [
            {
                "what": f"{r['provider']}/{r['model']} · {r['tier']} {r['token_kind']} > {r['above_input_tokens']}",
                "Model": self.models[r["provider"], r["model"]].name,
                "Price": f"{r['tier']} {r['token_kind'].replace('_', ' ')}",
                "Change": r["change"],
                "Before": self._side(r, "before"),
                "After": self._side(r, "after") if r["price_id_after"] else "no longer listed",
            }
            for r in own
        ]
        return self.table("own-changes", f"Prices of the study's models since {long_date(self.since)}", rows)

    @cached_property
    def effects(self) -> list[dict[str, Any]]:
        """What the plan's API requests cost at the prices of both days."""
        days = {"before_day": self.since, "after_day": self.study.as_of}
        return records(price_effect(api_use(self.plan), self.book, self.book, **days))

    def effects_table(self) -> Html:
        """The same requests at the prices of both days, by workload."""

        def cell(row: dict[str, Any], name: str) -> Figure:
            reason = "exact at list prices" if row[f"{name}_usd"] is not None else self._unpriced(row)
            return Figure(row[f"{name}_usd"], "USD/month", "derived", str(row["source"]), reason=reason)

        rows = [
            {"Workload": r["workload"], "Served by": r["option"]}
            | {title: cell(r, name) for title, name in (("Then", "before"), ("Now", "after"), ("Change", "effect"))}
            for r in self.effects
        ]
        if not rows:
            return self.text("The plan buys nothing from an API.")
        return self.table("effects-on-plan", "The plan's API bill at the prices of both days", rows)

    def _unpriced(self, row: dict[str, Any]) -> str:
        """Why a workload has no bill at the prices of a day."""
        of = self.book.by_model.get((row["provider"], row["model"]), ())
        first = min((price.known_from for price in of if price.tier == row["tier"]), default=self.since)
        return f"no price is known before {long_date(first)}" if first > self.since else str(row["reason"])


def _tail(model: str) -> str:
    """A model's name without what stands before its last slash."""
    return model.rsplit("/", 1)[-1]
