"""What a router can look at, from the floors to a learned one, each as one score per request (higher: strong model).

The floors cost nothing to build: random, the length of the prompt, and a TF-IDF + linear model of the gain. A learned
router is worth its upkeep only if it beats them on paired intervals. Every score of a request comes from a model that
never saw it (`cross_fitted`), or from one fitted on the selection half only (`fit`). A fitted router is the rule that
its policy exports, and scores as that rule does (see policy.py); only the vectors of an embedding model are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from costlib.errors import invalid_input
from costlib.portfolio.routing.policy import scores

Array = npt.NDArray[np.float64]
Rule = dict[str, Any]
"""What a gateway needs to compute a score."""
Fit = Callable[[Sequence[str], Array], tuple[Rule, Callable[[Sequence[str]], Array]]]
"""From prompts and gains (strong minus weak score) to a rule and the scores it gives."""
Embed = tuple[str, Callable[[Sequence[str]], npt.NDArray[Any]]]
"""The name of an embedding model, and its encoder: (texts, width) vectors of texts."""

FLOORS = ("random", "prompt length", "TF-IDF + linear")
LEARNED = ("tfidf_linear", "embedding_logistic")
"""Types of rules that are fitted."""
FOLDS = 5
_WORDS = 20_000
"""Terms a TF-IDF router keeps, so that its exported policy stays a small file."""


def available(
    prompts: Sequence[str], rules: Sequence[str] = (), embed: Embed | None = None, seed: int = 0
) -> dict[str, Fit]:
    """Name and fit function of every router, simplest first; `prompts` are all that will be asked about.

    Words are counted, and with `embed` prompts are encoded, once, when a learned router is first fitted.
    """
    found: dict[str, Fit] = {
        # Equal scores: requests that cannot be told apart, which averages over every possible coin.
        "random": lambda some, gain: ({"type": "random", "seed": seed}, lambda asked: np.zeros(len(asked))),
        "prompt length": lambda some, gain: _exported({"type": "prompt_length", "unit": "characters"}),
    }
    if rules:
        written = {"type": "rules", "patterns": [_checked(pattern) for pattern in rules], "ignore_case": True}
        found["rules"] = lambda some, gain: _exported(written)
    found["TF-IDF + linear"] = _tfidf(prompts)
    if embed is not None:
        found["embedding + logistic"] = _embedding(prompts, embed)
    return found


def _exported(rule: Rule) -> tuple[Rule, Callable[[Sequence[str]], Array]]:
    return rule, lambda prompts: np.array(scores(rule, prompts), dtype=np.float64)


def _checked(pattern: str) -> str:
    """A regular expression written by a person; a request asks for the strong model with each one that matches."""
    try:
        return re.compile(pattern, re.IGNORECASE).pattern
    except re.error as error:
        raise invalid_input("rule", pattern, f"a regular expression ({error})") from None


def _tfidf(every: Sequence[str]) -> Fit:
    """Ridge regression of the gain on TF-IDF of words and word pairs: a normalised sum of weights and an intercept.

    What is counted is counted once, for all prompts that will be asked about; a fit knows only the terms of its own.
    """
    known: dict[str, Any] = {}

    def counted(prompts: Sequence[str]) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer

        if not known:
            once = list(dict.fromkeys([*every, *prompts]))
            words = CountVectorizer(ngram_range=(1, 2))
            known.update(rows={text: at for at, text in enumerate(once)}, table=words.fit_transform(once))
            known["terms"] = words.get_feature_names_out()
        return known["table"][[known["rows"][text] for text in prompts]]

    def fit(prompts: Sequence[str], gain: Array) -> tuple[Rule, Callable[[Sequence[str]], Array]]:
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import Ridge

        table = counted(prompts)
        often = np.asarray(table.sum(axis=0)).ravel()
        kept = np.sort(np.argsort(-often, kind="stable")[: min(_WORDS, int((often > 0).sum()))])
        idf = TfidfTransformer(sublinear_tf=True)
        ridge = Ridge(tol=1e-7).fit(idf.fit_transform(table[:, kept]), gain)
        weights = zip(known["terms"][kept], idf.idf_, ridge.coef_, strict=True)
        return _exported(
            {
                "type": "tfidf_linear",
                "token_pattern": r"\b\w\w+\b",
                "lowercase": True,
                "ngrams": [1, 2],
                "term_frequency": "1 + ln(count)",
                "normalised": "l2",
                "intercept": float(ridge.intercept_),
                "terms": {str(term): [float(idf), float(weight)] for term, idf, weight in weights},
            }
        )

    return fit


def _embedding(every: Sequence[str], embed: Embed) -> Fit:
    """Logistic regression of "only the strong model is right" on sentence embeddings; its scores are log-odds."""
    name, encode = embed
    known: dict[str, Array] = {}

    def vectors(prompts: Sequence[str]) -> Array:
        if not known:
            once = list(dict.fromkeys(every))
            known.update(zip(once, np.asarray(encode(once), dtype=np.float64), strict=True))
        return np.stack([known[text] for text in prompts])

    def fit(prompts: Sequence[str], gain: Array) -> tuple[Rule, Callable[[Sequence[str]], Array]]:
        from sklearn.linear_model import LogisticRegression

        seen, better = vectors(prompts), gain > 0
        weights, intercept = np.zeros(seen.shape[1]), 0.0  # where all are alike, nothing can be learned
        if better.any() and not better.all():
            head = LogisticRegression(max_iter=1000).fit(seen, better)
            weights, intercept = head.coef_[0], float(head.intercept_[0])
        rule = {"type": "embedding_logistic", "embedding_model": name, "intercept": intercept}
        return {**rule, "weights": weights.tolist()}, lambda asked: vectors(asked) @ weights + intercept

    return fit


def cross_fitted(fit: Fit, prompts: Sequence[str], gain: Array, group: npt.NDArray[np.int64], seed: int = 0) -> Array:
    """A score for every request from a router fitted on the other folds only, so no prompt was seen by its own fit.

    `group` says which requests have the same prompt; they lie in one fold.
    """
    from sklearn.model_selection import KFold

    out = np.empty(len(prompts))
    _, of = np.unique(group, return_inverse=True)
    for _, held in KFold(FOLDS, shuffle=True, random_state=seed).split(np.arange(of.max() + 1)):
        test = np.isin(of, held)
        _, score = fit([text for text, out_ in zip(prompts, test, strict=True) if not out_], gain[~test])
        out[test] = score([text for text, out_ in zip(prompts, test, strict=True) if out_])
    return out
