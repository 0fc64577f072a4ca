"""What a wrong answer does to the price of a right one.

The cheapest model per token is not the cheapest per task once a miss costs something: a wrong contract clause, a
customer sent the wrong way. All amounts are $ per task, all probabilities shares from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from costlib.cost.inputs import SMALLEST, number, share
from costlib.errors import bad
from costlib.figure import Number

Case = Literal["trade-off", "equal quality", "equal cost", "cheaper is better", "identical"]


@dataclass(frozen=True)
class TaskCost:
    """Expected cost of one task and its parts, in $; `per_good_answer` is None where no answer is good."""

    total_usd: float
    inference_usd: float
    router_usd: float
    judge_usd: float
    miss_usd: float
    human_usd: float
    evaluation_usd: float
    per_good_answer_usd: float | None


def task_cost(
    inference_usd: Number,
    *,
    wrong_delivered: Number,
    miss_usd: Number,
    router_usd: Number = 0,
    judge_usd: Number = 0,
    escalated: Number = 0,
    human_usd: Number = 0,
    evaluation_usd: Number = 0,
) -> TaskCost:
    """E[$] = inference + router + judge + P(wrong delivered) * miss + P(escalated) * human + evaluation, per task.

    A task is delivered right, delivered wrong or escalated to a human, so `wrong_delivered + escalated` is at most 1;
    what the human returns counts as good. Raises `InputError` for a bad number.
    """
    wrong, up = share("wrong_delivered", wrong_delivered), share("escalated", escalated)
    if wrong + up > 1 + 1e-12:
        raise bad("wrong_delivered + escalated", wrong + up, "at most 1, because a task ends in one way")
    parts = {
        "inference_usd": number("inference_usd", inference_usd, zero=True),
        "router_usd": number("router_usd", router_usd, zero=True),
        "judge_usd": number("judge_usd", judge_usd, zero=True),
        "miss_usd": wrong * number("miss_usd", miss_usd, zero=True),
        "human_usd": up * number("human_usd", human_usd, zero=True),
        "evaluation_usd": number("evaluation_usd", evaluation_usd, zero=True),
    }
    total = math.fsum(parts.values())
    return TaskCost(total, **parts, per_good_answer_usd=total / (1 - wrong) if wrong < 1 else None)


@dataclass(frozen=True)
class MissBreakEven:
    """The cost of a miss L* at which two models cost the same per task, and who wins below and above it.

    `miss_usd` is None where no cost of a miss changes the winner; `case` says why. `below` and `above` name the cheaper
    model: small, frontier or either.
    """

    miss_usd: float | None
    case: Case
    below: str
    above: str


def break_even_miss(
    small_usd: Number, small_quality: Number, frontier_usd: Number, frontier_quality: Number
) -> MissBreakEven:
    """L* = (c_F - c_S) / (q_F - q_S), with c in $ per task and q the share of tasks answered right.

    `trade-off`: the dearer model is better and worth its price from L* on. `equal quality`: the cheaper one wins at
    any L. `equal cost`: the better one wins as soon as a miss costs anything (L* = 0). `cheaper is better`: it wins at
    any L, and there is nothing to route. `identical`: nothing tells them apart.
    """
    cost_s, cost_f = number("small_usd", small_usd, zero=True), number("frontier_usd", frontier_usd, zero=True)
    q_s, q_f = share("small_quality", small_quality), share("frontier_quality", frontier_quality)
    cheaper = "either" if cost_s == cost_f else "small" if cost_s < cost_f else "frontier"
    better = "either" if abs(q_s - q_f) < SMALLEST else "small" if q_s > q_f else "frontier"
    if better == "either":
        return MissBreakEven(None, "identical" if cheaper == "either" else "equal quality", cheaper, cheaper)
    if cheaper == "either":
        return MissBreakEven(0.0, "equal cost", "either", better)
    if cheaper == better:
        return MissBreakEven(None, "cheaper is better", cheaper, cheaper)
    worth = (cost_f - cost_s) / (q_f - q_s)
    return MissBreakEven(worth, "trade-off", cheaper, better)


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade: what a task costs here, how often its answer is accepted, how often accepted and wrong.

    `accepted` and `accepted_wrong` are shares of the tasks that reach this stage.
    """

    usd: float
    accepted: float
    accepted_wrong: float
    check_usd: float = 0.0


@dataclass(frozen=True)
class Cascade:
    """Expected $ per task, shares of tasks delivered wrong and left unanswered, and share that reaches each stage."""

    usd: float
    delivered_error: float
    unanswered: float
    reach: tuple[float, ...]


def judged_stage(
    usd: Number, accuracy: Number, *, false_accept: Number, false_reject: Number, judge_usd: Number = 0
) -> Stage:
    """A stage whose answers a judge accepts: two error rates, wrong answers accepted and right answers rejected.

    Accepted = accuracy * (1 - false_reject) + (1 - accuracy) * false_accept, where the second part is accepted and
    wrong. The judge's errors are taken as independent of the task beyond its correctness.
    """
    right = share("accuracy", accuracy)
    wrong_through = (1 - right) * share("false_accept", false_accept)
    right_through = right * (1 - share("false_reject", false_reject))
    cost, check = number("usd", usd, zero=True), number("judge_usd", judge_usd, zero=True)
    return Stage(cost, min(1.0, right_through + wrong_through), wrong_through, check)


def cascade(stages: Sequence[Stage]) -> Cascade:
    """E[cost] = sum_j (c_j + v_j) * prod_{i<j} (1 - a_i); delivered error = sum_j reach_j * P(accepted at j and wrong).

    What the last stage does not accept is unanswered (or goes to a human, see `task_cost`). Raises `InputError` for an
    empty cascade, a bad number, or more accepted-and-wrong than accepted.
    """
    if not stages:
        raise bad("stages", 0, "at least one stage")
    reach, cost, error, reached = 1.0, 0.0, 0.0, []
    for position, stage in enumerate(stages):
        where = f"stage {position}"
        accepted = share("accepted", stage.accepted, where)
        wrong = share("accepted_wrong", stage.accepted_wrong, where)
        if wrong > accepted:
            raise bad("accepted_wrong", wrong, f"at most accepted, {accepted:g}", where)
        spent = number("usd", stage.usd, where, zero=True) + number("check_usd", stage.check_usd, where, zero=True)
        reached.append(reach)
        cost += reach * spent
        error += reach * wrong
        reach *= 1 - accepted
    return Cascade(cost, error, reach, tuple(reached))
