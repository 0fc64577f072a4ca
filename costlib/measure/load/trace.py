"""What follows from a trace (table `load_requests`): latencies, throughput, goodput, and what public tools would say.

Latencies are of whole answers. Those that failed or were cut have none and are counted beside them, because leaving
them out flatters a latency. A percentile is shown where its 95 % interval exists: the two order statistics between
which it lies with at least that probability (binomial; Hahn and Meeker, Statistical Intervals, 5.2). So p50 needs 6
answers, p95 72 and p99 368, and there is no p99 of 30. Requests of one test share a queue: under load the intervals
cover less than they say. Gaps of one answer depend on each other far more, so pooled gaps have no interval.

Throughput is that of the steady-state window. It begins when the first answer is whole (closed loop: as many as there
are clients) and ends when the last request is sent: before it nothing can be finished, after it nothing new comes.
Tokens count where their piece came. The interval is that of batch means (Law, Simulation Modeling and Analysis, 9.5.3):
ten equal stretches of the window, Student's t over their rates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from costlib.stats.intervals import CONFIDENCE, mean_interval, quantile_interval, share_interval
from costlib.tables import LOAD_LATENCIES, LOAD_REQUESTS

if TYPE_CHECKING:
    from costlib.measure.load.arrivals import Planned
    from costlib.measure.load.drive import Flow
    from costlib.measure.load.slo import Slo

PERCENTILES = (50, 90, 95, 99)
LATENCIES = ("ttft_scheduled_s", "ttft_sent_s", "e2e_scheduled_s", "e2e_sent_s", "stream_tpot_s")
FEWEST_ANSWERS = 10
ANSWERS_FOR_INTERVAL = 30
BATCHES = 10
_GROWS, _GROWS_BY = 1.5, 1.0
_OUTRUN = "more come than are answered, so latencies rise as long as the test lasts"
_POOLED = "gaps of one answer depend on each other: an interval would be too narrow"


def trace_of(run_id: str, flow: Flow, planned: Sequence[Planned]) -> pd.DataFrame:
    """Table `load_requests` of what was sent; tokens are the server's, else a chunk counts as a token."""
    rows = []
    for attempt, asked in zip(flow.attempts, planned, strict=False):
        stamps, told = attempt.chunk_s, attempt.usage or (None, None)
        row = vars(attempt) | {"run_id": run_id, "prompt_words": attempt.words, "prompt_tokens": told[0]}
        row["output_tokens_asked"] = asked.output_tokens
        if stamps:
            row |= {"first_s": stamps[0], "last_s": stamps[-1], "output_tokens": len(stamps), "tokens_from": "chunks"}
        if told[1]:  # a server that counts 0 tokens of a text does not count
            row |= {"output_tokens": told[1], "tokens_from": "usage"}
        rows.append(row)
    return LOAD_REQUESTS.of(rows)


def answers(requests: pd.DataFrame) -> pd.DataFrame:
    """The whole answers of a trace with their `LATENCIES`, from when they were due and from when they were sent.

    `stream_tpot_s`, seconds per token after the first one, is unknown where one token was written.
    """
    found = requests[requests["outcome"] == "ok"]
    later = found["output_tokens"].astype(float) - 1
    times = {
        f"{name}_{since}_s": (found[end] - found[f"{since}_s"]).astype(float)
        for name, end in (("ttft", "first_s"), ("e2e", "last_s"))
        for since in ("scheduled", "sent")
    }
    return found.assign(**times, stream_tpot_s=(found["last_s"] - found["first_s"]) / later.where(later > 0))


def gaps(found: pd.DataFrame) -> np.ndarray:
    """Seconds between the pieces of text of each answer, all together."""
    return np.concatenate([np.diff(np.asarray(stamps, dtype=float)) for stamps in found["chunk_s"]] or [np.empty(0)])


def fewest(percentile: float) -> int:
    """Samples from which on a percentile has an interval on both sides."""
    share = max(percentile, 100 - percentile) / 100
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(share))


def percentile(samples: Any, which: float, *, pooled: bool = False) -> dict[str, Any]:
    """`value_s`, its ends and the number of samples; a `reason` for what is missing."""
    samples = pd.Series(samples, dtype=float).dropna().to_numpy()
    row: dict[str, Any] = {"percentile": which, "samples": len(samples), "value_s": None, "low_s": None, "high_s": None}
    if len(samples) < fewest(which):
        return row | {"reason": f"p{which:g} needs {fewest(which)} samples, there are {len(samples)}"}
    if pooled:
        return row | {"value_s": float(np.quantile(samples, which / 100)), "reason": _POOLED}
    value, low, high = quantile_interval(samples, which / 100)
    return row | {"value_s": value, "low_s": low, "high_s": high, "reason": None}


def latencies(requests: pd.DataFrame) -> pd.DataFrame:
    """Table `load_latencies` of traces: every percentile of every latency of each test, in rows."""
    rows = []
    for run_id, trace in requests.groupby("run_id", sort=False):
        found = answers(trace)
        for metric in (*LATENCIES, "itl_s"):
            pooled = metric == "itl_s"
            samples = gaps(found) if pooled else found[metric]
            about = {"run_id": run_id, "metric": metric}
            rows += [about | percentile(samples, which, pooled=pooled) for which in PERCENTILES]
    return LOAD_LATENCIES.validate(pd.DataFrame(rows, columns=LOAD_LATENCIES.names))


def steady(requests: pd.DataFrame, clients: int | None) -> dict[str, Any]:
    """Columns of table `loads` about the window of one trace; `clients` is None for an open loop.

    `window_reason` says why there is no window, or no interval; `stationary` whether as many were answered as came.
    """
    found, sent = answers(requests), requests["sent_s"].dropna()
    ends, fill = found["end_s"].sort_values(), clients or 1
    if len(ends) < fill or sent.empty:
        return {"window_reason": f"{len(ends)} whole answers: the server was never full"}
    start, end = float(ends.iloc[fill - 1]), float(sent.max())
    inside = int(((start < ends) & (ends <= end)).sum())
    if end <= start or inside < FEWEST_ANSWERS:
        why = f"{inside} answers between filling up and running empty, {FEWEST_ANSWERS} are needed"
        return {"window_reason": why}
    few, edges = inside < ANSWERS_FOR_INTERVAL, np.linspace(start, end, BATCHES + 1)
    # What the test itself hung up on at its time limit was delivered all the same; what broke was not.
    hung_up = (requests["outcome"] == "cut") & requests["reason"].fillna("").str.startswith("time_limit")
    written = pd.concat([found, requests[hung_up]]).explode("chunk_s")
    each = written["output_tokens"] / written.groupby(level=0)["chunk_s"].transform("size")
    row = {"window_start_s": start, "window_end_s": end}
    row |= _rate("requests_per_s", found["end_s"], pd.Series(1.0, found.index), edges, few)
    row |= _rate("output_tokens_per_s", written["chunk_s"], each, edges, few)
    if found["prompt_tokens"].notna().all():
        row |= _rate("input_tokens_per_s", found["first_s"], found["prompt_tokens"], edges, few)
    middle = (start + end) / 2
    first, second = _in_flight(requests, start, middle), _in_flight(requests, middle, end)
    grows = clients is None and second > _GROWS * first + _GROWS_BY
    return {
        **row,
        "in_flight": _in_flight(requests, start, end),
        "window_reason": f"{inside} answers in the window: an interval needs {ANSWERS_FOR_INTERVAL}" if few else None,
        "stationary": not grows,
        "stationary_reason": f"from {first:.1f} to {second:.1f} requests in flight: {_OUTRUN}" if grows else None,
    }


def _rate(name: str, moments: pd.Series, weights: pd.Series, edges: np.ndarray, few: bool) -> dict[str, Any]:
    """Sum of the weights of timed events per second between the outer edges, with its interval."""
    at, weight = moments.to_numpy(dtype=float), weights.to_numpy(dtype=float)
    inside = at > edges[0]  # not the end that opens the window: it belongs to what came before
    counts = np.histogram(at[inside], bins=edges, weights=weight[inside])[0]
    value, low, high = mean_interval(counts / np.diff(edges), 0.0)
    return {name: value} if few else {name: value, f"{name}_low": low, f"{name}_high": high}


def _in_flight(requests: pd.DataFrame, left: float, right: float) -> float:
    """Mean number of requests that were due and not ended, over a stretch of time."""
    begun = requests["scheduled_s"].clip(left, right)
    ended = requests["end_s"].fillna(right).clip(left, right)
    return float((ended - begun).clip(lower=0).sum() / (right - left))


def most_at_once(requests: pd.DataFrame) -> int:
    """The largest number of requests under way at one moment."""
    sent = requests[requests["sent_s"].notna()]
    steps = pd.concat([pd.Series(1, sent["sent_s"]), pd.Series(-1, sent["end_s"])]).reset_index()
    steps.columns = ["at", "step"]  # at the same moment, ends before starts
    return int(steps.sort_values(["at", "step"])["step"].cumsum().max()) if len(sent) else 0


def goodput(requests: pd.DataFrame, slo: Slo) -> dict[str, Any]:
    """Share of the requests that kept the SLO (exact binomial interval), and good requests and tokens per s.

    Per second of the whole test, from the first schedule to the last end; nothing where nothing is promised or offered.
    An answer in which the model had nothing to say neither keeps nor breaks a promise about time.
    """
    judged = requests[requests["outcome"] != "empty"]
    if not slo.given or judged.empty:
        return {}
    found = answers(judged)
    good = found[slo.kept(found)]
    share, span = len(good) / len(judged), float(requests["end_s"].max() - requests["scheduled_s"].min())
    low, high = share_interval(len(good), len(judged))
    row: dict[str, Any] = {"good_requests": len(good), "good_share": share}
    row |= {"good_share_low": low, "good_share_high": high}
    if span > 0:
        row["goodput_requests_per_s"] = len(good) / span
        row["goodput_tokens_per_s"] = int(good["output_tokens"].sum()) / span
    return row


def counted(requests: pd.DataFrame) -> dict[str, Any]:
    """Outcomes, tokens and times of a trace, columns of table `loads`."""
    outcomes, due, ends = requests["outcome"], requests["scheduled_s"], requests["end_s"].dropna()
    kinds = requests["reason"].dropna().str.split(":").str[0].value_counts().sort_index()
    row: dict[str, Any] = {
        "offered": len(requests),
        **{name: int((outcomes == name).sum()) for name in ("ok", "empty", "failed", "cut")},
        "failures": json.dumps(kinds.to_dict()) if len(kinds) else None,
        "in_flight_peak": most_at_once(requests),
    }
    if len(due) > 1 and due.max() > due.min():
        row["offered_per_s"] = float((len(due) - 1) / (due.max() - due.min()))
    if len(ends):
        row["duration_s"] = float(ends.max() - due.min())
    found = requests[outcomes == "ok"]
    if len(found):
        written, by = found["output_tokens"], found["tokens_from"].unique()
        told = (found["tokens_from"] == "usage") | (found["finish_reason"] == "stop")  # chunks alone do not tell
        row["output_tokens"], row["tokens_from"] = int(written.sum()), by[0] if len(by) == 1 else "both"
        row["shorter"] = int((told & (written < found["output_tokens_asked"]).fillna(False)).sum())
        row["tokens_per_chunk"] = row["output_tokens"] / found["chunk_s"].map(len).sum()
        whole = [name for name in ("prompt_tokens", "cached_tokens") if found[name].notna().all()]
        row |= {name: int(found[name].sum()) for name in whole}
    return row


def medians(requests: pd.DataFrame) -> dict[str, Any]:
    """The median of each latency with its interval, columns of table `loads`."""
    found, row = answers(requests), dict[str, Any]()
    for name in LATENCIES:
        one = percentile(found[name], 50)
        row |= {name: one["value_s"], f"{name}_low": one["low_s"], f"{name}_high": one["high_s"]}
    return row | {"itl_s": percentile(gaps(found), 50, pooled=True)["value_s"]}


_DIALECTS = (
    ("vllm", "ttft", "first token - send", "ttft_sent_s"),
    ("vllm", "tpot", "(e2e - ttft) / (n - 1)", "stream_tpot_s"),
    ("vllm", "itl", "gaps between chunks, of all requests pooled", "gaps"),
    ("vllm", "e2el", "last token - send", "e2e_sent_s"),
    ("guidellm", "time_to_first_token", "first token - send", "ttft_sent_s"),
    ("guidellm", "time_per_output_token", "(last token - send) / n", "with_first_s"),
    ("guidellm", "inter_token_latency", "(last token - first token) / (n - 1)", "stream_tpot_s"),
    ("guidellm", "request_latency", "end - send", "ended_s"),
    ("aiperf", "time_to_first_token", "first token - send", "ttft_sent_s"),
    ("aiperf", "inter_token_latency", "(latency - ttft) / (n - 1)", "stream_tpot_s"),
    ("aiperf", "request_latency", "last token - send", "e2e_sent_s"),
    ("aiperf", "output_token_throughput_per_user", "1 / inter_token_latency", "tokens_per_s"),
)


def dialects(requests: pd.DataFrame, slo: Slo | None = None) -> pd.DataFrame:
    """The same traces in the words of three public tools: a row per test, tool, metric and statistic.

    Tools agree on words and differ in formulas: `tpot` leaves the first token out in one and takes it in in the next.
    All use the times and token counts of one trace and count from sending, as the tools do; p99 is left out where the
    trace is too short for one, which the tools do not do. Totals are over the whole run, from the first send to the
    last finish, ramps included. Sources: vllm/benchmarks/serve.py of vLLM, schemas of GuideLLM (request statistics),
    the metrics reference of AIPerf.
    """
    names = ["run_id", "dialect", "metric", "statistic", "value", "unit", "formula", "reason"]
    rows: list[tuple[Any, ...]] = []
    for run, trace in requests.groupby("run_id", sort=False):
        found = answers(trace)
        written = found["output_tokens"].astype(float)
        found = found.assign(with_first_s=found["e2e_sent_s"] / written, ended_s=found["end_s"] - found["sent_s"],
                             tokens_per_s=1 / found["stream_tpot_s"].where(found["stream_tpot_s"] > 0))  # fmt: skip
        for tool, metric, formula, column in _DIALECTS:
            samples = pd.Series(gaps(found)) if column == "gaps" else found[column].dropna()
            tail, none = percentile(samples, 99), None if len(samples) else "no request has one"
            about = ("tokens/s" if column == "tokens_per_s" else "s", formula)
            rows.append((run, tool, metric, "mean", samples.mean(), *about, none))
            rows.append((run, tool, metric, "median", samples.median(), *about, none))
            rows.append((run, tool, metric, "p99", tail["value_s"], *about, none or tail["reason"]))
        span = trace["end_s"].max() - trace["sent_s"].min()
        if not len(found) or not span > 0:
            continue
        totals: list[tuple[str, str, str, float, str]] = []
        for tool, output in (("vllm", "output_throughput"), ("aiperf", "output_token_throughput")):
            totals.append((tool, "request_throughput", "requests/s", len(found), "whole answers"))
            totals.append((tool, output, "tokens/s", written.sum(), "output tokens"))
        both = written.sum() + found["prompt_tokens"].astype(float).sum(skipna=False)
        totals.append(("vllm", "total_token_throughput", "tokens/s", both, "prompt and output tokens"))
        if slo is not None and slo.given:
            good = slo.kept(found, since="sent").sum()
            totals.append(("vllm", "request_goodput", "requests/s", good, "answers within the SLO, from sending,"))
        for tool, metric, unit, count, what in totals:
            why = None if count == count else "the server does not tell its prompt tokens"
            formula = f"{what} / (last finish - first send)"
            rows.append((run, tool, metric, "whole run", count / span, unit, formula, why))
    return pd.DataFrame(rows, columns=names).astype({"value": float})
