"""GGUF files: what they hold, and how they are run.

transformers keeps GGUF blocks packed only where a matmul kernel for them is installed and otherwise de-quantizes the
whole model. So there a file is measured at fp32, bf16 or fp16: its quality is that of the file, its speed and memory
those of dense weights, and the row says so. At its own precision (`gguf-q4_k_m`) a file runs through llama.cpp, which
computes on the blocks (the `[llamacpp]` extra).
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from costlib.errors import invalid_input
from costlib.isolate import Invalid
from costlib.models.precision import Precision


@dataclass(frozen=True)
class GgufFile:
    """`type` is the file's own name of its quantization (`q4_k_m`); bytes are those of the tensor data.

    `lie` says that the tensors are not of that type, where they are not.
    """

    type: str
    architecture: str
    bytes_by_type: dict[str, int]
    elements_by_name: dict[str, int]
    lie: str | None

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(self.bytes_by_type.values())

    @property
    def note(self) -> str:
        """What a reader must know where the file is run de-quantized."""
        found = (
            f"weights are de-quantized from a GGUF file of type {self.type.upper()}: its quality, not its speed or size"
        )
        return f"{found}; {self.lie}" if self.lie else found


@cache
def read(path: Path) -> GgufFile:
    """Read a file's header. Raises `InputError` for what is not a GGUF file of a known type."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, LlamaFileType

    class Header(GGUFReader):  # type: ignore[misc]  # gguf has no types
        """Steps over lists, which are of the vocabulary: to read one of 262,144 tokens takes the reader 14 s."""

        def _get_field_parts(self, offset: int, kind: int) -> Any:
            if kind != GGUFValueType.ARRAY or self.byte_order != "I":
                return super()._get_field_parts(offset, kind)
            data, end = memoryview(self.data), offset + 12
            item, count = struct.unpack_from("<IQ", data, offset)
            if item != GGUFValueType.STRING:
                end += count * self.gguf_scalar_to_np[item]().itemsize
            else:
                for _ in range(count):
                    end += 8 + struct.unpack_from("<Q", data, end)[0]
            return end - offset, [], [], [GGUFValueType.ARRAY]

    try:
        reader = Header(path)
        number = int(reader.fields["general.file_type"].contents())
        architecture = str(reader.fields["general.architecture"].contents())
        kind = LlamaFileType(number).name.removeprefix("MOSTLY_").lower()
        main = _matrix_type(kind)
        block = GGML_QUANT_SIZES[GGMLQuantizationType[main.upper()]][0]
    except (OSError, ValueError, KeyError, IndexError, struct.error) as error:
        raise invalid_input("model", f"gguf:{path}", f"a GGUF file of a language model ({error})") from error
    sizes, whole, other = Counter[str](), Counter[str](), Counter[str]()
    elements: dict[str, int] = {}
    for tensor in reader.tensors:
        name = tensor.tensor_type.name.lower()
        sizes[name] += int(tensor.n_bytes)
        elements[tensor.name] = int(tensor.n_elements)
        if len(tensor.shape) > 1 and tensor.name.startswith("blk."):
            (other if tensor.shape[0] % block else whole)[name] += int(tensor.n_elements)
    weights, allowed = (whole, (main,)) if whole else (other, _FALLBACK.get(main, (main,)))
    mostly = max(weights, key=weights.__getitem__, default=main)
    lie = None
    if weights and mostly not in allowed:
        lie = f"its header says {kind.upper()}, but most weights of its blocks are {mostly.upper()}"
    return GgufFile(kind, architecture, dict(sizes), elements, lie)


_FALLBACK = {
    "q2_k": ("iq4_nl", "q4_0", "f16"), "q3_k": ("iq4_nl", "q4_1", "f16"), "q4_k": ("q5_0", "f16"),
    "q5_k": ("q5_1", "f16"), "q6_k": ("q8_0", "f16"),
}  # fmt: skip
"""What llama.cpp's quantize makes of matrices whose rows are no multiple of a K-quant's 256 weights."""


def _matrix_type(kind: str) -> str:
    """The type of most matrices in a file of a mixed type: `q4_k` in `q4_k_m`, `f32` in `all_f32`."""
    other = {"all_f32": "f32", "mxfp4_moe": "mxfp4", "iq3_m": "iq3_s", "iq2_m": "iq2_s", "iq3_xs": "iq3_xxs"}
    return other.get(kind) or re.sub(r"(?<=_k)_[sml]$", "", kind)


def unused(path: Path, model: Any) -> str | None:
    """That a model loaded from a file leaves tensors of it out, with the first of them; None where it uses all."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    found = read(path)
    own = {tensor.data_ptr(): tensor.numel() for tensor in model.parameters()}
    extra = sum(found.elements_by_name.values()) - sum(own.values())
    if extra <= 0:
        return None
    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == found.architecture)
    names = get_tensor_name_map(arch, model.config.get_text_config().num_hidden_layers)
    known = {names.get_name(name, try_suffixes=(".weight", ".bias")) for name in model.state_dict()}
    first = min((name for name in found.elements_by_name if name not in known), default="unknown")
    return f"the model does not use {extra:,} weights of its file, first {first}"


def check_type(found: GgufFile, held: Precision) -> None:
    """Raise `Invalid` where a file is not of the requested type, or its tensors are not of the type it says."""
    if held.quantizes != found.type:
        raise Invalid(f"{held.name} was requested, but the file is of type gguf-{found.type}")
    if found.lie:
        raise Invalid(f"{held.name} was requested, but the file is not what it says: {found.lie}")


def columns(found: GgufFile, loaded_bytes: int) -> dict[str, Any]:
    """Proof for a file that llama.cpp runs, as columns of the runs table: its tensors by type, and the bytes it holds.

    Raises `Invalid` where `loaded_bytes`, as llama.cpp counts them, are not those of the file's tensors.
    """
    if loaded_bytes != found.weight_bytes:
        raise Invalid(f"the file's tensors are {found.weight_bytes:,} bytes, llama.cpp holds {loaded_bytes:,}")
    packed = {name: size for name, size in found.bytes_by_type.items() if name not in ("f32", "f16", "bf16")}
    return {
        "bytes_by_dtype": json.dumps(found.bytes_by_type, sort_keys=True),
        "weight_bytes": loaded_bytes,
        "weight_bytes_expected": found.weight_bytes,
        "kernel": f"llama.cpp on {', '.join(sorted(packed)) or 'dense'} blocks",
        "attention": "llama.cpp",
    }
