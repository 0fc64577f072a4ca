"""What could answer the requests, with its threshold chosen on one half: single models, routers, cascades.

A candidate is a function from row numbers to expected scores and $ of those requests. The threshold is the one that is
best on the selection half: the least expected $ per request, cost + miss cost * P(wrong), or the least cost that is
shown to keep a share of the best model's score. Equal scores cannot be told apart, so a threshold never cuts through a
tie.

A rule that does not keep the score is chosen in at most 5 % of cases, whatever the number of rules and thresholds that
were tried. The low end of each way to answer is that of Agresti and Coull (1998), with two requests more that are
wholly lost, because a score of which few are lost is as surely kept as few were tried. A rule's thresholds are tested
in order, from all requests on the strong model down, and the first one that is not shown to keep the score ends the
search: a fixed sequence needs no correction for its length (Angelopoulos et al. 2021, "Learn then test"). Several rules
share the 5 % equally (Bonferroni).

A cascade asks the cheapest model first and goes on to the next one while its answer is not accepted: by a judge with
two error rates and a cost, by its own confidence, or by the agreement of two models. Every model asked is paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from costlib.cost.inputs import number, share
from costlib.portfolio.routing.requests import Requests
from costlib.portfolio.routing.routers import LEARNED, Fit, cross_fitted

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
ALPHA = 0.05
"""Largest probability of choosing a rule that does not keep the score."""
_LOST = 2
"""Requests added to those that choose, on which a way to answer loses all there is to lose."""


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


@dataclass(frozen=True)
class Goal:
    """What is best: with `miss_usd` the least E[$] per request, else the least cost that keeps a share of a score.

    The score to keep is `keep` times `reference`, the score of the best single model on the same requests. `group`
    numbers the distinct prompts; `rules` is the number of rules among which one is chosen.
    """

    miss_usd: float | None
    keep: float
    reference: Array
    group: Rows
    rules: int

    def value(self, outcome: Outcome) -> Array:
        """$ per request that the goal counts."""
        return np.asarray(outcome.cost + (self.miss_usd or 0.0) * (1 - outcome.score), dtype=np.float64)

    def spare(self, score: Array, rows: Rows) -> Array:
        """Per request, how far a score lies above the one to keep; what counts is the mean."""
        return np.asarray(score - self.keep * self.reference[rows], dtype=np.float64)

    def best(self, cost: Array, score: Array, spare: Array, rows: Rows, *, rising: bool = False) -> int | None:
        """Position of the best of several ways to answer `rows`; None where none is shown to keep the score.

        `cost` and `score` are means over the rows, `spare` has the three `sums` of each way. `rising` says that each
        way sends up more than the one before: then none counts before one that is not shown to keep the score.
        """
        if self.miss_usd is not None:
            return int(np.argmin(cost + self.miss_usd * (1 - score)))
        size = self.sizes(rows)
        found, squares, sized = spare
        mean, units = found / size.sum(), len(size)
        apart = squares - 2 * mean * sized + mean**2 * (size**2).sum()  # of each prompt's sum from what its size asks
        second = apart * units / size.sum() ** 2 + mean**2
        n = units + _LOST
        mean, second = (units * mean - _LOST * self.keep) / n, (units * second + _LOST * self.keep**2) / n
        error = np.sqrt(np.maximum(second - mean**2, 0) / (n - 1))
        keeps = mean >= stats.norm.isf(ALPHA / max(self.rules, 1)) * error
        if rising:
            keeps = np.logical_and.accumulate(keeps[::-1])[::-1]
        return int(np.argmin(np.where(keeps, cost, np.inf))) if keeps.any() else None

    def units(self, rows: Rows) -> Rows:
        """Numbers of the distinct prompts of those rows, from 0 on."""
        return np.asarray(np.unique(self.group[rows], return_inverse=True)[1])

    def sizes(self, rows: Rows) -> Array:
        """How many of the rows each of their distinct prompts has."""
        return np.bincount(self.units(rows)).astype(np.float64)

    def sums(self, score: Array, rows: Rows) -> Array:
        """Of a way's spare, added up within each distinct prompt: the sum, the sum of squares, and that times sizes."""
        each = np.bincount(self.units(rows), self.spare(score, rows))
        return np.array([each.sum(), (each**2).sum(), each @ self.sizes(rows)])


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to answer; `outcome(rows)` is what it gives on those requests."""

    name: str
    kind: str
    models: tuple[str, ...]
    outcome: Callable[[Rows], Outcome]
    threshold: float | None = None
    score: dict[str, Any] = field(default_factory=dict)


def singles(requests: Requests) -> Iterator[Candidate]:
    """Everything on one model."""
    for model in requests.models:
        score, cost = requests.of(model)

        def outcome(rows: Rows, score: Array = score, cost: Array = cost) -> Outcome:
            return Outcome(score[rows], cost[rows], (1.0,))

        yield Candidate(f"always {model}", "single model", (model,), outcome)


@dataclass(frozen=True, eq=False)
class Ladder:
    """A rule without its threshold: requests whose `asked` reaches it go up. `stay` and `up` are (score, cost).

    On the selection half, what a `learned` rule asks comes from fits that did not see the request: else it would look
    better than it is.
    """

    name: str
    kind: str
    models: tuple[str, ...]
    asked: Array
    stay: tuple[Array, Array]
    up: tuple[Array, Array]
    rule: dict[str, Any]
    learned: bool = False

    def chosen(self, half: Rows, goal: Goal) -> Candidate | None:
        """With the threshold that is best on that half; None where that sends nothing or everything up."""
        asked = self.asked[half]
        order = np.argsort(-asked, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(asked[order]) != 0, True))

        def path(first: float, steps: Array) -> Array:
            """What a sum becomes as requests go up one after the other, after each that no other ties with."""
            return np.concatenate([[first], first + np.cumsum(steps[order])[ends]])

        (stay, paid), (up, price) = ((one[0][half], one[1][half]) for one in (self.stay, self.up))
        score, cost = path(stay.sum(), up - stay) / len(half), path(paid.sum(), price - paid) / len(half)
        units, size, gain = goal.units(half), goal.sizes(half), up - stay
        earlier = pd.Series(gain[order]).groupby(units[order]).cumsum().to_numpy() - gain[order]
        first = np.bincount(units, goal.spare(stay, half))
        before = first[units] + earlier[np.argsort(order)]  # what a prompt's sum is when a request goes up
        firsts = goal.sums(stay, half)
        spare = [path(*one) for one in zip(firsts, (gain, gain * (2 * before + gain), gain * size[units]), strict=True)]
        best = goal.best(cost, score, np.array(spare), half, rising=True)
        if best is None or best in (0, len(ends)):
            return None
        last = ends[best - 1]
        at = float(asked[order][last])
        if self.learned and goal.miss_usd is None:  # what is exported sends up no less than those fits do
            at = min(at, float(np.quantile(np.delete(self.asked, half), 1 - (last + 1) / len(half), method="lower")))

        def outcome(rows: Rows) -> Outcome:
            up = self.asked[rows] >= at
            score, cost = (np.where(up, self.up[i][rows], self.stay[i][rows]) for i in (0, 1))
            return Outcome(score, cost, (1.0, float(up.mean())))

        return Candidate(self.name, self.kind, self.models, outcome, at, self.rule)


def routers(requests: Requests, weak: str, strong: str, fits: dict[str, Fit], half: Rows) -> Iterator[Ladder]:
    """Every router but the coin, fitted on the selection half."""
    if requests.prompts is None or weak == strong:
        return
    w, s = requests.of(weak), requests.of(strong)
    gain, prompts = (s[0] - w[0])[half], [requests.prompts[i] for i in half]
    for name, fit in fits.items():
        if name != "random":
            rule, score = fit(prompts, gain)
            asked, learned = score(requests.prompts), rule["type"] in LEARNED
            if learned:
                asked[half] = cross_fitted(fit, prompts, gain, requests.group[half])
            yield Ladder(name, "router", (weak, strong), asked, w, s, rule, learned)


def cascades(requests: Requests, strong: str, judge: Judge | None) -> Iterator[Ladder | Candidate]:
    """Cascades by confidence, by agreement and under a judge, as far as the table and the caller allow."""
    order = sorted(requests.models, key=lambda model: float(requests.of(model)[1].mean()))
    small = order[: order.index(strong)]
    s = requests.of(strong)
    for model in small:
        if model in requests.confidence:
            w, doubt = requests.of(model), -requests.confidence[model]
            rule = {"type": "confidence", "of": model, "escalate": "when confidence <= -threshold"}
            name = f"{model}, unsure: {strong}"
            yield Ladder(name, "confidence cascade", (model, strong), doubt, w, (s[0], w[1] + s[1]), rule)
    for first, second in ((a, b) for i, a in enumerate(small) for b in small[i + 1 :]):
        if first in requests.answer and second in requests.answer:
            same = np.array([a == b for a, b in zip(requests.answer[first], requests.answer[second], strict=True)])

            def agreed(rows: Rows, first: str = first, second: str = second, same: Any = same) -> Outcome:
                (score, paid), (_, also), (better, more) = map(requests.of, (first, second, strong))
                apart = ~same[rows]
                cost = paid[rows] + also[rows] + np.where(apart, more[rows], 0.0)
                return Outcome(np.where(apart, better[rows], score[rows]), cost, (1.0, 1.0, float(apart.mean())))

            rule = {"type": "agreement", "deliver": first}
            names = (first, second, strong)
            yield Candidate(
                f"{first} and {second} agree, else {strong}", "agreement cascade", names, agreed, None, rule
            )
    if judge is not None:
        for length in range(2, len(order) + 1):
            yield from (_judged(requests, chain, judge) for chain in combinations(order, length))


def _judged(requests: Requests, chain: tuple[str, ...], judge: Judge) -> Candidate:
    stages = [requests.of(model) for model in chain]

    def outcome(rows: Rows) -> Outcome:
        return judged([score[rows] for score, _ in stages], [cost[rows] for _, cost in stages], judge)

    rule = {"type": "judge", "false_accept": judge.false_accept, "false_reject": judge.false_reject, "usd": judge.usd}
    return Candidate(" > ".join(chain), "judged cascade", chain, outcome, None, rule)


def mixture(requests: Requests, weak: str, strong: str, half: Rows, goal: Goal) -> Iterator[Candidate]:
    """A coin: worth it only for a score between the two models, and then with the least share that keeps it."""
    if goal.miss_usd is not None or requests.prompts is None or weak == strong:
        return
    w, s = requests.of(weak), requests.of(strong)
    shares = np.linspace(0, 1, 1001)[:, None]
    cost = w[1][half].mean() * (1 - shares[:, 0]) + s[1][half].mean() * shares[:, 0]
    low, high = (np.bincount(goal.units(half), goal.spare(one[0][half], half)) for one in (w, s))
    each = low * (1 - shares) + high * shares
    spare = np.array([each.sum(axis=1), (each**2).sum(axis=1), each @ goal.sizes(half)])
    at = goal.best(cost, np.zeros(len(shares)), spare, half, rising=True)
    if at is None or at in (0, len(shares) - 1):
        return
    share = float(shares[at, 0])

    def outcome(rows: Rows) -> Outcome:
        score, cost = (w[i][rows] * (1 - share) + s[i][rows] * share for i in (0, 1))
        return Outcome(score, cost, (1.0, share))

    yield Candidate("random", "router", (weak, strong), outcome, 1 - share, {"type": "random"})


def order_of(models: Sequence[str], requests: Requests, rows: Rows | slice = slice(None)) -> tuple[str, str]:
    """The default pair, on those rows: the cheapest model, and the best one (of equals the cheaper)."""
    cost = {model: float(requests.of(model)[1][rows].mean()) for model in models}
    score = {model: float(requests.of(model)[0][rows].mean()) for model in models}
    weak = min(models, key=lambda model: (cost[model], -score[model]))
    return weak, max(models, key=lambda model: (score[model], -cost[model]))
