"""Why a configuration is as fast as it is: bytes and FLOPs a step must move, and the ceilings of the device.

MBU = bytes read per step / step time / bandwidth; MFU likewise for FLOPs (the roofline of Williams et al. 2009). Bytes
are the weights a step reads (of a mixture, the experts its tokens choose; of an input embedding only rows) and the keys
and values it attends to. FLOPs are two per weight and token, and four per cached token, head and head dimension.

The ceilings are measured on the same device in the same process: the best of several reads, copies and products. A row
above its measured ceiling by more than 2 % is invalid: either the work was not done or the clock is wrong. On a CPU
there is no ceiling for weights that fit into its cache, and no honest one can be given.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
_LAUNCHES = {"cpu": 1, "cuda": 10}
"""Calls in one timed region: a GPU copies the buffer in a fraction of a millisecond, of which a launch is a part."""
_BLOCK = 1024**2
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


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
    """Read, copy and multiply on `device` (a `costlib.measure.device` object), best of five each.

    The numbers are random, as those of a model are: constant ones draw less power and let the clocks rise.
    """
    import torch

    place = device.name
    kind = "cuda" if place.startswith("cuda") else "cpu"
    count = _BUFFER_BYTES // torch.finfo(dtype).bits * 8
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)).to(dtype).to(place)
    source, target = block.repeat(count // _BLOCK), torch.empty(count, dtype=dtype, device=place)
    matrix, vector = source.view(-1, 4096), block[:4096]
    size = _PRODUCT[kind]
    left = source[: size * size].view(size, size)
    read = _BUFFER_BYTES / _best(device, lambda: torch.mv(matrix, vector), _LAUNCHES[kind])
    copy = 2 * _BUFFER_BYTES / _best(device, lambda: target.copy_(source), _LAUNCHES[kind])
    product = 2 * size**3 / _best(device, lambda: torch.mm(left, left), _LAUNCHES[kind])
    return Ceilings(max(read, copy), product)


def _best(device: Any, work: Any, launches: int) -> float:
    """Seconds of one call, the best of several regions of `launches` calls."""
    work()
    times = []
    for _ in range(_REPEATS):
        device.synchronize()
        started = time.perf_counter()
        for _ in range(launches):
            work()
        device.synchronize()
        times.append((time.perf_counter() - started) / launches)
    return min(times)


def work_of(shape: Architecture, weight_bytes: int, dense_bytes: int, batch: int, prompt: int, new: int) -> Work:
    """The work of one configuration; a sliding layer attends to its window only."""
    table = shape.vocabulary * shape.hidden
    read = weight_bytes - (0 if shape.tied else table * dense_bytes)
    experts = sum(rows * columns * count for rows, columns, count in shape.expert_shapes) * dense_bytes
    active = shape.active_experts / shape.experts if shape.experts else 1.0
    middle = prompt + new / 2  # the mean of prompt + 1 to prompt + new - 1 tokens
    used = 1 - (1 - active) ** batch
    linear = shape.linear_parameters - experts / dense_bytes * (1 - active) + table
    each = 4 * shape.heads * shape.head_dim
    window = shape.sliding_window or 0
    sliding, full = shape.sliding_layers, shape.layers - shape.sliding_layers
    decoding = full * middle + sliding * min(middle, window)
    reach = prompt / 2 if window >= prompt else window - window**2 / (2 * prompt)  # causal: half of the prompt
    prefilling = full * prompt / 2 + sliding * reach
    return Work(
        decode_bytes=read - experts * (1 - used) + shape.kv_cache_bytes(int(middle), batch, dense_bytes),
        decode_flops=batch * (2 * linear + each * decoding),
        prefill_bytes=read - experts * (1 - (1 - (1 - active) ** (batch * prompt))),
        prefill_flops=batch * (prompt * (2 * (linear - table) + each * prefilling) + 2 * table),
    )


def reading(
    shape: Architecture, weight_bytes: int, dense_bytes: int, lengths: Sequence[int], batch: int
) -> tuple[float, float]:
    """Bytes and FLOPs of encoding sequences of these lengths, `batch` together: every batch reads the weights once.

    Of the input embedding only rows are read. Padding is no work: a batch that is padded comes less near its ceiling.
    """
    batches = -(-len(lengths) // batch)
    read = weight_bytes - shape.vocabulary * shape.hidden * dense_bytes
    reach = 1.0 if shape.encoder else 0.5  # causal attention sees half of the pairs
    pairs = 4 * shape.layers * shape.heads * shape.head_dim * reach * sum(length**2 for length in lengths)
    return batches * read, 2 * shape.linear_parameters * sum(lengths) + pairs


def cache_reason(device: str, weight_bytes: int) -> str | None:
    """Why a CPU run has no ceiling: its weights fit into the last-level cache, which is faster than memory."""
    if device != "cpu":
        return None
    cache = cache_bytes()
    if cache is None:
        return "the size of the CPU's cache is unknown"
    return None if weight_bytes > cache else "the weights fit into the CPU's cache"


def cache_bytes(folder: Path | None = None) -> int | None:
    """Bytes of the processor's largest cache as Linux tells them (sysfs); None where nobody does.

    Python's `os.sysconf` knows no cache sizes, though `getconf` does.
    """
    sizes = [file.read_text(encoding="ascii").strip() for file in (folder or _CACHES).glob("index*/size")]
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=None)


def above_ceiling(name: str, share: float) -> str:
    """Why a row whose share of a measured ceiling is above `ABOVE` is invalid."""
    return f"{name} is {share:.2f}: more than the device can do, so the measurement cannot be right"


def bound_of(mbu: float | None, mfu: float | None, host_share: float | None) -> str | None:
    """host, bandwidth or compute; None where the ceilings are unknown."""
    if host_share is not None and host_share >= HOST_SHARE:
        return "host"
    if mbu is None or mfu is None:
        return None
    if host_share is None and max(mbu, mfu) < NEAR:
        return "host"
    return "bandwidth" if mbu >= mfu else "compute"
