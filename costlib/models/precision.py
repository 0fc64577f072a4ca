"""Precisions: how weights are held in memory, what each costs in bytes, and what it needs to run.

Bytes per weight follow the storage formats. bitsandbytes 4-bit keeps one float32 scale per block of 64 weights (0.50
bit per weight); with double quantization the scales are 8-bit with one float32 per 256 of them, 0.127 bit per weight
(QLoRA, Dettmers et al. 2023, section 3). LLM.int8 and torchao's int8 keep one float32 scale per output row. torchao's
int4 keeps a 16-bit scale and zero per 128 weights, as GPTQ and AWQ do with a 4-bit zero, and fills its layers up to
multiples of 8 rows and 1,024 columns, the tiles of its kernel. GGUF types are blocks of the
bits that llama.cpp's ggml defines. Embeddings, the output head and norms stay at 16 bit, except in GGUF files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from costlib.environment import native
from costlib.errors import invalid_input

Method = Literal["dense", "bitsandbytes", "torchao", "checkpoint", "gguf"]

_BLOCK = 64
_NESTED_BLOCK = 256
GROUP = 128
"""Weights that share a scale in torchao's int4, GPTQ and AWQ."""


@dataclass(frozen=True)
class Precision:
    """One way to hold weights.

    `quantizes` is the class (of a layer or of its weight) that proves it was applied, or None for dense weights.
    `settings` are those of the library that applies it; of torchao the configuration's class and what it is given.
    `linear_bits` is bits per weight without scales; `group_bytes` what each group of `GROUP` weights adds.
    """

    name: str
    meaning: str
    dense_bytes: int
    linear_bits: float
    method: Method = "dense"
    quantizes: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    minimum_capability: tuple[int, int] | None = None
    needs: str | None = None
    """Package that must be installed, where it is more than the core brings."""
    row_bytes: int = 0
    group_bytes: float = 0.0
    whole: tuple[int, int] = (1, 1)
    """A layer is held as if its rows and columns were multiples of these."""
    cuda_only: str | None = None
    """Why it runs on NVIDIA GPUs only, where it does."""


def _four_bit(name: str, meaning: str, **settings: Any) -> Precision:
    chosen = (("load_in_4bit", True), *settings.items())
    return Precision(name, meaning, 2, 4, "bitsandbytes", "Linear4bit", chosen, (6, 0), "bitsandbytes")


def _eight_bit(name: str, meaning: str, threshold: float) -> Precision:
    chosen = (("load_in_8bit", True), ("llm_int8_threshold", threshold))
    return Precision(name, meaning, 2, 8, "bitsandbytes", "Linear8bitLt", chosen, (7, 5), "bitsandbytes", 4)


def _torchao(name: str, meaning: str, proof: str, config: str, given: Any = None, **more: Any) -> Precision:
    chosen = ((config, {"set_inductor_config": False} | (given or {})),)
    return Precision(name, meaning, 2, method="torchao", quantizes=proof, settings=chosen, needs="torchao", **more)


GGUF_BITS = {
    "q8_0": 8.5, "q6_k": 6.5625, "q5_k": 5.5, "q5_1": 6.0, "q5_0": 5.5, "q4_k": 4.5, "q4_1": 5.0, "q4_0": 4.5,
    "q3_k": 3.4375, "q2_k": 2.625,
}  # fmt: skip
"""Bits per weight of ggml's block formats, scales included."""
GGUF_FILES = ("q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_0", "q4_k_m", "q4_k_s", "q4_0", "q3_k_m", "q3_k_s", "q2_k")
"""File types costlib names: a file of the K-quant mixes holds tensors of several block formats."""

PRECISIONS: dict[str, Precision] = {
    held.name: held
    for held in (
        Precision("fp32", "32-bit floating point", 4, 32),
        Precision("bf16", "16-bit brain floating point", 2, 16),
        Precision("fp16", "16-bit floating point", 2, 16),
        _eight_bit("int8", "LLM.int8 by bitsandbytes, outlier split at 6.0", 6.0),
        _eight_bit("int8-nosplit", "LLM.int8 by bitsandbytes without outlier split", 0.0),
        _four_bit("nf4", "4-bit NormalFloat by bitsandbytes", bnb_4bit_quant_type="nf4"),
        _four_bit(
            "nf4-double", "4-bit NormalFloat by bitsandbytes, scales quantized too", bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
        ),
        _four_bit("fp4", "4-bit floating point by bitsandbytes", bnb_4bit_quant_type="fp4"),
        _torchao(
            "int8wo", "8-bit weights by torchao", "Int8Tensor", "Int8WeightOnlyConfig", linear_bits=8, row_bytes=5
        ),
        _torchao(
            "int4wo", "4-bit weights by torchao in groups of 128, CUDA only", "Int4TilePackedTo4dTensor",
            "Int4WeightOnlyConfig", {"group_size": GROUP, "int4_packing_format": "tile_packed_to_4d"}, linear_bits=4,
            minimum_capability=(8, 0), group_bytes=4, whole=(8, 1024),
            cuda_only="torchao's 4-bit kernel for a CPU is a prototype, not used here",
        ),
        *(
            Precision(
                f"{method}4", f"4-bit {method.upper()} checkpoint", 2, 4, "checkpoint", "qweight",
                (("quant_method", method),), (6, 0), "gptqmodel", group_bytes=2.5,
            )
            for method in ("gptq", "awq")
        ),
        *(
            Precision(f"gguf-{name}", f"GGUF blocks of type {name.upper()}, by llama.cpp", 2, bits, "gguf", name)
            for name in GGUF_FILES
            for bits in [GGUF_BITS[name[:4]]]
        ),
    )
}  # fmt: skip


def precision(name: str) -> Precision:
    """The precision called `name`; raises `InputError` with the allowed names."""
    if name not in PRECISIONS:
        raise invalid_input("precision", name, PRECISIONS)
    return PRECISIONS[name]


def dense_dtype(held: Precision, device: str) -> str:
    """fp32, bf16 or fp16: how the weights are held that are not quantized."""
    if held.name in ("fp32", "fp16"):
        return held.name
    on_old_gpu = device.startswith("cuda") and held.method != "dense" and not native(device).bf16
    return "fp16" if on_old_gpu else "bf16"


def compute_dtype(held: Precision, device: str) -> str:
    """fp32, bf16 or fp16: what weights are multiplied at, the quantized ones too where a kernel widens them.

    A CPU without arithmetic for what it holds multiplies at fp32.
    """
    dense = dense_dtype(held, device)
    if device.startswith("cuda") or dense == "fp32":
        return dense
    return dense if getattr(native(device), dense) else "fp32"


def torch_dtype(name: str) -> Any:
    """The torch dtype called fp32, bf16 or fp16 here."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def linear_bytes(held: Precision, rows: int, columns: int) -> int:
    """Bytes of one linear layer of `rows` outputs and `columns` inputs, quantization state included, bias excluded."""
    weights = rows * columns
    if held.method == "dense":
        return weights * held.dense_bytes
    if held.quantizes == "Linear4bit":
        blocks = -(-weights // _BLOCK)
        code = 16 * 4
        if dict(held.settings).get("bnb_4bit_use_double_quant"):
            nested = -(-blocks // _NESTED_BLOCK)
            return weights // 2 + blocks + 4 * nested + 4 + 256 * 4 + code
        return weights // 2 + 4 * blocks + code
    rows, columns = (-(-size // unit) * unit for size, unit in zip((rows, columns), held.whole, strict=True))
    weights, groups = rows * columns, rows * -(-columns // GROUP)
    return int(weights * held.linear_bits / 8 + held.row_bytes * rows + held.group_bytes * groups)
