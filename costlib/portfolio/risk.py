"""How sure a plan is, and what would change it.

`simulate` draws every uncertain number from its range with a fixed seed and keeps the plan as it is: the intervals of
its cost and of the saving, and how often each choice stays the best one when a single workload could still move.
Success rates of one workload move together, by the study's `quality_correlation`, because what is unknown is mostly how
hard the work is. `sensitivity` moves one factor to its ends; `information` says which of them is worth knowing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.economics import FACTORS, PARTS, Economy
from costlib.portfolio.problem import Floats, Ints, Problem, switch_usd, total_usd

_MULTIPLES = np.geomspace(0.01, 100, 81)


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


def draw(economy: Economy, rng: np.random.Generator, correlation: float) -> dict[str, Floats]:
    """Quantiles of every factor: one draw per workload, device, option or workload and capability."""
    workloads, options = economy.eligible.shape
    devices, capabilities = economy.device.max() + 1, economy.capability.max() + 1
    shared = rng.standard_normal((workloads, 1))
    own = rng.standard_normal((workloads, capabilities))
    found: dict[str, Floats] = {
        "success_rate": ndtr(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)[:, economy.capability],
        "device_rate": np.asarray(rng.random(devices))[economy.device],
        "speed": np.asarray(rng.random(options)),
    }
    if economy.staged:
        found["escalation"] = np.asarray(rng.random(options))
    for name in (*economy.ends, "speed"):
        if name not in found:
            found[name] = np.asarray(rng.random(workloads if economy.ends[name].ndim == 2 else None))
    return found


def simulate(
    economy: Economy, choice: Ints, baseline: Ints, floors: Floats, *, draws: int, seed: int, correlation: float
) -> Simulation:
    """`draws` scenarios with the plan and the baseline kept as they are; replicas follow the load of each draw."""
    rng = np.random.default_rng(seed)
    rows = np.arange(len(choice))
    plan, base = np.zeros((draws, len(PARTS), len(choice))), np.zeros((draws, len(PARTS), len(choice)))
    floor_met, change, drawn = np.zeros(len(choice)), np.zeros((draws, *economy.eligible.shape)), []
    for index in range(draws):
        drawn.append(draw(economy, rng, correlation))
        scenario = economy.at(drawn[-1])
        plan[index], base[index] = scenario.split(choice), scenario.split(baseline)
        change[index] = switch_usd(scenario.problem, choice)
        floor_met += scenario.level["success_rate"][rows, choice] >= floors
    gain = -change.min(axis=2)
    quantiles = {name: np.array([one[name] for one in drawn]) for name in drawn[0]}
    best, regret = (gain <= 1e-9).mean(axis=0), np.maximum(gain, 0).mean(axis=0)
    return Simulation(plan, base, best, regret, floor_met / draws, quantiles, change)


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


def sensitivity(economy: Economy, choice: Ints, baseline: Ints) -> list[Sensitivity]:
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


def _ends(economy: Economy, factor: str) -> Floats:
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
