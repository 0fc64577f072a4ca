"""What makes a measured number look better than it would be in service, and what a person can do next, by its row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from costlib.tables.schema import is_null

Row = Mapping[str, Any]
Hints = tuple[tuple[str, Callable[[Row], object], Callable[[Row], str]], ...]
"""What is said, of which rows, and in which words."""


def _more(row: Row, name: str, than: float = 0) -> bool:
    return not is_null(row[name]) and row[name] > than


def _gpu(row: Row, name: str) -> Any:
    return json.loads(row["environment"]).get(name)


def _capped(row: Row) -> str:
    share = row["power_capped_share"]
    held = "" if is_null(share) else f", which held the clocks in {share:.0%} of the samples"
    return f"a power limit of {row['power_limit_w']:.0f} W{held}"


def _text(words: str) -> Callable[[Row], str]:
    return lambda row: words.format(**row)


def _next(flag: str, words: str) -> tuple[str, Callable[[Row], object], Callable[[Row], str]]:
    return "next", lambda row: flag in str(row["flags"] or ""), _text(words)


MEASURED: Hints = (
    ("note", lambda r: _gpu(r, "gpu_unused"), lambda r: f"measured on the CPU: {_gpu(r, 'gpu_unused')}"),
    ("note", lambda r: _gpu(r, "gpu") and _gpu(r, "native_16_bit"),
     _text("this GPU has no bf16, so 16-bit means fp16")),
    ("flattered by", lambda r: r["batch"] == 1, _text("batch 1: one user has the device; more users share it")),
    ("flattered by", lambda r: r["prompt_tokens"] + r["output_tokens"] < 1024,
     _text("a short context: longer ones read more keys and values")),
    ("flattered by", lambda r: "fit into" in str(r["ceiling_reason"]),
     _text("weights in the CPU's cache: those of a larger model come from memory")),
    ("flattered by", lambda r: not is_null(r["power_limit_w"]), _capped),
    ("next", lambda r: r["stopped_by"] == "time budget",
     _text("the interval is wider than 2 %: give it more --time-budget-s")),
    _next("other processes used the CPU", "close other programs and measure again with --fresh"),
    _next("CPU time stolen", "the virtual machine shares its cores: measure on a quieter one, or for longer"),
    _next("another process used the GPU", "stop the other process and measure again with --fresh"),
    _next("thermal slowdown", "cool the machine and measure again with --fresh"),
)  # fmt: skip
"""Of rows of table `measurements`."""


def _refused(status: int, words: str) -> tuple[str, Callable[[Row], object], Callable[[Row], str]]:
    return "next", lambda row: f"status {status}" in str(row["reason"]), lambda row: words


LOADED: Hints = (
    ("note", lambda r: r["tokens_from"] in ("chunks", "both"),
     _text("tokens counted by chunk, {tokens_per_chunk:.3g} a chunk, for want of the server's count")),
    ("note", lambda r: r["ok"] and is_null(r["prompt_tokens"]),
     _text("prompt tokens unknown: the server does not count them")),
    ("flattered by", lambda r: _more(r, "shorter"),
     _text("{shorter} of {ok} answers shorter than asked ({output_tokens_asked} tokens)")),
    ("flattered by", lambda r: r["ok"] and (r["failed"] or r["cut"]),
     _text("percentiles of whole answers only: those that failed or were cut have none")),
    ("flattered by", lambda r: _more(r, "cached_tokens", 0.05 * (r["prompt_tokens"] or 0)),
     _text("a prefix cache, which answered {cached_tokens} of {prompt_tokens} prompt tokens")),
    _refused(401, "the server wants a key: name the environment variable that holds it with --api-key-env"),
    _refused(404, "nothing is at this address, or no such model: a base URL usually ends in /v1"),
    _refused(422, "the server knows a field not: take it out with --extra '{\"FIELD\": null}'"),
    _refused(500, "a model without a chat template needs --completions; else the log of the server tells more"),
    ("next", lambda r: r["status"] == "ok" and not is_null(r["reason"]),
     _text("give it more --time-limit-s, or fewer --requests: {reason}")),
    ("next", lambda r: _more(r, "empty") or _more(r, "shorter"),
     lambda r: "the model ended some answers early: --extra '{\"ignore_eos\": true}' where the server knows it"),
    ("next", lambda r: r["status"] == "ok" and not is_null(r["window_reason"]),
     _text("give it more --requests: {window_reason}")),
    ("next", lambda r: not is_null(r["stationary_reason"]), _text("lower --rate: {stationary_reason}")),
    ("next", lambda r: not is_null(r["client_bound"]) and r["client_bound"],
     _text("the client adds a tenth or more to these times: run it where nothing else runs, or several at once")),
)  # fmt: skip
"""Of rows of table `loads`."""
