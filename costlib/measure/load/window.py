"""What a server delivered while it was neither filling up nor running empty.

The steady-state window begins when the first answer is whole (closed loop: as many as there are clients) and ends when
the last request is sent: before it nothing can be finished, after it nothing new comes. Tokens count where their piece
came, so an answer that crosses an end of the window counts with the part inside. The interval is that of batch means
(Law, Simulation Modeling and Analysis, 9.5.3): ten equal stretches of the window, Student's t over their rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.measure.load.latency import Row, answered
from costlib.stats.intervals import mean_interval
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ANSWERS = 10
ANSWERS_FOR_INTERVAL = 30
BATCHES = 10
_GROWS, _GROWS_BY = 1.5, 1.0
_OUTRUN = "more come than are answered, so latencies rise as long as the test lasts"


@dataclass(frozen=True)
class Rate:
    """Something per second with its 95 % interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Window:
    """Throughput in the window; None with a `reason` where there is no window, or no interval."""

    start_s: float | None
    end_s: float | None
    requests_per_s: Rate | None = None
    output_tokens_per_s: Rate | None = None
    input_tokens_per_s: Rate | None = None
    in_flight: float | None = None
    reason: str | None = None
    stationary: bool | None = None
    stationary_reason: str | None = None


def steady(requests: pd.DataFrame, clients: int | None) -> Window:
    """The window of one trace (table `load_requests`); `clients` is None for an open loop."""
    rows = answered(requests)
    ends = sorted(float(row["end_s"]) for row in rows)
    sent = requests["sent_s"].dropna()
    fill = clients or 1
    if len(ends) < fill or sent.empty:
        return Window(None, None, reason=f"{len(ends)} whole answers: the server was never full")
    start, end = ends[fill - 1], float(sent.max())
    inside = sum(start < moment <= end for moment in ends)
    if end <= start or inside < FEWEST_ANSWERS:
        why = f"{max(inside, 0)} answers between filling up and running empty, {FEWEST_ANSWERS} are needed"
        return Window(None, None, reason=why)
    edges = np.linspace(start, end, BATCHES + 1)
    finished = [(row["end_s"], 1.0) for row in rows]
    # What the test itself hung up on at its time limit was delivered all the same; what broke was not.
    delivered = [*rows, *_hung_up(requests)]
    written = [
        (moment, int(row["output_tokens"]) / len(row["chunk_s"])) for row in delivered for moment in row["chunk_s"]
    ]
    read = [(row["first_s"], float(row["prompt_tokens"])) for row in rows if not is_null(row["prompt_tokens"])]
    few = inside < ANSWERS_FOR_INTERVAL
    rates = [_rate(events, edges, few) for events in (finished, written, read if len(read) == len(rows) else [])]
    halves = [
        _in_flight(requests, left, right)
        for left, right in ((start, (start + end) / 2), ((start + end) / 2, end), (start, end))
    ]
    grows = clients is None and halves[1] > _GROWS * halves[0] + _GROWS_BY
    return Window(
        start,
        end,
        requests_per_s=rates[0],
        output_tokens_per_s=rates[1],
        input_tokens_per_s=rates[2],
        in_flight=halves[2],
        reason=f"{inside} answers in the window: an interval needs {ANSWERS_FOR_INTERVAL}" if few else None,
        stationary=not grows,
        stationary_reason=f"from {halves[0]:.1f} to {halves[1]:.1f} requests in flight: {_OUTRUN}" if grows else None,
    )


def _rate(events: Sequence[tuple[Any, float]], edges: np.ndarray, few: bool) -> Rate | None:
    """Sum of the weights of timed events per second between the outer edges."""
    if not events:
        return None
    moments, weights = (np.asarray(column, dtype=float) for column in zip(*events, strict=True))
    inside = moments > edges[0]  # not the end that opens the window: it belongs to what came before
    counts, _ = np.histogram(moments[inside], bins=edges, weights=weights[inside])
    value, low, high = mean_interval(counts / np.diff(edges), 0.0)
    return Rate(value, None, None) if few else Rate(value, low, high)


def _hung_up(requests: pd.DataFrame) -> list[Row]:
    """Answers under way when the time of the test was over."""
    cut = requests[(requests["outcome"] == "cut") & requests["reason"].fillna("").str.startswith("time_limit")]
    return [{str(k): v for k, v in row.items()} for row in cut.to_dict("records")]


def _in_flight(requests: pd.DataFrame, left: float, right: float) -> float:
    """Mean number of requests that were due and not ended, over a stretch of time."""
    begun = requests["scheduled_s"].clip(left, right)
    ended = requests["end_s"].fillna(right).clip(left, right)
    return float((ended - begun).clip(lower=0).sum() / (right - left))


def most_at_once(requests: pd.DataFrame) -> int:
    """The largest number of requests under way at one moment."""
    sent = requests[requests["sent_s"].notna()]
    moments = np.concatenate([sent["sent_s"], sent["end_s"]])
    steps = np.concatenate([np.ones(len(sent)), -np.ones(len(sent))])
    order = np.lexsort((steps, moments))  # at the same moment, ends before starts
    return int(np.cumsum(steps[order]).max()) if len(sent) else 0
