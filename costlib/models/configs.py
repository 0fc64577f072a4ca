"""The shape that a model's own config.json describes, for the kinds of model whose arithmetic costlib knows.

A config names sizes, not what is made of them: other kinds have two matrices where Llama has three, or experts beside
experts. Those are refused here rather than predicted wrongly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.models.architectures import ENCODERS, Architecture, sliding_layers_of
from costlib.read import read_json

KNOWN = (
    "cohere", "cohere2", "deepseek_v3", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
    "gpt_oss", "granite", "granitemoe", "llama", "mistral", "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "phi3",
    "qwen2", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm", *ENCODERS,
)  # fmt: skip
"""Model types of transformers whose parameters `Architecture` counts; a test builds each."""
_MOST = 10**9
"""No size of a model reaches it."""


def from_config(config: dict[str, Any], name: str) -> Architecture:
    """The shape described by a transformers config.json, already parsed.

    Raises `InputError` for a kind of model costlib has no arithmetic for, or where a size is missing.
    """
    part = config.get("text_config")
    config = part if isinstance(part, dict) else config
    model_type = str(config.get("model_type"))
    if model_type not in KNOWN:
        raise bad("model type", model_type, f"one whose arithmetic costlib knows: {', '.join(KNOWN)}", name)
    return _shape(config, model_type, name)


def _shape(config: dict[str, Any], model_type: str, name: str) -> Architecture:
    def size(*keys: str, default: int | None = None) -> int:
        """The first of these sizes that the config has, else `default`, which is required where None."""
        key, value = next(((key, config[key]) for key in keys if config.get(key)), (keys[0], default))
        if type(value) is not int or (not (default is not None and value == default) and not 1 <= value < _MOST):
            raise bad(key, value, f"a whole number from 1 to {_MOST - 1}", name)
        return value

    layers, heads = size("num_hidden_layers"), size("num_attention_heads")
    window = size("sliding_window", default=0) or None if config.get("use_sliding_window", True) else None
    listed = config.get("layer_types")
    kinds = listed if isinstance(listed, list) else []
    sliding = kinds.count("sliding_attention") if kinds else sliding_layers_of(model_type, layers, window)
    encoder = model_type in ENCODERS
    found = Architecture(
        name=name,
        model_type=model_type,
        layers=layers,
        hidden=size("hidden_size"),
        intermediate=size("intermediate_size"),
        heads=heads,
        kv_heads=heads if encoder else size("num_key_value_heads", default=heads),
        head_dim=size("head_dim", default=size("hidden_size") // heads),
        vocabulary=size("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        experts=size("num_local_experts", "num_experts", default=0),
        expert_intermediate=size("moe_intermediate_size", default=0),
        active_experts=size("num_experts_per_tok", default=0),
        sliding_window=window if sliding else None,
        sliding_layers=sliding,
        source="config.json of the model",
    )
    if not encoder:
        return found
    rest = _encoder_rest(found, size("max_position_embeddings"), size("type_vocab_size", default=0))
    return replace(found, parameters=found.linear_parameters + found.embedding_parameters + rest)


def _encoder_rest(shape: Architecture, positions: int, types: int) -> int:
    """Tables of positions and types, the pooler, two norms and six biases a layer (BERT, Devlin et al. 2019)."""
    hidden = shape.hidden
    pooler = hidden * hidden + hidden
    return (positions + types + 2) * hidden + pooler + shape.layers * (9 * hidden + shape.intermediate)


def from_folder(folder: Path, name: str) -> Architecture:
    """The shape of a model folder; raises `InputError` when it holds no usable config.json."""
    return from_config(
        read_json(folder / "config.json", "model", "a folder with the config.json of a language model"), name
    )
