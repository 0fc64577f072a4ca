"""The same trace in the words of three public tools, so that a number can be held against theirs.

Tools agree on words and differ in formulas: `tpot` leaves the first token out in one and takes it in in the next. Each
row says its formula. All use the times and the token counts of one trace and count from sending, as the tools do; p99
is left out where the trace is too short for one, which the tools do not do. Sources: vllm/benchmarks/serve.py of vLLM,
schemas of GuideLLM (request statistics), the metrics reference of AIPerf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.measure.load.latency import Row, answered, e2e_sent, percentile, pooled_gaps, tpot, ttft_sent
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

    from costlib.measure.load.slo import Slo

Samples = Callable[[Sequence[Row]], list[float]]


def _each(of: Callable[[Row], float | None]) -> Samples:
    return lambda rows: [value for row in rows if (value := of(row)) is not None]


def _with_first(row: Row) -> float | None:
    """GuideLLM's time per output token: the wait for the first token is in it."""
    return e2e_sent(row) / int(row["output_tokens"]) if row["output_tokens"] else None


def _per_user(row: Row) -> float | None:
    gap = tpot(row)
    return 1 / gap if gap else None


_DISTRIBUTIONS: tuple[tuple[str, str, str, str, Samples], ...] = (
    ("vllm", "ttft", "s", "first token - send", _each(ttft_sent)),
    ("vllm", "tpot", "s", "(e2e - ttft) / (n - 1)", _each(tpot)),
    ("vllm", "itl", "s", "gaps between chunks, of all requests pooled", pooled_gaps),
    ("vllm", "e2el", "s", "last token - send", _each(e2e_sent)),
    ("guidellm", "time_to_first_token", "s", "first token - send", _each(ttft_sent)),
    ("guidellm", "time_per_output_token", "s", "(last token - send) / n", _each(_with_first)),
    ("guidellm", "inter_token_latency", "s", "(last token - first token) / (n - 1)", _each(tpot)),
    ("guidellm", "request_latency", "s", "end - send", _each(lambda row: float(row["end_s"] - row["sent_s"]))),
    ("aiperf", "time_to_first_token", "s", "first token - send", _each(ttft_sent)),
    ("aiperf", "inter_token_latency", "s", "(latency - ttft) / (n - 1)", _each(tpot)),
    ("aiperf", "request_latency", "s", "last token - send", _each(e2e_sent)),
    ("aiperf", "output_token_throughput_per_user", "tokens/s", "1 / inter_token_latency", _each(_per_user)),
)


def dialects(requests: pd.DataFrame, slo: Slo | None = None) -> pd.DataFrame:
    """Table `load_dialects` of traces (table `load_requests`): one row per test, tool, metric and statistic."""
    import pandas as pd

    from costlib.tables import LOAD_DIALECTS

    rows: list[dict[str, Any]] = []
    for run_id, trace in requests.groupby("run_id", sort=False):
        found = answered(trace)
        for dialect, metric, unit, formula, samples_of in _DISTRIBUTIONS:
            head = {"run_id": run_id, "dialect": dialect, "metric": metric, "unit": unit, "formula": formula}
            rows += [head | row for row in _statistics(samples_of(found))]
        rows += [{"run_id": run_id, "statistic": "whole run", **row} for row in _totals(trace, found, slo)]
    return LOAD_DIALECTS.validate(pd.DataFrame(rows, columns=LOAD_DIALECTS.names))


def _statistics(samples: Sequence[float]) -> list[dict[str, Any]]:
    if not samples:
        return [{"statistic": name, "reason": "no request has one"} for name in ("mean", "median", "p99")]
    p99 = percentile(samples, 99)
    return [
        {"statistic": "mean", "value": float(np.mean(samples))},
        {"statistic": "median", "value": float(np.median(samples))},
        {"statistic": "p99", "value": p99["value_s"], "reason": None if p99["value_s"] is not None else p99["reason"]},
    ]


def _totals(trace: pd.DataFrame, rows: Sequence[Row], slo: Slo | None) -> list[dict[str, Any]]:
    """Throughput over the whole run, from the first send to the last finish, ramps included."""
    span = float(trace["end_s"].max() - trace["sent_s"].min()) if trace["sent_s"].notna().any() else 0.0
    if not rows or span <= 0:
        return []
    written = sum(int(row["output_tokens"]) for row in rows)
    read = [row["prompt_tokens"] for row in rows]
    known = not any(is_null(count) for count in read)
    basis = "/ (last finish - first send)"

    def row(dialect: str, metric: str, unit: str, count: float | None, what: str) -> dict[str, Any]:
        reason = None if count is not None else "the server does not tell its prompt tokens"
        return {
            "dialect": dialect,
            "metric": metric,
            "unit": unit,
            "formula": f"{what} {basis}",
            "value": None if count is None else count / span,
            "reason": reason,
        }

    found = [
        row(dialect, metric, unit, count, what)
        for dialect in ("vllm", "aiperf")
        for metric, unit, count, what in (
            ("request_throughput", "requests/s", float(len(rows)), "whole answers"),
            (_OUTPUT[dialect], "tokens/s", float(written), "output tokens"),
        )
    ]
    total = written + sum(read) if known else None
    found.append(row("vllm", "total_token_throughput", "tokens/s", total, "prompt and output tokens"))
    if slo is not None and slo.given:
        good = sum(slo.kept(one, scheduled=False) for one in rows)
        found.append(row("vllm", "request_goodput", "requests/s", float(good), "answers within the SLO, from sending,"))
    return found


_OUTPUT = {"vllm": "output_throughput", "aiperf": "output_token_throughput"}
