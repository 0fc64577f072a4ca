"""The largest batch against real children that really run out of memory: their address space is limited."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from costlib import isolate
from costlib.isolate import run_isolated
from costlib.measure.run import measure
from costlib.store import Store
from costlib.tables import RUNS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="address space is limited and read the Linux way")

CHILD = """
import torch

def ask():
    return {"bytes": torch.empty(2**55, dtype=torch.uint8).numel()}

def address_space(**arguments):
    from pathlib import Path
    from costlib.measure.worker import measure_once
    measure_once(**arguments)
    status = Path("/proc/self/status").read_text().split("VmPeak:")[1]
    return {"bytes": 1024 * int(status.split()[0])}
"""
TOO_MANY = 20_000
"""Sequences of the tiny model whose one layer alone needs more than the room a child gets."""
ROOM = 400 * 10**6


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child_memory.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


@pytest.mark.usefixtures("child")
def test_memory_that_torch_cannot_get_is_out_of_memory() -> None:
    """torch raises a plain RuntimeError on a CPU; 32 PiB are more than a process can address."""
    outcome = run_isolated("child_memory:ask", {}, timeout_s=60)
    assert outcome.status == "oom" and outcome.reason is not None and "tried to allocate" in outcome.reason


@pytest.mark.slow
@pytest.mark.usefixtures("child")
def test_the_largest_batch_is_found_between_one_that_ran_and_one_that_did_not_fit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    arguments = {
        "model": f"path:{tiny_model}", "precision": "bf16", "engine": "eager", "batch": 1, "prompt_tokens": 64,
        "output_tokens": 2, "device": "cpu", "slice_s": 0.01, "budget_s": 60, "maximum_iterations": 1,
        "seed": 1, "ceilings": {},
    }  # fmt: skip
    alone = run_isolated("child_memory:address_space", arguments, timeout_s=120)
    assert alone.value is not None, alone.reason
    limit = alone.value["bytes"] + ROOM
    limited = functools.partial(
        subprocess.Popen, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    monkeypatch.setattr(isolate.subprocess, "Popen", limited)
    monkeypatch.setattr("costlib.measure.run.first_guess", lambda *_: TOO_MANY)
    monkeypatch.setattr("costlib.measure.run._CLOSE", 0.5)  # fewer children; the search itself is tested elsewhere
    store = Store(tmp_path / "s")
    rows = measure(
        f"path:{tiny_model}", batch="max", prompt_tokens=64, output_tokens=2, device="cpu", store=store,
        time_budget_s=30,
    )  # fmt: skip
    runs = store.read(RUNS).frame
    fitted, full = (set(runs.loc[runs["status"] == status, "batch"]) for status in ("ok", "oom"))
    assert TOO_MANY in full and set(runs["status"]) == {"ok", "oom"} and max(fitted) < min(full)
    assert list(rows["batch"]) == [max(fitted)] and rows["status"].item() == "ok"
    assert runs.loc[runs["status"] == "oom", "reason"].str.contains("allocate memory").all()
