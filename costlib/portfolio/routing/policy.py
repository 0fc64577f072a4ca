"""The chosen routing rule as a small JSON document that a gateway can read, and its reference implementation.

The document names the models, what computes the score, the threshold and, in words, the rule of its kind: a router
sends a request to `strong` when its score is at least `threshold`; a cascade asks `models` in order. `decide` is what a
gateway has to do for a router; a test holds both together. A learned router's document names its embedding model and
holds the weights over its vectors.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from costlib.errors import CostlibError, invalid_input
from costlib.models.encoder import trained_encoder
from costlib.output import write_whole
from costlib.read import read_json
from costlib.study.fields import one_of

Part = TypeVar("Part", bound=BaseModel)
Known = TypeVar("Known", bound="Document")

FORMAT = "costlib-route-1"
WRITTEN = "a JSON document written by costlib route --out"

RULES = {
    "router": "send the request to `strong` when its score is at least `threshold`, else to `weak`",
    "confidence cascade": "ask the first of `models`; when minus its confidence is at least `threshold`, ask the last",
    "agreement cascade": "ask the first two of `models`; where they agree deliver the answer, else ask the last",
    "judged cascade": "ask `models` in order; deliver the first answer the judge accepts, or the last one",
}
"""What a gateway does, by kind of policy."""
RULE_TYPES = (
    "random", "prompt_length", "confidence", "agreement", "judge", "rules", "tfidf_linear", "embedding_logistic",
)  # fmt: skip
"""What computes a score."""


def policy(
    kind: str, models: Sequence[str], score: Mapping[str, Any], threshold: float | None, evidence: Mapping[str, Any]
) -> dict[str, Any]:
    """The document; `models` are in the order they are asked, `evidence` is what was measured when it was chosen."""
    return {
        "format": FORMAT,
        "kind": kind,
        "rule": RULES[kind],
        "models": list(models),
        "weak": models[0],
        "strong": models[-1],
        "score": dict(score),
        "threshold": threshold,
        "evidence": dict(evidence),
    }


def write_policy(document: Mapping[str, Any], path: str | Path) -> Path:
    """Write the document; the file appears whole or not at all."""
    return write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


class Document(BaseModel):
    """What every reader of a policy needs of it."""

    kind: Annotated[str, AfterValidator(one_of(tuple(RULES)))]
    models: Annotated[list[str], Field(min_length=2)]
    score: dict[str, Any]


def read_policy(model: type[Known], path: Path) -> Known:
    """A document that `write_policy` wrote; raises `InputError` for any other file."""
    document = read_json(path, "policy", WRITTEN)
    if document.get("format") != FORMAT:
        raise invalid_input("policy.format", document.get("format"), FORMAT, str(path))
    found = checked(model, document, path)
    checked(_Rule, found.score, path, "score")
    return found


def checked(model: type[Part], document: Any, path: Path, *place: str) -> Part:
    """A document, or its part at `place`, as `model` reads it; raises `InputError` naming what does not fit."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where, value = ".".join(["policy", *place, *map(str, first["loc"])]), first["input"]
        if first["type"] == "missing" or isinstance(value, (dict, list)):
            shown = None if first["type"] == "missing" else type(value).__name__
            raise invalid_input(where, shown, WRITTEN, str(path)) from None
        raise invalid_input(where, value, first["msg"].removeprefix("Input should be "), str(path)) from None


class _Rule(BaseModel):
    """What any rule may say: its type, and $ per request of judging."""

    type: Annotated[str, AfterValidator(one_of(RULE_TYPES))]
    usd: Annotated[float, Field(strict=True, ge=0, le=1e15)] = 0.0


def decide(document: Mapping[str, Any], prompt: str) -> str:
    """The model a router sends a prompt to; raises the errors of `scores`.

    An embedding model is loaded for each call, which takes seconds: a reference, not a gateway.
    """
    (score,) = scores(document["score"], [prompt])
    return str(document["strong"] if score >= document["threshold"] else document["weak"])


def scores(rule: Mapping[str, Any], prompts: Sequence[str]) -> list[float]:
    """The score of each prompt under an exported rule.

    Raises `InputError` for a rule this reference cannot compute: an unknown one, or one over the vectors of an
    embedding model that cannot be run here.
    """
    if rule["type"] == "embedding_logistic":
        return _embedded(rule, prompts)
    if rule["type"] not in _SCORES:
        raise invalid_input("score type", rule["type"], (*_SCORES, "embedding_logistic"))
    return [_SCORES[rule["type"]](rule, prompt) for prompt in prompts]


def _length(rule: Mapping[str, Any], prompt: str) -> float:
    return float(len(prompt))


def _matches(rule: Mapping[str, Any], prompt: str) -> float:
    return float(sum(bool(re.search(pattern, prompt, re.IGNORECASE)) for pattern in rule["patterns"]))


def _linear(rule: Mapping[str, Any], prompt: str) -> float:
    words, terms = re.findall(rule["token_pattern"], prompt.lower()), rule["terms"]
    counted = Counter(filter(terms.__contains__, chain(words, map(" ".join, pairwise(words)))))
    found = [((1 + math.log(n)) * terms[term][0], terms[term][1]) for term, n in counted.items()]
    norm = math.sqrt(math.fsum(value * value for value, _ in found)) or 1.0
    return float(rule["intercept"] + math.fsum(value * weight for value, weight in found) / norm)


_SCORES = {"prompt_length": _length, "rules": _matches, "tfidf_linear": _linear}


def _embedded(rule: Mapping[str, Any], prompts: Sequence[str]) -> list[float]:
    """Log-odds over the vectors of the rule's embedding model, which runs in a process of its own."""
    field, name, weights = "policy.score.embedding_model", rule["embedding_model"], np.asarray(rule["weights"])
    try:
        vectors = trained_encoder(name)(prompts)
    except CostlibError as error:
        raise invalid_input(field, name, f"an embedding model that runs here ({error})") from None
    if vectors.shape[1] != len(weights):
        raise invalid_input(
            field, f"{name} of width {vectors.shape[1]}", f"one of width {len(weights)}, as its weights are"
        )
    return [float(score) for score in vectors @ weights + rule["intercept"]]
