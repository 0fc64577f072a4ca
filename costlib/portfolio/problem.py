"""The assignment of workloads to options as arrays, and what any choice costs: replicas, totals, and single moves.

Options that run on the same pool share whole replicas, sized for the hour of the day in which the workloads that chose
them need most; a cascade or router runs on the pools of all its stages. Every model kept in the portfolio costs a fixed
sum a month, once. So choices are not independent: a replica paid for one workload may carry another for nothing, and a
cheaper model may not be worth keeping for one workload alone. assign.py finds the cheapest choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

OVER_LIMIT_USD = 1e15
_WHOLE = 1e-9
"""A load this little above a whole number of replicas is rounding, not a reason for one more."""


@dataclass(frozen=True)
class Problem:
    """W workloads, O options, P pools, U uses of a pool by an option (at most one for both), M models, H hours.

    Money is in $ per month. `usd` (W, O) is what an assignment costs besides shared replicas and models, `cash` (W, O)
    the part of it that is paid in money (not expected misses). `load` (W, U) is replicas needed if all requests came in
    one hour of the month, and `hours` (W, H) the share of the month's requests in an hour, so load * hours is replicas
    needed in that hour. `user` and `pool` (U,) say which option uses which pool, `kept` (O, M) which models it needs.
    A pool has up to J offers: `node` (P, J) is how many replicas of it are only to be had together, `replica_usd`
    (P, J) the price of each of them; one offer per pool may be given as (P,). Whole nodes of one of them are rented:
    of the one whose bill is least and that `maximum` (P,) replicas allow.
    Draws are axes before these: `usd`, `load`, `replica_usd`, `minimum` and `model_usd` may have them, and then what is
    computed of a choice has them, too.
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

    def __post_init__(self) -> None:
        """One offer per pool as (P, 1); without nodes each replica alone."""
        usd = self.replica_usd if np.ndim(self.replica_usd) >= 2 else np.asarray(self.replica_usd)[:, None]
        node = np.ones(usd.shape[-2:], dtype=np.int64) if self.node is None else np.reshape(self.node, usd.shape[-2:])
        object.__setattr__(self, "replica_usd", usd)
        object.__setattr__(self, "node", node)

    def rented(self, load: Any, pool: Any) -> tuple[Any, Any, Any]:
        """(replicas, $ per month, offer) of pools for loads in replicas: the least whole bill, at least the minimum."""
        assert self.node is not None
        one = (..., None) if np.ndim(pool) == 0 and not isinstance(pool, slice) else (...,)  # all loads are of it
        minimum, price = self.minimum[..., pool][one], self.replica_usd[..., pool, :]
        need = np.asarray(np.maximum(load, minimum))[..., None]
        counts = self.node[pool] * whole(need / self.node[pool])
        usd = counts * (price[..., None, :] if one[1:] else price)
        if usd.shape[-1] == 1:
            return counts[..., 0], usd[..., 0], np.zeros(usd.shape[:-1], dtype=np.int64)
        over = counts > np.asarray(self.maximum[pool])[..., None]
        best = np.where(over, OVER_LIMIT_USD * counts, usd).argmin(axis=-1)[..., None]
        counts, usd = (np.take_along_axis(part, best, axis=-1)[..., 0] for part in (counts, usd))
        return counts, usd, best[..., 0]


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
    used = np.zeros((len(choice), len(problem.maximum)), dtype=bool)
    found = np.zeros((*values.shape[:-2], *used.shape))
    for use, (option, pool) in enumerate(zip(problem.user, problem.pool, strict=True)):
        rows = choice == option
        found[..., rows, pool] = values[..., rows, use]
        used[rows, pool] = True
    return found, used


def rent(problem: Problem, choice: Ints) -> tuple[Ints, Floats, Ints]:
    """(P,) each: replicas rented for a choice, $ per month, and which offer; nothing where no workload uses the pool.

    The busiest hour counts, or the minimum, in whole nodes.
    """
    load, used = on_pools(problem, choice, problem.load)
    busiest = (np.swapaxes(load, -1, -2) @ problem.hours).max(axis=-1, initial=0)
    counts, usd, best = problem.rented(busiest, slice(None))
    open_ = used.any(axis=0)
    return np.where(open_, counts, 0).astype(np.int64), np.where(open_, usd, 0.0), best


def replicas(problem: Problem, choice: Ints) -> Ints:
    """Replicas (P,) that are rented for a choice."""
    return rent(problem, choice)[0]


def totals(problem: Problem, choice: Ints, *, cash: bool = False) -> Floats:
    """$ per month of a choice, in each draw; `cash` leaves expected misses out."""
    variable = (problem.cash if cash else problem.usd)[..., np.arange(len(choice)), choice].sum(axis=-1)
    shared = rent(problem, choice)[1].sum(axis=-1)
    return np.asarray(variable + shared + problem.model_usd[..., problem.kept[choice].any(axis=0)].sum(axis=-1))


def total_usd(problem: Problem, choice: Ints, *, cash: bool = False) -> float:
    """The same where nothing is drawn."""
    return float(totals(problem, choice, cash=cash))


def limited_usd(problem: Problem, choice: Ints) -> float:
    """The same, and beyond any other total where the choice breaks the budget or a limit of replicas."""
    over = problem.budget is not None and total_usd(problem, choice, cash=True) > problem.budget * (1 + 1e-9)
    if np.isfinite(problem.maximum).any():
        over = over or bool((replicas(problem, choice) > problem.maximum).any())
    return total_usd(problem, choice) + OVER_LIMIT_USD * over


def alone_usd(problem: Problem) -> Floats:
    """(W, O): $ per month of serving a workload with an option that pays for its replicas and models alone."""
    found = problem.usd + (problem.model_usd @ problem.kept.T)[..., None, :]
    usd = _alone(problem)[1]
    for use, option in enumerate(problem.user):
        found[..., option] += usd[..., use]
    return np.asarray(found)


def alone_replicas(problem: Problem) -> Floats:
    """(W, O): replicas of all its pools that a workload needs alone on an option; NaN where it needs none."""
    found = np.full(problem.usd.shape, np.nan)
    for use, count in enumerate(_alone(problem)[0].T):
        mine = found[:, problem.user[use]]
        found[:, problem.user[use]] = np.where(np.isnan(mine), 0.0, mine) + count
    return found


def _alone(problem: Problem) -> tuple[Any, Any, Any]:
    """(W, U) each: replicas of each use when a workload is alone on it, their $ per month, and the offer."""
    peak = problem.load * problem.hours.max(axis=1, initial=0)[:, None]
    each = replace(
        problem, minimum=problem.minimum[..., None, :], replica_usd=problem.replica_usd[..., None, :, :]
    )  # the same for every workload
    return each.rented(peak, problem.pool)


def switch_usd(problem: Problem, choice: Ints) -> Floats:
    """(W, O): change of the total, in $ per month, when one workload moves to another option and all else stays.

    Counts replicas freed and added and models dropped and added; infinite where the option is not eligible.
    """
    rows = np.arange(len(choice))
    own = problem.kept[choice]
    needed_by_others = own.sum(axis=0) - own > 0
    models = np.where(needed_by_others, 0.0, problem.model_usd[..., None, :]) @ problem.kept.T  # come for this workload
    change = problem.usd + models
    change -= change[..., rows, choice][..., None]
    load, used = on_pools(problem, choice, problem.load)
    for pool in range(len(problem.maximum)):
        own_load = load[..., pool, None] * problem.hours
        every = own_load.sum(axis=-2, keepdims=True)
        rest, others = every - own_load, used[:, pool].sum() - used[:, pool]
        without = np.where(others > 0, problem.rented(rest.max(axis=-1), pool)[1], 0.0)
        if used[:, pool].any():
            change += (without - problem.rented(every.max(axis=-1), pool)[1])[..., None]
        for use in np.flatnonzero(problem.pool == pool):
            with_it = (rest + problem.load[..., use, None] * problem.hours).max(axis=-1)
            change[..., problem.user[use]] += problem.rented(with_it, pool)[1] - without
    change[..., ~problem.eligible] = np.inf
    change[..., rows, choice] = 0.0
    return np.asarray(change)
