"""Several options that serve a workload together: a cascade or a router, its shares stated or taken from a policy.

A cascade asks its first option always and each later one a share of the requests; a router sends each request to one of
them. What that costs follows from the stages (see offers.py and economics.py); how good the answers are does not follow
from anything, so it is a success rate of its own, stated in the study or measured by `costlib route`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
from pydantic import BaseModel

from costlib.errors import invalid_input
from costlib.figure import Kind
from costlib.portfolio.problem import Floats
from costlib.portfolio.routing.policy import Document, read_policy
from costlib.portfolio.supply import PricedOption
from costlib.portfolio.workloads import Score
from costlib.stats.paired import wilson
from costlib.study import RouterOption, Study, Together
from costlib.study.fields import Count, Share


class _Rate(BaseModel):
    low: Share
    value: Share
    high: Share
    kind: Kind


class _Evidence(BaseModel):
    """What `costlib route` measured of the policy it chose."""

    requests: Count
    asked: list[Share]
    score: _Rate


class _Measured(Document):
    evidence: _Evidence


def together(supply: PricedOption, option: Together, study: Study) -> PricedOption:
    """The supply with its stages; with a policy, also with what judging costs and the success rate it measured.

    Raises `InputError` where the policy is no document of `costlib route`, or of another kind or number of stages.
    """
    places = [[one.name for one in study.options].index(stage.option) for stage in option.stages]
    if option.policy is None:
        stages = tuple((place, stage.ends) for place, stage in zip(places, option.stages, strict=True))
        return replace(supply, stages=stages, usd_per_request=Decimal(repr(option.usd_per_request)))
    document = read_policy(_Measured, option.policy)
    models, evidence = document.models, document.evidence
    kind = "router" if document.kind == "router" else "cascade"
    if kind != option.type:
        raise invalid_input("policy", f"a {document.kind}", f"a document about a {option.type}", str(option.policy))
    if len(models) != len(places):
        allowed = f"{len(models)} in the order of the policy: {', '.join(models)}"
        raise invalid_input("stages", len(places), allowed, str(option.policy))
    items, asked, score = evidence.requests, evidence.asked, evidence.score
    if len(asked) != len(models):
        raise invalid_input(
            "policy.evidence.asked", f"{len(asked)} shares", f"one for each of {len(models)} models", str(option.policy)
        )
    ends = []
    for share in asked:
        low, high = (1.0, 1.0) if share == 1 else wilson(round(share * items), items)
        ends.append((low, share, high))
    if kind == "router":
        ends[0] = (1.0, 1.0, 1.0)  # it gets what the others leave
    judged = float(document.score.get("usd", 0.0)) * sum(asked[:-1])
    source = f"costlib route on {items} requests that did not choose the rule, {option.policy.name}"
    workload = str(option.workload)
    rate = Score(workload, option.capability, score.value, score.low, score.high, score.kind, source, items)
    return replace(
        supply,
        stages=tuple(zip(places, ends, strict=True)),
        usd_per_request=Decimal(repr(option.usd_per_request + judged)),
        scores={workload: rate},
    )


def splits(supply: PricedOption) -> bool:
    """Whether a request goes to one stage only, so that the first one gets what the others leave."""
    return isinstance(supply.option, RouterOption)


def asked(supply: PricedOption) -> list[tuple[int, float]]:
    """Position of each stage's option and the share of the requests it is asked; empty for an option by itself."""
    stated = np.array([ends[1] for _, ends in supply.stages])
    shares = with_rest(stated) if splits(supply) else stated
    return [(place, share) for (place, _), share in zip(supply.stages, shares.tolist(), strict=True)]


def with_rest(shares: Floats) -> Floats:
    """The shares (..., S) of a router's stages in which the first one gets what the later ones leave."""
    rest = 1.0 - np.apply_along_axis(math.fsum, -1, shares[..., 1:])
    return np.concatenate([rest[..., None], shares[..., 1:]], axis=-1)
