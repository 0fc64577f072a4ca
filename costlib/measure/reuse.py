"""The child process that measures prefix caching: every request answered with its whole prompt read, and with reuse.

The kept prefix is a key-value cache of whole blocks. A request that finds it starts from those tensors, without a copy
(the cache replaces what it grows, it never writes into it), and reads the rest of its prompt. The first request of a
stream finds nothing: it reads the blocks, keeps them, and reads on.
"""

from __future__ import annotations

import copy
import random
import time
from typing import Any

from costlib.isolate import step
from costlib.measure.iteration import WARM_UP_TOKENS, Device
from costlib.measure.prompts import load_generator, prompts_of
from costlib.measure.worker import LOADED
from costlib.models.load import load_tokenizer


def usable_tokens(shared: int, block: int, prompt: int) -> int:
    """Prompt tokens a prefix cache can give back: whole blocks, and never the last token, whose logits are needed."""
    return min(shared // block * block, prompt - 1)


def token_hit_rate(usable: int, prompt: int, requests: int) -> float:
    """Reused prompt tokens over prompt tokens of a stream, whose first request finds nothing."""
    return usable * (requests - 1) / (prompt * requests)


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
) -> dict[str, Any]:
    """Answer one stream of requests both ways, each request in random order; the target of `run_isolated`.

    Every process has another shared prefix and other rests of prompts, from other places of the text.
    """
    from costlib.environment import describe
    from costlib.measure.device import open_device
    from costlib.measure.iteration import cache_bytes
    from costlib.models.configs import from_config

    tokenizer = None if text is None else load_tokenizer(model)
    hardware = open_device(device)
    loaded = load_generator(model, precision, device, prompt_tokens + output_tokens)
    config = loaded.model.config.get_text_config()
    prompts, most = _stream(tokenizer, text, config.vocab_size, shared_tokens, prompt_tokens, requests, process)
    usable = usable_tokens(shared_tokens, block, prompt_tokens)
    step(LOADED)
    _, kept, _ = answer(loaded.model, hardware, prompts[0], WARM_UP_TOKENS, None, usable)
    answer(loaded.model, hardware, prompts[0], WARM_UP_TOKENS, kept, usable)
    answer(loaded.model, hardware, prompts[0], WARM_UP_TOKENS)
    hardware.reset_peaks()
    disturbance = hardware.disturbance()
    kept, samples = None, []
    for number, prompt in enumerate(prompts):
        step(f"request {number + 1} of {requests}")
        found: dict[str, Any] = {"first": number == 0}
        for name in random.Random(f"{process} {number}").sample(["whole", "reused"], 2):
            if name == "whole":
                found["ttft_s"], _, tokens = answer(loaded.model, hardware, prompt, output_tokens)
            else:
                found["ttft_reused_s"], kept, reused = answer(
                    loaded.model, hardware, prompt, output_tokens, kept, usable
                )
        found["flag"] = disturbance.reason()
        samples.append(found | {"difference": _difference(loaded.model, prompt, tokens, reused)})
    peaks = hardware.peaks()
    environment, fingerprint = describe(device, hardware.properties)
    element = 4 if loaded.proof.compute_dtype == "fp32" else 2
    return {
        "samples": samples,
        "most_processes": most,
        "kept_bytes": cache_bytes(kept),
        "kept_bytes_expected": from_config(config.to_dict(), model).kv_cache_bytes(usable, 1, element),
        "weight_bytes": loaded.proof.columns()["weight_bytes"],
        "peak_bytes": peaks.held,
        "weights_note": loaded.weights_note,
        "compute_dtype": loaded.proof.compute_dtype,
        "environment": environment,
        "fingerprint": fingerprint,
    }


def _stream(
    tokenizer: Any, text: str | None, vocabulary: int, shared: int, prompt: int, requests: int, process: int
) -> tuple[list[list[int]], int]:
    """Prompts that begin alike, and how many processes the text has such streams for."""
    windows, most = prompts_of(tokenizer, text, vocabulary, prompt, requests, process)
    return [windows[0][:shared] + window[shared:] for window in windows], most


def _difference(model: Any, prompt: list[int], whole: list[int], reused: list[int]) -> dict[str, Any] | None:
    from costlib.measure.equality import difference

    return difference(model, prompt, whole, reused)


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
            model(input_ids=ids[:, :usable], past_key_values=cache, use_cache=True, logits_to_keep=1)
            kept, cache = cache, growing(cache)
        rest = ids[:, usable:]
        token = _next(model, rest, cache)
        token.cpu()
        ttft_s = time.perf_counter() - started
        tokens = [token]
        for _ in range(new - 1):
            token = _next(model, token, cache)
            tokens.append(token)
        return ttft_s, kept, torch.cat(tokens, dim=1)[0].tolist()


def growing(kept: Any) -> Any:
    """A cache that grows from the tensors of another one and leaves that as it is."""
    cache = copy.copy(kept)
    cache.layers = [copy.copy(layer) for layer in kept.layers]
    return cache


def _next(model: Any, tokens: Any, cache: Any) -> Any:
    logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)
