"""Embedding models ready to encode documents: transformers at any precision, and static models (model2vec).

A transformers model is pooled as its folder says (sentence-transformers' `1_Pooling`), by the mean over tokens where it
says nothing. Documents are sorted by length and run in batches, and what exceeds the longest sequence is cut, as
sentence-transformers does. A static model looks each token up in a table and takes the mean: it runs on the CPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from costlib.environment import default_device
from costlib.errors import RunError, invalid_input
from costlib.isolate import Unsupported, run_isolated
from costlib.models import demo
from costlib.models.load import load_model
from costlib.models.reference import Reference, is_static, parse, shape
from costlib.output import scratch
from costlib.read import content, is_file, json_value, parsing, read_json

Array = npt.NDArray[np.float32]
STATIC_PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
RANDOM_TOKENS = 128
"""Tokens of each document where a model has no tokenizer, as `random:` shapes."""
_LONGEST = 512


@dataclass
class Encoder:
    """An embedding model; `encode` gives (documents, width) float32, `tokens` the tokens it reads of each document."""

    model: Any
    tokenizer: Any
    device: str
    weight_bytes: int
    kernel: str
    compute_dtype: str
    load_s: float
    weights_note: str | None
    static: bool = False
    pooling: str = "mean"
    longest: int = _LONGEST

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens read of each document, special tokens included."""
        if self.static:
            encoded = self.model.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            return [min(len(one.ids), self.longest) for one in encoded]
        return [len(ids) for ids in self.ids(texts)]

    def encode(self, texts: Sequence[str], batch: int = 32) -> Array:
        """Vectors of the documents, tokenization included."""
        if self.static:
            vectors = self.model.encode(list(texts), batch_size=1024, use_multiprocessing=False)
            return np.asarray(vectors, dtype=np.float32)
        return self.encode_ids(self.ids(texts), batch)

    def encode_ids(self, ids: Sequence[Sequence[int]], batch: int = 32) -> Array:
        """Vectors of token ids (special tokens included), longest first, `batch` together."""
        import torch

        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        out: list[Array] = []
        for start in range(0, len(order), batch):
            with torch.inference_mode():
                out.append(self.pooled([ids[i] for i in order[start : start + batch]]).cpu().numpy())
        return np.asarray(np.concatenate(out)[np.argsort(order)], dtype=np.float32)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each document, cut at the longest sequence."""
        if self.tokenizer is None:
            random = np.random.default_rng(0)
            size = int(self.model.config.get_text_config().vocab_size)
            return [list(map(int, random.integers(1, size, RANDOM_TOKENS))) for _ in texts]
        found: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        return found

    def pooled(self, ids: Sequence[Sequence[int]]) -> Any:
        """One float32 vector per sequence as a tensor on the device, with gradients where they are on."""
        import torch

        rows = [torch.tensor(one) for one in ids]
        fill = getattr(self.tokenizer, "pad_token_id", None) or 0
        padded, mask = (
            torch.nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=value).to(self.device)
            for each, value in ((rows, fill), ([torch.ones_like(row) for row in rows], 0))
        )
        states = self.model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "lasttoken":
            return states[torch.arange(len(ids), device=self.device), mask.sum(1) - 1]
        weight = mask.unsqueeze(-1)
        return (states * weight).sum(1) / weight.sum(1)


def load_encoder(reference_text: str, precision: str, device: str) -> Encoder:
    """Load an embedding model; call it in a child process.

    Raises `InputError` for a bad reference or a model that is not one, `Unsupported` and `Invalid` as `load_model`.
    """
    reference = parse(reference_text)
    if is_static(reference):
        return _static(Path(reference.name), precision, device)
    refuse_other_models(reference)
    is_random = reference.kind == "random"
    loaded = load_model(reference_text, precision, device, tokenizer=not is_random, embeds=True)
    pooling, longest = _sentence_settings(reference)
    positions = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None) or longest
    note, proof = loaded.weights_note, loaded.proof
    if is_random:
        note = f"{note}; documents are {RANDOM_TOKENS} random tokens each, as there is no tokenizer"
    proved = (proof.weight_bytes, proof.kernel, proof.compute_dtype)
    longest = min(longest, int(positions))
    return Encoder(loaded.model, loaded.tokenizer, device, *proved, loaded.load_s, note, False, pooling, longest)


def trained_encoder(reference_text: str) -> Callable[[Sequence[str]], Array]:
    """Encode texts with trained weights at fp32, each call in a process of its own.

    Raises `InputError` for a model that cannot do that; encoding raises `RunError` where it fails.
    """
    reference = parse(reference_text)
    if reference.kind == "random":
        raise invalid_input("model", reference_text, "trained weights: vectors of random ones say nothing")
    if not is_static(reference):
        refuse_other_models(reference)
    where = "cpu" if is_static(reference) else default_device()

    def encode(texts: Sequence[str]) -> Array:
        with scratch() as folder:
            (folder / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")
            given = {"model": reference_text, "device": where, "folder": str(folder)}
            ended = run_isolated("costlib.models.encoder:encode_texts", given, timeout_s=3600)
            if ended.status != "ok":
                raise RunError(f"{reference_text} could not encode {len(texts)} texts: {ended.reason}")
            return np.asarray(np.load(folder / "vectors.npy"), dtype=np.float32)

    return encode


def encode_texts(model: str, device: str, folder: str) -> dict[str, Any]:
    """Encode `texts.json` of a folder to `vectors.npy`; the target of `run_isolated`."""
    texts = json.loads((Path(folder) / "texts.json").read_text(encoding="utf-8"))
    np.save(Path(folder) / "vectors.npy", load_encoder(model, "fp32", device).encode(texts))
    return {}


def refuse_other_models(reference: Reference) -> None:
    """Raise `InputError` for a model that makes text, not vectors, before anything is loaded."""
    allowed = "an embedding model: demo:minilm, static:FOLDER, path: or hub: of one, random:all-minilm-l6-v2"
    if reference.kind == "gguf" or (reference.kind == "demo" and reference.name != "minilm"):
        raise invalid_input("model", str(reference), allowed)
    if reference.kind == "random" and not shape(reference).headless:
        raise invalid_input("model", str(reference), allowed)


def _sentence_settings(reference: Reference) -> tuple[str, int]:
    """Pooling and longest sequence as sentence-transformers keeps them; mean and 512 where a folder says nothing."""
    pooling, longest = "mean", _LONGEST
    if reference.kind not in ("demo", "path"):
        return pooling, longest
    folder = demo.ensure(reference.name) if reference.kind == "demo" else Path(reference.name)
    file = folder / "modules.json"
    if file.is_file():
        with parsing("model", file, "a list of modules as sentence-transformers writes it"):
            kinds = {str(part["type"]).rpartition(".")[2] for part in json_value(content(file, "model"))}
        if other := ", ".join(sorted(kinds - {"Transformer", "Pooling", "Normalize"})):
            raise Unsupported(f"modules.json puts {other} behind the model, whose weights costlib does not run")
    file = folder / "1_Pooling" / "config.json"
    if file.is_file():
        config = read_json(file, "model")
        names = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
        pooling = str(config.get("pooling_mode", "mean"))
        if names:
            pooling = "+".join(name.removeprefix("pooling_mode_").partition("_token")[0] for name in names)
        if pooling not in ("mean", "cls", "lasttoken"):
            raise Unsupported(f"pooling {', '.join(names) or pooling}; costlib knows mean, cls and lasttoken")
    file = folder / "sentence_bert_config.json"
    if file.is_file():
        longest = read_json(file, "model").get("max_seq_length") or longest
        if type(longest) is not int or longest < 1:
            raise invalid_input("max_seq_length", longest, "a whole number of at least 1", str(file))
    return pooling, longest


def _static(folder: Path, precision: str, device: str) -> Encoder:
    if precision not in STATIC_PRECISIONS:
        raise Unsupported(f"a static model is held as {', '.join(STATIC_PRECISIONS)}, not as {precision}")
    if device != "cpu":
        raise Unsupported("a static model is a table lookup on the CPU; there is nothing to run on a GPU")
    from model2vec import StaticModel
    from safetensors import safe_open

    started = time.perf_counter()
    try:
        model = StaticModel.from_pretrained(folder, quantize_to=STATIC_PRECISIONS[precision])
    except (OSError, ValueError, KeyError) as error:
        raise invalid_input(
            "model", f"static:{folder}", f"a folder model2vec saved ({str(error).splitlines()[0]})"
        ) from error
    encoder = static_encoder(model, time.perf_counter() - started)
    if is_file(folder / "model.safetensors"):
        with safe_open(folder / "model.safetensors", "np") as opened:
            unused = sorted(set(opened.keys()) - {"embeddings", "weights", "mapping"})
        if unused:
            encoder.weights_note = f"the model does not use {', '.join(unused)} of its folder's tensors"
    return encoder


def static_encoder(model: Any, load_s: float = 0.0) -> Encoder:
    """An encoder of a `model2vec.StaticModel`."""
    tables = [table for table in (model.embedding, model.weights, model.token_mapping) if table is not None]
    size = sum(int(table.nbytes) for table in tables)
    kernel = f"table of {model.embedding.dtype}"
    longest = model.max_length or 10**9
    return Encoder(model, model.tokenizer, "cpu", size, kernel, "fp32", load_s, None, static=True, longest=longest)
