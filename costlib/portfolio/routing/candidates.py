"""What could answer the requests, with its threshold chosen on one half: single models, routers, cascades.

A candidate is a function from row numbers to expected scores and $ of those requests. The threshold is the one that is
best on the selection half: the least expected $ per request, cost + miss cost * P(wrong), or the least cost that keeps
a share of the best model's score with its lower end at 97.5 %. Equal scores cannot be told apart, so a threshold never
cuts through a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from costlib.portfolio.routing.cascades import Judge, Outcome, agreement, chains, escalated, judged
from costlib.portfolio.routing.requests import Requests
from costlib.portfolio.routing.routers import Fit, cross_fitted

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Goal:
    """What is best: with `miss_usd` the least E[$] per request, else the least cost that keeps a share of a score.

    The score to keep is `keep` times `reference`, the score of the best single model on the same requests. `group`
    numbers the distinct prompts.
    """

    miss_usd: float | None
    keep: float
    reference: Array
    group: Rows

    def value(self, outcome: Outcome) -> Array:
        """$ per request that the goal counts."""
        return spent(outcome, self.miss_usd)

    def spare(self, score: Array, rows: Rows) -> Array:
        """Per request, how far a score lies above the one to keep; what counts is the mean."""
        return np.asarray(score - self.keep * self.reference[rows], dtype=np.float64)

    def best(self, cost: Array, score: Array, spare: Array, square: Array, rows: Rows) -> int | None:
        """Position of the best of several ways to answer `rows`; None where none keeps the score.

        All arrays are means over the rows: cost, score, `spare` and its square. A way keeps the score where the lower
        end of its spare at 97.5 % is at least 0, so that the rows which choose do not pick one that kept it by luck.
        """
        if self.miss_usd is not None:
            return int(np.argmin(cost + self.miss_usd * (1 - score)))
        units = len(np.unique(self.group[rows]))
        error = np.sqrt(np.maximum(square - spare**2, 0) / max(units - 1, 1))
        keeps = spare - _Z * error >= -1e-12
        return int(np.argmin(np.where(keeps, cost, np.inf))) if keeps.any() else None


def spent(outcome: Outcome, miss_usd: float | None) -> Array:
    """$ per request, with what its wrong answers cost."""
    return np.asarray(outcome.cost + (miss_usd or 0.0) * (1 - outcome.score), dtype=np.float64)


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


def routers(
    requests: Requests, weak: str, strong: str, fits: dict[str, Fit], half: Rows, goal: Goal
) -> list[Candidate]:
    """One candidate per router whose best threshold sends some and not all of the selection half to `strong`."""
    if requests.prompts is None:
        return []
    w, s = requests.of(weak), requests.of(strong)
    gain = s[0] - w[0]
    prompts = [requests.prompts[i] for i in half]
    found = []
    for name, fit in fits.items():
        if name == "random":
            found += _mixture(w, s, weak, strong, half, goal)
            continue
        chosen = cross_fitted(fit, prompts, gain[half], requests.group[half])
        at = _cut(chosen, (w[0][half], w[1][half]), (s[0][half], s[1][half]), goal, half)
        if at is None:
            continue
        rule, score = fit(prompts, gain[half])
        asked = score(requests.prompts)
        asked[half] = chosen  # never its own training data: a learned router would look better than it is

        def outcome(rows: Rows, asked: Array = asked, at: float = at) -> Outcome:
            up = asked[rows] >= at
            score, cost = (np.where(up, s[i][rows], w[i][rows]) for i in (0, 1))
            return Outcome(score, cost, (1.0, float(up.mean())))

        found.append(Candidate(name, "router", (weak, strong), outcome, at, rule))
    return found


def cascades(requests: Requests, strong: str, half: Rows, goal: Goal, judge: Judge | None) -> Iterator[Candidate]:
    """Cascades by confidence, by agreement and under a judge, as far as the table and the caller allow."""
    order = sorted(requests.models, key=lambda model: float(requests.of(model)[1].mean()))
    small = order[: order.index(strong)]
    s = requests.of(strong)
    for model in small:
        if model in requests.confidence:
            w, doubt = requests.of(model), -requests.confidence[model]
            paid = (s[0][half], w[1][half] + s[1][half])
            at = _cut(doubt[half], (w[0][half], w[1][half]), paid, goal, half)
            if at is not None:

                def sure(rows: Rows, w: Any = w, doubt: Array = doubt, at: float = at) -> Outcome:
                    return escalated((w[0][rows], w[1][rows]), (s[0][rows], s[1][rows]), doubt[rows] >= at)

                rule = {"type": "confidence", "of": model, "escalate": "when confidence <= -threshold"}
                yield Candidate(f"{model}, unsure: {strong}", "confidence cascade", (model, strong), sure, at, rule)
    for first, second in ((a, b) for i, a in enumerate(small) for b in small[i + 1 :]):
        if first in requests.answer and second in requests.answer:
            same = np.array([a == b for a, b in zip(requests.answer[first], requests.answer[second], strict=True)])

            def agreed(rows: Rows, first: str = first, second: str = second, same: Any = same) -> Outcome:
                pairs = [(score[rows], cost[rows]) for score, cost in map(requests.of, (first, second, strong))]
                return agreement(pairs[0], pairs[1], pairs[2], same[rows])

            rule = {"type": "agreement", "deliver": first}
            names = (first, second, strong)
            yield Candidate(
                f"{first} and {second} agree, else {strong}", "agreement cascade", names, agreed, None, rule
            )
    if judge is not None:
        for chain in chains(order):
            yield _judged(requests, chain, judge)


def _judged(requests: Requests, chain: tuple[str, ...], judge: Judge) -> Candidate:
    stages = [requests.of(model) for model in chain]

    def outcome(rows: Rows) -> Outcome:
        return judged([score[rows] for score, _ in stages], [cost[rows] for _, cost in stages], judge)

    rule = {"type": "judge", "false_accept": judge.false_accept, "false_reject": judge.false_reject, "usd": judge.usd}
    return Candidate(" > ".join(chain), "judged cascade", chain, outcome, None, rule)


def _mixture(w: Any, s: Any, weak: str, strong: str, half: Rows, goal: Goal) -> list[Candidate]:
    """A coin: worth it only for a score between the two models, and then with the least share that keeps it."""
    shares = np.linspace(0, 1, 1001)[:, None]
    if goal.miss_usd is not None:
        return []
    cost = w[1][half].mean() * (1 - shares[:, 0]) + s[1][half].mean() * shares[:, 0]
    low, high = goal.spare(w[0][half], half), goal.spare(s[0][half], half)
    moments = [float((one * other).mean()) for one, other in ((low, low), (low, high), (high, high))]
    spare = low.mean() * (1 - shares[:, 0]) + high.mean() * shares[:, 0]
    weights = np.hstack([(1 - shares) ** 2, 2 * shares * (1 - shares), shares**2])
    at = goal.best(cost, spare, spare, weights @ np.array(moments), half)
    if at is None or at in (0, len(shares) - 1):
        return []
    share = float(shares[at, 0])

    def outcome(rows: Rows) -> Outcome:
        score, cost = (w[i][rows] * (1 - share) + s[i][rows] * share for i in (0, 1))
        return Outcome(score, cost, (1.0, share))

    return [Candidate("random", "router", (weak, strong), outcome, 1 - share, {"type": "random"})]


def _cut(asked: Array, stay: tuple[Array, Array], up: tuple[Array, Array], goal: Goal, half: Rows) -> float | None:
    """The threshold (send up from this score on) that is best; None where it sends nothing or everything up."""
    order = np.argsort(-asked, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(asked[order]) != 0, True))

    def means(staying: Array, going: Array) -> Array:
        sent: Array = np.cumsum((going - staying)[order])[ends]
        found: Array = np.concatenate([[0.0], sent]) / len(order) + float(staying.mean())
        return found

    score, cost = (means(stay[i], up[i]) for i in (0, 1))
    staying, going = goal.spare(stay[0], half), goal.spare(up[0], half)
    at = goal.best(cost, score, means(staying, going), means(staying**2, going**2), half)
    if at is None or at in (0, len(ends)):
        return None
    return float(asked[order][ends[at - 1]])


def order_of(models: Sequence[str], requests: Requests, rows: Rows | slice = slice(None)) -> tuple[str, str]:
    """The default pair, on those rows: the cheapest model, and the best one (of equals the cheaper)."""
    cost = {model: float(requests.of(model)[1][rows].mean()) for model in models}
    score = {model: float(requests.of(model)[0][rows].mean()) for model in models}
    weak = min(models, key=lambda model: (cost[model], -score[model]))
    return weak, max(models, key=lambda model: (score[model], -cost[model]))
