"""Child processes that each measure two ways of doing the same work in turn, until the ratio is sure.

Both ways run in every process on the same inputs, and every process takes other inputs, so that a process is one
independent observation of the ratio: of this machine and of this kind of input. The stopping rule is that of
`costlib.measure.estimate`, with at least two processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from costlib.isolate import Outcome, run_isolated
from costlib.measure.estimate import MINIMUM_PROCESSES, Estimate, estimate, settled
from costlib.measure.worker import LOADED
from costlib.progress import Progress, Step

_LEAST_S = 30.0
"""Seconds that a process may work in any case: it does a fixed amount, and an interval needs two of them."""
Sample = dict[str, Any]
"""What one input gave in a process; its `flag` says why it was disturbed, or is empty."""


def repeat(
    target: str,
    arguments: dict[str, Any],
    deciding: Callable[[list[list[Sample]]], list[list[float]]],
    *,
    complete: Callable[[Sequence[Sample]], bool] = bool,
    budget_s: float,
    timeout_s: float,
    stage: str,
    tell: Progress,
) -> list[Outcome]:
    """Run `target` in processes of their own until each series of `deciding` ratios is precise or `budget_s` is spent.

    A child is told its number as `process`; it returns `samples` and `most_processes`, how many can have other inputs.
    `complete` says whether what is left of a process, when disturbed samples are out, can be judged.
    The first child that fails ends the measurement.
    """
    outcomes: list[Outcome] = []
    while not _ended(outcomes, deciding, complete, budget_s):
        number = len(outcomes)

        def show(text: str, number: int = number) -> None:
            tell(Step(f"process {number + 1}: {text}", stage=stage, done=0, total=1))

        given = arguments | {"process": number}
        limits: dict[str, Any] = {"timeout_s": timeout_s, "budget_s": max(budget_s, _LEAST_S), "starts": LOADED}
        outcomes.append(run_isolated(target, given, **limits, on_progress=show))
    tell(Step("measured", stage=stage, done=1, total=1))
    return outcomes


def _ended(
    outcomes: list[Outcome],
    deciding: Callable[[list[list[Sample]]], list[list[float]]],
    complete: Callable[[Sequence[Sample]], bool],
    budget_s: float,
) -> bool:
    if not outcomes:
        return False
    values = finished(outcomes)
    if len(values) < len(outcomes) or len(values) >= min(value["most_processes"] for value in values):
        return True
    if len(values) < MINIMUM_PROCESSES:
        return False
    kept, _ = undisturbed([value["samples"] for value in values], complete)
    walls = [outcome.seconds for outcome in outcomes]
    return all(settled([[each] for each in series], walls, budget_s) for series in deciding(kept))


def finished(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What the children that ended well returned."""
    return [outcome.value for outcome in outcomes if outcome.status == "ok" and outcome.value is not None]


def undisturbed(
    processes: Sequence[Sequence[Sample]], complete: Callable[[Sequence[Sample]], bool] = bool
) -> tuple[list[list[Sample]], str | None]:
    """Samples by process without flagged ones, and a note where too few would be left, so that all are used."""
    clean = [[sample for sample in samples if not sample["flag"]] for samples in processes]
    clean = [samples for samples in clean if complete(samples)]
    if len(clean) >= min(MINIMUM_PROCESSES, len(processes)):
        return clean, None
    return (
        [list(samples) for samples in processes],
        "the machine was busy: too few undisturbed samples, so disturbed ones are in the estimate",
    )


def judged(
    values: Sequence[dict[str, Any]], complete: Callable[[Sequence[Sample]], bool] = bool
) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Samples in the estimate, by process, and the columns that say how many, how sure and what was left out."""
    kept, note = undisturbed([value["samples"] for value in values], complete)
    reasons = [note] if note else []
    if len(kept) < MINIMUM_PROCESSES:
        reasons.append(f"one process: an interval needs at least {MINIMUM_PROCESSES}")
    flags = [sample["flag"] for value in values for sample in value["samples"] if sample["flag"]]
    return kept, {
        "processes": len(kept),
        "interval_reason": "; ".join(reasons) or None,
        "flagged_samples": len(flags),
        "flags": "; ".join(sorted({flag.split(":")[0] for flag in flags})) or None,
    }


def largest(values: Sequence[dict[str, Any]], name: str) -> int | None:
    """The largest count of a process; None where none knows it."""
    return max((value[name] for value in values if value[name] is not None), default=None)


def over_processes(ratios: Sequence[float]) -> Estimate | None:
    """One number of each process as an estimate with its interval; None without any, or where one is not above 0."""
    return estimate([[ratio] for ratio in ratios]) if ratios and all(ratio > 0 for ratio in ratios) else None


def put(row: dict[str, Any], name: str, found: Estimate | None) -> None:
    """Set a column and the ends of its interval."""
    if found is not None:
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
