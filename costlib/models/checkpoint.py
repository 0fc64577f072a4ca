"""What a checkpoint says it holds, and whether it does: read from configuration and tensor headers, before loading.

A loader fills what a checkpoint lacks with random numbers and a log line. Whether the packed weights of a GPTQ or AWQ
checkpoint are there can be told from its tensors' names and sizes, without the kernels that run them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.isolate import Invalid
from costlib.models.precision import Precision

_PACKED = ("gptq", "awq")
_WEIGHTS_PER_WORD = 8
"""4-bit weights in a 32-bit word of `qweight`."""


def check_checkpoint(source: str | Path, held: Precision) -> None:
    """Raise unless a folder's or hub model's quantization is the requested one, and its packed weights are all there.

    `InputError` where it says that it is quantized otherwise, `Invalid` where it lacks what it says it holds.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(source)
    found = getattr(config, "quantization_config", None) or {}
    found = found if isinstance(found, dict) else found.to_dict()
    method, wanted = str(found.get("quant_method", "none")), dict(held.settings).get("quant_method", "none")
    bits = int(found.get("bits") or 4 if method in _PACKED else 16)
    if wanted == "none" and method in _PACKED:
        raise bad("precision", held.name, f"{method}4: the weights of {source} are quantized by {method}, {bits} bits")
    if wanted != "none" and (method != wanted or bits != 4):
        has = f"quantization {method}, {bits} bits"
        raise bad("model", str(source), f"a 4-bit {wanted} checkpoint for {held.name} (this one has {has})")
    if wanted != "none":
        _check_packed(source, config, held)


def _check_packed(source: str | Path, config: Any, held: Precision) -> None:
    """Compare the packed tensors with the linear layers of the model that the configuration describes."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    head, prefix = model.get_output_embeddings(), f"{model.base_model_prefix}."
    sizes = {name.removeprefix(prefix): size for name, size in _tensors(source).items()}
    layers = {
        name.removeprefix(prefix): module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    lacking = [
        name for name in layers if any(f"{name}.{part}" not in sizes for part in ("qweight", "qzeros", "scales"))
    ]
    if lacking:
        raise Invalid(
            f"{held.name} was requested, but the checkpoint lacks the packed weights of {len(lacking)} of "
            f"{len(layers)} linear layers, first {lacking[0]}; loading would re-initialise them"
        )
    for name, weights in layers.items():
        packed = sizes[f"{name}.qweight"] * _WEIGHTS_PER_WORD
        if packed != weights:
            raise Invalid(f"{held.name} was requested, but {name}.qweight holds {packed:,} of {weights:,} weights")


def _tensors(source: str | Path) -> dict[str, int]:
    """Elements of every tensor by name, from the headers of a checkpoint's safetensors files."""
    from safetensors import safe_open
    from transformers.utils.hub import cached_file, get_checkpoint_shard_files

    def file(name: str) -> str | None:
        found: str | None = cached_file(str(source), name, _raise_exceptions_for_missing_entries=False)
        return found

    index, whole = file("model.safetensors.index.json"), file("model.safetensors")
    if index is None and whole is None:
        raise bad("model", str(source), "a checkpoint with safetensors files")
    files = [whole] if index is None else get_checkpoint_shard_files(str(source), index)[0]
    found: dict[str, int] = {}
    for name in files:
        with safe_open(name, "pt") as opened:
            found |= {key: math.prod(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
    return found
