"""The GPU that torch calls `cuda:N`: what NVML tells of it, and whether torch can use it, which are two facts.

torch counts what CUDA_VISIBLE_DEVICES shows, NVML counts all, and both in the order of the PCI bus in every child
(`costlib.isolate`). Where torch runs, its device is matched by UUID or PCI id; elsewhere nothing but NVML is asked.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
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
    return (
        next((words for name, words in REASONS.items() if _is(error, name)), str(error))
        or REASONS["NVML_ERROR_UNKNOWN"]
    )


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
        try:
            domain, bus, number = properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id
        except AttributeError as error:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND) from error
        place = f"{domain:08x}:{bus:02x}:{number:02x}.0"
        return _first_slice(pynvml.nvmlDeviceGetHandleByPciBusId(place.encode()))
    index, shown = gpu_index(device), os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return _first_slice(pynvml.nvmlDeviceGetHandleByIndex(index))
    names = re.match(r"[^-,\s][^,\s]*(\s*,\s*[^-,\s][^,\s]*)*", shown.strip())  # CUDA stops at a negative number
    seen = re.split(r"\s*,\s*", names[0]) if names else []
    if index >= len(seen):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    if seen[index].isdecimal():
        return _first_slice(pynvml.nvmlDeviceGetHandleByIndex(int(seen[index])))
    with suppress(pynvml.NVMLError):
        return _first_slice(pynvml.nvmlDeviceGetHandleByUUID(seen[index]))
    for board in map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount())):
        if _text(pynvml.nvmlDeviceGetUUID(board)).startswith(seen[index]):  # CUDA takes the beginning of a UUID
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

    board = handle
    if is_slice(handle):
        board = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    own = board is handle
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
    if not _is(error, *_NVML_ALONE) or _torch_cuda() is None:
        return Gpu(None, words, words)
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Gpu(None, words, words)
    return Gpu(None, words, None)


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
