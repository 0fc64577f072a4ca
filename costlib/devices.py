"""Devices by name: which known device a driver's name means, and what its data sheet says.

data/devices.csv quotes memory, bandwidth and dense FLOP/s with their source; a device that is not in it has no data
sheet here, and what depends on it is unknown with that reason.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache

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
