"""Prefix caching, measured: what keeping the keys and values of a shared prefix saves, here.

Requests that begin alike are answered with and without reuse, in turn (see `reuse.py`); processes repeat until the
saving is sure (see `repeat.py`). Reuse must leave the answers as they are, token for token, or the row is invalid. The
hit rate alone says little: what counts is the time to first token that is saved, the first request included, which
fills the cache and saves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, describe, device_name
from costlib.errors import bad
from costlib.measure.equality import sentence
from costlib.measure.repeat import Sample, finished, judged, largest, over_processes, put, repeat
from costlib.measure.reuse import token_hit_rate, usable_tokens
from costlib.measure.technique import (
    check_count,
    check_model,
    check_seconds,
    ending,
    ensure_weights,
    material,
    stored,
)
from costlib.models.reference import parse
from costlib.models.vectors import mean_interval
from costlib.progress import Progress, silent
from costlib.store import Store, new_id
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
        check_count(field, number, least)
    if not block <= shared_tokens <= prompt_tokens:
        raise bad("shared_tokens", shared_tokens, f"from one block ({block}) to prompt_tokens ({prompt_tokens})")
    check_seconds(time_budget_s=time_budget_s, timeout_s=timeout_s)
    has_random = parse(model).kind == "random"
    tell = progress or silent
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    settings = {
        "model": model,
        "precision": precision,
        "shared_tokens": shared_tokens,
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "block": block,
        "requests": requests,
    }
    given = settings | {"text": None if has_random else text, "device": device}
    hashed = material(given, [model])
    found = stored(kept.read(PREFIXES).frame, hashed, describe(device)[1])
    if not fresh and not found.empty:
        return found.tail(1).reset_index(drop=True)
    import pandas as pd

    ensure_weights([model], tell)
    usable = usable_tokens(shared_tokens, block, prompt_tokens)
    row = settings | {
        "device": device_name(device),
        "text": None if has_random else text_name,
        "kind": "measured",
        "material_sha256": hashed,
        "usable_tokens": usable,
        "token_hit_rate": token_hit_rate(usable, prompt_tokens, requests),
        "run_id": new_id(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    outcomes = repeat(
        "costlib.measure.reuse:reuse_once",
        given,
        lambda processes: [_of(processes, "ttft_s", False), _of(processes, "ttft_reused_s", False)],
        complete=_complete,
        budget_s=time_budget_s,
        timeout_s=timeout_s,
        stage="prefix",
        tell=tell,
    )
    row |= ending(outcomes, device)
    if values := finished(outcomes):
        summary = _summary(values, requests, precision)
        row |= summary | {"reason": summary["reason"] or row["reason"]}
    frame = PREFIXES.validate(pd.DataFrame([row]))
    kept.write(PREFIXES, frame, str(row["run_id"]))
    return frame


def prefixes(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each model, precision, lengths, block, device and text of a store.

    Args:
        store: A store or its folder [default: the default store].
    """
    kept = store if isinstance(store, Store) else Store(store or None)
    key = ["model", "precision", "shared_tokens", "prompt_tokens", "block", "requests", "device", "text"]
    return kept.read(PREFIXES).frame.drop_duplicates(key, keep="last", ignore_index=True)


def _complete(samples: Sequence[Sample]) -> bool:
    """Whether a stream still has its first request and one that finds the prefix."""
    return len({sample["first"] for sample in samples}) == 2


def _of(processes: Sequence[Sequence[Sample]], name: str, first: bool) -> list[float]:
    """Median seconds of each process: of its first request, or of those that find the prefix."""
    return [median(s[name] for s in samples if s["first"] is first) for samples in processes]


def _summary(values: Sequence[dict[str, Any]], requests: int, precision: str) -> dict[str, Any]:
    """Times, what is saved of them, and whether that is sure, from what each process returned."""
    every = [sample for value in values for sample in value["samples"]]
    kept, row = judged(values, _complete)
    row |= {"status": "ok", "reason": None, "compared": len(every)}
    row |= {name: largest(values, name) for name in ("kept_bytes", "kept_bytes_expected", "weight_bytes", "peak_bytes")}
    whole, reused = _of(kept, "ttft_s", False), _of(kept, "ttft_reused_s", False)
    first, filled = _of(kept, "ttft_s", True), _of(kept, "ttft_reused_s", True)
    for name, seconds in (("ttft_s", whole), ("ttft_reused_s", reused), ("ttft_first_s", filled)):
        put(row, name, over_processes(seconds))
    row["savings"] = [
        1 - (b + (requests - 1) * d) / (a + (requests - 1) * c)
        for a, b, c, d in zip(first, filled, whole, reused, strict=True)
    ]
    saved = [a - b for a, b in zip(whole, reused, strict=True)]
    for name, numbers, most in (("ttft_saved_s", saved, math.inf), ("saving", row["savings"], 1.0)):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(numbers, most=most), strict=True))
    unlike = sentence([sample["difference"] for sample in every], "with the kept prefix", precision)
    if unlike:
        return row | {"status": "invalid", "reason": unlike, "verdict_reason": f"invalid: {unlike}"}
    low = row["saving_low"]
    sure = low is not None and low > 0
    begins = "has no interval" if low is None else f"begins at {low:.1%}, {'' if sure else 'not '}above 0"
    return row | {"verdict": "use" if sure else "do not use", "verdict_reason": f"the interval of the saving {begins}"}
