"""What a router can look at, from the floors to a learned one, each as one score per request (higher: strong model).

The floors cost nothing to build: random, the length of the prompt, and a TF-IDF + linear model of the gain. A learned
router is worth its upkeep only if it beats them on paired intervals. Every score of a request comes from a model that
never saw it (`cross_fitted`), or from one fitted on the selection half only (`fit`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from costlib.errors import bad

Array = npt.NDArray[np.float64]
FLOORS = ("random", "prompt length", "TF-IDF + linear")
FOLDS = 5
_WORDS = 20_000
"""Terms a TF-IDF router keeps, so that its exported policy stays a small file."""


class Router(Protocol):
    """A fitted router: scores for prompts, and what a gateway needs to compute them."""

    def score(self, prompts: Sequence[str]) -> Array: ...  # noqa: D102 - described by the class
    def export(self) -> dict[str, Any]: ...  # noqa: D102


class Random:
    """A coin for every request; the floor of all floors."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def score(self, prompts: Sequence[str]) -> Array:
        """Equal scores: requests that cannot be told apart, which averages over every possible coin."""
        return np.zeros(len(prompts))

    def export(self) -> dict[str, Any]:
        """A rule for a gateway."""
        return {"type": "random", "seed": self._seed}


class PromptLength:
    """Characters of the prompt: long ones go to the strong model."""

    def score(self, prompts: Sequence[str]) -> Array:
        """Lengths in characters."""
        return np.array([len(prompt) for prompt in prompts], dtype=np.float64)

    def export(self) -> dict[str, Any]:
        """A rule for a gateway."""
        return {"type": "prompt_length", "unit": "characters"}


class Rules:
    """Regular expressions written by a person; a request asks for the strong model with each one that matches."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = []
        for pattern in patterns:
            try:
                self._patterns.append(re.compile(pattern, re.IGNORECASE))
            except re.error as error:
                raise bad("rule", pattern, f"a regular expression ({error})") from None

    def score(self, prompts: Sequence[str]) -> Array:
        """How many rules match."""
        return np.array([sum(bool(p.search(text)) for p in self._patterns) for text in prompts], dtype=np.float64)

    def export(self) -> dict[str, Any]:
        """A rule for a gateway."""
        return {"type": "rules", "patterns": [p.pattern for p in self._patterns], "ignore_case": True}


class TfIdf:
    """Ridge regression of the gain (strong minus weak score) on TF-IDF of words and word pairs."""

    def __init__(self, prompts: Sequence[str], gain: Array) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import Ridge

        self._words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_WORDS)
        self._ridge = Ridge().fit(self._words.fit_transform(prompts), gain)

    def score(self, prompts: Sequence[str]) -> Array:
        """Predicted gain."""
        return np.asarray(self._ridge.predict(self._words.transform(prompts)), dtype=np.float64)

    def export(self) -> dict[str, Any]:
        """Terms with their weights; the score is their normalised sum plus the intercept (see `policy.decide`)."""
        weights = zip(self._words.get_feature_names_out(), self._words.idf_, self._ridge.coef_, strict=True)
        return {
            "type": "tfidf_linear",
            "token_pattern": r"\b\w\w+\b",
            "lowercase": True,
            "ngrams": [1, 2],
            "term_frequency": "1 + ln(count)",
            "normalised": "l2",
            "intercept": float(self._ridge.intercept_),
            "terms": {str(term): [float(idf), float(weight)] for term, idf, weight in weights},
        }


class Embedding:
    """Logistic regression of "only the strong model is right" on sentence embeddings."""

    def __init__(self, embed: Callable[[Sequence[str]], Array], name: str, prompts: Sequence[str], gain: Array) -> None:
        from sklearn.linear_model import LogisticRegression

        self._embed, self._name, vectors, better = embed, name, embed(prompts), gain > 0
        self._weights, self._intercept = np.zeros(vectors.shape[1]), 0.0  # where all are alike, nothing can be learned
        if better.any() and not better.all():
            head = LogisticRegression(max_iter=1000).fit(vectors, better)
            self._weights, self._intercept = head.coef_[0], float(head.intercept_[0])

    def score(self, prompts: Sequence[str]) -> Array:
        """Log-odds."""
        return np.asarray(self._embed(prompts) @ self._weights + self._intercept, dtype=np.float64)

    def export(self) -> dict[str, Any]:
        """Weights over the embedding of a named model."""
        return {
            "type": "embedding_logistic",
            "embedding_model": self._name,
            "intercept": self._intercept,
            "weights": [float(weight) for weight in self._weights],
        }


Fit = Callable[[Sequence[str], Array], Router]


Embed = tuple[str, Callable[[Sequence[str]], npt.NDArray[Any]]]
"""The name of an embedding model, and its encoder: (texts, width) vectors of texts."""


def available(
    prompts: Sequence[str], rules: Sequence[str] = (), embed: Embed | None = None, seed: int = 0
) -> dict[str, Fit]:
    """Name and fit function of every router, simplest first; `prompts` are all that will be asked about.

    With `embed` each prompt is encoded once, when the learned router is first fitted.
    """
    found: dict[str, Fit] = {"random": lambda p, g: Random(seed), "prompt length": lambda p, g: PromptLength()}
    if rules:
        written = Rules(rules)
        found["rules"] = lambda p, g: written
    found["TF-IDF + linear"] = TfIdf
    if embed is not None:
        name, encode = embed
        known: dict[str, Array] = {}

        def remembered(some: Sequence[str]) -> Array:
            if not known:
                every = list(dict.fromkeys(prompts))
                known.update(zip(every, np.asarray(encode(every), dtype=np.float64), strict=True))
            return np.stack([known[text] for text in some])

        found["embedding + logistic"] = lambda p, g: Embedding(remembered, name, p, g)
    return found


def cross_fitted(fit: Fit, prompts: Sequence[str], gain: Array, seed: int = 0) -> Array:
    """A score for every request from a router fitted on the other folds only, so no request was seen by its own fit."""
    from sklearn.model_selection import KFold

    out = np.empty(len(prompts))
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(gain):
        router = fit([prompts[i] for i in train], gain[train])
        out[test] = router.score([prompts[i] for i in test])
    return out
