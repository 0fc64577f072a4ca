"""The GPU script runs its whole path on a small model: what a CPU cannot hold becomes a status, not a crash."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import gpu
from costlib.measure.run import measurements


def test_the_most_telling_configurations_come_first() -> None:
    found = gpu.configurations(gpu.SMALL, gpu.LARGE)
    assert found[0] == (gpu.SMALL, "bf16", "compiled", 1) and len(found) == len(set(found)) == 5 * 2 * 4 + 1
    assert found[10] == (gpu.LARGE, "nf4", "eager", 1)


@pytest.mark.slow
def test_the_script_runs_on_a_small_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCHES", (1,))
    monkeypatch.setattr(gpu, "ENGINES", ("eager",))
    found = gpu.run(argparse.Namespace(minutes=5.0, budget=0.5, store=tmp_path / "m", device="cpu", tiny=tiny_model))
    assert found["left"] == [] and found["measured"] == 5
    rows = measurements(tmp_path / "m").set_index("precision")
    assert rows.loc["bf16", "status"] == "ok" and rows.loc["int4wo", "status"] == "unsupported"
    assert "NVIDIA GPUs only" in rows.loc["int4wo", "reason"]
