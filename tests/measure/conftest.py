from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_nvml import FakeNvml


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until a test moves it; sleeping moves it."""
    import costlib.measure.device as device

    now = [100.0]
    monkeypatch.setattr(device.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(device.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> FakeNvml:
    """One quiet H100 at 100 W, its counter in step, and a torch that is built for its CUDA."""
    import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    fake = FakeNvml(lambda: clock[0])
    monkeypatch.setitem(sys.modules, "pynvml", fake.module)
    return fake
