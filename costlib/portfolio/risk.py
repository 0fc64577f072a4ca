"""How sure a plan is, and what would change it.

`simulate` draws every uncertain number from its range with a fixed seed and keeps the plan as it is: the intervals of
its cost and of the saving, and how often each choice stays the best one when a single workload could still move.
Success rates of one workload move together, by the study's `quality_correlation`, because what is unknown is mostly how
hard the work is. `flips` finds the values at which another option takes over, one number at a time. `sensitivity` moves
one factor to its ends; `information` says which of them is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.economics import FACTORS, PARTS, Economy, Scenario
from costlib.portfolio.problem import Floats, Ints, Problem, replicas, switch_usd, total_usd

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
class Flip:
    """The value `at` which `option` takes over from the choice when `factor` alone moves `direction`; None: never.

    For the cost of a miss the whole plan is made anew, for the other factors all other workloads stay as they are.
    """

    workload: int
    factor: str
    direction: str
    now: float
    at: float | None
    unit: str
    option: int | None
    reason: str | None = None


def break_even_miss_usd(economy: Economy, choice: Ints) -> Floats:
    """(W, O): cost of a miss at which an option costs as much as the choice, all else staying; NaN: at none.

    L* = (c_F - c_S) / (q_F - q_S), with c the $ per request of everything but misses and q the success rates.
    """
    scenario = economy.at(miss_cost_usd=np.zeros(len(choice)))
    without = switch_usd(scenario.problem, choice)
    success, requests = scenario.level["success_rate"], scenario.level["requests_per_month"]
    better = (success - success[np.arange(len(choice)), choice][:, None]) * requests[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = without / better
    return np.where(np.isfinite(found) & (found >= 0) & (better != 0), found, np.nan)


def flips(economy: Economy, choice: Ints, floors: Floats) -> Iterator[Flip]:
    """What would change the answer, for each workload: miss cost, volume, success rate, prices."""
    scenario = economy.at()
    switch = switch_usd(scenario.problem, choice)
    for workload in range(len(choice)):
        others = switch[workload].copy()
        others[choice[workload]] = np.inf
        rival = int(np.argmin(others)) if np.isfinite(others).any() else None
        yield from _miss_flips(economy, scenario, choice, workload)
        yield from _volume_flips(economy, scenario, choice, workload)
        yield from _rival_flips(scenario, choice, workload, rival, float(others.min()), float(floors[workload]))


def _miss_flips(economy: Economy, scenario: Scenario, choice: Ints, workload: int) -> Iterator[Flip]:
    """Nearest cost of a miss at which the plan, made anew as a whole, serves the workload with another option.

    A plan costs A + B L, with L the cost of a miss. The cheapest plan with a worse (or better) option is the lower
    envelope of such lines: concave, so Newton's steps overshoot once and then close in, in a few solves.
    """
    now = float(scenario.level["miss_cost_usd"][workload])
    success = scenario.level["success_rate"][workload]
    lost = scenario.level["requests_per_month"][workload] * (1 - success)  # misses per month of each option
    own = int(choice[workload])
    fixed = total_usd(scenario.problem, choice) - lost[own] * now
    for direction, others, kind in (
        ("down", success < success[own], "cheaper and worse than the choice"),
        ("up", success > success[own], "dearer and better than the choice"),
    ):
        eligible = economy.eligible.copy()
        eligible[workload] &= others
        at, option = now, None
        try:
            while eligible[workload].any():
                level = scenario.level["miss_cost_usd"].copy()
                level[workload] = at
                best = solve(replace(economy.at(miss_cost_usd=level).problem, eligible=eligible))
                found = int(best.choice[workload])
                crossed = (best.usd - lost[found] * at - fixed) / (lost[own] - lost[found])
                nearer = min(max(crossed, 0.0), now) if direction == "down" else max(crossed, now)
                if option is not None and abs(nearer - at) <= 1e-9 * at:
                    option = None if crossed < 0 else option  # dearer even where a miss costs nothing
                    break
                at, option = nearer, found
        except Infeasible:
            option = None
        if option is None:
            why = f"never: no eligible option is {kind}"
            yield Flip(workload, "miss cost", direction, now, None, "USD/miss", None, why)
        else:
            yield Flip(workload, "miss cost", direction, now, float(at), "USD/miss", option)


def _volume_flips(economy: Economy, scenario: Scenario, choice: Ints, workload: int) -> Iterator[Flip]:
    """Nearest volume below and above at which another option is cheaper, within a hundredth to a hundredfold."""
    requests = scenario.level["requests_per_month"]
    now = float(requests[workload])

    def cheapest(volume: float) -> int:
        moved = requests.copy()
        moved[workload] = volume
        change = switch_usd(economy.at(requests_per_month=moved).problem, choice)[workload]
        option = int(np.argmin(change))
        return int(choice[workload]) if change[option] > -1e-9 else option

    for direction, multiples in (("down", _MULTIPLES[_MULTIPLES < 1][::-1]), ("up", _MULTIPLES[_MULTIPLES > 1])):
        inside, found = now, None
        for multiple in multiples:
            if cheapest(now * multiple) != choice[workload]:
                found = now * float(multiple)
                break
            inside = now * float(multiple)
        if found is None:
            ends = f"never between {now * _MULTIPLES[0]:,.0f} and {now * _MULTIPLES[-1]:,.0f} requests a month"
            yield Flip(workload, "volume", direction, now, None, "requests/month", None, ends)
            continue
        for _ in range(40):
            middle = (inside + found) / 2
            inside, found = (inside, middle) if cheapest(middle) != choice[workload] else (middle, found)
        yield Flip(workload, "volume", direction, now, found, "requests/month", cheapest(found))


def _rival_flips(
    scenario: Scenario, choice: Ints, workload: int, rival: int | None, gap: float, floor: float
) -> Iterator[Flip]:
    """Success rate of the choice, its price, and the price of the runner-up, at which the runner-up wins."""
    own = int(choice[workload])
    success = float(scenario.level["success_rate"][workload, own])
    units = {
        "success rate": "share",
        "price of the choice": "times the price",
        "price of the runner-up": "times the price",
    }
    if rival is None:
        for factor, unit in units.items():
            now = success if factor == "success rate" else 1.0
            direction = "up" if factor == "price of the choice" else "down"
            yield Flip(workload, factor, direction, now, None, unit, None, "never: no other option is eligible")
        return
    at_stake = float(scenario.level["requests_per_month"][workload] * scenario.level["miss_cost_usd"][workload])
    by_cost = success - gap / at_stake if at_stake else -1.0
    yield Flip(workload, "success rate", "down", success, max(by_cost, floor), "share", rival)
    price = {option: added_usd(scenario, choice, workload, option) for option in (own, rival)}
    dearer = 1 + gap / price[own] if price[own] else None
    yield Flip(
        workload, "price of the choice", "up", 1.0, dearer, units["price of the choice"], rival if dearer else None,
        None if dearer else "never: the choice adds nothing that is paid by use",
    )  # fmt: skip
    cheaper = 1 - gap / price[rival] if price[rival] > gap else None
    yield Flip(
        workload, "price of the runner-up", "down", 1.0, cheaper, units["price of the runner-up"],
        None if cheaper is None else rival, None if cheaper is not None else "never: not even free of charge",
    )  # fmt: skip


def added_usd(scenario: Scenario, choice: Ints, workload: int, option: int) -> float:
    """$ per month of the API, the people or the added replicas that serve the workload with an option.

    0 where the option runs on replicas that other workloads of the choice pay for anyway.
    """
    problem = scenario.problem
    usd = float(scenario.parts["api"][workload, option] + scenario.parts["human"][workload, option])
    moved, others = choice.copy(), np.arange(len(choice)) != workload
    moved[workload] = option
    rest = replace(problem, load=problem.load[others], hours=problem.hours[others])
    added = replicas(problem, moved) - replicas(rest, choice[others])
    return usd + float(added @ problem.replica_usd)


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
            ends = ends[:, np.arange(len(choice)), choice]
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
