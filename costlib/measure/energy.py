"""Energy of a window as objects: a GPU's counter checked against its power, a CPU's RAPL, or the reason for neither.

Gross energy is what the counter says; idle is power before the work times the window; net is the difference. NVML's
counter and integrated instant power are two readings of one quantity: where they differ by more than 5 %, neither is
believed and the row says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from costlib.gpu import reason, sliced
from costlib.measure.sampler import PERIOD_S, Sampler, integrated_j

RAPL_ROOT = Path("/sys/class/powercap")
MINIMUM_WINDOW_S = 5.0
"""NVML refreshes its energy counter about every 100 ms, so a shorter window is off by more than 2 %."""
AGREEMENT = 0.05
"""Largest difference between the counter and integrated power, as a share of the counter."""


@dataclass(frozen=True)
class Energy:
    """Gross energy of a window in joules, or None with the reason. `integrated_j` is the second reading."""

    joules: float | None
    window_s: float
    idle_w: float | None
    scope: str
    reason: str | None
    integrated_j: float | None = None

    def columns(self) -> dict[str, Any]:
        """As columns of a run."""
        return {
            "energy_j": self.joules,
            "energy_integrated_j": self.integrated_j,
            "energy_idle_w": self.idle_w,
            "energy_window_s": self.window_s,
            "energy_scope": self.scope,
            "energy_reason": self.reason,
        }


class EnergyMeter(Protocol):
    """A running window; `idle` samples power for a moment before the work, `start` and `stop` bound it."""

    minimum_window_s: float

    def idle(self, seconds: float) -> None: ...  # noqa: D102 - described by the class
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> Energy: ...  # noqa: D102


class NoEnergy:
    """No counter: the answer is the reason."""

    minimum_window_s = 0.0

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
    """Monotonic counters, added up, read at both ends of a window. `wraps_j` is where each starts again."""

    minimum_window_s = MINIMUM_WINDOW_S

    def __init__(self, read_j: Sequence[Any], scope: str, wraps_j: Sequence[float] | None = None) -> None:
        self._read, self._scope, self._wraps = list(read_j), scope, list(wraps_j or [])
        self.idle_w: float | None = None
        self._started_s, self._started_j = 0.0, [0.0]

    def idle(self, seconds: float) -> None:
        """Average power over a quiet moment, before any model is loaded."""
        before, started = [read() for read in self._read], time.perf_counter()
        time.sleep(seconds)
        used = self._used(before)
        self.idle_w = None if used is None else used / (time.perf_counter() - started)

    def start(self) -> None:
        """Open the window; one that a crash left open is forgotten."""
        self._started_j, self._started_s = [read() for read in self._read], time.perf_counter()

    def stop(self) -> Energy:
        """Close the window. A counter that went backwards without a known wrap gives a reason, not a number."""
        window = time.perf_counter() - self._started_s
        used = self._used(self._started_j)
        reason = None
        if used is None:
            reason = "the energy counter was reset during the window"
        elif window < MINIMUM_WINDOW_S:
            reason = f"window of {window:.1f} s is below the {MINIMUM_WINDOW_S:g} s the counter needs"
        return Energy(None if reason else used, window, self.idle_w, self._scope, reason)

    def _used(self, before: list[float]) -> float | None:
        total = 0.0
        for index, (read, start) in enumerate(zip(self._read, before, strict=True)):
            used = read() - start
            if used < 0 and self._wraps:
                used += self._wraps[index]
            if used < 0:
                return None
            total += used
        return total


class GpuEnergy:
    """The board's counter, and power samples of the same window as the second reading."""

    minimum_window_s = MINIMUM_WINDOW_S

    def __init__(self, handle: Any, sampler: Sampler) -> None:
        import pynvml

        self._nvml, self._sampler = pynvml, sampler
        self._counter = CounterEnergy([lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000], "GPU board")
        self._started = 0.0

    def idle(self, seconds: float) -> None:
        """Average power over a quiet moment, of samples: the counter's steps are too coarse for a moment."""
        self._sampler.samples = []
        for _ in range(max(1, round(seconds / PERIOD_S))):
            self._sampler.read()
            time.sleep(PERIOD_S)
        watts = [sample.power_w for sample in self._sampler.samples if sample.power_w is not None]
        if watts:
            self._counter.idle_w = sum(watts) / len(watts)
        else:
            self._counter.idle(seconds)

    def start(self) -> None:
        """Open the window."""
        self._counter.start()
        self._started = time.perf_counter()

    def stop(self) -> Energy:
        """Close the window: the counter, refused where integrated power contradicts it or the driver was lost."""
        end = time.perf_counter()
        if self._sampler.lost:
            return Energy(None, end - self._started, None, "GPU board", f"{self._sampler.lost} during the window")
        try:
            found = self._counter.stop()
        except self._nvml.NVMLError as error:
            return Energy(None, end - self._started, None, "GPU board", f"{reason(error)} during the window")
        second, why = integrated_j(self._sampler.samples, self._started, end)
        if found.joules is None:
            return Energy(None, found.window_s, found.idle_w, found.scope, found.reason, second)
        if second is None:
            note = f"the counter alone: {why}"
            return Energy(found.joules, found.window_s, found.idle_w, found.scope, note)
        apart = abs(second - found.joules) / found.joules if found.joules else 1.0
        if apart > AGREEMENT:
            words = f"counter and integrated power differ by {apart:.0%}, more than {AGREEMENT:.0%}"
            return Energy(None, found.window_s, found.idle_w, found.scope, words, second)
        return Energy(found.joules, found.window_s, found.idle_w, found.scope, None, second)


def gpu_energy(handle: Any, unavailable: str | None, sampler: Sampler | None) -> EnergyMeter:
    """The meter of a GPU: none without a driver, on a MIG slice (the counter is the whole board's), or a counter."""
    import pynvml

    if handle is None or sampler is None:
        return NoEnergy(str(unavailable), "GPU board")
    if sliced(handle):
        return NoEnergy("this is a MIG slice, and the energy counter is that of the whole board", "GPU board")
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        return NoEnergy(f"this GPU shows no energy counter: {reason(error)}", "GPU board")
    return GpuEnergy(handle, sampler)


def cpu_energy() -> EnergyMeter:
    """RAPL of every processor package where the kernel lets us read it, else the reason."""
    scope = "CPU package"
    packages = _packages()
    try:
        wraps = [int((package / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6 for package in packages]
        for package in packages:
            (package / "energy_uj").read_text(encoding="ascii")
    except PermissionError:
        return NoEnergy("the CPU's energy counter (RAPL) can be read by root only", scope)
    except (OSError, ValueError):
        packages = []
    if not packages:
        return NoEnergy("this CPU shows no energy counter (RAPL), as usual on virtual machines", scope)

    def reader(package: Path) -> Any:
        return lambda: int((package / "energy_uj").read_text(encoding="ascii")) / 1e6

    return CounterEnergy([reader(package) for package in packages], scope, wraps)


def _packages() -> list[Path]:
    """The zone of each processor package, once.

    A part of a package is counted in it, and the platform (`psys`) counts the packages again. One counter can be shown
    as two zones: under one name by the registers (`intel-rapl`) and by memory (`intel-rapl-mmio`), or as a link.
    """
    found: dict[str, Path] = {}
    for control in ("intel-rapl", "intel-rapl-mmio"):
        for zone in sorted(RAPL_ROOT.glob(f"{control}:*")):
            name = zone / "name"
            label = name.read_text(encoding="ascii").strip() if name.is_file() else ""
            if re.fullmatch(r"\d+", zone.name.partition(":")[2]) and not label.startswith("psys"):
                found.setdefault(label or str(zone.resolve()), zone)
    places = {zone.resolve(): zone for zone in reversed(found.values())}
    return sorted(places.values())
