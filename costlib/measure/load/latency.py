"""Latencies of a trace and their percentiles, each with an interval that assumes no distribution.

A percentile is shown where its 95 % interval exists: the two order statistics between which it lies with at least that
probability (binomial; Hahn and Meeker, Statistical Intervals, 5.2). So p50 needs 6 answers, p95 72 and p99 368, and
there is no p99 of 30. Requests of one test share a queue: under load the intervals cover less than they say. Gaps of
one answer depend on each other far more, so percentiles of pooled gaps have no interval.

Answers that failed or were cut have no latency. They are counted beside it, because leaving them out flatters it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.stats.intervals import CONFIDENCE, quantile_interval

if TYPE_CHECKING:
    import pandas as pd

PERCENTILES = (50, 90, 95, 99)
_POOLED = "gaps of one answer depend on each other: an interval would be too narrow"

Row = dict[str, Any]


def ttft_sent(row: Row) -> float:
    """Seconds from sending to the first piece of text."""
    return float(row["first_s"] - row["sent_s"])


def ttft_scheduled(row: Row) -> float:
    """Seconds from the moment the request was due to the first piece of text."""
    return float(row["first_s"] - row["scheduled_s"])


def e2e_sent(row: Row) -> float:
    """Seconds from sending to the last piece of text."""
    return float(row["last_s"] - row["sent_s"])


def e2e_scheduled(row: Row) -> float:
    """Seconds from the moment the request was due to the last piece of text."""
    return float(row["last_s"] - row["scheduled_s"])


def tpot(row: Row) -> float | None:
    """Seconds per token after the first one; None where one token was written."""
    tokens = int(row["output_tokens"])
    return float(row["last_s"] - row["first_s"]) / (tokens - 1) if tokens > 1 else None


PER_REQUEST: dict[str, Callable[[Row], float | None]] = {
    "ttft_scheduled_s": ttft_scheduled,
    "ttft_sent_s": ttft_sent,
    "e2e_scheduled_s": e2e_scheduled,
    "e2e_sent_s": e2e_sent,
    "stream_tpot_s": tpot,
}
"""Latencies of one answer, by metric id."""


def answered(requests: pd.DataFrame) -> list[Row]:
    """The rows of whole answers."""
    return [{str(k): v for k, v in row.items()} for row in requests[requests["outcome"] == "ok"].to_dict("records")]


def pooled_gaps(rows: Sequence[Row]) -> list[float]:
    """Seconds between the pieces of text of each answer, all together."""
    return [float(gap) for row in rows for gap in np.diff(np.asarray(row["chunk_s"], dtype=float))]


def fewest(percentile: float) -> int:
    """Samples from which on a percentile has an interval on both sides."""
    share = max(percentile, 100 - percentile) / 100
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(share))


def percentile(samples: Sequence[float], which: float, *, pooled: bool = False) -> Row:
    """`value_s`, its ends and the number of samples; a `reason` for what is missing."""
    row: Row = {"percentile": which, "samples": len(samples), "value_s": None, "low_s": None, "high_s": None}
    if len(samples) < fewest(which):
        return row | {"reason": f"p{which:g} needs {fewest(which)} samples, there are {len(samples)}"}
    if pooled:
        return row | {"value_s": float(np.quantile(samples, which / 100)), "reason": _POOLED}
    value, low, high = quantile_interval(samples, which / 100)
    return row | {"value_s": value, "low_s": low, "high_s": high, "reason": None}


def latencies(requests: pd.DataFrame) -> pd.DataFrame:
    """Table `load_latencies` of traces: every percentile of every latency of each test, in rows."""
    import pandas as pd

    from costlib.tables import LOAD_LATENCIES

    rows: list[Row] = []
    for run_id, trace in requests.groupby("run_id", sort=False):
        found = answered(trace)
        for metric, of in PER_REQUEST.items():
            samples = [value for row in found if (value := of(row)) is not None]
            rows += [{"run_id": run_id, "metric": metric, **percentile(samples, which)} for which in PERCENTILES]
        gaps = pooled_gaps(found)
        rows += [{"run_id": run_id, "metric": "itl_s", **percentile(gaps, q, pooled=True)} for q in PERCENTILES]
    return LOAD_LATENCIES.validate(pd.DataFrame(rows, columns=LOAD_LATENCIES.names))
