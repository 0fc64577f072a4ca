"""How long the assignment of 1,000 workloads to 50 options takes, with the proven gap; the limit is 10 s on 2 cores.

    python benchmarks/portfolio.py [SEED ...]

Half of the options are APIs, 20 run on own pools of whole replicas, 5 are cascades from a pool to an API; every model
kept costs a fixed sum a month. Volumes spread over five decades and success rates rise with price, so that many options
are in the race. The same problem is also solved greedily (each workload alone), to show what sharing replicas and
models is worth.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from costlib.portfolio.assign import solve
from costlib.portfolio.problem import Problem, total_usd

WORKLOADS, APIS, POOLS, CASCADES, LIMIT_S, GAP = 1000, 25, 20, 5, 10.0, 0.005
OPTIONS = APIS + POOLS + CASCADES


def problem(seed: int) -> Problem:
    """A random portfolio; money in $ per month."""
    rng = np.random.default_rng(seed)
    hosted = np.arange(OPTIONS) >= APIS
    requests = 10 ** rng.uniform(2, 7, (WORKLOADS, 1))
    quality = rng.uniform(0.5, 1, OPTIONS)
    price = 10 ** (-4 + 2.5 * (quality - 0.5) / 0.5 + rng.normal(0, 0.2, OPTIONS))
    hard = rng.uniform(0, 1, (WORKLOADS, 1)) ** 2
    up = rng.uniform(0.1, 0.5, CASCADES)
    first, last = rng.choice(POOLS, CASCADES, replace=False), rng.choice(APIS, CASCADES)
    quality[-CASCADES:] = 0.9 * quality[last] + 0.1 * quality[APIS + first]
    success = 0.99 - hard * (1 - quality) * rng.uniform(0.9, 1.1, (WORKLOADS, OPTIONS))
    cash = np.where(hosted, 0, requests * price) + 100
    cash[:, -CASCADES:] = up * cash[:, last] + 200
    seconds = rng.uniform(0.05, 2, POOLS)
    kept = np.eye(OPTIONS, APIS + POOLS, dtype=bool)
    cascades = np.arange(APIS + POOLS, OPTIONS)
    kept[cascades, APIS + first] = kept[cascades, last] = True
    miss = 10 ** rng.uniform(-3, 1, (WORKLOADS, 1))
    shapes = rng.dirichlet(np.full(24, 3), 6) / 30
    return Problem(
        usd=cash + requests * (1 - success) * miss,
        cash=cash,
        eligible=(success >= rng.uniform(0.5, 0.95, (WORKLOADS, 1))) | (quality == quality.max()),
        load=requests * np.concatenate([seconds, seconds[first]]) / 3600 / 0.6,
        user=np.arange(APIS, OPTIONS),
        pool=np.concatenate([np.arange(POOLS), first]),
        hours=shapes[rng.integers(0, len(shapes), WORKLOADS)],
        replica_usd=rng.uniform(500, 6000, POOLS),
        minimum=np.full(POOLS, 2),
        maximum=np.full(POOLS, np.inf),
        kept=kept,
        model_usd=np.full(APIS + POOLS, 450.0),
    )


def main(seeds: list[int]) -> int:
    """Print one line per seed; the exit code is 1 when one took longer than the limit."""
    slow = False
    for seed in seeds:
        case = problem(seed)
        start, cpu = time.perf_counter(), time.process_time()
        found = solve(case, gap=GAP)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        greedy = total_usd(case, np.where(case.eligible, case.usd, np.inf).argmin(axis=1))
        slow |= seconds > LIMIT_S or found.gap > GAP
        print(
            f"seed {seed}: {seconds:.1f} s ({cpu:.1f} s of CPU), {found.usd:,.0f} USD a month, gap {found.gap:.2%}, "
            f"{len(np.unique(found.choice))} options used, {found.replicas.sum()} replicas; "
            f"each workload alone: {greedy:,.0f} USD ({greedy / found.usd - 1:+.1%})"
        )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2]))
