"""Encodes documents at one precision again and again; runs in a child process, so that each one starts alike."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from costlib.environment import describe
from costlib.errors import InputError
from costlib.isolate import no_memory, step
from costlib.measure.device import open_device
from costlib.measure.roofline import cache_reason, measure_ceilings, reading
from costlib.models.configs import from_config
from costlib.models.encoder import Encoder, load_encoder

_IDLE_S = 1.0
_MAXIMUM_PASSES = 50


def encode_once(
    model: str, precision: str, device: str, batch: int, folder: str, slice_s: float, keep: bool
) -> dict[str, Any]:
    """Encode every document again and again for about `slice_s` seconds; the target of `run_isolated`.

    With `keep` the vectors are left in `folder` as `PRECISION.npy`, those of the task as `PRECISION-task.npy`.
    """
    place = Path(folder)
    texts = json.loads((place / "texts.json").read_text(encoding="utf-8"))
    task = json.loads((place / "task.json").read_text(encoding="utf-8"))
    hardware = open_device(device)
    meter = hardware.energy()
    meter.idle(_IDLE_S)
    encoder = load_encoder(model, precision, device)
    step("warming up")
    vectors = encoder.encode(texts, batch)
    if keep:
        np.save(place / f"{precision}.npy", vectors)
        if task:
            np.save(place / f"{precision}-task.npy", encoder.encode(task, batch))
    hardware.reset_peaks()
    hardware.watch()
    disturbance = hardware.disturbance()
    meter.start()
    times: list[float] = []
    flags: list[str] = []
    began, least_s = time.perf_counter(), max(slice_s, meter.minimum_window_s * 1.02)
    try:
        while not times or (len(times) < _MAXIMUM_PASSES and time.perf_counter() - began < least_s):
            hardware.synchronize()
            started = time.perf_counter()
            encoder.encode(texts, batch)
            hardware.synchronize()
            times.append(time.perf_counter() - started)
            flags.append(disturbance.reason())
            step(f"pass {len(times)}")
        energy = meter.stop()
    finally:
        hardware.unwatch()
    peaks = hardware.peaks()
    environment, fingerprint = describe(device)
    lengths = encoder.tokens(texts)
    return {
        "pass_s": times,
        "flags": flags,
        "tokens": sum(lengths),
        "width": int(vectors.shape[1]),
        "load_s": encoder.load_s,
        "weight_bytes": encoder.weight_bytes,
        "peak_bytes": peaks.process if peaks.reserved is None else peaks.reserved,
        "kernel": encoder.kernel,
        "weights_note": encoder.weights_note,
        "environment": environment,
        "fingerprint": fingerprint,
        "energy_j": energy.joules,
        "energy_idle_w": energy.idle_w,
        "energy_window_s": energy.window_s,
        "energy_scope": energy.scope,
        "energy_reason": energy.reason,
        **_ceilings(encoder, model, precision, batch, lengths, hardware),
    }


def _ceilings(
    encoder: Encoder, model: str, precision: str, batch: int, lengths: Sequence[int], hardware: Any
) -> dict[str, Any]:
    """Work of a pass and the device's ceilings, as columns; or why they are unknown."""
    if encoder.static:
        return {"ceiling_reason": "a static model looks its tokens up and multiplies nothing"}
    import torch

    config = encoder.model.config.get_text_config().to_dict()
    try:
        known = from_config(config, model)
    except InputError:
        return {"ceiling_reason": f"costlib has no arithmetic for models of type {config.get('model_type')}"}
    step("measuring the device's ceilings")
    dtype = {"fp32": torch.float32, "fp16": torch.float16}.get(precision, torch.bfloat16)
    moved, done = reading(known, encoder.weight_bytes, 4 if precision == "fp32" else 2, lengths, batch)
    columns: dict[str, Any] = {"pass_bytes": moved, "pass_flops": done}
    try:
        found = measure_ceilings(hardware, dtype)
    except (MemoryError, RuntimeError) as error:
        if not no_memory(error):
            raise
        return columns | {"ceiling_reason": "no memory was left to measure the device's ceilings in"}
    columns |= {"ceiling_bytes_per_s": found.bytes_per_s, "ceiling_flops_per_s": found.flops_per_s}
    return columns | {"ceiling_reason": cache_reason(hardware.name, encoder.weight_bytes)}
