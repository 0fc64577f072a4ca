"""When requests arrive: a steady rate, a 24x7 profile, or a log.

A profile is a repeating cycle of periods. Within a period arrivals are random at a constant mean rate (Poisson, unless
a log shows them burstier); between periods the rate changes. Capacity is planned from it, so that utilization follows
from the profile and is not typed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from costlib.cost.inputs import SECONDS_PER_MONTH, is_number, number
from costlib.errors import invalid_input
from costlib.figure import Kind, Number
from costlib.prices.usage_table import seconds
from costlib.read import read_frame

Time = datetime | np.datetime64 | Number
"""An arrival: a date and time (`pandas.Timestamp` included), or seconds of any epoch."""

_HOUR = 3600.0
_FEWEST_GAPS = 100
_SHORTEST_LOG_S = 60.0
_LONGEST_LOG_S = 10 * 8766 * _HOUR


@dataclass(frozen=True)
class Arrivals:
    """A cycle of periods, each with its mean rate and length.

    `scv` is the squared coefficient of variation of the gaps between arrivals: 1 for Poisson, more for bursts. `kind`
    is measured for a log and assumed otherwise.
    """

    rates_per_s: tuple[float, ...]
    durations_s: tuple[float, ...]
    kind: Kind
    source: str
    scv: float = 1.0

    @property
    def cycle_s(self) -> float:
        """Length of the cycle."""
        return math.fsum(self.durations_s)

    @property
    def mean_rate_per_s(self) -> float:
        """Requests per second over the whole cycle."""
        return math.fsum(r * d for r, d in zip(self.rates_per_s, self.durations_s, strict=True)) / self.cycle_s

    @property
    def peak_rate_per_s(self) -> float:
        """Requests per second of the busiest period."""
        return max(self.rates_per_s)

    @property
    def requests_per_month(self) -> float:
        """Requests in a month of 730 hours."""
        return self.mean_rate_per_s * SECONDS_PER_MONTH


def steady(requests_per_month: Number) -> Arrivals:
    """Poisson arrivals at one mean rate, day and night; 0 requests is allowed."""
    rate = number("requests_per_month", requests_per_month, zero=True) / SECONDS_PER_MONTH
    return Arrivals((rate,), (_HOUR,), "assumed", "Poisson at a steady mean rate")


def hourly(requests_per_month: Number, weights: Sequence[Number]) -> Arrivals:
    """Poisson arrivals whose rate follows 24 weights (hours of a day) or 168 (hours of a week, from Monday 00:00).

    Weights are relative and at least 0; they are scaled so that the month holds `requests_per_month`.
    """
    if len(weights) not in (24, 168):
        raise invalid_input(
            "hourly weights", len(weights), "24 weights, one per hour of a day, or 168, one per hour of a week"
        )
    shape = [number(f"hourly weight {hour}", weight, zero=True) for hour, weight in enumerate(weights)]
    total = math.fsum(shape)
    if total == 0:
        raise invalid_input("hourly weights", "all 0", "at least one above 0")
    mean = number("requests_per_month", requests_per_month, zero=True) / SECONDS_PER_MONTH
    rates = tuple(mean * (weight / total) * len(shape) for weight in shape)
    return Arrivals(rates, (_HOUR,) * len(shape), "assumed", f"{len(shape)} hourly weights")


def from_log(timestamps: Iterable[Time], source: str = "request log") -> Arrivals:
    """A profile from the arrival times of a log: datetimes, or seconds of any epoch; the order does not matter.

    A datetime without a time zone counts as UTC. Hours are counted from the first request; a last piece of less than
    half an hour is joined to the hour before it.
    `scv` is pooled over the gaps within each hour, so that the daily rhythm does not count as bursts; it stays at 1
    (Poisson) below 100 gaps and is never set below 1, which would promise more than a log of one period can show.
    Raises `InputError` for fewer than two times, a span below a minute or above ten years, or a time that is not one.
    """
    seconds = np.sort(_seconds(timestamps))
    if len(seconds) < 2:
        raise invalid_input("timestamps", f"{len(seconds)} times", "at least two, to know a rate")
    at = seconds - seconds[0]
    span = float(at[-1])
    if not _SHORTEST_LOG_S <= span <= _LONGEST_LOG_S:
        raise invalid_input(
            "span of the timestamps", f"{span:g} s", "a minute to ten years between the first and the last"
        )
    hours = max(1, math.floor(span / _HOUR + 0.5))
    edges = np.append(np.arange(hours) * _HOUR, max(span, np.nextafter(span, np.inf)))
    counts, _ = np.histogram(at, bins=edges)
    lengths = np.diff(edges)
    return Arrivals(
        tuple((counts / lengths).tolist()), tuple(lengths.tolist()), "measured", source, _burstiness(at, edges)
    )


def from_file(path: Path | str) -> Arrivals:
    """`from_log` of the column `timestamp` of a CSV or Parquet file of requests; raises what `read_frame` raises."""
    frame, places = read_frame(Path(path), "log of requests")
    if "timestamp" not in frame.columns:
        raise invalid_input("missing column", "timestamp", "the moment of each request, in ISO 8601", places.file)
    return from_log(seconds(frame["timestamp"], "timestamp", places), source=f"log of {len(frame):,} requests")


def _seconds(timestamps: Iterable[Time]) -> np.ndarray:
    values = list(timestamps)
    seconds = np.empty(len(values))
    for index, value in enumerate(values):
        if isinstance(value, (datetime, np.datetime64)) and not pd.isna(value):
            seconds[index] = pd.Timestamp(value).timestamp()
        elif is_number(value):
            seconds[index] = float(value)
        else:
            raise invalid_input(f"timestamp {index}", value, "a date and time, or seconds as a finite number")
    return seconds


def _burstiness(at: np.ndarray, edges: np.ndarray) -> float:
    """Squared coefficient of variation of the gaps, each hour's gaps scaled to a mean of 1; at least 1."""
    hour = np.searchsorted(edges, at, side="right")
    scaled = []
    for number_of_hour in np.unique(hour):
        gaps = np.diff(at[hour == number_of_hour])
        if len(gaps) >= 2 and gaps.mean() > 0:
            scaled.append(gaps / gaps.mean())
    pooled = np.concatenate(scaled) if scaled else np.empty(0)
    return max(1.0, float(pooled.var())) if len(pooled) >= _FEWEST_GAPS else 1.0
