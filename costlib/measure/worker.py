"""The child process that measures one configuration: load, prove, warm up, timed iterations, then the ceilings.

It returns raw samples; every statistic is computed later from the store, so that a better estimator can be applied to
old runs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from costlib.devices import data_sheet
from costlib.environment import describe
from costlib.isolate import step
from costlib.measure.device import open_device
from costlib.models.precision import precision as known_precision

if TYPE_CHECKING:
    from costlib.models.architectures import Architecture
    from costlib.models.load import Loaded

IDLE_S = 1.0
_SAY_S = 0.1
LOADED, COMPILING, COMPILED = "warming up", "compiling", "compiled"
"""Steps of the child: the time budget runs from the first, or from the last where there is something to compile."""


class Session:
    """The device of a child, opened before its model is loaded, and what is known of the run."""

    def __init__(self, name: str) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.device = open_device(name)
        environment, fingerprint = describe(name, self.device.properties)
        self.run: dict[str, Any] = {"environment": environment, "fingerprint": fingerprint}
        self._meter = self.device.energy()

    def idle(self) -> None:
        """Note the power of the device before there is a model on it."""
        self._meter.idle(IDLE_S)

    def repeat(self, once: Callable[[], object], slice_s: float, most: int, until: float) -> dict[str, Any]:
        """Do `once` again and again: why each was disturbed, and the energy of it all, as columns.

        It ends after `slice_s` seconds or at `most` times, but not before the window of the energy counter is full, and
        never begins anew after `until`.
        """
        self.device.watch()
        disturbance, flags = self.device.disturbance(), list[str]()
        self._meter.start()
        began = said = time.perf_counter()
        window_s = min(self._meter.minimum_window_s * 1.02, until - began)
        slice_s = min(max(slice_s, window_s), until - began)
        try:
            while (
                not flags
                or (passed := time.perf_counter() - began) < window_s
                or (len(flags) < most and passed < slice_s)
            ):
                once()
                flags.append(disturbance.reason())
                if time.perf_counter() - said > _SAY_S or not flags[1:]:
                    said = time.perf_counter()
                    step(f"iteration {len(flags)}")
            return self._meter.stop().columns() | {"flags": flags}
        finally:
            self.device.unwatch()

    def columns(self, loaded: Loaded) -> dict[str, Any]:
        """What every child says of its run, its model and its peak memory."""
        return self.run | {
            "weight_bytes": loaded.proof.weight_bytes,
            "compute_dtype": loaded.proof.compute_dtype,
            "weights_note": loaded.weights_note,
            "peak_bytes": self.device.peaks().held,
        }


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
    from costlib.measure.engines import ENGINES
    from costlib.measure.iteration import Iteration, Shape
    from costlib.measure.roofline import limits_of, work_of

    session = Session(device)
    hardware = session.device
    session.idle()
    shape = Shape(batch, prompt_tokens, output_tokens)
    loaded, columns = ENGINES[engine].load(model, precision, device, shape)
    columns |= session.run | {"load_peak_bytes": hardware.peaks().held}
    hardware.reset_peaks()
    running = ENGINES[engine](loaded, hardware, shape)
    timed: list[Iteration] = []
    step(COMPILING if running.compiles else LOADED)
    started = time.perf_counter()
    running.prepare(seed)
    columns["warmup_s"] = time.perf_counter() - started
    if running.compiles:
        step(COMPILED)
        started = time.perf_counter()
    until = started + budget_s

    def once() -> None:
        timed.append(running.run(seed + len(timed) + 1))

    columns |= session.repeat(once, slice_s, maximum_iterations, until)
    peaks = hardware.peaks()
    decode = [each.decode_s for each in timed]
    columns |= peaks.columns() | {
        "ttft_s": [each.ttft_s for each in timed],
        "decode_s": decode,
        "compile_s": running.compile_s,
        "kv_cache_bytes": timed[-1].kv_cache_bytes,
        "power_limit_w": (columns["environment"]["gpu"] or {}).get("power_limit_w"),
        "power_capped_share": hardware.capped_share(),
        "host_share": host_share(running.host_s, decode, output_tokens - 1),
        "weights_note": "; ".join(filter(None, (columns["weights_note"], running.note))) or None,
    }
    reasons = peaks.reason_columns()
    if running.unread:
        reasons["kv_cache_bytes"] = columns["ceiling_reason"] = running.unread
    else:
        sheet, held = data_sheet(columns["environment"]["device"]), known_precision(precision)
        columns["spec_bytes_per_s"] = sheet and sheet.bandwidth_bytes_per_s
        columns["spec_flops_per_s"] = sheet and sheet.dense_16bit_flops_per_s
        kept = 4 if columns["compute_dtype"] == "fp32" else 2

        def work(arithmetic: Architecture) -> dict[str, Any]:
            sizes = (columns["weight_bytes"], held.dense_bytes, batch, prompt_tokens, output_tokens, kept)
            expected = {"kv_cache_bytes_expected": running.kv_cache_bytes_expected(arithmetic, kept)}
            return expected | work_of(arithmetic, *sizes)

        # What was timed stays: neither a kind of model without arithmetic nor a full memory may take it along.
        tokens, left_s = (batch, batch * prompt_tokens), until - time.perf_counter()
        columns |= limits_of(loaded, model, held, work, columns, hardware, tokens, ceilings, left_s)
        if "kv_cache_bytes_expected" not in columns:
            reasons["kv_cache_bytes_expected"] = columns["ceiling_reason"]
    return columns | {"memory_reasons": json.dumps(reasons, sort_keys=True)}


def host_share(host_s: float | None, decode_s: list[float], steps: int) -> float | None:
    """Share of a decode step's time that the host needs to launch it, at most 1; None on a CPU and without steps."""
    if host_s is None or steps < 1:
        return None
    return min(1.0, host_s * steps / median(decode_s))
