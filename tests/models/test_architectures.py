from __future__ import annotations

from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.models.architectures import ENCODERS, KNOWN, architecture, architectures, from_config
from costlib.models.reference import parse


@pytest.mark.parametrize("name", sorted(architectures()))
def test_parts_add_up_to_the_checked_parameter_count(name: str) -> None:
    """`parameters` of data/architectures.csv came from building each model on the meta device."""
    shape = architectures()[name]
    assert shape.total_parameters == shape.parameters
    assert shape.other_parameters < 0.02 * shape.total_parameters


@pytest.mark.parametrize(
    ("name", "published_billions"),
    [("llama-2-7b", 6.74), ("gemma-2-27b", 27.23), ("qwen2.5-72b", 72.71), ("phi-3-mini", 3.82)],
)
def test_published_parameter_counts(name: str, published_billions: float) -> None:
    assert round(architecture(name).total_parameters / 1e9, 2) == published_billions


def test_kv_cache_of_llama_70b_by_hand() -> None:
    """2 * 80 layers * 8 heads * 128 * 2 bytes = 327,680 bytes per token."""
    assert architecture("llama-3.1-70b").kv_cache_bytes(1000, 3) == 327_680 * 1000 * 3


def test_sliding_layers_count_only_their_window() -> None:
    """Gemma 3 270M: 15 of 18 layers keep 512 tokens; 2 * 1 head * 256 * 2 bytes = 1,024 per layer and token."""
    shape = architecture("gemma-3-270m")
    assert (shape.sliding_layers, shape.layers, shape.sliding_window) == (15, 18, 512)
    assert shape.kv_cache_bytes(2000, 1) == 1024 * (3 * 2000 + 15 * 512)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b", "gemma-2-2b", "gemma-3-270m", "phi-3-mini", "qwen2.5-7b"])
def test_a_shape_from_a_config_counts_the_same(name: str, tmp_path: Path) -> None:
    """Without a published count the norms and biases are counted from the shape; transformers is the judge."""
    import torch
    import transformers

    shape = architecture(name)
    config = transformers.AutoConfig.for_model(
        shape.model_type,
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        sliding_window=shape.sliding_window,
        pad_token_id=0,
    )
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert from_config(config.to_dict(), name).total_parameters == counted == shape.parameters


def test_the_text_part_of_a_multimodal_model_has_the_models_name_too() -> None:
    assert architecture("gemma-3-27b") is architecture("gemma-3-27b (text)")
    assert parse("random:gemma-3-12b").name == "gemma-3-12b" and architecture("gemma-3-4b").parameters == 3880263168


def test_an_unknown_shape_suggests_near_ones() -> None:
    with pytest.raises(InputError, match=r"architecture is 'llama-3.2-8b'; allowed: one of .*llama-3\.1-8b"):
        architecture("llama-3.2-8b")


SIZES = {
    "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 3000, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(set(KNOWN) - {"deepseek_v3"}))
def test_every_kind_of_model_costlib_knows_is_counted_right(kind: str) -> None:
    import torch
    import transformers

    encoder = kind in ENCODERS
    sizes = SIZES | ({} if not encoder else {"num_key_value_heads": 8})
    config = transformers.AutoConfig.for_model(kind, **sizes)
    with torch.device("meta"):
        model = (transformers.AutoModel if encoder else transformers.AutoModelForCausalLM).from_config(config)
    found = from_config(config.to_dict(), kind)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert found.total_parameters == pytest.approx(counted, rel=0 if encoder else 0.002)
    assert (found.kv_cache_bytes(10, 1) == 0) == encoder


@pytest.mark.parametrize("kind", ["gpt_neox", "phi", "starcoder2", "modernbert", "qwen2_moe", None])
def test_a_kind_without_arithmetic_is_refused_not_guessed(kind: str | None) -> None:
    """With Llama's three matrices in a block of two, its weights would be predicted 19 % too large."""
    with pytest.raises(InputError, match=rf"model type is '{kind}'; allowed: one whose arithmetic costlib knows: coh"):
        from_config(SIZES | {"model_type": kind}, "m")


def test_a_config_is_read_inside_a_multimodal_one_and_its_gaps_are_named() -> None:
    text = SIZES | {"model_type": "gemma3_text", "head_dim": 64, "sliding_window": 8}
    found = from_config({"model_type": "gemma3", "text_config": text}, "m")
    assert (found.layers, found.head_dim, found.sliding_layers) == (3, 64, 3)
    with pytest.raises(InputError, match=r"m: num_hidden_layers is None; allowed: a whole number"):
        from_config({"model_type": "llama"}, "m")
