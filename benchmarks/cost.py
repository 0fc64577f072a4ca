"""Speed of the cost room, each beside the plain way to do the same in the same run.

Run `python -m benchmarks.cost` (or `python benchmarks/cost.py`) from the repository root. Break-even is exact; the peer
is a grid search that evaluates both costs at 100,000 volumes and misses crossings that fall between two of its points.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from costlib.cost.breakeven import breakeven
from costlib.cost.queueing import throughput_within_latency
from costlib.cost.speeds import load_speeds
from costlib.cost.token import split
from costlib.cost.token_table import cost_per_token

VOLUMES = 100_000


def grid_crossings(step: float, capacity: float, price: float, largest: float) -> int:
    """The peer of `breakeven`: signs on a grid."""
    volume = np.linspace(1, largest, VOLUMES)
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
    request = {"input_tokens": 1000, "output_tokens": 200, "prefill_tokens_per_s": 3094, "decode_tokens_per_s": 661}
    timed(
        "breakeven, the first call reads the price list",
        lambda: breakeven("claude-haiku-4-5", usd_per_hour=6, **request),
    )
    exact = timed("breakeven, 4,051 crossings", lambda: breakeven("claude-haiku-4-5", usd_per_hour=6.9, **request))
    step, first = 6.9 * 730, exact.crossings[0].requests_per_month
    carries, largest = exact.crossings[1].requests_per_month, 2 * exact.last_requests_per_month
    grid = timed(f"  peer: grid of {VOLUMES:,} volumes", lambda: grid_crossings(step, carries, step / first, largest))
    print(f"  crossings: {exact.crossings_total}, grid {grid}")
    speeds = load_speeds()
    timed(f"cost_per_token, {len(speeds)} configurations x 3 conventions", lambda: cost_per_token(speeds, (2, 3, 4)))
    timed("split, 10,000 bills", lambda: [split(1.5, 1000 + i, 500, prefill_s=1, decode_s=9) for i in range(10_000)])
    timed(
        "throughput_within_latency, 100 limits",
        lambda: [throughput_within_latency(64, 9.0, 9.5 + i) for i in range(100)],
    )


if __name__ == "__main__":
    main()
