from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import run_row

from costlib.environment import Gpu
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.measure import run as module
from costlib.measure.run import measure, measurements
from costlib.store import Store
from costlib.tables import RUNS


def test_a_tiny_model_is_really_measured(tiny_model: Path, tmp_path: Path) -> None:
    """Two precisions through real child processes; then a second call finds everything in the store."""
    store = Store(tmp_path / "s")
    arguments: dict[str, Any] = {"prompt_tokens": 16, "output_tokens": 4, "device": "cpu", "store": store}
    rows = measure(f"path:{tiny_model}", ["nf4", "bf16"], time_budget_s=1, **arguments)
    assert list(rows["precision"]) == ["nf4", "bf16"]
    assert (rows["status"] == "ok").all() and (rows["decode_tokens_per_s"] > 0).all()
    assert (rows["kv_cache_bytes"] == rows["kv_cache_bytes_expected"]).all()
    assert (rows["weight_bytes"] == rows["weight_bytes_expected"]).all()
    assert rows["energy_j_per_output_token"].isna().all() == rows["energy_reason"].notna().all()
    before = store.read(RUNS).frame
    again = measure(f"path:{tiny_model}", ["nf4", "bf16"], time_budget_s=1, **arguments)
    assert len(store.read(RUNS).frame) == len(before)
    assert again.equals(rows)


class FakeWorker:
    """Stands for the child process: plays back decode times, or an ending."""

    def __init__(self, times: dict[str, list[float]], seconds: float = 10.0) -> None:
        self.times, self.seconds, self.calls = times, seconds, list[str]()
        self.endings: dict[str, Outcome | InputError] = {}
        self.batches: list[int] = []
        self.fits = 10**6

    def __call__(self, target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
        assert target == "costlib.measure.worker:measure_once"
        precision = arguments["precision"]
        self.calls.append(precision)
        self.batches.append(arguments["batch"])
        if isinstance(ending := self.endings.get(precision), InputError):
            raise ending
        if ending is not None:
            return ending
        if arguments["batch"] > self.fits:
            return Outcome("oom", None, "too large", 1.0)
        played = self.times[precision]
        time = played[min(self.calls.count(precision) - 1, len(played) - 1)]
        value = {"ttft_s": [0.1], "decode_s": [time], "flags": [""], "fingerprint": "set below", "environment": {}}
        value["fingerprint"] = campaign.describe(arguments["device"])[1]
        return Outcome("ok", value, None, self.seconds)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> FakeWorker:
    fake = FakeWorker({"bf16": [1.0], "nf4": [1.0, 1.4, 0.8, 1.2, 1.0, 0.9]})
    monkeypatch.setattr(campaign, "run_isolated", fake)
    return fake


def go(tiny_model: Path, *precisions: str, **changes: Any) -> Any:
    return measure(f"path:{tiny_model}", precisions, device="cpu", **changes)


def test_it_repeats_until_precise(tiny_model: Path, worker: FakeWorker) -> None:
    rows = go(tiny_model, "bf16", time_budget_s=65)
    assert worker.calls == ["bf16"] * 5  # equal times: precise as soon as that may end a measurement
    assert list(rows["stopped_by"]) == ["precision"]


def test_a_precise_configuration_takes_part_until_the_others_are_settled_too(
    tiny_model: Path, worker: FakeWorker
) -> None:
    """A comparison of two needs both of a round."""
    rows = go(tiny_model, "bf16", "nf4", time_budget_s=65)
    assert (
        worker.calls.count("bf16") == worker.calls.count("nf4") == 6
    )  # 60 of 65 s spent: a seventh would exceed the budget
    assert list(rows["stopped_by"]) == ["precision", "time budget"]
    assert rows["relative_half_width"].iloc[1] > 0.02


def test_what_was_settled_before_the_call_takes_no_part_in_its_rounds(tiny_model: Path, worker: FakeWorker) -> None:
    go(tiny_model, "bf16", time_budget_s=65)
    rows = go(tiny_model, "bf16", "nf4", time_budget_s=65)
    assert worker.calls.count("bf16") == 5 and worker.calls.count("nf4") == 6
    assert rows["campaign"].nunique() == 2


def test_processes_of_configurations_are_interleaved(tiny_model: Path, worker: FakeWorker) -> None:
    go(tiny_model, "bf16", "nf4", time_budget_s=45)
    rounds = [set(worker.calls[i : i + 2]) for i in range(0, len(worker.calls), 2)]
    assert rounds == [{"bf16", "nf4"}] * 4


def test_an_interrupted_campaign_goes_on_where_it_stopped(tiny_model: Path, worker: FakeWorker) -> None:
    class StopError(Exception):
        pass

    def stop_after_three(text: str) -> None:
        if len(worker.calls) == 3:
            raise StopError

    with pytest.raises(StopError):
        go(tiny_model, "bf16", "nf4", time_budget_s=45, progress=stop_after_three)
    kept = len(Store().read(RUNS).frame)
    assert kept == 3
    rows = go(tiny_model, "bf16", "nf4", time_budget_s=45)
    assert len(worker.calls) == 8 and rows["campaign"].nunique() == 1


def test_fresh_measures_again_and_keeps_the_old_runs(tiny_model: Path, worker: FakeWorker) -> None:
    first = go(tiny_model, "bf16")
    worker.times["bf16"] = [2.0]
    second = go(tiny_model, "bf16", fresh=True)
    assert second["decode_tokens_per_s"].iloc[0] == pytest.approx(first["decode_tokens_per_s"].iloc[0] / 2)
    assert len(Store().read(RUNS).frame) == 10 and len(measurements()) == 1


def test_a_failure_becomes_a_row_and_the_next_configuration_goes_on(tiny_model: Path, worker: FakeWorker) -> None:
    worker.endings["nf4"] = Outcome("oom", None, "killed", 3.0)
    rows = go(tiny_model, "nf4", "bf16")
    assert list(rows["status"]) == ["oom", "ok"] and rows["reason"].iloc[0] == "killed"
    assert worker.calls.count("nf4") == 1
    go(tiny_model, "nf4", "bf16")
    assert worker.calls.count("nf4") == 1  # out of memory stays so
    worker.endings["nf4"] = Outcome("error", None, "crashed", 3.0)
    go(tiny_model, "nf4", fresh=True)
    del worker.endings["nf4"]
    rows = go(tiny_model, "nf4")
    assert rows["status"].iloc[0] == "ok"  # a crash is tried again


def test_another_environment_is_not_pooled(
    tiny_model: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tiny_model, "bf16")
    monkeypatch.setattr(campaign, "describe", lambda device: ({}, "another driver"))
    go(tiny_model, "bf16")
    frame = Store().read(RUNS).frame
    assert frame.groupby("campaign")["fingerprint"].nunique().max() == 1 and frame["campaign"].nunique() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch is 0; allowed: a whole number from 1"),
        ({"batch": True}, "batch is True"),
        ({"prompt_tokens": -5}, "prompt_tokens is -5"),
        ({"output_tokens": 1.5}, "output_tokens is 1.5"),
        ({"engine": "warp"}, "engine is 'warp'; allowed: one of batched, compiled, eager, llamacpp"),
        ({"time_budget_s": math.nan}, "time_budget_s is nan"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"device": "cuda"}, "device is 'cuda'"),
        ({"device": 3}, "device is 3"),
        ({"store": ""}, "store is ''"),
        ({"batch": []}, r"batch is \[\]; allowed: at least one value"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    tiny_model: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("costlib.models.load.look", lambda device: Gpu(None, "no driver", "no driver"))
    arguments: dict[str, Any] = {"device": "cpu"} | changes
    with pytest.raises(InputError, match=message):
        measure(f"path:{tiny_model}", "bf16", **arguments)
    assert not worker.calls


def test_numbers_of_a_table_are_numbers(worker: FakeWorker, tiny_model: Path) -> None:
    table = pd.DataFrame({"batch": [2, 1], "prompt": [16, 16]})
    rows = go(tiny_model, "bf16", batch=table["batch"], prompt_tokens=table["prompt"].iloc[0], time_budget_s=1)
    assert list(rows["batch"]) == [2, 1] and list(rows["prompt_tokens"]) == [16, 16]


def test_unknown_precision_and_model_are_refused(worker: FakeWorker, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="precision is 'bf61'; allowed: one of bf16"):
        go(tiny_model, "bf61")
    for model in ("gpt", None, 5):
        with pytest.raises(InputError, match=f"model is {model!r}"):
            measure(model)  # type: ignore[arg-type]
    assert not worker.calls


def test_the_newest_campaign_is_the_measurement(tmp_path: Path) -> None:

    store = Store(tmp_path)
    for run, group, time in (("a", "1", 1.0), ("b", "2", 4.0), ("c", "2", 4.0)):
        row = run_row(run_id=run, campaign=group, decode_s=[time])
        store.write(RUNS, pd.DataFrame([row]), run)
    found = measurements(store)
    assert len(found) == 1 and found["tpot_s"].iloc[0] == pytest.approx(0.4) and found["processes"].iloc[0] == 2


def test_two_calls_at_once_each_get_their_own_runs(
    tiny_model: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that starts later into the same store has the newer campaign; the first still answers with its own."""
    others: list[Any] = []

    def other_starts(text: str) -> None:
        if len(worker.calls) == 2 and not others:
            others.append(None)
            others[0] = go(tiny_model, "bf16", time_budget_s=1, fresh=True)

    worker.times["bf16"] = [1.0, 1.0, 9.0, 1.0, 1.0, 1.0]  # the third process is the other call's
    mine = go(tiny_model, "bf16", time_budget_s=45, fresh=True, progress=other_starts).iloc[0]
    assert mine["processes"] == 4 and mine["tpot_s"] == pytest.approx(1 / 63)
    assert mine["campaign"] != others[0].iloc[0]["campaign"]


def test_the_largest_batch_is_a_row_and_is_not_measured_twice(
    tiny_model: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "first_guess", lambda *_: 100)
    worker.fits = 60
    rows = go(tiny_model, "bf16", batch=[1, "max"], time_budget_s=75)
    largest = int(rows["batch"].iloc[1])
    assert 57 <= largest <= 60 and list(rows["largest_batch"]) == [largest, largest]
    assert worker.batches[:-9].count(largest) == 1  # the trial is one of its processes
    assert measurements()["largest_batch"].dropna().unique().tolist() == [largest]
    unknown = go(tiny_model, "nf4", time_budget_s=1).iloc[0]
    assert unknown["largest_batch"] is pd.NA
    assert "not to fit" in json.loads(unknown["reasons"])["largest_batch"]


@pytest.mark.parametrize(
    ("budget", "fits", "found", "ended_early"),
    [
        (120, 60, True, False),
        (45, 60, True, False),
        (45, 10**6, False, False),  # on a CPU the prediction is the limit
        (25, 60, False, True),
        (25, 1, False, True),
        (10, 60, False, True),
    ],
)
def test_the_search_for_the_largest_batch_lies_inside_the_time_budget(
    tiny_model: Path,
    worker: FakeWorker,
    monkeypatch: pytest.MonkeyPatch,
    budget: float,
    fits: int,
    found: bool,
    ended_early: bool,
) -> None:
    """Processes take 10 s, one that does not fit 1 s; search and measurement together keep the budget."""
    monkeypatch.setattr(module, "first_guess", lambda *_: 100)
    worker.fits = fits
    said: list[str] = []
    row = go(tiny_model, "bf16", batch="max", time_budget_s=budget, progress=said.append).iloc[0]
    assert sum(10 if batch <= fits else 1 for batch in worker.batches) <= max(budget, 11)
    assert row["status"] == "ok" and row["batch"] <= fits and row["batch"] in worker.batches
    assert (row["largest_batch"] is not pd.NA) is found
    assert any("ended with its time budget" in text for text in said) is ended_early


def test_a_search_that_fails_is_a_row_and_the_others_go_on(
    tiny_model: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "first_guess", lambda *_: 64)
    worker.endings["nf4"] = Outcome("unsupported", None, "no graph of this step", 1.0)
    rows = go(tiny_model, "nf4", "bf16", batch=["max", 2], time_budget_s=1)
    assert list(zip(rows["batch"], rows["status"], strict=True)) == [
        (64, "unsupported"), (2, "unsupported"), (64, "ok"), (2, "ok")
    ]  # fmt: skip
    assert rows["reason"].iloc[0] == "no graph of this step"


def test_what_does_not_suit_the_models_files_is_a_row_beside_the_others_and_bad_input_alone(
    tiny_model: Path, worker: FakeWorker
) -> None:
    """A GPTQ folder at bf16: only reading the files tells. It is no result, so that the next call asks again."""
    worker.endings["nf4"] = InputError("precision is 'nf4'; allowed: gptq4")
    rows = go(tiny_model, "nf4", "bf16", time_budget_s=1)
    assert list(rows["status"]) == ["unsupported", "ok"] and rows["reason"].iloc[0].endswith("allowed: gptq4")
    assert set(Store().read(RUNS).frame["precision"]) == {"bf16"}
    with pytest.raises(InputError, match="allowed: gptq4"):
        go(tiny_model, "nf4")
    assert worker.calls.count("nf4") == 2


def test_what_ended_a_measurement_is_said(tiny_model: Path, worker: FakeWorker) -> None:
    worker.times = {"bf16": [1.0, 3.0] * 20, "nf4": [1.0, 2.0]}
    assert go(tiny_model, "bf16", time_budget_s=10**6)["stopped_by"].item() == "process limit"

    def fails(text: str) -> None:
        if worker.calls.count("nf4") == 2:
            worker.endings["nf4"] = Outcome("error", None, "crashed", 1.0)

    row = go(tiny_model, "nf4", time_budget_s=10**6, progress=fails).iloc[0]
    assert (row["stopped_by"], row["status"], row["processes"]) == ("a failed process", "ok", 2)
    assert row["reason"] == "1 of 3 processes failed: crashed"


def test_an_empty_store_gives_an_empty_table(tmp_path: Path) -> None:
    assert measurements(tmp_path / "nothing").empty
