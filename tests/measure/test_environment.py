"""Which GPU a measurement is labelled with, of several and behind CUDA_VISIBLE_DEVICES, and whether it can be used."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeNvml

from costlib.devices import data_sheet
from costlib.environment import default_device, describe, device_name, look
from costlib.errors import InputError
from costlib.isolate import run_isolated
from costlib.machine import doctor
from costlib.measure.run import free_memory
from costlib.models.load import check_device
from costlib.models.precision import precision

SLICE = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
BOARDS = {0: "NVIDIA T4", 1: "NVIDIA H100 80GB HBM3", "GPU-1234-5": "NVIDIA L4", "MIG-77": SLICE}
BOARDS["GPU-h100"] = BOARDS[1]


@pytest.fixture
def boards(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards by number and by UUID, and a slice of one; a handle is its name."""
    fake = nvml.module
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def by(key: int | str) -> str:
        if key not in BOARDS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return BOARDS[key]

    fake.nvmlDeviceGetHandleByIndex.side_effect = fake.nvmlDeviceGetHandleByUUID.side_effect = by
    fake.nvmlDeviceGetCount.return_value = 2
    fake.nvmlDeviceGetUUID.side_effect = {"NVIDIA T4": "GPU-t4", BOARDS[1]: "GPU-h100"}.get
    fake.nvmlDeviceGetMaxMigDeviceCount.return_value = 2
    fake.nvmlDeviceGetMigDeviceHandleByIndex.side_effect = lambda board, number: SLICE
    fake.nvmlDeviceGetDeviceHandleFromMigDeviceHandle.side_effect = lambda handle: BOARDS[1]
    fake.nvmlDeviceGetName.side_effect = lambda handle: handle
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
        ("cuda:0", "GPU-1234-5", "NVIDIA L4"),
        ("cuda:0", "GPU-h", "NVIDIA H100 80GB HBM3"),  # CUDA takes the beginning of a UUID, NVML does not
        ("cuda:0", "MIG-77", SLICE),
        ("cuda:1", "1", "CUDA device without NVML"),
        ("cuda:1", "0,-1,1", "CUDA device without NVML"),  # a negative number ends the list
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
    assert describe("cuda:0")[1] != describe("cuda:1")[1] and look("cuda:2").facts is None
    assert free_memory("cuda:1") == 10 and nvml.module.nvmlDeviceGetMemoryInfo.call_args.args == (BOARDS[1],)


@pytest.mark.usefixtures("boards")
def test_runs_of_another_driver_or_power_limit_are_not_pooled(nvml: FakeNvml) -> None:
    known = {describe("cuda:0")[1]}
    nvml.module.nvmlSystemGetDriverVersion.return_value = "590"
    known.add(describe("cuda:0")[1])
    nvml.module.nvmlDeviceGetPowerManagementLimit.return_value = 350_000
    assert len(known | {describe("cuda:0")[1]}) == 3


@pytest.mark.usefixtures("boards")
def test_the_gpu_of_a_row_is_the_one_torch_opened() -> None:
    """CUDA calls the fastest GPU number 0, NVML the first on the bus: here the one is an H100, the other a T4."""
    opened = SimpleNamespace(uuid="h100", name="NVIDIA H100 80GB HBM3")
    assert describe("cuda:0")[0]["device"] == "NVIDIA T4"
    assert describe("cuda:0", opened)[0]["gpu"]["name"] == "NVIDIA H100 80GB HBM3"
    assert describe("cuda:0", opened)[1] == describe("cuda:1")[1]
    opened.uuid = "GPU-h100"
    assert describe("cuda:0", opened)[0]["device"] == "NVIDIA H100 80GB HBM3"


def test_children_count_gpus_as_the_driver_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child_order.py").write_text(
        "import os\ndef ask():\n return {'order': os.environ['CUDA_DEVICE_ORDER']}"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert run_isolated("child_order:ask", {}, timeout_s=30).value == {"order": "PCI_BUS_ID"}


@pytest.mark.usefixtures("boards")
def test_a_slice_is_itself_and_not_its_board(nvml: FakeNvml) -> None:
    opened = SimpleNamespace(uuid="77", pci_domain_id=0, pci_bus_id=1, pci_device_id=0)
    assert describe("cuda", opened)[0]["device"] == SLICE
    nvml.mig = pynvml.NVML_DEVICE_MIG_ENABLE
    opened.uuid = "unknown to this driver"
    assert describe("cuda", opened)[0]["device"] == SLICE
    gpu = describe("cuda:1")[0]["gpu"]
    assert (gpu["name"], gpu["capability"], gpu["power_limit_w"]) == (SLICE, [9, 0], None)
    assert data_sheet(SLICE) is None
    found = doctor()["energy"]
    assert not found["available"] and "MIG slice" in found["reason"]
    nvml.module.nvmlDeviceGetMigDeviceHandleByIndex.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    assert default_device() == "cpu"  # in MIG mode and without a slice it is no device of CUDA's


@pytest.mark.usefixtures("boards")
def test_the_doctor_asks_the_board_for_its_energy_counter() -> None:
    assert doctor()["energy"] == {"available": True, "scope": "GPU board", "reason": None}


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize(
    ("built", "driver", "why"),
    [
        ("13.0", 13010, None),
        ("12.8", 12020, None),  # a driver runs every CUDA of its major version
        ("12.8", 13000, None),
        ("13.0", 12040, "its driver (580) is of CUDA 12.4 and this torch needs 13.0; install a newer driver"),
        (None, 13000, "this torch is a CPU build"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_said_and_the_cpu_measures(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: str | None, driver: int, why: str | None
) -> None:
    """Also where torch is not loaded: then its version file is read."""
    nvml.module.nvmlSystemGetCudaDriverVersion.return_value = driver
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('torch was loaded')")
    (tmp_path / "torch" / "version.py").write_text(f"cuda: Optional[str] = {built!r}\nhip: Optional[str] = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch")
    found = doctor()
    assert found["nvml"]["available"] and found["nvml"]["gpu"]["name"] == "NVIDIA T4"
    assert found["device"]["kind"] == ("cpu" if why else "cuda")
    assert found["cuda"]["available"] is (why is None) and (why or "") in (found["cuda"]["reason"] or "")
    assert found["energy"]["scope"] == ("CPU package" if why else "GPU board")
    environment, _ = describe()
    assert (why or "") in environment.get("gpu_unused", "") and ("gpu_unused" in environment) is (why is not None)
    if why:
        with pytest.raises(InputError, match=r"device is 'cuda'; allowed: cpu .*NVIDIA T4 is here, but"):
            check_device(precision("bf16"), "cuda")


@pytest.mark.parametrize(
    ("code", "words", "unused"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver is installed", False),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "driver/library version mismatch", True),
        (pynvml.NVML_ERROR_GPU_IS_LOST, "the driver lost the GPU", True),
        (pynvml.NVML_ERROR_IRQ_ISSUE, "nterrupt", True),  # not in the table: the driver's own words
    ],
)
def test_what_nvml_says_is_said(nvml: FakeNvml, code: int, words: str, unused: bool) -> None:
    nvml.fails("nvmlInit", code)
    found = doctor()
    assert words in found["nvml"]["reason"] and words in found["cuda"]["reason"] and found["device"]["kind"] == "cpu"
    assert ("gpu_unused" in describe()[0]) is unused


@pytest.mark.usefixtures("boards")
def test_a_gpu_without_memory_of_its_own_is_a_gpu(nvml: FakeNvml) -> None:
    nvml.unsupported("nvmlDeviceGetMemoryInfo")
    found = doctor()
    assert found["cuda"]["available"] and found["device"] == {"name": "NVIDIA T4", "kind": "cuda"}
    assert found["nvml"]["gpu"]["memory_bytes"] is None
    assert found["nvml"]["gpu"]["memory_reason"] == "the GPU shares the host's memory"
    assert free_memory("cuda") > 10**8


def test_a_gpu_of_which_nvml_tells_nothing_is_what_torch_says(nvml: FakeNvml) -> None:
    nvml.fails("nvmlInit", pynvml.NVML_ERROR_NO_PERMISSION)
    opened: Any = SimpleNamespace(uuid="1", name="NVIDIA L4", total_memory=24 * 10**9, major=8, minor=9)
    gpu = describe("cuda", opened)[0]["gpu"]
    assert (gpu["name"], gpu["memory_bytes"], gpu["capability"], gpu["driver"]) == ("NVIDIA L4", 24e9, [8, 9], None)
