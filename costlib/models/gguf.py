"""GGUF files: what they hold, and how they are run.

transformers keeps GGUF blocks packed only where a matmul kernel for them is installed and otherwise de-quantizes the
whole model. So there a file is measured at fp32, bf16 or fp16: its quality is that of the file, its speed and memory
those of dense weights, and the row says so. At its own precision (`gguf-q4_k_m`) a file runs through llama.cpp, which
computes on the blocks (the `[llamacpp]` extra).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.isolate import Invalid
from costlib.models.precision import Precision


@dataclass(frozen=True)
class GgufFile:
    """`type` is the file's own name of its quantization (`q4_k_m`); bytes are those of the tensor data."""

    type: str
    architecture: str
    bytes_by_type: dict[str, int]

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(self.bytes_by_type.values())

    @property
    def note(self) -> str:
        """What a reader must know where the file is run de-quantized."""
        return (
            f"weights are de-quantized from a GGUF file of type {self.type.upper()}: its quality, not its speed or size"
        )


@cache
def read(path: Path) -> GgufFile:
    """Read a file's header. Raises `InputError` for what is not a GGUF file of a known type."""
    from gguf import GGUFReader, LlamaFileType

    try:
        reader = GGUFReader(path)
        number = int(reader.fields["general.file_type"].contents())
        architecture = str(reader.fields["general.architecture"].contents())
        kind = LlamaFileType(number).name.removeprefix("MOSTLY_").lower()
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise bad("model", f"gguf:{path}", f"a GGUF file of a language model ({error})") from error
    sizes: dict[str, int] = {}
    for tensor in reader.tensors:
        name = tensor.tensor_type.name.lower()
        sizes[name] = sizes.get(name, 0) + int(tensor.n_bytes)
    return GgufFile(kind, architecture, sizes)


def check_type(found: GgufFile, held: Precision) -> None:
    """Raise `Invalid` where a file is not of the requested type."""
    if held.quantizes != found.type:
        raise Invalid(f"{held.name} was requested, but the file is of type gguf-{found.type}")


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
