"""The bill of a choice in cents: every part of every workload, so that all tables of a plan agree exactly.

Each part is rounded to cents (half to even) before anything is added. API inference is priced in `Decimal` from the
price book to the cent; what rounding leaves of a shared bill goes to its largest share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from costlib.portfolio.assign import Ints, replicas
from costlib.portfolio.economics import PARTS, Economy, Scenario
from costlib.portfolio.offers import Offer
from costlib.portfolio.options import Supply
from costlib.portfolio.risk import Simulation
from costlib.study import ApiOption, Study

Bill = list[dict[str, Decimal]]
"""Per workload, $ per month of each of `PARTS`, in whole cents."""

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Work:
    """A solved study, what its tables are made from; `table[w][o]` is option o for workload w."""

    study: Study
    table: list[list[Offer]]
    found: tuple[Supply, ...]
    economy: Economy
    scenario: Scenario
    choice: Ints
    baseline: Ints
    simulation: Simulation


def cents(value: float | Decimal) -> Decimal:
    """Dollars rounded to whole cents, half to even."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    return exact.quantize(_CENT, ROUND_HALF_EVEN)


def _share_out(total: Decimal, weights: Sequence[float]) -> list[Decimal]:
    """Split cents by weight; what rounding leaves goes to the largest weight, so that the parts add up."""
    whole = sum(weights)
    parts = [cents(total * Decimal(repr(float(weight))) / Decimal(repr(float(whole)))) for weight in weights]
    parts[int(np.argmax(weights))] += total - sum(parts, Decimal(0))
    return parts


def bill_of(work: Work, choice: Ints) -> Bill:
    """Per workload, the parts of its monthly cost in cents. API inference is priced exactly, not through floats."""
    split = work.scenario.split(choice)
    rows = [{part: cents(split[index, w]) for index, part in enumerate(PARTS)} for w in range(len(choice))]
    for w, option in enumerate(choice):
        offer = work.table[w][option]
        if isinstance(offer.supply.option, ApiOption):
            requests = Decimal(repr(offer.workload.requests_per_month))
            rows[w]["inference"] = cents((offer.input_usd + offer.output_usd) * requests)
    problem = work.scenario.problem
    for pool, count in enumerate(replicas(problem, choice)):
        users = [int(w) for w in np.flatnonzero(problem.pool[choice] == pool)]
        if users:
            idle = cents(count * problem.replica_usd[pool]) - sum((rows[w]["inference"] for w in users), Decimal(0))
            for w, part in zip(
                users, _share_out(idle, [work.scenario.busy_h[w, choice[w]] for w in users]), strict=True
            ):
                rows[w]["idle"] = part
    for model in {int(index) for index in problem.model[choice] if index >= 0}:
        users = [int(w) for w in np.flatnonzero(problem.model[choice] == model)]
        for w, part in zip(users, _share_out(cents(problem.model_usd[model]), [1.0] * len(users)), strict=True):
            rows[w]["operations"] = part
    return rows
