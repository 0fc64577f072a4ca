"""Which option serves which workload, for the least money: a mixed-integer program, solved by HiGHS.

Each workload goes wholly to one option; what a choice costs is in problem.py.

    minimize   sum x[w,o] * usd[w,o] + sum replicas[p] * replica_usd[p] + sum kept[m] * model_usd[m]
    such that  each workload has one option; replicas[p] >= load of its workloads in every hour;
               replicas[p] >= minimum[p] where it is used, in whole nodes of one of its offers; cash <= budget

Before solving, an option is left out for a workload when another one is cheaper even if it had to pay for its pool and
what it needs of models alone; that never changes the optimum, and makes 1,000 workloads x 50 options a matter of
seconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from costlib.errors import InputError, RunError
from costlib.portfolio.problem import (
    OVER_LIMIT_USD,
    Flags,
    Floats,
    Ints,
    Problem,
    alone_usd,
    busiest_hours,
    limited_usd,
    replicas,
    switch_usd,
    total_usd,
)

_NEARLY_WHOLE = 1e-6
"""HiGHS takes a number this close to a whole one for it."""
_EXACT, _LARGE_GAP = 1e-9, 0.005
_LARGE = 20_000
"""Cells, workloads times options, above which a plan within `_LARGE_GAP` of the best one is enough."""
_NODES, _MOVES = 100_000, 20
_ONE_AT_A_TIME = threading.RLock()
_C = None if os.name == "nt" else ctypes.CDLL(None)


class Infeasible(InputError):  # noqa: N818 - the solver's word for it
    """No plan keeps every requirement; `requirements` is a smallest set that cannot hold together.

    `least` is, for each of them, the least it would have to allow while the others hold: $ per month or replicas; None
    where the search ended before it was found.
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


def solve(problem: Problem, *, gap: float | None = None) -> Solution:
    """The cheapest assignment, proven to within `gap` (relative); of a large one to within half a percent.

    The relaxation without whole numbers comes first: where rounding its plan costs no more, that is the answer, and
    else it tells which cells no plan can have that is cheaper than the rounded one. No clock decides: a search ends by
    the number of its nodes.

    Raises `Infeasible` when budget and replica limits cannot be kept, naming a smallest set of them that conflict, and
    `RunError` when the search ends without any plan. Every workload must have an eligible option.
    """
    problem = replace(problem, hours=busiest_hours(problem.hours))
    if not problem.eligible.any(axis=1).all():
        raise ValueError("a workload without an eligible option")
    if gap is None:
        gap = _EXACT if problem.usd.size <= _LARGE else _LARGE_GAP
    useful = replace(problem, eligible=_useful(problem))
    program = _program(useful)
    with _quiet():
        relaxed = program.relaxed()
    if relaxed.status == 2:
        raise _infeasible(problem, gap)
    if relaxed.x is None:
        return _searched(problem, useful, gap, None, -np.inf)
    plan, bound = program.choice(problem, relaxed.x), float(relaxed.fun)
    usd = limited_usd(problem, plan)
    for _ in range(_MOVES):
        change = switch_usd(problem, plan)
        w, option = np.unravel_index(int(change.argmin()), change.shape)
        moved = np.where(np.arange(len(plan)) == w, option, plan)
        if usd - bound <= gap * usd or not limited_usd(problem, moved) < usd:
            break
        plan, usd = moved, limited_usd(problem, moved)
    if usd - bound <= gap * usd:
        return _solution(problem, plan, bound)
    if usd < OVER_LIMIT_USD:  # a cell whose reduced cost lifts the bound above a plan that is known is in no better one
        reduced = (relaxed.lower.marginals + relaxed.upper.marginals)[: len(program.cells)]
        kept = program.cells[bound + reduced <= usd * (1 + _EXACT)]
        eligible = np.zeros_like(useful.eligible)
        eligible[kept[:, 0], kept[:, 1]] = True
        eligible[np.arange(len(plan)), plan] = True
        useful = replace(useful, eligible=eligible)
    return _searched(problem, useful, gap, plan if usd < OVER_LIMIT_USD else None, bound)


def _searched(problem: Problem, useful: Problem, gap: float, known: Ints | None, bound: float) -> Solution:
    """The cheapest plan by branch and bound, or the one that is known where none is cheaper."""
    program = _program(useful)
    with _quiet():
        result = program.searched(gap)
    if result.status == 2 and known is None:
        raise _infeasible(problem, gap)
    if result.x is None:
        if known is None:
            raise RunError(f"no plan was found within {_NODES:,} nodes of the search: {result.message}")
        return _solution(problem, known, bound)
    choice = program.choice(problem, result.x)
    usd = total_usd(problem, choice)
    bound = max(bound, min(float(result.mip_dual_bound), usd))
    if usd > result.fun + _NEARLY_WHOLE * usd:  # a load just above a whole number of replicas passed for it
        program = _program(replace(useful, load=useful.load * (1 + 4 * _NEARLY_WHOLE)))
        with _quiet():
            result = program.searched(gap)
        if result.x is not None:
            again = program.choice(problem, result.x)
            choice = min(choice, again, key=lambda one: limited_usd(problem, one))
    if known is not None:
        choice = min(choice, known, key=lambda one: limited_usd(problem, one))
    return _solution(problem, choice, bound)


def _solution(problem: Problem, choice: Ints, bound: float) -> Solution:
    usd = total_usd(problem, choice)
    bound = min(bound, usd)
    return Solution(choice, replicas(problem, choice), usd, bound, (usd - bound) / usd if usd else 0.0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """HiGHS writes some lines straight to the streams of the process, whatever it is told; here they go nowhere."""
    with _ONE_AT_A_TIME, Path(os.devnull).open("wb") as nothing:
        kept = [(stream, os.dup(stream)) for stream in (1, 2)]
        for stream, _ in kept:
            os.dup2(nothing.fileno(), stream)
        try:
            yield
        finally:
            if _C is not None:
                _C.fflush(None)
            for stream, copy in kept:
                os.dup2(copy, stream)
                os.close(copy)


def _useful(problem: Problem) -> Flags:
    """Eligible cells that could be in an optimal plan.

    Not those from which a move to an option without a limit saves, even where the workload pays alone for the pools of
    that option and for the models that the other one does not need. With a budget the move has to save cash, too.
    """
    limited = np.zeros(problem.usd.shape[1], dtype=bool)
    limited[problem.user[np.isfinite(problem.maximum[problem.pool])]] = True
    pools = alone_usd(problem) - problem.usd - problem.kept @ problem.model_usd
    keep = problem.eligible.copy()
    for option in np.flatnonzero(~limited):
        more = (problem.kept[option] & ~problem.kept) @ problem.model_usd + pools[:, option, None]
        better = problem.usd[:, option, None] + more < problem.usd * (1 - 1e-12)
        if problem.budget is not None:
            better &= problem.cash[:, option, None] + more <= problem.cash
        better[:, option] = False
        keep &= ~(better & problem.eligible[:, option, None])
    return keep


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


@dataclass(frozen=True)
class _Program:
    """A mixed-integer program; its leading variables are the `cells` (workload, option)."""

    cost: Floats
    most: Floats
    assigned: Any
    matrix: Any
    limits: Floats
    cells: Ints

    def relaxed(self) -> Any:
        """scipy's result without whole numbers, with its reduced costs."""
        ends = np.stack([np.zeros(len(self.most)), self.most], axis=1)
        rows = {"A_ub": self.matrix, "b_ub": self.limits} if len(self.limits) else {}
        ones = np.ones(self.assigned.shape[0])
        return linprog(self.cost, A_eq=self.assigned, b_eq=ones, bounds=ends, method="highs", **rows)

    def searched(self, gap: float) -> Any:
        """scipy's result in whole numbers."""
        rows = [LinearConstraint(self.assigned, 1, 1)]
        rows += [LinearConstraint(self.matrix, -np.inf, self.limits)] if len(self.limits) else []
        options = {"mip_rel_gap": gap, "node_limit": _NODES}
        whole = np.ones(len(self.cost))
        return milp(self.cost, integrality=whole, bounds=Bounds(0, self.most), constraints=rows, options=options)

    def choice(self, problem: Problem, values: Floats) -> Ints:
        """The option (W,) with the largest value for each workload."""
        found = np.full(problem.usd.shape, -1.0)
        found[self.cells[:, 0], self.cells[:, 1]] = values[: len(self.cells)]
        return np.asarray(found.argmax(axis=1))


def _program(problem: Problem, fewest: int | None = None) -> _Program:
    """The program of a problem; with `fewest` the replicas of that pool are minimized instead of the cost.

    Variables: one per eligible cell, then nodes of each offer of each pool, open or not of each pool, kept or not of
    each model, and of pools with several offers which of them is taken.
    """
    cells = np.argwhere(problem.eligible)
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
            problem.usd[workload, option] * (1 + _EXACT * option / problem.usd.shape[1]),  # of equals the first listed
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
    most = np.floor(problem.maximum[pools[of_pool]] / node)
    matrix = csr_array((rows.count, size))
    if rows.count:
        place_rows, columns, values = (np.concatenate(part) for part in zip(*rows.entries, strict=True))
        matrix = csr_array((values, (place_rows.astype(int), columns.astype(int))), shape=matrix.shape)
    return _Program(
        cost=cost,
        most=np.concatenate([np.ones(count), most, np.ones(size - first_open)]),
        assigned=csr_array((np.ones(count), (workload, np.arange(count))), shape=(len(problem.usd), size)),
        matrix=matrix,
        limits=np.concatenate(rows.limits) if rows.limits else np.zeros(0),
        cells=cells,
    )


def _infeasible(problem: Problem, gap: float) -> Infeasible:
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
        with _quiet():
            result = _program(aimed, limit if limit >= 0 else None).searched(gap)
        return None if result.x is None else float(result.fun)

    for size in range(1, len(limits) + 1):
        for kept in itertools.combinations(limits, size):
            with _quiet():
                status = _program(under(kept)).searched(gap).status
            if status == 2:
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
