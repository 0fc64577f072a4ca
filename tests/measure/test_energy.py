"""Energy windows on scripted drivers: a number only where two readings agree, else the reason."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest
from fake_nvml import FakeNvml

from costlib.measure import device as module
from costlib.measure.device import (
    PERIOD_S,
    CounterEnergy,
    Energy,
    Meter,
    Sample,
    Sampler,
    cpu_energy,
    gpu_energy,
    integrated_j,
)


def _window(meter: Meter, sampler: Sampler, clock: list[float], seconds: float = 10.0) -> Energy:
    """Idle for a second, then a window with a sample at every period."""
    meter.idle(1.0)
    meter.start()
    sampler.samples = []
    for _ in range(round(seconds / PERIOD_S) + 1):
        sampler.read()
        clock[0] += PERIOD_S
    clock[0] -= PERIOD_S
    return meter.stop()


def _gpu(nvml: FakeNvml) -> tuple[Meter, Sampler]:
    sampler = Sampler("handle")
    return gpu_energy("handle", None, sampler), sampler


def test_counter_and_power_agree(nvml: FakeNvml, clock: list[float]) -> None:
    meter, sampler = _gpu(nvml)
    found = _window(meter, sampler, clock)
    assert found.j == pytest.approx(1000) and found.integrated_j == pytest.approx(1000)
    assert found.reason is None and found.idle_w == pytest.approx(100) and found.scope == "GPU board"


@pytest.mark.parametrize(("watts", "believed"), [(104.0, True), (96.0, True), (106.0, False), (94.0, False)])
def test_more_than_five_percent_apart_neither_is_believed(
    nvml: FakeNvml, clock: list[float], watts: float, believed: bool
) -> None:
    nvml.watts = lambda time: watts
    meter, sampler = _gpu(nvml)
    found = _window(meter, sampler, clock)
    assert (found.j is not None) == believed
    assert believed or found.reason == "counter and integrated power differ by 6%, more than 5%"


def test_power_that_changes_is_integrated(nvml: FakeNvml, clock: list[float]) -> None:
    nvml.watts = lambda time: 100.0 if time < 106 else 300.0
    nvml.millijoules = lambda time: 1e5 * min(time, 106) + 3e5 * max(0.0, time - 106)
    meter, sampler = _gpu(nvml)
    found = _window(meter, sampler, clock)
    assert found.j == pytest.approx(500 + 1500) and found.reason is None


def test_idle_power_is_not_that_of_a_coarse_counter(nvml: FakeNvml, clock: list[float]) -> None:
    """A counter that refreshes every 0.3 s shows 1.2 s of energy for a second; instant power does not."""
    nvml.millijoules = lambda time: 1e5 * 0.3 * int(time / 0.3)
    clock[0] = 100.1
    meter, sampler = _gpu(nvml)
    assert _window(meter, sampler, clock).idle_w == pytest.approx(100)
    nvml.unsupported("nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage")
    clock[0] = 100.1
    assert _window(meter, sampler, clock).idle_w == pytest.approx(120)  # better than nothing


def test_an_absent_counter_is_a_reason(nvml: FakeNvml) -> None:
    nvml.unsupported("nvmlDeviceGetTotalEnergyConsumption")
    meter, _ = _gpu(nvml)
    assert meter.reason == "this GPU shows no energy counter: this GPU or driver does not support it"


def test_a_mig_slice_has_no_energy_of_its_own(nvml: FakeNvml) -> None:
    nvml.mig = pynvml.NVML_DEVICE_MIG_ENABLE
    meter, _ = _gpu(nvml)
    assert meter.reason and "MIG slice" in meter.reason
    nvml.unsupported("nvmlDeviceGetMigMode")  # a GPU without MIG
    assert _gpu(nvml)[0].reason is None


def test_a_counter_that_was_reset_is_a_reason(nvml: FakeNvml, clock: list[float]) -> None:
    nvml.millijoules = lambda time: 1e9 if time < 105 else 1e3
    meter, sampler = _gpu(nvml)
    found = _window(meter, sampler, clock)
    assert found.j is None and found.reason == "the energy counter was reset during the window"


def test_a_sampling_gap_leaves_the_counter_unchecked_and_says_so(nvml: FakeNvml, clock: list[float]) -> None:
    meter, sampler = _gpu(nvml)
    meter.idle(1.0)
    meter.start()
    for _ in range(60):
        sampler.read()
        clock[0] += PERIOD_S
    clock[0] += 2.0
    for _ in range(60):
        sampler.read()
        clock[0] += PERIOD_S
    found = meter.stop()
    assert found.j == pytest.approx(800) and found.integrated_j is None
    assert found.reason == "the counter alone: power was not sampled for 2.0 s"


def test_without_instant_power_the_average_is_read_and_without_both_the_counter_stands_alone(
    nvml: FakeNvml, clock: list[float]
) -> None:
    nvml.unsupported("nvmlDeviceGetFieldValues")
    meter, sampler = _gpu(nvml)
    assert _window(meter, sampler, clock).integrated_j == pytest.approx(1000)
    nvml.unsupported("nvmlDeviceGetPowerUsage")
    found = _window(meter, sampler, clock)
    assert found.j is not None and found.reason == "the counter alone: this GPU shows no instant power"


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNKNOWN])
def test_a_driver_lost_in_mid_run_is_a_reason(nvml: FakeNvml, clock: list[float], code: int) -> None:
    meter, sampler = _gpu(nvml)
    meter.idle(1.0)
    meter.start()
    sampler.read()
    clock[0] += 6
    nvml.fails("nvmlDeviceGetMemoryInfo", code)
    sampler.read()
    found = meter.stop()
    assert found.j is None and found.reason is not None and found.reason.endswith("during the window")
    assert "lost the GPU" in found.reason or "without saying why" in found.reason


def test_a_counter_that_fails_at_the_end_is_a_reason(nvml: FakeNvml, clock: list[float]) -> None:
    meter, _ = _gpu(nvml)
    meter.start()
    clock[0] += 6
    nvml.fails("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_GPU_IS_LOST)
    found = meter.stop()
    assert found.j is None and found.reason == "the driver lost the GPU during the window"


def test_a_short_window_has_a_reason_instead_of_a_number(clock: list[float]) -> None:
    meter = CounterEnergy([lambda: clock[0]], "GPU board")
    meter.start()
    clock[0] += 4.9
    found = meter.stop()
    assert found.j is None and found.reason is not None and "below the 5 s" in found.reason


def test_a_known_wrap_is_added_and_packages_add_up(clock: list[float]) -> None:
    first, second = [1000.0], [10.0]
    meter = CounterEnergy([lambda: first[0], lambda: second[0]], "CPU package", [1020.0, 500.0])
    meter.start()
    first[0], second[0], clock[0] = 10.0, 25.0, clock[0] + 10
    assert meter.stop().j == 30.0 + 15.0


def test_a_window_left_open_by_a_crash_can_be_started_again(clock: list[float]) -> None:
    meter = CounterEnergy([lambda: 50 * clock[0]], "GPU board")
    meter.start()
    clock[0] += 100
    meter.start()
    clock[0] += 10
    assert meter.stop().j == 500


def _zone(root: Path, zone: str, name: str | None = None, joules: int = 1) -> Path:
    (root / zone).mkdir()
    (root / zone / "energy_uj").write_text(str(joules * 10**6))
    (root / zone / "max_energy_range_uj").write_text("9000000000")
    if name:
        (root / zone / "name").write_text(f"{name}\n")
    return root / zone / "energy_uj"


def test_rapl_of_two_packages_is_read_and_its_absence_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "RAPL_ROOT", tmp_path)
    meter = cpu_energy()
    assert meter.reason and "no energy counter (RAPL)" in meter.reason
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):  # the last is a part of the first
        _zone(tmp_path, name)
    meter = cpu_energy()
    assert isinstance(meter, CounterEnergy) and len(meter.read_j) == 2


def test_each_joule_of_a_cpu_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: list[float]
) -> None:
    """psys holds the packages, a package its cores; one counter is shown as two zones, by name or as a link."""
    monkeypatch.setattr(module, "RAPL_ROOT", tmp_path)
    _zone(tmp_path, "intel-rapl")  # the control type itself
    counters = [
        _zone(tmp_path, "intel-rapl:0", "package-0"),
        _zone(tmp_path, "intel-rapl:0:0", "core"),
        _zone(tmp_path, "intel-rapl:1", "psys"),
        _zone(tmp_path, "intel-rapl:10", "package-1"),
        _zone(tmp_path, "intel-rapl-mmio:0", "package-0"),
    ]
    (tmp_path / "intel-rapl:2").symlink_to(tmp_path / "intel-rapl:10")
    meter = cpu_energy()
    meter.start()
    for counter in counters:
        counter.write_text("11000000")  # 10 J more in each
    clock[0] += 10
    assert meter.stop().j == pytest.approx(20)


def test_a_package_that_only_memory_shows_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "RAPL_ROOT", tmp_path)
    _zone(tmp_path, "intel-rapl:0", "psys")
    assert cpu_energy().reason
    _zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    assert isinstance(cpu_energy(), CounterEnergy)


def test_no_counter_answers_with_its_reason() -> None:
    meter = Meter("CPU package", "no counter here")
    meter.idle(1)
    meter.start()
    found = meter.stop()
    assert (found.j, found.reason, found.scope) == (None, "no counter here", "CPU package")


def test_integration_needs_samples_all_along() -> None:
    even = [Sample(i * 0.1, 50.0, None, "") for i in range(101)]
    assert integrated_j(even, 0.0, 10.0)[0] == pytest.approx(500)
    assert integrated_j(even[:1], 0.0, 10.0) == (None, "this GPU shows no instant power")
    assert integrated_j([*even[:20], *even[40:]], 0.0, 10.0) == (None, "power was not sampled for 2.1 s")
