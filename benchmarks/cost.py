"""Speed of the cost room, each beside the plain way to do the same in the same run.

Run `python -m benchmarks.cost` (or `python benchmarks/cost.py`) from the repository root. Monte Carlo of 100,000 draws
has to stay under 2 s on two cores; the peer is a Python loop over `random`. Break-even is exact; the peer is a grid
search that evaluates both costs at 100,000 volumes and misses crossings that fall between two of its points.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from costlib.cost.breakeven import Api, SelfHosting, break_even, curve
from costlib.cost.queueing import throughput_within_latency
from costlib.cost.speeds import load_speeds
from costlib.cost.token import split
from costlib.cost.token_table import cost_per_token
from costlib.cost.uncertainty import probability_cheaper, tornado

DRAWS = 100_000
FACTORS = {
    "usd_per_hour": (2.0, 3.5, 7.0),
    "tokens_per_s": (2000.0, 4000.0, 8000.0),
    "utilization": (0.1, 0.3, 0.6),
    "api_usd_per_mtok": (0.4, 0.6, 1.0),
}


def self_hosted(usd_per_hour: Any, tokens_per_s: Any, utilization: Any, api_usd_per_mtok: Any) -> Any:
    """$/Mtok of self-hosting."""
    return usd_per_hour / (tokens_per_s * utilization * 3600 / 1e6)


def api(usd_per_hour: Any, tokens_per_s: Any, utilization: Any, api_usd_per_mtok: Any) -> Any:
    """$/Mtok of the API."""
    return api_usd_per_mtok


def loop_probability() -> float:
    """The peer of `probability_cheaper`: one draw at a time."""
    source, wins = random.Random(1), 0
    for _ in range(DRAWS):
        hour, speed, used, price = (source.triangular(low, high, base) for low, base, high in FACTORS.values())
        wins += self_hosted(hour, speed, used, price) < price
    return wins / DRAWS


def grid_crossings(step: float, capacity: float, price: float, largest: float) -> int:
    """The peer of `break_even`: signs on a grid."""
    volume = np.linspace(1, largest, DRAWS)
    cheaper = np.maximum(1, np.ceil(volume / capacity)) * step < volume * price
    return int(np.count_nonzero(cheaper[1:] != cheaper[:-1]))


def timed(label: str, work: Callable[[], Any], limit_s: float | None = None) -> Any:
    """Run once and print the time; raise SystemExit when a promised limit is missed."""
    start = time.perf_counter()
    result = work()
    spent = time.perf_counter() - start
    promise = "" if limit_s is None else f"  (promised: under {limit_s:g} s)"
    print(f"{label:<66} {spent * 1000:10.1f} ms{promise}")
    if limit_s is not None and spent >= limit_s:
        raise SystemExit(f"{label} took {spent:.2f} s, more than the promised {limit_s:g} s")
    return result


def main() -> None:
    """Print every timing, ours above its peer."""
    ours = timed(
        f"probability_cheaper, {DRAWS:,} draws of 4 factors",
        lambda: probability_cheaper(self_hosted, api, FACTORS, DRAWS),
        2.0,
    )
    peer = timed("  peer: Python loop over random", loop_probability)
    print(f"  probability that self-hosting wins: {ours.probability:.3f}, loop {peer:.3f}")
    bases = {name: ends for name, ends in FACTORS.items() if name != "api_usd_per_mtok"}
    timed("tornado, 3 factors", lambda: tornado(lambda **v: self_hosted(api_usd_per_mtok=0, **v), bases))
    hosting, line = SelfHosting(1000, 100_000), Api(0.01001)
    exact = timed("break_even, first 1,000 crossings with its corners", lambda: break_even(hosting, line))
    grid = timed(f"  peer: grid of {DRAWS:,} volumes", lambda: grid_crossings(1000, 100_000, 0.01001, 120_000_000))
    print(f"  crossings: {exact.crossings_total}, grid {grid}")
    timed("curve, 120 million requests", lambda: curve(hosting, line, 120_000_000))
    speeds = load_speeds()
    timed(f"cost_per_token, {len(speeds)} configurations x 3 conventions", lambda: cost_per_token(speeds, (2, 3, 4)))
    timed("split, 10,000 bills", lambda: [split(1.5, 1000 + i, 500, prefill_s=1, decode_s=9) for i in range(10_000)])
    timed(
        "throughput_within_latency, 100 limits",
        lambda: [throughput_within_latency(64, 9.0, 9.5 + i) for i in range(100)],
    )


if __name__ == "__main__":
    main()
