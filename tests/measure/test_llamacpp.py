"""The llamacpp engine: its loop and refusals against a stand-in of the binding, its tokens against transformers."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from small_models import write_gguf

from costlib.errors import InputError
from costlib.isolate import Invalid, Unsupported
from costlib.measure import llamacpp
from costlib.measure.device import Device
from costlib.measure.iteration import Shape
from costlib.models.precision import precision

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
HELD = precision("gguf-q8_0")


@pytest.fixture
def tensors(tiny_model: Path) -> dict[str, Any]:
    return dict(load_file(tiny_model / "model.safetensors"))


class FakeBinding:
    """Stands for `llama_cpp`: the most likely next token is one more than the last; the rest is what a test sets."""

    def __init__(self, bytes_held: int) -> None:
        self.gpu, self.context, self.bytes_held, self.refusal = False, 256, bytes_held, b""
        self.asked: dict[str, Any] = {}
        self.evaluated: list[list[int]] = []

    def module(self) -> Any:
        return SimpleNamespace(
            Llama=self.open,
            llama_log_callback=lambda function: function,
            llama_log_set=lambda collect, _: setattr(self, "log", collect),
            llama_supports_gpu_offload=lambda: self.gpu,
            llama_model_n_ctx_train=lambda model: self.context,
            llama_model_size=lambda model: self.bytes_held,
            llama_get_logits_ith=lambda context, index: np.ctypeslib.as_ctypes(self.logits),
        )

    def open(self, **asked: Any) -> Any:
        self.asked = asked
        if self.refusal:
            self.log(llamacpp._ERROR, self.refusal, None)  # type: ignore[attr-defined]
            raise ValueError("Failed to load model from file")
        return SimpleNamespace(
            eval=self.eval, reset=self.evaluated.clear, n_vocab=lambda: 512, ctx=object(), model=object()
        )

    def eval(self, tokens: list[int]) -> None:
        self.evaluated.append(tokens)
        self.logits = np.zeros(512, dtype=np.float32)
        self.logits[(tokens[-1] + 1) % 512] = 1.0


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Any], tmp_path: Path) -> FakeBinding:
    file = write_gguf(tmp_path / "tiny.gguf", tensors)
    fake = FakeBinding(llamacpp.gguf.read(file).weight_bytes)
    monkeypatch.setitem(sys.modules, "llama_cpp", fake.module())
    llamacpp._errors.cache_clear()
    return fake


def load(tmp_path: Path, prompt: int = 6, new: int = 4, device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    return llamacpp.load(tmp_path / "tiny.gguf", HELD, Shape(1, prompt, new), device)


def test_it_runs_the_whole_prompt_and_then_one_token_at_a_time(binding: FakeBinding, tmp_path: Path) -> None:
    model, proof = load(tmp_path)
    assert proof["weight_bytes"] == proof["weight_bytes_expected"] == binding.bytes_held
    assert binding.asked["n_ctx"] == 10 and binding.asked["n_gpu_layers"] == 0
    engine = llamacpp.LlamaCpp(model, Device(), Shape(1, 6, 4))
    engine.prepare(0)
    found = engine.run(1)
    prompt, *steps = binding.evaluated
    assert len(prompt) == 6 and found.tokens.tolist() == [[(prompt[-1] + i) % 512 for i in (1, 2, 3, 4)]]
    assert steps == [[token] for token in found.tokens[0][:-1]]
    assert found.ttft_s > 0 and found.decode_s > 0 and found.kv_cache_bytes is None


def test_it_runs_on_the_one_gpu_that_was_asked_for_and_says_where_it_is_full(
    binding: FakeBinding, tmp_path: Path
) -> None:
    """By itself llama.cpp would spread the model over every GPU, and the row would name one."""
    binding.gpu = True
    load(tmp_path, device="cuda:1")
    assert (binding.asked["main_gpu"], binding.asked["split_mode"], binding.asked["n_gpu_layers"]) == (1, 0, -1)
    binding.refusal = b"ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory\n"
    with pytest.raises(MemoryError, match="cudaMalloc failed: out of memory"):
        load(tmp_path, device="cuda:1")


def test_every_refusal_is_one_sentence(binding: FakeBinding, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"this build of llama\.cpp has no CUDA"):
        load(tmp_path, device="cuda")
    with pytest.raises(Unsupported, match=r"250 \+ 7 tokens exceed the model's context of 256"):
        load(tmp_path, 250, 7)
    with pytest.raises(Unsupported, match="measured at batch 1"):
        llamacpp.LlamaCpp(None, Device(), Shape(2, 6, 4))
    with pytest.raises(Invalid, match="gguf-q4_0 was requested, but the file is of type gguf-q8_0"):
        llamacpp.load(tmp_path / "tiny.gguf", precision("gguf-q4_0"), Shape(1, 6, 4), "cpu")
    binding.bytes_held += 1
    with pytest.raises(Invalid, match=r"the file's tensors are .* bytes, llama\.cpp holds"):
        load(tmp_path)
    binding.refusal = (
        b"llama_model_load: error loading model: check_tensor_dims: tensor 'blk.1.ffn_up.weight' not found\n"
    )
    with pytest.raises(
        Invalid, match=r"llama\.cpp refuses the file: check_tensor_dims: tensor 'blk.1.ffn_up.weight' not found$"
    ):
        load(tmp_path)
    binding.refusal = b"llama_model_load: error loading model: unknown model architecture: 'new'"
    with pytest.raises(Unsupported, match="unknown model architecture: 'new'"):
        load(tmp_path)


def test_a_missing_binding_names_the_command_that_adds_it(
    binding: FakeBinding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(InputError, match=r"engine is 'llamacpp', .*pip install 'costlib\[llamacpp\]'"):
        load(tmp_path)


def test_the_real_binding_gives_the_tokens_of_transformers(tiny_model: Path, tensors: Any, tmp_path: Path) -> None:
    """Runs where the [llamacpp] extra is installed; 32-bit weights, so that both computations are as good as exact."""
    pytest.importorskip("llama_cpp", reason="the [llamacpp] extra is not installed")
    import torch
    import transformers

    from costlib.measure.engines import Eager

    file, shape = write_gguf(tmp_path / "exact.gguf", tensors, exact=True), Shape(1, 20, 8)
    model, _ = llamacpp.load(file, dataclasses.replace(HELD, quantizes="all_f32"), shape, "cpu")
    dense = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    engine, eager = llamacpp.LlamaCpp(model, Device(), shape), Eager(dense, Device(), shape)
    for seed in (1, 2, 3):
        assert engine.run(seed).tokens.tolist() == eager.run(seed).tokens.tolist()
    del tensors["model.layers.1.mlp.up_proj.weight"]
    torn = write_gguf(tmp_path / "torn.gguf", tensors)
    with pytest.raises(
        Invalid, match=r"llama\.cpp refuses the file: check_tensor_dims: tensor 'blk.1.ffn_up.weight' not found"
    ):
        llamacpp.load(torn, HELD, shape, "cpu")
