"""Engines: how a model is executed; see iteration.py for what each of them has to do.

`eager` is transformers' forward pass, one kernel launch after another. `compiled` keeps the key-value cache in place
and runs the decode step as one compiled graph (inductor; CUDA graphs on a GPU), without a word from the host between
tokens; prefill stays eager. `batched` is transformers' continuous batching. `llamacpp` lies in a module of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

from costlib.environment import native
from costlib.isolate import Invalid, Unsupported, full_memory, no_memory
from costlib.measure.device import Device
from costlib.measure.iteration import PROBES, Engine, Iteration, Shape, next_token
from costlib.measure.llamacpp import LlamaCpp
from costlib.models.architectures import Architecture
from costlib.models.upcast import casts, multiplied_at, widens

_STEADY_STEPS = 3
_COMPILERS = ("torch._dynamo", "torch._inductor", "triton")
"""Modules whose errors say that something cannot be compiled."""


class Eager(Engine):
    """transformers' forward pass with a growing key-value cache."""

    def begin(self) -> tuple[Any, Any, Any]:
        """One kind of pass for a prompt and a token."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        one = partial(next_token, self.model, cache=cache)
        return cache, one, one


class Compiled(Engine):
    """Static cache, and the decode step (forward, argmax, next position) as one compiled graph."""

    compiles, inference = True, False

    def __init__(self, model: Any, device: Device, shape: Shape) -> None:
        from transformers import StaticCache
        from transformers.cache_utils import StaticLayer

        super().__init__(model, device, shape)
        if shape.output_tokens < 2:
            raise Unsupported("one new token has no decode step, and that is what the compiled engine compiles")
        length = shape.prompt_tokens + shape.output_tokens
        self.cache = StaticCache(config=model.config, max_cache_len=length)
        # A sliding layer counts its tokens on the host and would be compiled anew at every step; kept whole, its window
        # is cut by the attention mask instead.
        self.cache.layers = [StaticLayer(max_cache_len=length) for _ in self.cache.layers]
        self._step: Any = None

    def prepare(self, seed: int) -> None:
        """Compile and capture, until steps are steady; afterwards a recompilation is an error, not a slow sample."""
        import torch

        kinds, on_gpu = native(self.device.name), self.device.name.startswith("cuda")
        if on_gpu and multiplied_at(self.model) == "bf16" and not kinds.bf16:
            raise Unsupported(f"torch.compile has no bf16 on this GPU ({kinds.said}); fp16 runs")
        torch._dynamo.reset()
        options: dict[str, Any] = {"mode": "reduce-overhead"} if on_gpu else {}
        if not on_gpu:
            # Weights are constants here, so inductor may lay them out for the CPU's matrix-vector kernels. The switch
            # has to be set for the tracer, too, so an option of the one compilation would come too late. Constants that
            # are widened would be kept at fp32.
            torch._inductor.config.freezing = not widens(self.model)
        skipped = torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]
        self._step = torch.compile(self._decode, dynamic=False, fullgraph=True, **options)
        started = time.perf_counter()
        new = 1 + min(_STEADY_STEPS, self.shape.output_tokens - 1)
        room = self.shape.output_tokens - new + 1  # steps the static cache still has a place for
        try:
            # Tuned so, inductor multiplies one token by itself and widens a weight where it is read. Else that is a
            # product of cuBLAS, before which every weight is written at 16 bit.
            with torch._inductor.config.patch(coordinate_descent_tuning=casts(self.model)):
                steady = self.timed(seed, new)
                compiled_s = time.perf_counter() - started
                again = self.timed(seed, new, min(PROBES, room))
        except Exception as error:
            if no_memory(error) or not type(error).__module__.startswith(_COMPILERS):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unsupported(f"torch.compile cannot make one graph of this model's decode step: {reason}") from error
        self.compile_s = max(0.0, compiled_s - again.ttft_s - again.decode_s)
        if torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] > skipped:  # torch only logs it
            self.note = "torch.compile made no CUDA graph of the decode step, so the host launches every kernel"
        if steady.tokens.shape != again.tokens.shape:
            raise Invalid("the compiled step returned tokens of another shape")
        torch._dynamo.config.error_on_recompile = True

    def kv_cache_bytes_expected(self, shape: Architecture, element_bytes: int) -> int:
        """Every layer holds the whole length from the start."""
        tokens = self.shape.prompt_tokens + self.shape.output_tokens
        return replace(shape, sliding_layers=0).kv_cache_bytes(tokens, self.shape.batch, element_bytes)

    def begin(self) -> tuple[Any, Any, Any]:
        """The prompt is read uncompiled; a token by the graph, which keeps its own position."""
        import torch

        place, batch, length = self.model.device, self.shape.batch, self.shape.prompt_tokens
        before = torch.arange(length, device=place)[None].expand(batch, -1)
        position = torch.full((batch, 1), length, device=place)
        self.cache.reset()

        def advance(token: Any) -> Any:
            nonlocal position
            token, position = self._step(token, position)
            # CUDA graphs write their outputs to the same memory at every replay.
            token, position = token.clone(), position.clone()
            return token

        return self.cache, lambda prompt: self._decode(prompt, before)[0], advance

    def _decode(self, token: Any, position: Any) -> tuple[Any, Any]:
        return next_token(self.model, token, self.cache, position_ids=position), position + 1


class Batched(Engine):
    """Continuous batching: all requests are submitted at once; prefill and decode of different requests overlap.

    Pages round up what its cache is expected to hold.
    """

    def __init__(self, model: Any, device: Device, shape: Shape) -> None:
        import transformers
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        super().__init__(model, device, shape)
        new = shape.output_tokens
        self._generation = transformers.GenerationConfig(
            max_new_tokens=new, min_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        page = 32
        blocks = shape.batch * (-(-(shape.prompt_tokens + new) // page) + 1)
        self._batching = ContinuousBatchingConfig(
            num_blocks=max(blocks, 8), block_size=page, max_batch_tokens=max(512, shape.batch + shape.prompt_tokens)
        )

    def prepare(self, seed: int) -> None:
        """One whole iteration, which starts the manager and captures its graphs."""
        self.run(seed)

    def run(self, seed: int) -> Iteration:
        """One timed iteration."""
        import logging

        import torch

        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
        prompts = self.prompt(seed).tolist()
        self.device.synchronize()
        started = time.perf_counter()
        try:
            found = self.model.generate_batch(
                prompts,
                generation_config=self._generation,
                continuous_batching_config=self._batching,
                record_timestamps=True,
                persistent_manager=True,
                warmup=False,
            )
        except (NotImplementedError, ValueError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise Unsupported(f"transformers cannot run this model with continuous batching: {reason}") from error
        outputs = list(found.values())
        errors = [str(out.error) for out in outputs if out.error]
        manager = getattr(self.model, "_cached_continuous_batching_manager", None)
        if fatal := getattr(getattr(manager, "background_thread_status", None), "fatal_error", None):
            errors.append(str(fatal))
        if full := full_memory(errors):
            raise MemoryError(full)  # transformers keeps the words of an error only
        wrong = [out for out in outputs if out.error or len(out.generated_tokens) != self.shape.output_tokens]
        if len(outputs) != self.shape.batch or wrong:
            raise Invalid(
                f"{self.shape.batch - len(outputs) + len(wrong)} of {self.shape.batch} requests did not return "
                f"{self.shape.output_tokens} tokens" + "".join(f": {text}".splitlines()[0] for text in errors[:1])
            )
        first = max(out.timestamps[0] for out in outputs)
        last = max(out.timestamps[-1] for out in outputs)
        tokens = torch.tensor([out.generated_tokens for out in outputs])
        return Iteration(first - started, last - first, None, tokens)


ENGINES: dict[str, type[Engine]] = {"eager": Eager, "compiled": Compiled, "batched": Batched, "llamacpp": LlamaCpp}
