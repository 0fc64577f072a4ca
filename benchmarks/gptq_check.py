"""A check of GPTQ and AWQ for real: quantize a small Llama here, load the checkpoint, compare its logits with bf16's.

    python -m venv ../gptq && ../gptq/bin/pip install gptqmodel -e .
    ../gptq/bin/python -m benchmarks.gptq_check

Needs an environment of its own, because gptqmodel brings a CUDA torch. The model has random weights and 2 layers, so
its logits say nothing about quality: what is shown is that the checkpoint that gptqmodel wrote is loaded with a 4-bit
kernel for every linear layer, of the bytes that were predicted, and computes nearly what its 16-bit weights compute.
Exits with 1 where a precision is not proven or the logits correlate less than 0.95.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from costlib.models.load import load_model, load_tokenizer

METHODS = {"gptq4": ("gptq", "gptq"), "awq4": ("awq", "gemm")}
"""Precision -> method and layout of its packed weights."""
_LEAST = 0.95
_WORDS = [f"word{number}" for number in range(400)]


def small_llama(folder: Path) -> None:
    """A Llama of random weights with word tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({word: index for index, word in enumerate(["[UNK]", *_WORDS])}, "[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_WORDS) + 1, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def quantized(model: Path, precision: str, text: str, out: Path) -> Path:
    """A checkpoint of the model at gptq4 or awq4, calibrated on 32 windows of 128 tokens of the text."""
    from gptqmodel import GPTQModel, QuantizeConfig

    method, layout = METHODS[precision]
    tokens = load_tokenizer(f"path:{model}")
    ids = tokens(text, add_special_tokens=False)["input_ids"]
    windows = [{"input_ids": ids[at : at + 128], "attention_mask": [1] * 128} for at in range(0, 32 * 128, 128)]
    made = GPTQModel.load(
        str(model), QuantizeConfig(bits=4, group_size=128, method=method, format=layout), device="cpu"
    )
    made.quantize(windows, batch_size=1)
    made.save(str(out))
    tokens.save_pretrained(out)
    return out


def main() -> int:
    """Print one JSON document per method."""
    import gptqmodel
    import numpy as np
    import torch

    random = np.random.default_rng(0)
    text = " ".join(random.choice(_WORDS, 5000))
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_llama(folder / "model")
        dense = load_model(f"path:{folder / 'model'}", "bf16", "cpu").model
        ids = torch.tensor(random.integers(1, len(_WORDS), (1, 128)))
        with torch.no_grad():
            wanted = dense(ids).logits.float().flatten()
        for precision in METHODS:
            made = quantized(folder / "model", precision, text, folder / precision)
            loaded = load_model(f"path:{made}", precision, "cpu")
            with torch.no_grad():
                found = loaded.model(ids).logits.float().flatten()
            alike = float(torch.corrcoef(torch.stack([wanted, found]))[0, 1])
            proof = loaded.proof
            failed |= alike < _LEAST
            print(
                json.dumps(
                    {
                        "precision": precision,
                        "gptqmodel": gptqmodel.__version__,
                        "converted": f"{proof.modules_converted} of {proof.modules_total} linear layers",
                        "kernel": proof.kernel,
                        "weight_bytes": proof.weight_bytes,
                        "predicted_bytes": proof.weight_bytes_expected,
                        "logits_correlation": round(alike, 4),
                    }
                )
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
