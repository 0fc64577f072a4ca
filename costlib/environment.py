"""What a result depends on besides the model: device, driver, clocks, packages, threads, commit and load.

`describe` returns the whole picture, kept with every run, and a fingerprint of the part that must agree before two
runs may be pooled. It asks the driver and the operating system only; torch is not imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from costlib.gpu import REASONS, look, optional

_PACKAGES = ("costlib", "torch", "transformers", "bitsandbytes", "accelerate", "numpy")
_EXTRAS = ("torchao", "llama-cpp-python")
"""Packages that run a model where they are installed, and are not named where they are not."""


def _cpuinfo(*names: str) -> str:
    """What Linux says of the first processor under one of these names; empty where it does not say."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith(names)), "")


@cache
def cpu_model() -> str:
    """The processor's own name, as the operating system tells it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


@dataclass(frozen=True)
class Native:
    """16-bit arithmetic of a device: whether it multiplies bfloat16 and float16 at least about as fast as float32."""

    bf16: bool
    fp16: bool
    said: str


_BELOW_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Limits of oneDNN, which makes torch's matrix products, that leave out the instructions for bfloat16."""


@cache
def _cpu_flags() -> frozenset[str]:
    """Instructions of the processor as Linux names them; empty where it does not say."""
    return frozenset(_cpuinfo("flags", "features").split())


def native(device: str) -> Native:
    """What `device` multiplies natively, asked of its instructions (of a GPU, of its compute capability).

    Without them torch's products at 16 bit are 5 to 100 times slower than at fp32: AVX-512 alone does not help. A limit
    that oneDNN is given by `ONEDNN_MAX_CPU_ISA` holds here, too.
    """
    if device.startswith("cuda"):
        capability = tuple((look(device).facts or {}).get("capability") or (8, 0))
        said = "compute capability " + ".".join(map(str, capability))
        return Native(capability >= (8, 0), capability >= (5, 3), said)
    flags = _cpu_flags()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    bf16 = sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    fp16 = sorted(flags & {"avx512_fp16", "amx_fp16", "asimdhp"})
    if limit in _BELOW_BF16:
        return Native(False, False, f"ONEDNN_MAX_CPU_ISA={limit}")
    if limit == "AVX512_CORE_BF16":
        fp16 = []
    said = ", ".join([*bf16, *fp16]) or ("no instructions for 16 bit" if flags else "its instructions are not told")
    return Native(bool(bf16), bool(fp16), said)


def cpu_count() -> int:
    """Cores this process may use, which a container can set below what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_device() -> str:
    """`cuda` where torch can use an NVIDIA GPU, else `cpu`."""
    return "cpu" if look().unusable else "cuda"


def gpu_unused() -> str | None:
    """Why the GPU or driver of this machine is not the default device; None where it is, and where there is none."""
    why = look().unusable
    absent = (REASONS["NVML_ERROR_LIBRARY_NOT_FOUND"], REASONS["NVML_ERROR_DRIVER_NOT_LOADED"])
    return None if why in absent else why


def device_name(device: str, gpu: dict[str, Any] | None = None) -> str:
    """What a reader calls the device: the GPU's name, or the CPU's with the cores in use."""
    if device.startswith("cuda"):
        gpu = gpu or look(device).facts
        return str(gpu["name"]) if gpu else "CUDA device without NVML"
    return f"CPU, {cpu_count()} cores ({cpu_model()})"


def describe(device: str | None = None, properties: Any = None) -> tuple[dict[str, Any], str]:
    """The environment as JSON types, and its fingerprint (16 hexadecimal digits).

    `properties` are what torch tells of the device, where it has opened it: the description is of that one.
    """
    import psutil

    device = device or default_device()
    gpu = look(device, properties).facts if device.startswith("cuda") else None
    packages = {name: _version(name) for name in _PACKAGES}
    packages |= {name: found for name in _EXTRAS if (found := _version(name))}
    torch = sys.modules.get("torch")
    environment = {
        "device": device_name(device, gpu),
        "device_kind": "cuda" if device.startswith("cuda") else "cpu",
        "gpu": gpu,
        "cpu": cpu_model(),
        "cores": cpu_count(),
        "threads": int(torch.get_num_threads()) if torch is not None else cpu_count(),
        "thread_limit": os.environ.get("OMP_NUM_THREADS"),
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_clock_mhz": optional(lambda: round(psutil.cpu_freq().current)),
        "load_average_1min": round(psutil.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": packages,
        "git_commit": git_commit(),
    }
    if environment["device_kind"] == "cpu" and (why := gpu_unused()):
        environment["gpu_unused"] = why
    kinds = native(device)
    if not kinds.bf16:  # said where it changes what is measured, so that older runs elsewhere may be continued
        environment["native_16_bit"] = "fp16" if kinds.fp16 else "none"
    # Not the threads: they are known only where torch is loaded; the limit that sets them is known everywhere.
    keys = ("device", "device_kind", "cpu", "cores", "thread_limit", "python", "packages")
    decisive = {key: environment[key] for key in keys}
    decisive |= {key: environment[key] for key in ("native_16_bit",) if key in environment}
    decisive["driver"] = gpu["driver"] if gpu else None
    decisive["power_limit_w"] = gpu["power_limit_w"] if gpu else None
    text = json.dumps(decisive, sort_keys=True)
    return environment, hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def git_commit() -> str | None:
    """Commit of the checkout costlib runs from, with `+changes` when files differ from it; None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(root), *what], check=True, capture_output=True, text=True).stdout.strip()
            for what in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
        return head + "+changes" if changes else head
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
