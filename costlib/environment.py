"""What a result depends on besides the model: device, driver, clocks, packages, threads, commit and load.

`describe` returns the whole picture, kept with every run, and a fingerprint of the part that must agree before two
runs may be pooled. It asks the driver and the operating system only; torch is not imported.

The GPU that torch calls `cuda:N`: what NVML tells of it, and whether torch can use it, are two facts. torch counts what
CUDA_VISIBLE_DEVICES shows, NVML counts all, and both in the order of the PCI bus in every child (`costlib.isolate`).
Where torch runs, its device is matched by UUID or PCI id; elsewhere nothing but NVML is asked.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REASONS = {
    "NVML_ERROR_NOT_SUPPORTED": "this GPU or driver does not support it",
    "NVML_ERROR_NO_PERMISSION": "the driver gives no permission to read it",
    "NVML_ERROR_NO_DATA": "the driver has no data yet",
    "NVML_ERROR_GPU_IS_LOST": "the driver lost the GPU",
    "NVML_ERROR_RESET_REQUIRED": "the GPU needs a reset",
    "NVML_ERROR_DRIVER_NOT_LOADED": "no NVIDIA driver is loaded",
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no NVIDIA driver is installed",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "driver/library version mismatch: the NVIDIA driver in the kernel and its "
    "libraries are of different versions; a reboot mends that",
    "NVML_ERROR_FUNCTION_NOT_FOUND": "the driver is too old for it",
    "NVML_ERROR_UNINITIALIZED": "the driver was closed",
    "NVML_ERROR_TIMEOUT": "the driver did not answer in time",
    "NVML_ERROR_UNKNOWN": "the driver failed without saying why",
    "NVML_ERROR_NOT_FOUND": "no GPU of that number or UUID is visible",
    "NVML_ERROR_INVALID_ARGUMENT": "no GPU of that number or UUID is visible",
}
"""What an error of NVML means, in words for a reader."""
_NVML_ALONE = ("NVML_ERROR_LIBRARY_NOT_FOUND", "NVML_ERROR_NO_PERMISSION", "NVML_ERROR_FUNCTION_NOT_FOUND")
"""Errors of NVML after which CUDA may work all the same, as in a container that is given the one library only."""


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
    packages = {name: version(name) for name in _PACKAGES}
    packages |= {name: found for name in _EXTRAS if (found := version(name))}
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
    keys = ("device", "device_kind", "cpu", "cores", "thread_limit", "python", "packages", "native_16_bit")
    decisive = {key: environment[key] for key in keys if key in environment}
    decisive |= {key: gpu[key] if gpu else None for key in ("driver", "power_limit_w")}
    text = json.dumps(decisive, sort_keys=True)
    return environment, hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def git_commit() -> str | None:
    """Commit of the checkout costlib runs from, with `+changes` when files differ from it; None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    asked = (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(root), *what], check=True, capture_output=True, text=True).stdout.strip()
            for what in asked
        )
        return head + "+changes" if changes else head
    except (OSError, subprocess.CalledProcessError):
        return None


def version(name: str) -> str | None:
    """Version of an installed package; None where it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# The GPU.


@dataclass(frozen=True)
class Gpu:
    """What is known of a GPU.

    `facts` (JSON types; an unknown one is None) are None where nobody tells any, and then `reason` says why.
    `unusable` says why torch cannot run on it, and is None where it can.
    """

    facts: dict[str, Any] | None
    reason: str | None
    unusable: str | None


def reason(error: Any) -> str:
    """The words for an NVML error; an unlisted one keeps the driver's own."""
    words = next((words for name, words in REASONS.items() if _is(error, name)), str(error))
    return words or REASONS["NVML_ERROR_UNKNOWN"]


def _is(error: Any, *names: str) -> bool:
    import pynvml

    return any(getattr(pynvml, name, None) == getattr(error, "value", None) for name in names)


def gpu_index(device: str) -> int:
    """The number in `cuda:NUMBER`, 0 in `cuda`."""
    number = device.partition(":")[2]
    return int(number) if number.isdecimal() else 0


def torch_properties(device: str) -> Any:
    """What torch tells of its device, in a child process where torch is loaded; None elsewhere.

    A caller's own process may count in another order, and is not asked to start CUDA.
    """
    torch = sys.modules.get("torch")
    if torch is None or "COSTLIB_CHILD_FOLDER" not in os.environ or not torch.cuda.is_available():
        return None
    try:
        return torch.cuda.get_device_properties(device)
    except (AssertionError, RuntimeError):
        return None


def handle_of(device: str, properties: Any = None) -> Any:
    """NVML's handle of the device that torch has these `properties` of, else of the one it would call `device`.

    A slice of a board (MIG) has a handle of its own. NVML must be initialized; raises `pynvml.NVMLError`.
    """
    import pynvml

    if properties is not None:
        for kind in ("GPU-", "MIG-", ""):  # torch tells it without what comes before
            with suppress(pynvml.NVMLError, AttributeError):
                return pynvml.nvmlDeviceGetHandleByUUID(f"{kind}{properties.uuid}")
        with suppress(AttributeError):
            place = properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id
            bus = "{:08x}:{:02x}:{:02x}.0".format(*place)
            return _first_slice(pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode()))
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    index, shown = gpu_index(device), os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return _first_slice(pynvml.nvmlDeviceGetHandleByIndex(index))
    names = re.match(r"[^-,\s][^,\s]*(\s*,\s*[^-,\s][^,\s]*)*", shown.strip())  # CUDA stops at a negative number
    seen = dict(enumerate(re.split(r"\s*,\s*", names[0]) if names else [])).get(index)
    if seen is not None and seen.isdecimal():
        return _first_slice(pynvml.nvmlDeviceGetHandleByIndex(int(seen)))
    if seen is not None:
        with suppress(pynvml.NVMLError):
            return _first_slice(pynvml.nvmlDeviceGetHandleByUUID(seen))
        for board in map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount())):
            if _text(pynvml.nvmlDeviceGetUUID(board)).startswith(seen):  # CUDA takes the beginning of a UUID
                return _first_slice(board)
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def _first_slice(board: Any) -> Any:
    """The one slice that CUDA shows of a board in MIG mode; any other board is itself."""
    import pynvml

    if not sliced(board) or is_slice(board):
        return board
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(board)):
        with suppress(pynvml.NVMLError):
            return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(board, number)
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def is_slice(handle: Any) -> bool:
    """Whether a handle is that of a slice (MIG), not of a board."""
    import pynvml

    found = optional(lambda: pynvml.nvmlDeviceIsMigDeviceHandle(handle))
    return bool(getattr(found, "value", found) == 1)


def sliced(handle: Any) -> bool:
    """Whether a handle is that of a board in MIG mode, or of a slice of one."""
    import pynvml

    mode = optional(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0])
    return bool(mode == pynvml.NVML_DEVICE_MIG_ENABLE) or is_slice(handle)


def look(device: str = "cuda", properties: Any = None) -> Gpu:
    """What NVML and, where it runs, torch tell of `device`, and whether torch can use it."""
    import pynvml

    properties = properties or torch_properties(device)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _without_nvml(error, properties)
    try:
        handle = handle_of(device, properties)
        facts, version = _facts(handle), optional(pynvml.nvmlSystemGetCudaDriverVersion)
    except pynvml.NVMLError as error:
        return _without_nvml(error, properties)
    finally:
        pynvml.nvmlShutdown()
    return Gpu(facts, None, None if properties else _unusable(facts, version))


def _facts(handle: Any) -> dict[str, Any]:
    import pynvml

    own = not is_slice(handle)
    board = handle if own else pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    facts = {
        "name": _text(pynvml.nvmlDeviceGetName(handle)),
        "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
        "memory_bytes": None,
        "capability": optional(lambda: list(pynvml.nvmlDeviceGetCudaComputeCapability(board))),
        "power_limit_w": optional(lambda: pynvml.nvmlDeviceGetPowerManagementLimit(board) / 1000) if own else None,
        "sm_clock_mhz": optional(lambda: pynvml.nvmlDeviceGetClockInfo(board, pynvml.NVML_CLOCK_SM)),
        "memory_clock_mhz": optional(lambda: pynvml.nvmlDeviceGetClockInfo(board, pynvml.NVML_CLOCK_MEM)),
    }
    try:
        facts["memory_bytes"] = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError as error:
        facts["memory_reason"] = "the GPU shares the host's memory" if unified(error) else reason(error)
    return facts


def unified(error: Any) -> bool:
    """Whether a GPU has no memory of its own to tell of: NVML does not support the question on those."""
    return _is(error, "NVML_ERROR_NOT_SUPPORTED")


def _without_nvml(error: Any, properties: Any) -> Gpu:
    """NVML does not answer: torch alone, where it runs."""
    words = reason(error)
    if properties is not None:
        facts = {"name": properties.name, "driver": None, "memory_bytes": int(properties.total_memory)}
        facts |= {"capability": [properties.major, properties.minor], "power_limit_w": None}
        return Gpu(facts, words, None)
    if _is(error, *_NVML_ALONE) and _torch_cuda() is not None:
        with suppress(OSError):
            ctypes.CDLL("libcuda.so.1")
            return Gpu(None, words, None)
    return Gpu(None, words, words)


def _unusable(facts: dict[str, Any], version: Any) -> str | None:
    """Why torch cannot use a GPU that NVML tells of: its build, or a driver of an older CUDA; None where it can."""
    built = _torch_cuda()
    if built is None:
        return f"{facts['name']} is here, but this torch is a CPU build; install one with CUDA"
    major = re.match(r"\d+", built)
    if not isinstance(version, int) or major is None or version // 1000 >= int(major[0]):
        return None  # a driver runs what was built for any CUDA of its major version
    has = f"{version // 1000}.{version % 1000 // 10}"
    return (
        f"{facts['name']} is here, but its driver ({facts['driver']}) is of CUDA {has} and this torch needs {built}; "
        f"install a newer driver, or a torch for CUDA {version // 1000}"
    )


def _torch_cuda() -> str | None:
    """The CUDA that torch was built for; None for a build without, or where there is none. Does not import torch."""
    if (torch := sys.modules.get("torch")) is not None:
        return torch.version.cuda or getattr(torch.version, "hip", None)
    found = find_spec("torch")
    for place in (found and found.submodule_search_locations) or ():
        file = Path(place) / "version.py"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if built := re.search(r"^(?:cuda|hip)\b[^=\n]*= '([^']+)'", text, re.MULTILINE):
            return built[1]
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def optional(read: Any) -> Any:
    """A reading that may not be supported: None rather than a failure of the whole description."""
    try:
        return read()
    except Exception:
        return None
