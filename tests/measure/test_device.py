"""Devices without the hardware: a fake NVML made from the real module's signatures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pynvml
import pytest

from costlib.measure import device as module
from costlib.measure.device import CounterEnergy, CpuDevice, CpuDisturbance, CudaDevice, GpuDisturbance, NoEnergy


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    yield now


def test_energy_is_the_difference_of_the_counter(clock: list[float]) -> None:
    counter = [1000.0]
    meter = CounterEnergy(lambda: counter[0] + 50 * (clock[0] - 100), "GPU board")
    meter.idle(2.0)
    meter.start()
    counter[0] += 600
    clock[0] += 10
    energy = meter.stop()
    assert (energy.joules, energy.window_s, energy.reason) == (1100.0, 10.0, None)
    assert energy.idle_w == pytest.approx(50)


def test_a_short_window_has_a_reason_instead_of_a_number(clock: list[float]) -> None:
    meter = CounterEnergy(lambda: clock[0], "GPU board")
    meter.start()
    clock[0] += 4.9
    energy = meter.stop()
    assert energy.joules is None and energy.reason is not None and "below the 5 s" in energy.reason


def test_a_counter_that_was_reset_has_a_reason_and_one_that_wraps_does_not(clock: list[float]) -> None:
    reading = [1000.0]
    for wrap, joules in ((None, None), (1020.0, 30.0)):
        reading[0] = 1000.0
        meter = CounterEnergy(lambda: reading[0], "CPU package", wrap)
        meter.start()
        reading[0], clock[0] = 10.0, clock[0] + 10
        energy = meter.stop()
        assert energy.joules == joules
        assert (energy.reason is None) == (joules is not None)


def test_no_counter_answers_with_its_reason() -> None:
    meter = NoEnergy("no counter here", "CPU package")
    meter.idle(1)
    meter.start()
    energy = meter.stop()
    assert (energy.joules, energy.reason, energy.scope) == (None, "no counter here", "CPU package")


def test_a_cpu_without_readable_rapl_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(module, "_RAPL", tmp_path / "energy_uj")
    meter = CpuDevice().energy()
    assert isinstance(meter, NoEnergy) and "no energy counter (RAPL)" in meter.reason
    (tmp_path / "energy_uj").write_text("1000000")
    (tmp_path / "max_energy_range_uj").write_text("9000000")
    monkeypatch.setattr(module, "_RAPL_RANGE", tmp_path / "max_energy_range_uj")
    assert isinstance(CpuDevice().energy(), CounterEnergy)


def test_the_cpu_knows_its_peak_and_nothing_it_cannot_know() -> None:
    peaks = CpuDevice().peaks()
    assert peaks.process is not None and peaks.process > 10_000_000
    assert peaks.allocated is None and peaks.reserved is None and peaks.reason


def _times(user: float, steal: float, idle: float) -> Any:
    from collections import namedtuple

    return namedtuple("cpu", "user system idle iowait steal guest")(user, 0.0, idle, 0.0, steal, 0.0)


@pytest.mark.parametrize(
    ("after", "mine", "reason"),
    [
        ((150.0, 0.0, 150.0), 50.0, ""),
        ((150.0, 0.0, 150.0), 20.0, "other processes used the CPU: 30%"),
        ((150.0, 5.0, 145.0), 50.0, "CPU time stolen by the host: 5%"),
    ],
)
def test_cpu_contention_and_steal_are_seen(
    monkeypatch: pytest.MonkeyPatch, after: tuple[float, float, float], mine: float, reason: str
) -> None:
    import psutil

    readings = [_times(100.0, 0.0, 100.0), _times(*after)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    used = [SimpleNamespace(user=10.0, system=0.0), SimpleNamespace(user=10.0 + mine, system=0.0)]
    monkeypatch.setattr(psutil.Process, "cpu_times", lambda self: used.pop(0))
    assert CpuDisturbance().reason() == reason


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """NVML as on one quiet H100: every function of the real module, autospecced."""
    fake = create_autospec(pynvml, spec_set=False)
    fake.NVMLError = pynvml.NVMLError
    for name in dir(pynvml):
        if name.startswith(("nvmlClocksThrottleReason", "NVML_")) and isinstance(getattr(pynvml, name), int):
            setattr(fake, name, getattr(pynvml, name))
    fake.nvmlDeviceGetHandleByPciBusId.return_value = "handle"
    fake.nvmlDeviceGetTotalEnergyConsumption.return_value = 5000
    fake.nvmlDeviceGetCurrentClocksThrottleReasons.return_value = 0
    fake.nvmlDeviceGetComputeRunningProcesses.return_value = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=7)]
    monkeypatch.setitem(__import__("sys").modules, "pynvml", fake)
    return fake


@pytest.fixture
def gpu(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    torch = pytest.importorskip("torch")
    properties = SimpleNamespace(pci_domain_id=0, pci_bus_id=0x1A, pci_device_id=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda name: properties)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda name: 3)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda name: 5)
    return CudaDevice("cuda:0")


def test_a_gpu_is_found_by_its_bus_id(gpu: CudaDevice, nvml: Any) -> None:
    nvml.nvmlDeviceGetHandleByPciBusId.assert_called_once_with(b"00000000:1a:00.0")
    peaks = gpu.peaks()
    assert (peaks.allocated, peaks.reserved, peaks.process, peaks.reason) == (3, 5, 7, None)
    assert isinstance(gpu.energy(), CounterEnergy)


def test_a_container_that_hides_process_ids_is_a_reason_not_zero(gpu: CudaDevice, nvml: Any) -> None:
    nvml.nvmlDeviceGetComputeRunningProcesses.return_value = [SimpleNamespace(pid=1, usedGpuMemory=9)]
    peaks = gpu.peaks()
    assert peaks.process is None and peaks.reason is not None and "process id" in peaks.reason


def test_a_missing_energy_counter_is_a_reason(gpu: CudaDevice, nvml: Any) -> None:
    nvml.nvmlDeviceGetTotalEnergyConsumption.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    meter = gpu.energy()
    assert isinstance(meter, NoEnergy) and "no energy counter" in meter.reason


def test_a_driver_that_does_not_answer_leaves_memory_of_torch_alone(gpu: CudaDevice, nvml: Any) -> None:
    nvml.nvmlInit.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    peaks = CudaDevice("cuda:0").peaks()
    assert (peaks.reserved, peaks.process) == (5, None) and peaks.reason is not None and "NVML" in peaks.reason


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        (pynvml.nvmlClocksThrottleReasonSwPowerCap, "power cap held the clocks"),
        (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "thermal slowdown"),
        (pynvml.nvmlClocksThrottleReasonGpuIdle, ""),
    ],
)
def test_throttling_is_flagged(nvml: Any, bit: int, reason: str) -> None:
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons.return_value = bit
    assert GpuDisturbance("handle").reason() == reason


def test_another_process_on_the_gpu_is_flagged(nvml: Any) -> None:
    nvml.nvmlDeviceGetComputeRunningProcesses.return_value = [SimpleNamespace(pid=p) for p in (os.getpid(), 1, 2)]
    assert GpuDisturbance("handle").reason() == "another process used the GPU"
    nvml.nvmlDeviceGetComputeRunningProcesses.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
    assert GpuDisturbance("handle").reason() == ""
