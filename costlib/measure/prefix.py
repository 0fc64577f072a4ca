"""Prefix caching, measured: what keeping the keys and values of a shared prefix saves, here.

Requests that begin alike are answered with and without reuse, in turn; processes repeat until the saving is sure (see
`turns.py`). Reuse must leave the answers as they are, token for token, or the row is invalid. The hit rate alone says
little: what counts is the time to first token that is saved, the first request included, which fills the cache and
saves nothing.

The kept prefix is a key-value cache of whole blocks. A request that finds it starts from those tensors, without a copy
(the cache replaces what it grows, it never writes into it), and reads the rest of its prompt. The first request of a
stream finds nothing: it reads the blocks, keeps them, and reads on.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import invalid_input
from costlib.isolate import step
from costlib.measure import turns
from costlib.measure.campaign import Row, whole_numbers
from costlib.measure.device import Device
from costlib.measure.estimate import ends, over_processes
from costlib.measure.iteration import WARM_UP_TOKENS, cache_bytes, load_generator, next_token
from costlib.measure.turns import Sample, Turns
from costlib.measure.worker import LOADED, Session
from costlib.models.architectures import from_config
from costlib.models.load import load_tokenizer
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
    turns.check_model("model", model, precision, device)
    settings: Row = {"shared_tokens": shared_tokens, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    settings |= {"block": block, "requests": requests}
    whole_numbers(1, **settings)
    whole_numbers(2, prompt_tokens=prompt_tokens, requests=requests)
    if not block <= shared_tokens <= prompt_tokens:
        raise invalid_input(
            "shared_tokens", shared_tokens, f"from one block ({block}) to prompt_tokens ({prompt_tokens})"
        )
    has_random = parse(model).kind == "random"
    settings |= {"model": model, "precision": precision}
    usable = usable_tokens(shared_tokens, block, prompt_tokens)
    shared = settings | {
        "text": None if has_random else text_name,
        "usable_tokens": usable,
        "token_hit_rate": token_hit_rate(usable, prompt_tokens, requests),
    }
    probe = Prefix(
        models=[model], device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, asked=settings | {"text": None if has_random else text, "device": device}, shared=shared,
    )  # fmt: skip
    return probe.answer(PREFIXES.of(probe.run([model])[0]))


class Prefix(Turns[str]):
    """Streams of requests of one model, with and without the prefix."""

    name, table, in_child = "prefix", PREFIXES, "costlib.measure.prefix:reuse_once"

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
        """One row: times, what is saved of them, and whether that is sure."""
        if not values:
            return [row]
        requests, every = self.asked["requests"], [one for value in values for one in value["samples"]]
        kept, counted = turns.judged(values, self.complete)
        row |= counted | {"status": "ok", "compared": len(every)}
        row |= turns.largest(values, "kept_bytes", "kept_bytes_expected", "weight_bytes", "peak_bytes")
        whole, reused = _of(kept, "ttft_s", False), _of(kept, "ttft_reused_s", False)
        first, filled = _of(kept, "ttft_s", True), _of(kept, "ttft_reused_s", True)
        for name, seconds in (("ttft_s", whole), ("ttft_reused_s", reused), ("ttft_first_s", filled)):
            row |= ends(name, over_processes(seconds))
        row["savings"] = [
            1 - (b + (requests - 1) * d) / (a + (requests - 1) * c)
            for a, b, c, d in zip(first, filled, whole, reused, strict=True)
        ]
        saved = [a - b for a, b in zip(whole, reused, strict=True)]
        row |= ends("ttft_saved_s", mean_interval(saved, most=math.inf))
        row |= ends("saving", mean_interval(row["savings"], most=1.0))
        low = row["saving_low"]
        sure = low is not None and low > 0
        begins = "has no interval" if low is None else f"begins at {low:.1%}, {'' if sure else 'not '}above 0"
        unlike, said = [one["difference"] for one in every], f"the interval of the saving {begins}"
        return [row | turns.verdict(unlike, "with the kept prefix", self.asked["precision"], said, sure)]


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


def usable_tokens(shared: int, block: int, prompt: int) -> int:
    """Prompt tokens a prefix cache can give back: whole blocks, and never the last token, whose logits are needed."""
    return min(shared // block * block, prompt - 1)


def token_hit_rate(usable: int, prompt: int, requests: int) -> float:
    """Reused prompt tokens over prompt tokens of a stream, whose first request finds nothing."""
    return usable * (requests - 1) / (prompt * requests)


# The child process.


def reuse_once(
    model: str,
    precision: str,
    text: str | None,
    shared_tokens: int,
    prompt_tokens: int,
    output_tokens: int,
    block: int,
    requests: int,
    device: str,
    process: int,
) -> Row:
    """Answer one stream of requests both ways, each request in random order; the target of `run_isolated`.

    Every process has another shared prefix and other rests of prompts, from other places of the text.
    """
    tokenizer = None if text is None else load_tokenizer(model)
    session = Session(device)
    loaded = load_generator(model, precision, device, prompt_tokens, output_tokens)
    config = loaded.model.config.get_text_config()
    windows, most = turns.prompts_of(tokenizer, text, config.vocab_size, prompt_tokens, requests, process)
    prompts = [windows[0][:shared_tokens] + window[shared_tokens:] for window in windows]
    usable = usable_tokens(shared_tokens, block, prompt_tokens)
    step(LOADED)
    _, kept, _ = answer(loaded.model, session.device, prompts[0], WARM_UP_TOKENS, None, usable)
    answer(loaded.model, session.device, prompts[0], WARM_UP_TOKENS, kept, usable)
    answer(loaded.model, session.device, prompts[0], WARM_UP_TOKENS)
    kept = None

    def once(number: int, prompt: list[int]) -> Sample:
        nonlocal kept
        ways: dict[str, tuple[float, list[int]]] = {}
        for name in random.Random(f"{process} {number}").sample(["ttft_s", "ttft_reused_s"], 2):
            reuses = (kept, usable) if name == "ttft_reused_s" else ()
            seconds, held, tokens = answer(loaded.model, session.device, prompt, output_tokens, *reuses)
            kept, ways[name] = held if reuses else kept, (seconds, tokens)
        unlike = turns.difference(loaded.model, prompt, ways["ttft_s"][1], ways["ttft_reused_s"][1])
        return {name: seconds for name, (seconds, _) in ways.items()} | {"first": number == 0, "difference": unlike}

    samples = turns.sample(session, prompts, once)
    element = 4 if loaded.proof.compute_dtype == "fp32" else 2
    return session.columns(loaded) | {
        "samples": samples,
        "most_processes": most,
        "kept_bytes": cache_bytes(kept),
        "kept_bytes_expected": from_config(config.to_dict(), model).kv_cache_bytes(usable, 1, element),
    }


def answer(
    model: Any, device: Device, prompt: list[int], new: int, kept: Any = None, usable: int = 0
) -> tuple[float, Any, list[int]]:
    """Time to first token in seconds, the kept prefix, and `new` greedy tokens.

    `usable` tokens of the prompt are taken from the cache `kept`, or read and kept where that is None.
    """
    import torch
    from transformers import DynamicCache

    with torch.inference_mode():
        ids = torch.tensor([prompt], device=model.device)
        device.synchronize()
        started = time.perf_counter()
        cache = DynamicCache(config=model.config) if kept is None else growing(kept)
        if usable and kept is None:
            next_token(model, ids[:, :usable], cache)
            kept, cache = cache, growing(cache)
        tokens = [next_token(model, ids[:, usable:], cache)]
        tokens[0].cpu()
        ttft_s = time.perf_counter() - started
        for _ in range(new - 1):
            tokens.append(next_token(model, tokens[-1], cache))
        return ttft_s, kept, torch.cat(tokens, dim=1)[0].tolist()


def growing(kept: Any) -> Any:
    """A cache that grows from the tensors of another one and leaves that as it is."""
    cache = copy.copy(kept)
    cache.layers = [copy.copy(layer) for layer in kept.layers]
    return cache
