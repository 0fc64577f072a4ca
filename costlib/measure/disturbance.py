"""Whether something else used the device or the CPU during a sample, or the clocks were held down.

A disturbed sample is kept raw and left out of the estimate. On a GPU the CPU is watched too: eager decode waits for it.
"""

from __future__ import annotations

import time
from typing import Protocol

from costlib.measure.sampler import FOREIGN_GPU, PERIOD_S, Sampler

_FOREIGN_CPU = "other processes used the CPU"
FOREIGN = {"GPU board": FOREIGN_GPU, "CPU package": _FOREIGN_CPU}
"""How the flag of a sample begins whose energy, of that scope, is not this process's alone."""


class Disturbance(Protocol):
    """Answers for the time since the last call."""

    def reason(self) -> str:
        """Empty when the sample was undisturbed, else why it is left out of the estimate."""
        ...


class CpuDisturbance:
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
            return f"{_FOREIGN_CPU}: {others:.0%}"
        return ""


class GpuDisturbance:
    """Throttling and foreign processes seen by the sampler at any moment of the sample, then CPU contention."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, self._seen, self._cpu = sampler, len(sampler.samples), CpuDisturbance()

    def reason(self) -> str:
        """Why the sample since the last call was disturbed, or an empty text.

        An iteration shorter than the sampling period takes the newest sample: to read the driver takes milliseconds.
        """
        samples = self._sampler.samples
        if not samples or time.perf_counter() - samples[-1].time > PERIOD_S:
            self._sampler.read()
        new = samples[self._seen :] or samples[-1:]
        self._seen = len(samples)
        cpu = self._cpu.reason()
        return next((sample.disturbed for sample in new if sample.disturbed), cpu)
