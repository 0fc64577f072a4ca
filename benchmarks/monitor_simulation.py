"""How often the watch of a score raises an alarm for nothing, and how soon it finds a drop.

    python benchmarks/monitor_simulation.py [--streams 2000] [--items 2000] [--seed 1]

Streams of right and wrong answers, watched after every item by costlib.stats.sequential. The score sits exactly on
the floor in the streams that count false alarms (the hardest case of "at least the floor"): at most the stated rate
may alarm at any look. In the others the score is 2 points above the floor for 500 items, then falls 2, 5 or 10 points
below it. The interval of the mean is looked at after every 100th item; at most the stated rate may ever miss the mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

from costlib.stats.sequential import confidence_sequence, e_capital

ALPHA, FLOOR, HEALTHY, DROP_AT = 0.05, 0.85, 0.87, 500
DROPS = (0.02, 0.05, 0.10)


def false_alarms(streams: int, items: int, rng: np.random.Generator, floor: float = FLOOR) -> float:
    """Share of streams, with their mean on the floor, that ever alarm."""
    capital = e_capital((rng.random((streams, items)) < floor).astype(float), floor)
    return float(np.mean((capital >= 1 / ALPHA).any(axis=1)))


def delays(drop: float, streams: int, items: int, rng: np.random.Generator) -> dict[str, Any]:
    """Items from the drop to the alarm: median and 90th percentile, null where so many streams never alarm."""
    means = np.where(np.arange(items) < DROP_AT, HEALTHY, FLOOR - drop)
    alarm = e_capital((rng.random((streams, items)) < means).astype(float), FLOOR) >= 1 / ALPHA
    first = np.where(alarm.any(axis=1), alarm.argmax(axis=1), items)
    early = first < DROP_AT
    waits = np.where(first < items, first - DROP_AT + 1.0, np.inf)[~early]
    middle, most = (float(x) for x in np.quantile(waits, [0.5, 0.9], method="higher"))
    found = {"median_items": middle, "p90_items": most}
    shown = {name: value if np.isfinite(value) else None for name, value in found.items()}
    return {"points": 100 * drop, **shown, "found": float(np.mean(np.isfinite(waits))), "early": float(early.mean())}


def misses(streams: int, items: int, rng: np.random.Generator) -> float:
    """Share of streams whose interval, looked at after every 100th item, ever leaves out the true mean."""
    missed = 0
    for row in (rng.random((streams, items)) < HEALTHY).astype(float):
        ends = [confidence_sequence(row[:size], ALPHA) for size in range(100, items + 1, 100)]
        missed += any(not low <= HEALTHY <= high for low, high in ends)
    return missed / streams


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    rates = {str(f): false_alarms(given.streams, given.items, rng, f) for f in (0.5, 0.7, FLOOR, 0.95)}
    found = [delays(drop, given.streams, given.items, rng) for drop in DROPS]
    looked = min(given.streams, 400)
    missed = misses(looked, min(given.items, 1000), rng)
    print(f"stated rate {ALPHA:.1%}; {given.streams} streams of {given.items} items")
    for floor, rate in rates.items():
        print(f"  false alarms with the mean on a floor of {floor}: {rate:.2%}")
    for row in found:
        print(
            f"  {row['points']:g} points below the floor: {row['found']:.1%} found, half of all "
            f"streams within {row['median_items']} items; {row['early']:.1%} alarmed before the drop"
        )
    print(f"  intervals that ever miss the mean: {missed:.1%} of {looked} streams")
    ok = max(rates.values()) <= ALPHA and missed <= ALPHA
    print(json.dumps({"alpha": ALPHA, "false_alarms": rates, "delays": found, "missed": missed, "ok": ok}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
