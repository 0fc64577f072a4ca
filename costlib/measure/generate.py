"""The timed loop: one prefill, then one token at a time, greedy, exactly N new tokens.

The clock is monotonic. On CUDA each end of a region is synchronised; the argmax is read on the host after the first
token, which is what a server has to do before it can send it. Tokens are random and differ in every iteration:
constant ones draw less power and let the clocks rise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from costlib.measure.device import CpuDevice, CudaDevice


@dataclass(frozen=True)
class Iteration:
    """Times of one iteration in seconds: call to first token, and first to last token (0 new steps when N = 1)."""

    ttft_s: float
    decode_s: float
    kv_cache_bytes: int


def run_iteration(
    model: Any, device: CpuDevice | CudaDevice, *, batch: int, prompt_tokens: int, output_tokens: int, seed: int
) -> Iteration:
    """Generate `output_tokens` after a random prompt and time both phases. Call it in `torch.inference_mode()`."""
    import torch
    from transformers import DynamicCache

    generator = torch.Generator().manual_seed(seed)
    vocabulary = model.config.get_text_config().vocab_size
    prompt = torch.randint(0, vocabulary, (batch, prompt_tokens), generator=generator).to(model.device)
    cache = DynamicCache(config=model.config)
    device.synchronize()
    started = time.perf_counter()
    token = _next(model, prompt, cache)
    token.cpu()
    first = time.perf_counter()
    for _ in range(output_tokens - 1):
        token = _next(model, token, cache)
    device.synchronize()
    last = time.perf_counter()
    return Iteration(first - started, last - first, cache_bytes(cache))


def _next(model: Any, tokens: Any, cache: Any) -> Any:
    logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)


def cache_bytes(cache: Any) -> int:
    """Bytes of every key and value tensor in a cache."""
    total = 0
    for layer in cache.layers:
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            if tensor is not None:
                total += tensor.numel() * tensor.element_size()
    return total
