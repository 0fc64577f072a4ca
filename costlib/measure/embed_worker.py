"""Encodes documents at one precision again and again; runs in a child process, so that each one starts alike."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from costlib.environment import describe
from costlib.isolate import step
from costlib.measure.device import open_device
from costlib.models.encoder import load_encoder

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
    encoder = load_encoder(model, precision, device)
    step("warming up")
    vectors = encoder.encode(texts, batch)
    if keep:
        np.save(place / f"{precision}.npy", vectors)
        if task:
            np.save(place / f"{precision}-task.npy", encoder.encode(task, batch))
    hardware.reset_peaks()
    disturbance = hardware.disturbance()
    times: list[float] = []
    flags: list[str] = []
    began = time.perf_counter()
    while not times or (len(times) < _MAXIMUM_PASSES and time.perf_counter() - began < slice_s):
        hardware.synchronize()
        started = time.perf_counter()
        encoder.encode(texts, batch)
        hardware.synchronize()
        times.append(time.perf_counter() - started)
        flags.append(disturbance.reason())
        step(f"pass {len(times)}")
    peaks = hardware.peaks()
    environment, fingerprint = describe(device)
    return {
        "pass_s": times,
        "flags": flags,
        "tokens": sum(encoder.tokens(texts)),
        "width": int(vectors.shape[1]),
        "load_s": encoder.load_s,
        "weight_bytes": encoder.weight_bytes,
        "peak_bytes": peaks.process if peaks.reserved is None else peaks.reserved,
        "kernel": encoder.kernel,
        "weights_note": encoder.weights_note,
        "environment": environment,
        "fingerprint": fingerprint,
    }
