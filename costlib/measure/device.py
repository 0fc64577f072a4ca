"""Devices as objects: what each can tell about memory, energy and disturbance while a model runs on it.

A machine without a GPU, a counter the driver does not have, a container without process ids: each answers with a
reason, so that no caller needs an `if` and no unknown becomes 0.

A GPU is read about every 50 ms by a thread while work runs: NVML's energy counter tells the sum and nothing else; only
samples show that the clocks were held in the middle of an iteration, that a neighbour came and went, or how high the
memory of the whole device rose. What a driver does not support is left out of a sample, never guessed.

Gross energy of a window is what the counter says; idle is power before the work times the window; net is the
difference. NVML's counter and integrated instant power are two readings of one quantity: where they differ by more than
5 %, neither is believed and the row says so.

A sample that was disturbed by something else on the device or the CPU, or while the clocks were held down, is kept raw
and left out of the estimate. On a GPU the CPU is watched too: eager decode waits for it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from costlib.environment import handle_of, reason, sliced
from costlib.isolate import Unsupported

PERIOD_S = 0.05
MINIMUM_WINDOW_S = 5.0
"""NVML refreshes its energy counter about every 100 ms, so a shorter window is off by more than 2 %."""
AGREEMENT = 0.05
"""Largest difference between the counter and integrated power, as a share of the counter."""
RAPL_ROOT = Path("/sys/class/powercap")
_FOREIGN_GPU, _FOREIGN_CPU = "another process used the GPU", "other processes used the CPU"
_BOARD, _PACKAGE = "GPU board", "CPU package"
FOREIGN = {_BOARD: _FOREIGN_GPU, _PACKAGE: _FOREIGN_CPU}
"""How the flag of a sample begins whose energy, of that scope, is not this process's alone."""
_THROTTLES = (
    ("nvmlClocksThrottleReasonHwSlowdown", "hardware slowdown"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power brake held the clocks"),
    ("nvmlClocksThrottleReasonSwThermalSlowdown", "thermal slowdown"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "thermal slowdown"),
)
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
_PEAKS = {
    "allocated": "allocator_allocated_peak_bytes",
    "reserved": "allocator_reserved_peak_bytes",
    "process": "process_peak_bytes",
    "device_over_idle": "device_over_idle_peak_bytes",
}
"""Columns of the runs table."""


# Samples of a GPU.


@dataclass(frozen=True)
class Sample:
    """One reading; `time` by the monotonic clock, unknown parts None.

    `capped`: the board's power limit held the clocks. At full load that is a board's normal state and disturbs nothing.
    """

    time: float
    power_w: float | None
    used_bytes: int | None
    disturbed: str
    capped: bool | None = None


class Sampler:
    """Samples of one GPU since `start`, none without a handle. `lost` says why the driver went away meanwhile."""

    def __init__(self, handle: Any) -> None:
        import pynvml

        self._nvml, self._handle, self._pid = pynvml, handle, os.getpid()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.samples: list[Sample] = []
        self.lost: str | None = None

    def start(self) -> None:
        """Begin with an empty list; a window left open by a crash is closed first."""
        self.stop()
        self.samples, self.lost = [], None
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="costlib-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the samples stay."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def capped_share(self) -> float | None:
        """Share of the samples in which the power limit held the clocks; None where the driver does not say."""
        known = [sample.capped for sample in self.samples if sample.capped is not None]
        return sum(known) / len(known) if known else None

    def _run(self) -> None:
        while self._handle is not None and not self._stop.is_set():
            self.read()
            if self.lost:
                return
            self._stop.wait(PERIOD_S)

    def read(self) -> None:
        """Take one sample now."""
        nvml, handle = self._nvml, self._handle
        try:
            held = self._optional(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
            if held is None:  # the name of newer drivers
                held = self._optional(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
            watts = self._optional(self._instant_w)
            if watts is None:  # older drivers average over a second
                watts = self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
            used = self._optional(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used))
            capped = None if held is None else bool(held & nvml.nvmlClocksThrottleReasonSwPowerCap)
            self.samples.append(Sample(time.perf_counter(), watts, used, self._disturbed(held or 0), capped))
        except nvml.NVMLError as error:
            self.lost = reason(error)

    def _optional(self, read: Callable[[], Any]) -> Any:
        """A reading that may not be supported; a driver that went away is another matter."""
        nvml = self._nvml
        try:
            return read()
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNKNOWN, nvml.NVML_ERROR_UNINITIALIZED):
                raise
            return None

    def _instant_w(self) -> float | None:
        found = self._nvml.nvmlDeviceGetFieldValues(self._handle, [self._nvml.NVML_FI_DEV_POWER_INSTANT])[0]
        return found.value.uiVal / 1000 if found.nvmlReturn == self._nvml.NVML_SUCCESS else None

    def _disturbed(self, bits: int) -> str:
        for name, meaning in _THROTTLES:
            if bits & getattr(self._nvml, name):
                return meaning
        processes = self._optional(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or []
        others = [process.pid for process in processes if process.pid != self._pid]
        # Inside a container NVML shows host process ids, so one foreign id may be this process itself.
        return _FOREIGN_GPU if len(others) > (len(others) == len(processes)) else ""


def integrated_j(samples: Sequence[Sample], start: float, end: float) -> tuple[float | None, str | None]:
    """Energy in joules over [start, end] by the trapezoid rule over instant power, or None with the reason.

    A gap of more than ten periods means the thread was starved, and what happened meanwhile is not known.
    """
    known = [(sample.time, sample.power_w) for sample in samples if sample.power_w is not None]
    if len(known) < 2:
        return None, "this GPU shows no instant power"
    times, watts = zip(*known, strict=True)
    inside = [start, *(time for time in times if start < time < end), end]
    gap = max(later - earlier for earlier, later in pairwise(inside))
    if gap > 10 * PERIOD_S:
        return None, f"power was not sampled for {gap:.1f} s"
    import numpy as np

    return float(np.trapezoid(np.interp(inside, times, watts), inside)), None


# Energy of a window.


@dataclass(frozen=True)
class Energy:
    """Gross energy of a window in joules, or None with the reason. `integrated_j` is the second reading."""

    j: float | None
    window_s: float
    idle_w: float | None
    scope: str
    reason: str | None
    integrated_j: float | None = None

    def columns(self) -> dict[str, Any]:
        """As columns of a run."""
        return {f"energy_{name}": value for name, value in asdict(self).items()}


class Meter:
    """A window of energy; without a counter the answer is the `reason`."""

    minimum_window_s = 0.0

    def __init__(self, scope: str, reason: str | None = None) -> None:
        self.scope, self.reason = scope, reason
        self.idle_w: float | None = None
        self.started_s = 0.0

    def idle(self, seconds: float) -> None:
        """Sample power for a moment before any model is loaded."""

    def start(self) -> None:
        """Open the window; one that a crash left open is forgotten."""
        self.started_s = time.perf_counter()

    def stop(self) -> Energy:
        """Close the window."""
        return Energy(None, time.perf_counter() - self.started_s, self.idle_w, self.scope, self.reason)


class CounterEnergy(Meter):
    """Monotonic counters, added up, read at both ends of a window. `wraps_j` is where each starts again."""

    minimum_window_s = MINIMUM_WINDOW_S

    def __init__(self, read_j: Sequence[Callable[[], float]], scope: str, wraps_j: Sequence[float] = ()) -> None:
        super().__init__(scope)
        self.read_j, self._wraps_j = list(read_j), wraps_j or [0.0] * len(read_j)
        self._before_j: list[float] = []

    def idle(self, seconds: float) -> None:
        """Average power over a quiet moment."""
        self.start()
        time.sleep(seconds)
        used = self._used_j()
        self.idle_w = None if used is None else used / (time.perf_counter() - self.started_s)

    def start(self) -> None:
        """Read the counters."""
        self._before_j = [read() for read in self.read_j]
        super().start()

    def stop(self) -> Energy:
        """A counter that went backwards without a known wrap gives a reason, not a number."""
        found, used = super().stop(), self._used_j()
        if used is None:
            return replace(found, reason="the energy counter was reset during the window")
        if found.window_s < MINIMUM_WINDOW_S:
            short = f"window of {found.window_s:.1f} s is below the {MINIMUM_WINDOW_S:g} s the counter needs"
            return replace(found, reason=short)
        return replace(found, j=used)

    def _used_j(self) -> float | None:
        used = [read() - before for read, before in zip(self.read_j, self._before_j, strict=True)]
        used = [each + wrap if each < 0 else each for each, wrap in zip(used, self._wraps_j, strict=True)]
        return None if min(used) < 0 else sum(used)


class GpuEnergy(CounterEnergy):
    """The board's counter, and power samples of the same window as the second reading."""

    def __init__(self, handle: Any, sampler: Sampler) -> None:
        import pynvml

        super().__init__([lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000], _BOARD)
        self._nvml, self._sampler = pynvml, sampler

    def idle(self, seconds: float) -> None:
        """Average power of samples: the counter's steps are too coarse for a moment."""
        self._sampler.samples = []
        for _ in range(max(1, round(seconds / PERIOD_S))):
            self._sampler.read()
            time.sleep(PERIOD_S)
        watts = [sample.power_w for sample in self._sampler.samples if sample.power_w is not None]
        if watts:
            self.idle_w = sum(watts) / len(watts)
        else:
            super().idle(seconds)

    def stop(self) -> Energy:
        """The counter, refused where integrated power contradicts it or the driver was lost."""
        end, lost = time.perf_counter(), self._sampler.lost
        try:
            found = Meter.stop(self) if lost else super().stop()
        except self._nvml.NVMLError as error:
            found, lost = Meter.stop(self), reason(error)
        if lost:
            return replace(found, idle_w=None, reason=f"{lost} during the window")
        second, why = integrated_j(self._sampler.samples, self.started_s, end)
        if found.j is not None and second is None:
            return replace(found, reason=f"the counter alone: {why}")
        apart = 0.0
        if found.j is not None and second is not None:
            apart = abs(second - found.j) / found.j if found.j else 1.0
        if apart > AGREEMENT:
            words = f"counter and integrated power differ by {apart:.0%}, more than {AGREEMENT:.0%}"
            found = replace(found, j=None, reason=words)
        return replace(found, integrated_j=second)


def gpu_energy(handle: Any, unavailable: str | None, sampler: Sampler) -> Meter:
    """The meter of a GPU: none without a driver, on a MIG slice (the counter is the whole board's), or a counter."""
    import pynvml

    if handle is None:
        return Meter(_BOARD, str(unavailable))
    if sliced(handle):
        return Meter(_BOARD, "this is a MIG slice, and the energy counter is that of the whole board")
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        return Meter(_BOARD, f"this GPU shows no energy counter: {reason(error)}")
    return GpuEnergy(handle, sampler)


def cpu_energy() -> Meter:
    """RAPL of every processor package where the kernel lets us read it, else the reason.

    A part of a package is counted in it, and the platform (`psys`) counts the packages again. One counter can be shown
    as two zones: under one name by the registers (`intel-rapl`) and by memory (`intel-rapl-mmio`), or as a link.
    """
    zones: dict[str, Path] = {}
    for control in ("intel-rapl", "intel-rapl-mmio"):
        for zone in sorted(RAPL_ROOT.glob(f"{control}:*")):
            name = zone / "name"
            label = name.read_text(encoding="ascii").strip() if name.is_file() else ""
            if zone.name.count(":") == 1 and not label.startswith("psys"):
                zones.setdefault(label or str(zone.resolve()), zone)
    packages = sorted({zone.resolve(): zone for zone in reversed(zones.values())}.values())

    def joules(package: Path, name: str = "energy_uj") -> float:
        return int((package / name).read_text(encoding="ascii")) / 1e6

    try:
        wraps = [joules(package, "max_energy_range_uj") for package in packages]
        for package in packages:
            joules(package)
    except PermissionError:
        return Meter(_PACKAGE, "the CPU's energy counter (RAPL) can be read by root only")
    except (OSError, ValueError):
        packages = []
    if not packages:
        return Meter(_PACKAGE, "this CPU shows no energy counter (RAPL), as usual on virtual machines")
    return CounterEnergy([partial(joules, package) for package in packages], _PACKAGE, wraps)


# What else went on.


class CpuDisturbance:
    """CPU time of other processes and time stolen by the host, each as a share of all cores, since the last call."""

    LIMIT_OTHERS = 0.10
    LIMIT_STEAL = 0.02

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._mark = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        total, mine = self._psutil.cpu_times(), self._process.cpu_times()
        idle, guest, steal = (
            sum(getattr(total, name, 0.0) for name in names)
            for names in (("idle", "iowait"), ("guest", "guest_nice"), ("steal",))
        )
        every = sum(total) - guest
        return every, every - idle - steal, steal, mine.user + mine.system

    def reason(self) -> str:
        """Empty when the sample was undisturbed, else why it is left out of the estimate."""
        now = self._read()
        every, busy, steal, mine = (after - before for after, before in zip(now, self._mark, strict=True))
        self._mark = now
        if every <= 0:
            return ""
        if steal / every > self.LIMIT_STEAL:
            return f"CPU time stolen by the host: {steal / every:.0%}"
        others = (busy - mine) / every
        return f"{_FOREIGN_CPU}: {others:.0%}" if others > self.LIMIT_OTHERS else ""


class GpuDisturbance(CpuDisturbance):
    """Throttling and foreign processes seen by the sampler at any moment of the sample, then CPU contention."""

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self._sampler, self._seen = sampler, len(sampler.samples)

    def reason(self) -> str:
        """Why the sample since the last call was disturbed, or an empty text.

        An iteration shorter than the sampling period takes the newest sample: to read the driver takes milliseconds.
        """
        samples = self._sampler.samples
        if not samples or time.perf_counter() - samples[-1].time > PERIOD_S:
            self._sampler.read()
        new = samples[self._seen :] or samples[-1:]
        self._seen = len(samples)
        cpu = super().reason()
        return next((sample.disturbed for sample in new if sample.disturbed), cpu)


# The devices.


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

    def columns(self) -> dict[str, int | None]:
        """As columns of a run."""
        return {column: getattr(self, name) for name, column in _PEAKS.items()}

    def reason_columns(self) -> dict[str, str]:
        """The codes by column."""
        return {_PEAKS[name]: code for name, code in self.reasons.items()}


class Device:
    """The host processor, whose kernels have finished when their call returns and of which nothing is sampled."""

    name = "cpu"
    properties: Any = None
    """What torch tells of a GPU."""

    def __init__(self) -> None:
        self._before: int | None = None

    def synchronize(self) -> None:
        """Wait for all kernels."""

    def watch(self) -> None:
        """Start sampling."""

    def unwatch(self) -> None:
        """Stop sampling; the samples stay."""

    def capped_share(self) -> float | None:
        """Share of the samples in which the board's power limit held the clocks; None where nobody tells."""
        return None

    def reset_peaks(self) -> None:
        """Forget the peak so far where the kernel lets a process do so; else note it."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = None
        except OSError:
            self._before = _resident_peak()

    def peaks(self) -> Peaks:
        """Peak memory since the last reset: the resident set of this process."""
        used: int | None = _resident_peak()
        unknown = {"allocated": "cpu_allocator", "reserved": "cpu_allocator", "device_over_idle": "host_memory"}
        if used == self._before:
            used, unknown["process"] = None, "loading"
        return Peaks(None, None, used, None, unknown)

    def energy(self) -> Meter:
        """What meters the energy of the device."""
        return cpu_energy()

    def disturbance(self) -> CpuDisturbance:
        """What notices a disturbance."""
        return CpuDisturbance()


class CudaDevice(Device):
    """An NVIDIA GPU through torch and NVML. Open it before the model is loaded: it notes the idle memory."""

    def __init__(self, name: str) -> None:
        import pynvml
        import torch

        self.name, self._torch = name, torch
        try:
            self.properties = torch.cuda.get_device_properties(name)
        except (AssertionError, RuntimeError) as error:
            raise Unsupported(f"torch cannot use the GPU: {str(error).strip().splitlines()[0]}") from error
        self._handle, self._reason = None, ""
        try:
            pynvml.nvmlInit()
            self._handle = handle_of(name, self.properties)
        except pynvml.NVMLError as error:
            self._reason = f"NVML does not answer: {reason(error)}"
        self._sampler = Sampler(self._handle)
        if self._handle is not None:
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
        self._sampler.start()

    def unwatch(self) -> None:
        """Stop sampling; the samples stay."""
        self._sampler.stop()

    def capped_share(self) -> float | None:
        """Share of the samples in which the board's power limit held the clocks; None where nobody tells."""
        return self._sampler.capped_share()

    def peaks(self) -> Peaks:
        """Allocator peaks, what NVML says this process holds, and how far the device rose above idle."""
        allocated = int(self._torch.cuda.max_memory_allocated(self.name))
        reserved = int(self._torch.cuda.max_memory_reserved(self.name))
        process, code = self._process_bytes()
        if not (allocated <= reserved and (process is None or reserved <= process)):
            process, code = None, "order"
        reasons = {} if code is None else {"process": code}
        used = [sample.used_bytes for sample in self._sampler.samples if sample.used_bytes is not None]
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
        used = {process.pid: process.usedGpuMemory for process in processes}
        if os.getpid() not in used:
            return None, "container_pids"
        mine = used[os.getpid()]
        return (None, "mig") if mine is None else (int(mine), None)

    def energy(self) -> Meter:
        """The board's total-energy counter (Volta and newer), checked against its power."""
        return gpu_energy(self._handle, self._reason, self._sampler)

    def disturbance(self) -> CpuDisturbance:
        """Throttling, foreign processes and CPU contention; CPU contention alone where NVML does not answer."""
        return CpuDisturbance() if self._handle is None else GpuDisturbance(self._sampler)


def _resident_peak() -> int:
    """Bytes of the largest resident set of this process, of which `getrusage` knows no reset."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))):
        return 1024 * int(found[1])
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024)


def open_device(name: str) -> Device:
    """The device object for `cpu` or `cuda[:n]`."""
    return CudaDevice(name) if name.startswith("cuda") else Device()
