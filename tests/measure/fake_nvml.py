"""NVML as on one quiet H100: every function of the real module, autospecced, driven by a script over a fake clock."""

from __future__ import annotations

import os
from collections.abc import Callable
from ctypes import c_uint
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pynvml


class FakeNvml:
    """The module (`module`) and what it will answer: set the attributes, or take a function away."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.pid = os.getpid()
        self.pids = [self.pid]
        self.used_by_process: int | None = 7
        self.used_bytes = 1000
        self.watts: Callable[[float], float] = lambda time: 100.0
        self.millijoules: Callable[[float], float] = lambda time: 1e5 * time
        self.throttle = 0
        self.mig = 0
        fake = self.module = create_autospec(pynvml, spec_set=False)
        fake.NVMLError = pynvml.NVMLError
        for name in dir(pynvml):
            if name.startswith(("nvmlClocksThrottleReason", "NVML_")) and isinstance(getattr(pynvml, name), int):
                setattr(fake, name, getattr(pynvml, name))
        fake.nvmlDeviceGetHandleByPciBusId.return_value = "handle"
        fake.nvmlDeviceGetHandleByUUID.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        fake.nvmlDeviceIsMigDeviceHandle.side_effect = lambda handle: c_uint("MIG" in str(handle))
        fake.nvmlSystemGetCudaDriverVersion.return_value = 13000
        fake.nvmlSystemGetDriverVersion.return_value = "580"
        fake.nvmlDeviceGetTotalEnergyConsumption.side_effect = lambda handle: self.millijoules(self.now())
        fake.nvmlDeviceGetFieldValues.side_effect = lambda handle, fields: [self._power(self.watts(self.now()))]
        fake.nvmlDeviceGetPowerUsage.side_effect = lambda handle: int(1000 * self.watts(self.now()))
        fake.nvmlDeviceGetMemoryInfo.side_effect = lambda handle: SimpleNamespace(
            used=self.used_bytes, free=10, total=99
        )
        fake.nvmlDeviceGetCurrentClocksThrottleReasons.side_effect = lambda handle: self.throttle
        fake.nvmlDeviceGetMigMode.side_effect = lambda handle: [self.mig, self.mig]
        fake.nvmlDeviceGetComputeRunningProcesses.side_effect = lambda handle: [
            SimpleNamespace(pid=pid, usedGpuMemory=self.used_by_process) for pid in self.pids
        ]

    def _power(self, watts: float) -> Any:
        return SimpleNamespace(nvmlReturn=pynvml.NVML_SUCCESS, value=SimpleNamespace(uiVal=int(1000 * watts)))

    def fails(self, function: str, code: int) -> None:
        """Let a function raise an NVML error from now on."""
        getattr(self.module, function).side_effect = pynvml.NVMLError(code)

    def unsupported(self, *functions: str) -> None:
        """Let functions answer as on a GPU that does not have them."""
        for function in functions:
            self.fails(function, pynvml.NVML_ERROR_NOT_SUPPORTED)
