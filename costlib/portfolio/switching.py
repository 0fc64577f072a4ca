"""What leaving the options in force for the plan of today would save, and how badly an option may do before it pays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from costlib.portfolio.economics import CostModel
from costlib.portfolio.problem import Floats, Ints, Problem, switch_usd, totals
from costlib.portfolio.risk import draw, scenarios
from costlib.study import Study


def break_even_success(money: CostModel, choice: Ints, w: int) -> float | None:
    """Success rate of a workload's choice at which the next best option costs as much; None where none does.

    q* = q - gap / (requests * miss cost), all else staying; the choice's own success rate cancels out.
    """
    scenario = money.at()
    change = switch_usd(scenario.problem, choice)[w]
    change[choice[w]] = np.inf
    at_stake = float(scenario.level["requests_per_month"][w] * scenario.level["miss_cost_usd"][w])
    if not at_stake or not np.isfinite(change.min()):
        return None
    at = float(scenario.level["success_rate"][w, choice[w]] - change.min() / at_stake)
    return at if at > 0 else None


class Savings:
    """$ per month that moving from the options in force to the choice of today saves, over the plan's draws."""

    def __init__(self, study: Study, money: CostModel, choice: Ints, moved: Mapping[int, int]) -> None:
        self.moved = list(moved)
        old = choice.copy()
        old[self.moved] = list(moved.values())
        single = [np.where(np.arange(len(choice)) == w, choice, old) for w in self.moved]

        def saved(problem: Problem) -> list[Floats]:
            paid = totals(problem, old)
            return [paid - totals(problem, other) for other in (choice, *single)]

        if self.moved:
            self.stated = saved(money.at().problem)
            quantiles = draw(money, study.draws, study.seed, study.assume("quality_correlation"))
            drawn = [saved(scenario.problem) for _, scenario in scenarios(money, quantiles)]
            self.low, self.high = np.percentile(np.concatenate(drawn, axis=1), [2.5, 97.5], axis=1)

    def of(self, w: int) -> tuple[float, float, float, bool]:
        """Saving of moving one workload alone, its interval, and whether the move surely saves.

        Where no move alone surely saves but all together do, each of them does.
        """
        at = self.moved.index(w) + 1
        low = float(self.low[at])
        sure = low > 0 or bool(self.low[0] > 0 and not (self.low[1:] > 0).any())
        return float(self.stated[at]), low, float(self.high[at]), sure
