"""Shapes of models, and the parameter and key-value arithmetic that follows from them.

An `Architecture` comes from data/architectures.csv (shapes whose parameter counts were checked by building each model
on the meta device) or from a model's own config.json. No weights and no torch are needed.

A config names sizes, not what is made of them: other kinds have two matrices where Llama has three, or experts beside
experts. Those are refused here rather than predicted wrongly.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from costlib.errors import invalid_input
from costlib.paths import data_dir
from costlib.read import read_json

_LATENT = 512 + 64
"""DeepSeek-V3 caches one latent of 512 and one rotary key of 64 per token and layer (its config: kv_lora_rank,
qk_rope_head_dim), instead of keys and values per head."""

_DEEPSEEK = {
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "first_k_dense_replace": 3, "n_shared_experts": 1,
}  # fmt: skip
"""Sizes of DeepSeek-V3's public config that its arithmetic takes for granted."""

_FULL_ATTENTION_EVERY = {"cohere2": 4, "exaone4": 4, "gemma2": 2, "gemma3_text": 6, "gpt_oss": 2, "olmo3": 4}
"""Which layers attend to everything where a sliding window is set: every n-th, or none."""

ENCODERS = ("bert", "camembert", "roberta", "xlm-roberta")
"""Model types that read in both directions; all are built as BERT is."""

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
_TEXT = " (text)"


@dataclass(frozen=True)
class Architecture:
    """The shape of a model. Counts are of parameters; `sliding_layers` are layers that keep only a window."""

    name: str
    model_type: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    experts: int = 0
    expert_intermediate: int = 0
    active_experts: int = 0
    sliding_window: int | None = None
    sliding_layers: int = 0
    parameters: int | None = None
    source: str = ""

    @property
    def encoder(self) -> bool:
        """Whether the model reads text in both directions and has no key-value cache."""
        return self.model_type in ENCODERS

    @property
    def headless(self) -> bool:
        """Whether the model has no output head: it embeds and does not generate."""
        two = 2 * self.vocabulary * self.hidden
        no_room = self.parameters is not None and self.linear_parameters + two > self.parameters
        return self.encoder or (no_room and not self.tied)

    @property
    def memory_only(self) -> bool:
        """Whether the shape serves prediction of memory only."""
        return self.model_type == "deepseek_v3"

    @property
    def expert_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(rows, columns, how many) of the experts, which transformers holds as one tensor per layer and projection."""
        if not self.experts or self.memory_only:
            return ()
        width, count = self.expert_intermediate or self.intermediate, self.experts * self.layers
        return (width, self.hidden, 2 * count), (self.hidden, width, count)

    @property
    def linear_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(rows, columns, how many) of every linear layer inside the blocks; the output head is not among them."""
        if self.memory_only:
            return _deepseek(self)
        query, key, hidden = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.hidden
        attention = [(query, hidden, 1), (key, hidden, 2)]
        block = [(self.intermediate, hidden, 2), (hidden, self.intermediate, 1)]
        if self.model_type == "phi3":  # one matrix for what others have two or three of
            attention = [(query + 2 * key, hidden, 1)]
            block[0] = (2 * self.intermediate, hidden, 1)
        elif self.encoder:
            block[0] = (self.intermediate, hidden, 1)
        elif self.experts:
            width = self.expert_intermediate or self.intermediate
            block = [(width, hidden, 2 * self.experts), (hidden, width, self.experts), (self.experts, hidden, 1)]
        every = [*attention, (hidden, query, 1), *block]
        return tuple((rows, columns, count * self.layers) for rows, columns, count in every)

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear layers inside the blocks: what quantization converts."""
        return sum(rows * columns * count for rows, columns, count in self.linear_shapes)

    @property
    def embedding_parameters(self) -> int:
        """Input embedding, and output head where the model has one that is not the same tensor."""
        table = self.vocabulary * self.hidden
        return table if self.tied or self.headless else 2 * table

    @property
    def other_parameters(self) -> int:
        """Norms, biases and position tables: the rest of the published count, or norms alone when it is unknown."""
        if self.parameters is not None:
            return max(0, self.parameters - self.linear_parameters - self.embedding_parameters)
        norms = {"gemma2": 4, "gemma3_text": 4}.get(self.model_type, 2) * self.hidden
        per_head = 2 * self.head_dim if self.model_type in ("gemma3_text", "qwen3", "qwen3_moe") else 0
        bias = (self.heads + 2 * self.kv_heads) * self.head_dim if self.model_type == "qwen2" else 0
        return self.layers * (norms + per_head + bias) + self.hidden

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return self.linear_parameters + self.embedding_parameters + self.other_parameters

    def kv_cache_bytes(self, tokens: int, batch: int, element_bytes: int = 2) -> int:
        """2 * layers * kv_heads * head_dim * bytes * tokens * batch; sliding layers count only their window."""
        if self.encoder:
            return 0
        if self.memory_only:
            return _LATENT * self.layers * element_bytes * tokens * batch
        per_token = 2 * self.kv_heads * self.head_dim * element_bytes * batch
        window = min(tokens, self.sliding_window) if self.sliding_window else tokens
        return per_token * ((self.layers - self.sliding_layers) * tokens + self.sliding_layers * window)


def _deepseek(shape: Architecture) -> tuple[tuple[int, int, int], ...]:
    """Linear layers of DeepSeek-V3: multi-head latent attention, 3 dense layers, then experts and one shared expert.

    Ranks and head sizes are those of its public config: q_lora_rank 1536, kv_lora_rank 512, heads of 128 + 64 and 128.
    """
    hidden, heads, width = shape.hidden, shape.heads, shape.expert_intermediate
    layers, dense = shape.layers, 3
    return (
        (1536, hidden, layers),
        (heads * (128 + 64), 1536, layers),
        (_LATENT, hidden, layers),
        (heads * (128 + 128), 512, layers),
        (hidden, heads * 128, layers),
        (shape.intermediate, hidden, 2 * dense),
        (hidden, shape.intermediate, dense),
        (width, hidden, 2 * (shape.experts + 1) * (layers - dense)),
        (hidden, width, (shape.experts + 1) * (layers - dense)),
        (shape.experts, hidden, layers - dense),
    )


@cache
def architectures(path: Path | None = None) -> dict[str, Architecture]:
    """All shapes of data/architectures.csv by name; the text part of a multimodal model also by the model's own."""
    file = path or data_dir() / "architectures.csv"
    found: dict[str, Architecture] = {}
    with file.open(encoding="utf-8-sig", newline="") as rows:
        for row in csv.DictReader(rows):
            config: dict[str, Any] = {key: int(value) if value.isdecimal() else None for key, value in row.items()}
            config |= {"model_type": row["model_type"], "tie_word_embeddings": row["tie_word_embeddings"] == "True"}
            config |= {"use_sliding_window": True} | _DEEPSEEK
            shape = _shape(config, row["name"], config["parameters"])
            found[shape.name] = replace(shape, source=row["source"])
    return found | {name.removesuffix(_TEXT): shape for name, shape in found.items() if name.endswith(_TEXT)}


def architecture(name: str) -> Architecture:
    """The shape called `name`; raises `InputError` with the allowed names."""
    known = architectures()
    if name not in known:
        raise invalid_input("architecture", name, known)
    return known[name]


def from_config(config: dict[str, Any], name: str) -> Architecture:
    """The shape described by a transformers config.json, already parsed.

    Raises `InputError` for a kind of model costlib has no arithmetic for, or where a size is missing or is none.
    """
    part = config.get("text_config")
    config = part if isinstance(part, dict) else config
    model_type = str(config.get("model_type"))
    if model_type not in KNOWN:
        raise invalid_input("model type", model_type, f"one whose arithmetic costlib knows: {', '.join(KNOWN)}", name)
    return _shape(config, name)


def _shape(config: dict[str, Any], name: str, parameters: int | None = None) -> Architecture:
    def size(key: str, default: int | None = None) -> int:
        """A size of the config; where that has none, `default`, and `InputError` where there is no default either."""
        key = next((each for each in (key, *_OTHER_NAMES.get(key, ())) if config.get(each) is not None), key)
        value = config.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 1 <= value < _MOST:
            raise invalid_input(key, value, f"a whole number from 1 to {_MOST - 1}", name)
        return value

    def switch(key: str, default: bool) -> bool:
        value = config.get(key)
        if value is not None and type(value) is not bool:
            raise invalid_input(key, value, "true or false", name)
        return default if value is None else value

    def divides(key: str, value: int, whole_key: str, whole: int) -> None:
        if whole % value:
            raise invalid_input(key, value, f"a whole number that divides {whole_key}, {whole}", name)

    model_type = config["model_type"]
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
        raise invalid_input("layer_types", kinds, f"one for each of {layers} layers", name)
    every = _FULL_ATTENTION_EVERY.get(model_type, layers + 1)
    sliding = kinds.count("sliding_attention") if kinds else layers - layers // every if window else 0
    experts = size(_EXPERTS[model_type]) if model_type in _EXPERTS else 0
    active = size("num_experts_per_tok") if experts else 0
    if active > experts:
        raise invalid_input("num_experts_per_tok", active, f"at most {experts}, the number of experts", name)
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
        parameters=parameters,
        source="config.json of the model",
    )
    if found.memory_only:
        for key, value in _DEEPSEEK.items():
            if size(key) != value:
                raise invalid_input(key, config[key], f"{value}, as DeepSeek-V3 has it: costlib knows no other", name)
    if not encoder or parameters:
        return found
    # Tables of positions and types, the pooler, two norms and six biases a layer (BERT, Devlin et al. 2019).
    rest = (size("max_position_embeddings") + size("type_vocab_size") + 2) * hidden
    rest += hidden * hidden + hidden + layers * (9 * hidden + found.intermediate)
    return replace(found, parameters=found.linear_parameters + found.embedding_parameters + rest)


def from_folder(folder: Path, name: str) -> Architecture:
    """The shape of a model folder; raises `InputError` when it holds no usable config.json."""
    return from_config(
        read_json(folder / "config.json", "model", "a folder with the config.json of a language model"), name
    )
