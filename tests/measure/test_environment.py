"""Which GPU a measurement is labelled with: the one it ran on, of several, and behind CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import pynvml
import pytest
from fake_nvml import FakeNvml

from costlib.doctor import doctor
from costlib.environment import describe, device_name, gpu_facts
from costlib.measure.largest import free_memory

BOARDS = {0: "NVIDIA T4", 1: "NVIDIA H100 80GB HBM3", "GPU-1234": "NVIDIA L4"}


@pytest.fixture
def boards(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boards by number, one by its UUID; a handle is its name."""
    fake = nvml.module
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def by(key: int | str) -> str:
        if key not in BOARDS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return BOARDS[key]

    fake.nvmlDeviceGetHandleByIndex.side_effect = fake.nvmlDeviceGetHandleByUUID.side_effect = by
    fake.nvmlDeviceGetName.side_effect = lambda handle: handle
    fake.nvmlSystemGetDriverVersion.return_value = "580"
    fake.nvmlDeviceGetCudaComputeCapability.return_value = (9, 0)
    fake.nvmlDeviceGetPowerManagementLimit.return_value = 700_000
    fake.nvmlDeviceGetClockInfo.return_value = 1980


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cuda", None, "NVIDIA T4"),
        ("cuda:1", None, "NVIDIA H100 80GB HBM3"),
        ("cuda", "1", "NVIDIA H100 80GB HBM3"),
        ("cuda:1", "1, 0", "NVIDIA T4"),
        ("cuda:0", "GPU-1234", "NVIDIA L4"),
        ("cuda:1", "1", "CUDA device without NVML"),
        ("cuda", "", "CUDA device without NVML"),
    ],
)
def test_the_gpu_that_was_asked_for_gives_the_row_its_name(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, name: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_name(device) == describe(device)[0]["device"] == name


@pytest.mark.usefixtures("boards")
def test_boards_of_one_machine_are_not_pooled_and_have_their_own_free_memory(nvml: FakeNvml) -> None:
    assert describe("cuda:0")[1] != describe("cuda:1")[1] and gpu_facts(2) is None
    assert free_memory("cuda:1") == 10 and nvml.module.nvmlDeviceGetMemoryInfo.call_args.args == (BOARDS[1],)


@pytest.mark.usefixtures("boards")
def test_the_doctor_asks_the_board_for_its_energy_counter(nvml: FakeNvml) -> None:
    assert doctor()["energy"] == {"available": True, "scope": "GPU board", "reason": None}
    nvml.mig = pynvml.NVML_DEVICE_MIG_ENABLE
    found = doctor()["energy"]
    assert not found["available"] and "MIG slice" in found["reason"]
