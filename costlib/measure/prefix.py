"""Prefix caching, measured: what keeping the keys and values of a shared prefix saves, here.

Requests that begin alike are answered with and without reuse, in turn (see `reuse.py`); processes repeat until the
saving is sure (see `turns.py`). Reuse must leave the answers as they are, token for token, or the row is invalid. The
hit rate alone says little: what counts is the time to first token that is saved, the first request included, which
fills the cache and saves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import bad
from costlib.measure.campaign import Row, whole_number
from costlib.measure.equality import sentence
from costlib.measure.estimate import ends, over_processes
from costlib.measure.reuse import token_hit_rate, usable_tokens
from costlib.measure.turns import Sample, Turns, check_model, judged, largest
from costlib.models.reference import parse
from costlib.progress import Progress
from costlib.stats.intervals import mean_interval
from costlib.store import Store
from costlib.tables import PREFIXES

if TYPE_CHECKING:
    import pandas as pd


def prefix(
    model: str,
    precision: str = "fp32",
    *,
    text: str,
    text_name: str,
    shared_tokens: int = 512,
    prompt_tokens: int = 640,
    output_tokens: int = 16,
    block: int = 16,
    requests: int = 6,
    device: str | None = None,
    store: Store | str | None = None,
    fresh: bool = False,
    time_budget_s: float = 120.0,
    timeout_s: float = 1800.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure streams of `requests` that share `shared_tokens` of their prompts: one row (table `prefixes`).

    Whole blocks of `block` tokens are reused. Prompts are cut from `text`, random tokens for random weights. What is in
    the store for the same settings, text and environment is not measured again unless `fresh`. Raises `InputError` for
    bad input; failures of a model become a row with a status and a reason.

    Args:
        model: demo:, hub:, path:, gguf: or random: model.
        precision: Of the weights.
        text: Prose that prompts are cut from.
        text_name: What rows call it.
        shared_tokens: Prompt tokens that all requests share.
        prompt_tokens: Tokens of each prompt.
        output_tokens: New tokens, compared with and without reuse.
        block: Tokens of a cache block; only whole ones are reused.
        requests: Requests of a stream; the first fills the cache.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        store: Folder of measurements [default: data/store].
        fresh: Measure again what is in the store.
        time_budget_s: Seconds of all processes.
        timeout_s: Seconds after which one process is stopped.
        progress: Is told each step.
    """
    device = device or default_device()
    precision = resolve(precision, model, device).name
    check_model("model", model, precision, device)
    for field, number, least in (
        ("shared_tokens", shared_tokens, 1),
        ("prompt_tokens", prompt_tokens, 2),
        ("output_tokens", output_tokens, 1),
        ("block", block, 1),
        ("requests", requests, 2),
    ):
        whole_number(field, number, least)
    if not block <= shared_tokens <= prompt_tokens:
        raise bad("shared_tokens", shared_tokens, f"from one block ({block}) to prompt_tokens ({prompt_tokens})")
    has_random = parse(model).kind == "random"
    settings = {
        "model": model,
        "precision": precision,
        "shared_tokens": shared_tokens,
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "block": block,
        "requests": requests,
    }
    usable = usable_tokens(shared_tokens, block, prompt_tokens)
    shared = settings | {
        "text": None if has_random else text_name,
        "usable_tokens": usable,
        "token_hit_rate": token_hit_rate(usable, prompt_tokens, requests),
    }
    asked = settings | {"text": None if has_random else text, "device": device}
    probe = Prefix(
        models=[model], device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, asked=asked, shared=shared,
    )  # fmt: skip
    return probe.answer(PREFIXES.of(probe.run([model])[0]))


class Prefix(Turns[str]):
    """A stream of requests, each answered whole and with reuse."""

    name, table, in_child = "prefix", PREFIXES, "costlib.measure.reuse:reuse_once"

    def label(self, case: str) -> str:
        """The model."""
        return case

    def complete(self, samples: Sequence[Sample]) -> bool:
        """Whether a stream still has its first request and one that finds the prefix."""
        return len({sample["first"] for sample in samples}) == 2

    def ratios(self, case: str, processes: list[list[Sample]]) -> list[list[float]]:
        """Times to first token without and with the prefix."""
        return [_of(processes, name, False) for name in ("ttft_s", "ttft_reused_s")]

    def summarise(self, case: str, values: list[Row], row: Row) -> list[Row]:
        """One row."""
        if values:
            found = _summary(values, self.asked["requests"], self.asked["precision"], self.complete)
            row |= found | {"reason": found["reason"] or row["reason"]}
        return [row]


def prefixes(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each model, precision, lengths, block, device and text of a store.

    Args:
        store: A store or its folder [default: the default store].
    """
    kept = store if isinstance(store, Store) else Store(store or None)
    key = ["model", "precision", "shared_tokens", "prompt_tokens", "block", "requests", "device", "text"]
    return kept.read(PREFIXES).frame.drop_duplicates(key, keep="last", ignore_index=True)


def _of(processes: Sequence[Sequence[Sample]], name: str, first: bool) -> list[float]:
    """Median seconds of each process: of its first request, or of those that find the prefix."""
    return [median(s[name] for s in samples if s["first"] is first) for samples in processes]


def _summary(values: Sequence[Row], requests: int, precision: str, complete: Callable[..., bool]) -> Row:
    """Times, what is saved of them, and whether that is sure, from what each process returned."""
    every = [sample for value in values for sample in value["samples"]]
    kept, row = judged(values, complete)
    row |= {"status": "ok", "reason": None, "compared": len(every)}
    row |= {name: largest(values, name) for name in ("kept_bytes", "kept_bytes_expected", "weight_bytes", "peak_bytes")}
    whole, reused = _of(kept, "ttft_s", False), _of(kept, "ttft_reused_s", False)
    first, filled = _of(kept, "ttft_s", True), _of(kept, "ttft_reused_s", True)
    for name, seconds in (("ttft_s", whole), ("ttft_reused_s", reused), ("ttft_first_s", filled)):
        row |= ends(name, over_processes(seconds))
    row["savings"] = [
        1 - (b + (requests - 1) * d) / (a + (requests - 1) * c)
        for a, b, c, d in zip(first, filled, whole, reused, strict=True)
    ]
    saved = [a - b for a, b in zip(whole, reused, strict=True)]
    for name, numbers, most in (("ttft_saved_s", saved, math.inf), ("saving", row["savings"], 1.0)):
        row |= ends(name, mean_interval(numbers, most=most))
    unlike = sentence([sample["difference"] for sample in every], "with the kept prefix", precision)
    if unlike:
        return row | {"status": "invalid", "reason": unlike, "verdict_reason": f"invalid: {unlike}"}
    low = row["saving_low"]
    sure = low is not None and low > 0
    begins = "has no interval" if low is None else f"begins at {low:.1%}, {'' if sure else 'not '}above 0"
    return row | {"verdict": "use" if sure else "do not use", "verdict_reason": f"the interval of the saving {begins}"}
