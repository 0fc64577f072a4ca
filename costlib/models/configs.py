"""The shape that a model's own config.json describes, for the kinds of model whose arithmetic costlib knows.

A config names sizes, not what is made of them: other kinds have two matrices where Llama has three, or experts beside
experts. Those are refused here rather than predicted wrongly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.models.architectures import DEEPSEEK, ENCODERS, Architecture, sliding_layers_of
from costlib.read import read_json

KNOWN = (
    "cohere", "cohere2", "deepseek_v3", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
    "gpt_oss", "granite", "granitemoe", "llama", "mistral", "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "phi3",
    "qwen2", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm", *ENCODERS,
)  # fmt: skip
"""Model types of transformers whose parameters `Architecture` counts; a test builds each."""
_MOST = 10**9
"""No size of a model reaches it."""
# What transformers takes where a configuration lacks an entry; a size that it takes from elsewhere must be there.
_ALL_HEADS = (
    "cohere", "cohere2", "granite", "granitemoe", "llama", "olmo", "olmo2", "olmo3", "olmoe", "phi3",
)  # fmt: skip
"""Every head has keys and values of its own."""
_OWN_HEAD_DIM = ("ernie4_5", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt_oss", "qwen3", "seed_oss")
"""The size of a head is not the model's width by its heads."""
_OWN_WINDOW = ("cohere2", "exaone4", "gemma2", "gemma3_text", "gpt_oss", "mistral", "olmo3")
_TIED = ("cohere", "cohere2", "ernie4_5", "gemma", "gemma2", "gemma3_text", "smollm3", *ENCODERS)
_SLIDES_IF_ASKED = ("qwen2", "qwen3", "qwen3_moe", "smollm3")
_EXPERTS = {
    "deepseek_v3": "n_routed_experts", "gpt_oss": "num_local_experts", "granitemoe": "num_local_experts",
    "mixtral": "num_local_experts", "olmoe": "num_experts", "qwen3_moe": "num_experts",
}  # fmt: skip
"""What the number of experts is called."""
_OTHER_NAMES = {"n_routed_experts": ("num_local_experts",), "num_experts": ("num_local_experts",)}


def from_config(config: dict[str, Any], name: str) -> Architecture:
    """The shape described by a transformers config.json, already parsed.

    Raises `InputError` for a kind of model costlib has no arithmetic for, or where a size is missing or is none.
    """
    part = config.get("text_config")
    config = part if isinstance(part, dict) else config
    model_type = str(config.get("model_type"))
    if model_type not in KNOWN:
        raise bad("model type", model_type, f"one whose arithmetic costlib knows: {', '.join(KNOWN)}", name)
    return _shape(config, model_type, name)


def _shape(config: dict[str, Any], model_type: str, name: str) -> Architecture:
    def size(key: str, default: int | None = None) -> int:
        """A size of the config; where that has none, `default`, and `InputError` where there is no default either."""
        key = next((each for each in (key, *_OTHER_NAMES.get(key, ())) if config.get(each) is not None), key)
        value = config.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 1 <= value < _MOST:
            raise bad(key, value, f"a whole number from 1 to {_MOST - 1}", name)
        return value

    def switch(key: str, default: bool) -> bool:
        value = config.get(key)
        if value is not None and type(value) is not bool:
            raise bad(key, value, "true or false", name)
        return default if value is None else value

    def divides(key: str, value: int, whole_key: str, whole: int) -> None:
        if whole % value:
            raise bad(key, value, f"a whole number that divides {whole_key}, {whole}", name)

    encoder, layers, hidden = model_type in ENCODERS, size("num_hidden_layers"), size("hidden_size")
    heads = size("num_attention_heads")
    kv_heads = heads if encoder else size("num_key_value_heads", heads if model_type in _ALL_HEADS else None)
    divides("num_key_value_heads", kv_heads, "num_attention_heads", heads)
    if config.get("head_dim") is None and model_type not in _OWN_HEAD_DIM:
        divides("num_attention_heads", heads, "hidden_size", hidden)
    head_dim = size("head_dim", None if model_type in _OWN_HEAD_DIM else hidden // heads)
    window = None
    if switch("use_sliding_window", model_type not in _SLIDES_IF_ASKED):
        absent = "sliding_window" not in config and model_type in _OWN_WINDOW
        window = size("sliding_window", None if absent else 0) or None
    kinds = config.get("layer_types")
    if kinds is not None and not (isinstance(kinds, list) and len(kinds) == layers):
        raise bad("layer_types", kinds, f"one for each of {layers} layers", name)
    sliding = kinds.count("sliding_attention") if kinds else sliding_layers_of(model_type, layers, window)
    experts = size(_EXPERTS[model_type]) if model_type in _EXPERTS else 0
    active = size("num_experts_per_tok") if experts else 0
    if active > experts:
        raise bad("num_experts_per_tok", active, f"at most {experts}, the number of experts", name)
    found = Architecture(
        name=name,
        model_type=model_type,
        layers=layers,
        hidden=hidden,
        intermediate=size("intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=size("vocab_size"),
        tied=switch("tie_word_embeddings", model_type in _TIED),
        experts=experts,
        expert_intermediate=size("moe_intermediate_size") if model_type in ("deepseek_v3", "qwen3_moe") else 0,
        active_experts=active,
        sliding_window=window if sliding else None,
        sliding_layers=sliding,
        source="config.json of the model",
    )
    if found.memory_only:
        for key, value in DEEPSEEK.items():
            if size(key) != value:
                raise bad(key, config[key], f"{value}, as DeepSeek-V3 has it: costlib knows no other", name)
    if not encoder:
        return found
    rest = _encoder_rest(found, size("max_position_embeddings"), size("type_vocab_size"))
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
