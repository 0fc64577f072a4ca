"""The child process that measures one configuration: load, prove, warm up, then timed iterations.

It returns raw samples; every statistic is computed later from the store, so that a better estimator can be applied to
old runs.
"""

from __future__ import annotations

import os
import time
from typing import Any

from costlib.isolate import Unsupported, step

_WARM_UP_TOKENS = 8
_IDLE_S = 1.0


def measure_once(
    model: str,
    precision: str,
    engine: str,
    batch: int,
    prompt_tokens: int,
    output_tokens: int,
    device: str,
    slice_s: float,
    minimum_iterations: int,
    maximum_iterations: int,
    seed: int,
) -> dict[str, Any]:
    """Measure one configuration in this process for about `slice_s` seconds of timed iterations.

    Returns columns of the runs table. Called through `costlib.isolate.run_isolated`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from costlib.environment import describe
    from costlib.measure.device import open_device
    from costlib.measure.generate import run_iteration
    from costlib.models.architectures import from_config
    from costlib.models.load import load_model

    environment, fingerprint = describe(device)
    hardware = open_device(device)
    meter = hardware.energy()
    meter.idle(_IDLE_S)
    loaded = load_model(model, precision, device)
    load_peak = hardware.peaks().process
    hardware.reset_peaks()
    longest = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if longest and prompt_tokens + output_tokens > longest:
        raise Unsupported(f"{prompt_tokens} + {output_tokens} tokens exceed the model's context of {longest}")
    shape = {"batch": batch, "prompt_tokens": prompt_tokens}
    ttft: list[float] = []
    decode: list[float] = []
    flags: list[str] = []
    kv_bytes = 0
    with torch.inference_mode():
        step("warming up")
        started = time.perf_counter()
        # Same prompt shape as the timed iterations; fewer steps, because decode steps repeat one shape anyway.
        run_iteration(loaded.model, hardware, **shape, output_tokens=min(output_tokens, _WARM_UP_TOKENS), seed=seed)
        warmup_s = time.perf_counter() - started
        disturbance = hardware.disturbance()
        meter.start()
        began = time.perf_counter()
        while len(ttft) < maximum_iterations and (
            len(ttft) < minimum_iterations or time.perf_counter() - began < slice_s
        ):
            seed += 1
            timed = run_iteration(loaded.model, hardware, **shape, output_tokens=output_tokens, seed=seed)
            ttft.append(timed.ttft_s)
            decode.append(timed.decode_s)
            flags.append(disturbance.reason())
            kv_bytes = timed.kv_cache_bytes
            step(f"iteration {len(ttft)}")
        energy = meter.stop()
    peaks = hardware.peaks()
    predicted = from_config(loaded.model.config.get_text_config().to_dict(), model)
    element = 4 if precision == "fp32" else 2
    return {
        "environment": environment,
        "fingerprint": fingerprint,
        "ttft_s": ttft,
        "decode_s": decode,
        "flags": flags,
        "load_s": loaded.load_s,
        "warmup_s": warmup_s,
        "kv_cache_bytes": kv_bytes,
        "kv_cache_bytes_expected": predicted.kv_cache_bytes(prompt_tokens + output_tokens - 1, batch, element),
        "allocator_allocated_peak_bytes": peaks.allocated,
        "allocator_reserved_peak_bytes": peaks.reserved,
        "process_peak_bytes": peaks.process,
        "load_peak_bytes": load_peak,
        "memory_reason": peaks.reason,
        "energy_j": energy.joules,
        "energy_idle_w": energy.idle_w,
        "energy_window_s": energy.window_s,
        "energy_scope": energy.scope,
        "energy_reason": energy.reason,
        "weights_note": loaded.weights_note,
        **loaded.proof.columns(),
    }
