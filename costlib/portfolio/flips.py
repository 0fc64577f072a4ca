"""What would change the answer: the nearest value of one number at which the plan, made anew, moves a workload.

One number changes: a workload's cost of a miss, its volume, the success rate of its choice, or the price of an option,
then for every workload that uses it (of a cascade or router: of all that it asks). The whole plan is free to move.

Costs of a miss and prices are straight ways (see turns.py). In a volume a plan's cost is no line, because replicas are
whole: there volumes are tried outwards, 20 a decade, but for those at which a bound says that the choice stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.economics import CostModel, Scenario
from costlib.portfolio.problem import Floats, Ints, Problem, limited_usd, switch_usd, total_usd
from costlib.portfolio.turns import Turn, Way, between, first, turns, with_row

_MULTIPLES = np.geomspace(0.01, 100, 81)
_DEAREST = 100.0
_MOST_CELLS = 300_000
"""Cells of the assignment, workloads times options, times the workloads for which plans are made anew."""


@dataclass(frozen=True)
class Flip:
    """The value `at` which `option` takes over from the choice when `factor` alone moves `direction`; None: at none.

    `priced` is the option whose price moves, where it is a price that does.
    """

    workload: int
    factor: str
    direction: str
    now: float
    at: float | None
    unit: str
    option: int | None
    reason: str | None = None
    priced: int | None = None


def break_even_miss_usd(economy: CostModel, choice: Ints) -> Floats:
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


def flips(economy: CostModel, choice: Ints, floors: Floats) -> Iterator[Flip]:
    """What would change the answer, for each workload: miss cost, volume, success rate, prices.

    In a study so large that plans cannot be made anew for every workload, only those of the costliest (see `searched`).
    """
    scenario = economy.at()
    switch, break_even = switch_usd(scenario.problem, choice), break_even_miss_usd(economy, choice)
    rows, asked = np.arange(len(choice)), searched(scenario, choice)
    switch[rows, choice] = np.inf
    rivals = np.where(np.isfinite(switch).any(axis=1), switch.argmin(axis=1), -1)
    prices = [
        _price_flips(economy, scenario, choice, rivals, asked, f"price of the {which}")
        for which in ("choice", "runner-up")
    ]
    for w in asked.tolist():
        yield from _miss_flips(scenario, choice, w, break_even[w])
        yield from _volume_flips(scenario, choice, w)
        yield _success_flip(scenario, choice, w, float(floors[w]))
        yield from (found[w] for found in prices)


def searched(scenario: Scenario, choice: Ints) -> Ints:
    """The workloads whose flips are looked for, in order: all, or in a large study those that cost most."""
    usd = scenario.problem.usd[np.arange(len(choice)), choice]
    return np.sort(np.argsort(-usd, kind="stable")[: _most(scenario)])


def _most(scenario: Scenario) -> int:
    """How many workloads, and how many turns of a price, are looked at: enough to end within minutes."""
    return max(1, _MOST_CELLS // scenario.problem.usd.size)


def _miss_flips(scenario: Scenario, choice: Ints, w: int, break_even: Floats) -> Iterator[Flip]:
    """Costs of a miss below and above which the plan serves the workload with another option.

    Below, the search ends at 0; above, far beyond where moving the workload alone would pay, as a budget may ask for.
    """
    problem, own, now = scenario.problem, int(choice[w]), float(scenario.level["miss_cost_usd"][w])
    success = scenario.level["success_rate"][w]
    lost = scenario.level["requests_per_month"][w] * (1 - success)  # misses per month of each option

    def way(usd: float) -> Problem:
        return with_row(problem, w, usd=problem.usd[w] + lost * (usd - now))

    better = break_even[problem.eligible[w] & (success > success[own])]
    ends = {"down": 0.0, "up": 1000 * float(np.nanmin(better)) if np.isfinite(better).any() else now}
    kinds = {"down": "cheaper and worse than the choice", "up": "dearer and better than the choice"}
    for direction, far in ends.items():
        found = first(turns(way, now, choice, far), w, own) if far != now else None
        at, option = found or (None, None)
        why = None if found else f"never: no eligible option is {kinds[direction]}"
        yield Flip(w, "miss cost", direction, now, at, "USD/miss", option, why)


def _volume_flips(scenario: Scenario, choice: Ints, w: int) -> Iterator[Flip]:
    """Nearest volume below and above at which another option serves, within a hundredth to a hundredfold."""
    problem, own = scenario.problem, int(choice[w])
    now = float(scenario.level["requests_per_month"][w])
    fixed = scenario.parts["evaluation"][w]

    def way(volume: float) -> Problem:
        times = volume / now
        rows = {name: fixed + (getattr(problem, name)[w] - fixed) * times for name in ("usd", "cash")}
        return with_row(problem, w, load=problem.load[w] * times, **rows)

    for direction, multiples in (("down", _MULTIPLES[_MULTIPLES < 1][::-1]), ("up", _MULTIPLES[_MULTIPLES > 1])):
        found = first(_volume_turns(way, choice, w, now, now * multiples), w, own)
        at, option = found or (None, None)
        ends = f"never between {now * _MULTIPLES[0]:,.0f} and {now * _MULTIPLES[-1]:,.0f} requests a month"
        yield Flip(w, "volume", direction, now, at, "requests/month", option, None if found else ends)


def _volume_turns(way: Way, choice: Ints, w: int, now: float, volumes: Floats) -> Iterator[Turn]:
    """Where the plan changes on the way to the first of `volumes` at which it serves the workload otherwise.

    With the workload on an option, a plan costs what that option adds, known at every volume, and a rest that never
    falls as the volume grows. So the rest at the least volume bounds it at all others: first the rest that the cheapest
    plan leaves to every option, then, where that does not tell, the option's own.
    """
    own, others = int(choice[w]), way(now).eligible[w].copy()
    others[own] = False
    least = min(now, float(volumes[-1]))
    base = way(least)
    start = choice if least == now else solve(base).choice
    rest, known = total_usd(base, start) - base.usd[w], np.zeros(len(others), dtype=bool)
    mine = [choice]

    def stays(problem: Problem) -> bool:
        limit = min(limited_usd(problem, plan) for plan in mine) * (1 - 1e-12)
        while True:
            bound = np.where(others, problem.usd[w] + rest, np.inf)
            doubted = int(bound.argmin())
            if bound[doubted] >= limit:
                return True
            if known[doubted]:
                return False
            only = np.arange(len(others)) == doubted
            known[doubted] = True
            try:
                rest[doubted] = solve(with_row(base, w, eligible=only)).usd - base.usd[w, doubted]
            except Infeasible:
                rest[doubted] = np.inf

    near = now
    for volume in volumes:
        problem = way(float(volume))
        if not stays(problem):
            try:
                made = solve(problem).choice
            except Infeasible:
                return
            if made[w] != own:
                yield from between(
                    way, near, min(mine, key=lambda plan: limited_usd(way(near), plan)), float(volume), made
                )
                return
            mine.append(made)
        near = float(volume)


def _success_flip(scenario: Scenario, choice: Ints, w: int, floor: float) -> Flip:
    """Success rate of the choice at which the best plan without it costs as much; at least the floor."""
    own, problem = int(choice[w]), scenario.problem
    now = float(scenario.level["success_rate"][w, own])
    flip = Flip(w, "success rate", "down", now, None, "share", None, "never: no other option is eligible")
    others = problem.eligible[w].copy()
    others[own] = False
    if not others.any():
        return flip
    try:
        best = solve(with_row(problem, w, eligible=others))
    except Infeasible:
        return replace(flip, reason="never: no plan with another option keeps the limits")
    at_stake = float(scenario.level["requests_per_month"][w] * scenario.level["miss_cost_usd"][w])
    by_cost = now - (best.usd - total_usd(problem, choice)) / at_stake if at_stake else -1.0
    if max(by_cost, floor) <= 0:
        return replace(flip, reason="never: not even if it always failed")
    return replace(flip, at=max(by_cost, floor), option=int(best.choice[w]), reason=None)


def _price_way(economy: CostModel, scenario: Scenario, option: int) -> Way:
    """The way of a price: everything an option asks, and itself, at so many times what it costs now."""
    asks = economy.asked[1, option] > 0
    asks[option] = True
    kept = np.where(asks, 0.0, 1.0)
    free = replace(
        economy,
        usd=economy.usd * kept,
        usd_per_request=economy.usd_per_request * kept,
        people=economy.people * kept,
        ends={**economy.ends, "device_rate": economy.ends["device_rate"] * kept},
    )
    none, now = free.at().problem, scenario.problem

    def way(times: float) -> Problem:
        names = ("usd", "cash", "replica_usd")
        return replace(now, **{n: getattr(none, n) + times * (getattr(now, n) - getattr(none, n)) for n in names})

    return way


def _price_flips(
    economy: CostModel, scenario: Scenario, choice: Ints, rivals: Ints, asked: Ints, factor: str
) -> dict[int, Flip]:
    """By workload, the first price of its choice or of its runner-up that moves it."""
    up = factor == "price of the choice"
    direction, far, priced = ("up", _DEAREST, choice) if up else ("down", 0.0, rivals)
    never = f"never: not even at {_DEAREST:g} times the price" if up else "never: not even free of charge"
    alone = "never: no other option is eligible"
    found = {
        int(w): Flip(int(w), factor, direction, 1.0, None, "times the price", None, alone, int(priced[w]))
        for w in asked
    }
    for option in np.unique(priced[asked[rivals[asked] >= 0]]):
        left, why = {w for w in found if priced[w] == option and rivals[w] >= 0}, never
        changes = turns(_price_way(economy, scenario, int(option)), 1.0, choice, far)
        for count, (at, plan) in enumerate(changes, 1):
            moved = {w for w in left if plan[w] != choice[w]}
            found |= {w: replace(found[w], at=at, option=int(plan[w]), reason=None) for w in moved}
            left -= moved
            if not left:
                break
            if count == _most(scenario):
                why = f"never between {at:.3g} times the price and what it is now, where the search ended"
                break
        found |= {w: replace(found[w], reason=why) for w in left}
    return found
