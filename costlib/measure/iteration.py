"""What every engine does: one timed iteration, exactly N new tokens after a random prompt, greedy.

The clock is monotonic. On CUDA each end of a region is synchronised; the first token is read on the host, which is what
a server has to do before it can send it. Tokens are random and differ in every iteration: constant ones draw less power
and let the clocks rise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from costlib.isolate import Unsupported
from costlib.measure.device import Device
from costlib.models.architectures import Architecture
from costlib.models.load import Loaded, context_of, load_model
from costlib.models.reference import parse

WARM_UP_TOKENS = 8
PROBES = 3
_Pass = Callable[[Any], Any]


@dataclass(frozen=True)
class Shape:
    """Sequences run together, prompt tokens and new tokens of each."""

    batch: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Iteration:
    """Times of one iteration in seconds: call to first token, and first to last token (0 new steps when N = 1).

    In the batched engine the first is that of the last request to get its first token. `tokens` (batch, N) are for
    checking engines against each other.
    """

    ttft_s: float
    decode_s: float
    kv_cache_bytes: int | None
    tokens: Any = None


class Engine:
    """One way to execute a model at one shape; each of them says how a pass is made (`begin`).

    `host_s` is the time the host needs to launch a decode step on a device that runs on its own, `compile_s` that of
    compiling, `note` what was not as the engine's name says; each is known after `prepare`, None where there is none.
    """

    compiles = False
    """Whether the time budget runs only from when it has compiled."""
    unread: str | None = None
    """Why nobody can tell what its cache holds and which bytes it reads, where that is so."""
    inference = True
    """Whether it runs in torch's inference mode, in which inductor cannot freeze weights."""
    compile_s: float | None = None
    host_s: float | None = None
    note: str | None = None

    def __init__(self, model: Any, device: Device, shape: Shape) -> None:
        self.model, self.device, self.shape = model, device, shape

    @classmethod
    def load(cls, model: str, precision: str, device: str, shape: Shape) -> tuple[Any, dict[str, Any]]:
        """The model that it executes, and columns: how long loading took, what it proves, what a reader must know."""
        loaded = load_generator(model, precision, device, shape.prompt_tokens, shape.output_tokens)
        return loaded.model, loaded.proof.columns() | {"load_s": loaded.load_s, "weights_note": loaded.weights_note}

    def prepare(self, seed: int) -> None:
        """The same prompt shape as the timed iterations; fewer steps, because decode steps repeat one shape anyway."""
        self.timed(seed, min(self.shape.output_tokens, WARM_UP_TOKENS), PROBES)

    def run(self, seed: int) -> Iteration:
        """One timed iteration."""
        return self.timed(seed, self.shape.output_tokens)

    def kv_cache_bytes_expected(self, shape: Architecture, element_bytes: int) -> int:
        """Every token but the last new one is in the cache."""
        tokens = self.shape.prompt_tokens + self.shape.output_tokens - 1
        return shape.kv_cache_bytes(tokens, self.shape.batch, element_bytes)

    def begin(self) -> tuple[Any, _Pass, _Pass]:
        """An empty cache, what reads the prompt into it, and what makes a token of the last one."""
        raise NotImplementedError

    def prompt(self, seed: int) -> Any:
        """Random token ids (batch, prompt tokens) on the host."""
        return random_tokens(self.model.config.get_text_config().vocab_size, self.shape, seed)

    def timed(self, seed: int, new: int, probes: int = 0) -> Iteration:
        """`new` tokens after a prompt, and then, untimed, `probes` launches of a step while the device is idle."""
        import torch

        with torch.inference_mode(self.inference), torch.no_grad():
            prompt = self.prompt(seed).to(self.model.device)
            cache, read, advance = self.begin()
            self.device.synchronize()
            started = time.perf_counter()
            tokens = [read(prompt)]
            tokens[0].cpu()
            first = time.perf_counter()
            for _ in range(new - 1):
                tokens.append(advance(tokens[-1]))
            self.device.synchronize()
            last = time.perf_counter()
            held = cache_bytes(cache)
            if probes:
                self.host_s = launch_s(self.device, lambda: advance(tokens[-1]), probes)
            return Iteration(first - started, last - first, held, torch.cat(tokens, dim=1))


def load_generator(model: str, precision: str, device: str, *tokens: int) -> Loaded:
    """Load a model that generates text and reads `tokens` of it.

    Raises what `load_model` does, and `Unsupported` where the model can do neither.
    """
    check_length(context_of(parse(model)), *tokens)
    loaded = load_model(model, precision, device)
    if loaded.model.get_output_embeddings() is None:
        raise Unsupported("the model has no output head: it embeds and does not generate; see costlib embed")
    return loaded


def check_length(longest: int | None, *tokens: int) -> None:
    """Raise `Unsupported` where a model's context, if it has one, is too short."""
    if longest and sum(tokens) > longest:
        raise Unsupported(f"{' + '.join(map(str, tokens))} tokens exceed the model's context of {longest}")


def random_tokens(vocabulary: int, shape: Shape, seed: int) -> Any:
    """Random token ids (batch, prompt tokens) on the host."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (shape.batch, shape.prompt_tokens), generator=generator)


def next_token(model: Any, tokens: Any, cache: Any, **more: Any) -> Any:
    """The most likely token (batch, 1) after tokens that are read into a cache."""
    logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1, **more).logits
    return logits[:, -1, :].argmax(dim=-1, keepdim=True)


def launch_s(device: Device, step: Callable[[], object], times: int) -> float | None:
    """Seconds the host needs to launch one step while the device is idle, the best of several; None on a CPU.

    A whole run would not tell: the queue to a GPU holds about a thousand kernels, and a host that is that far ahead
    waits for the device and looks busy.
    """
    if not device.name.startswith("cuda"):
        return None
    found = []
    for _ in range(times):
        device.synchronize()
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    device.synchronize()
    return min(found)


def cache_bytes(cache: Any) -> int:
    """Bytes of every key and value tensor in a cache."""
    tensors = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
