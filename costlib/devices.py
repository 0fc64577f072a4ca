"""Devices by name: which known device a driver's name means, and what its data sheet says.

The widths 16-bit, 8-bit and 4-bit mean a precision of the machine and the model at hand (`resolve`).

data/devices.csv holds names and sheets, one device a line, with the source. A driver's name stands for a device only
if all of its words are those of a name in that table: `NVIDIA GH200 480GB`, `NVIDIA H200 NVL` and `NVIDIA GeForce RTX
4090 Laptop GPU` are not an H200 or an RTX 4090. What is not in it is unknown, and what depends on it, for that reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from costlib.environment import native
from costlib.errors import invalid_input
from costlib.paths import data_dir
from costlib.read import read_rows

_MAKERS = {"nvidia", "tesla", "geforce", "amd", "instinct"}
"""Words that a driver puts before the name, or not; they tell no device from another."""


@dataclass(frozen=True)
class DataSheet:
    """What a vendor quotes: bytes, bytes/s, dense TFLOP/s, watts; None where unknown, for the reason in `source`."""

    device: str
    driver_names: tuple[str, ...]
    memory_bytes: int | None
    bandwidth_bytes_per_s: float | None
    fp16_dense_tflops: float | None
    bf16_dense_tflops: float | None
    fp8_dense_tflops: float | None
    watts: float | None
    source: str

    @property
    def dense_16bit_flops_per_s(self) -> float | None:
        """Dense FLOP/s at bf16, or at fp16 where the device has no bf16."""
        tflops = self.bf16_dense_tflops or self.fp16_dense_tflops
        return None if tflops is None else tflops * 1e12


@cache
def data_sheets() -> dict[str, DataSheet]:
    """Every line of data/devices.csv, by device."""
    columns = [field.name for field in fields(DataSheet)]
    found: dict[str, DataSheet] = {}
    for row in read_rows(data_dir() / "devices.csv", columns):
        device = row.text("device")
        if device in found:
            raise invalid_input("device", device, "a name no other line has", row.where)
        numbers = {name: row.optional_number(name) for name in columns[2:-1]}
        known: dict[str, Any] = {name: None if value is None else float(value) for name, value in numbers.items()}
        known["memory_bytes"] = known["memory_bytes"] and int(known["memory_bytes"])
        names = tuple(name.strip() for name in row.cells["driver_names"].split(";") if name.strip())
        found[device] = DataSheet(device, names, **known, source=row.text("source"))
    return found


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w.]+", name.lower())) - _MAKERS


@cache
def _known() -> dict[frozenset[str], str]:
    return {
        _words(name): sheet.device for sheet in data_sheets().values() for name in (*sheet.driver_names, sheet.device)
    }


def known_gpu(measured: str) -> str | None:
    """The name in costlib's tables of the device its driver calls `measured`; None for a CPU or an unknown one."""
    return None if measured.startswith("CPU") else _known().get(_words(measured))


def data_sheet(measured: str) -> DataSheet | None:
    """The data sheet of a measured device, or None where there is none."""
    name = known_gpu(measured)
    return None if name is None else data_sheets()[name]


WIDTHS = ("16-bit", "8-bit", "4-bit")
"""What a study or a command may ask for where it does not mind which precision of that width runs here."""


@dataclass(frozen=True)
class Resolved:
    """A precision that was asked for by its width: its name here, and why it is that one."""

    asked: str
    model: str
    name: str
    why: str


def resolve(asked: str, model: str, device: str) -> Resolved:
    """The precision that a width means for a model on a device; any other name is itself, without a reason.

    16-bit is bf16, on a GPU without it fp16; a CPU without arithmetic for it multiplies bf16 weights at fp32. 8-bit is
    int8 and 4-bit nf4, unless the checkpoint is quantized already. Raises `InputError` for a GGUF file, which has a
    type of its own, at 8 or 4 bits.
    """
    if asked not in WIDTHS:
        return Resolved(asked, model, asked, "")
    kind, _, place = model.partition(":")
    here, on_gpu = native(device), device.startswith("cuda")
    wide = "fp16" if on_gpu and not here.bf16 else "bf16"
    at = f"multiplied at fp32, as this CPU has no arithmetic for bf16 ({here.said})"
    if on_gpu:
        at = f"multiplied at {wide} ({here.said}{'' if here.bf16 else ', which has no bf16'})"
    elif here.bf16:
        at = f"multiplied at bf16, for which this CPU has instructions ({here.said})"
    found = {
        "16-bit": (wide, at),
        "8-bit": ("int8", f"LLM.int8 by bitsandbytes; what is not integer {at}"),
        "4-bit": ("nf4", f"4-bit NormalFloat by bitsandbytes, {at}"),
    }[asked]
    if kind == "gguf" and asked != "16-bit":
        raise invalid_input("precision", asked, "16-bit, or the file's own type, as gguf-q4_k_m, for a GGUF file")
    config = Path(place) / "config.json"
    if kind in ("path", "static") and config.is_file():
        held = json.loads(config.read_text(encoding="utf-8"))
        method = str((held.get("quantization_config") or {}).get("quant_method", ""))
        if asked == "4-bit" and method in ("gptq", "awq"):
            found = f"{method}4", f"the checkpoint is quantized by {method}"
        if asked == "16-bit" and ("embedding_dtype" in held or held.get("model_type") == "model2vec"):
            found = "fp16", "a static model is held at fp16"
    return Resolved(asked, model, *found)
