"""The GPU script runs its whole path on a small model: what a CPU cannot hold becomes a status, not a crash."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import gpu
from costlib.measure.embed import embeddings
from costlib.measure.run import measurements


def test_the_most_telling_configurations_come_first() -> None:
    found = gpu.configurations(gpu.SMALL, gpu.LARGE, gpu.EMBEDDING)
    assert found[0] == (gpu.SMALL, "bf16", "compiled", 1) and len(found) == len(set(found)) == 5 * 2 * 4 + 2
    assert found[10] == (gpu.LARGE, "nf4", "eager", 1) and found[11][0] == gpu.EMBEDDING


def test_nothing_starts_that_cannot_end_in_time(tmp_path: Path) -> None:
    found = gpu.run(argparse.Namespace(minutes=gpu.LEAST_S / 61, budget=1, store=tmp_path, device="cpu", tiny=tmp_path))
    assert found["measured"] == 0 and len(found["left"]) == 5 * 2 * 4 + 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_script_runs_on_a_small_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCHES", (1,))
    monkeypatch.setattr(gpu, "ENGINES", ("eager",))
    found = gpu.run(argparse.Namespace(minutes=5.0, budget=0.5, store=tmp_path / "m", device="cpu", tiny=tiny_model))
    assert found["left"] == [] and found["measured"] == 8
    assert set(embeddings(tmp_path / "m").set_index("precision")["status"]) == {"ok"}
    rows = measurements(tmp_path / "m").set_index("precision")
    assert rows.loc["bf16", "status"] == "ok" and rows.loc["int4wo", "status"] == "unsupported"
    assert "NVIDIA GPUs only" in rows.loc["int4wo", "reason"]
