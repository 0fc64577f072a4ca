"""Shapes of models, and the parameter and key-value arithmetic that follows from them.

An `Architecture` comes from data/architectures.csv (shapes whose parameter counts were checked by building each model
on the meta device) or from a model's own config.json (configs.py). No weights and no torch are needed.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from costlib.errors import bad
from costlib.paths import data_dir

_LATENT = 512 + 64
"""DeepSeek-V3 caches one latent of 512 and one rotary key of 64 per token and layer (its config: kv_lora_rank,
qk_rope_head_dim), instead of keys and values per head."""

DEEPSEEK = {
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "first_k_dense_replace": 3, "n_shared_experts": 1,
}  # fmt: skip
"""Sizes of DeepSeek-V3's public config that its arithmetic takes for granted."""

_FULL_ATTENTION_EVERY = {"cohere2": 4, "exaone4": 4, "gemma2": 2, "gemma3_text": 6, "gpt_oss": 2, "olmo3": 4}
"""Which layers attend to everything where a sliding window is set: every n-th, or none."""

ENCODERS = ("bert", "camembert", "roberta", "xlm-roberta")
"""Model types that read in both directions; all are built as BERT is."""


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
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention: tuple[tuple[int, int, int], ...] = (
            (query, self.hidden, 1),
            (key, self.hidden, 2),
            (self.hidden, query, 1),
        )
        if self.model_type == "phi3":
            attention = ((query + 2 * key, self.hidden, 1), (self.hidden, query, 1))
        block: tuple[tuple[int, int, int], ...]
        if self.experts:
            width = self.expert_intermediate or self.intermediate
            block = ((width, self.hidden, 2 * self.experts), (self.hidden, width, self.experts))
            block += ((self.experts, self.hidden, 1),)
        elif self.encoder:
            block = ((self.intermediate, self.hidden, 1), (self.hidden, self.intermediate, 1))
        elif self.model_type == "phi3":
            block = ((2 * self.intermediate, self.hidden, 1), (self.hidden, self.intermediate, 1))
        else:
            block = ((self.intermediate, self.hidden, 2), (self.hidden, self.intermediate, 1))
        return tuple((rows, columns, count * self.layers) for rows, columns, count in attention + block)

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


def sliding_layers_of(model_type: str, layers: int, window: int | None) -> int:
    """How many layers keep only a window, where a configuration does not list its layers."""
    if window is None:
        return 0
    every = _FULL_ATTENTION_EVERY.get(model_type)
    return layers - layers // every if every else layers


@cache
def architectures(path: Path | None = None) -> dict[str, Architecture]:
    """All shapes of data/architectures.csv by name; the text part of a multimodal model also by the model's own."""
    file = path or data_dir() / "architectures.csv"
    found: dict[str, Architecture] = {}
    with file.open(encoding="utf-8-sig", newline="") as rows:
        for row in csv.DictReader(rows):

            def number(key: str, row: dict[str, str] = row) -> int:
                return int(row[key] or 0)

            window = number("sliding_window") or None
            layers = number("num_hidden_layers")
            found[row["name"]] = Architecture(
                name=row["name"],
                model_type=row["model_type"],
                layers=layers,
                hidden=number("hidden_size"),
                intermediate=number("intermediate_size"),
                heads=number("num_attention_heads"),
                kv_heads=number("num_key_value_heads"),
                head_dim=number("head_dim"),
                vocabulary=number("vocab_size"),
                tied=row["tie_word_embeddings"] == "True",
                experts=number("num_local_experts"),
                expert_intermediate=number("moe_intermediate_size"),
                active_experts=number("num_experts_per_tok"),
                sliding_window=window,
                sliding_layers=sliding_layers_of(row["model_type"], layers, window),
                parameters=number("parameters"),
                source=row["source"],
            )
    return found | {name.removesuffix(_TEXT): shape for name, shape in found.items() if name.endswith(_TEXT)}


def architecture(name: str) -> Architecture:
    """The shape called `name`; raises `InputError` with the allowed names."""
    known = architectures()
    if name not in known:
        raise bad("architecture", name, known)
    return known[name]
