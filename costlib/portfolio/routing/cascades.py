"""Cascades: ask the cheapest model first and go on to the next one while its answer is not accepted.

Three ways to accept: a judge with two error rates and a cost, the model's own confidence from a threshold on, or
agreement of two models. Each gives every request an expected cost and an expected score, so that cascades, routers and
single models are compared on the same requests, in pairs. Every model asked is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from costlib.cost.inputs import number, share

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """Who accepts an answer: how often it lets a wrong one through, how often it refuses a right one, $ per check."""

    false_accept: float
    false_reject: float
    usd: float = 0.0

    def __post_init__(self) -> None:
        share("judge false_accept", self.false_accept)
        share("judge false_reject", self.false_reject)
        number("judge usd", self.usd, zero=True)


@dataclass(frozen=True)
class Outcome:
    """Expected score and $ of every request, and the share of requests each stage was asked."""

    score: Array
    cost: Array
    asked: tuple[float, ...]


def judged(scores: Sequence[Array], costs: Sequence[Array], judge: Judge) -> Outcome:
    """A cascade over stages, cheapest first; the last one's answer is delivered unchecked.

    E[cost] = sum_j (c_j + v_j) * prod_{i<j} (1 - a_i), request by request, with a_i the chance that the judge accepts
    what stage i answered: 1 - false_reject where it is right, false_accept where it is wrong (in proportion between).
    """
    n = len(scores[0])
    reach, score, cost, asked = np.ones(n), np.zeros(n), np.zeros(n), []
    for stage, (right, price) in enumerate(zip(scores, costs, strict=True)):
        asked.append(float(reach.mean()))
        last = stage == len(scores) - 1
        cost += reach * (price + (0.0 if last else judge.usd))
        accepted_right = right * (1.0 if last else 1 - judge.false_reject)
        accepted_wrong = (1 - right) * (1.0 if last else judge.false_accept)
        score += reach * accepted_right
        reach = reach * (1 - accepted_right - accepted_wrong)
    return Outcome(score, cost, tuple(asked))


def agreement(
    first: tuple[Array, Array], second: tuple[Array, Array], strong: tuple[Array, Array], agree: Bools
) -> Outcome:
    """Two small models answer everything; where they do not agree, the strong one is asked and its answer delivered."""
    score = np.where(agree, first[0], strong[0])
    return Outcome(score, first[1] + second[1] + np.where(agree, 0.0, strong[1]), (1.0, 1.0, float((~agree).mean())))


def chains(models: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every cascade of at least two of the models, in the order given (cheapest first)."""
    for length in range(2, len(models) + 1):
        yield from combinations(models, length)
