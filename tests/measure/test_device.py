"""Memory of a device, with a code for everything it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from fake_nvml import FakeNvml

from costlib.isolate import Unsupported
from costlib.measure.device import (
    REASON_CODES,
    CpuDisturbance,
    CudaDevice,
    Device,
    GpuDisturbance,
    GpuEnergy,
    Peaks,
)


def test_the_cpu_knows_its_peak_and_says_what_it_cannot_know() -> None:
    peaks = Device().peaks()
    assert peaks.process is not None and peaks.process > 10_000_000
    assert (peaks.allocated, peaks.reserved, peaks.device_over_idle) == (None, None, None)
    assert set(peaks.reasons) == {"allocated", "reserved", "device_over_idle"}
    assert set(peaks.reasons.values()) <= set(REASON_CODES)


def _peak_after_loading(device: Device, running: int) -> Peaks:
    """Loading takes 400 MB and gives them back; running takes `running` bytes."""
    loaded = bytearray(b"1") * 400_000_000
    del loaded
    device.reset_peaks()
    work = bytearray(b"1") * running
    del work
    return device.peaks()


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the kernel does not let it be reset")
def test_the_peak_of_a_cpu_is_that_of_running_and_not_of_loading() -> None:
    device = Device()
    before, after = device.peaks().process, _peak_after_loading(device, 1000).process
    assert before is not None and after is not None and after < before + 200_000_000
    again = _peak_after_loading(device, 300_000_000).process
    assert again is not None and 250_000_000 < again - after < 350_000_000


def test_a_peak_below_that_of_loading_is_unknown_where_it_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    below = _peak_after_loading(Device(), 1000)
    assert below.process is None and below.reasons["process"] == "loading"
    assert _peak_after_loading(Device(), 700_000_000).process is not None


@pytest.fixture
def gpu(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    torch = pytest.importorskip("torch")
    properties = SimpleNamespace(pci_domain_id=0, pci_bus_id=0x1A, pci_device_id=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda name: properties)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda name: 3)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda name: 5)
    return CudaDevice("cuda:0")


def test_a_gpu_is_found_by_its_bus_id_and_tells_every_layer(gpu: CudaDevice, nvml: FakeNvml) -> None:
    nvml.module.nvmlDeviceGetHandleByPciBusId.assert_called_once_with(b"00000000:1a:00.0")
    nvml.used_bytes = 1900
    gpu.watch()
    gpu.unwatch()
    peaks = gpu.peaks()
    assert (peaks.allocated, peaks.reserved, peaks.process, peaks.device_over_idle) == (3, 5, 7, 900)
    assert peaks.reasons == {}
    assert isinstance(gpu.energy(), GpuEnergy) and isinstance(gpu.disturbance(), GpuDisturbance)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pids": [1]}, "container_pids"),
        ({"used_by_process": None}, "mig"),
        ({"used_by_process": 4}, "order"),
    ],
)
def test_an_unknown_process_peak_has_a_code_and_is_not_zero(
    gpu: CudaDevice, nvml: FakeNvml, change: dict[str, object], code: str
) -> None:
    for name, value in change.items():
        setattr(nvml, name, value)
    peaks = gpu.peaks()
    assert peaks.process is None and peaks.reasons["process"] == code


def test_a_driver_without_a_process_list_has_a_code(gpu: CudaDevice, nvml: FakeNvml) -> None:
    nvml.fails("nvmlDeviceGetComputeRunningProcesses", pynvml.NVML_ERROR_NO_PERMISSION)
    assert gpu.peaks().reasons["process"] == "no_process_list"


def test_a_driver_that_does_not_answer_leaves_memory_of_torch_alone(gpu: CudaDevice, nvml: FakeNvml) -> None:
    nvml.fails("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    dark = CudaDevice("cuda:0")
    dark.watch()
    dark.unwatch()
    peaks = dark.peaks()
    assert (peaks.reserved, peaks.process, peaks.device_over_idle) == (5, None, None)
    assert peaks.reasons == {"process": "no_driver", "device_over_idle": "no_driver"}
    meter = dark.energy()
    assert meter.reason == "NVML does not answer: no NVIDIA driver is loaded"
    assert isinstance(dark.disturbance(), CpuDisturbance)


def test_memory_that_is_the_hosts_has_a_code_of_its_own(gpu: CudaDevice, nvml: FakeNvml) -> None:
    nvml.unsupported("nvmlDeviceGetMemoryInfo")
    shared = CudaDevice("cuda:0")
    assert shared.peaks().reasons["device_over_idle"] == "no_memory_info"


def test_a_gpu_that_torch_refuses_is_unsupported_in_its_words(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(name: str) -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12040).\nPlease update")

    monkeypatch.setattr(torch.cuda, "get_device_properties", refuse)
    with pytest.raises(Unsupported, match=r"torch cannot use the GPU: The NVIDIA driver .* \(found version 12040\)\.$"):
        CudaDevice("cuda")
