"""Contention and throttling: what is left out of an estimate, and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeNvml

from costlib.measure.device import CpuDisturbance, GpuDisturbance, Sampler


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


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        (pynvml.nvmlClocksThrottleReasonSwPowerCap, ""),  # a board's normal state at full load
        (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "thermal slowdown"),
        (pynvml.nvmlClocksThrottleReasonGpuIdle, ""),
    ],
)
def test_throttling_in_the_middle_of_an_iteration_is_flagged(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, bit: int, reason: str
) -> None:
    sampler = Sampler("handle")
    watched = GpuDisturbance(sampler)
    monkeypatch.setattr(CpuDisturbance, "reason", lambda self: "")
    for throttle in (0, bit, 0):
        nvml.throttle = throttle
        sampler.read()
    assert watched.reason() == reason
    assert watched.reason() == ""  # the next iteration is its own


def test_another_process_on_the_gpu_is_flagged_and_one_hidden_id_is_not(
    nvml: FakeNvml, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = GpuDisturbance(Sampler("handle"))
    monkeypatch.setattr(CpuDisturbance, "reason", lambda self: "")
    nvml.pids = [nvml.pid, 1]
    assert watched.reason() == "another process used the GPU"
    nvml.pids = [1]  # a container shows this process under the host's id
    clock[0] += 1
    assert watched.reason() == ""
    nvml.unsupported("nvmlDeviceGetComputeRunningProcesses")
    clock[0] += 1
    assert watched.reason() == ""


def test_short_iterations_do_not_wait_for_the_driver_each(
    nvml: FakeNvml, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes milliseconds; iterations that are over sooner share the newest sample."""
    sampler = Sampler("handle")
    watched = GpuDisturbance(sampler)
    monkeypatch.setattr(CpuDisturbance, "reason", lambda self: "")
    for _ in range(100):
        clock[0] += 0.002
        assert watched.reason() == ""
    assert 3 <= len(sampler.samples) <= 5  # every 50 ms of 200 ms
    nvml.throttle = pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    sampler.read()
    assert [watched.reason(), watched.reason()] == ["thermal slowdown"] * 2


def test_on_a_gpu_the_cpu_is_watched_too(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = GpuDisturbance(Sampler("handle"))
    monkeypatch.setattr(CpuDisturbance, "reason", lambda self: "other processes used the CPU: 40%")
    assert watched.reason() == "other processes used the CPU: 40%"


def test_a_power_cap_is_counted_and_disturbs_nothing(nvml: FakeNvml) -> None:
    """Dropping capped samples made 1.067 s into 1.00 s."""
    sampler = Sampler("handle")
    assert sampler.capped_share() is None
    for throttle in (pynvml.nvmlClocksThrottleReasonSwPowerCap, 0, 0, 0):
        nvml.throttle = throttle
        sampler.read()
    assert sampler.capped_share() == 0.25 and not any(sample.disturbed for sample in sampler.samples)
    nvml.unsupported("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCurrentClocksEventReasons")
    assert Sampler("handle").capped_share() is None
