"""Why a configuration is as fast as it is: bytes and FLOPs a step must move, and the ceilings of the device.

MBU = bytes read per step / step time / bandwidth; MFU likewise for FLOPs (the roofline of Williams et al. 2009). Bytes
are the weights a step reads (of a mixture, the experts its tokens choose; of an input embedding only rows) and the keys
and values it attends to. FLOPs are two per weight and token, and four per cached token, head and head dimension.

The ceilings are measured on the same device in the same call, once for a model and dtype: the best of several reads,
copies and products. A decode step above the measured bandwidth or a data sheet by more than 2 % makes its row invalid:
either the work was not done or the clock is wrong. The product is one kernel's speed, not the device's limit, so a row
above it gets a note. On a CPU there is no ceiling for weights that fit into its cache, and no honest one can be given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from costlib.errors import InputError
from costlib.isolate import no_memory, step
from costlib.models.architectures import Architecture, from_config
from costlib.models.precision import Precision, torch_dtype
from costlib.tables.schema import is_null

ABOVE = 1.02
"""A row may lie this much above a ceiling, for the noise of both."""
HOST_SHARE = 0.9
"""From this share on, the host needs the whole step to launch its kernels and the device waits: bound by the host."""
NEAR = 0.25
"""Below this share of both ceilings neither bounds a CPU run: what is left is the overhead of Python and kernels."""
_BUFFER_BYTES = 512 * 1024**2
CEILING_S = 1.0
"""Seconds that the bandwidth, and the product at each dtype, may take to be measured."""
_REPEATS = 6
_REGION_S = 0.005
_LAUNCHES = 100
_BLOCK = 1024**2
_BYTES = "bytes"
Ceilings = Mapping[str, list[Any] | None]
"""By what was measured, what it reached and what that was: bytes/s of memory (`bytes`), and FLOP/s of the best product
at each dtype tried (None where there is none). Of JSON types, for the way to a child process and back."""
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def layer_shapes(model: Any) -> list[tuple[int, int]]:
    """(outputs, inputs) of the distinct linear layers of a model but for its head, which reads one token a sequence."""
    head = model.get_output_embeddings()
    layers = (module for module in model.modules() if hasattr(module, "out_features") and module is not head)
    return sorted({(int(layer.out_features), int(layer.in_features)) for layer in layers})


def measure_ceilings(
    device: Any, shapes: Sequence[tuple[int, int]], tokens: Sequence[int], dtypes: Sequence[str], known: Ceilings
) -> Ceilings:
    """Add to `known` what it lacks: bytes/s of `device`, and FLOP/s of the product at each of `dtypes`.

    The product is the model's own (`torch.nn.functional.linear`) on its `shapes` (outputs, inputs) at each number of
    `tokens`, the best of all. Sizes are tried from the smallest, and one that would not end within `CEILING_S` is left
    out, so that a slow product cannot hold a run up. The numbers are random, as those of a model are: constant ones
    draw less power and let the clocks rise.
    """
    made = {_BYTES: known.get(_BYTES) or [_bandwidth(device), "the better of a read and a copy"]} | dict(known)
    return made | {dtype: _product(device, shapes, tokens, dtype) for dtype in dtypes if dtype not in made}


def limits_of(
    model: Any,
    name: str,
    held: Precision,
    work: Callable[[Architecture], Mapping[str, Any]],
    found: Mapping[str, Any],
    device: Any,
    tokens: Sequence[int],
    known: Ceilings,
    left_s: float,
) -> dict[str, Any]:
    """What a run does and its ceilings as columns, or why they are unknown; `ceilings` are for the call's next process.

    `work` says what a model of a shape does. `known` is what an earlier process of the call left, `left_s` what is left
    of the time budget; `found` holds the bytes of the weights and the dtype that they are multiplied at.
    """
    config = model.config.get_text_config().to_dict()
    try:
        done = dict(work(from_config(config, name)))
    except InputError:
        return {"ceiling_reason": f"costlib has no arithmetic for models of type {config.get('model_type')}"}
    # LLM.int8 multiplies integers, and the rest apart.
    dtypes = (found["compute_dtype"], *(["int8"] if held.quantizes == "Linear8bitLt" else []))
    lacking = sum(name not in known for name in (_BYTES, *dtypes))
    if lacking and CEILING_S * lacking > left_s:
        return done | {"ceiling_reason": "the time budget ended before the device's ceilings were measured"}
    step("measuring the device's ceilings")
    try:
        ceilings = measure_ceilings(device, layer_shapes(model), tokens, dtypes, known)
    except (MemoryError, RuntimeError) as error:
        if not no_memory(error):
            raise
        return done | {"ceiling_reason": "no memory was left to measure the device's ceilings in"}
    made = [product for dtype in dtypes if (product := ceilings[dtype])]
    flops, product = max(made, key=itemgetter(0), default=(None, None))
    return done | {
        "ceilings": ceilings,
        "ceiling_bytes_per_s": (ceilings[_BYTES] or [None])[0],
        "ceiling_flops_per_s": flops,
        "ceiling_product": product,
        "ceiling_reason": cache_reason(device.name, found["weight_bytes"]),
    }


def _bandwidth(device: Any) -> float:
    """Bytes/s: the better of a read and a copy of a buffer that no cache holds."""
    import torch

    source = _random(_BUFFER_BYTES // 4, torch.float32, device.name)
    target = torch.empty_like(source)
    matrix, vector = source.view(-1, 4096), source[:4096]
    read = _BUFFER_BYTES / _best(device, lambda: torch.mv(matrix, vector), CEILING_S / 2)
    return max(read, 2 * _BUFFER_BYTES / _best(device, lambda: target.copy_(source), CEILING_S / 2))


def _product(device: Any, shapes: Sequence[tuple[int, int]], tokens: Sequence[int], dtype: str) -> list[Any] | None:
    """FLOP/s and name of the fastest product at `dtype`, of those that end in time and that the device has."""
    import torch
    from torch.nn.functional import linear

    sizes = sorted({(many, *shape) for many in tokens for shape in shapes}, key=lambda s: (math.prod(s), s))
    started, best, last = time.perf_counter(), list[Any](), math.inf
    for many, outputs, inputs in sizes:
        flops = 2 * many * outputs * inputs
        left = CEILING_S - (time.perf_counter() - started)
        if best and flops / last > left:
            continue
        kind = torch.int8 if dtype == "int8" else torch_dtype(dtype)
        weight, vectors = (_random(n * inputs, kind, device.name).view(n, inputs) for n in (outputs, many))
        work = partial(torch._int_mm, vectors, weight.t()) if dtype == "int8" else partial(linear, vectors, weight)
        try:
            seconds = _best(device, work, min(max(left, 0.0), CEILING_S / len(sizes)))
        except RuntimeError as error:
            if no_memory(error):
                raise
            continue  # integers are multiplied in some sizes only, and not everywhere
        last = flops / seconds
        if not best or last > best[0]:
            best = [last, f"{dtype}, {many} x {inputs} by {inputs} x {outputs}"]
    return best or None


def _random(count: int, dtype: Any, place: str) -> Any:
    """`count` numbers on a device, random but for their repetition."""
    import torch

    block = torch.randn(min(count, _BLOCK), generator=torch.Generator().manual_seed(0))
    block = (block * 32).to(dtype) if dtype == torch.int8 else block.to(dtype)
    return block.to(place).repeat(-(-count // len(block)))[:count]


def _best(device: Any, work: Callable[[], object], budget_s: float) -> float:
    """Seconds of one call, the best of several regions, which end when `budget_s` is spent.

    A region holds enough calls that launching and waiting, tens of microseconds on a GPU, are a small part of it.
    """

    def region(launches: int) -> float:
        device.synchronize()
        started = time.perf_counter()
        for _ in range(launches):
            work()
        device.synchronize()
        return (time.perf_counter() - started) / launches

    began = time.perf_counter()
    times = [region(1)]
    while len(times) < _REPEATS and time.perf_counter() - began + times[-1] < budget_s:
        times.append(region(max(1, min(_LAUNCHES, int(_REGION_S / times[-1])))))
    return min(times)


def work_of(
    shape: Architecture, weight_bytes: int, dense_bytes: int, batch: int, prompt: int, new: int, kept_bytes: int = 2
) -> dict[str, float]:
    """What a decode step and the prefill must do: bytes read and FLOPs; a sliding layer attends to its window only.

    `dense_bytes` are those of a weight that is not quantized, `kept_bytes` those of a number of the key-value cache.
    """
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
    return dict(
        decode_bytes=read - experts * (1 - used) + shape.kv_cache_bytes(int(middle), batch, kept_bytes),
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


def judged(shares: Mapping[str, float | None], hard: Sequence[str]) -> dict[str, str]:
    """What shares of ceilings above `ABOVE` mean, as columns of a row: invalid where one is of `hard`, else a note."""
    over = {name: share for name, share in shares.items() if share is not None and share > ABOVE}
    for name in hard:
        if name in over:
            reason = f"{name} is {over[name]:.2f}: more than the device can do, so the measurement cannot be right"
            return {"status": "invalid", "reason": reason}
    if not over:
        return {}
    said = ", ".join(f"{name} is {share:.2f}" for name, share in over.items())
    return {"ceiling_note": f"{said}: faster than what was measured as the ceiling, which only explains"}


def shares(
    row: Mapping[str, Any], work: str, seconds: float, phase: str = "", host_share: float | None = None
) -> dict[str, Any]:
    """The shares of the measured ceilings at which `work` took `seconds`, and what bounds it; nothing without them."""
    moved, most = row[f"{work}_bytes"], row["ceiling_bytes_per_s"]
    if is_null(moved) or is_null(most) or not is_null(row["ceiling_reason"]):
        return {}
    product, mbu = row["ceiling_flops_per_s"], moved / seconds / most
    mfu = None if is_null(product) else row[f"{work}_flops"] / seconds / product
    return {f"{phase}mbu": mbu, f"{phase}mfu": mfu, f"{phase}bound": bound_of(mbu, mfu, host_share)}


def bound_of(mbu: float | None, mfu: float | None, host_share: float | None) -> str | None:
    """host, bandwidth or compute; None where the ceilings are unknown."""
    if host_share is not None and host_share >= HOST_SHARE:
        return "host"
    if mbu is None or mfu is None:
        return None
    if host_share is None and max(mbu, mfu) < NEAR:
        return "host"
    return "bandwidth" if mbu >= mfu else "compute"
