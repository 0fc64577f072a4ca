"""Random weights of true shapes: the right model, nothing held twice, and honest about what cannot be built."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from costlib.errors import InputError
from costlib.isolate import Unsupported
from costlib.models import random_weights
from costlib.models.architectures import Architecture, architecture, architectures
from costlib.models.load import load_model
from costlib.models.memory import predict
from costlib.models.precision import PRECISIONS, precision
from costlib.models.proof import check, plain_tensors, prove

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

DECODERS = [name for name, shape in architectures().items() if not shape.memory_only]
TINY: dict[str, Any] = {
    "layers": 2, "hidden": 128, "intermediate": 256, "heads": 4, "kv_heads": 2, "head_dim": 32, "vocabulary": 384,
    "parameters": None,
}  # fmt: skip


def tiny(name: str, **changes: Any) -> Architecture:
    """The named shape, shrunk."""
    shape = architecture(name)
    own = {**TINY, "sliding_layers": min(1, shape.sliding_layers)}
    if shape.experts:
        own |= {"experts": 4, "expert_intermediate": 64 if shape.expert_intermediate else 0}
    return dataclasses.replace(shape, **{**own, **changes})


@pytest.mark.parametrize("name", DECODERS)
def test_every_shape_is_the_model_its_count_says(name: str) -> None:
    import torch
    import transformers

    shape = architecture(name)
    kind = transformers.AutoModel if shape.headless else transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(random_weights.config_of(shape))
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters


QUANTIZED_HERE = ("bf16", "fp32", "int8", "int8-nosplit", "nf4", "nf4-double", "fp4", "int8wo")


@pytest.mark.parametrize("held", QUANTIZED_HERE)
@pytest.mark.parametrize(
    "name", ["llama-3.1-8b", "mixtral-8x7b", "phi-3-mini", "gemma-2-2b", "gemma-3-270m", "qwen2.5-0.5b", "qwen3-8b",
             "gpt-oss-20b", "all-minilm-l6-v2"]
)  # fmt: skip
def test_what_is_built_is_proven_and_predicted_within_three_percent(name: str, held: str) -> None:
    model = random_weights.build(tiny(name), precision(held), "cpu")
    proof = prove(model, precision(held))
    check(proof, precision(held))
    assert proof.modules_converted == (proof.modules_total if PRECISIONS[held].quantizes else 0)
    counted = sum(parameter.numel() for parameter in model.parameters())
    if held == "bf16":
        shape = tiny(name, parameters=counted)
        assert predict(shape, held)["weight_bytes"] == pytest.approx(proof.weight_bytes, rel=0.03)
    elif name not in ("gpt-oss-20b", "all-minilm-l6-v2"):
        dense = sum(p.numel() for p in random_weights.build(tiny(name), precision("bf16"), "cpu").parameters())
        predicted = predict(tiny(name, parameters=dense), held)["weight_bytes"]
        assert predicted == pytest.approx(proof.weight_bytes, rel=0.03)


@pytest.mark.parametrize("held", ["bf16", "nf4", "fp4", "int8", "int8wo"])
def test_no_more_than_one_layer_is_held_at_sixteen_bit(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts every tensor alive when a layer has just been made at 16 bit, now and then over a model of 24 layers."""
    import gc

    import torch
    from torch._subclasses import FakeTensor  # has no memory; other tests leave some behind

    peaks: list[int] = []
    calls: list[int] = []
    plain = random_weights._filled

    def counted(*arguments: Any) -> Any:
        made = plain(*arguments)
        calls.append(1)
        if len(calls) % 37 or made.dim() == 1:  # looking at every object takes half a second
            return made
        alive: dict[int, int] = {}
        for thing in gc.get_objects():
            if isinstance(thing, torch.Tensor) and not isinstance(thing, FakeTensor) and thing.device.type == "cpu":
                for part in plain_tensors(thing):
                    alive[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        peaks.append(sum(alive.values()))
        return made

    shape = tiny("llama-3.1-8b", layers=24, hidden=256, intermediate=1024, vocabulary=64)
    gc.collect()
    before = sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in gc.get_objects()
         if type(t) in (torch.Tensor, torch.nn.Parameter) and t.device.type == "cpu"}.values()
    )  # fmt: skip
    monkeypatch.setattr(random_weights, "_filled", counted)
    final = prove(random_weights.build(shape, precision(held), "cpu"), precision(held)).weight_bytes
    sixteen = 2 * sum(rows * columns * count for rows, columns, count in shape.linear_shapes)
    layer = 2 * 3 * 1024 * 256
    assert len(peaks) >= 3 and max(peaks) - before < final + layer
    assert held == "bf16" or final + layer < 0.75 * sixteen


@pytest.mark.parametrize("held", ["int8", "int8-nosplit"])
def test_int8_weights_that_were_made_on_a_gpu_are_quantized(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes quantizes what moves from the host; on a GPU nothing moves, and the weights would stay at 16 bit."""
    import bitsandbytes as bnb
    import torch

    def as_on_a_gpu(self: Any, *_: Any, **__: Any) -> Any:
        return bnb.nn.Int8Params(self.data, requires_grad=False, has_fp16_weights=False)

    expected = random_weights.build(tiny("llama-3.1-8b"), precision(held), "cpu")
    monkeypatch.setattr(bnb.nn.Int8Params, "to", as_on_a_gpu)
    model = random_weights.build(tiny("llama-3.1-8b"), precision(held), "cpu")
    proof = prove(model, precision(held))
    check(proof, precision(held))
    assert proof.bytes_by_dtype["int8"] == sum(r * c * n for r, c, n in tiny("llama-3.1-8b").linear_shapes)
    with torch.inference_mode():
        ids = torch.tensor([[1, 2, 3]])
        dense = random_weights.build(tiny("llama-3.1-8b"), precision("bf16"), "cpu")(input_ids=ids).logits.float()
        logits = model(input_ids=ids).logits.float()
        assert torch.equal(logits, expected(input_ids=ids).logits.float())
    assert torch.corrcoef(torch.stack([dense.flatten(), logits.flatten()]))[0, 1] > 0.98


def test_the_same_seed_gives_the_same_weights_and_it_runs() -> None:
    import torch

    first, second = (random_weights.build(tiny("gemma-3-270m"), precision("bf16"), "cpu", seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with torch.inference_mode():
        logits = first(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert torch.isfinite(logits).all() and logits.std() > 0


def test_what_cannot_be_built_says_why() -> None:
    with pytest.raises(Unsupported, match="deepseek-v3 is known for memory prediction only"):
        random_weights.config_of(architecture("deepseek-v3"))
    with pytest.raises(Unsupported, match="it needs a checkpoint or a file"):
        random_weights.build(tiny("llama-3.1-8b"), precision("gptq4"), "cpu")
    with pytest.raises(InputError, match="random ones have no tokenizer"):
        load_model("random:all-minilm-l6-v2", "bf16", "cpu", tokenizer=True)


def test_random_weights_load_like_any_model() -> None:
    loaded = load_model("random:all-minilm-l6-v2", "fp32", "cpu")
    assert loaded.proof.weight_bytes == pytest.approx(4 * 22_713_216, rel=0.001)
    assert loaded.weights_note is not None and loaded.weights_note.startswith("random weights of the true shape")


def test_the_speed_of_int8_on_random_weights_is_not_sold_as_that_of_trained_ones(monkeypatch: Any) -> None:
    """The outlier split costs time with the outliers, and random weights have none."""
    monkeypatch.setattr("costlib.models.load.shape", lambda reference: tiny("llama-3.1-8b"))
    notes = {held: load_model("random:llama-3.1-8b", held, "cpu").weights_note for held in ("int8", "int8-nosplit")}
    assert "outliers" in str(notes["int8"]) and "outliers" not in str(notes["int8-nosplit"])


def test_the_demo_embedding_model_loads_without_re_initialised_weights() -> None:
    loaded = load_model("demo:minilm", "fp32", "cpu", tokenizer=True)
    assert type(loaded.model).__name__ == "BertModel" and loaded.weights_note is None
    assert sum(p.numel() for p in loaded.model.parameters()) == architecture("all-minilm-l6-v2").parameters
