"""One load test as rows: the trace of its attempts, and what follows from the trace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costlib.measure.load.drive import Flow
from costlib.measure.load.latency import PER_REQUEST, answered, percentile, pooled_gaps
from costlib.measure.load.selftest import SelfTest, verdict
from costlib.measure.load.slo import Slo, goodput
from costlib.measure.load.window import Rate, most_at_once, steady
from costlib.tables import LOAD_REQUESTS
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

    from costlib.measure.load.arrivals import Planned


def trace(run_id: str, flow: Flow, planned: Sequence[Planned]) -> pd.DataFrame:
    """Table `load_requests` of what was sent; tokens are the server's, else a chunk counts as a token."""
    import pandas as pd

    rows = []
    for attempt, asked in zip(flow.attempts, planned, strict=False):
        row: dict[str, Any] = {
            "run_id": run_id,
            **{name: getattr(attempt, name) for name in ("number", "outcome", "reason", "scheduled_s", "sent_s")},
            **{name: getattr(attempt, name) for name in ("end_s", "chunk_s", "cached_tokens", "finish_reason")},
            "prompt_words": attempt.words,
            "output_tokens_asked": asked.output_tokens,
        }
        if attempt.chunk_s:
            row |= {"first_s": attempt.chunk_s[0], "last_s": attempt.chunk_s[-1]}
            row |= {"output_tokens": len(attempt.chunk_s), "tokens_from": "chunks"}
        if attempt.usage is not None:
            row["prompt_tokens"] = attempt.usage[0]
            if attempt.usage[1]:  # a server that counts 0 tokens of a text does not count
                row |= {"output_tokens": attempt.usage[1], "tokens_from": "usage"}
        rows.append(row)
    return LOAD_REQUESTS.validate(pd.DataFrame(rows, columns=LOAD_REQUESTS.names))


def counted(requests: pd.DataFrame) -> dict[str, Any]:
    """Outcomes, tokens and times of a trace."""
    outcomes = Counter(requests["outcome"])
    kinds = Counter(str(reason).partition(":")[0] for reason in requests["reason"].dropna())
    rows = answered(requests)
    row: dict[str, Any] = {
        "offered": len(requests),
        **{name: outcomes[name] for name in ("ok", "empty", "failed", "cut")},
        "failures": json.dumps(dict(sorted(kinds.items()))) if kinds else None,
        "in_flight_peak": most_at_once(requests),
    }
    due, ends = requests["scheduled_s"], requests["end_s"].dropna()
    if len(due) > 1 and due.max() > due.min():
        row["offered_per_s"] = float((len(due) - 1) / (due.max() - due.min()))
    if len(ends):
        row["duration_s"] = float(ends.max() - due.min())
    if rows:
        names = {str(one["tokens_from"]) for one in rows}
        chunks = sum(len(one["chunk_s"]) for one in rows)
        row["output_tokens"] = sum(int(one["output_tokens"]) for one in rows)
        row["shorter"] = sum(_shorter(one) for one in rows)
        row |= {"tokens_from": names.pop() if len(names) == 1 else "both"}
        row["tokens_per_chunk"] = row["output_tokens"] / chunks
        for name in ("prompt_tokens", "cached_tokens"):
            if not any(is_null(one[name]) for one in rows):
                row[name] = sum(int(one[name]) for one in rows)
    return row


def _shorter(row: dict[str, Any]) -> bool:
    """Whether the model ended an answer before the tokens asked for, which chunks alone do not tell."""
    told = row["tokens_from"] == "usage" or row["finish_reason"] == "stop"
    return told and not is_null(row["output_tokens_asked"]) and row["output_tokens"] < row["output_tokens_asked"]


def derived(
    requests: pd.DataFrame, flow: Flow, clients: int | None, slo: Slo, tested: SelfTest | None
) -> dict[str, Any]:
    """Throughput of the window, medians, goodput, and whether the client kept up."""
    rows = answered(requests)
    window = steady(requests, clients)
    row: dict[str, Any] = {"window_start_s": window.start_s, "window_end_s": window.end_s}
    row |= {"window_reason": window.reason, "in_flight": window.in_flight}
    row |= {"stationary": window.stationary, "stationary_reason": window.stationary_reason}
    for name in ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s"):
        rate: Rate | None = getattr(window, name)
        if rate is not None:
            row |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
    for name, of in PER_REQUEST.items():
        found = percentile([value for one in rows if (value := of(one)) is not None], 50)
        row |= {name: found["value_s"], f"{name}_low": found["low_s"], f"{name}_high": found["high_s"]}
    row["itl_s"] = percentile(pooled_gaps(rows), 50, pooled=True)["value_s"]
    row |= goodput(requests, slo)
    held = (requests["sent_s"] - requests["scheduled_s"]).dropna().tolist()
    bound, why = verdict(flow, tested, ttft_s=row["ttft_sent_s"], tpot_s=row["stream_tpot_s"], held_back_s=held)
    lag = sorted(flow.lag_s)
    return row | {
        "client_bound": bound,
        "client_reason": why,
        "client_cpu_share": flow.cpu_share,
        "client_lag_p95_s": lag[int(0.95 * len(lag))] if lag else None,
        "selftest_delay_p95_s": None if tested is None else tested.delay_p95_s,
        "selftest_added_s": None if tested is None else tested.added_s,
        "selftest_streams": None if tested is None else tested.streams,
    }
