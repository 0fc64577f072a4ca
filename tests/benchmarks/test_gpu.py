"""The GPU script runs its whole path on a small model: what a CPU cannot hold becomes a status, not a crash."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import gpu
from costlib.isolate import Outcome, run_isolated
from costlib.measure import campaign
from costlib.measure.embed import embeddings
from costlib.measure.run import measurements

HANGING = """
import os, time
from pathlib import Path

def hang():
    Path(__file__).with_name("pid").write_text(str(os.getpid()))
    time.sleep(60)
"""


def asked(store: Path, **changes: object) -> argparse.Namespace:
    given = {"minutes": 9.0, "budget": 40.0, "store": store, "device": "cpu", "tiny": None}
    return argparse.Namespace(**(given | changes))


def test_the_most_telling_configurations_come_first() -> None:
    found = gpu.configurations(gpu.SMALL, gpu.LARGE, gpu.EMBEDDING)
    assert found[0] == (gpu.SMALL, "bf16", "compiled", 1) and len(found) == len(set(found)) == 5 * 2 * 4 + 1 + 3
    public = [(held, engine) for model, held, engine, batch in found if model == gpu.SMALL and batch == 1]
    assert set(gpu.TARGETS) <= set(public[:6]) and len(public) == 10
    assert found[6] == (gpu.LARGE, "nf4", "eager", 1) and {row[0] for row in found[7:10]} == {gpu.EMBEDDING}
    assert {batch for *_, batch in found[14:]} == {8, 32, 128}


def test_nothing_starts_that_cannot_end_in_time(tmp_path: Path) -> None:
    found = gpu.run(asked(tmp_path, minutes=gpu.LEAST_S / 61, tiny=tmp_path))
    assert found["measured"] == 0 and len(found["left"]) == 5 * 2 * 4 + 3 and not list(tmp_path.iterdir())


def test_a_call_ends_in_the_middle_of_a_process_and_what_had_ended_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second process of the first configuration hangs; the first one is in the store, the hanging child is gone."""
    calls: list[str] = []
    (tmp_path / "hanging_child.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def process(target: str, arguments: dict[str, object], **given: object) -> Outcome:
        calls.append(str(arguments["engine"]))
        if len(calls) == 2:
            return run_isolated("hanging_child:hang", {}, timeout_s=60)
        environment, fingerprint = campaign.describe("cpu")
        row = {"ttft_s": [0.1], "decode_s": [1.0], "flags": [""], "environment": environment}
        return Outcome("ok", row | {"fingerprint": fingerprint}, None, 1.0)

    monkeypatch.setattr(campaign, "run_isolated", process)
    monkeypatch.setattr(gpu, "LEAST_S", 0.0)
    started = time.monotonic()
    found = gpu.run(asked(tmp_path, minutes=0.1))
    assert time.monotonic() - started < 20 and found["measured"] == 0 and len(found["left"]) == 44
    assert found["left"][0] == [gpu.SMALL, "bf16", "compiled", 1] and "out of time" in capsys.readouterr().out
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert len(calls) == 2 and len(measurements(tmp_path)) == 1
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(("engine", "batch", "processes"), [("compiled", 1, 3), ("eager", 1, 3), ("compiled", 8, 1)])
def test_the_headline_figures_get_the_processes_of_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, batch: int, processes: int
) -> None:
    """A process that compiles takes 80 s, the next one, with the compiler's cache, 40 s, an eager one 28 s."""
    played = iter([80.0, 40.0, 40.0] if engine == "compiled" else [28.0] * 3)

    def process(target: str, arguments: dict[str, object], **given: object) -> Outcome:
        environment, fingerprint = campaign.describe("cpu")
        row = {"ttft_s": [0.1], "decode_s": [1.0], "flags": [""], "environment": environment}
        return Outcome("ok", row | {"fingerprint": fingerprint}, None, next(played))

    monkeypatch.setattr(campaign, "run_isolated", process)
    row = gpu.speeds((gpu.SMALL, "bf16", engine, batch), asked(tmp_path), 540.0)[0]
    assert row["processes"] == processes


@pytest.mark.slow
def test_the_script_runs_on_a_small_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCHES", (1,))
    monkeypatch.setattr(gpu, "ENGINES", ("eager",))
    found = gpu.run(asked(tmp_path / "m", minutes=9.0, budget=0.5, tiny=tiny_model))
    assert found["left"] == [] and found["measured"] == 8
    assert set(embeddings(tmp_path / "m").set_index("precision")["status"]) == {"ok"}
    rows = measurements(tmp_path / "m").set_index("precision")
    assert rows.loc["bf16", "status"] == "ok" and rows.loc["int4wo", "status"] == "unsupported"
    assert "NVIDIA GPUs only" in rows.loc["int4wo", "reason"]
