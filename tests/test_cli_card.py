"""The card of a measurement: number, interval or the reason for none, ceiling, what flatters it."""

from __future__ import annotations

import json
from typing import Any

from samples import run_row, runs_frame

from costlib.cli.card import card
from costlib.measure.summarise import summarise
from costlib.tables import MEASUREMENTS

CEILINGS: dict[str, Any] = {
    "ceiling_bytes_per_s": 1000.0, "ceiling_flops_per_s": 10_000.0, "decode_bytes": 100.0, "decode_flops": 100.0,
    "prefill_bytes": 100.0, "prefill_flops": 2000.0, "spec_bytes_per_s": 20_000.0, "spec_flops_per_s": 20_000.0,
}  # fmt: skip


def lines(*runs: dict[str, Any], largest: int | None = None) -> dict[str, str]:
    """Label and text of each line of a card; several of one label are joined."""
    frame = runs_frame(*(run_row(run_id=str(i), **run) for i, run in enumerate(runs)))
    row = MEASUREMENTS.of([summarise(frame, largest)]).iloc[0].to_dict()
    found: dict[str, str] = {}
    for text in card({str(key): value for key, value in row.items()})[1:]:
        label = text[2:20].strip()
        found[label] = "; ".join(filter(None, (found.get(label), text[20:])))
    return found


def test_the_number_stands_beside_its_interval_both_ceilings_and_its_bound() -> None:
    """Ten steps of two sequences in 2 s: 10 tokens/s, 500 bytes/s of 1,000 measured and of 20,000 quoted."""
    found = lines(CEILINGS, CEILINGS | {"decode_s": [2.2]}, largest=48)
    assert found["decode"].startswith("9.53 tokens/s [") and "48% of the bandwidth measured here" in found["decode"]
    assert found["decode"].endswith("and 2.4% of the data sheet's (bandwidth bound)")
    assert found["of each sequence"].startswith("4.77 tokens/s [")
    assert found["largest batch"] == "48 sequences" and "interval" not in found and "ceiling" not in found


def test_what_has_no_interval_or_no_ceiling_says_why() -> None:
    reason = "the weights fit into the CPU's cache"
    found = lines({"ceiling_reason": reason, "batch": 1})
    assert found["interval"] == "one process: an interval needs at least 2" and found["ceiling"] == f"unknown: {reason}"
    assert found["sure because"] == "1 process, 1 sample, stopped by time budget"
    assert "weights in the CPU's cache" in found["flattered by"] and "batch 1" in found["flattered by"]
    assert "of each sequence" not in found and "largest batch" not in found
    assert "prefill" in found and "prefill (eager)" in lines({"engine": "compiled"})


def test_disturbed_samples_are_said_to_be_out_or_in() -> None:
    busy = "other processes used the CPU: 20%"
    some = {"ttft_s": [0.5, 0.5], "decode_s": [2.0, 9.0], "flags": ["", busy]}
    assert "2 samples, 2 disturbed and left out" in lines(some, some)["sure because"]
    found = lines({"flags": [busy]}, {"flags": [busy]})
    assert "2 samples, 2 disturbed and left in" in found["sure because"] and "machine was busy" in found["interval"]
    assert "close other programs" in found["next"]


def test_a_process_that_failed_among_others_is_a_note() -> None:
    failed = {"status": "error", "reason": "crashed", "ttft_s": None, "decode_s": None, "flags": None}
    found = lines({}, {}, failed)
    assert (
        found["note"] == "1 of 3 processes failed: crashed" and "stopped by a failed process" in found["sure because"]
    )


def test_a_failed_configuration_is_its_reason() -> None:
    frame = runs_frame(run_row(status="oom", reason="did not fit", ttft_s=None, decode_s=None, flags=None))
    assert card(summarise(frame)) == ["bf16 eager, batch 2, 100 + 11 tokens: oom", "  did not fit"]


def test_a_gpu_s_power_limit_and_a_missing_bf16_are_said() -> None:
    """A power cap is a board's normal state: its limit and share of samples are reported, and nothing is dropped."""
    gpu = {"device_kind": "cuda", "gpu": {"name": "Tesla T4", "power_limit_w": 70.0}, "native_16_bit": "fp16"}
    run = CEILINGS | {"environment": json.dumps(gpu), "power_limit_w": 70.0}
    found = lines(run | {"power_capped_share": 0.5}, run | {"power_capped_share": 1.0, "decode_s": [2.2]})
    assert "a power limit of 70 W, which held the clocks in 75% of the samples" in found["flattered by"]
    assert "this GPU has no bf16, so 16-bit means fp16" in found["note"] and "disturbed" not in found["sure because"]


def test_a_gpu_that_could_not_be_used_is_said() -> None:
    why = "Tesla T4 is here, but its driver (550) is of CUDA 12.4 and this torch needs 13.0"
    found = lines(CEILINGS | {"environment": json.dumps({"device_kind": "cpu", "gpu_unused": why})}, CEILINGS)
    assert "note" not in found  # the newest process is what the row's environment is of
    found = lines(CEILINGS, CEILINGS | {"environment": json.dumps({"device_kind": "cpu", "gpu_unused": why})})
    assert found["note"] == f"measured on the CPU: {why}"


def test_a_peak_that_loading_hides_says_so() -> None:
    hidden = json.dumps({"process_peak_bytes": "loading"})
    found = lines(CEILINGS | {"process_peak_bytes": None, "memory_reasons": hidden})
    assert found["peak"].startswith("unknown: it lies below the peak of loading")
