"""From raw samples to estimates with intervals.

Iterations inside one process share its memory layout and warm-up, so they are not independent: the process is the
unit. Times are positive and vary in proportion, so the estimate is the geometric mean over processes of each process's
median (a disturbance that nothing flagged hits one iteration, not all), and the 95 % interval is Student's t on the
logarithms with (processes - 1) degrees of freedom. One process gives no interval, and the row says so. The interval is
of the machine as it was during the call: a shared machine drifts over minutes, so that another call may find another
value (costlib.measure.compare takes that into account).

Stopping as soon as the interval is narrow favours lucky moments: after two processes that happen to agree, the interval
misses the truth up to twice as often as it says. So precision ends a measurement from the fifth process on, and only
when it held before the last process, too; benchmarks/repeat_simulation.py shows what remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from costlib.stats.intervals import mean_interval

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
CONFIGURATION = ("model", "precision", "engine", "batch", "prompt_tokens", "output_tokens", "device")
TARGET_HALF_WIDTH = 0.02
MINIMUM_PROCESSES = 2
"""For an interval."""
PROCESSES_TO_STOP = 5
"""Before precision may end a measurement."""
MAXIMUM_PROCESSES = 30
WANTED_PROCESSES = 3
_PATIENCE = 3
"""Below three processes an interval is absent or, with one degree of freedom, useless (t is 12.7 instead of 4.3), so
the first three may take this many budgets."""


class Estimate(NamedTuple):
    """A positive quantity: value and 95 % interval, None where processes are too few."""

    value: float
    low: float | None
    high: float | None

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width over the value."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2 / self.value


def log_medians(per_process: Sequence[Sequence[float]]) -> list[float]:
    """The observations: one median logarithm per process that has a sample."""
    return [median(map(math.log, samples)) for samples in per_process if samples]


def estimate(per_process: Sequence[Sequence[float]]) -> Estimate | None:
    """Estimate a positive time from samples grouped by process; None without any sample."""
    means = log_medians(per_process)
    if not means:
        return None
    center, low, high = mean_interval(means)
    return Estimate(math.exp(center), *(None if end is None else math.exp(end) for end in (low, high)))


def rate(tokens: float, time: Estimate) -> Estimate:
    """Tokens per second from an estimated time; the ends of the interval change places."""
    low = None if time.high is None else tokens / time.high
    high = None if time.low is None else tokens / time.low
    return Estimate(tokens / time.value, low, high)


def over_processes(ratios: Sequence[float]) -> Estimate | None:
    """One number of each process as an estimate with its interval; None without any, or where one is not above 0."""
    return estimate([[ratio] for ratio in ratios]) if ratios and all(ratio > 0 for ratio in ratios) else None


def ends(name: str, found: Sequence[float | None] | None) -> dict[str, float | None]:
    """The columns of a value and its interval: `name`, `name_low` and `name_high`; none for None."""
    return {} if found is None else dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def undisturbed(
    processes: Sequence[Sequence[tuple[T, str]]], complete: Callable[[Sequence[T]], bool] = bool
) -> tuple[list[list[T]], str | None]:
    """Samples by process, those with a flag left out, and a note when too few would be left.

    A process of which too little is left to be `complete` stays, empty, so that the position is the round it ran in.
    When fewer than two have an undisturbed sample, all samples are used and the note says so: a number with a visible
    warning, never a silent one.
    """
    clean = [[sample for sample, flag in samples if not flag] for samples in processes]
    clean = [samples if complete(samples) else [] for samples in clean]
    if sum(map(bool, clean)) >= min(MINIMUM_PROCESSES, len(processes)):
        return clean, None
    note = "the machine was busy: too few undisturbed samples, so disturbed ones are in the estimate"
    return [[sample for sample, _ in samples] for samples in processes], note


def sureness(processes: int, notes: Sequence[str | None], flags: Sequence[str]) -> dict[str, Any]:
    """Columns that say how many processes are in an estimate, how sure it is, and what was left out of it."""
    alone = f"one process: an interval needs at least {MINIMUM_PROCESSES}" if processes < MINIMUM_PROCESSES else None
    flagged = [flag for flag in flags if flag]
    return {
        "processes": processes,
        "interval_reason": "; ".join(filter(None, (*notes, alone))) or None,
        "flagged_samples": len(flagged),
        "flags": "; ".join(sorted({flag.split(":")[0] for flag in flagged})) or None,
    }


def usable(runs: pd.DataFrame) -> tuple[list[tuple[list[float], list[float]]], str | None]:
    """(ttft, decode) samples of each ok process as `undisturbed` leaves them, and its note."""
    ok = runs[runs["status"] == "ok"]
    rows = zip(ok["ttft_s"], ok["decode_s"], ok["flags"], strict=True)
    clean, note = undisturbed([[((a, b), flag) for a, b, flag in zip(*row, strict=True)] for row in rows])
    return [([first for first, _ in samples], [rest for _, rest in samples]) for samples in clean], note


def precise(per_process: Sequence[Sequence[float]]) -> bool:
    """Whether enough processes agree as closely as a measurement aims for, and did so before the last one, too."""
    known = [samples for samples in per_process if samples]
    if len(known) < PROCESSES_TO_STOP:
        return False
    found = [estimate(processes) for processes in (known, known[:-1])]
    halves = [each.relative_half_width if each else None for each in found]
    return all(half is not None and half <= TARGET_HALF_WIDTH for half in halves)


def spent(wall_s: Sequence[float], budget_s: float, searched_s: float | None = None) -> bool:
    """Whether another process would not fit, from how long each one took; the next is expected to take as the last.

    After a search of `searched_s` seconds for what is measured nothing is allowed on top of the budget.
    """
    patient = len(wall_s) < WANTED_PROCESSES and searched_s is None
    allowed = budget_s * (_PATIENCE if patient else 1) - (searched_s or 0.0)
    return len(wall_s) >= MAXIMUM_PROCESSES or sum(wall_s) + wall_s[-1] > allowed
