"""The card of a load test: what came back, how fast, how much of it was good, what flatters it, what to do next."""

from __future__ import annotations

import json
from typing import Any

from costlib.cli.show import number
from costlib.figure import plain
from costlib.tables.schema import is_null

Row = dict[str, Any]
_LATENCIES = (
    ("first token", "ttft_scheduled_s", "from its schedule"),
    ("", "ttft_sent_s", "from sending"),
    ("per token", "stream_tpot_s", "after the first"),
    ("between chunks", "itl_s", "all gaps pooled"),
    ("whole answer", "e2e_scheduled_s", "from its schedule"),
    ("", "e2e_sent_s", "from sending"),
)
_SHOWN = ("median", "whole run")
"""Statistics of public tools that fit a line; the others, and the formulas, are in the JSON document."""
_REFUSED = {
    401: "the server wants a key: name the environment variable that holds it with --api-key-env",
    404: "nothing is at this address, or no such model: a base URL usually ends in /v1",
    422: "the server knows a field not: take it out with --extra '{\"FIELD\": null}'",
    500: "a model without a chat template needs --completions; else the log of the server tells more",
}


def title(row: Row) -> str:
    """The load and the lengths, in one line."""
    load = {
        "closed": f"{row['concurrency']} clients, each asking again when answered",
        "trace": "a trace at its own times",
    }.get(row["arrivals"]) or f"{row['rate_per_s']:g} requests/s, {row['arrivals']}"
    lengths = f"{row['prompt_tokens_asked']} + {row['output_tokens_asked']} tokens"
    return f"{load}; {row['requests']} requests of {lengths}"


def card(row: Row, latencies: list[Row], dialects: list[Row], costs: list[Row]) -> list[str]:
    """The lines of one test."""
    lines = [title(row)]
    if row["status"] != "ok":
        return [*lines, f"  {row['status']}: {row['reason']}", *(f"  next  {text}" for text in next_steps(row))]

    def line(label: str, text: str) -> None:
        lines.append(f"  {label:<16}{text}")

    offered = ""
    if row["arrivals"] != "closed" and not is_null(row["offered_per_s"]):
        offered = f"; {plain(row['offered_per_s'])} requests/s came"
    empty = f", {row['empty']} empty" if row["empty"] else ""
    line("answers", f"{row['ok']} of {row['offered']}; {row['failed']} failed, {row['cut']} cut{empty}{offered}")
    if isinstance(row["failures"], str):
        line("", ", ".join(f"{count} {kind}" for kind, count in json.loads(row["failures"]).items()))
    if is_null(row["requests_per_s"]):
        line("throughput", f"unknown: {row['window_reason']}")
    else:
        line("throughput", number(row, "output_tokens_per_s", " output tokens/s"))
        read = number(row, "input_tokens_per_s", " prompt tokens/s")
        line("", "prompt tokens unknown: the server does not count them" if read == "-" else read)
        line("", number(row, "requests_per_s", " requests/s"))
    missing: dict[str, None] = {}
    for label, metric, since in _LATENCIES:
        found = [one for one in latencies if one["metric"] == metric]
        shown = [_percentile(one) for one in found if not is_null(one["value_s"])]
        line(label, f"{', '.join(shown[:1] + shown[1:][-1:]) or 'unknown'} ({since})")
        if metric != "itl_s":
            missing |= {str(one["reason"]): None for one in found if is_null(one["value_s"])}
    if missing:
        line("", "; ".join(missing))
    if not is_null(row["good_share"]):
        line("within the SLO", f"{number(row, 'good_share')} of all requests: {_promise(row)}")
        per_s = f"{plain(row['goodput_requests_per_s'])} requests/s, {plain(row['goodput_tokens_per_s'])} tokens/s"
        line("goodput", per_s)
    steady = "" if is_null(row["in_flight"]) else f"{plain(row['in_flight'])} on average, "
    line("in flight", f"{steady}{row['in_flight_peak']} at most")
    told = {"usage": "as the server counts", "chunks": "a chunk counted as a token, for want of the server's count"}
    line(
        "tokens", f"{told.get(row['tokens_from'], 'partly counted by chunk')}; {plain(row['tokens_per_chunk'])} a chunk"
    )
    bound = "unknown" if is_null(row["client_bound"]) else "the bottleneck" if row["client_bound"] else "fast enough"
    line("client", f"{bound}: {row['client_reason']}")
    for tool in dict.fromkeys(one["dialect"] for one in dialects):
        line(tool, "; ".join(_said(one) for one in dialects if one["dialect"] == tool and one["statistic"] in _SHOWN))
    for cost in costs:
        line("cost" if cost is costs[0] else "", _cost(cost))
    lines += [f"  {'flattered by':<16}{text}" for text in flatters(row)]
    lines += [f"  {'next':<16}{text}" for text in next_steps(row)]
    return lines


def _percentile(row: Row) -> str:
    text = f"p{row['percentile']:g} {plain(row['value_s'])} s"
    return text if is_null(row["low_s"]) else f"{text} [{plain(row['low_s'])}, {plain(row['high_s'])}]"


def _said(row: Row) -> str:
    known = not is_null(row["value"])
    return (
        f"{row['metric']} {plain(row['value'])} {row['unit']}" if known else f"{row['metric']} unknown: {row['reason']}"
    )


def _promise(row: Row) -> str:
    named = (("first token", "slo_ttft_s"), ("token", "slo_tpot_s"), ("whole answer", "slo_e2e_s"))
    return ", ".join(f"{label} within {plain(row[name])} s" for label, name in named if not is_null(row[name]))


def _cost(row: Row) -> str:
    if is_null(row["output_usd_per_mtok"]):
        return f"unknown: {row['reason']}"
    parts = [f"${number(row, 'output_usd_per_mtok')} a million output tokens"]
    if not is_null(row["input_usd_per_mtok"]) and row["convention"] != "output_carries_all":
        parts.append(f"${number(row, 'input_usd_per_mtok')} input")
    if not is_null(row["blended_usd_per_mtok"]):
        parts.append(f"${number(row, 'blended_usd_per_mtok')} blended")
    if not is_null(row["good_usd_per_mtok"]):
        parts.append(f"${plain(row['good_usd_per_mtok'])} of those within the SLO")
    return f"{', '.join(parts)} ({row['convention']})"


def flatters(row: Row) -> list[str]:
    """What makes a number look better than it would be in service."""
    found = []
    if not is_null(row["shorter"]) and row["shorter"]:
        mean = plain(row["output_tokens"] / row["ok"])
        asked = f"of {row['output_tokens_asked']}" if row["output_tokens_asked"][:1].isdigit() else "on average"
        found.append(f"{row['shorter']} of {row['ok']} answers shorter than asked: {mean} tokens {asked}")
    if row["failed"] + row["cut"]:
        found.append("percentiles of whole answers only: those that failed or were cut have none")
    if not is_null(row["cached_tokens"]) and row["cached_tokens"] > 0.05 * row["prompt_tokens"]:
        found.append(f"a prefix cache answered {row['cached_tokens'] / row['prompt_tokens']:.0%} of the prompt tokens")
    return found


def next_steps(row: Row) -> list[str]:
    """What a person can do about each judgement on the row."""
    found = []
    if row["status"] != "ok":
        return [text for status, text in _REFUSED.items() if f"status {status}" in str(row["reason"])]
    if isinstance(row["reason"], str):
        found.append(f"{row['reason']}: give it more --time-limit-s, or fewer --requests")
    if row["empty"] or (not is_null(row["shorter"]) and row["shorter"]):
        found.append("the model ended some answers early: --extra '{\"ignore_eos\": true}' where the server knows it")
    if isinstance(row["window_reason"], str):
        found.append(f"{row['window_reason']}: give it more --requests")
    if isinstance(row["stationary_reason"], str):
        found.append(f"{row['stationary_reason']}: lower --rate")
    if not is_null(row["client_bound"]) and row["client_bound"]:
        found.append(
            "the client adds a tenth or more to these times: run it where nothing else runs, or several at once"
        )
    return found
