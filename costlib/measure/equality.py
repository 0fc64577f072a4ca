"""Where two greedy answers part, and whether rounding can be the reason.

A pass over many tokens adds up the same products in another order than a pass over one, so logits differ by rounding.
Where the two best tokens are closer than that, greedy decoding may choose either, and everything after it differs. At
bf16, which keeps 8 bits, this is common; at fp32 it is rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_NEAR_STEPS = 4
"""Two logits are a near tie within this many steps of the format: each is rounded, after many rounded layers."""


def first_difference(plain: Sequence[int], other: Sequence[int]) -> int | None:
    """Index of the first token in which two answers differ, or where the shorter one ends; None if they are equal."""
    if list(plain) == list(other):
        return None
    pairs = enumerate(zip(plain, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(plain), len(other)))


def difference(model: Any, prompt: Sequence[int], plain: Sequence[int], other: Sequence[int]) -> dict[str, Any] | None:
    """None where two answers are equal, else `at` (new token, from 1) and what the model thinks of both tokens there.

    `gap` is the distance of the two logits when the model reads everything before once more, `step` the distance of
    neighbouring numbers of its format at that size, `near_tie` whether rounding decides between the two.
    """
    import torch

    at = first_difference(plain, other)
    if at is None:
        return None
    found: dict[str, Any] = {"at": at + 1, "near_tie": False}
    if at < min(len(plain), len(other)):
        with torch.inference_mode():
            read = torch.tensor([[*prompt, *plain[:at]]], device=model.device)
            logits = model(input_ids=read, use_cache=False, logits_to_keep=1).logits[0, -1]
        pair = logits[[plain[at], other[at]]].float().tolist()
        largest = max(map(abs, pair))
        step = torch.finfo(logits.dtype).eps * 2.0 ** math.floor(math.log2(largest)) if largest else 0.0
        gap = abs(pair[0] - pair[1])
        found |= {"gap": gap, "step": step, "near_tie": gap <= _NEAR_STEPS * step}
    return found


def sentence(differences: Sequence[dict[str, Any] | None], than: str, precision: str) -> str | None:
    """Why answers are not those of plain greedy decoding, in one sentence; None where all are equal."""
    found = [each for each in differences if each is not None]
    if not found:
        return None
    worst = next((each for each in found if not each["near_tie"]), found[0])
    text = f"{len(found)} of {len(differences)} answers {than} are not those of plain greedy decoding, "
    if "gap" not in worst:
        return text + f"one of them ends at new token {worst['at']}"
    text += f"one at new token {worst['at']}, where the two choices are {worst['gap']:.2g} apart in logit and "
    text += f"{precision} tells {worst['step']:.2g} apart: "
    if not worst["near_tie"]:
        return text + "more than rounding explains"
    return text + "a near tie, which rounding decides" + ("" if precision == "fp32" else "; fp32 compares more exactly")
