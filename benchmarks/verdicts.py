"""How often the verdicts of costlib are wrong where the truth is known, and how often they find what is there.

    python benchmarks/verdicts.py [--trials 1000] [--seed 1]

Each line is a case with its share, the 95 % interval of that (Clopper and Pearson), and the same share under the rule
that stood before, where there was one. A case with a limit is about an error: the limit is missed where the interval
lies above it. A case without one is a power. What is simulated, by the functions that costlib calls:

gate       a variant whose true loss equals the margin passes (2.5 %): right or wrong items, fractional scores, text
keep       a rule whose true score is just below the one to keep is chosen (5 %), of one and of three rules
router     random scores are routed (5 %), with every request twice in the table
drift      a score on its floor, or at its level of the start, ever alarms (5 %), looked at after every answer
interval   the interval of a score ever leaves out its mean (5 %), looked at after every 100th answer
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from costlib.portfolio.routing.candidates import Goal, Ladder
from costlib.portfolio.routing.route import route
from costlib.quality.gate import gate
from costlib.stats.bootstrap import paired_bootstrap, paired_difference
from costlib.stats.margin import LEVEL, betting_margin, exact_p_value
from costlib.stats.paired import agresti_min, share_low
from costlib.stats.sequential import confidence_sequence, e_capital

ALPHA = 0.05
Row = dict[str, Any]
Floats = np.ndarray
Random = np.random.Generator
exact = lru_cache(maxsize=None)(exact_p_value)


def row(case: str, hits: int, trials: int, limit: float | None, before: float | None = None) -> Row:
    """A share with its interval, and that of the rule before; `limit` None: it is a power."""
    ends = stats.binomtest(hits, trials).proportion_ci(0.95)
    found = {"case": case, "share": hits / trials, "low": float(ends.low), "high": float(ends.high), "limit": limit}
    return found | {"before": before, "trials": trials, "ok": limit is None or ends.low <= limit}


def items(trials: int, rng: Random, cases: list[tuple[int, float, float, float]] | None = None) -> Iterator[Row]:
    """The gate on right or wrong items: number, margin, true loss and share of gains. Before: Agresti and Min."""
    few = [(40, 0.05), (100, 0.02), (200, 0.01), (1000, 0.01)]
    at_margin = [(n, margin, margin, gains) for n, margin in few for gains in (0.0, 0.03)]
    harmless = [(n, margin, 0.0, 0.01) for n, margin in few] + [(300, 0.05, 0.0, 0.05), (1000, 0.03, 0.0, 0.05)]
    level = [(300, 0.05, 0.05, 0.05), (1000, 0.03, 0.03, 0.05)]
    for n, margin, loss, gains in cases or [*at_margin, *level, *harmless]:
        drawn = rng.multinomial(n, [gains, gains + loss, 1 - 2 * gains - loss], size=trials).tolist()
        passed = sum(exact(g, b, n, margin) <= LEVEL for g, b, _ in drawn)
        before = sum(agresti_min(g, b, n)[0] >= -margin for g, b, _ in drawn) / trials
        case = f"gate, {n} items, margin {margin:g}, true loss {loss:g}, gains {gains:g}"
        yield row(case, passed, trials, LEVEL if loss else None, before)


def fractions(trials: int, rng: Random) -> Iterator[Row]:
    """The gate on fractional scores of clusters of 5, at a margin of 5 points. Before: a bootstrap over clusters."""

    def normal(n: int, loss: float) -> Floats:
        return np.repeat(rng.normal(-loss, 0.03, n), 5) + rng.normal(0, 0.05, 5 * n)

    def rare(n: int, loss: float) -> Floats:
        return np.repeat(-(rng.random(n) < loss).astype(float), 5)

    def half(n: int, loss: float) -> Floats:
        return np.repeat(rng.choice([-0.5, 0, 0.5], p=[0.05 + 2 * loss, 0.9 - 2 * loss, 0.05], size=n), 5)

    kinds: dict[str, Callable[[int, float], Floats]] = {"alike": normal, "rare and whole": rare, "of a half": half}
    cases = [("alike", 60), ("alike", 80), ("alike", 120), ("rare and whole", 60), ("of a half", 200)]
    for kind, n in cases:
        group = np.repeat(np.arange(n), 5).tolist()
        for loss in (0.05, 0.0):
            found = [np.clip(kinds[kind](n, loss), -1, 1) for _ in range(trials)]
            passed = sum(betting_margin(one, 0.05, clusters=group).answer == "passed" for one in found)
            again = [paired_bootstrap(0 * one, one, clusters=group, resamples=500) for one in found]
            before = sum(one.low >= -0.05 for one in again) / trials
            case = f"gate, {n} clusters, losses {kind}, true loss {loss:g}"
            yield row(case, passed, trials, LEVEL if loss else None, before)


def text(trials: int, rng: Random) -> Iterator[Row]:
    """The gate on text: losses of neighbouring tokens alike, a true ratio of perplexities at and below the limit."""
    for ratio in (1.05, 1.02):
        passed = 0
        for _ in range(trials):
            noise = np.convolve(rng.normal(0, 0.3, 4200), 0.5 ** np.arange(60), "valid")[-4096:]
            value, _, high = paired_difference(np.zeros(4096), np.log(ratio) + noise, resamples=400).ratio
            found = {"status": "ok", "ppl_rolling": 20.0, "ppl_ratio": value, "ppl_ratio_high": high}
            passed += gate(found, 1.05).answer == "passed"
        yield row(f"gate, text, ratio {ratio:g}, limit 1.05", passed, trials, LEVEL if ratio == 1.05 else None)


def keep(trials: int, rng: Random) -> Iterator[Row]:
    """`route --keep` with rules that may send down half of the requests. Before: the border of the choosing half.

    The stronger model is right in 95 %; of what it has right the weaker one loses a share where the rule is sure: just
    more than may be lost, half of that, or nothing. The rule before refused where the other half fell below the score.
    """
    for n, share, rules in ((60, 0.9, 1), (200, 0.95, 1), (200, 0.95, 3), (1000, 0.95, 3), (600, 0.98, 1)):
        allowed, rows = 0.95 * (1 - share), np.arange(n)
        for loss in (allowed * 1.001, allowed / 2, 0.0):
            hits = before = 0
            for _ in range(trials):
                strong = (rng.random(2 * n) < 0.95).astype(float)
                goal, found = Goal(None, share, strong, np.arange(2 * n), rules), []
                for _ in range(rules):
                    sure, lost = rng.random(2 * n) < 0.5, rng.random(2 * n) < 2 * loss / 0.95
                    weak = np.where(sure, strong * ~lost, rng.random(2 * n) < 0.3)
                    paid = np.ones(2 * n), np.full(2 * n, 10.0)
                    found.append(Ladder("", "router", (), 1.0 - sure, (weak, paid[0]), (strong, paid[1]), {}))
                picked = [one for rule in found if (one := rule.chosen(rows, goal))]
                hits += bool(picked)
                score = [np.where(rule.asked > 0, rule.up[0], rule.stay[0]) for rule in found]
                floor = share * strong[:n].mean()
                best = [one for one in score if one[:n].mean() >= floor][:1]
                before += any(one[n:].mean() >= floor for one in best)
            case = f"keep {share:.0%}, {n} requests choose, {rules} rule(s), loses {loss / 0.95:.1%}"
            yield row(case, hits, trials, ALPHA if loss > allowed else None, before / trials)


def routers(trials: int, rng: Random) -> Iterator[Row]:
    """Requests twice in the table: random scores, and scores that the length of a prompt tells."""
    for telling in (False, True):
        routed = 0
        for _ in range(trials):
            hard = rng.random(150) < 0.5
            words = [" ".join(f"w{i}" for i in rng.integers(0, 50, 25 if h and telling else 8)) for h in hard]
            small = rng.random(150) < (np.where(hard, 0.2, 0.95) if telling else 0.55)
            table = pd.DataFrame({"prompt": words, "small_correct": small, "large_correct": rng.random(150) < 0.95})
            twice = pd.concat([table, table], ignore_index=True).astype({"small_correct": int, "large_correct": int})
            routed += route(twice, costs={"small": 0.001, "large": 0.02}, miss_usd=0.05).routes
        case = "router, each row twice, " + ("length tells" if telling else "random scores")
        yield row(case, routed, trials, None if telling else ALPHA)


def alarms(streams: Floats, floor: float, alpha: float = ALPHA) -> Floats:
    """At which answer, from 1, each stream first alarms; 0 where it never does."""
    reached = e_capital(streams, floor) >= 1 / alpha
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)


def drifts(trials: int, rng: Random) -> Iterator[Row]:
    """A score on its floor; then 2 points above a floor of 0.85 for 500 answers, and below it for 1,500."""
    for floor in (0.5, 0.7, 0.85, 0.95):
        rung = int((alarms((rng.random((trials, 2000)) < floor).astype(float), floor) > 0).sum())
        yield row(f"drift, on a floor of {floor:g}, 2,000 answers", rung, trials, ALPHA)
    for drop in (0.02, 0.05, 0.1):
        means = np.where(np.arange(2000) < 500, 0.87, 0.85 - drop)
        at = alarms((rng.random((trials, 2000)) < means).astype(float), 0.85)
        half = np.median(np.where(at > 500, at - 500, 9999))
        wait = f", half within {half:.0f}" if half <= 1500 else ""
        yield row(f"drift, {drop:g} below the floor for 1,500 answers{wait}", int((at > 500).sum()), trials, None)


def started(trials: int, rng: Random) -> Iterator[Row]:
    """`against: start`: the low end of the score at the start is the floor. Before: a floor of 0.9."""
    for n in (400, 2000):
        for later in (0.92, 0.89, 0.85):
            begun, streams = rng.binomial(n, 0.92, trials), (rng.random((trials, 5000)) < later).astype(float)
            rung = 0
            for right in np.unique(begun):
                floor = share_low(int(right), n, ALPHA / 2)
                rung += int((alarms(streams[begun == right], floor, ALPHA / 2) > 0).sum())
            before = float((alarms(streams, 0.9) > 0).mean())
            case = f"drift from 0.92 over {n} answers to {later:g} over 5,000"
            yield row(case, rung, trials, ALPHA if later == 0.92 else None, before)


def intervals(trials: int, rng: Random) -> Iterator[Row]:
    """Streams whose interval, looked at after every 100th answer, ever leaves out the true mean of 0.87."""
    missed = 0
    for stream in (rng.random((trials, 1000)) < 0.87).astype(float):
        ends = [confidence_sequence(stream[:size], ALPHA) for size in range(100, 1001, 100)]
        missed += any(not low <= 0.87 <= high for low, high in ends)
    yield row("interval, 1,000 answers", missed, trials, ALPHA)


VERDICTS: dict[str, tuple[Callable[[int, Random], Iterator[Row]], float]] = {
    "items": (items, 1),
    "fractions": (fractions, 0.4),
    "text": (text, 0.4),
    "keep": (keep, 1),
    "routers": (routers, 0.1),
    "drifts": (drifts, 1),
    "started": (started, 0.2),
    "intervals": (intervals, 0.2),
}
"""Each simulation, and the share of the trials asked for that it takes: what is slow takes fewer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=VERDICTS, nargs="+", default=list(VERDICTS))
    given = parser.parse_args()
    rows = []
    for name in given.only:
        simulate, share = VERDICTS[name]
        for one in simulate(max(20, int(given.trials * share)), np.random.default_rng(given.seed)):
            rule = "power" if one["limit"] is None else f"at most {one['limit']:.1%}"
            before = "" if one["before"] is None else f"; before {one['before']:.1%}"
            print(f"  {one['case']}: {one['share']:.1%} [{one['low']:.1%}, {one['high']:.1%}], {rule}{before}")
            rows.append(one)
    print(json.dumps({"rows": rows, "ok": all(one["ok"] for one in rows)}, default=float))
    return 0 if all(one["ok"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
