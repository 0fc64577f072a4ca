"""What embedding vectors keep when the model that made them changes: direction, neighbours, and use.

All functions take (documents, width) arrays of the same documents in the same order. A zero vector has no direction:
its document is counted and left out, never given a similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from costlib.errors import invalid_input

Array = npt.NDArray[Any]
NEIGHBOURS = 10


@dataclass(frozen=True)
class Fidelity:
    """Cosine of each document's vector to its baseline vector, and how many of its nearest neighbours stay.

    `overlap` is per document (nearest by cosine, itself excluded); None, with `reason`, where there are no neighbours.
    `neighbours` is how many were compared, at most 10. `undefined` counts documents with a zero vector.
    """

    cosine: Array
    overlap: Array | None
    neighbours: int
    undefined: int
    reason: str | None


def fidelity(baseline: Array, variant: Array) -> Fidelity:
    """Compare vectors with baseline vectors; identical vectors give exactly 1 and 1.

    Raises `InputError` for different shapes, no document, or numbers that are not finite.
    """
    first, second = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if first.ndim != 2 or first.shape[0] != second.shape[0] or not first.shape[0]:
        raise invalid_input("vectors", f"{first.shape} and {second.shape}", "(documents, width) of the same documents")
    if first.shape[1] != second.shape[1]:
        raise invalid_input("width", f"{first.shape[1]} and {second.shape[1]}", "the same: a cosine needs one space")
    for name, vectors in (("baseline", first), ("variant", second)):
        if not np.isfinite(vectors).all():
            raise invalid_input(name, "a vector with NaN or infinity", "finite numbers")
    known = (np.abs(first).max(axis=1) > 0) & (np.abs(second).max(axis=1) > 0)
    first, second = first[known], second[known]
    undefined = int((~known).sum())
    if not len(first):
        return Fidelity(np.empty(0), None, 0, undefined, "every document has a zero vector, which has no direction")
    same = (first == second).all(axis=1)
    one, other = unit(first), unit(second)
    cosine = np.where(same, 1.0, np.clip((one * other).sum(axis=1), -1.0, 1.0))
    count = min(NEIGHBOURS, len(first) - 1)
    if not count:
        return Fidelity(cosine, None, 0, undefined, "one document has no neighbours")
    kept = [len(set(a) & set(b)) / count for a, b in zip(_nearest(one, count), _nearest(other, count), strict=True)]
    return Fidelity(cosine, np.array(kept), count, undefined, None)


def unit(vectors: Array) -> Array:
    """Vectors scaled to length 1; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def _nearest(directions: Array, count: int) -> list[list[int]]:
    """Indices of the `count` most similar other documents of each, ties by order, a slab of documents at a time."""
    found: list[list[int]] = []
    for start in range(0, len(directions), 512):
        similar = directions[start : start + 512] @ directions.T
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -np.inf
        found += np.argsort(-similar, axis=1, kind="stable")[:, :count].tolist()
    return found


def split(labels: Sequence[str], share: float = 0.5, seed: int = 0) -> tuple[list[int], list[int]]:
    """Indices to train on and to test on, each class in both; classes with one document go to training."""
    random = np.random.default_rng(seed)
    train: list[int] = []
    test: list[int] = []
    for name in sorted(set(labels)):
        members = random.permutation([i for i, label in enumerate(labels) if label == name]).tolist()
        cut = max(1, round(len(members) * share))
        train += members[:cut]
        test += members[cut:]
    return sorted(train), sorted(test)


def linear_head(vectors: Array, labels: Sequence[str]) -> Any:
    """Logistic regression on vectors of length 1 (scikit-learn); raises `InputError` for fewer than two classes."""
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2:
        raise invalid_input("labels", sorted(set(labels)), "at least two classes")
    return LogisticRegression(C=20.0, max_iter=1000).fit(unit(np.asarray(vectors, dtype=np.float32)), list(labels))


def head_right(train: Array, train_labels: Sequence[str], test: Array, test_labels: Sequence[str]) -> Array:
    """1 for each test document a linear head on the training vectors classifies correctly, else 0."""
    head = linear_head(train, train_labels)
    return np.asarray(head.predict(unit(np.asarray(test, dtype=np.float32))) == np.asarray(test_labels), dtype=float)
