"""What a loaded model really holds, counted tensor by tensor, and whether that is what was asked for.

A requested quantization that was silently not applied is the best-known defect of public benchmarks (16-bit speed under
a 4-bit label). Libraries' own counts are no help: `get_memory_footprint` leaves out bitsandbytes' quantization state,
and a tensor subclass reports the size it would have at 16 bit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from costlib.isolate import Invalid
from costlib.models.precision import PRECISIONS, Precision, linear_bytes
from costlib.models.upcast import multiplied_at

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""What most bytes of a dense model have to be; bf16 and fp16 cannot be told apart by their size."""
_TOLERANCE = 0.03
"""Counted weight bytes may differ from the expected by this share."""


@dataclass(frozen=True)
class Proof:
    """What the loaded model really holds: layers converted, bytes by dtype, bytes expected from its module tree."""

    modules_converted: int
    modules_total: int
    bytes_by_dtype: dict[str, int]
    weight_bytes: int
    weight_bytes_expected: int
    kernel: str
    attention: str
    compute_dtype: str

    def columns(self) -> dict[str, Any]:
        """As columns of the runs table."""
        return asdict(self) | {"bytes_by_dtype": json.dumps(self.bytes_by_dtype, sort_keys=True)}


def prove(model: Any, held: Precision) -> Proof:
    """Count what a loaded model holds, and what its module tree should hold at this precision."""
    head = model.get_output_embeddings()
    converted = total = expected = 0
    kernels: set[str] = set()
    counted: dict[int, tuple[str, int]] = {}
    accounted: set[int] = set()

    def count(tensor: Any) -> int:
        size = int(tensor.numel() * tensor.element_size())
        counted[tensor.data_ptr()] = (str(tensor.dtype).removeprefix("torch."), size)
        return size

    for module in model.modules():
        form = form_of(module)
        if form is None or module is head:
            continue
        total += 1
        converted += form == held.quantizes and _as_named(module, held)
        expected += linear_bytes(held, module.out_features, module.in_features)
        kernel = f"{type(module).__module__}.{type(module).__name__}"
        kernels.add(f"{kernel} of {form}" if form in {*_TORCHAO, "qweight"} else kernel)
        if form == "qweight":
            accounted |= {id(buffer) for buffer in module.buffers(recurse=False)}
        else:
            accounted.add(id(module.weight))
            for tensor in _quantization_state(module):
                count(tensor)
    for parameter in [*model.parameters(), *model.buffers()]:
        size = sum(map(count, plain_tensors(parameter)))
        if id(parameter) not in accounted:
            accounted.add(id(parameter))
            expected += size
    by_dtype = Counter[str]()
    for dtype, size in counted.values():
        by_dtype[dtype] += size
    return Proof(
        modules_converted=converted,
        modules_total=total,
        bytes_by_dtype=dict(by_dtype),
        weight_bytes=by_dtype.total(),
        weight_bytes_expected=expected,
        kernel=", ".join(sorted(kernels)),
        attention=str(getattr(model.config, "_attn_implementation", "unknown")),
        compute_dtype=multiplied_at(model),
    )


def _as_named(module: Any, held: Precision) -> bool:
    """Whether a bitsandbytes layer is of the variant the name says: a misspelt setting means the library's default."""
    if held.quantizes == "Linear4bit":
        state = module.weight.quant_state
        kind, _, double = held.name.partition("-")
        return state is not None and state.quant_type == kind and bool(state.nested) == bool(double)
    if held.quantizes == "Linear8bitLt":
        return bool(module.state.threshold) != held.name.endswith("nosplit")
    return True


_TORCHAO = {held.quantizes for held in PRECISIONS.values() if held.method == "torchao"}


def form_of(module: Any) -> str | None:
    """How a linear layer holds its weights: a class name, `qweight` or `dense`; None for any other module."""
    import torch

    if hasattr(module, "qweight"):
        return "qweight"
    if not isinstance(module, torch.nn.Linear):
        return None
    if type(module) is not torch.nn.Linear:
        return type(module).__name__
    weight = type(module.weight).__name__
    return "dense" if weight in ("Parameter", "Tensor") else weight


def plain_tensors(tensor: Any) -> Iterator[Any]:
    """The tensors that really hold memory: a tensor subclass is taken apart."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) and hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from plain_tensors(getattr(tensor, name))
    else:
        yield tensor


def _quantization_state(module: Any) -> list[Any]:
    """Tensors bitsandbytes keeps beside a weight, which `get_memory_footprint` leaves out."""
    state = getattr(module.weight, "quant_state", None)
    found = [getattr(of, "SCB", None) for of in (module.weight, getattr(module, "state", None))]
    for level in (state, getattr(state, "state2", None)):
        found += [getattr(level, name, None) for name in ("absmax", "code", "offset")]
    return [tensor for tensor in found if hasattr(tensor, "data_ptr")]


def check(proof: Proof, held: Precision) -> None:
    """Raise `Invalid` when the loaded model is not what was asked for."""
    quantized = ("Linear4bit", "Linear8bitLt", "Quant", "FP8", "qweight", *map(str, _TORCHAO))
    wanted, most = _DTYPES.get(held.name), max(proof.bytes_by_dtype, key=proof.bytes_by_dtype.__getitem__)
    difference = abs(proof.weight_bytes - proof.weight_bytes_expected) / max(1, proof.weight_bytes_expected)
    wrong = None
    if held.quantizes and proof.modules_converted < proof.modules_total:
        converted = f"{proof.modules_converted} of {proof.modules_total}"
        wrong = f"was requested, but only {converted} linear layers are quantized as asked"
    elif not held.quantizes and any(name in proof.kernel for name in quantized):
        wrong = "was requested, but the checkpoint holds quantized layers"
    elif wanted not in (None, most):
        wrong = f"was requested, but most weights are {most}"
    elif difference > _TOLERANCE:
        wrong = f"should hold {proof.weight_bytes_expected:,} bytes, the model holds {proof.weight_bytes:,}"
    if wrong:
        raise Invalid(f"{held.name} {wrong}")
