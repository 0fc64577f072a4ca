"""Why a configuration is as fast as it is: bytes and FLOPs a step must move, and the ceilings of the device.

MBU = bytes read per step / step time / bandwidth; MFU likewise for FLOPs (the roofline of Williams et al. 2009). Bytes
are the weights a step reads (of a mixture, the experts its tokens choose; of an input embedding only rows) and the keys
and values it attends to. FLOPs are two per weight and token, and four per cached token, head and head dimension.

The ceilings are measured on the same device in the same process: the best of several reads, copies and products. A row
above its measured ceiling by more than 2 % is invalid: either the work was not done or the clock is wrong. On a CPU
there is no ceiling for weights that fit into its cache, and no honest one can be given.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from costlib.models.architectures import Architecture

ABOVE = 1.02
"""A row may lie this much above its measured ceiling; beyond, it is invalid."""
HOST_SHARE = 0.9
"""From this share on, the host needs the whole step to launch its kernels and the device waits: bound by the host."""
NEAR = 0.25
"""Below this share of both ceilings neither bounds a CPU run: what is left is the overhead of Python and kernels."""
_BUFFER_BYTES = 512 * 1024**2
_REPEATS = 5
_PRODUCT = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Ceilings:
    """Measured bytes/s (the better of a read and a copy) and FLOP/s of a square product at the compute dtype."""

    bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True)
class Work:
    """What a decode step and the prefill must do: bytes read and floating-point operations."""

    decode_bytes: float
    decode_flops: float
    prefill_bytes: float
    prefill_flops: float


def measure_ceilings(device: Any, dtype: Any) -> Ceilings:
    """Read, copy and multiply on `device` (a `costlib.measure.device` object), best of five each."""
    import torch

    place = device.name
    count = _BUFFER_BYTES // torch.finfo(dtype).bits * 8
    source, target = torch.ones(count, dtype=dtype, device=place), torch.empty(count, dtype=dtype, device=place)
    matrix, vector = source[: count // 4096 * 4096].view(-1, 4096), torch.ones(4096, dtype=dtype, device=place)
    size = _PRODUCT["cuda" if place.startswith("cuda") else "cpu"]
    left = torch.ones((size, size), dtype=dtype, device=place)
    read = _BUFFER_BYTES / _best(device, lambda: torch.mv(matrix, vector))
    copy = 2 * _BUFFER_BYTES / _best(device, lambda: target.copy_(source))
    product = 2 * size**3 / _best(device, lambda: torch.mm(left, left))
    return Ceilings(max(read, copy), product)


def _best(device: Any, work: Any) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        device.synchronize()
        started = time.perf_counter()
        work()
        device.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def work_of(
    shape: Architecture, weight_bytes: int, dense_bytes: int, batch: int, prompt: int, new: int, kv_bytes: float
) -> Work:
    """The work of one configuration; `kv_bytes` is the cache at the end, of which a step reads the filled part."""
    table = shape.vocabulary * shape.hidden
    read = weight_bytes - (0 if shape.tied else table * dense_bytes)
    experts = sum(rows * columns * count for rows, columns, count in shape.expert_shapes) * dense_bytes
    active = shape.active_experts / shape.experts if shape.experts else 1.0
    middle = prompt + max(new - 1, 1) / 2
    used = 1 - (1 - active) ** batch
    linear = shape.linear_parameters - experts / dense_bytes * (1 - active) + table
    attention = 4 * shape.layers * shape.heads * shape.head_dim
    return Work(
        decode_bytes=read - experts * (1 - used) + kv_bytes * middle / (prompt + new),
        decode_flops=batch * (2 * linear + attention * middle),
        prefill_bytes=read - experts * (1 - (1 - (1 - active) ** (batch * prompt))),
        prefill_flops=batch * (prompt * (2 * (linear - table) + attention * prompt / 2) + 2 * table),
    )


def cache_reason(device: str, weight_bytes: int) -> str | None:
    """Why a CPU run has no ceiling: its weights fit into the last-level cache, which is faster than memory."""
    if device != "cpu":
        return None
    try:
        cache = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (ValueError, OSError):
        return None
    if weight_bytes > cache > 0:
        return None
    return "the size of the CPU's cache is unknown" if cache <= 0 else "the weights fit into the CPU's cache"


def bound_of(mbu: float | None, mfu: float | None, host_share: float | None) -> str | None:
    """host, bandwidth or compute; None where the ceilings are unknown."""
    if host_share is not None and host_share >= HOST_SHARE:
        return "host"
    if mbu is None or mfu is None:
        return None
    if host_share is None and max(mbu, mfu) < NEAR:
        return "host"
    return "bandwidth" if mbu >= mfu else "compute"
