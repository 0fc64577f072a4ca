"""What every engine does: one timed iteration, exactly N new tokens after a random prompt, greedy.

The clock is monotonic. On CUDA each end of a region is synchronised; the first token is read on the host, which is what
a server has to do before it can send it. Tokens are random and differ in every iteration: constant ones draw less power
and let the clocks rise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from costlib.isolate import step
from costlib.measure.device import CpuDevice, CudaDevice
from costlib.measure.energy import Energy, EnergyMeter
from costlib.models.architectures import Architecture

Device = CpuDevice | CudaDevice
WARM_UP_TOKENS = 8
_SAY_S = 0.1


@dataclass(frozen=True)
class Shape:
    """Sequences run together, prompt tokens and new tokens of each."""

    batch: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Iteration:
    """Times of one iteration in seconds: call to first token, and first to last token (0 new steps when N = 1).

    In the batched engine the first is that of the last request to get its first token. `tokens` (batch, N) are for
    checking engines against each other.
    """

    ttft_s: float
    decode_s: float
    kv_cache_bytes: int | None
    tokens: Any = None


class Engine(Protocol):
    """One way to execute a model at one shape. `prepare` warms up with it; `run` is one timed iteration.

    `host_s` is the time the host needs to launch a decode step on a device that runs on its own, `compile_s` that of
    compiling, `note` what was not as the engine's name says; each is known after `prepare`, None where there is none.
    """

    compile_s: float | None
    host_s: float | None
    note: str | None

    def prepare(self, seed: int) -> None: ...  # noqa: D102 - described by the class
    def run(self, seed: int) -> Iteration: ...  # noqa: D102
    def kv_cache_bytes_expected(self, shape: Architecture, element_bytes: int) -> int: ...  # noqa: D102


def random_prompt(vocabulary: int, shape: Shape, seed: int) -> Any:
    """Random token ids (batch, prompt tokens) on the host."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (shape.batch, shape.prompt_tokens), generator=generator)


def launch_s(device: Device, step: Callable[[], object], times: int) -> float | None:
    """Seconds the host needs to launch one step while the device is idle, the best of several; None on a CPU.

    A whole run would not tell: the queue to a GPU holds about a thousand kernels, and a host that is that far ahead
    waits for the device and looks busy.
    """
    if not device.name.startswith("cuda"):
        return None
    found = []
    for _ in range(times):
        device.synchronize()
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    device.synchronize()
    return min(found)


def iterate(
    device: Device, meter: EnergyMeter, once: Callable[[], object], slice_s: float, most: int, until: float
) -> tuple[list[str], Energy]:
    """Do `once` again and again and count the energy of it all: why each was disturbed, and the energy.

    It ends after `slice_s` seconds or at `most` times, but not before the window of the energy counter is full, and
    never begins anew after `until`.
    """
    device.watch()
    disturbance, flags = device.disturbance(), list[str]()
    meter.start()
    began = said = time.perf_counter()
    window_s = min(meter.minimum_window_s * 1.02, until - began)
    slice_s = min(max(slice_s, window_s), until - began)
    try:
        while (
            not flags or (passed := time.perf_counter() - began) < window_s or (len(flags) < most and passed < slice_s)
        ):
            once()
            flags.append(disturbance.reason())
            if time.perf_counter() - said > _SAY_S or not flags[1:]:
                said = time.perf_counter()
                step(f"iteration {len(flags)}")
        return flags, meter.stop()
    finally:
        device.unwatch()


def cache_bytes(cache: Any) -> int:
    """Bytes of every key and value tensor in a cache."""
    total = 0
    for layer in cache.layers:
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            if tensor is not None:
                total += tensor.numel() * tensor.element_size()
    return total
