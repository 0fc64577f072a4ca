"""Devices as objects: what each can tell about memory, energy and disturbance while a model runs on it.

A machine without a GPU, a counter the driver does not have, a container without process ids: each is an object that
answers with a reason, so that no caller needs an `if` and no unknown becomes 0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_RAPL_RANGE = _RAPL.with_name("max_energy_range_uj")
MINIMUM_ENERGY_WINDOW_S = 5.0
"""NVML refreshes its energy counter about every 100 ms, so a shorter window is off by more than 2 %."""


@dataclass(frozen=True)
class Energy:
    """Gross energy of a window in joules, or None with the reason."""

    joules: float | None
    window_s: float
    idle_w: float | None
    scope: str
    reason: str | None


class EnergyMeter(Protocol):
    """A running window; `idle` samples power for a moment before the work, `start` and `stop` bound it."""

    def idle(self, seconds: float) -> None: ...  # noqa: D102 - described by the class
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> Energy: ...  # noqa: D102


class NoEnergy:
    """No counter: the answer is the reason."""

    def __init__(self, reason: str, scope: str) -> None:
        self.reason, self._scope, self._started = reason, scope, 0.0

    def idle(self, seconds: float) -> None:
        """Nothing to sample."""

    def start(self) -> None:
        """Remember when the window opened."""
        self._started = time.perf_counter()

    def stop(self) -> Energy:
        """The window without joules, with the reason."""
        return Energy(None, time.perf_counter() - self._started, None, self._scope, self.reason)


class CounterEnergy:
    """A monotonic energy counter read at both ends of a window. `wrap_j` is where the counter starts again."""

    def __init__(self, read_j: Any, scope: str, wrap_j: float | None = None) -> None:
        self._read, self._scope, self._wrap = read_j, scope, wrap_j
        self._idle_w: float | None = None
        self._started_s = self._started_j = 0.0

    def idle(self, seconds: float) -> None:
        """Average power over a quiet moment, before any model is loaded."""
        before, started = self._read(), time.perf_counter()
        time.sleep(seconds)
        self._idle_w = max(0.0, self._read() - before) / (time.perf_counter() - started)

    def start(self) -> None:
        """Open the window."""
        self._started_j, self._started_s = self._read(), time.perf_counter()

    def stop(self) -> Energy:
        """Close the window. A counter that went backwards without a known wrap gives a reason, not a number."""
        window = time.perf_counter() - self._started_s
        used = self._read() - self._started_j
        if used < 0 and self._wrap:
            used += self._wrap
        if used < 0:
            return Energy(None, window, self._idle_w, self._scope, "the energy counter was reset during the window")
        if window < MINIMUM_ENERGY_WINDOW_S:
            reason = f"window of {window:.1f} s is below the {MINIMUM_ENERGY_WINDOW_S:g} s the counter needs"
            return Energy(None, window, self._idle_w, self._scope, reason)
        return Energy(used, window, self._idle_w, self._scope, None)


class Disturbance:
    """Tells whether something else used the device or the CPU during a sample, or the clocks were held down."""

    def reason(self) -> str:
        """Empty when the sample was undisturbed since the last call, else why it is left out of the estimate."""
        raise NotImplementedError


class CpuDisturbance(Disturbance):
    """CPU time of other processes and time stolen by the host, each as a share of all cores."""

    LIMIT_OTHERS = 0.10
    LIMIT_STEAL = 0.02

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._mark = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        total = self._psutil.cpu_times()
        mine = self._process.cpu_times()
        idle = total.idle + getattr(total, "iowait", 0.0)
        guest = getattr(total, "guest", 0.0) + getattr(total, "guest_nice", 0.0)
        steal = getattr(total, "steal", 0.0)
        every = sum(total) - guest
        return every, every - idle - steal, steal, mine.user + mine.system

    def reason(self) -> str:
        """Why the sample since the last call was disturbed, or an empty text."""
        now = self._read()
        every, busy, steal, mine = (after - before for after, before in zip(now, self._mark, strict=True))
        self._mark = now
        if every <= 0:
            return ""
        others = (busy - mine) / every
        if steal / every > self.LIMIT_STEAL:
            return f"CPU time stolen by the host: {steal / every:.0%}"
        if others > self.LIMIT_OTHERS:
            return f"other processes used the CPU: {others:.0%}"
        return ""


class GpuDisturbance(Disturbance):
    """Throttle reasons and foreign processes by NVML; what the driver does not support is not a disturbance."""

    def __init__(self, handle: Any) -> None:
        import os

        import pynvml

        self._nvml, self._handle, self._pid = pynvml, handle, os.getpid()

    def reason(self) -> str:
        """Why the sample was disturbed, or an empty text."""
        nvml = self._nvml
        try:
            reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)
        except nvml.NVMLError:
            reasons = 0
        for bit, meaning in (
            (nvml.nvmlClocksThrottleReasonSwPowerCap, "power cap held the clocks"),
            (nvml.nvmlClocksThrottleReasonHwSlowdown, "hardware slowdown"),
            (nvml.nvmlClocksThrottleReasonSwThermalSlowdown, "thermal slowdown"),
            (nvml.nvmlClocksThrottleReasonHwThermalSlowdown, "thermal slowdown"),
        ):
            if reasons & bit:
                return str(meaning)
        try:
            others = [p.pid for p in nvml.nvmlDeviceGetComputeRunningProcesses(self._handle) if p.pid != self._pid]
        except nvml.NVMLError:
            return ""
        # Inside a container NVML shows host process ids, so one foreign id may be this process itself.
        return "another process used the GPU" if len(others) > 1 else ""


@dataclass(frozen=True)
class Peaks:
    """Peak memory in bytes; None with the reason in `reason`."""

    allocated: int | None
    reserved: int | None
    process: int | None
    reason: str | None


class CpuDevice:
    """The host processor."""

    name = "cpu"

    def synchronize(self) -> None:
        """CPU kernels have finished when their call returns."""

    def reset_peaks(self) -> None:
        """The peak resident set of a process cannot be reset without privileges; one process per configuration."""

    def peaks(self) -> Peaks:
        """Peak resident set of this process."""
        import resource
        import sys

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        unit = 1 if sys.platform == "darwin" else 1024
        return Peaks(None, None, used * unit, "torch's CPU allocator keeps no peak")

    def energy(self) -> EnergyMeter:
        """RAPL where the kernel lets us read it, else the reason."""
        scope = "CPU package"
        try:
            _RAPL.read_text(encoding="ascii")
            wrap = int(_RAPL_RANGE.read_text(encoding="ascii")) / 1e6
        except PermissionError:
            return NoEnergy("the CPU's energy counter (RAPL) can be read by root only", scope)
        except (OSError, ValueError):
            return NoEnergy("this CPU shows no energy counter (RAPL), as usual on virtual machines", scope)
        return CounterEnergy(lambda: int(_RAPL.read_text(encoding="ascii")) / 1e6, scope, wrap)

    def disturbance(self) -> Disturbance:
        """CPU contention."""
        return CpuDisturbance()


class CudaDevice:
    """An NVIDIA GPU through torch and NVML."""

    def __init__(self, name: str) -> None:
        import torch

        self.name, self._torch = name, torch
        self._handle, self._reason = _nvml_handle(torch, name)

    def synchronize(self) -> None:
        """Wait for all kernels."""
        self._torch.cuda.synchronize(self.name)

    def reset_peaks(self) -> None:
        """Forget earlier peaks of torch's allocator."""
        self._torch.cuda.reset_peak_memory_stats(self.name)

    def peaks(self) -> Peaks:
        """Allocator peaks, and what NVML says this process holds."""
        allocated = self._torch.cuda.max_memory_allocated(self.name)
        reserved = self._torch.cuda.max_memory_reserved(self.name)
        process, reason = self._process_bytes()
        return Peaks(int(allocated), int(reserved), process, reason)

    def _process_bytes(self) -> tuple[int | None, str | None]:
        import os

        import pynvml

        if self._handle is None:
            return None, self._reason
        try:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except pynvml.NVMLError as error:
            return None, f"NVML does not list processes here: {error}"
        for process in processes:
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory), None
        return None, "NVML does not see this process id, as usual in containers"

    def energy(self) -> EnergyMeter:
        """The board's total-energy counter (Volta and newer)."""
        import pynvml

        scope = "GPU board"
        if self._handle is None:
            return NoEnergy(str(self._reason), scope)
        handle = self._handle
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            return NoEnergy(f"this GPU has no energy counter: {error}", scope)
        return CounterEnergy(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000, scope)

    def disturbance(self) -> Disturbance:
        """Throttling and foreign processes, or plain CPU contention where NVML does not answer."""
        return GpuDisturbance(self._handle) if self._handle is not None else CpuDisturbance()


def _nvml_handle(torch: Any, name: str) -> tuple[Any, str | None]:
    """The NVML handle of a torch device, matched by PCI bus id because the two number devices differently."""
    import pynvml

    try:
        pynvml.nvmlInit()
        properties = torch.cuda.get_device_properties(name)
        bus = f"{properties.pci_domain_id:08x}:{properties.pci_bus_id:02x}:{properties.pci_device_id:02x}.0"
        return pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode()), None
    except pynvml.NVMLError as error:
        return None, f"NVML does not answer: {error}"


def open_device(name: str) -> CpuDevice | CudaDevice:
    """The device object for `cpu` or `cuda[:n]`."""
    return CudaDevice(name) if name.startswith("cuda") else CpuDevice()
