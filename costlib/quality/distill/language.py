"""A language model with fewer layers, trained on its teacher's logits.

The student keeps every n-th layer of the teacher and its embeddings and output layer, which stay as they are; only the
layers and the last norm learn, so that a model whose vocabulary is most of its weights trains in minutes. The loss is
per position and over the full vocabulary. The score is next-token accuracy on held-out windows of the same text, one
item per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from costlib.errors import bad
from costlib.isolate import step
from costlib.quality.distill.students import distillation_loss, layers_of, optimise, with_fewer_layers

_HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Windows:
    """Token ids in windows of equal length: (windows, window) integer arrays to train on and held out."""

    train: Any
    test: Any


def windows(tokenizer: Any, text: str, window: int, held_out: int) -> Windows:
    """Cut a text into windows; the last fifth, at most `held_out` windows, is kept for scoring.

    Raises `InputError` for a text of fewer than ten windows.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    count = len(ids) // window
    if count < 10:
        raise bad("task", f"a text of {len(ids):,} tokens", f"a text of at least {10 * window:,} tokens")
    cut = np.asarray(ids[: count * window]).reshape(count, window)
    first = count - max(2, round(count * _HELD_OUT_SHARE))
    return Windows(cut[:first], cut[first:][:held_out])


def shallow_language_model(
    teacher: Any,
    train: Any,
    *,
    steps: int,
    every: int,
    temperature: float,
    alpha: float,
    batch: int,
    device: str,
) -> tuple[Any, int]:
    """The student, and the tokens the teacher read; `train` is (windows, window) token ids."""
    import torch

    student = with_fewer_layers(teacher, every).float().to(device)
    for parameter in student.parameters():
        parameter.requires_grad_(False)
    holder, name = layers_of(student)
    learning = [p for p in getattr(holder, name).parameters()] + [
        p for other, child in holder.named_children() if "norm" in other for p in child.parameters()
    ]
    for parameter in learning:
        parameter.requires_grad_(True)
    student.train()
    order = np.random.default_rng(0)
    torch.manual_seed(0)
    read = 0

    def loss() -> Any:
        nonlocal read
        chosen = torch.from_numpy(train[order.integers(0, len(train), size=batch)]).to(device)
        read += chosen.numel()
        with torch.no_grad():
            soft = torch.log_softmax(teacher(input_ids=chosen, use_cache=False).logits.float() / temperature, dim=-1)
        scores = student(input_ids=chosen, use_cache=False).logits.float()
        hard = (scores[:, :-1].flatten(0, 1), chosen[:, 1:].flatten())
        return distillation_loss(scores, soft, hard, temperature=temperature, alpha=alpha)

    optimise(learning, steps, 5e-4, loss)
    student.eval()
    return student.to(next(teacher.parameters()).dtype), read


def next_token_right(model: Any, held_out: Any, device: str) -> tuple[list[float], list[int]]:
    """1 where the model's first choice is the next token, else 0, per token of each window; and each one's window."""
    import torch

    right: list[float] = []
    groups: list[int] = []
    with torch.inference_mode():
        for number, row in enumerate(held_out):
            step(f"window {number + 1} of {len(held_out)}")
            ids = torch.from_numpy(row)[None].to(device)
            first = model(input_ids=ids, use_cache=False).logits[0, :-1].argmax(-1)
            right += (first == ids[0, 1:]).float().tolist()
            groups += [number] * (len(row) - 1)
    return right, groups


def forward(model: Any, held_out: Sequence[Any], device: str) -> None:
    """Run the model over windows, one at a time, for timing."""
    import torch

    with torch.inference_mode():
        for row in held_out:
            model(input_ids=torch.from_numpy(row)[None].to(device), use_cache=False)
