"""The shape that a model's own config.json describes, for the kinds of model whose arithmetic costlib knows.

A config names sizes, not what is made of them: other kinds have two matrices where Llama has three, or experts beside
experts. Those are refused here rather than predicted wrongly.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from costlib.errors import InputError, bad
from costlib.models.architectures import ENCODERS, Architecture, sliding_layers_of

KNOWN = (
    "cohere", "cohere2", "deepseek_v3", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
    "gpt_oss", "granite", "granitemoe", "llama", "mistral", "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "phi3",
    "qwen2", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm", *ENCODERS,
)  # fmt: skip
"""Model types of transformers whose parameters `Architecture` counts; a test builds each."""


def from_config(config: dict[str, Any], name: str) -> Architecture:
    """The shape described by a transformers config.json, already parsed.

    Raises `InputError` for a kind of model costlib has no arithmetic for, or where a size is missing.
    """
    config = config.get("text_config") or config
    model_type = str(config.get("model_type"))
    if model_type not in KNOWN:
        raise bad("model type", model_type, f"one whose arithmetic costlib knows: {', '.join(KNOWN)}", name)
    try:
        return _shape(config, model_type, name)
    except (KeyError, TypeError, ValueError) as error:
        raise bad("model", name, f"a config.json with the sizes of a language model (missing {error})") from error


def _shape(config: dict[str, Any], model_type: str, name: str) -> Architecture:
    layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    kinds = config.get("layer_types") or []
    sliding = kinds.count("sliding_attention") if kinds else sliding_layers_of(model_type, layers, window)
    encoder = model_type in ENCODERS
    found = Architecture(
        name=name,
        model_type=model_type,
        layers=layers,
        hidden=int(config["hidden_size"]),
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=heads if encoder else int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),
        experts=int(config.get("num_local_experts") or config.get("num_experts") or 0),
        expert_intermediate=int(config.get("moe_intermediate_size") or 0),
        active_experts=int(config.get("num_experts_per_tok") or 0),
        sliding_window=window if sliding else None,
        sliding_layers=sliding,
        source="config.json of the model",
    )
    if not encoder:
        return found
    rest = _encoder_rest(found, int(config["max_position_embeddings"]), int(config.get("type_vocab_size") or 0))
    return replace(found, parameters=found.linear_parameters + found.embedding_parameters + rest)


def _encoder_rest(shape: Architecture, positions: int, types: int) -> int:
    """Tables of positions and types, the pooler, two norms and six biases a layer (BERT, Devlin et al. 2019)."""
    hidden = shape.hidden
    pooler = hidden * hidden + hidden
    return (positions + types + 2) * hidden + pooler + shape.layers * (9 * hidden + shape.intermediate)


def from_folder(folder: Path, name: str) -> Architecture:
    """The shape of a model folder; raises `InputError` when it holds no usable config.json."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad("model", name, f"a folder with a transformers config.json of a language model ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{file}: config.json is no object; allowed: that of a transformers language model")
    return from_config(config, name)
