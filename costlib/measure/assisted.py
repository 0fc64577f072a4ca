"""The child process that measures drafts: greedy decoding of the target alone, and with a draft.

With a draft it is transformers' own assisted generation, with a fixed number of proposals and no confidence threshold,
so what is timed is what a user of the library gets, its bookkeeping included. It does not report what became of each
check; two public hooks tell: its streamer gets the tokens of every check, on the host, and a hook of the target is
called before each of its passes. Between them lies the check, and between a check and the next one the draft, whose
last token is on the host, too; so both are timed where they happen, and a GPU waits for nothing it would not wait for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from costlib.errors import bad
from costlib.isolate import Invalid, step
from costlib.measure.iteration import WARM_UP_TOKENS
from costlib.measure.prompts import load_generator, prompts_of
from costlib.measure.worker import LOADED
from costlib.models.load import Loaded, load_tokenizer

PROMPT_LOOKUP = "prompt-lookup"
"""A draft without a model: what followed the last tokens where they stood before."""


@dataclass(frozen=True)
class Check:
    """One pass of the target: tokens proposed to it and kept, and seconds of the draft before it and of itself."""

    proposed: int
    kept: int
    draft_s: float
    check_s: float


@dataclass(frozen=True)
class Answer:
    """One generation: new tokens, seconds from the call to the last one and behind the first chunk, and its checks.

    A chunk is what one check settles; the first one also reads the prompt, and the draft before it does, too.
    """

    tokens: list[int]
    total_s: float
    decode_s: float
    checks: list[Check]
    kv_cache_bytes: int


def assist_once(
    target: str,
    precision: str,
    draft: str,
    draft_precision: str,
    lengths: Sequence[int],
    text: str | None,
    prompt_tokens: int,
    output_tokens: int,
    prompts: int,
    device: str,
    process: int,
) -> dict[str, Any]:
    """Measure `prompts` prompts of a text with each number of proposals in `lengths`; the target of `run_isolated`.

    Plain decoding and each assisted one follow one another in shuffled order on every prompt. A `text` of None takes
    random tokens, for random weights.
    """
    from costlib.environment import describe
    from costlib.measure.device import open_device

    tokenizer = None if text is None else load_tokenizer(target)
    if draft != PROMPT_LOOKUP and text is not None and draft != target:
        _check_tokens(tokenizer, load_tokenizer(draft), target, draft)
    hardware = open_device(device)
    longest = prompt_tokens + output_tokens + max(lengths)
    loaded = _greedy(load_generator(target, precision, device, longest))
    helper = None
    if draft != PROMPT_LOOKUP:
        helper = _greedy(load_generator(draft, draft_precision, device, longest))
        _check_width(loaded, helper, target, draft)
    width = loaded.model.config.get_text_config().vocab_size
    found, most = prompts_of(tokenizer, text, width, prompt_tokens, prompts, process)
    step(LOADED)
    alone = None if helper is None else generate(helper.model, found[0], output_tokens)
    for count in lengths:
        _assisted(loaded, helper, found[0], min(output_tokens, WARM_UP_TOKENS), count)
    hardware.reset_peaks()
    disturbance = hardware.disturbance()
    samples = []
    for number, prompt in enumerate(found):
        step(f"prompt {number + 1} of {len(found)}")
        samples.append(_sample(loaded, helper, prompt, output_tokens, lengths, f"{process} {number}"))
        samples[-1]["flag"] = disturbance.reason()
        for count in lengths:
            _compare(loaded.model, prompt, samples[-1], samples[-1]["assisted"][str(count)])
    peaks = hardware.peaks()
    environment, fingerprint = describe(device, hardware.properties)
    return {
        "samples": samples,
        "most_processes": most,
        "target_bytes": loaded.proof.columns()["weight_bytes"],
        "draft_bytes": 0 if helper is None else helper.proof.columns()["weight_bytes"],
        "target_kv_cache_bytes": samples[-1]["plain"]["kv_cache_bytes"],
        "draft_kv_cache_bytes": 0 if alone is None else alone.kv_cache_bytes,
        "peak_bytes": peaks.held,
        "weights_note": loaded.weights_note,
        "compute_dtype": loaded.proof.compute_dtype,
        "environment": environment,
        "fingerprint": fingerprint,
    }


def _check_tokens(tokenizer: Any, other: Any, target: str, draft: str) -> None:
    mine, theirs = tokenizer.get_vocab(), other.get_vocab()
    if mine != theirs:
        unlike = len(set(mine.items()) ^ set(theirs.items()))
        allowed = f"a model with the tokenizer of {target} (the two differ in {unlike:,} of {len(mine):,} tokens)"
        raise bad("draft", draft, allowed)


def _check_width(target: Loaded, helper: Loaded, name: str, draft: str) -> None:
    sizes = [each.model.config.get_text_config().vocab_size for each in (target, helper)]
    if sizes[0] != sizes[1]:
        raise bad("draft", draft, f"a model with the {sizes[0]:,} tokens of {name} (it has {sizes[1]:,})")


def _greedy(loaded: Loaded) -> Loaded:
    """Greedy, to the last token, with a fixed number of proposals whatever the draft is sure of."""
    import transformers

    # No padding token: a draft would not look at tokens of that id, also where the target really wrote one.
    loaded.model.generation_config = transformers.GenerationConfig(
        do_sample=False, num_assistant_tokens_schedule="constant", assistant_confidence_threshold=0.0
    )
    return loaded


def _sample(
    loaded: Loaded, helper: Loaded | None, prompt: list[int], new: int, lengths: Sequence[int], seed: str
) -> dict[str, Any]:
    order = [0, *lengths]
    random.Random(seed).shuffle(order)
    answers = {
        count: asdict(_assisted(loaded, helper, prompt, new, count) if count else generate(loaded.model, prompt, new))
        for count in order
    }
    return {"plain": answers[0], "assisted": {str(count): answers[count] for count in lengths}}


def _compare(model: Any, prompt: list[int], sample: dict[str, Any], other: dict[str, Any]) -> None:
    from costlib.measure.equality import difference

    other["difference"] = difference(model, prompt, sample["plain"]["tokens"], other["tokens"])


def _assisted(loaded: Loaded, helper: Loaded | None, prompt: list[int], new: int, count: int) -> Answer:
    if helper is None:
        return generate(loaded.model, prompt, new, prompt_lookup_num_tokens=count)
    helper.model.generation_config.num_assistant_tokens = count
    return generate(loaded.model, prompt, new, assistant_model=helper.model)


def generate(model: Any, prompt: list[int], new: int, **how: Any) -> Answer:
    """Exactly `new` greedy tokens after a prompt, timed, by transformers' `generate`; `how` adds a draft."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    from costlib.measure.iteration import cache_bytes

    class Clock(BaseStreamer):  # type: ignore[misc]  # transformers has no types
        def __init__(self) -> None:
            self.chunks: list[tuple[float, int]] = []

        def put(self, value: Any) -> None:
            self.chunks.append((time.perf_counter(), value.numel()))

        def end(self) -> None:
            pass

    clock = Clock()
    ids = torch.tensor([prompt], device=model.device)
    with _passes(model) as passes:
        started = time.perf_counter()
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            streamer=clock,
            return_dict_in_generate=True,
            **how,
        )
    tokens = out.sequences[0, len(prompt) :].tolist()
    chunks = clock.chunks[1:]  # the first one is the prompt
    if len(tokens) != new or sum(size for _, size in chunks) != new or len(chunks) != len(passes):
        got = f"{len(tokens)} tokens in {len(chunks)} chunks and {len(passes)} passes"
        raise Invalid(f"generation gave {got}, not {new} tokens with a chunk for each pass")
    checks, before, left = [], started, new
    for number, ((ended, size), (began, read)) in enumerate(zip(chunks, passes, strict=True)):
        proposed = read - (len(prompt) if number == 0 else 1)
        # Proposals beyond the last token that is asked for are no proposals.
        checks.append(Check(min(proposed, left - 1), size - 1, began - before, ended - began))
        before, left = ended, left - size
    first, last = chunks[0][0], chunks[-1][0]
    return Answer(tokens, last - started, last - first, checks, cache_bytes(out.past_key_values))


@contextmanager
def _passes(model: Any) -> Iterator[list[tuple[float, int]]]:
    """When each pass of a model begins, and how many tokens it reads."""
    passes: list[tuple[float, int]] = []

    def note(_: Any, positional: Any, named: Any) -> None:
        passes.append((time.perf_counter(), (positional[0] if positional else named["input_ids"]).shape[1]))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield passes
    finally:
        hook.remove()
