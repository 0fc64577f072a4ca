"""Small assignments at random, and what trying every plan finds."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from costlib.portfolio.problem import Ints, Problem, replicas, total_usd


@st.composite
def problems(draw: st.DrawFn, *, limits: bool = False) -> Problem:
    """Up to 4 workloads, 5 options, 2 pools of up to 3 offers, 3 models; options may share them, or need several."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    workloads, options = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    cash = rng.uniform(0, 100, (workloads, options))
    eligible = rng.random((workloads, options)) < 0.7
    eligible[np.arange(workloads), rng.integers(0, options, workloads)] = True
    offers = 1 if limits else draw(st.integers(1, 3))
    user, pool = np.nonzero(rng.random((options, 2)) < 0.4)
    return Problem(
        usd=cash + rng.uniform(0, 50, cash.shape),
        cash=cash,
        eligible=eligible,
        load=rng.uniform(0, 4, (workloads, len(user))),
        user=user,
        pool=pool,
        hours=rng.uniform(0, 1, (workloads, draw(st.integers(1, 3)))),
        replica_usd=rng.uniform(1, 60, (2, offers)),
        minimum=rng.integers(1, 3, 2),
        maximum=rng.integers(1, 4, 2).astype(float) if limits else np.full(2, np.inf),
        kept=rng.random((options, 3)) < 0.4,
        model_usd=rng.uniform(0, 40, 3),
        budget=float(rng.uniform(50, 300)) if limits else None,
        node=rng.integers(1, 4, (2, offers)),
    )


def every_choice(problem: Problem) -> list[np.ndarray]:
    return [np.array(c) for c in itertools.product(*(np.flatnonzero(row) for row in problem.eligible))]


def cheapest(problem: Problem) -> Ints | None:
    """Of every plan the cheapest one; None where none keeps the limits."""
    best, plan = np.inf, None
    for choice in every_choice(problem):
        if problem.budget is not None and total_usd(problem, choice, cash=True) > problem.budget:
            continue
        usd = total_usd(problem, choice)
        if usd < best and (replicas(problem, choice) <= problem.maximum).all():
            best, plan = usd, choice
    return plan
