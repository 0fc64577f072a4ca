"""Answers of a model on this machine; runs in a child process.

A language model answers a classification by the choice it finds likeliest after the prompt: the sum of the
log-likelihoods of the choice's tokens (`acc` of lm-evaluation-harness). The prompt is read once and its key-value cache
serves every choice. Other kinds are answered by greedy generation up to `max_tokens`, an end-of-text token, or, after
examples, a blank line.

An embedding model answers a classification by a linear head learned from the train split, and a retrieval by cosine.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any

from costlib.environment import describe
from costlib.errors import bad
from costlib.isolate import Invalid, Unsupported, step
from costlib.measure.worker import LOADED

_CHOICES = 32
"""Choices scored together: their logits over a vocabulary of 262,144 words take 34 MB a token."""
_BATCH = 8


def answer(
    model: str,
    precision: str,
    device: str,
    kind: str,
    questions: list[dict[str, Any]],
    train: list[dict[str, Any]],
    max_tokens: int,
    stop: list[str],
    chat: bool,
    budget_s: float = math.inf,
) -> dict[str, Any]:
    """Answer `questions` (prompt, input, choices); the target of `run_isolated`.

    `answers` holds, in order: text, detail, input_tokens, output_tokens, seconds; the text is None where `budget_s`
    seconds had passed since the model was loaded.
    """
    import torch

    from costlib.models.load import is_encoder, load_model
    from costlib.models.reference import parse

    if is_encoder(parse(model)):
        found, known = _embedded(model, precision, device, kind, questions, train)
    elif kind == "retrieval":
        raise Unsupported("retrieval needs an embedding model, and this one makes text")
    else:
        loaded = load_model(model, precision, device, tokenizer=True)
        known = {"weights_note": loaded.weights_note, "compute_dtype": loaded.proof.compute_dtype}
        prompts = [str(question["prompt"]) for question in questions]
        if chat:
            if not getattr(loaded.tokenizer, "chat_template", None):
                raise bad("chat", chat, f"false: the tokenizer of {model} has no chat template")
            prompts = [
                loaded.tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
                )
                for prompt in prompts
            ]
        step(LOADED)
        until = time.perf_counter() + budget_s
        with torch.inference_mode():
            if kind == "classification":
                choices = [question["choices"] for question in questions]
                found = chosen(loaded.model, loaded.tokenizer, prompts, choices, device, chat, until)
            else:
                found = generated(loaded.model, loaded.tokenizer, prompts, device, max_tokens, stop, chat, until)
    environment, fingerprint = describe(device)
    return {"answers": found, **known, "environment": environment, "fingerprint": fingerprint}


def chosen(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    choices: Sequence[Sequence[str]],
    device: str,
    special: bool,
    until: float,
) -> list[dict[str, Any]]:
    """The likeliest choice after each prompt; none is begun after `until` but the first."""
    found = [_unasked() for _ in prompts]
    for number, prompt in enumerate(prompts):
        if number and time.perf_counter() > until:
            break
        if number % 10 == 0:
            step(f"item {number + 1} of {len(prompts)}")
        found[number] = likeliest(model, tokenizer, prompt, choices[number], device, special)
    return found


def _unasked() -> dict[str, Any]:
    """The answer to a question for which there was no time."""
    return {"text": None, "detail": {}}


def likeliest(
    model: Any, tokenizer: Any, prompt: str, choices: Sequence[str], device: str, special: bool = False
) -> dict[str, Any]:
    """The choice with the largest log-likelihood after `prompt`, and the log-likelihood of each in nats.

    `special` says that the prompt already holds its beginning-of-text token, as chat templates do.
    """
    import torch

    started = time.perf_counter()
    texts = [prompt, *(f"{prompt}{'' if prompt[-1:].isspace() else ' '}{choice}" for choice in choices)]
    encoded = [list(map(int, ids)) for ids in tokenizer(texts, add_special_tokens=not special)["input_ids"]]
    ids = encoded[1:]
    shared = 0
    least = min(map(len, encoded))
    while shared < least and len({one[shared] for one in encoded}) == 1:
        shared += 1
    shared = min(shared, min(map(len, ids)) - 1)
    if shared < 1:
        raise Unsupported("the tokenizer gives the prompt no token to start from")
    cache = None
    if shared > 1:
        context = torch.tensor([ids[0][: shared - 1]], device=device)
        cache = model(input_ids=context, use_cache=True, logits_to_keep=1).past_key_values
    scores: list[float] = []
    for start in range(0, len(ids), _CHOICES):
        part = ids[start : start + _CHOICES]
        width = max(map(len, part)) - shared + 1
        rows = torch.zeros((len(part), width), dtype=torch.long)
        for row, one in enumerate(part):
            rows[row, : len(one) - shared + 1] = torch.tensor(one[shared - 1 :])
        rows = rows.to(device)
        logits = model(input_ids=rows, past_key_values=_repeated(cache, len(part)), use_cache=cache is not None).logits
        logs = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, rows[:, 1:, None])[..., 0]
        scores += [float(logs[row, : len(one) - shared].double().sum()) for row, one in enumerate(part)]
    if not all(score == score and score > -float("inf") for score in scores):
        raise Invalid("the model gives likelihoods that are not finite numbers")
    best = max(range(len(scores)), key=scores.__getitem__)
    return {
        "text": choices[best],
        "detail": {"log_likelihood": [round(score, 6) for score in scores]},
        "input_tokens": len(encoded[0]),
        "output_tokens": len(ids[best]) - shared,
        "seconds": time.perf_counter() - started,
    }


def _repeated(cache: Any, times: int) -> Any:
    """A copy of a cache of one sequence for `times` sequences, as a forward pass writes into what it is given."""
    import copy

    if cache is None:
        return None
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(times)
    return own


def generated(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    device: str,
    max_tokens: int,
    stop: Sequence[str],
    special: bool = False,
    until: float = math.inf,
) -> list[dict[str, Any]]:
    """Greedy answers, several prompts of like length together; none is begun after `until` but the first."""
    import torch

    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found = [_unasked() for _ in prompts]
    ends = torch.tensor(_end_ids(model, tokenizer), device=device, dtype=torch.long)
    fill = int(next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0))
    for start in range(0, len(order), _BATCH):
        if start and time.perf_counter() > until:
            break
        part = order[start : start + _BATCH]
        step(f"item {start + 1} of {len(prompts)}")
        started = time.perf_counter()
        encoded = tokenizer([prompts[index] for index in part], add_special_tokens=not special)["input_ids"]
        width = max(map(len, encoded))
        padded = torch.tensor([[fill] * (width - len(one)) + one for one in encoded], device=device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in encoded], device=device)
        stops = {"stop_strings": list(stop), "tokenizer": tokenizer} if stop else {}
        written = model.generate(
            input_ids=padded,
            attention_mask=mask,
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=fill,
            **stops,
        )
        seconds = (time.perf_counter() - started) / len(part)
        for row, index in enumerate(part):
            ids = written[row, width:]
            over = torch.isin(ids, ends).nonzero()
            ids = ids[: int(over[0])] if len(over) else ids
            text = tokenizer.decode(ids, skip_special_tokens=True)
            for mark in stop:
                text = text.split(mark)[0]
            found[index] = {
                "text": text.strip(),
                "detail": {},
                "input_tokens": len(encoded[row]),
                "output_tokens": len(ids),
                "seconds": seconds,
            }
    return found


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a text."""
    ends = model.generation_config.eos_token_id
    named = ends if isinstance(ends, list) else [ends]
    return sorted({int(one) for one in (*named, tokenizer.eos_token_id, tokenizer.pad_token_id) if one is not None})


def _embedded(
    model: str,
    precision: str,
    device: str,
    kind: str,
    questions: Sequence[dict[str, Any]],
    train: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from costlib.models.encoder import load_encoder
    from costlib.models.vectors import linear_head, unit

    if kind not in ("classification", "retrieval"):
        raise Unsupported(f"an embedding model makes vectors, and {kind} needs one that makes text")
    if kind == "classification" and not train:
        raise Unsupported("an embedding model classifies by a linear head, which needs items of the train split")
    encoder = load_encoder(model, precision, device)
    step(LOADED)
    texts = [str(question["input"]) for question in questions]
    step(f"encoding {len(texts)} items")
    head = None
    if kind == "classification":
        head = linear_head(encoder.encode([one["input"] for one in train]), [one["expected"] for one in train])
    started = time.perf_counter()
    vectors = encoder.encode(texts)
    if head is not None:
        answers = [str(label) for label in head.predict(unit(vectors))]
    else:
        documents = sorted({choice for question in questions for choice in question["choices"]})
        row = {text: index for index, text in enumerate(documents)}
        held = unit(encoder.encode(documents))
        answers = []
        for question, vector in zip(questions, unit(vectors), strict=True):
            similar = held[[row[choice] for choice in question["choices"]]] @ vector
            answers.append(json.dumps([int(index) for index in (-similar).argsort(kind="stable")]))
    seconds = (time.perf_counter() - started) / len(texts)
    found = [
        {"text": text, "detail": {}, "input_tokens": tokens, "output_tokens": 0, "seconds": seconds}
        for text, tokens in zip(answers, encoder.tokens(texts), strict=True)
    ]
    return found, {"weights_note": encoder.weights_note, "compute_dtype": encoder.compute_dtype}
