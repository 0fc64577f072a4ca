"""Which option serves which workload, for the least money: a mixed-integer program, solved by HiGHS.

Each workload goes wholly to one option. Options that run on the same pool share whole replicas, sized for the hour of
the day in which the workloads that chose them need most; a cascade or router runs on the pools of all its stages. Every
model kept in the portfolio costs a fixed sum a month, once. So choices are not independent: a replica paid for one
workload may carry another for nothing, and a cheaper model may not be worth keeping for one workload alone.

    minimize   sum x[w,o] * usd[w,o] + sum replicas[p] * replica_usd[p] + sum kept[m] * model_usd[m]
    such that  each workload has one option; replicas[p] >= load of its workloads in every hour;
               replicas[p] >= minimum[p] where it is used, in whole nodes; cash <= budget

Before solving, an option is left out for a workload when another one is cheaper even if it had to pay for its model and
its pool alone; that never changes the optimum, and makes 1,000 workloads x 50 options a matter of seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from costlib.errors import InputError, RunError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WHOLE = 1e-9
"""A load this little above a whole number of replicas is rounding, not a reason for one more."""


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
class Problem:
    """W workloads, O options, P pools, U uses of a pool by an option (at most one for both), M models, H hours.

    Money is in $ per month. `usd` (W, O) is what an assignment costs besides shared replicas and models, `cash` (W, O)
    the part of it that is paid in money (not expected misses). `load` (W, U) is replicas needed if all requests came in
    one hour of the month, and `hours` (W, H) the share of the month's requests in an hour, so load * hours is replicas
    needed in that hour. `user` and `pool` (U,) say which option uses which pool, `kept` (O, M) which models it needs.
    `node` (P,) is how many replicas of a pool are only to be had together; None: each alone.
    """

    usd: Floats
    cash: Floats
    eligible: Flags
    load: Floats
    user: Ints
    pool: Ints
    hours: Floats
    replica_usd: Floats
    minimum: Ints
    maximum: Floats
    kept: Flags
    model_usd: Floats
    budget: float | None = None
    node: Ints | None = None

    def rented(self, load: Any, pool: Any) -> Any:
        """Replicas of pools for loads in replicas: whole nodes, at least the minimum."""
        node = 1 if self.node is None else self.node[pool]
        return node * whole(np.maximum(load, self.minimum[pool]) / node)


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


def busiest_hours(hours: Floats) -> Floats:
    """The columns of `hours` (W, H) that can decide a size; an hour no busier than another for any workload cannot."""
    columns = np.unique(hours, axis=1)
    keep = [
        index
        for index in range(columns.shape[1])
        if not any(
            other != index and bool(np.all(columns[:, other] >= columns[:, index])) for other in range(columns.shape[1])
        )
    ]
    return columns[:, keep]


def whole(load: Any) -> Any:
    """Whole replicas for a load in replicas."""
    return np.ceil(np.asarray(load) - _WHOLE)


def on_pools(problem: Problem, choice: Ints, values: Floats) -> tuple[Floats, Flags]:
    """Values of uses (W, U) as (W, P) under a choice, and which workload uses which pool."""
    found = np.zeros((len(choice), len(problem.replica_usd)))
    used = np.zeros(found.shape, dtype=bool)
    for use, (option, pool) in enumerate(zip(problem.user, problem.pool, strict=True)):
        rows = choice == option
        found[rows, pool] = values[rows, use]
        used[rows, pool] = True
    return found, used


def replicas(problem: Problem, choice: Ints) -> Ints:
    """Replicas (P,) that a choice needs: the busiest hour, at least the minimum, 0 where no workload uses the pool."""
    load, used = on_pools(problem, choice, problem.load)
    peak = (load.T @ problem.hours).max(axis=1, initial=0)
    return np.where(used.any(axis=0), problem.rented(peak, slice(None)), 0).astype(np.int64)


def total_usd(problem: Problem, choice: Ints, *, cash: bool = False) -> float:
    """$ per month of a choice; `cash` leaves expected misses out."""
    variable = (problem.cash if cash else problem.usd)[np.arange(len(choice)), choice].sum()
    shared = (replicas(problem, choice) * problem.replica_usd).sum()
    return float(variable + shared + problem.model_usd[problem.kept[choice].any(axis=0)].sum())


def alone_usd(problem: Problem) -> Floats:
    """(W, O): $ per month of serving a workload with an option that pays for its replicas and models alone."""
    found = problem.usd + (problem.kept @ problem.model_usd)[None, :]
    for use, count in enumerate(_alone(problem).T):
        found[:, problem.user[use]] += count * problem.replica_usd[problem.pool[use]]
    return found


def alone_replicas(problem: Problem) -> Floats:
    """(W, O): replicas of all its pools that a workload needs alone on an option; NaN where it needs none."""
    found = np.full(problem.usd.shape, np.nan)
    for use, count in enumerate(_alone(problem).T):
        mine = found[:, problem.user[use]]
        found[:, problem.user[use]] = np.where(np.isnan(mine), 0.0, mine) + count
    return found


def _alone(problem: Problem) -> Any:
    """(W, U): replicas of each use when a workload is alone on it."""
    peak = problem.load * problem.hours.max(axis=1, initial=0)[:, None]
    return problem.rented(peak, problem.pool)


def switch_usd(problem: Problem, choice: Ints) -> Floats:
    """(W, O): change of the total, in $ per month, when one workload moves to another option and all else stays.

    Counts replicas freed and added and models dropped and added; infinite where the option is not eligible.
    """
    rows = np.arange(len(choice))
    change = problem.usd - problem.usd[rows, choice][:, None]
    own = problem.kept[choice]
    needed_by_others = own.sum(axis=0) - own > 0
    models = np.where(needed_by_others, 0.0, problem.model_usd) @ problem.kept.T  # models that come for this workload
    change = change + models - models[rows, choice][:, None]
    load, used = on_pools(problem, choice, problem.load)
    for pool in range(len(problem.replica_usd)):
        own_load = load[:, pool, None] * problem.hours
        rest = own_load.sum(axis=0) - own_load
        others = used[:, pool].sum() - used[:, pool]
        without = _pool_usd(problem, pool, rest, others)
        change += (without - _pool_usd(problem, pool, own_load.sum(axis=0), np.asarray(used[:, pool].sum())))[:, None]
        for use in np.flatnonzero(problem.pool == pool):
            with_it = rest + problem.load[:, use, None] * problem.hours
            change[:, problem.user[use]] += _pool_usd(problem, pool, with_it, others + 1) - without
    change[~problem.eligible] = np.inf
    change[rows, choice] = 0.0
    return np.asarray(change)


def _pool_usd(problem: Problem, pool: int, load: Floats, users: Any) -> Any:
    return np.where(users > 0, problem.rented(load.max(axis=-1), pool), 0) * problem.replica_usd[pool]


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
    choice = np.zeros(len(problem.usd), dtype=np.int64)
    best = np.full(len(problem.usd), -1.0)
    for (workload, option), value in zip(columns, result.x, strict=False):
        if value > best[workload]:
            choice[workload], best[workload] = option, value
    usd = total_usd(problem, choice)
    bound = min(float(result.mip_dual_bound), usd)
    return Solution(choice, replicas(problem, choice), usd, bound, (usd - bound) / usd if usd else 0.0)


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

    Variables: one per useful cell, then nodes and open or not of each pool, then kept or not of each model.
    """
    cells = np.argwhere(_useful(problem) if fewest is None else problem.eligible)
    workload, option = cells[:, 0], cells[:, 1]
    count, hours = len(cells), problem.hours.shape[1]
    offered = np.isin(problem.user, option)
    pools, models = np.unique(problem.pool[offered]), np.flatnonzero(problem.kept[np.unique(option)].any(axis=0))
    first_open, first_model = count + len(pools), count + 2 * len(pools)
    size = first_model + len(models)
    rows, direct = _Rows(), problem.kept[option][:, models]
    node = np.ones(len(pools)) if problem.node is None else problem.node[pools]
    for index, pool in enumerate(pools):
        uses = np.flatnonzero(problem.pool == pool)
        users, use = np.nonzero(option[:, None] == problem.user[uses])
        load = problem.load[workload[users], uses[use]][:, None] * problem.hours[workload[users]]
        size_rows = np.concatenate([np.tile(np.arange(hours), len(users)), np.arange(hours)])
        size_columns = np.concatenate([np.repeat(users, hours), np.full(hours, count + index)])
        rows.add(size_rows, size_columns, np.concatenate([load.ravel(), np.full(hours, -node[index])]), np.zeros(hours))
        rows.add([0, 0], [first_open + index, count + index], [problem.minimum[pool], -node[index]], np.zeros(1))
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
            problem.replica_usd[pools] * node,
            np.zeros(len(pools)),
            problem.model_usd[models],
        ]
    )
    if problem.budget is not None:
        cash = np.concatenate([problem.cash[workload, option], cost[count:]])
        rows.add(np.zeros(size), np.arange(size), cash, np.array([problem.budget]))
    if fewest is not None:
        index = int(np.searchsorted(pools, fewest))
        cost = (np.arange(size) == count + index) * node[index]
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
            0, np.concatenate([np.ones(count), np.floor(problem.maximum[pools] / node), np.ones(size - first_open)])
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
