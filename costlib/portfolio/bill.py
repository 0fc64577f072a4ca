"""The bill of a choice in cents: every part of every workload, so that all tables of a plan agree exactly.

Each part is rounded to cents (half to even) before anything is added. API inference is priced in `Decimal` from the
price book to the cent; what rounding leaves of a shared bill goes to its largest share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property

import numpy as np

from costlib.portfolio.economics import PARTS, CostModel, Scenario
from costlib.portfolio.offers import Offer
from costlib.portfolio.problem import Ints
from costlib.portfolio.risk import Simulation
from costlib.portfolio.supply import PricedOption
from costlib.portfolio.together import asked
from costlib.portfolio.workloads import Scores, Workload
from costlib.prices.book import PriceBook
from costlib.study import Study

Bill = list[dict[str, Decimal]]
"""Per workload, $ per month of each of `PARTS`, in whole cents."""

_CENT = Decimal("0.01")


@dataclass
class Work:
    """A solved study, what its tables are made from; `table[w][o]` is option o for workload w."""

    study: Study
    table: list[list[Offer]]
    found: tuple[PricedOption, ...]
    economy: CostModel
    scenario: Scenario
    choice: Ints
    baseline: Ints
    simulation: Simulation
    book: PriceBook
    scores: Scores
    cases: tuple[Workload, ...]
    """Use cases nobody serves yet."""

    @cached_property
    def planned(self) -> Bill:
        """The bill of the plan."""
        return bill_of(self, self.choice)

    @cached_property
    def compared(self) -> Bill:
        """The bill of the baseline."""
        return bill_of(self, self.baseline)

    def stages(self, w: int) -> list[tuple[int, float]]:
        """The options that answer a workload under the plan, and the share of its requests each is asked."""
        option = int(self.choice[w])
        return asked(self.found[option]) or [(option, 1.0)]


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


def pool_cents(work: Work, choice: Ints) -> list[dict[int, tuple[Decimal, Decimal]]]:
    """Per workload, $ per month of the busy hours of every pool it uses and of its share of the idle ones, in cents.

    Idle hours are shared by busy hours.
    """
    busy, used, bills = work.scenario.busy(choice)
    found: list[dict[int, tuple[Decimal, Decimal]]] = [{} for _ in choice]
    for pool, usd in enumerate(bills):
        users = np.flatnonzero(used[:, pool])
        if len(users):
            own = [cents(busy[w, pool]) for w in users]
            idle = cents(usd) - sum(own, Decimal(0))
            for w, mine, part in zip(users, own, _share_out(idle, busy[users, pool].tolist()), strict=True):
                found[w][pool] = mine, part
    return found


def bill_of(work: Work, choice: Ints) -> Bill:
    """Per workload, the parts of its monthly cost in cents. API inference is priced exactly, not through floats."""
    split, problem = work.scenario.split(choice), work.scenario.problem
    rows = [{part: cents(split[index, w]) for index, part in enumerate(PARTS)} for w in range(len(choice))]
    for w, mine in enumerate(pool_cents(work, choice)):
        offer = work.table[w][choice[w]]
        bought = (offer.input_usd + offer.output_usd) * Decimal(repr(offer.workload.requests_per_month))
        rows[w]["inference"] = sum((busy for busy, _ in mine.values()), cents(bought))
        rows[w]["idle"] = sum((idle for _, idle in mine.values()), Decimal(0))
        rows[w]["operations"] = Decimal(0)
    for model in np.flatnonzero(problem.kept[choice].any(axis=0)):
        users = [int(w) for w in np.flatnonzero(problem.kept[choice, model])]
        for w, part in zip(users, _share_out(cents(problem.model_usd[model]), [1.0] * len(users)), strict=True):
            rows[w]["operations"] += part
    return rows
