from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.models.architectures import architecture, architectures
from costlib.models.memory import predict
from costlib.models.precision import PRECISIONS


def test_mem_1_seventy_billion_parameters_qlora_arithmetic() -> None:
    """published.csv mem-1: 141 GB at 16 bit; 39.4 GB NF4 with its quantization state; 36.1 GB double-quantized.

    The published 4-bit figures count every weight at 4 bit; embeddings and head stay at 16 bit here and add about 3 GB.
    """
    shape = architecture("llama-3.1-70b")
    sixteen, nf4, double = (predict(shape, name) for name in ("bf16", "nf4", "nf4-double"))
    assert round(sixteen.weight_bytes / 1e9) == 141
    per_weight = {
        name: (p.linear_bytes + p.quantization_state_bytes) / shape.linear_parameters
        for name, p in (("nf4", nf4), ("nf4-double", double))
    }
    assert per_weight["nf4"] * 70.6 == pytest.approx(39.7, abs=0.1)  # 4.5 bits; the source rounds 39.4
    assert per_weight["nf4-double"] * 70.6 == pytest.approx(36.4, abs=0.1)  # 4.127 bits; the source rounds 36.1
    assert nf4.linear_bytes / 1e9 == pytest.approx(34.2, abs=0.1)
    assert nf4.embedding_bytes == 2 * 128256 * 8192 * 2


@given(
    name=st.sampled_from(sorted(architectures())),
    held=st.sampled_from(sorted(PRECISIONS)),
    batch=st.integers(1, 512),
    context=st.integers(1, 200_000),
)
def test_parts_are_positive_and_add_up(name: str, held: str, batch: int, context: int) -> None:
    found = predict(architecture(name), held, batch, context)
    parts = found.linear_bytes + found.quantization_state_bytes + found.embedding_bytes + found.other_bytes
    assert found.weight_bytes == parts > 0
    assert found.total_bytes == parts + found.kv_cache_bytes
    assert min(found.quantization_state_bytes, found.kv_cache_bytes) >= 0
    assert found.weight_bytes <= predict(architecture(name), "fp32").weight_bytes


def test_what_fits_is_listed_smallest_first() -> None:
    found = predict(architecture("llama-3.1-70b"), "nf4", 1, 4096)
    gib = 1024**3
    assert found.fits_on({"big": 141 * gib, "small": 24 * gib, "middle": 48 * gib}) == ["middle", "big"]


@pytest.mark.parametrize("batch", [0, -1, True, 1.5, 10**13])
def test_a_bad_batch_is_refused(batch: object) -> None:
    with pytest.raises(InputError, match=r"batch is .*; allowed: a whole number from 1"):
        predict(architecture("llama-3.1-8b"), "bf16", batch)  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision is 'int7'; allowed: one of bf16, fp16, fp32, fp4, int8"):
        predict(architecture("llama-3.1-8b"), "int7")
