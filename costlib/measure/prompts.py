"""What a child that generates begins with: its model, and prompts cut from a text, other ones for every process."""

from __future__ import annotations

import random
from typing import Any

from costlib.errors import bad
from costlib.isolate import Unsupported
from costlib.measure.estimate import MAXIMUM_PROCESSES, MINIMUM_PROCESSES
from costlib.models.load import Loaded, context_of, load_model
from costlib.models.reference import parse


def load_generator(model: str, precision: str, device: str, tokens: int) -> Loaded:
    """Load a model that generates text and reads `tokens` of it; call it in a child process.

    Raises what `load_model` does, and `Unsupported` where the model can do neither.
    """
    longest = context_of(parse(model))
    if longest and tokens > longest:
        raise Unsupported(f"{tokens} tokens of prompt, answer and proposals exceed the context of {model}, {longest}")
    loaded = load_model(model, precision, device)
    if loaded.model.get_output_embeddings() is None:
        raise Unsupported("the model has no output head: it embeds and does not generate; see costlib embed")
    return loaded


def prompts_of(
    tokenizer: Any, text: str | None, vocabulary: int, length: int, count: int, process: int
) -> tuple[list[list[int]], int]:
    """`count` prompts of `length` tokens for one process, and how many processes the text has prompts for.

    The text is cut into windows that do not overlap, shuffled once and dealt out process by process. A prompt begins
    with the beginning-of-text token where the tokenizer puts one there. Raises `InputError` for a text too short for
    two processes.
    """
    if text is None:
        drawn = random.Random(f"{length} {process}")
        return [drawn.choices(range(vocabulary), k=length) for _ in range(count)], MAXIMUM_PROCESSES
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    first = tokenizer("a", verbose=False)["input_ids"][:1]
    begin = first if first and first[0] == tokenizer.bos_token_id else []
    size = length - len(begin)
    starts = list(range(0, len(ids) - size + 1, size)) if size > 0 else []
    most = len(starts) // count
    if most < MINIMUM_PROCESSES:
        needed = MINIMUM_PROCESSES * count
        allowed = f"a text of at least {needed} times the prompt, {needed * length:,} tokens (it has {len(ids):,})"
        raise bad("text", f"{len(text):,} characters", allowed)
    random.Random(0).shuffle(starts)
    mine = starts[process * count : (process + 1) * count]
    return [[*begin, *ids[start : start + size]] for start in mine], min(most, MAXIMUM_PROCESSES)
