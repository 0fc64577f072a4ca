"""Answers of a model on this machine; runs in a child process.

A language model answers a classification by the choice it finds likeliest after the prompt: the sum of the
log-likelihoods of the choice's tokens (`acc` of lm-evaluation-harness). The prompt is read once and its key-value cache
serves every choice. Other kinds are answered by greedy generation up to `max_tokens`, an end-of-text token, or, after
examples, a blank line.

An embedding model answers a classification by a linear head learned from the train split, and a retrieval by cosine.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from costlib.environment import describe
from costlib.errors import invalid_input
from costlib.isolate import Invalid, Unsupported, step
from costlib.measure.worker import LOADED

_CHOICES = 32
"""Choices scored together: their logits over a vocabulary of 262,144 words take 34 MB a token."""
_BATCH = 8
_Answer = dict[str, Any]


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
    seconds had passed since the model was loaded, but the first is always answered.
    """
    import torch

    from costlib.models.load import is_encoder, load_model
    from costlib.models.reference import parse

    if is_encoder(parse(model)):
        return _embedded(model, precision, device, kind, questions, train)
    if kind == "retrieval":
        raise Unsupported("retrieval needs an embedding model, and this one makes text")
    loaded = load_model(model, precision, device, tokenizer=True)
    tokenizer, prompts = loaded.tokenizer, [str(question["prompt"]) for question in questions]
    if chat:
        if not getattr(tokenizer, "chat_template", None):
            raise invalid_input("chat", chat, f"false: the tokenizer of {model} has no chat template")
        turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
        prompts = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in turns]
    step(LOADED)
    until, chooses = time.perf_counter() + budget_s, kind == "classification"
    order = list(range(len(prompts)))
    if not chooses:  # prompts of like length together
        order.sort(key=lambda index: len(prompts[index]))
    found: list[_Answer] = [{"text": None, "detail": {}} for _ in prompts]
    size = 1 if chooses else _BATCH
    with torch.inference_mode():
        for start in range(0, len(order), size):
            if start and time.perf_counter() > until:
                break
            if start % 10 == 0 or not chooses:
                step(f"item {start + 1} of {len(prompts)}")
            part = order[start : start + size]
            if chooses:
                choices = questions[part[0]]["choices"]
                made = [likeliest(loaded.model, tokenizer, prompts[part[0]], choices, device, chat)]
            else:
                asked = [prompts[index] for index in part]
                made = generated(loaded.model, tokenizer, asked, device, max_tokens, stop, chat)
            for index, one in zip(part, made, strict=True):
                found[index] = one
    return _told(found, device, loaded.weights_note, loaded.proof.compute_dtype)


def _told(answers: list[_Answer], device: str, note: str | None, dtype: str | None) -> dict[str, Any]:
    environment, fingerprint = describe(device)
    told = {"weights_note": note, "compute_dtype": dtype, "environment": environment, "fingerprint": fingerprint}
    return {"answers": answers, **told}


def likeliest(
    model: Any, tokenizer: Any, prompt: str, choices: Sequence[str], device: str, special: bool = False
) -> _Answer:
    """The choice with the largest log-likelihood after `prompt`, and the log-likelihood of each in nats.

    `special` says that the prompt already holds its beginning-of-text token, as chat templates do.
    """
    import torch

    started = time.perf_counter()
    texts = [prompt, *(f"{prompt}{'' if prompt[-1:].isspace() else ' '}{choice}" for choice in choices)]
    encoded = [list(map(int, ids)) for ids in tokenizer(texts, add_special_tokens=not special)["input_ids"]]
    ids = encoded[1:]
    alike = [len(set(column)) == 1 for column in zip(*encoded, strict=False)]
    shared = min((*alike, False).index(False), min(map(len, ids)) - 1)
    if shared < 1:
        raise Unsupported("the tokenizer gives the prompt no token to start from")
    cache = None
    if shared > 1:
        context = torch.tensor([ids[0][: shared - 1]], device=device)
        cache = model(input_ids=context, use_cache=True, logits_to_keep=1).past_key_values
    scores: list[float] = []
    for start in range(0, len(ids), _CHOICES):
        part = [one[shared - 1 :] for one in ids[start : start + _CHOICES]]
        rows = torch.zeros((len(part), max(map(len, part))), dtype=torch.long)
        for row, one in zip(rows, part, strict=True):
            row[: len(one)] = torch.tensor(one)
        rows = rows.to(device)
        own = copy.deepcopy(cache)  # a forward pass writes into what it is given
        if own is not None:
            own.batch_repeat_interleave(len(part))
        logits = model(input_ids=rows, past_key_values=own, use_cache=own is not None).logits
        logs = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, rows[:, 1:, None])[..., 0]
        scores += [float(logs[row, : len(one) - 1].double().sum()) for row, one in enumerate(part)]
    if not all(map(math.isfinite, scores)):
        raise Invalid("the model gives likelihoods that are not finite numbers")
    best = max(range(len(scores)), key=scores.__getitem__)
    return {
        "text": choices[best],
        "detail": {"log_likelihood": [round(score, 6) for score in scores]},
        "input_tokens": len(encoded[0]),
        "output_tokens": len(ids[best]) - shared,
        "seconds": time.perf_counter() - started,
    }


def generated(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    device: str,
    max_tokens: int,
    stop: Sequence[str],
    special: bool = False,
) -> list[_Answer]:
    """Greedy answers to prompts that run together."""
    import torch

    started = time.perf_counter()
    eos, named = tokenizer.eos_token_id, model.generation_config.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), eos, tokenizer.pad_token_id} - {None}
    fill = int(next((one for one in (tokenizer.pad_token_id, eos) if one is not None), 0))
    encoded = tokenizer(list(prompts), add_special_tokens=not special)["input_ids"]
    width = max(map(len, encoded))
    written = model.generate(
        input_ids=torch.tensor([[fill] * (width - len(one)) + one for one in encoded], device=device),
        attention_mask=torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in encoded], device=device),
        max_new_tokens=max_tokens,
        do_sample=False,
        pad_token_id=fill,
        **({"stop_strings": list(stop), "tokenizer": tokenizer} if stop else {}),
    )
    seconds, found = (time.perf_counter() - started) / len(prompts), []
    for asked, row in zip(encoded, written[:, width:].tolist(), strict=True):
        ids = row[: next((at for at, token in enumerate(row) if token in ends), len(row))]
        text = tokenizer.decode(ids, skip_special_tokens=True)
        for mark in stop:
            text = text.split(mark)[0]
        counts = {"input_tokens": len(asked), "output_tokens": len(ids), "seconds": seconds}
        found.append({"text": text.strip(), "detail": {}, **counts})
    return found


def _embedded(
    model: str,
    precision: str,
    device: str,
    kind: str,
    questions: Sequence[dict[str, Any]],
    train: Sequence[dict[str, Any]],
) -> dict[str, Any]:
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
    vectors = unit(encoder.encode(texts))
    if head is not None:
        answers = [str(label) for label in head.predict(vectors)]
    else:
        documents = sorted({choice for question in questions for choice in question["choices"]})
        held = dict(zip(documents, unit(encoder.encode(documents)), strict=True))
        answers = []
        for question, vector in zip(questions, vectors, strict=True):
            similar = np.stack([held[choice] for choice in question["choices"]]) @ vector
            answers.append(json.dumps((-similar).argsort(kind="stable").tolist()))
    seconds = (time.perf_counter() - started) / len(texts)
    found: list[_Answer] = [
        {"text": text, "detail": {}, "input_tokens": tokens, "output_tokens": 0, "seconds": seconds}
        for text, tokens in zip(answers, encoder.tokens(texts), strict=True)
    ]
    return _told(found, device, encoder.weights_note, encoder.compute_dtype)
