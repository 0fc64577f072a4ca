"""Loads a model at a precision and proves that the precision was applied.

A requested quantization that was silently not applied is the best-known defect of public benchmarks (16-bit speed under
a 4-bit label), so `Proof` counts converted layers and bytes, and `check` refuses what does not match.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any

from costlib.environment import gpu_facts
from costlib.errors import InputError, bad
from costlib.isolate import Invalid, Unsupported, step
from costlib.models import demo
from costlib.models.precision import Precision, linear_bytes, precision
from costlib.models.reference import Reference, parse

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

    def columns(self) -> dict[str, Any]:
        """As columns of the runs table."""
        return {
            "modules_converted": self.modules_converted,
            "modules_total": self.modules_total,
            "bytes_by_dtype": json.dumps(self.bytes_by_dtype, sort_keys=True),
            "weight_bytes": self.weight_bytes,
            "weight_bytes_expected": self.weight_bytes_expected,
            "kernel": self.kernel,
            "attention": self.attention,
        }


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, on one device."""

    model: Any
    tokenizer: Any
    device: str
    proof: Proof
    load_s: float
    weights_note: str | None


def load_model(reference_text: str, precision_name: str, device: str, *, tokenizer: bool = False) -> Loaded:
    """Load a model; call it in a child process.

    Raises `InputError` for a bad reference, precision or device, `Unsupported` when torch cannot use the device,
    `Invalid` when the precision was not applied or weights were re-initialised.
    """
    reference, held = parse(reference_text), precision(precision_name)
    source, note = _source(reference)
    check_device(held, device)
    import torch
    import transformers

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Unsupported("this build of torch has no CUDA; install one that has to measure on the GPU")
    _quiet()
    dtype = {"fp32": torch.float32, "fp16": torch.float16}.get(held.name, torch.bfloat16)
    arguments: dict[str, Any] = {"dtype": dtype, "device_map": device, "output_loading_info": True}
    if held.library == "bitsandbytes":
        settings = dict(held.settings)
        if "load_in_4bit" in settings:
            settings["bnb_4bit_compute_dtype"] = dtype
        arguments["quantization_config"] = transformers.BitsAndBytesConfig(**settings)
    step(f"loading {reference} at {held.name}")
    started = time.perf_counter()
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(source, **arguments)
    except (OSError, ValueError) as error:
        raise bad("model", reference_text, f"a model transformers can load ({str(error).splitlines()[0]})") from error
    model.eval()
    load_s = time.perf_counter() - started
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise Invalid(f"{len(missing)} weights were not in the checkpoint and were re-initialised, first {missing[0]}")
    proof = prove(model, held)
    check(proof, held)
    text = transformers.AutoTokenizer.from_pretrained(source) if tokenizer else None
    return Loaded(model, text, device, proof, load_s, note)


def _source(reference: Reference) -> tuple[str, str | None]:
    if reference.kind == "random":
        raise InputError(f"model is {str(reference)!r}, a shape without weights; allowed: demo:, hub: or path: here")
    if reference.kind == "hub":
        return reference.name, None
    os.environ["HF_HUB_OFFLINE"] = "1"
    if reference.kind == "demo":
        return str(demo.ensure(reference.name)), demo.NOTE
    return reference.name, None


def check_device(held: Precision, device: str) -> None:
    """Raise `InputError` for a missing package, an unknown device, or one that cannot hold weights at a precision.

    Asks the driver, not torch, so that a command can refuse before anything heavy starts.
    """
    from importlib.util import find_spec

    if held.library and find_spec(held.library) is None:
        raise InputError(
            f"precision is {held.name!r}, which needs a package that is missing; allowed: pip install {held.library}"
        )
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise bad("device", device, "cpu, cuda or cuda:NUMBER")
    if kind == "cuda":
        gpu = gpu_facts(int(index or 0))
        if gpu is None:
            raise bad("device", device, "cpu (no NVIDIA driver answers here for that device)")
        capability = tuple(gpu["capability"] or ())
        if held.minimum_capability and capability and capability < held.minimum_capability:
            has, needed = (".".join(map(str, version)) for version in (capability, held.minimum_capability))
            raise bad(
                "precision", held.name, f"precisions that {gpu['name']} can run (this one needs {needed}, it has {has})"
            )


def _quiet() -> None:
    import logging

    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def prove(model: Any, held: Precision) -> Proof:
    """Count what a loaded model holds, and what its module tree should hold at this precision."""
    import torch

    head = model.get_output_embeddings()
    converted = total = 0
    expected = 0
    kernels: set[str] = set()
    counted: dict[int, tuple[str, int]] = {}
    linear_parameters: set[int] = set()
    for module in model.modules():
        name = type(module).__name__
        if isinstance(module, torch.nn.Linear) and module is not head:
            total += 1
            linear_parameters.add(id(module.weight))
            expected += linear_bytes(held, module.out_features, module.in_features)
            if name == held.quantizes:
                converted += 1
            kernels.add(f"{type(module).__module__}.{name}")
            for tensor in _quantization_state(module):
                counted[tensor.data_ptr()] = (str(tensor.dtype), tensor.numel() * tensor.element_size())
    for parameter in [*model.parameters(), *model.buffers()]:
        counted[parameter.data_ptr()] = (str(parameter.dtype), parameter.numel() * parameter.element_size())
        if id(parameter) not in linear_parameters:
            linear_parameters.add(id(parameter))
            expected += parameter.numel() * parameter.element_size()
    by_dtype: dict[str, int] = {}
    for dtype, size in counted.values():
        key = dtype.removeprefix("torch.")
        by_dtype[key] = by_dtype.get(key, 0) + size
    return Proof(
        modules_converted=converted,
        modules_total=total,
        bytes_by_dtype=by_dtype,
        weight_bytes=sum(by_dtype.values()),
        weight_bytes_expected=expected,
        kernel=", ".join(sorted(kernels)),
        attention=str(getattr(model.config, "_attn_implementation", "unknown")),
    )


def _quantization_state(module: Any) -> list[Any]:
    """Tensors bitsandbytes keeps beside a weight, which `get_memory_footprint` leaves out."""
    weight = module.weight
    found = [getattr(weight, "SCB", None), getattr(getattr(module, "state", None), "SCB", None)]
    state = getattr(weight, "quant_state", None)
    for level in (state, getattr(state, "state2", None)):
        if level is not None:
            found += [level.absmax, level.code]
    if state is not None:
        found.append(getattr(state, "offset", None))
    return [tensor for tensor in found if tensor is not None and hasattr(tensor, "data_ptr")]


def check(proof: Proof, held: Precision) -> None:
    """Raise `Invalid` when the loaded model is not what was asked for."""
    if held.quantizes and proof.modules_converted < proof.modules_total:
        raise Invalid(
            f"{held.name} was requested, but only {proof.modules_converted} of {proof.modules_total} "
            "linear layers are quantized"
        )
    if not held.quantizes and any(name in proof.kernel for name in ("Linear4bit", "Linear8bitLt")):
        raise Invalid(f"{held.name} was requested, but the checkpoint holds quantized layers")
    difference = abs(proof.weight_bytes - proof.weight_bytes_expected) / max(1, proof.weight_bytes_expected)
    if difference > _TOLERANCE:
        raise Invalid(
            f"{held.name} should hold {proof.weight_bytes_expected:,} bytes, the model holds {proof.weight_bytes:,}"
        )
