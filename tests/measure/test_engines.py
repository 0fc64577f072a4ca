"""Every engine gives the tokens eager gives, at exactly the length asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from costlib import tables
from costlib.environment import Gpu
from costlib.isolate import Unsupported, no_memory
from costlib.measure.device import Device
from costlib.measure.engines import ENGINES, Batched, Compiled, Eager
from costlib.measure.iteration import Shape
from costlib.measure.roofline import bound_of
from costlib.measure.worker import host_share
from costlib.models.architectures import from_config
from costlib.models.precision import precision
from costlib.models.random_weights import quantize_linear

pytestmark = pytest.mark.filterwarnings("ignore")


def _model(kind: str) -> Any:
    import torch
    import transformers

    torch.manual_seed(1)
    sizes = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 256, "pad_token_id": 0,
    }  # fmt: skip
    if kind == "gemma3_text":
        sizes |= {"sliding_window": 8, "head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def test_every_engine_that_a_study_may_name_is_there() -> None:
    assert tuple(ENGINES) == tables.ENGINES


@pytest.fixture
def compiler() -> Iterator[None]:
    """Dynamo's switches are those of the process; a test gives them back."""
    import torch

    before = torch._dynamo.config.error_on_recompile, torch._inductor.config.freezing
    yield
    torch._dynamo.config.error_on_recompile, torch._inductor.config.freezing = before
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_the_compiled_engine_gives_the_tokens_of_eager(kind: str, compiler: None) -> None:
    """Gemma 3's window of 8 is shorter than the prompt, so a static cache that ignored it would be found out."""
    import torch

    model, shape = _model(kind), Shape(2, 20, 6)
    eager, compiled = Eager(model, Device(), shape), Compiled(model, Device(), shape)
    compiled.prepare(0)
    assert compiled.compile_s is not None and compiled.compile_s > 0
    for seed in (5, 6):
        first, second = eager.run(seed), compiled.run(seed)
        assert torch.equal(first.tokens, second.tokens) and first.tokens.shape == (2, 6)
    known = from_config(model.config.to_dict(), "tiny")
    assert second.kv_cache_bytes == compiled.kv_cache_bytes_expected(known, 4)
    assert first.kv_cache_bytes is not None and second.kv_cache_bytes >= first.kv_cache_bytes


def test_the_static_cache_and_step_are_right_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    """The same step uncompiled, so that the fast tests hold its arithmetic: window, positions, cache size."""
    import torch

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    model, shape = _model("gemma3_text"), Shape(2, 20, 6)
    compiled = Compiled(model, Device(), shape)
    compiled.prepare(0)
    for seed in (5, 6):
        assert torch.equal(compiled.run(seed).tokens, Eager(model, Device(), shape).run(seed).tokens)


def test_continuous_batching_gives_the_tokens_of_eager() -> None:
    import torch

    model, shape = _model("llama"), Shape(3, 12, 5)
    batched = Batched(model, Device(), shape)
    batched.prepare(0)
    found = batched.run(4)
    assert torch.equal(found.tokens, Eager(model, Device(), shape).run(4).tokens)
    assert found.ttft_s > 0 and found.decode_s > 0 and found.kv_cache_bytes is None


def test_memory_that_runs_out_in_continuous_batching_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers catches the error in a thread of its own and returns requests that failed, with its words."""
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    model = _model("llama")
    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(MemoryError, match=r"CUDA out of memory\. Tried to allocate 20\.00 MiB"):
        Batched(model, Device(), Shape(2, 4, 2)).prepare(0)


@pytest.mark.parametrize(
    ("inside", "raised", "match"),
    [
        ("SkipFrame", Unsupported, "cannot make one graph of this model's decode step: .*BF16 is not supported"),
        ("full", RuntimeError, "CUDA out of memory"),
        ("broken", Unsupported, "cannot make one graph of this model's decode step: .*ptxas"),
    ],
)
def test_a_step_that_cannot_be_compiled_says_so_and_is_never_run_eagerly(
    inside: str, raised: type[Exception], match: str, monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    """As inductor raises them in the middle of its work, the first for a graph with bf16 on a GPU without it."""
    import torch
    import torch._inductor.compile_fx
    from torch._dynamo.exc import SkipFrame

    errors = {
        "SkipFrame": SkipFrame("BF16 is not supported"),
        "full": torch.OutOfMemoryError("CUDA out of memory"),
        "broken": RuntimeError("ptxas fatal"),
    }

    def fails(*_: Any, **__: Any) -> None:
        raise errors[inside]

    monkeypatch.setattr(torch._inductor.compile_fx, "_check_triton_bf16_support", fails)
    with torch.compiler.config.patch(force_disable_caches=True), pytest.raises(raised, match=match) as found:
        Compiled(_model("llama"), Device(), Shape(1, 4, 3)).prepare(0)
    assert no_memory(found.value) is (inside == "full")


def test_bf16_is_not_compiled_for_a_gpu_without_it(monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    gpu = Gpu({"name": "Tesla T4", "capability": [7, 5]}, None, None)
    monkeypatch.setattr("costlib.environment.look", lambda device="cuda": gpu)
    model = _model("llama").bfloat16()
    with pytest.raises(Unsupported, match=r"no bf16 on this GPU \(compute capability 7\.5\); fp16 runs"):
        Compiled(model, QueueDevice(monkeypatch), Shape(1, 4, 3)).prepare(0)


def _cuda_code(weight: Any, tuning: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """What inductor generates for one token through a layer on an H100; the code is not compiled, so no GPU is needed.

    Of the weight only its kind and shape are used.
    """
    import torch
    import torch._inductor.compile_fx
    import torch.utils._triton
    from torch._inductor.debug import DebugContext
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.graph import GraphLowering
    from torch._inductor.runtime.hints import DeviceProperties
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    h100 = DeviceProperties("cuda", 0, 132, 90, 9, 65536, 2048, warp_size=32, max_threads_per_block=1024)
    monkeypatch.setattr(DeviceProperties, "create", classmethod(lambda cls, device: h100))
    monkeypatch.setattr(torch.cuda, "_is_compiled", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr("torch._inductor.scheduler.has_triton", lambda: True)
    monkeypatch.setattr(torch.utils._triton, "triton_hash_with_backend", lambda: "")
    names, context = weight.__tensor_flatten__()

    def layer(token: Any, *parts: Any) -> Any:
        held = type(weight).__tensor_unflatten__(
            dict(zip(names, parts, strict=True)), context, weight.shape, weight.stride()
        )
        return torch.nn.functional.linear(token, held)

    with torch.no_grad(), torch._inductor.config.patch(coordinate_descent_tuning=tuning), FakeTensorMode() as fake:
        parts = [torch.empty_strided(p.shape, p.stride(), dtype=p.dtype, device="cuda")
                 for p in (getattr(weight, name) for name in names)]  # fmt: skip
        given = [torch.empty(1, weight.shape[1], dtype=torch.bfloat16, device="cuda"), *parts]
        traced = make_fx(layer, decomposition_table=select_decomp_table(), tracing_mode="fake")(*given)
        graph = GraphLowering(traced, example_inputs=given)
        with V.set_graph_handler(graph), V.set_debug_handler(DebugContext()), V.set_fake_mode(fake):
            graph.run(*given)
            return str(graph.codegen()[0].value)


def test_int8_weights_are_widened_where_they_are_read(monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    """One fused reduction at one token: no kernel of cuBLAS, and no weight is written at 16 bit before it."""
    import torch

    tuned: list[bool] = []

    def compile_(function: Any, **_: Any) -> Any:
        def step(*arguments: Any) -> Any:  # torch compiles when it is called
            tuned.append(torch._inductor.config.coordinate_descent_tuning)
            return function(*arguments)

        return step

    monkeypatch.setattr(torch, "compile", compile_)
    model = _model("llama").bfloat16()
    Compiled(model, QueueDevice(monkeypatch), Shape(1, 4, 3)).prepare(0)
    assert set(tuned) == {False}
    for layer in list(model.modules()):
        if isinstance(layer, torch.nn.Linear) and layer is not model.lm_head:
            quantize_linear(layer, precision("int8wo"), torch.bfloat16)
    tuned.clear()
    Compiled(model, QueueDevice(monkeypatch), Shape(1, 4, 3)).prepare(0)
    assert set(tuned) == {True} and torch._inductor.config.coordinate_descent_tuning is False

    large = torch.nn.Linear(2048, 4096, bias=False).bfloat16()
    quantize_linear(large, precision("int8wo"), torch.bfloat16)
    fused, apart = (_cuda_code(large.weight, tuning, monkeypatch) for tuning in (True, False))
    written = [re.findall(r"empty_strided_cuda\(\((\d+), (\d+)\)", code) for code in (fused, apart)]
    assert "triton_red_fused" in fused and "extern_kernels.mm" not in fused and written[0] == [("1", "4096")]
    assert "extern_kernels.mm" in apart and ("2048", "4096") in written[1]


def test_one_new_token_takes_no_decode_time() -> None:
    found = Eager(_model("llama"), Device(), Shape(1, 4, 1)).run(0)
    assert found.tokens.shape == (1, 1) and found.decode_s < 0.01


class QueueDevice:
    """A GPU on a clock of its own: a step takes the host `LAUNCH_S` and the device `STEP_S`; the queue holds four."""

    name = "cuda"
    LAUNCH_S, STEP_S, DEPTH = 0.001, 0.01, 4

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.free_at = 0.0
        monkeypatch.setattr("costlib.measure.engines.time.perf_counter", lambda: self.now)

    def launch(self, *_: Any, **__: Any) -> None:
        self.now += self.LAUNCH_S
        self.free_at = max(self.free_at, self.now) + self.STEP_S
        self.now = max(self.now, self.free_at - self.DEPTH * self.STEP_S)

    def synchronize(self) -> None:
        self.now = max(self.now, self.free_at)


@pytest.mark.parametrize("engine", [Eager, Compiled])
def test_a_host_that_waits_for_a_full_queue_is_not_what_bounds_the_step(
    engine: Any, monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    """The loop that launches takes as long as the device; one launch into an empty queue tells them apart."""
    import torch

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    device, model = QueueDevice(monkeypatch), _model("llama")
    model.register_forward_hook(device.launch)
    running = engine(model, device, Shape(1, 4, 24))
    running.prepare(0)
    decode_s = running.run(1).decode_s
    assert decode_s == pytest.approx(23 * device.STEP_S, rel=0.1) and running.host_s == pytest.approx(device.LAUNCH_S)
    before = device.now
    timed = running.run(2)
    assert timed.ttft_s > 0 and timed.ttft_s + timed.decode_s == pytest.approx(device.now - before)
    share = host_share(running.host_s, [decode_s], 23)
    assert share == pytest.approx(0.1, rel=0.1) and bound_of(0.6, 0.1, share) == "bandwidth"
    assert host_share(0.02, [0.23], 23) == 1.0 and host_share(None, [1.0], 3) is None is host_share(0.1, [0.0], 0)


def test_a_compiled_step_without_a_cuda_graph_is_said(monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    """torch skips the graph with a log line; the row would carry the engine's name and the host's speed."""
    import torch

    def compiled(function: Any, **options: Any) -> Any:
        assert options["mode"] == "reduce-overhead"
        torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] += 1
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    running = Compiled(_model("llama"), QueueDevice(monkeypatch), Shape(1, 4, 3))
    running.prepare(0)
    assert running.note is not None and "made no CUDA graph" in running.note


def test_one_new_token_has_nothing_to_compile() -> None:
    """A row of the compiled engine in which nothing was compiled would carry a wrong label."""
    with pytest.raises(Unsupported, match="one new token has no decode step"):
        Compiled(_model("llama"), Device(), Shape(1, 4, 1))
