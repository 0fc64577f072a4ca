"""Devices by name: which known device a driver's name means, and what its data sheet says.

The widths 16-bit, 8-bit and 4-bit mean a precision of the machine and the model at hand (`resolve`).

data/devices.csv quotes memory, bandwidth and dense FLOP/s with their source; a device that is not in it has no data
sheet here, and what depends on it is unknown with that reason.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from costlib.environment import native
from costlib.errors import bad
from costlib.paths import data_dir

_GPU_NAMES: tuple[tuple[str, str], ...] = (
    (r"H100 PCIe", "H100 PCIe"),
    (r"H100.*(HBM3|SXM)", "H100 SXM"),
    (r"H200", "H200 SXM"),
    (r"GB200", "GB200"),
    (r"GB300", "GB300"),
    (r"B200", "B200"),
    (r"B300", "B300 SXM"),
    (r"A100.*SXM.*80", "A100 SXM 80GB"),
    (r"A100.*80GB PCIe", "A100 PCIe 80GB"),
    (r"A100.*40", "A100 40GB"),
    (r"L40S", "L40S"),
    (r"A10G", "A10G"),
    (r"\bA30\b", "A30"),
    (r"RTX 4090", "RTX 4090"),
    (r"\bL4\b", "L4"),
    (r"\bT4\b", "T4"),
)
"""NVML names of NVIDIA GPUs (regular expression) and what costlib's tables call them; the first match wins."""


@dataclass(frozen=True)
class DataSheet:
    """What a vendor quotes: bytes, bytes/s, dense FLOP/s at 16 bit, watts."""

    device: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    bf16_flops_per_s: float
    watts: float
    source: str


def known_gpu(measured: str) -> str | None:
    """The name in costlib's tables of the GPU that NVML calls `measured`; None for a CPU or an unknown GPU."""
    return next((name for pattern, name in _GPU_NAMES if re.search(pattern, measured)), None)


@cache
def data_sheets() -> dict[str, DataSheet]:
    """Every data sheet of data/devices.csv, by device."""
    with (data_dir() / "devices.csv").open(encoding="utf-8", newline="") as rows:
        return {
            row["device"]: DataSheet(
                row["device"],
                int(row["memory_bytes"]),
                float(row["bandwidth_bytes_per_s"]),
                float(row["bf16_flops_per_s"]),
                float(row["watts"]),
                row["source"],
            )
            for row in csv.DictReader(rows)
        }


def data_sheet(measured: str) -> DataSheet | None:
    """The data sheet of a measured device, or None where there is none."""
    name = known_gpu(measured)
    return None if name is None else data_sheets().get(name)


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
    if kind == "gguf" and asked != "16-bit":
        raise bad("precision", asked, "16-bit, or the file's own type, as gguf-q4_k_m, for a GGUF file")
    config = Path(place) / "config.json"
    if kind in ("path", "static") and config.is_file():
        held = json.loads(config.read_text(encoding="utf-8"))
        method = str((held.get("quantization_config") or {}).get("quant_method", ""))
        if asked == "4-bit" and method in ("gptq", "awq"):
            return Resolved(asked, model, f"{method}4", f"the checkpoint is quantized by {method}")
        if asked == "16-bit" and ("embedding_dtype" in held or held.get("model_type") == "model2vec"):
            return Resolved(asked, model, "fp16", "a static model is held at fp16")
    here = native(device)
    wide = "fp16" if device.startswith("cuda") and not here.bf16 else "bf16"
    if device.startswith("cuda"):
        at = f"multiplied at {wide} ({here.said}{'' if here.bf16 else ', which has no bf16'})"
    elif here.bf16:
        at = f"multiplied at bf16, for which this CPU has instructions ({here.said})"
    else:
        at = f"multiplied at fp32, as this CPU has no arithmetic for bf16 ({here.said})"
    if asked == "16-bit":
        return Resolved(asked, model, wide, at)
    if asked == "8-bit":
        return Resolved(asked, model, "int8", f"LLM.int8 by bitsandbytes; what is not integer {at}")
    return Resolved(asked, model, "nf4", f"4-bit NormalFloat by bitsandbytes, {at}")
