"""Weights held at 16 bit and multiplied at fp32, for processors that have no 16-bit arithmetic.

There torch multiplies bfloat16 matrices about a hundred times slower than float32 ones. The weights stay what they are,
so that their bytes are those of 16 bit; a layer widens a block of them, multiplies, and forgets the block, which is
small enough for a processor's cache. Activations and the key-value cache are fp32. Only what has one dimension (norms,
biases) is widened once: it is a thousandth of a model.
"""

from __future__ import annotations

from functools import partial
from typing import Any

_BLOCK = 2**18
"""Weights that are widened together: 1 MB at fp32."""


def multiply_at_fp32(model: Any) -> Any:
    """Let `model`, held at 16 bit or quantized, compute at fp32; its 16-bit matrices stay."""
    import torch

    for module in model.modules():
        large = []
        for name, held in module._parameters.items():
            if held is None or held.dtype not in (torch.bfloat16, torch.float16):
                continue
            if held.dim() < 2:
                module._parameters[name] = torch.nn.Parameter(held.float(), requires_grad=held.requires_grad)
            else:
                large.append(name)
        if isinstance(getattr(module, "compute_dtype", None), torch.dtype):  # bitsandbytes, 4 bit
            module.compute_dtype, module.support_avx512bf16_for_cpu = torch.float32, False
        if large and type(module) is torch.nn.Linear:
            module.forward = partial(_linear, module)
        elif large and isinstance(module, torch.nn.Embedding):
            module.register_forward_hook(lambda _, __, rows: rows.float())
        elif large:
            module.register_forward_pre_hook(partial(_widen, large))
            module.register_forward_hook(_narrow, always_call=True)
    # What asks a model for its dtype (caches, masks) asks for that of its activations.
    model.__class__ = type(type(model).__name__, (type(model),), {"dtype": torch.float32})
    return model


def multiplied_at(model: Any) -> str:
    """fp32, bf16 or fp16: what a loaded model computes at, which need not be how its weights are held."""
    kinds = (tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
    dtype = getattr(model, "dtype", None) or next(kinds, None)
    return {"torch.float32": "fp32", "torch.float16": "fp16"}.get(str(dtype), "bf16")


def widens(model: Any) -> bool:
    """Whether a model holds matrices at 16 bit that it multiplies at fp32."""
    import torch

    half = (torch.bfloat16, torch.float16)
    return multiplied_at(model) == "fp32" and any(one.dim() > 1 and one.dtype in half for one in model.parameters())


def casts(model: Any) -> bool:
    """Whether a model holds 8-bit weights that torch widens before it multiplies, as those of torchao."""
    return any(type(one).__name__ == "Int8Tensor" for one in model.parameters())


def _linear(layer: Any, inputs: Any) -> Any:
    """`torch.nn.functional.linear`, a block of rows after another."""
    import torch
    from torch.nn.functional import linear

    weight, bias = layer.weight, layer.bias
    inputs = inputs.float()
    if weight.numel() <= _BLOCK or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return linear(inputs, weight.float(), bias)
    out = inputs.new_empty((*inputs.shape[:-1], len(weight)))
    rows = max(1, _BLOCK // weight.shape[1])
    for start in range(0, len(weight), rows):
        part = slice(start, start + rows)
        out[..., part] = linear(inputs, weight[part].float(), None if bias is None else bias[part])
    return out


def _widen(names: list[str], module: Any, _: Any) -> None:
    """Any other layer computes on copies at fp32, which it keeps for the call."""
    import torch

    module._held = {name: module._parameters[name] for name in names}
    for name, held in module._held.items():
        module._parameters[name] = torch.nn.Parameter(held.float(), requires_grad=False)


def _narrow(module: Any, *_: Any) -> None:
    module._parameters.update(module.__dict__.pop("_held", {}))
