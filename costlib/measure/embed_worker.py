"""Encodes documents at one precision again and again; runs in a child process, so that each one starts alike."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from costlib.environment import describe
from costlib.isolate import step
from costlib.measure.device import open_device
from costlib.measure.iteration import iterate
from costlib.measure.roofline import limits_of, reading
from costlib.measure.worker import LOADED
from costlib.models.architectures import Architecture
from costlib.models.encoder import Encoder, load_encoder
from costlib.models.precision import precision as known_precision

_IDLE_S = 1.0
_MAXIMUM_PASSES = 50


def encode_once(
    model: str,
    precision: str,
    device: str,
    batch: int,
    folder: str,
    slice_s: float,
    budget_s: float,
    keep: bool,
    ceilings: dict[str, Any],
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
    step(LOADED)
    until = time.perf_counter() + budget_s
    vectors = encoder.encode(texts, batch)
    if keep:
        np.save(place / f"{precision}.npy", vectors)
        if task:
            np.save(place / f"{precision}-task.npy", encoder.encode(task, batch))
    hardware.reset_peaks()
    times: list[float] = []

    def once() -> None:
        hardware.synchronize()
        started = time.perf_counter()
        encoder.encode(texts, batch)
        hardware.synchronize()
        times.append(time.perf_counter() - started)

    flags, energy = iterate(hardware, meter, once, slice_s, _MAXIMUM_PASSES, until)
    peaks = hardware.peaks()
    environment, fingerprint = describe(device, hardware.properties)
    lengths = encoder.tokens(texts)
    return {
        "pass_s": times,
        "flags": flags,
        "tokens": sum(lengths),
        "width": int(vectors.shape[1]),
        "load_s": encoder.load_s,
        "weight_bytes": encoder.weight_bytes,
        "peak_bytes": peaks.held,
        "kernel": encoder.kernel,
        "compute_dtype": encoder.compute_dtype,
        "weights_note": encoder.weights_note,
        "environment": environment,
        "fingerprint": fingerprint,
        **energy.columns(),
        **_ceilings(encoder, model, precision, batch, lengths, hardware, ceilings, until - time.perf_counter()),
    }


def _ceilings(
    encoder: Encoder,
    model: str,
    precision: str,
    batch: int,
    lengths: Sequence[int],
    hardware: Any,
    known: dict[str, Any],
    left_s: float,
) -> dict[str, Any]:
    """Work of a pass and the device's ceilings, as columns; or why they are unknown."""
    if encoder.static:
        return {"ceiling_reason": "a static model looks its tokens up and multiplies nothing"}
    held, tokens = known_precision(precision), (max(lengths), batch * max(lengths))

    def work(shape: Architecture) -> dict[str, Any]:
        moved, done = reading(shape, encoder.weight_bytes, held.dense_bytes, lengths, batch)
        return {"pass_bytes": moved, "pass_flops": done}

    found = {"weight_bytes": encoder.weight_bytes, "compute_dtype": encoder.compute_dtype}
    return limits_of(encoder.model, model, held, work, found, hardware, tokens, known, left_s)
