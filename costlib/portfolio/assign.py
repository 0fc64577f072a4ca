"""Which option serves which workload, for the least money: a mixed-integer program, solved by HiGHS.

Each workload goes wholly to one option; what a choice costs is in problem.py.

    minimize   sum x[w,o] * usd[w,o] + sum replicas[p] * replica_usd[p] + sum kept[m] * model_usd[m]
    such that  each workload has one option; replicas[p] >= load of its workloads in every hour;
               replicas[p] >= minimum[p] where it is used, in whole nodes of one of its offers; cash <= budget

Before solving, an option is left out for a workload when another one is cheaper even if it had to pay for its model and
its pool alone; that never changes the optimum, and makes 1,000 workloads x 50 options a matter of seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from costlib.errors import InputError, RunError
from costlib.portfolio.problem import (
    Flags,
    Floats,
    Ints,
    Problem,
    alone_usd,
    busiest_hours,
    limited_usd,
    replicas,
    total_usd,
)

_NEARLY_WHOLE = 1e-6
"""HiGHS takes a number this close to a whole one for it."""


class Infeasible(InputError):  # noqa: N818 - the solver's word for it
    """No plan keeps every requirement; `requirements` is a smallest set that cannot hold together.

    `least` is, for each of them, the least it would have to allow while the others hold: $ per month or replicas; None
    where the time limit ended before it was found.
    """

    def __init__(self, message: str, requirements: tuple[str, ...], least: tuple[float | None, ...] = ()) -> None:
        super().__init__(message)
        self.requirements = requirements
        self.least = least


@dataclass(frozen=True)
class Solution:
    """`choice` (W,) is an option per workload, `replicas` (P,) whole replicas, `usd` $ per month.

    `bound` is the proven lower bound and `gap` = (usd - bound) / usd.
    """

    choice: Ints
    replicas: Ints
    usd: float
    bound: float
    gap: float


def solve(problem: Problem, *, gap: float = 1e-9, time_limit_s: float = 60.0) -> Solution:
    """The cheapest assignment, proven to within `gap` (relative) or as far as `time_limit_s` allows.

    Raises `Infeasible` when budget and replica limits cannot be kept, naming a smallest set of them that conflict, and
    `RunError` when the time limit ends without any plan. Every workload must have an eligible option.
    """
    problem = replace(problem, hours=busiest_hours(problem.hours))
    if not problem.eligible.any(axis=1).all():
        raise ValueError("a workload without an eligible option")
    result, columns = _milp(problem, gap, time_limit_s)
    if result.status == 2:
        raise _infeasible(problem, gap, time_limit_s)
    if result.x is None:
        raise RunError(f"no plan was found within {time_limit_s:g} s: {result.message}")
    choice = _chosen(problem, result, columns)
    usd = total_usd(problem, choice)
    bound = min(float(result.mip_dual_bound), usd)
    if usd > result.fun + _NEARLY_WHOLE * usd:  # a load just above a whole number of replicas passed for it
        result, columns = _milp(replace(problem, load=problem.load * (1 + 4 * _NEARLY_WHOLE)), gap, time_limit_s)
        if result.x is not None:
            again = _chosen(problem, result, columns)
            choice = min(choice, again, key=lambda one: limited_usd(problem, one))
            usd = total_usd(problem, choice)
    return Solution(choice, replicas(problem, choice), usd, bound, (usd - bound) / usd if usd else 0.0)


def _chosen(problem: Problem, result: Any, columns: list[tuple[int, int]]) -> Ints:
    """The option (W,) with the largest value for each workload."""
    choice, best = np.zeros(len(problem.usd), dtype=np.int64), np.full(len(problem.usd), -1.0)
    for (workload, option), value in zip(columns, result.x, strict=False):
        if value > best[workload]:
            choice[workload], best[workload] = option, value
    return choice


def _useful(problem: Problem) -> Flags:
    """Eligible cells that could be in an optimal plan; see the module docstring. A budget disables the shortcut."""
    if problem.budget is not None or np.isfinite(problem.maximum).any():
        return problem.eligible
    alone = np.where(problem.eligible, alone_usd(problem), np.inf)  # joining a pool that is there adds no more
    keep = problem.eligible & (problem.usd <= alone.min(axis=1)[:, None] * (1 + 1e-12))
    return np.asarray(keep)


class _Rows:
    """Collects the rows of the constraint matrix; every row reads: sum of entries <= limit."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, Any, Any]] = []
        self.limits: list[Floats] = []
        self.count = 0

    def add(self, rows: Any, columns: Any, values: Any, limits: Floats) -> None:
        """Add len(limits) rows whose entries are `values` at (`rows`, `columns`), rows counted from 0."""
        self.entries.append((np.asarray(rows) + self.count, columns, values))
        self.limits.append(limits)
        self.count += len(limits)

    def gate(self, owners: Ints, columns: Ints, gate: int) -> None:
        """An owner may use any of its columns only where the `gate` variable is 1."""
        names, row = np.unique(owners, return_inverse=True)
        count = len(names)
        rows, values = (
            np.concatenate([row, np.arange(count)]),
            np.concatenate([np.ones(len(row)), np.full(count, -1.0)]),
        )
        self.add(rows, np.concatenate([columns, np.full(count, gate)]), values, np.zeros(count))


def _milp(
    problem: Problem, gap: float, time_limit_s: float, fewest: int | None = None
) -> tuple[Any, list[tuple[int, int]]]:
    """Build and solve; returns scipy's result and the (workload, option) of each leading variable.

    With `fewest` the replicas of that pool are minimized instead of the cost.

    Variables: one per useful cell, then nodes of each offer of each pool, open or not of each pool, kept or not of each
    model, and of pools with several offers which of them is taken.
    """

    cells = np.argwhere(_useful(problem) if fewest is None else problem.eligible)
    workload, option = cells[:, 0], cells[:, 1]
    count, hours = len(cells), problem.hours.shape[1]
    offered = np.isin(problem.user, option)
    pools, models = np.unique(problem.pool[offered]), np.flatnonzero(problem.kept[np.unique(option)].any(axis=0))
    assert problem.node is not None
    offers = [  # (index of the pool, offer), each kind once
        (index, int(offer))
        for index, pool in enumerate(pools)
        for offer in np.unique(np.stack([problem.node[pool], problem.replica_usd[pool]]), axis=1, return_index=True)[1]
    ]
    of_pool = np.array([index for index, _ in offers], dtype=int)
    node = np.array([problem.node[pools[index], offer] for index, offer in offers], dtype=float)
    node_usd = node * np.array([problem.replica_usd[pools[index], offer] for index, offer in offers])
    several = np.flatnonzero(np.bincount(of_pool, minlength=len(pools))[of_pool] > 1) if offers else of_pool
    first_open, first_model = count + len(offers), count + len(offers) + len(pools)
    first_taken = first_model + len(models)
    size = first_taken + len(several)
    rows, direct = _Rows(), problem.kept[option][:, models]
    for index, pool in enumerate(pools):
        uses = np.flatnonzero(problem.pool == pool)
        users, use = np.nonzero(option[:, None] == problem.user[uses])
        load = problem.load[workload[users], uses[use]][:, None] * problem.hours[workload[users]]
        mine = np.flatnonzero(of_pool == index)
        size_rows = np.tile(np.arange(hours), len(users) + len(mine))
        size_columns = np.concatenate([np.repeat(users, hours), np.repeat(count + mine, hours)])
        values = np.concatenate([load.ravel(), np.repeat(-node[mine], hours)])
        rows.add(size_rows, size_columns, values, np.zeros(hours))
        columns = np.concatenate([[first_open + index], count + mine])
        rows.add(np.zeros(len(columns)), columns, np.concatenate([[problem.minimum[pool]], -node[mine]]), np.zeros(1))
        if len(mine) > 1:
            taken = first_taken + np.searchsorted(several, mine)
            most = np.ceil(np.maximum(load.sum(axis=0).max(initial=0), problem.minimum[pool]) / node[mine]) + 1
            for column, which, limit in zip(count + mine, taken, most, strict=True):
                rows.add([0, 0], [column, which], [1.0, -limit], np.zeros(1))
            rows.add(np.zeros(len(taken)), taken, np.ones(len(taken)), np.ones(1))
        rows.gate(workload[users], users, first_open + index)
        for model in np.flatnonzero(direct[users].all(axis=0)).tolist():  # the gate of the pool leads on
            rows.add([0, 0], [first_open + index, first_model + model], [1.0, -1.0], np.zeros(1))
            direct[users, model] = False
    for model in range(len(models)):
        users = np.flatnonzero(direct[:, model])
        rows.gate(workload[users], users, first_model + model)
    cost = np.concatenate(
        [
            problem.usd[workload, option],
            node_usd,
            np.zeros(len(pools)),
            problem.model_usd[models],
            np.zeros(len(several)),
        ]
    )
    if problem.budget is not None:
        cash = np.concatenate([problem.cash[workload, option], cost[count:]])
        rows.add(np.zeros(size), np.arange(size), cash, np.array([problem.budget]))
    if fewest is not None:
        cost = np.zeros(size)
        mine = np.flatnonzero(of_pool == np.searchsorted(pools, fewest))
        cost[count + mine] = node[mine]
    assigned = LinearConstraint(
        csr_array((np.ones(count), (workload, np.arange(count))), shape=(len(problem.usd), size)), 1, 1
    )
    constraints = [assigned]
    if rows.count:
        place_rows, columns, values = (np.concatenate(part) for part in zip(*rows.entries, strict=True))
        matrix = csr_array((values, (place_rows.astype(int), columns.astype(int))), shape=(rows.count, size))
        constraints.append(LinearConstraint(matrix, -np.inf, np.concatenate(rows.limits)))
    result = milp(
        cost,
        integrality=np.ones(size),
        bounds=Bounds(
            0,
            np.concatenate(
                [
                    np.ones(count),
                    np.floor(problem.maximum[pools[of_pool]] / node),
                    np.ones(size - first_open),
                ]
            ),
        ),
        constraints=constraints,
        options={"mip_rel_gap": gap, "time_limit": time_limit_s},
    )
    return result, [(int(w), int(o)) for w, o in cells]


def _infeasible(problem: Problem, gap: float, time_limit_s: float) -> Infeasible:
    """Find a smallest set of limits that cannot hold together by trying all sets of one, then of two, and so on."""
    limits = [-1] if problem.budget is not None else []
    limits += np.flatnonzero(np.isfinite(problem.maximum)).tolist()

    def under(kept: Collection[int]) -> Problem:
        """The problem with only those limits: a pool's maximum, or the budget as -1."""
        maximum = np.where(np.isin(np.arange(len(problem.maximum)), list(kept)), problem.maximum, np.inf)
        return replace(problem, maximum=maximum, budget=problem.budget if -1 in kept else None)

    def least(limit: int, others: Collection[int]) -> float | None:
        rest = under(others)
        aimed = rest if limit >= 0 else replace(rest, usd=rest.cash)
        result, _ = _milp(aimed, gap, time_limit_s, limit if limit >= 0 else None)
        return None if result.x is None else float(result.fun)

    for size in range(1, len(limits) + 1):
        for kept in itertools.combinations(limits, size):
            if _milp(under(kept), gap, time_limit_s)[0].status == 2:
                names = tuple("budget" if limit < 0 else f"pool {limit}" for limit in kept)
                needed = tuple(least(limit, [other for other in kept if other != limit]) for limit in kept)
                return Infeasible(f"these limits cannot be kept together: {', '.join(names)}", names, needed)
    return Infeasible("the limits of the study cannot be kept together", tuple(map(str, limits)))


def smallest_conflict(failures: Sequence[Collection[str]]) -> tuple[str, ...]:
    """A smallest set of requirements such that every option (one entry of `failures` each) fails at least one of them.

    `failures` names the requirements each option fails; none may be empty. Ties go to the alphabetical order.
    """
    names = sorted(set().union(*failures))
    for size in range(1, len(names) + 1):
        for kept in itertools.combinations(names, size):
            if all(set(kept) & set(failed) for failed in failures):
                return kept
    raise ValueError("an option that fails nothing")
