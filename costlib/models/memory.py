"""Predicted memory of a model: weights part by part and the key-value cache, by arithmetic alone.

What is not in the total: activations and workspace of the kernels, the CUDA context (some hundred megabytes) and
allocator fragmentation; what fits on a device leaves room for them. Measured peaks are therefore higher; the report
shows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from costlib.errors import bounded, invalid_input
from costlib.models.architectures import Architecture
from costlib.models.precision import linear_bytes, precision
from costlib.models.reference import parse, shape

if TYPE_CHECKING:
    import pandas as pd

HEADROOM = 0.1
"""Share of a device's memory that is left to the CUDA context, error correction, the kernels' workspace and fragments,
as vLLM leaves it (`gpu_memory_utilization`)."""


def fits_on(predicted: Mapping[str, int], devices: Mapping[str, int]) -> list[str]:
    """Names of the devices (name to bytes of memory) that run what is predicted, smallest first.

    They hold the total and the activations of the prompt, and `HEADROOM` of their memory stays free.
    """
    needed = predicted["total_bytes"] + predicted["activation_bytes"]
    ordered = sorted(devices.items(), key=lambda item: (item[1], item[0]))
    return [name for name, memory in ordered if memory * (1 - HEADROOM) >= needed]


def activation_bytes(shape: Architecture, prompt_tokens: int, element_bytes: int) -> int:
    """Bytes that the prefill of one sequence holds at once: a layer's tensors of every token, and the last logits.

    Six of the hidden size (residual stream, the norm and its 32-bit copies, an output), queries, keys and values before
    and after their rotation, and four of the intermediate size (gate, its activation, up, the product). Attention that
    is not fused needs more.
    """
    heads = 2 * (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    width = shape.active_experts * (shape.expert_intermediate or shape.intermediate) or shape.intermediate
    return element_bytes * (prompt_tokens * (6 * shape.hidden + heads + 4 * width) + 2 * shape.vocabulary)


def predict(shape: Architecture, precision_name: str, batch: int = 1, context: int = 4096) -> dict[str, int]:
    """Predict the bytes of `shape` at a precision with `batch` sequences of `context` tokens, part by part.

    `linear_bytes` are the linear layers at the bits of the precision, `quantization_state_bytes` their scales,
    `expert_bytes` experts that stay at 16 bit, `embedding_bytes` input embedding and output head; with `other_bytes`
    they are the `weight_bytes`, with the key-value cache the `total_bytes`. `activation_bytes` are what the prefill of
    one sequence of the whole context holds at once. `uniform_bytes` is the figure of headlines: every parameter at the
    bits of the precision, none left at 16 bit and no scales; with a state as large, per weight, as that of the linear
    layers in `uniform_with_state_bytes`. Raises `InputError` for an unknown precision or a batch or context below 1.
    """
    held = precision(precision_name)
    batch, context = (number.item() if hasattr(number, "item") else number for number in (batch, context))
    for field, value in (("batch", batch), ("context", context)):
        bounded(field, value, 1, 10**12 - 1, whole=True)
    if held.name.startswith("gguf-") and held.name[-2:] in ("_m", "_s", "2_k", "3_k"):
        raise invalid_input(
            "precision", held.name, "a pure type for a shape (gguf-q8_0, gguf-q4_0 ...), or the gguf: file itself"
        )
    # bitsandbytes and torchao convert linear layers; the experts of a mixture are fused tensors and stay at 16 bit.
    apart = shape.expert_shapes if held.method in ("bitsandbytes", "torchao") else ()
    experts = sum(rows * columns * count for rows, columns, count in apart)
    converted, kept = (
        sum(linear_bytes(held, rows, columns) * count for rows, columns, count in shapes)
        for shapes in (shape.linear_shapes, apart)
    )
    linear = int((shape.linear_parameters - experts) * held.linear_bits / 8)
    tables = shape.embedding_parameters
    state = converted - kept - linear
    parts = {
        "linear_bytes": linear,
        "quantization_state_bytes": state,
        "expert_bytes": experts * held.dense_bytes,
        "embedding_bytes": int(tables * held.linear_bits / 8) if held.method == "gguf" else tables * held.dense_bytes,
        "other_bytes": shape.other_parameters * held.dense_bytes,
    }
    weights, cache = sum(parts.values()), shape.kv_cache_bytes(context, batch, held.dense_bytes)
    uniform = int(shape.total_parameters * held.linear_bits / 8)
    return {
        "parameters": shape.total_parameters,
        **parts,
        "weight_bytes": weights,
        "kv_cache_bytes": cache,
        "total_bytes": weights + cache,
        "activation_bytes": activation_bytes(shape, context, held.dense_bytes),
        "uniform_bytes": uniform,
        "uniform_with_state_bytes": int(uniform * (1 + state / linear)),
    }


def memory(
    model: str, precision: str | Iterable[str] = ("bf16", "int8", "nf4"), *, batch: int = 1, context: int = 4096
) -> pd.DataFrame:
    """Predict bytes of weights and key-value cache, part by part, one row per precision; needs no weights.

    `model` is a reference (`random:llama-3.1-70b`, `path:DIR`, ...) or the name of a shape. `fits_on` lists devices of
    data/rates.csv that hold weights, key-value cache and the activations of one prompt of `context` tokens, with 10 %
    of their memory to spare for the CUDA context and workspace. `uniform_bytes` is what headlines count, every
    parameter at the bits of the precision; it is no part of the total, nor are the activations. Kind: derived.

    Args:
        model: A shape (llama-3.1-70b), or a random:SHAPE, demo:, path: or hub: model.
        precision: Comma-separated: bf16, int8, nf4, 16-bit, ... [default: bf16,int8,nf4].
        batch: Sequences held at once.
        context: Tokens of each sequence, all of them in the key-value cache.
    """
    import pandas as pd

    return pd.DataFrame(memory_rows(model, precision, batch=batch, context=context))


def memory_rows(
    model: str, precision: str | Iterable[str] = ("bf16", "int8", "nf4"), *, batch: int = 1, context: int = 4096
) -> list[dict[str, Any]]:
    """Predict bytes of weights and key-value cache, part by part; needs no weights.

    The rows of `memory`, without loading pandas.

    Args:
        model: A shape (llama-3.1-70b), or a random:SHAPE, demo:, path: or hub: model.
        precision: Comma-separated: bf16, int8, nf4, 16-bit, ... [default: bf16,int8,nf4].
        batch: Sequences held at once.
        context: Tokens of each sequence, all of them in the key-value cache.
    """
    from costlib.devices import resolve
    from costlib.environment import default_device
    from costlib.prices.hardware import device_memory

    found = shape(parse(model if ":" in str(model) else f"random:{model}"))
    devices = device_memory()
    names = [precision] if isinstance(precision, str) else list(precision or ())
    names = [resolve(name, str(model), default_device()).name for name in names]
    if not names:
        raise invalid_input("precision", names, "at least one precision")
    rows = []
    for name in names:
        predicted = predict(found, name, batch, context)
        row: dict[str, Any] = {"model": model, "precision": name, "batch": batch, "context": context}
        fits = {"fits_on": fits_on(predicted, devices), "kind": "derived", "source": found.source}
        rows.append(row | predicted | fits)
    return rows
