"""Bytes and FLOPs by hand, ceilings of this machine, and what a row says about its bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import run_row, runs_frame

from costlib.devices import data_sheet, data_sheets
from costlib.measure import roofline
from costlib.measure.device import Device
from costlib.measure.roofline import bound_of, cache_reason, limits_of, measure_ceilings, work_of
from costlib.measure.run import bisect_largest, first_guess
from costlib.measure.summarise import summarise
from costlib.models.architectures import architecture
from costlib.models.memory import activation_bytes
from costlib.models.precision import precision
from costlib.tables import MEASUREMENTS


def test_a_decode_step_of_llama_8b_by_hand() -> None:
    """16 bit, batch 1: all weights but the input embedding; two FLOPs a weight; 4 * layers * heads * size a token."""
    shape = architecture("llama-3.1-8b")
    weights, table = 2 * shape.total_parameters, 128256 * 4096
    work = work_of(shape, weights, 2, 1, 100, 100)
    contexts = [100 + step for step in range(1, 100)]  # 99 steps after the first token
    mean = sum(contexts) / len(contexts)
    assert work["decode_bytes"] == weights - 2 * table + 2 * 32 * 8 * 128 * 2 * mean
    assert work["decode_flops"] == 2 * (shape.linear_parameters + table) + 4 * 32 * 32 * 128 * mean
    assert work["prefill_bytes"] == weights - 2 * table
    assert work["prefill_flops"] == pytest.approx(
        100 * (2 * shape.linear_parameters + 4 * 32 * 32 * 128 * 50) + 2 * table
    )


def test_the_published_bandwidth_of_gpt_fast_is_reproduced() -> None:
    """published_speeds.csv: Llama 2 7B bf16 at 104.9 tokens/s moves 1397 GB/s, 68.5 % of an A100's 2.039 TB/s."""
    shape = architecture("llama-2-7b")
    work = work_of(shape, 2 * shape.total_parameters, 2, 1, 5, 200)
    moved = work["decode_bytes"] * 104.9
    assert moved / 1e9 == pytest.approx(1397, rel=0.03)
    assert moved / data_sheets()["A100 SXM 80GB"].bandwidth_bytes_per_s == pytest.approx(0.685, abs=0.02)


def test_a_mixture_reads_the_experts_its_tokens_choose() -> None:
    shape = architecture("mixtral-8x7b")
    weights = 2 * shape.total_parameters
    one, many = (
        work_of(shape, weights, 2, batch, 100, 100)["decode_bytes"] - shape.kv_cache_bytes(150, batch)
        for batch in (1, 512)
    )
    experts = 2 * 32 * 8 * 3 * 4096 * 14336
    assert one == pytest.approx(weights - 2 * 32000 * 4096 - 0.75 * experts)
    assert many == pytest.approx(weights - 2 * 32000 * 4096)


def test_a_tied_head_is_read_whole() -> None:
    shape = architecture("gemma-3-270m")
    assert work_of(shape, 10**9, 2, 1, 10, 10)["decode_bytes"] == 10**9 + shape.kv_cache_bytes(15, 1)


def test_a_sliding_layer_attends_to_its_window_only() -> None:
    """Gemma 3 270M: 15 of 18 layers see 512 tokens, 3 see all; counted token by token."""
    shape = architecture("gemma-3-270m")
    work = work_of(shape, 0, 2, 1, 2000, 2)
    each, linear = 4 * 4 * 256, 2 * shape.linear_parameters
    assert work["decode_bytes"] == 2 * 1 * 256 * 2 * (3 * 2001 + 15 * 512)
    head = 2 * 262144 * 640
    assert work["decode_flops"] == linear + head + each * (3 * 2001 + 15 * 512)
    causal = sum(3 * (i + 0.5) + 15 * min(i + 0.5, 512) for i in range(2000))
    assert work["prefill_flops"] == pytest.approx(2000 * linear + head + each * causal, rel=1e-6)


@pytest.mark.parametrize(
    ("mbu", "mfu", "host", "bound"),
    [(0.8, 0.1, 0.2, "bandwidth"), (0.2, 0.7, 0.2, "compute"), (0.5, 0.1, 0.95, "host"), (0.1, 0.1, None, "host"),
     (0.6, 0.1, None, "bandwidth"), (None, None, None, None), (None, None, 0.99, "host")],
)  # fmt: skip
def test_what_bounds_a_step(mbu: float | None, mfu: float | None, host: float | None, bound: str | None) -> None:
    assert bound_of(mbu, mfu, host) == bound


SHAPES = [(128, 64), (64, 128)]


def test_ceilings_of_this_machine_are_measured_once_for_each_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs x inputs at one token and at the prompt; what is known is not measured again."""
    monkeypatch.setattr(roofline, "_BUFFER_BYTES", 16 * 1024**2)
    found = measure_ceilings(Device(), SHAPES, (1, 16), ["fp32"], {})
    moved, product = found["bytes"], found["fp32"]
    assert moved is not None and 1e8 < moved[0] < 1e13
    assert product is not None and 1e7 < product[0] < 1e15 and product[1].startswith("fp32, ")
    assert measure_ceilings(Device(), SHAPES, (1, 16), ["fp32"], json.loads(json.dumps(found))) == found


@pytest.mark.parametrize(
    ("held", "compute", "flops", "product"),
    [("int8", "bf16", 4e12, "integers"), ("nf4", "bf16", 1e12, "halves"), ("nf4", "fp32", None, None)],
)
def test_the_fastest_product_that_the_kernels_may_use_is_the_ceiling(
    held: str, compute: str, flops: float | None, product: str | None
) -> None:
    """LLM.int8 multiplies integers, so the product of its 16-bit rest does not bound it."""
    import transformers

    known = {"bytes": [1e9, "copy"], "bf16": [1e12, "halves"], "int8": [4e12, "integers"], "fp32": None}
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(
            hidden_size=8, intermediate_size=8, num_attention_heads=1, num_hidden_layers=1, vocab_size=8
        )
    )
    given = (model, "m", precision(held), lambda shape: {}, {"compute_dtype": compute, "weight_bytes": 10**12})
    late = limits_of(*given, Device(), (1,), {}, 0.5)
    assert late == {"ceiling_reason": "the time budget ended before the device's ceilings were measured"}
    found = limits_of(*given, Device(), (1,), known, 0.5)
    assert (found["ceiling_flops_per_s"], found["ceiling_product"]) == (flops, product)
    assert found["ceiling_bytes_per_s"] == 1e9 and found["ceilings"] == known


def test_ceilings_are_measured_on_numbers_like_those_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU multiplies constant numbers faster, because it draws less power."""
    import torch

    seen: list[float] = []
    plain = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda a, b: seen.append(float(b.std())) or plain(a, b))
    roofline._product(Device(), SHAPES, (1, 4), "fp32")
    assert seen and 0.8 < min(seen) <= max(seen) < 1.2


def test_a_product_that_would_not_end_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for each call of the smallest size: nothing larger is begun, and no call is made twice."""
    clock, calls = [0.0], []
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: clock[0])

    def slow(vectors: Any, weight: Any) -> None:
        calls.append((len(vectors), *weight.shape))
        clock[0] += 1.0

    monkeypatch.setattr("torch.nn.functional.linear", slow)
    found = roofline._product(Device(), SHAPES, (1, 128), "bf16")
    assert calls == [(1, 64, 128)] and found == [2 * 64 * 128, "bf16, 1 x 128 by 128 x 64"]


def test_a_gpu_is_timed_over_many_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launching and waiting take tens of microseconds; so a region of short calls holds many."""
    clock, calls = [0.0], []
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: clock[0])

    def quick() -> None:
        calls.append(1)
        clock[0] += 1e-4

    assert roofline._best(Device(), quick, 1.0) == pytest.approx(1e-4)
    assert len(calls) in (1 + 5 * 49, 1 + 5 * 50)


def test_weights_that_fit_the_cache_have_no_ceiling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for index, size in (("index0", "48K"), ("index3", "480M")):
        (tmp_path / index).mkdir()
        (tmp_path / index / "size").write_text(f"{size}\n")
    assert roofline.cache_bytes(tmp_path) == 480 * 1024**2 and roofline.cache_bytes(tmp_path / "none") is None
    monkeypatch.setattr(roofline, "_CACHES", tmp_path)
    assert cache_reason("cuda", 1) is None and cache_reason("cpu", 536 * 10**6) is None
    assert cache_reason("cpu", 392 * 10**6) == "the weights fit into the CPU's cache"
    monkeypatch.setattr(roofline, "_CACHES", tmp_path / "none")
    assert cache_reason("cpu", 10**12) == "the size of the CPU's cache is unknown"


@pytest.mark.skipif(not Path("/sys/devices/system/cpu/cpu0/cache/index0/size").exists(), reason="no sizes in sysfs")
def test_the_cache_of_this_machine_is_found() -> None:
    found = roofline.cache_bytes()
    assert found is not None and 10_000 < found < 10**11


_CEILINGS: dict[str, Any] = {
    "ceiling_bytes_per_s": 1000.0, "ceiling_flops_per_s": 10_000.0, "decode_bytes": 100.0, "decode_flops": 100.0,
    "prefill_bytes": 100.0, "prefill_flops": 2000.0, "spec_bytes_per_s": 2000.0, "spec_flops_per_s": 20_000.0,
}  # fmt: skip


def test_a_row_tells_its_shares_and_its_bound() -> None:
    """0.2 s a token moves 500 bytes/s; the prefill of 0.5 s does 4,000 FLOP/s."""
    row = summarise(runs_frame(*(run_row(run_id=i, **_CEILINGS) for i in "ab")))
    assert (row["mbu"], row["mbu_spec"], row["mfu"]) == pytest.approx((0.5, 0.25, 0.05))
    assert (row["prefill_mfu"], row["prefill_mbu"]) == pytest.approx((0.4, 0.2))
    assert (row["bound"], row["prefill_bound"], row["status"]) == ("bandwidth", "compute", "ok")


@pytest.mark.parametrize(("above", "status"), [(1.0, "ok"), (1.019, "ok"), (1.03, "invalid")])
def test_a_row_above_its_ceiling_is_invalid(above: float, status: str) -> None:
    changes = {**_CEILINGS, "decode_bytes": 200.0 * above}
    row = summarise(runs_frame(*(run_row(run_id=i, **changes) for i in "ab")))
    assert row["status"] == status
    if status == "invalid":
        assert row["reason"] == "mbu is 1.03: more than the device can do, so the measurement cannot be right"
    cached = summarise(runs_frame(*(run_row(run_id=i, **changes, ceiling_reason="in the cache") for i in "ab")))
    assert cached["status"] == "ok" and "mbu" not in cached


def test_a_product_only_explains_and_a_data_sheet_is_a_limit() -> None:
    """2,000 FLOP in 0.2 s beside a product of 5,000 FLOP/s: a note. Beside a data sheet that allows half: invalid."""
    changes = {**_CEILINGS, "decode_flops": 2000.0, "ceiling_flops_per_s": 5000.0}
    row = summarise(runs_frame(*(run_row(run_id=i, **changes) for i in "ab")))
    assert (row["status"], row["mfu"]) == ("ok", pytest.approx(2.0))
    assert row["ceiling_note"].startswith("mfu is 2.00: faster than what was measured as the ceiling")
    for sheet in ({"spec_bytes_per_s": 250.0}, {"spec_flops_per_s": 5000.0}):
        limited = summarise(runs_frame(*(run_row(run_id=i, **changes | sheet) for i in "ab")))
        assert limited["status"] == "invalid" and "_spec is 2.00" in limited["reason"]
        known = summarise(runs_frame(*(run_row(run_id=i, **changes | sheet, ceiling_reason="no time") for i in "ab")))
        assert known["status"] == "invalid"
    integers = {**changes, "spec_flops_per_s": 5000.0, "precision": "int8"}  # its kernels multiply faster than 16 bit
    assert summarise(runs_frame(*(run_row(run_id=i, **integers) for i in "ab")))["status"] == "ok"


def test_every_unknown_number_of_an_ok_row_has_a_reason() -> None:
    for changes in ({}, _CEILINGS, {"output_tokens": 1, "decode_s": [0.0]}, {"engine": "batched"}):
        rows = [run_row(run_id=i, energy_reason="no counter", memory_reasons='{"process_peak_bytes": "mig"}', **changes)
                for i in "a"]  # fmt: skip
        row = summarise(runs_frame(*rows))
        frame = MEASUREMENTS.validate(__import__("pandas").DataFrame([row])).iloc[0]
        reasons = json.loads(frame["reasons"])
        for column in MEASUREMENTS.columns:
            if column.type in ("number", "integer") and __import__("pandas").isna(frame[column.name]):
                assert reasons.get(column.name), (changes, column.name)


def test_data_sheets_are_found_by_the_drivers_name() -> None:
    found = data_sheet("NVIDIA H100 80GB HBM3")
    assert found is not None and found.bandwidth_bytes_per_s == 3.35e12 and found.source
    card = data_sheet("NVIDIA GeForce RTX 4090")
    assert card is not None and card.dense_16bit_flops_per_s == 165e12
    assert data_sheet("CPU, 2 cores (x)") is None and data_sheet("NVIDIA GeForce RTX 4090 Laptop GPU") is None


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(1, 6000))
def test_bisection_finds_the_largest_within_five_percent(largest: int, guess: int, most: int) -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= largest

    found = bisect_largest(fits, guess, most)
    assert len(tried) == len(set(tried)) <= 40 and max(tried) <= most
    if largest == 0:
        assert found is None
    else:
        assert found is not None and found <= min(largest, most)
        assert min(largest, most) - found <= max(1, 0.05 * min(largest, most) + 1)


def test_the_first_guess_fills_the_memory_with_cache_and_activations() -> None:
    """Llama 3.1 8B at 16 bit: 131,072 bytes of cache a token; a layer's tensors of each prompt token beside it."""
    guess = first_guess("random:llama-3.1-8b", "bf16", 4000, 96, 80 * 10**9)
    layer = 2 * (6 * 4096 + 2 * (32 + 2 * 8) * 128 + 4 * 14336)
    assert activation_bytes(architecture("llama-3.1-8b"), 4000, 2) == layer * 4000 + 2 * 2 * 128256
    assert guess == int((0.8 * 80e9 - 2 * 8_030_261_248) // (131_072 * 4096 + layer * 4000 + 4 * 128256))
    assert first_guess("random:llama-3.1-70b", "bf16", 100, 10, 80 * 10**9) == 1
    assert first_guess("random:all-minilm-l6-v2", "bf16", 100, 10, 10**9) > 100
