from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.models.architectures import architecture, architectures
from costlib.models.memory import fits_on, predict
from costlib.models.precision import PRECISIONS


def test_mem_1_seventy_billion_parameters_qlora_arithmetic() -> None:
    """published.csv mem-1: 141 GB at 16 bit; 39.4 GB NF4 with its quantization state; 36.1 GB double-quantized.

    The published figures leave nothing at 16 bit. Those at 4 bit are of 70.0 billion weights, that at 16 bit of 70.6.
    """
    shape = architecture("llama-3.1-70b")
    sixteen, nf4, double = (predict(shape, name) for name in ("bf16", "nf4", "nf4-double"))
    assert round(sixteen["weight_bytes"] / 1e9) == 141
    per_weight = {
        name: (p["linear_bytes"] + p["quantization_state_bytes"]) / shape.linear_parameters
        for name, p in (("nf4", nf4), ("nf4-double", double))
    }
    assert per_weight["nf4"] * 70.0 == pytest.approx(39.4, abs=0.05)  # 4.5 bits per weight
    assert per_weight["nf4-double"] * 70.0 == pytest.approx(36.1, abs=0.05)  # 4.127 bits per weight
    assert nf4["linear_bytes"] / 1e9 == pytest.approx(34.2, abs=0.1)
    assert nf4["embedding_bytes"] == 2 * 128256 * 8192 * 2


def test_the_headline_140_gb_at_sixteen_bit_35_gb_at_four() -> None:
    """70.6 billion weights: every figure can be read off the parts of the prediction."""
    shape = architecture("llama-3.1-70b")
    assert predict(shape, "bf16")["weight_bytes"] / 1e9 == pytest.approx(141.1, abs=0.05)
    nf4, double = predict(shape, "nf4"), predict(shape, "nf4-double")
    assert nf4["uniform_bytes"] == double["uniform_bytes"] == shape.total_parameters // 2
    assert nf4["uniform_bytes"] / 1e9 == pytest.approx(35.3, abs=0.05)  # every weight at exactly 4 bits
    assert nf4["uniform_with_state_bytes"] / 1e9 == pytest.approx(39.7, abs=0.05)  # 39.4 for 70.0 billion weights
    assert double["uniform_with_state_bytes"] / 1e9 == pytest.approx(36.4, abs=0.05)  # 36.1 for 70.0 billion weights
    assert predict(shape, "bf16")["uniform_with_state_bytes"] == predict(shape, "bf16")["weight_bytes"]
    assert (nf4["linear_bytes"] + nf4["quantization_state_bytes"]) / 1e9 == pytest.approx(38.5, abs=0.05)
    assert nf4["weight_bytes"] / 1e9 == pytest.approx(42.7, abs=0.05)  # embeddings and head stay at 16 bit
    assert double["weight_bytes"] / 1e9 == pytest.approx(39.5, abs=0.05)


def test_deepseek_v3_of_its_public_config() -> None:
    """671.03 billion parameters; one latent of 512 + 64 per token and layer: 70,272 bytes at 16 bit."""
    shape = architecture("deepseek-v3")
    assert shape.total_parameters == 671_026_419_200 and shape.other_parameters < 2_000_000
    assert shape.kv_cache_bytes(1000, 2) == 61 * 576 * 2 * 1000 * 2
    assert predict(shape, "bf16")["weight_bytes"] == 2 * 671_026_419_200


def test_experts_stay_at_sixteen_bit_where_the_library_leaves_them() -> None:
    shape = architecture("mixtral-8x7b")
    nf4 = predict(shape, "nf4")
    assert nf4["expert_bytes"] == 2 * 8 * 32 * 3 * 4096 * 14336 > 0.9 * nf4["weight_bytes"]
    assert (
        predict(shape, "gptq4")["expert_bytes"]
        == 0
        == predict(shape, "bf16")["linear_bytes"] - 2 * (shape.linear_parameters)
    )


def test_a_mix_of_block_types_is_no_prediction_for_a_shape() -> None:
    with pytest.raises(InputError, match="precision is 'gguf-q4_k_m'; allowed: a pure type for a shape"):
        predict(architecture("llama-3.1-8b"), "gguf-q4_k_m")
    assert predict(architecture("llama-3.1-8b"), "gguf-q8_0")["weight_bytes"] / 8.03e9 == pytest.approx(
        8.5 / 8, abs=0.01
    )


MIXES = ("gguf-q5_k_m", "gguf-q5_k_s", "gguf-q4_k_m", "gguf-q4_k_s", "gguf-q3_k_m", "gguf-q3_k_s", "gguf-q2_k")


@given(
    name=st.sampled_from(sorted(architectures())),
    held=st.sampled_from(sorted(set(PRECISIONS) - set(MIXES))),
    batch=st.integers(1, 512),
    context=st.integers(1, 200_000),
)
def test_parts_are_positive_and_add_up(name: str, held: str, batch: int, context: int) -> None:
    found = predict(architecture(name), held, batch, context)
    parts = found["linear_bytes"] + found["quantization_state_bytes"] + found["embedding_bytes"] + found["other_bytes"]
    parts += found["expert_bytes"]
    assert found["weight_bytes"] == parts > 0
    assert found["total_bytes"] == parts + found["kv_cache_bytes"]
    assert min(found["quantization_state_bytes"], found["kv_cache_bytes"]) >= 0
    assert found["weight_bytes"] <= predict(architecture(name), "fp32")["weight_bytes"]


def test_what_fits_is_listed_smallest_first() -> None:
    found = predict(architecture("llama-3.1-70b"), "nf4", 1, 4096)
    gib = 1024**3
    assert fits_on(found, {"big": 141 * gib, "small": 24 * gib, "middle": 48 * gib}) == ["middle", "big"]


def test_what_fits_leaves_room_for_the_context_and_its_activations() -> None:
    """Weights of 40.57 GB in 42.95 GB leave none beside the CUDA context; an empty board would hold them."""
    import costlib as cl

    row = cl.memory("llama-3.1-70b", "int4wo", context=1).iloc[0]
    assert row["total_bytes"] < 40 * 1024**3 and "A100 40GB" not in row["fits_on"] and "L40S" in row["fits_on"]
    short, long = (cl.memory("llama-3.1-8b", "bf16", batch=8, context=tokens).iloc[0] for tokens in (128, 32_768))
    layer = 2 * (6 * 4096 + 2 * (32 + 2 * 8) * 128 + 4 * 14336)  # as in the first guess of a batch
    assert short["activation_bytes"] == layer * 128 + 2 * 2 * 128256
    assert short["total_bytes"] == short["weight_bytes"] + short["kv_cache_bytes"]
    assert "L4" in short["fits_on"] and "L4" not in long["fits_on"]


@pytest.mark.parametrize("batch", [0, -1, True, 1.5, 10**13])
def test_a_bad_batch_is_refused(batch: object) -> None:
    with pytest.raises(InputError, match=r"batch is .*; allowed: a whole number from 1"):
        predict(architecture("llama-3.1-8b"), "bf16", batch)  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match=r"precision is 'int7'; allowed: one of .*int8"):
        predict(architecture("llama-3.1-8b"), "int7")


def test_the_door_takes_numbers_of_a_table_and_refuses_what_is_none() -> None:
    import numpy as np

    import costlib

    assert costlib.memory("llama-3.1-8b", "nf4", context=np.int64(4))["context"].item() == 4
    for model, held, message in ((None, "nf4", "shape is 'None'"), ("llama-3.1-8b", None, r"precision is \[\]")):
        with pytest.raises(InputError, match=message):
            costlib.memory(model, held)  # type: ignore[arg-type]
