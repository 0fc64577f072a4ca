"""How often the verdicts of costlib are wrong where the truth is known, and how often they find what is there.

    python benchmarks/verdicts.py [--trials 2000] [--seed 1]

A variant whose true loss equals the margin may pass the gate in at most 2.5 % of cases (exact test for right or wrong
items, betting bound for fractional scores of clusters). A router whose scores are random, with every request in the
table twice, may be routed in at most 5 %. Each rate has its 95 % interval (Clopper and Pearson), and a limit is missed
where that lies above it. Beside the gate stands the rule it replaced, the interval of Agresti and Min.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from costlib.portfolio.routing.route import route
from costlib.stats.margin import LEVEL, betting_margin, exact_p_value
from costlib.stats.paired import agresti_min

ALPHA = 0.05
Row = dict[str, Any]
exact = lru_cache(maxsize=None)(exact_p_value)


def row(name: str, hits: int, trials: int, limit: float | None, **more: Any) -> Row:
    """A share with its interval; `limit` None: it is a power."""
    ends = stats.binomtest(hits, trials).proportion_ci(0.95)
    found = {"case": name, "share": hits / trials, "low": float(ends.low), "high": float(ends.high), "limit": limit}
    return found | {"ok": limit is None or ends.low <= limit, **more}


def gate(trials: int, rng: np.random.Generator) -> list[Row]:
    """Right or wrong items at the margin, without gains and with 3 % of them, and harmless variants."""
    found = []
    cases = [(40, 0.05), (100, 0.02), (200, 0.01), (1000, 0.01)]
    for n, margin in cases:
        for gains, loss in ((0.0, margin), (0.03, margin), (0.0, 0.0), (0.01, 0.0)):
            drawn = rng.multinomial(n, [gains, gains + loss, 1 - 2 * gains - loss], size=trials)
            passed = sum(exact(int(g), int(b), n, margin) <= LEVEL for g, b, _ in drawn)
            old = sum(agresti_min(int(g), int(b), n)[0] >= -margin for g, b, _ in drawn) / trials
            name = f"gate, {n} items, margin {margin:g}, true loss {loss:g}, gains {gains:g}"
            found.append(row(name, passed, trials, LEVEL if loss else None, agresti_min=old))
    return found


def clusters(trials: int, rng: np.random.Generator) -> list[Row]:
    """Fractional scores of 60 clusters of 5, at a margin of 5 points."""
    found, group = [], np.repeat(np.arange(60), 5).tolist()
    for loss in (0.05, 0.0):
        passed = 0
        for _ in range(trials):
            own = np.repeat(rng.normal(0, 0.03, 60), 5) + rng.normal(0, 0.05, 300) - loss
            passed += betting_margin(np.clip(own, -1, 1), 0.05, clusters=group).answer == "passed"
        found.append(row(f"gate, 60 clusters of 5, true loss {loss:g}", passed, trials, LEVEL if loss else None))
    return found


def routers(trials: int, rng: np.random.Generator) -> list[Row]:
    """Requests twice in the table: random scores, and scores that the length of a prompt tells."""
    found = []
    for telling in (False, True):
        routed = 0
        for _ in range(trials):
            hard = rng.random(150) < 0.5
            words = [" ".join(f"w{i}" for i in rng.integers(0, 50, 25 if h and telling else 8)) for h in hard]
            small = rng.random(150) < (np.where(hard, 0.2, 0.95) if telling else 0.55)
            table = pd.DataFrame({"prompt": words, "small_correct": small, "large_correct": rng.random(150) < 0.95})
            twice = pd.concat([table, table], ignore_index=True).astype({"small_correct": int, "large_correct": int})
            routed += route(twice, costs={"small": 0.001, "large": 0.02}, miss_usd=0.05).routes
        name = "router, each row twice, " + ("length tells" if telling else "random scores")
        found.append(row(name, routed, trials, None if telling else ALPHA))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    few = max(20, given.trials // 10)
    rows = [
        *gate(given.trials, rng),
        *clusters(few, rng),
        *routers(max(20, few // 4), rng),
    ]
    for one in rows:
        rule = "power" if one["limit"] is None else f"at most {one['limit']:.1%}"
        print(f"  {one['case']}: {one['share']:.2%} [{one['low']:.2%}, {one['high']:.2%}], {rule}")
    print(json.dumps({"rows": rows, "ok": all(one["ok"] for one in rows)}, default=float))
    return 0 if all(one["ok"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
