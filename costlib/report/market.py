"""APIs beside self-hosting for one kind of request: the study's mean request, priced and served both ways.

The mean request weighs every workload that gets an answer in words by its volume. It makes unlike options comparable
in one number; the plan itself prices each workload by its own token counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from costlib.cost.inputs import Interval
from costlib.errors import InputError
from costlib.figure import Figure
from costlib.portfolio.supply import Supply
from costlib.prices.api import price_request
from costlib.prices.book import PriceBook
from costlib.study import ApiOption, Study

LIST_PRICE = "a list price: exact, until it changes"


@dataclass(frozen=True)
class Request:
    """The mean request: tokens in, of these from the cache, tokens out, and how many there are in a month.

    `peak_to_mean` is the rate of the busiest hour of all workloads together over the month's mean rate.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    per_month: float
    peak_to_mean: float = 1.0

    @property
    def tokens(self) -> int:
        """All tokens of a request."""
        return self.input_tokens + self.output_tokens


def mean_request(workloads: pd.DataFrame, study: Study) -> Request:
    """The mean request of the workloads that have output tokens (of all, where none has), weighted by volume."""
    text = workloads[workloads["output_tokens"] > 0]
    text = workloads if text.empty else text
    weights = text["requests_per_month"].astype(float)
    means = [round(float(np.average(text[f"{part}_tokens"].astype(float), weights=weights)))
             for part in ("input", "cached", "output")]  # fmt: skip
    shares = np.array([study.profiles[name].hourly_share() for name in text["profile"]])
    peak = float((weights.to_numpy()[:, None] * shares).sum(axis=0).max()) * study.assume("hours_per_month")
    return Request(means[0], means[1], means[2], float(weights.sum()), peak / float(weights.sum()))


def api_usd(book: PriceBook, option: ApiOption, request: Request, study: Study) -> Figure | None:
    """$ per request at list price with the cached share, or None where the option prices no such request."""
    for cached in (request.cached_tokens, 0):  # a provider without a cache price charges every token in full
        tokens = {"input_tokens": request.input_tokens, "output_tokens": request.output_tokens, "cached_tokens": cached}
        try:
            priced = price_request(book, option.model, option.provider, **tokens, tier=option.tier, as_of=study.as_of)
        except InputError:
            continue
        return Figure(float(priced.total), "USD/request", "derived", priced.source, reason=LIST_PRICE)
    return None


def served_s(supply: Supply, request: Request) -> Interval | None:
    """Seconds of one replica per request; None without a speed."""
    prefill, decode = supply.prefill_tokens_per_s, supply.decode_tokens_per_s
    if prefill is None or decode is None:
        return None
    low, base, high = (
        request.input_tokens / p + request.output_tokens / d for p, d in zip(prefill, decode, strict=True)
    )
    return Interval(min(low, high), base, max(low, high))


def hosted_usd(supply: Supply, request: Request) -> Figure | None:
    """$ per request of a replica that is busy all the time; None without a speed or a rate."""
    seconds, rate = served_s(supply, request), supply.usd_per_hour
    if seconds is None or rate is None:
        return None
    ends = [rate[0] * seconds.low, rate[1] * seconds.base, rate[2] * seconds.high]
    low, base, high = (end / 3600 for end in ends)
    source = f"{supply.speed_source}; {supply.rate_source}"
    return Figure(base, "USD/request", "derived", source, low, high)
