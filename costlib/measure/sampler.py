"""A thread that reads a GPU about every 50 ms while work runs: power, memory in use, throttling, other processes.

NVML's energy counter tells the sum and nothing else; only samples show that the clocks were held in the middle of an
iteration, that a neighbour came and went, or how high the memory of the whole device rose. What a driver does not
support is left out of a sample, never guessed.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from costlib.gpu import reason

PERIOD_S = 0.05
FOREIGN_GPU = "another process used the GPU"
_THROTTLES = (
    ("nvmlClocksThrottleReasonHwSlowdown", "hardware slowdown"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power brake held the clocks"),
    ("nvmlClocksThrottleReasonSwThermalSlowdown", "thermal slowdown"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "thermal slowdown"),
)


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
    """Samples of one GPU since `start`. `lost` holds the reason when the driver went away meanwhile."""

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
        while not self._stop.is_set():
            self.read()
            if self.lost:
                return
            self._stop.wait(PERIOD_S)

    def read(self) -> None:
        """Take one sample now."""
        nvml = self._nvml
        try:
            held = self._optional(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
            if held is None:  # the name of newer drivers
                held = self._optional(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
            capped = None if held is None else bool(held & nvml.nvmlClocksThrottleReasonSwPowerCap)
            disturbed = self._disturbed(held or 0)
            sample = Sample(time.perf_counter(), self._power_w(), self._used_bytes(), disturbed, capped)
        except nvml.NVMLError as error:
            self.lost = reason(error)
            return
        self.samples.append(sample)

    def _optional(self, read: Any) -> Any:
        """A reading that may not be supported; a driver that went away is another matter."""
        nvml = self._nvml
        try:
            return read()
        except nvml.NVMLError as error:
            gone = (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNKNOWN, nvml.NVML_ERROR_UNINITIALIZED)
            if error.value in gone:
                raise
            return None

    def _power_w(self) -> float | None:
        """Instant power where the driver has it; older ones average over a second."""

        def instant() -> float | None:
            field = self._nvml.nvmlDeviceGetFieldValues(self._handle, [self._nvml.NVML_FI_DEV_POWER_INSTANT])[0]
            return field.value.uiVal / 1000 if field.nvmlReturn == self._nvml.NVML_SUCCESS else None

        watts: float | None = self._optional(instant)
        if watts is None:
            watts = self._optional(lambda: self._nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000)
        return watts

    def _used_bytes(self) -> int | None:
        used: int | None = self._optional(lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used))
        return used

    def _disturbed(self, bits: int) -> str:
        for name, meaning in _THROTTLES:
            if bits & getattr(self._nvml, name):
                return meaning
        processes = self._optional(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or []
        others = [process.pid for process in processes if process.pid != self._pid]
        # Inside a container NVML shows host process ids, so one foreign id may be this process itself.
        return FOREIGN_GPU if len(others) > (self._pid not in [p.pid for p in processes]) else ""


def integrated_j(samples: list[Sample], start: float, end: float) -> tuple[float | None, str | None]:
    """Energy in joules over [start, end] by the trapezoid rule over instant power, or None with the reason.

    A gap of more than ten periods means the thread was starved, and what happened meanwhile is not known.
    """
    known = [(sample.time, sample.power_w) for sample in samples if sample.power_w is not None]
    if len(known) < 2:
        return None, "this GPU shows no instant power"
    times, watts = [time for time, _ in known], [power for _, power in known]
    inside = [start, *(time for time in times if start < time < end), end]
    gap = max(later - earlier for earlier, later in pairwise(inside))
    if gap > 10 * PERIOD_S:
        return None, f"power was not sampled for {gap:.1f} s"
    import numpy as np

    return float(np.trapezoid(np.interp(inside, times, watts), inside)), None
