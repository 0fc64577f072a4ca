"""How often a comparison of two measurements is wrong, under the rules costlib measures by.

    python -m benchmarks.repeat_simulation [--pairs 1000] [--record STORE]

Each simulated measurement draws processes until costlib.measure.estimate ends it; flagged samples are left out
by its `usable`, and costlib.measure.compare gives the verdict, for two measurements that took turns and for two that
were taken one after the other. A/A pairs draw from one truth: what is called different is a false alarm (at most 5 of
100 allowed). In the other pairs the second is 5 % slower: what is called slower is found (at least 90 of 100 wanted
where they took turns; where they did not, drift cannot be told from a difference, and the share is only printed).

The noise of a process: a drift that it shares with those next to it (neighbours on the host, clocks), an effect of its
own (memory layout), and one of each sample; some samples are disturbed by other work, most of these are flagged, the
rest slip through. Four levels are assumed. The fifth is fitted to a record: processes of one configuration, measured
one after the other on a shared virtual machine (benchmarks/noise; your own: `costlib measure MODEL --fresh --store
STORE`, a few times in a row, then --record STORE). The record is also replayed as it is: its own processes, in their
order, are dealt to two measurements by turns, and stretches of it are held against each other.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costlib.measure.compare import SIGNIFICANT, Difference, difference_apart, paired_difference
from costlib.measure.estimate import log_medians, precise, spent, usable
from costlib.measure.run import stored_runs

RECORD = Path(__file__).parent / "noise"
SLOWDOWN = 0.05
Samples = list[list[float]]


@dataclass(frozen=True)
class Noise:
    """Standard deviations of logarithms; shares of samples. Disturbed samples take 1.1 to 4 times as long."""

    drift: float
    between: float
    within: float
    disturbed: float = 0.10
    missed: float = 0.02
    """Of the disturbed samples, those no flag is raised for."""
    kept: float = 0.7
    """Correlation of the drift from one process to the next."""


LOAD_S, ITERATION_S = 5.0, 1.6
"""The demo model on two CPU cores: seconds until the first timed iteration, and of each (32 new tokens). A process
spends a twentieth of the budget on iterations, as costlib.measure.run does."""
LEVELS = {
    "steady, as a GPU alone": (Noise(0.003, 0.003, 0.005), 120.0),
    "quiet": (Noise(0.01, 0.01, 0.02), 120.0),
    "restless": (Noise(0.015, 0.015, 0.03), 180.0),
    "noisy": (Noise(0.02, 0.02, 0.04), 360.0),
}
"""Assumed noise, and the time budget (s) of each configuration."""
RECORDED_BUDGET_S = 180.0


class Machine:
    """A source of processes, one after the other, on a machine that drifts."""

    def __init__(self, rng: np.random.Generator, noise: Noise, budget_s: float) -> None:
        self._rng, self._noise = rng, noise
        self._drift = rng.normal(0, noise.drift)
        self._iterations = math.ceil(budget_s / 20 / ITERATION_S)
        self.process_s = LOAD_S + self._iterations * ITERATION_S

    def process(self, slowdown: float) -> dict[str, Any]:
        """The run of one process of a thing that takes 1 s, or that much longer."""
        noise, rng = self._noise, self._rng
        fresh = noise.drift * math.sqrt(1 - noise.kept**2)
        self._drift = noise.kept * self._drift + rng.normal(0, fresh)
        effect = self._drift + rng.normal(0, noise.between)
        times = (1 + slowdown) * np.exp(effect + rng.normal(0, noise.within, self._iterations))
        disturbed = rng.random(self._iterations) < noise.disturbed
        flagged = disturbed & (rng.random(self._iterations) >= noise.missed)
        times = np.where(disturbed, times * rng.uniform(1.1, 4, self._iterations), times)
        flags = ["other processes used the CPU" if flag else "" for flag in flagged]
        return {"status": "ok", "ttft_s": list(times), "decode_s": list(times), "flags": flags}


def measured(machine: Machine, slowdowns: list[float], budget_s: float) -> list[Samples]:
    """Decode times by process of each thing, measured in one call: by turns, until all are settled."""
    rows: list[list[dict[str, Any]]] = [[] for _ in slowdowns]
    samples: list[Samples] = [[] for _ in slowdowns]
    order = np.random.default_rng(len(slowdowns))
    going = True
    while going:
        for i in order.permutation(len(slowdowns)):
            rows[i].append(machine.process(slowdowns[i]))
            samples[i] = [decode for _, decode in usable(pd.DataFrame(rows[i]))[0]]
        walls = [machine.process_s] * len(rows[0])
        going = not (spent(walls, budget_s) or all(map(precise, samples)))
    return samples


def simulate(noise: Noise, budget_s: float, pairs: int, seed: int = 0) -> dict[str, float]:
    """False alarms and slowdowns found, each per 100 pairs, by turns and apart; processes per measurement."""
    rng = np.random.default_rng(seed)
    count = dict.fromkeys(("false_alarms", "found", "false_alarms_apart", "found_apart", "processes"), 0.0)
    for _ in range(pairs):
        machine = Machine(rng, noise, budget_s)
        one, same, slow = measured(machine, [0.0, 0.0, SLOWDOWN], budget_s)
        count["false_alarms"] += paired_difference(one, same).shown
        count["found"] += _slower(paired_difference(one, slow))
        one, same, slow = (measured(machine, [extra], budget_s)[0] for extra in (0.0, 0.0, SLOWDOWN))
        count["false_alarms_apart"] += difference_apart(one, same).shown
        count["found_apart"] += _slower(difference_apart(same, slow))
        count["processes"] += len(one)
    processes = count.pop("processes") / pairs
    return {f"{name}_per_100": 100 * value / pairs for name, value in count.items()} | {"processes": processes}


def _slower(found: Difference) -> bool:
    return found.shown and found.ratio > 1


def recorded(root: Path | str) -> tuple[pd.DataFrame, Samples]:
    """The runs of a store in their order, all of one configuration, and the usable decode times of each."""
    runs = stored_runs(str(root))
    samples = [decode for _, decode in usable(runs)[0]]
    if len(samples) < 20:
        raise SystemExit(f"{root} holds {len(samples)} runs; a record needs 20 or more of one configuration")
    return runs, samples


def fitted(runs: pd.DataFrame, samples: Samples) -> Noise:
    """The noise of a record: drift from the autocovariance at lags 1 and 2, the rest by analysis of variance."""
    from statistics import median

    known = [group for group in samples if len(group) > 1]
    within = float(np.mean([np.var(np.log(group), ddof=1) for group in known]))
    middle = np.array(log_medians(samples)) - np.mean(log_medians(samples))
    total, one, two = (float(np.mean(middle[lag:] * middle[: len(middle) - lag])) for lag in (0, 1, 2))
    kept = min(0.95, max(0.0, two / one)) if one > 0 else 0.0
    drift = one / kept if kept > 0 else 0.0
    # The median of n normal samples varies by about pi/2 of their variance over n, by 1.1 for four.
    sampling = within * 1.2 / median(map(len, known))
    flagged = float(np.mean([bool(flag) for flags in runs["flags"] for flag in flags]))
    between = max(0.0, total - drift - sampling)
    return Noise(min(drift, total) ** 0.5, between**0.5, within**0.5, disturbed=flagged, kept=kept)


def replay(samples: Samples, processes: int, deals: int, seed: int = 0) -> dict[str, float]:
    """The record itself as measurements of so many processes: stretches of it dealt out by turns, and two at a time.

    `welch` is what a test that takes processes for independent makes of two stretches. Stretches overlap, so these
    shares are rougher than their number of deals suggests.
    """
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(seed)
    slow = [[time * (1 + SLOWDOWN) for time in group] for group in samples]
    names = ("false_alarms", "found", "false_alarms_apart", "false_alarms_welch")
    counted: dict[str, list[bool]] = {name: [] for name in names}
    for start in range(len(samples) - 2 * processes + 1):
        end = start + 2 * processes
        for later in range(start + processes, len(samples) - processes + 1):
            stretches = (samples[start : start + processes], samples[later : later + processes])
            counted["false_alarms_apart"].append(difference_apart(*stretches).shown)
            welch = ttest_ind(*map(log_medians, stretches), equal_var=False)
            counted["false_alarms_welch"].append(bool(welch.pvalue < SIGNIFICANT))
        for _ in range(deals):
            pairs = [rng.permutation([i, i + 1]) for i in range(start, end, 2)]
            one, same, slower = (
                [side[pair[k]] for pair in pairs] for side, k in ((samples, 0), (samples, 1), (slow, 1))
            )
            counted["false_alarms"].append(paired_difference(one, same).shown)
            counted["found"].append(_slower(paired_difference(one, slower)))
    return {f"{name}_per_100": 100 * float(np.mean(values)) for name, values in counted.items()}


def main() -> int:
    """Print a line per noise level and for the replay, and one JSON document; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", metavar="STORE", default=str(RECORD), help="processes of one configuration in turn")
    arguments = parser.parse_args()
    runs, samples = recorded(arguments.record)
    levels = LEVELS | {"recorded": (fitted(runs, samples), RECORDED_BUDGET_S)}
    results: dict[str, dict[str, float]] = {}
    for name, (noise, budget_s) in levels.items():
        results[name] = simulate(noise, budget_s, arguments.pairs, arguments.seed)
        print(
            f"{name:<24}{noise.drift:>6.1%} drift, {noise.between:.1%} between processes, {noise.within:.1%} within, "
            f"{budget_s:.0f} s, {results[name].pop('processes'):.1f} processes"
        )
        _line("of 100, by turns and apart", results[name])
        results[name] |= asdict(noise) | {"budget_s": budget_s}
    processes = sum(np.cumsum(runs["wall_s"]) <= 120)  # the default budget
    results["replayed"] = replay(samples, min(int(processes), len(samples) // 2), deals=200, seed=arguments.seed)
    print(f"{len(samples)} recorded processes replayed, {processes} in the default budget of 120 s")
    _line("of 100, by turns and apart", results["replayed"])
    print(f"    Welch's test on processes apart: {results['replayed']['false_alarms_welch_per_100']:.1f} false alarms")
    ok = all(row[f"false_alarms{how}_per_100"] <= 5 for row in results.values() for how in ("", "_apart"))
    ok &= all(results[name]["found_per_100"] >= 90 for name in levels)
    print(json.dumps({"ok": ok, "pairs": arguments.pairs, "seed": arguments.seed, "levels": results}))
    return 0 if ok else 1


def _line(title: str, row: dict[str, float]) -> None:
    words = {"false_alarms": "false alarms", "found": "slowdowns of 5 % found"}
    shown = [
        f"{row[f'{name}_per_100']:.1f} and {row.get(f'{name}_apart_per_100', math.nan):.1f} {text}"
        for name, text in words.items()
    ]
    print(f"    {title}: {', '.join(shown).replace(' and nan', '')}")


if __name__ == "__main__":
    raise SystemExit(main())
