"""The llamacpp engine: a GGUF file on its own blocks, by llama.cpp's binding (the `[llamacpp]` extra), at batch 1.

llama.cpp picks the next token from logits that its last step left on the host; reading them waits for the device. Its
own loader refuses a file that lacks a tensor, and the bytes it holds are compared with those of the file.
"""

from __future__ import annotations

import ctypes
import time
from functools import cache
from pathlib import Path
from typing import Any

from costlib.environment import gpu_index
from costlib.errors import InputError
from costlib.isolate import Invalid, Unsupported, full_memory
from costlib.measure.device import Device
from costlib.measure.iteration import Engine, Iteration, Shape, check_length, random_tokens
from costlib.models import gguf
from costlib.models.precision import Precision
from costlib.models.precision import precision as known_precision
from costlib.models.reference import parse

_ERROR = 4
"""ggml's level of a log line that says why something failed (ggml.h; the binding's own table is of an older one)."""
_ONE_GPU = 0
"""llama.h's `LLAMA_SPLIT_MODE_NONE`: by itself it would spread a model over every GPU of the machine."""


class LlamaCpp(Engine):
    """`model` is a `llama_cpp.Llama` that `load` made. It rounds its context up as it likes, which nobody predicts."""

    unread = "llama.cpp allocates its whole context and does not say which bytes it holds and reads"

    @classmethod
    def load(cls, model: str, precision: str, device: str, shape: Shape) -> tuple[Any, dict[str, Any]]:
        """The file on its blocks."""
        file = Path(parse(model).name)
        gguf.read(file)  # kept from here on, so that checking the file is not timed as loading
        started = time.perf_counter()
        loaded, columns = load(file, known_precision(precision), shape, device)
        return loaded, columns | {"load_s": time.perf_counter() - started, "weights_note": None}

    def __init__(self, model: Any, device: Device, shape: Shape) -> None:
        super().__init__(model, device, shape)
        if shape.batch != 1:
            raise Unsupported("llama.cpp is measured at batch 1 here")

    def timed(self, seed: int, new: int, probes: int = 0) -> Iteration:
        """One iteration; the warm-up touches every weight once."""
        import numpy as np

        prompt = random_tokens(self.model.n_vocab(), self.shape, seed)[0].tolist()
        self.model.reset()
        started = time.perf_counter()
        tokens = [self._next(prompt)]
        first = time.perf_counter()
        for _ in range(new - 1):
            tokens.append(self._next(tokens[-1:]))
        return Iteration(first - started, time.perf_counter() - first, None, np.array([tokens]))

    def _next(self, tokens: list[int]) -> int:
        """Run tokens behind those already in the cache; the most likely next one.

        `model.scores` would stay empty: the binding fills it only where it keeps the logits of every position.
        """
        import llama_cpp
        import numpy as np

        self.model.eval(tokens)
        logits = llama_cpp.llama_get_logits_ith(self.model.ctx, -1)
        return int(np.ctypeslib.as_array(logits, shape=(self.model.n_vocab(),)).argmax())


def load(file: Path, held: Precision, shape: Shape, device: str) -> tuple[Any, dict[str, Any]]:
    """Load a GGUF file by llama.cpp; the model, and what it proves as columns of the runs table.

    Raises `InputError` where the binding is not installed, `Invalid` where the file is of another type than asked for
    or lacks something, `Unsupported` where this build or the model cannot do what was asked.
    """
    try:
        import llama_cpp
    except ImportError as error:
        raise InputError(
            "engine is 'llamacpp', whose binding is missing; allowed: pip install 'costlib[llamacpp]'"
        ) from error
    from costlib.environment import cpu_count

    found = gguf.read(file)
    gguf.check_type(found, held)
    on_gpu = device.startswith("cuda")
    if on_gpu and not llama_cpp.llama_supports_gpu_offload():
        raise Unsupported("this build of llama.cpp has no CUDA; install one that has to measure on the GPU")
    collect, errors = _errors()
    errors.clear()
    llama_cpp.llama_log_set(collect, ctypes.c_void_p(0))
    try:
        model = llama_cpp.Llama(
            model_path=str(file),
            n_ctx=shape.prompt_tokens + shape.output_tokens,
            n_batch=max(shape.prompt_tokens, 32),
            n_threads=cpu_count(),
            n_threads_batch=cpu_count(),
            n_gpu_layers=-1 if on_gpu else 0,
            main_gpu=gpu_index(device),
            split_mode=_ONE_GPU,
            verbose=False,
        )
    except ValueError as error:
        if full := full_memory(errors):
            raise MemoryError(full) from error
        reason = (errors or [str(error)])[0].partition("error loading model: ")
        refused = f"llama.cpp refuses the file: {reason[2] or reason[0]}"
        raise (Unsupported if "architecture" in refused else Invalid)(refused) from error
    longest = int(llama_cpp.llama_model_n_ctx_train(model.model))
    check_length(longest, shape.prompt_tokens, shape.output_tokens)
    return model, gguf.columns(found, int(llama_cpp.llama_model_size(model.model)))


@cache
def _errors() -> tuple[Any, list[str]]:
    """A log callback, and the lines of errors it collects; kept, because llama.cpp calls it for as long as it runs."""
    import llama_cpp

    lines: list[str] = []

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def collect(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR:
            lines.append(text.decode(errors="replace").strip())

    return collect, lines
