"""One process of a measurement, here in the process of the tests: what was timed is never lost to what follows it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from samples import run_row, runs_frame
from small_models import tiny_bert

from costlib.isolate import Unsupported
from costlib.measure import roofline, worker
from costlib.measure.device import CounterEnergy, Device, Peaks
from costlib.measure.iteration import Iteration
from costlib.measure.summarise import summarise
from costlib.measure.worker import measure_once

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_BUFFER_BYTES", 16 * 1024**2)
    monkeypatch.setattr(worker, "IDLE_S", 0.01)


def once(model: str, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "model": model, "precision": "bf16", "engine": "eager", "batch": 1, "prompt_tokens": 8, "output_tokens": 3,
        "device": "cpu", "slice_s": 0.01, "budget_s": 60, "maximum_iterations": 1, "seed": 0, "ceilings": {},
    }  # fmt: skip
    return measure_once(**(given | changes))


def test_a_kind_of_model_without_arithmetic_keeps_its_speed(tmp_path: Path) -> None:
    import transformers

    config = transformers.GPT2Config(
        n_embd=64, n_layer=2, n_head=4, vocab_size=512, bos_token_id=0, eos_token_id=0, pad_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    found = once(f"path:{tmp_path}")
    why = "costlib has no arithmetic for models of type gpt2"
    assert len(found["decode_s"]) == 1 and found["ceiling_reason"] == why and "ceiling_bytes_per_s" not in found
    assert found["kv_cache_bytes"] > 0
    environment, runs = json.dumps(found.pop("environment")), []
    for run in "ab":
        runs.append(run_row(run_id=run, batch=1, prompt_tokens=8, output_tokens=3, **found, environment=environment))
    row = summarise(runs_frame(*[{k: v for k, v in run.items()} for run in runs]))
    reasons = json.loads(row["reasons"])
    assert row["status"] == "ok" and row["decode_tokens_per_s"] > 0
    assert reasons["mbu"] == reasons["decode_bytes"] == reasons["kv_cache_bytes_expected"] == why


def test_a_memory_too_full_for_the_ceilings_keeps_what_was_timed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest batch fills the memory, and the buffers of the ceilings come last."""

    def full(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 536870912 bytes")

    monkeypatch.setattr(roofline, "measure_ceilings", full)
    found = once(f"path:{tiny_model}")
    assert len(found["decode_s"]) == 1 and found["decode_bytes"] > 0
    assert found["ceiling_reason"] == "no memory was left to measure the device's ceilings in"

    def broken(*_: Any) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(roofline, "measure_ceilings", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        once(f"path:{tiny_model}")


def test_the_peak_while_loading_is_that_of_the_allocator_where_there_is_one(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container NVML does not know the process; that a 70B at nf4 never held its 16-bit copy is known anyway."""
    peak = [700]
    monkeypatch.setattr(Device, "peaks", lambda self: Peaks(3, peak[0], None, None, {"process": "container_pids"}))
    monkeypatch.setattr(Device, "reset_peaks", lambda self: peak.insert(0, 4))
    found = once(f"path:{tiny_model}")
    assert (found["load_peak_bytes"], found["allocator_reserved_peak_bytes"]) == (700, 4)
    assert json.loads(found["memory_reasons"])["process_peak_bytes"] == "container_pids"
    assert once_on_cpu(tiny_model, monkeypatch)["load_peak_bytes"] == 900


def once_on_cpu(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(Device, "peaks", lambda self: Peaks(None, None, 900, None))
    return once(f"path:{tiny_model}")


def test_more_tokens_than_the_context_are_refused_before_anything_is_loaded(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costlib.measure.iteration.load_model", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(Unsupported, match=r"250 \+ 7 tokens exceed the model's context of 256"):
        once(f"path:{tiny_model}", prompt_tokens=250, output_tokens=7)
    with pytest.raises(Unsupported, match=r"exceed the model's context of 131072"):
        once("random:llama-3.1-8b", prompt_tokens=131_072)


def test_an_embedding_model_does_not_generate(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="it embeds and does not generate"):
        once(f"path:{tiny_bert(tmp_path / 'm')}")


def test_short_iterations_fill_the_window_of_the_energy_counter(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred of them are over long before the five seconds that a counter needs."""
    joules = iter(range(1000))
    monkeypatch.setattr("costlib.measure.engines.Eager.run", lambda self, seed: time.sleep(0.001) or Iteration(1, 2, 3))
    monkeypatch.setattr(CounterEnergy, "minimum_window_s", 0.5)
    monkeypatch.setattr("costlib.measure.device.MINIMUM_WINDOW_S", 0.5)
    monkeypatch.setattr(Device, "energy", lambda self: CounterEnergy([lambda: next(joules)], "CPU package"))
    found = once(f"path:{tiny_model}", maximum_iterations=2)
    assert found["energy_window_s"] >= 0.5 and found["energy_j"] is not None and found["energy_reason"] is None
    assert len(found["decode_s"]) == len(found["ttft_s"]) == len(found["flags"]) > 2
