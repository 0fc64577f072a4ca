"""Devices as objects: what each can tell about memory, energy and disturbance while a model runs on it.

A machine without a GPU, a counter the driver does not have, a container without process ids: each is an object that
answers with a reason, so that no caller needs an `if` and no unknown becomes 0.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from costlib.gpu import handle_of, reason
from costlib.isolate import Unsupported
from costlib.measure.disturbance import CpuDisturbance, Disturbance, GpuDisturbance
from costlib.measure.energy import EnergyMeter, cpu_energy, gpu_energy
from costlib.measure.sampler import Sampler

REASON_CODES = {
    "cpu_allocator": "torch's CPU allocator keeps no peak",
    "host_memory": "the memory of a host is shared by everything on it",
    "loading": "it lies below the peak of loading, which this system does not let a process forget",
    "no_driver": "NVML does not answer",
    "no_memory_info": "the driver does not tell how much of the GPU's memory is used, as where it is the host's",
    "no_process_list": "NVML does not list processes here",
    "container_pids": "NVML does not see this process id, as usual in containers",
    "mig": "on a MIG slice NVML shows no memory per process",
    "order": "allocated <= reserved <= process does not hold, so the process's reading is not believed",
}
"""Why a memory column is unknown: a fixed word for filtering, and the sentence a reader sees."""


@dataclass(frozen=True)
class Peaks:
    """Peak memory in bytes; an unknown one is None, with its code of `REASON_CODES` by name in `reasons`."""

    allocated: int | None
    reserved: int | None
    process: int | None
    device_over_idle: int | None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> int | None:
        """What torch reserved on a GPU, on a CPU the resident set."""
        return self.process if self.reserved is None else self.reserved


class CpuDevice:
    """The host processor."""

    name = "cpu"
    properties: Any = None
    """What torch tells of a GPU."""

    def synchronize(self) -> None:
        """CPU kernels have finished when their call returns."""

    def __init__(self) -> None:
        self._before: int | None = None

    def reset_peaks(self) -> None:
        """Forget the peak so far where the kernel lets a process do so; else note it."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = None
        except OSError:
            self._before = _resident_peak()

    def capped_share(self) -> float | None:
        """A CPU's power limit is not read."""

    def watch(self) -> None:
        """Nothing has to be sampled."""

    def unwatch(self) -> None:
        """Nothing was sampled."""

    def peaks(self) -> Peaks:
        """Peak resident set of this process since the last reset."""
        used: int | None = _resident_peak()
        unknown = {"allocated": "cpu_allocator", "reserved": "cpu_allocator", "device_over_idle": "host_memory"}
        if used == self._before:
            used, unknown["process"] = None, "loading"
        return Peaks(None, None, used, None, unknown)

    def energy(self) -> EnergyMeter:
        """RAPL where the kernel lets us read it, else the reason."""
        return cpu_energy()

    def disturbance(self) -> Disturbance:
        """CPU contention."""
        return CpuDisturbance()


class CudaDevice:
    """An NVIDIA GPU through torch and NVML. Open it before the model is loaded: it notes the idle memory."""

    def __init__(self, name: str) -> None:
        import torch

        self.name, self._torch = name, torch
        try:
            self.properties = torch.cuda.get_device_properties(name)
        except (AssertionError, RuntimeError) as error:
            raise Unsupported(f"torch cannot use the GPU: {str(error).strip().splitlines()[0]}") from error
        self._handle, self._reason = _nvml(name, self.properties)
        self._sampler = None if self._handle is None else Sampler(self._handle)
        self._idle_bytes: int | None = None
        if self._sampler is not None:
            self._sampler.read()
            self._idle_bytes = self._sampler.samples[-1].used_bytes if self._sampler.samples else None

    def synchronize(self) -> None:
        """Wait for all kernels."""
        self._torch.cuda.synchronize(self.name)

    def reset_peaks(self) -> None:
        """Release cached blocks and forget earlier peaks of torch's allocator."""
        self._torch.cuda.empty_cache()
        self._torch.cuda.reset_peak_memory_stats(self.name)

    def watch(self) -> None:
        """Start sampling."""
        if self._sampler is not None:
            self._sampler.start()

    def unwatch(self) -> None:
        """Stop sampling; the samples stay."""
        if self._sampler is not None:
            self._sampler.stop()

    def capped_share(self) -> float | None:
        """Share of the samples in which the board's power limit held the clocks; None where nobody tells."""
        return None if self._sampler is None else self._sampler.capped_share()

    def peaks(self) -> Peaks:
        """Allocator peaks, what NVML says this process holds, and how far the device rose above idle."""
        allocated = int(self._torch.cuda.max_memory_allocated(self.name))
        reserved = int(self._torch.cuda.max_memory_reserved(self.name))
        process, code = self._process_bytes()
        reasons = {} if code is None else {"process": code}
        if not (allocated <= reserved and (process is None or reserved <= process)):
            process, reasons["process"] = None, "order"
        samples = self._sampler.samples if self._sampler is not None else []
        used = [sample.used_bytes for sample in samples if sample.used_bytes is not None]
        over = max(used) - self._idle_bytes if used and self._idle_bytes is not None else None
        if over is None:
            reasons["device_over_idle"] = "no_driver" if self._handle is None else "no_memory_info"
        return Peaks(allocated, reserved, process, over, reasons)

    def _process_bytes(self) -> tuple[int | None, str | None]:
        import pynvml

        if self._handle is None:
            return None, "no_driver"
        try:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except pynvml.NVMLError:
            return None, "no_process_list"
        for process in processes:
            if process.pid == os.getpid():
                used = process.usedGpuMemory
                return (None, "mig") if used is None else (int(used), None)
        return None, "container_pids"

    def energy(self) -> EnergyMeter:
        """The board's total-energy counter (Volta and newer), checked against its power."""
        return gpu_energy(self._handle, self._reason, self._sampler)

    def disturbance(self) -> Disturbance:
        """Throttling, foreign processes and CPU contention; CPU contention alone where NVML does not answer."""
        return CpuDisturbance() if self._sampler is None else GpuDisturbance(self._sampler)


def _resident_peak() -> int:
    """Bytes of the largest resident set of this process, of which `getrusage` knows no reset."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))):
        return 1024 * int(found[1])
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024)


def _nvml(name: str, properties: Any) -> tuple[Any, str | None]:
    """NVML's handle of a torch device, or why there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return handle_of(name, properties), None
    except pynvml.NVMLError as error:
        return None, f"NVML does not answer: {reason(error)}"


def open_device(name: str) -> CpuDevice | CudaDevice:
    """The device object for `cpu` or `cuda[:n]`."""
    return CudaDevice(name) if name.startswith("cuda") else CpuDevice()
