"""The card of a measurement: number, interval or the reason for none, ceiling, what flatters it and what to do next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from samples import run_row, runs_frame

from costlib.measure.summarise import summarise
from costlib.tables import MEASUREMENTS

CEILINGS: dict[str, Any] = {
    "ceiling_bytes_per_s": 1000.0, "ceiling_flops_per_s": 10_000.0, "decode_bytes": 100.0, "decode_flops": 100.0,
    "prefill_bytes": 100.0, "prefill_flops": 2000.0, "spec_bytes_per_s": 20_000.0, "spec_flops_per_s": 20_000.0,
}  # fmt: skip
Lines = Callable[..., dict[str, str]]


@pytest.fixture
def lines(costlib: Any, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Label and text of each line of the card of `costlib measure`; several of one label are joined."""

    def card(*runs: dict[str, Any], largest: int | None = None, code: int = 0) -> dict[str, str]:
        frame = runs_frame(*(run_row(run_id=str(i), **run) for i, run in enumerate(runs)))
        rows = MEASUREMENTS.of([summarise(frame, largest)])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr("costlib.measure.run.measure", lambda *_, **__: rows)
        done, out, _ = costlib("measure", "demo:gemma-3-270m")
        assert done == code
        found: dict[str, str] = {}
        for label, text in re.findall(r"^(?:│ (?P<label>.*?) +│ +| {2}(?=\w))(.*?)(?: │)?$", out, re.M):
            name, _, said = (label, "", text) if label else text.partition(": ")
            found[name.strip()] = "; ".join(filter(None, (found.get(name.strip()), said)))
        return found

    return card


def test_the_number_stands_beside_its_interval_both_ceilings_and_its_bound(lines: Lines) -> None:
    """Ten steps of two sequences in 2 s: 10 tokens/s, 500 bytes/s of 1,000 measured and of 20,000 quoted."""
    found = lines(CEILINGS, CEILINGS | {"decode_s": [2.2]}, largest=48)
    assert found["Writing speed, tokens/s"].startswith("9.53 [")
    assert found["of bandwidth measured here"] == "47.7%" and found["of the data sheet's"] == "2.38%"
    assert found["bound by"] == "bandwidth" and found["of each sequence, tokens/s"].startswith("4.77 [")
    assert found["Largest batch, sequences"] == "48" and "note" not in found and "next" in found


def test_what_has_no_interval_or_no_ceiling_says_why(lines: Lines) -> None:
    reason = "the weights fit into the CPU's cache"
    found = lines({"ceiling_reason": reason, "batch": 1})
    assert found["note"] == f"one process: an interval needs at least 2; {reason}"
    assert (found["Processes"], found["Samples"], found["Stopped by"]) == ("1", "1", "time budget")
    assert "weights in the CPU's cache" in found["flattered by"] and "batch 1" in found["flattered by"]


def test_disturbed_samples_are_counted_and_said_to_be_in(lines: Lines) -> None:
    busy = "other processes used the CPU: 20%"
    some = {"ttft_s": [0.5, 0.5], "decode_s": [2.0, 9.0], "flags": ["", busy]}
    found = lines(some, some)
    assert (found["Samples"], found["Flagged samples, iterations"]) == ("2", "2")
    found = lines({"flags": [busy]}, {"flags": [busy]})
    assert found["Flagged samples, iterations"] == "2" and "machine was busy" in found["note"]
    assert "close other programs" in found["next"]


def test_a_process_that_failed_among_others_is_a_note(lines: Lines) -> None:
    failed = {"status": "error", "reason": "crashed", "ttft_s": None, "decode_s": None, "flags": None}
    found = lines({}, {}, failed)
    assert "1 of 3 processes failed: crashed" in found["note"] and found["Stopped by"] == "a failed process"


def test_a_failed_configuration_is_its_reason(lines: Lines) -> None:
    found = lines({"status": "oom", "reason": "did not fit", "ttft_s": None, "decode_s": None, "flags": None}, code=1)
    assert found["Status"] == "oom" and found["note"] == "did not fit"


def test_a_gpu_s_power_limit_and_a_missing_bf16_are_said(lines: Lines) -> None:
    """A power cap is a board's normal state: its limit and share of samples are reported, and nothing is dropped."""
    gpu = {"device_kind": "cuda", "gpu": {"name": "Tesla T4", "power_limit_w": 70.0}, "native_16_bit": "fp16"}
    run = CEILINGS | {"environment": json.dumps(gpu), "power_limit_w": 70.0}
    found = lines(run | {"power_capped_share": 0.5}, run | {"power_capped_share": 1.0, "decode_s": [2.2]})
    assert "a power limit of 70 W, which held the clocks in 75% of the samples" in found["flattered by"]
    assert "this GPU has no bf16, so 16-bit means fp16" in found["note"]


def test_a_gpu_that_could_not_be_used_is_said(lines: Lines) -> None:
    why = "Tesla T4 is here, but its driver (550) is of CUDA 12.4 and this torch needs 13.0"
    found = lines(CEILINGS | {"environment": json.dumps({"device_kind": "cpu", "gpu_unused": why})}, CEILINGS)
    assert why not in found.get("note", "")  # the newest process is what the row's environment is of
    found = lines(CEILINGS, CEILINGS | {"environment": json.dumps({"device_kind": "cpu", "gpu_unused": why})})
    assert f"measured on the CPU: {why}" in found["note"]


def test_a_peak_that_loading_hides_says_so(lines: Lines) -> None:
    hidden = json.dumps({"process_peak_bytes": "loading"})
    found = lines(CEILINGS | {"process_peak_bytes": None, "memory_reasons": hidden})
    assert found["Peak unknown"].startswith("it lies below the peak of loading")
