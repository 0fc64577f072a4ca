"""How sure a plan is, and what would change it.

`simulate` draws every uncertain number from its range with a fixed seed and keeps the plan as it is: the intervals of
its cost and of the saving, and how often each choice stays the best one when a single workload could still move.
Success rates of one workload move together, by the study's `quality_correlation`, because what is unknown is mostly how
hard the work is. `sensitivity` moves one factor to its ends; `information` says which of them is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.economics import FACTORS, PARTS, CostModel, Scenario
from costlib.portfolio.problem import Floats, Ints, Problem, switch_usd, total_usd

_CELLS = 100_000
"""Draws times workloads times options that are computed at a time."""


@dataclass(frozen=True)
class Simulation:
    """Draws of the fixed plan. `plan` and `baseline` are (D, 6, W): $ per month by part and workload."""

    plan: Floats
    baseline: Floats
    best: Floats
    """(W,): share of draws in which the choice is the best option of its workload."""
    regret: Floats
    """(W,): mean $ per month lost by not knowing better: what the uncertainty of the choice costs."""
    floor_met: Floats
    """(W,): share of draws in which the success rate of the choice reaches the floor."""
    quantiles: Mapping[str, Floats]
    """Every factor's quantile in each draw, draws on the first axis."""
    change: Floats
    """(D, W, O): $ per month by which one workload's move to an option changes the total; infinite: not eligible."""


def draw(economy: CostModel, count: int, seed: int, correlation: float, more: int = 0) -> dict[str, Floats]:
    """Quantiles of every factor in `count` draws: one per workload, device, option or workload and capability.

    `more` numbers of each draw besides, drawn last, are the quantiles of the factor "more".
    """
    rng = np.random.default_rng(seed)
    workloads, options = economy.eligible.shape
    sizes: dict[str, int | None] = {"device_rate": economy.device.max() + 1, "speed": options}
    sizes |= {"escalation": options} if economy.staged else {}
    for name, ends in economy.ends.items():
        if name != "success_rate":
            sizes.setdefault(name, workloads if ends.ndim == 2 else None)
    sizes |= {"more": more} if more else {}
    normal = (1 + economy.capability.max() + 1) * workloads
    rates, drawn = np.zeros((count, normal)), {name: np.zeros((count, size or 1)) for name, size in sizes.items()}
    for index in range(count):
        rates[index] = rng.standard_normal(normal)
        for name, size in sizes.items():
            drawn[name][index] = rng.random(size)
    shared, own = rates[:, :workloads, None], rates[:, workloads:].reshape(count, workloads, -1)
    own *= np.sqrt(1 - correlation)
    own += np.sqrt(correlation) * shared
    found = {name: values if sizes[name] else values[:, 0] for name, values in drawn.items()}
    found["device_rate"] = found["device_rate"][:, economy.device]
    return found | {"success_rate": np.asarray(ndtr(own, out=own))}


def scenarios(economy: CostModel, quantiles: Mapping[str, Floats]) -> Iterator[tuple[slice, Scenario]]:
    """The draws in blocks that fit into the cache of a processor, each with its scenarios."""
    count, size = len(quantiles["speed"]), max(1, _CELLS // economy.eligible.size)
    drawn = economy.drawn(quantiles)
    for start in range(0, count, size):
        block = slice(start, min(start + size, count))
        yield block, economy.at({name: each[block] for name, each in drawn.items()})


def simulate(
    economy: CostModel, choice: Ints, baseline: Ints, floors: Floats, *, draws: int, seed: int, correlation: float
) -> Simulation:
    """`draws` scenarios with the plan and the baseline kept as they are; replicas follow the load of each draw."""
    rows = np.arange(len(choice))
    plan, base = np.zeros((draws, len(PARTS), len(choice))), np.zeros((draws, len(PARTS), len(choice)))
    floor_met, change = np.zeros(len(choice)), np.zeros((draws, *economy.eligible.shape))
    quantiles = draw(economy, draws, seed, correlation)
    for block, scenario in scenarios(_asked_only(economy, choice, baseline), quantiles):
        plan[block], base[block] = scenario.split(choice), scenario.split(baseline)
        change[block] = switch_usd(scenario.problem, choice)
        floor_met += (scenario.level["success_rate"][:, rows, choice] >= floors).sum(axis=0)
    gain = -change.min(axis=2)
    best, regret = (gain <= 1e-9).mean(axis=0), np.maximum(gain, 0).mean(axis=0)
    return Simulation(plan, base, best, regret, floor_met / draws, quantiles, change)


def _asked_only(economy: CostModel, *choices: Ints) -> CostModel:
    """The economy without the ranges of success rates that no draw needs: of what is neither eligible nor chosen."""
    needed, ends = economy.eligible.copy(), economy.ends["success_rate"]
    for choice in choices:
        needed[np.arange(len(choice)), choice] = True
    return replace(economy, ends={**economy.ends, "success_rate": np.where(needed, ends, ends[1])})


@dataclass(frozen=True)
class Sensitivity:
    """One factor at the two ends of its range, everything else as stated; $ per month."""

    factor: str
    ends: tuple[float, float, float]
    relative: bool
    """Whether `ends` are multiples of many stated values rather than one number with a unit."""
    plan: tuple[float, float]
    saving: tuple[float, float]
    moved: tuple[dict[int, int], dict[int, int]]
    """Workload -> option that would serve it if the plan were made anew at the low and at the high end."""


def sensitivity(economy: CostModel, choice: Ints, baseline: Ints) -> list[Sensitivity]:
    """Every factor that has a range, the widest swing of the plan's cost first."""
    found = []
    for factor in FACTORS:
        ends = _ends(economy, factor)
        if np.array_equal(ends[0], ends[2]):
            continue
        problems = [economy.at({factor: quantile}).problem for quantile in (0.0, 1.0)]
        plan = [total_usd(problem, choice) for problem in problems]
        base = [total_usd(problem, baseline) for problem in problems]
        moved = [_moved(problem, choice) for problem in problems]
        relative = ends.ndim > 1
        if ends.ndim == 3:  # a range per workload and option: show those of the plan
            chosen = ends[:, np.arange(len(choice)), choice]
            ends = chosen if (chosen[1] > 0).any() else ends.reshape(3, -1)  # no option of the plan has the factor
        stated = ends[:, ends[1] > 0]
        low, middle, high = (stated / stated[1]).mean(axis=1) if relative else ends
        found.append(
            Sensitivity(
                factor,
                (float(low), float(middle), float(high)),
                relative,
                (plan[0], plan[1]),
                (base[0] - plan[0], base[1] - plan[1]),
                (moved[0], moved[1]),
            )
        )
    return sorted(found, key=lambda row: -abs(row.plan[1] - row.plan[0]))


def _ends(economy: CostModel, factor: str) -> Floats:
    """Low, value and high of a factor on the first axis."""
    if factor == "escalation":
        later = np.argwhere(economy.asked[0] != economy.asked[2])
        return economy.asked[:, later[:, 0], later[:, 1]]
    return economy.seconds.sum(axis=0) if factor == "speed" else economy.ends[factor]


def _moved(problem: Problem, choice: Ints) -> dict[int, int]:
    """Workloads another option would serve if the plan were made for this problem; none if it cannot be made."""
    try:
        best = solve(problem).choice
    except Infeasible:
        return {}
    return {int(w): int(best[w]) for w in np.flatnonzero(best != choice)}
