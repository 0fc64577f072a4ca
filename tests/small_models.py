"""Models small enough to build in a test: a BERT of random weights with word tokens, a static one, a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "the", "my", "is", "where", "parcel", "password", "bill", "card", "late", "lost", "reset", "pay", "how", "do", "i",
    "please", "help", "order", "new", "a",
)  # fmt: skip


def tokenizer(pad: bool = True) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] if pad else ["[UNK]"]
    names = [*special, *dict.fromkeys(WORDS)]
    plain = Tokenizer(models.WordLevel({word: index for index, word in enumerate(names)}, unk_token="[UNK]"))
    plain.normalizer = normalizers.Lowercase()
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return plain


def tiny_bert(folder: Path, layers: int = 4) -> Path:
    """Weights larger than usual, so that vectors of different words differ."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    plain = tokenizer()
    plain.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=plain.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def tiny_static(folder: Path) -> Path:
    import numpy as np
    from model2vec import StaticModel

    plain = tokenizer(pad=False)
    vectors = np.random.default_rng(0).normal(size=(plain.get_vocab_size(), 16)).astype(np.float32)
    StaticModel(vectors, plain, {}).save_pretrained(folder)
    return folder


def documents(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct short documents, each of the class of the one word only that class has."""
    import random

    drawn = random.Random(seed)
    marks = {"parcel": "shipping", "password": "account", "bill": "billing"}
    rest = [word for word in dict.fromkeys(WORDS) if word not in marks]
    found: dict[str, str] = {}
    while len(found) < count:
        mark = sorted(marks)[len(found) % 3]
        words = [*drawn.sample(rest, 4), mark, mark]
        drawn.shuffle(words)
        found[" ".join(words)] = marks[mark]
    return list(found.items())


def write_documents(file: Path, pairs: list[tuple[str, str]]) -> Path:
    import json

    file.write_text("".join(json.dumps({"input": t, "expected": e}) + "\n" for t, e in pairs), encoding="utf-8")
    return file


def write_gguf(
    file: Path,
    tensors: dict[str, Any],
    exact: bool = False,
    says: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Tensors of the tiny Llama of conftest.py as a Q8_0 file (or F32, `exact`), written by gguf's own writer.

    `says` is the type in its header where that is another one; `extra` are more tensors, by their names in the file.
    """
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(file, "llama")
    kind = gguf.LlamaFileType[says or ("ALL_F32" if exact else "MOSTLY_Q8_0")]
    for add, value in (
        (writer.add_context_length, 256), (writer.add_embedding_length, 64), (writer.add_block_count, 2),
        (writer.add_feed_forward_length, 128), (writer.add_head_count, 4), (writer.add_head_count_kv, 2),
        (writer.add_layer_norm_rms_eps, 1e-6), (writer.add_rope_dimension_count, 16), (writer.add_vocab_size, 512),
        (writer.add_file_type, kind),
        (writer.add_tokenizer_model, "no_vocab"),
    ):  # fmt: skip
        add(value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        known = names.get_name(name, try_suffixes=(".weight",))
        if exact or values.ndim == 1:
            writer.add_tensor(known, values)
        else:
            packed = gguf.quants.quantize(values.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(known, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    for name, values in (extra or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def tiny_llama(folder: Path, seed: int = 0, layers: int = 2, tokens: Any = None) -> Path:
    """A Llama of random weights with word tokens; unlike seeds choose other words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = tokens or tokenizer()
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=plain.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3,
        bos_token_id=None, eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
