"""An exported routing policy on later requests: what it scores and costs now, and the score below which it fails.

The policy document says what was true when it was chosen (`watch`): the single model it was compared with, and the goal
with the model whose score it keeps a share of. `replay` applies its rule to a table of requests as `costlib route`
reads it, without choosing anything anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from costlib.errors import bad
from costlib.portfolio.problem import Floats
from costlib.portfolio.routing.candidates import spent
from costlib.portfolio.routing.cascades import Judge, Outcome, agreement, escalated, judged
from costlib.portfolio.routing.policy import Document, check_rule, read_policy, scores
from costlib.portfolio.routing.requests import Requests
from costlib.study.fields import Share


class Watch(BaseModel):
    """What was true when the policy was chosen; money is $ per request, scores are shares."""

    baseline: str
    miss_usd: Annotated[float, Field(ge=0)] | None
    keep: Share
    reference: str


class Policy(Document):
    """The parts of a policy document that replaying needs."""

    threshold: float | None
    watch: Watch

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"{self.kind} of {', '.join(self.models)}"


def policy_of(path: Path) -> Policy:
    """A policy document that `costlib route --out` wrote; raises `InputError` for anything else."""
    found = read_policy(Policy, path)
    check_rule(found.score, path)
    return found


def floor_of(policy: Policy, requests: Requests) -> tuple[Floats | None, str]:
    """What a policy has to score on the mean of the requests, given for each of them, and where that comes from.

    The share it had to keep of what the reference scores on the same requests, so the floor moves with it. With a price
    on a miss there is none: what counts is the saving against a single model, which is watched itself (`saved`).
    """
    watch = policy.watch
    if watch.miss_usd is None:
        share = f"{watch.keep:.0%} of the score of always {watch.reference} on the same requests"
        return watch.keep * requests.of(watch.reference)[0], share
    return None, f"its saving against always {watch.baseline} on the same requests is watched instead"


def saved(policy: Policy, outcome: Outcome, requests: Requests) -> tuple[Floats, float]:
    """$ saved on each request against the single model the policy was compared with, positive is a saving.

    With it the most that a request could save or lose: the largest cost there is, and a miss.
    """
    (alone, paid), miss_usd = requests.of(policy.watch.baseline), policy.watch.miss_usd
    usd = spent(Outcome(alone, paid, (1.0,)), miss_usd) - spent(outcome, miss_usd)
    return usd, float(max(paid.max(), outcome.cost.max())) + (miss_usd or 0.0)


def replay(policy: Policy, requests: Requests) -> Outcome:
    """Expected score and $ of every request under the policy.

    Raises `InputError` for a model, prompt, confidence or answer the table lacks, or a rule no reference computes.
    """
    models, rule, at = policy.models, policy.score, policy.threshold
    stages = [requests.of(model) for model in models]
    first, last = stages[0], stages[-1]
    if policy.kind == "agreement cascade":
        said = [_column(requests.answer, model, "answer") for model in models[:2]]
        return agreement(first, stages[1], last, np.array([a == b for a, b in zip(*said, strict=True)]))
    if policy.kind == "judged cascade":
        judge = Judge(rule["false_accept"], rule["false_reject"], rule.get("usd", 0.0))
        return judged([one[0] for one in stages], [one[1] for one in stages], judge)
    if at is None:
        raise bad("policy.threshold", None, f"a number, which a {policy.kind} needs")
    if policy.kind == "confidence cascade":
        return escalated(first, last, -_column(requests.confidence, models[0], "confidence") >= at)
    if rule.get("type") == "random":
        return Outcome(first[0] * at + last[0] * (1 - at), first[1] * at + last[1] * (1 - at), (1.0, 1 - at))
    if requests.prompts is None:
        raise bad("column", "no prompt", "a column prompt, which the policy's router reads")
    up = np.array(scores(rule, requests.prompts)) >= at
    return Outcome(np.where(up, last[0], first[0]), np.where(up, last[1], first[1]), (1.0, float(up.mean())))


def _column(found: Mapping[str, Any], model: str, name: str) -> Any:
    if model not in found:
        raise bad("column", f"no {model}_{name}", f"a column {model}_{name}, which the policy's cascade reads")
    return found[model]
