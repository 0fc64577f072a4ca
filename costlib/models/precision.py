"""Precisions: how weights are held in memory, what each costs in bytes, and what it needs to run.

Bytes per weight follow the storage formats: bitsandbytes 4-bit keeps one float32 scale per block of 64 weights (0.50
bit per weight); with double quantization the scales are 8-bit with one float32 per 256 of them, 0.127 bit per weight
(QLoRA, Dettmers et al. 2023, section 3). LLM.int8 keeps one float32 scale per output row (Dettmers et al. 2022).
Embeddings, the output head and norms stay at 16 bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from costlib.errors import bad

_BLOCK = 64
_NESTED_BLOCK = 256


@dataclass(frozen=True)
class Precision:
    """One way to hold weights. `quantizes` is the linear-layer class that proves it was applied, or None."""

    name: str
    meaning: str
    dense_bytes: int
    linear_bits: float
    library: str | None = None
    quantizes: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    minimum_capability: tuple[int, int] | None = None


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", "32-bit floating point", 4, 32),
        Precision("bf16", "16-bit brain floating point", 2, 16),
        Precision("fp16", "16-bit floating point", 2, 16),
        Precision(
            "int8",
            "LLM.int8 by bitsandbytes, outlier split at 6.0",
            2,
            8,
            "bitsandbytes",
            "Linear8bitLt",
            (("load_in_8bit", True), ("llm_int8_threshold", 6.0)),
            (7, 5),
        ),
        Precision(
            "int8-nosplit",
            "LLM.int8 by bitsandbytes without outlier split",
            2,
            8,
            "bitsandbytes",
            "Linear8bitLt",
            (("load_in_8bit", True), ("llm_int8_threshold", 0.0)),
            (7, 5),
        ),
        Precision(
            "nf4",
            "4-bit NormalFloat by bitsandbytes",
            2,
            4,
            "bitsandbytes",
            "Linear4bit",
            (("load_in_4bit", True), ("bnb_4bit_quant_type", "nf4")),
            (6, 0),
        ),
        Precision(
            "nf4-double",
            "4-bit NormalFloat by bitsandbytes, scales quantized too",
            2,
            4,
            "bitsandbytes",
            "Linear4bit",
            (("load_in_4bit", True), ("bnb_4bit_quant_type", "nf4"), ("bnb_4bit_use_double_quant", True)),
            (6, 0),
        ),
        Precision(
            "fp4",
            "4-bit floating point by bitsandbytes",
            2,
            4,
            "bitsandbytes",
            "Linear4bit",
            (("load_in_4bit", True), ("bnb_4bit_quant_type", "fp4")),
            (6, 0),
        ),
    )
}


def precision(name: str) -> Precision:
    """The precision called `name`; raises `InputError` with the allowed names."""
    if name not in PRECISIONS:
        raise bad("precision", name, PRECISIONS)
    return PRECISIONS[name]


def linear_bytes(held: Precision, rows: int, columns: int) -> int:
    """Bytes of one linear layer of `rows` outputs and `columns` inputs, quantization state included, bias excluded."""
    weights = rows * columns
    if held.quantizes == "Linear8bitLt":
        return weights + 4 * rows
    if held.quantizes == "Linear4bit":
        blocks = -(-weights // _BLOCK)
        code = 16 * 4
        if dict(held.settings).get("bnb_4bit_use_double_quant"):
            nested = -(-blocks // _NESTED_BLOCK)
            return weights // 2 + blocks + 4 * nested + 4 + 256 * 4 + code
        return weights // 2 + 4 * blocks + code
    return weights * held.dense_bytes
