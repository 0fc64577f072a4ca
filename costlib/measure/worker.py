"""The child process that measures one configuration: load, prove, warm up, timed iterations, then the ceilings.

It returns raw samples; every statistic is computed later from the store, so that a better estimator can be applied to
old runs.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from costlib.isolate import Unsupported, step

if TYPE_CHECKING:
    from costlib.models.architectures import Architecture

_IDLE_S = 1.0
LOADED, COMPILING, COMPILED = "warming up", "compiling", "compiled"
"""Steps of the child: the time budget runs from the first, or from the last where there is something to compile."""


def measure_once(
    model: str,
    precision: str,
    engine: str,
    batch: int,
    prompt_tokens: int,
    output_tokens: int,
    device: str,
    slice_s: float,
    budget_s: float,
    maximum_iterations: int,
    seed: int,
    ceilings: dict[str, Any],
) -> dict[str, Any]:
    """Measure one configuration in this process for about `slice_s` seconds of timed iterations.

    A device with an energy counter gets as many as the counter needs, however short they are. `budget_s` bounds what
    follows the loading (or compiling), as the steps `LOADED` and `COMPILED` tell the parent. `ceilings` are those
    measured before in this call. Returns columns of the runs table, and the ceilings. The target of `run_isolated`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from costlib.environment import describe
    from costlib.measure.device import open_device
    from costlib.measure.engines import open_engine
    from costlib.measure.iteration import Shape, iterate

    hardware = open_device(device)
    environment, fingerprint = describe(device, hardware.properties)
    meter = hardware.energy()
    meter.idle(_IDLE_S)
    shape = Shape(batch, prompt_tokens, output_tokens)
    loaded = _load(model, precision, engine, device, shape)
    load_peak = hardware.peaks().held
    hardware.reset_peaks()
    running = open_engine(engine, loaded["model"], hardware, shape)
    ttft: list[float] = []
    decode: list[float] = []
    step(COMPILING if engine == "compiled" else LOADED)
    started = time.perf_counter()
    until = started + budget_s
    running.prepare(seed)
    warmup_s = time.perf_counter() - started
    if engine == "compiled":
        step(COMPILED)
        until = time.perf_counter() + budget_s
    kv_bytes: int | None = None

    def once() -> None:
        nonlocal seed, kv_bytes
        seed += 1
        timed = running.run(seed)
        ttft.append(timed.ttft_s)
        decode.append(timed.decode_s)
        kv_bytes = timed.kv_cache_bytes

    flags, energy = iterate(hardware, meter, once, slice_s, maximum_iterations, until)
    peaks = hardware.peaks()
    codes = {f"{name}_peak_bytes": code for name, code in peaks.reasons.items()}
    codes = {
        f"allocator_{name}" if name.startswith(("allocated", "reserved")) else name: c for name, c in codes.items()
    }
    found = {
        "environment": environment,
        "fingerprint": fingerprint,
        "ttft_s": ttft,
        "decode_s": decode,
        "flags": flags,
        "load_s": loaded["load_s"],
        "compile_s": running.compile_s,
        "warmup_s": warmup_s,
        "kv_cache_bytes": kv_bytes,
        "allocator_allocated_peak_bytes": peaks.allocated,
        "allocator_reserved_peak_bytes": peaks.reserved,
        "process_peak_bytes": peaks.process,
        "device_over_idle_peak_bytes": peaks.device_over_idle,
        "load_peak_bytes": load_peak,
        "memory_reasons": json.dumps(codes, sort_keys=True),
        "power_limit_w": (environment["gpu"] or {}).get("power_limit_w"),
        "power_capped_share": hardware.capped_share(),
        "host_share": host_share(running.host_s, decode, output_tokens - 1),
        **energy.columns(),
        "weights_note": "; ".join(filter(None, (loaded["note"], running.note))) or None,
        **loaded["proof"],
    }
    if engine == "llamacpp":
        codes["kv_cache_bytes"] = "llama.cpp allocates its whole context and does not say how many bytes that takes"
        found["memory_reasons"] = json.dumps(codes, sort_keys=True)
        return {**found, "ceiling_reason": "llama.cpp does not say which bytes it reads"}
    left_s = until - time.perf_counter()
    return found | _ceilings(loaded["model"], precision, model, hardware, running, shape, found, ceilings, left_s)


def _load(model: str, precision: str, engine: str, device: str, shape: Any) -> dict[str, Any]:
    """The loaded model, how long that took, what it proves and what a reader must know."""
    from pathlib import Path

    from costlib.measure import llamacpp
    from costlib.models import gguf
    from costlib.models.load import context_of, load_model
    from costlib.models.precision import precision as known_precision
    from costlib.models.reference import parse

    if engine == "llamacpp":
        file = Path(parse(model).name)
        gguf.read(file)  # kept from here on, so that checking the file is not timed as loading
        started = time.perf_counter()
        loaded, proof = llamacpp.load(file, known_precision(precision), shape, device)
        return {"model": loaded, "load_s": time.perf_counter() - started, "proof": proof, "note": None}
    longest, asked = context_of(parse(model)), shape.prompt_tokens + shape.output_tokens
    if longest and asked > longest:
        raise Unsupported(
            f"{shape.prompt_tokens} + {shape.output_tokens} tokens exceed the model's context of {longest}"
        )
    dense = load_model(model, precision, device)
    return {"model": dense.model, "load_s": dense.load_s, "proof": dense.proof.columns(), "note": dense.weights_note}


def host_share(host_s: float | None, decode_s: list[float], steps: int) -> float | None:
    """Share of a decode step's time that the host needs to launch it, at most 1; None on a CPU and without steps."""
    if host_s is None or steps < 1:
        return None
    return min(1.0, host_s * steps / median(decode_s))


def _ceilings(
    model: Any,
    precision: str,
    name: str,
    hardware: Any,
    running: Any,
    shape: Any,
    found: Any,
    known: dict[str, Any],
    left_s: float,
) -> dict[str, Any]:
    """Predicted key-value cache, work per step, data sheet and measured ceilings, as columns; or why they are unknown.

    What was timed stays: neither a kind of model without arithmetic nor a full memory may take it along.
    """
    from costlib.devices import data_sheet
    from costlib.measure.roofline import limits_of, work_of
    from costlib.models.precision import precision as known_precision

    sheet = data_sheet(found["environment"]["device"])
    columns: dict[str, Any] = {
        "spec_bytes_per_s": None if sheet is None else sheet.bandwidth_bytes_per_s,
        "spec_flops_per_s": None if sheet is None else sheet.dense_16bit_flops_per_s,
    }
    held, kept = known_precision(precision), 4 if found["compute_dtype"] == "fp32" else 2
    sizes = shape.batch, shape.prompt_tokens, shape.output_tokens

    def work(arithmetic: Architecture) -> dict[str, Any]:
        expected = {"kv_cache_bytes_expected": running.kv_cache_bytes_expected(arithmetic, kept)}
        return expected | asdict(work_of(arithmetic, found["weight_bytes"], held.dense_bytes, *sizes, kept))

    tokens = (shape.batch, shape.batch * shape.prompt_tokens)
    columns |= limits_of(model, name, held, work, found, hardware, tokens, known, left_s)
    if "kv_cache_bytes_expected" not in columns:
        codes = json.loads(found["memory_reasons"]) | {"kv_cache_bytes_expected": columns["ceiling_reason"]}
        columns["memory_reasons"] = json.dumps(codes, sort_keys=True)
    return columns
