"""The part of the measure page about $ per token: what the hour of the device costs, split over its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import pandas as pd

from costlib.cost.token import CONVENTIONS
from costlib.cost.token_table import cost_per_token
from costlib.figure import Figure
from costlib.prices.rates import Rental
from costlib.report.chart import Chart
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE
from costlib.report.measured_rows import Row
from costlib.report.page import Page, figure_of, long_date, records
from costlib.reporting.charts import PALETTE

_SPLITS = {"phase_time": "by phase time", "price_ratio": "by price ratio", "output_carries_all": "all on output"}


class Costs(Page):
    """Mixed into the measure page: `rows` and the measured `ok` by label, `rate` of the device where one is known."""

    rows: Mapping[str, Row]
    ok: Mapping[str, Any]
    where: str
    rate: Rental | None
    price_ratio: tuple[str, float] | None

    def cost_heading(self) -> Html:
        """From the cheapest to the dearest precision."""
        costs = self.blended
        if not costs:
            return self.heading("No $ per token: no hourly rate is known for this device")
        low, *_, high = sorted([*costs, *costs], key=lambda name: costs[name].value or 0)
        if low == high:
            return self.heading("{low} costs {least}", low=low, least=costs[low])
        return self.heading(
            "A million tokens cost {least:bare} with {low}, {most:bare} with {high}",
            least=costs[low], low=low, most=costs[high], high=high,
        )  # fmt: skip

    def cost_text(self) -> Html:
        """The rate behind the costs."""
        if self.rate is None:
            return self.text("data/rates.csv holds no rate for this device.")
        one = self.rate.offer
        rate = Figure(self.rate.usd_per_hour, "USD/hour", one.kind, one.source, reason=LIST_PRICE)
        dearest = Figure(self.rate.dearest_usd_per_hour, "USD/hour", one.kind, "data/rates.csv", reason=LIST_PRICE)
        sentence = (
            "The hour of {device} is charged at {rate}, what {provider} asks for {n} together, seen on {day}; the "
        )
        sentence += "dearest provider asks {dearest}."
        ratio: Figure | str = ""
        if self.price_ratio:
            ratio = Figure(self.price_ratio[1], "input tokens", "quoted", self.price_ratio[0], reason="a list price")
            sentence += " The split by price ratio counts an output token as {ratio}, the way {api} is priced."
        api = self.price_ratio[0] if self.price_ratio else ""
        day = long_date(self.rate.observed_on)
        names = {"device": self.rate.device, "provider": one.provider, "n": str(self.rate.devices), "day": day}
        return self.text(sentence, rate=rate, dearest=dearest, ratio=ratio, api=api, **names)

    def cost_chart(self) -> Chart | Html:
        """$ per million input and output tokens under each convention."""
        if not self.costs:
            return self.text("No cost can be drawn yet.")
        groups = Group("input", "o", "#ffffff"), Group("output", "s", PALETTE[0])
        rows = [(row["what"], [(g, self._cost(row, g.name)) for g in groups]) for row in self.costs]
        return Chart(
            "cost",
            "How the hour is split decides the price of input",
            "USD per million tokens at full use of the device, by precision and split convention",
            f"Source: {self.where}; rate: {self.rate.source if self.rate else 'none'}.",
            "Dot chart of dollars per million tokens where the split convention moves cost between input and output",
            dots(self.ledger, "cost", rows, "USD per million tokens, logarithmic"),
        )

    def cost_table(self) -> Html:
        """The same as numbers, with the blended rate."""
        parts = {"Input tokens": "input", "Output tokens": "output", "All tokens": "blended"}
        rows = [
            {"what": row["what"], "Precision": row["label"], "Split of the hour": row["split"]}
            | {title: self._cost(row, part) for title, part in parts.items()}
            for row in self.costs
        ]
        return self.table("costs", "Cost of a million tokens at full use of the device", rows)

    @cached_property
    def costs(self) -> list[dict[str, Any]]:
        """One row per configuration and convention."""
        if self.rate is None or not self.ok:
            return []
        ratio = self.price_ratio[1] if self.price_ratio else None
        used = [c for c in CONVENTIONS if ratio is not None or c != "price_ratio"]
        speeds = pd.DataFrame(list(self.ok.values()))
        frame = cost_per_token(speeds, (self.rate.offer,), conventions=used, output_to_input_price_ratio=ratio)
        labels = [name for name in self.ok for _ in used]
        return [
            {**row, "label": n, "split": _SPLITS[row["convention"]], "what": f"{n}, {_SPLITS[row['convention']]}"}
            for n, row in zip(labels, records(frame), strict=True)
        ]

    @property
    def blended(self) -> dict[str, Figure]:
        """$/Mtok of all tokens, by label, where known."""
        found = {row["label"]: self._cost(row, "blended") for row in self.costs if row["convention"] == "phase_time"}
        return {name: figure for name, figure in found.items() if figure.value is not None}

    def _cost(self, row: Row, part: str) -> Figure:
        source = f"runs {self.rows[row['label']]['run_ids']}; rate: {self.rate.source if self.rate else ''}"
        name = f"{part}_usd_per_mtok"
        left_out = row["interval_reason"]
        if left_out:  # the spread of the rate alone would look like a narrow interval of the cost
            row = {**row, f"{name}_low": None, f"{name}_high": None}
        reason = row["reason"] or left_out or "no tokens carry this part"
        figure = figure_of(row, name, "USD/Mtok", kind="derived", source=source, reason=reason)
        return figure if figure.low is None else replace(figure, reason="range of speeds; a list price is exact")
