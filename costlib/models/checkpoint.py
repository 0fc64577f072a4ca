"""What a checkpoint says it holds, and whether it does: read from its configuration and its tensors' headers.

A loader fills what a checkpoint lacks with random numbers and a log line. Whether the packed weights of a GPTQ or AWQ
checkpoint are there can be told from its tensors' names and sizes, without the kernels that run them. Nor does a loader
say more than a log line where it leaves tensors out, or widens what was held at 8 bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from costlib.errors import invalid_input
from costlib.isolate import Invalid
from costlib.models.precision import Precision
from costlib.read import is_file

_PACKED = ("gptq", "awq")
_WEIGHTS_PER_WORD = 8
"""4-bit weights in a 32-bit word of `qweight`."""
_COMPUTED = ("inv_freq", "position_ids")
"""Tensors of older checkpoints that a model computes."""


def check_checkpoint(source: str | Path, held: Precision) -> None:
    """Raise unless a folder's or hub model's quantization is the requested one, and its packed weights are all there.

    `InputError` where it says that it is quantized otherwise, `Invalid` where it lacks what it says it holds.
    """
    config, found = _quantization(source)
    method, wanted = str(found.get("quant_method", "none")), dict(held.settings).get("quant_method", "none")
    bits = int(found.get("bits") or 4 if method in _PACKED else 16)
    if wanted == "none" and method in _PACKED:
        raise invalid_input(
            "precision", held.name, f"{method}4: the weights of {source} are quantized by {method}, {bits} bits"
        )
    if wanted != "none" and (method != wanted or bits != 4):
        has = f"quantization {method}, {bits} bits"
        raise invalid_input("model", str(source), f"a 4-bit {wanted} checkpoint for {held.name} (this one has {has})")
    if wanted != "none":
        _check_packed(source, config, held)


def _quantization(source: str | Path) -> tuple[Any, dict[str, Any]]:
    """A checkpoint's configuration, and what it says of how the checkpoint is quantized; empty where nothing."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(source)
    found = getattr(config, "quantization_config", None) or {}
    return config, dict(found if isinstance(found, dict) else found.to_dict())


def checkpoint_note(source: str | Path, held: Precision, model: Any, unexpected: Iterable[str]) -> str | None:
    """What a reader must know of a loaded checkpoint: tensors it left out, and weights that were narrower on disk.

    `unexpected` are names that the loader reports. Raises `Invalid` where it left out the scales of narrow weights,
    which without them are other numbers.
    """
    stored = _tensors(source)
    unused = set(unexpected) | _ignored(model, stored)
    method = _quantization(source)[1].get("quant_method")
    used = {name: found for name, found in stored.items() if name not in unused}
    narrow = [
        (dtype, elements)
        for dtype, elements in used.values()
        if dtype[:2] in ("F4", "F6", "F8") or (method and dtype in ("I8", "U8", "I32"))
    ]
    scales = sorted(name for name in unused if "scale" in name.rpartition(".")[2])
    kinds = ", ".join(sorted({dtype for dtype, _ in narrow}))
    if narrow and scales and not method:
        raise Invalid(
            f"the checkpoint holds weights as {kinds}, and its config.json has no quantization_config: the loader "
            f"leaves out their scales, first {scales[0]}"
        )
    notes = []
    if narrow and not (held.method == "checkpoint" or method == held.method == "bitsandbytes"):
        share = sum(elements for _, elements in narrow) / sum(elements for _, elements in used.values())
        loss = f"{held.name} adds to that loss" if held.quantizes else "its quality, not its speed or size"
        notes.append(f"{share:.0%} of the weights are held as {kinds} in the checkpoint and were de-quantized: {loss}")
    if unused:
        weights, several = sum(stored[name][1] for name in unused if name in stored), "s" * (len(unused) > 1)
        count = f"{len(unused)} tensor{several} of its checkpoint ({weights:,} weights)"
        notes.append(f"the model does not use {count}, first {min(unused)}")
    if is_file(Path(source) / "adapter_config.json") and find_spec("peft") is None:
        notes.append("the adapter beside the model's weights (adapter_config.json) is not applied, as peft is missing")
    return "; ".join(notes) or None


def _ignored(model: Any, stored: Iterable[str]) -> set[str]:
    """Tensors of a checkpoint that a model's class leaves out in silence, such as heads for several tokens at once."""
    patterns = "|".join(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ())
    prefix = f"{model.base_model_prefix}."
    has = {name.removeprefix(prefix) for name in model.state_dict()}
    computed = {name.rpartition(".")[2] for name, _ in model.named_buffers()}.union(_COMPUTED)
    left = {name for name in stored if patterns and re.search(patterns, name) and name.removeprefix(prefix) not in has}
    return {name for name in left if name.rpartition(".")[2] not in computed}


def _check_packed(source: str | Path, config: Any, held: Precision) -> None:
    """Compare the packed tensors with the linear layers of the model that the configuration describes."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    head, prefix = model.get_output_embeddings(), f"{model.base_model_prefix}."
    stored = _tensors(source)
    if not stored:
        raise invalid_input("model", str(source), "a checkpoint with safetensors files")
    sizes = {name.removeprefix(prefix): size for name, (_, size) in stored.items()}
    layers = {
        name.removeprefix(prefix): module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    parts = ("qweight", "qzeros", "scales")
    lacking = [name for name in layers if any(f"{name}.{part}" not in sizes for part in parts)]
    if lacking:
        raise Invalid(
            f"{held.name} was requested, but the checkpoint lacks the packed weights of {len(lacking)} of "
            f"{len(layers)} linear layers, first {lacking[0]}; loading would re-initialise them"
        )
    for name, weights in layers.items():
        packed = sizes[f"{name}.qweight"] * _WEIGHTS_PER_WORD
        if packed != weights:
            raise Invalid(f"{held.name} was requested, but {name}.qweight holds {packed:,} of {weights:,} weights")


def _tensors(source: str | Path) -> dict[str, tuple[str, int]]:
    """Type and elements of every tensor by name, from the headers of a checkpoint's safetensors files; none without."""
    from safetensors import safe_open
    from transformers.utils.hub import cached_file, get_checkpoint_shard_files

    def file(name: str) -> str | None:
        found: str | None = cached_file(str(source), name, _raise_exceptions_for_missing_entries=False)
        return found

    index, whole = file("model.safetensors.index.json"), file("model.safetensors")
    if whole is None and index is None:
        return {}
    files = [whole] if whole else get_checkpoint_shard_files(str(source), index)[0]
    found: dict[str, tuple[str, int]] = {}
    for name in files:
        with safe_open(name, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118
                part = opened.get_slice(key)
                found[key] = (str(part.get_dtype()), math.prod(part.get_shape()))
    return found
