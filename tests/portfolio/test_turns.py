"""Where the cheapest plan changes, against every plan there is, with whole replicas, nodes, limits and budgets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from portfolio.samples import cheapest, problems

from costlib.portfolio.assign import Infeasible, solve
from costlib.portfolio.flips import _volume_turns
from costlib.portfolio.problem import Ints, Problem
from costlib.portfolio.turns import Way, first, turns, with_row


def solved(problem: Problem) -> Ints:
    """The plan of a problem that is small enough to try every plan, in which workload 0 could go elsewhere."""
    assume(problem.eligible.sum(axis=1).prod() <= 100 and problem.eligible[0].sum() > 1)
    try:
        return solve(problem).choice
    except Infeasible:
        assume(False)
        raise


def check(way: Way, own: int, found: tuple[float, int] | None, tried: np.ndarray) -> None:
    """Before the value found, or wherever tried if none was, the cheapest plan keeps workload 0 where it is."""

    def served(at: float) -> int | None:
        plan = cheapest(way(at))
        return None if plan is None else int(plan[0])

    if found is None:
        assert {served(at) for at in tried} <= {own, None}
        return
    at, option = found
    beyond = 1 + np.copysign(1e-6, tried[-1] - tried[0])
    before = [value for value in tried if (value - at) * (tried[-1] - tried[0]) < 0]
    assert {served(value) for value in (*before, at / beyond)} == {own}
    assert served(at * beyond) == option != own


@settings(max_examples=40, deadline=None)
@given(problems() | problems(limits=True), st.booleans())
def test_a_volume(problem: Problem, up: bool) -> None:
    choice = solved(problem)

    def way(times: float) -> Problem:
        rows = {name: getattr(problem, name)[0] * times for name in ("usd", "cash", "load")}
        return with_row(problem, 0, **rows)

    volumes = np.geomspace(1.2, 20, 10) ** (1 if up else -1)
    own = int(choice[0])
    check(way, own, first(_volume_turns(way, choice, 0, 1.0, volumes), 0, own), volumes)


@settings(max_examples=40, deadline=None)
@given(problems(), st.booleans())
def test_a_price(problem: Problem, up: bool) -> None:
    choice = solved(problem)
    own = int(choice[0])
    option = own if up else int(np.flatnonzero(problem.eligible[0] & (np.arange(problem.eligible.shape[1]) != own))[0])
    mine = np.arange(problem.eligible.shape[1]) == option
    pools = np.isin(np.arange(2), problem.pool[problem.user == option])

    def way(times: float) -> Problem:
        usd, replica_usd = np.where(mine, times, 1.0), np.where(pools, times, 1.0)[:, None]
        return replace(problem, usd=problem.usd * usd, replica_usd=problem.replica_usd * replica_usd)

    far = 100.0 if up else 0.0
    check(way, own, first(turns(way, 1.0, choice, far), 0, own), np.linspace(1, far, 15))
