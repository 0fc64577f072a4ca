"""One self-hosted option against one API with every factor in its range: where they change places, and how likely.

The factors are the hourly rate, both speeds and the busy share allowed (as the option and the study know them) and the
tokens of the mean request (as the study's column rules know them). The API's price follows the tokens; it has no range
of its own, because a list price is exact until it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from costlib.cost.breakeven import Api, SelfHosting, break_even
from costlib.cost.uncertainty import CheaperProbability, probability_cheaper, tornado
from costlib.figure import KINDS, Kind
from costlib.portfolio.offers import mean_request
from costlib.portfolio.supply import Ends
from costlib.prices.book import PriceBook
from costlib.report.market import Duel, Request
from costlib.study import Study

UNITS = {
    "hourly rate": "USD/hour",
    "prefill speed": "tokens/s",
    "decode speed": "tokens/s",
    "busy share allowed": "share",
    "prompt length": "tokens",
    "answer length": "tokens",
}
"""Unit of each factor."""

_COLUMNS = {"prompt length": "input_tokens", "answer length": "output_tokens"}


@dataclass(frozen=True)
class Contest:
    """A duel whose factors can move; `ends` holds (low, value, high) by factor, `known_by` its kind and source."""

    duel: Duel
    request: Request
    study: Study
    book: PriceBook

    @cached_property
    def ends(self) -> Mapping[str, Ends]:
        """Low end, value and high end of each factor."""
        supply = self.duel.supply
        assert supply.prefill_tokens_per_s and supply.decode_tokens_per_s
        hourly = self.duel.usd_per_step[1] / self.study.assume("hours_per_month")
        lengths: dict[str, Ends] = {}
        for name, column in _COLUMNS.items():
            rule, tokens = self.study.workload_columns[column], float(getattr(self.request, column))
            lengths[name] = (tokens * rule.low_factor, tokens, tokens * rule.high_factor)
        return {
            "hourly rate": (hourly, hourly, hourly),
            "prefill speed": supply.prefill_tokens_per_s,
            "decode speed": supply.decode_tokens_per_s,
            "busy share allowed": self.study.assumptions.max_utilization.ends,
            **lengths,
        }

    def known_by(self, factor: str) -> tuple[Kind, str]:
        """Kind and source of a factor."""
        supply, used = self.duel.supply, self.study.assumptions.max_utilization
        if factor == "busy share allowed":
            return used.kind, used.source
        if factor in _COLUMNS:
            rule = self.study.workload_columns[_COLUMNS[factor]]
            return rule.kind, rule.source
        rate = factor == "hourly rate"
        kinds: dict[str, Kind] = {"measured": "measured", "quoted": "quoted", "assumed": "assumed"}
        assert set(kinds) < set(KINDS)
        kind = kinds.get(supply.rate_kind if rate else supply.speed_kind, "derived")
        return kind, supply.rate_source if rate else supply.speed_source

    @cached_property
    def _usd_per_token(self) -> tuple[float, float]:
        """$ of one input token (its cached share included) and of one output token of the mean request."""
        api, request = self.duel.api, self.request
        use: dict[str, Any] = {"model": api.model, "provider": api.provider, "tier": api.tier}
        use |= {"input_tokens": request.input_tokens, "cached_tokens": request.cached_tokens}
        inputs, whole = (
            float(mean_request(self.book, use | {"output_tokens": tokens}, self.study.as_of).total)
            for tokens in (0, request.output_tokens)
        )
        return inputs / request.input_tokens, (whole - inputs) / request.output_tokens

    def _step(self, factors: Mapping[str, Any]) -> tuple[Any, Any]:
        """$ and requests per month of one purchase of replicas, as they are sold."""
        hours = self.study.assume("hours_per_month")
        prefill = factors["prompt length"] / factors["prefill speed"]
        seconds = prefill + factors["answer length"] / factors["decode speed"]
        busy_hours = self.duel.replicas_per_step * hours * factors["busy share allowed"] / self.request.peak_to_mean
        return factors["hourly rate"] * hours, busy_hours * 3600 / seconds

    def own_usd(self, volume: Any, **factors: Any) -> Any:
        """$ a month of self-hosting; numbers, or arrays of draws."""
        usd, capacity = self._step(factors)
        return np.maximum(self.duel.hosting.minimum_steps, np.ceil(volume / capacity)) * usd

    def api_usd(self, volume: Any, **factors: Any) -> Any:
        """$ a month of the API; numbers, or arrays of draws."""
        per_input, per_output = self._usd_per_token
        return volume * (per_input * factors["prompt length"] + per_output * factors["answer length"])

    def first(self, **factors: float) -> float | None:
        """The first volume at which self-hosting is cheaper, in requests per month; None where it never is."""
        usd, capacity = self._step(factors)
        hosting = SelfHosting(usd, capacity, minimum_steps=self.duel.hosting.minimum_steps)
        return break_even(hosting, Api(float(self.api_usd(1, **factors)))).first_requests_per_month

    def tornado(self) -> pd.DataFrame:
        """`first` at both ends of each factor, as `cost.uncertainty.tornado` lays it out."""
        return tornado(self.first, self.ends)

    def cheaper(self, volume: float, draws: int) -> CheaperProbability:
        """Probability that self-hosting is cheaper at a volume, each factor drawn from the triangle of its range."""
        factors: dict[str, Ends | float] = {**self.ends, "volume": volume}
        return probability_cheaper(self.own_usd, self.api_usd, factors, draws=draws, seed=self.study.seed)
