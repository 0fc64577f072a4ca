"""Two ways of doing the same work, measured in turn in every process, until the ratio is sure.

Both ways run on the same inputs, and every process takes other inputs, so that a process is one independent observation
of the ratio: of this machine and of this kind of input. At least two processes run; the first that fails is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from costlib.errors import bad
from costlib.isolate import Outcome
from costlib.measure.campaign import Campaign, Case, Row, material
from costlib.measure.estimate import MINIMUM_PROCESSES, sureness, undisturbed
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import parse
from costlib.progress import Progress

_LEAST_S = 30.0
"""Seconds that a process may work in any case: it does a fixed amount, and an interval needs two of them."""
Sample = dict[str, Any]
"""What one input gave in a process; its `flag` says why it was disturbed, or is empty."""


@dataclass(kw_only=True)
class Turns(Campaign[Case]):
    """A child is asked `asked` and its number; it returns `samples`, and `most_processes` that can have other inputs.

    `shared` are columns of every row.
    """

    asked: Row
    shared: Row

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shared["material_sha256"] = material(self.asked, self.models)

    def key(self, case: Case) -> Row:
        """All that is asked, as a hash."""
        return {"material_sha256": self.shared["material_sha256"]}

    def columns(self, case: Case) -> Row:
        """What was asked."""
        return self.shared

    def arguments(self, case: Case) -> Row:
        """Every process has its number, and other inputs."""
        return self.asked | {"process": len(self.processes[case])}

    def child(self, case: Case, arguments: Row, budget_s: float, show: Progress) -> Outcome:
        """A process has time for its fixed amount of work."""
        return super().child(case, arguments, max(budget_s, _LEAST_S), show)

    def ratios(self, case: Case, processes: list[list[Sample]]) -> list[list[float]]:
        """Series of numbers, one of each process, that have to agree."""
        raise NotImplementedError

    def summarise(self, case: Case, values: list[Row], row: Row) -> list[Row]:
        """The rows of a case; `values` are what processes returned, `row` the columns known without them."""
        raise NotImplementedError

    def complete(self, samples: Sequence[Sample]) -> bool:
        """Whether what is left of a process, when disturbed samples are out, can be judged."""
        return bool(samples)

    def series(self, case: Case) -> list[list[list[float]]]:
        """The ratios of undisturbed samples."""
        kept, _ = judged(self._values(case), self.complete)
        return [[[number] for number in numbers] for numbers in self.ratios(case, kept)]

    def lacks(self, case: Case) -> bool:
        """Whether there is no interval yet."""
        return len(self.processes[case]) < MINIMUM_PROCESSES

    def ended(self, case: Case) -> bool:
        """Whether there is no time or input for another process; a stored row is of all of them."""
        if self.rows[case]:
            return True
        values = self._values(case)
        return super().ended(case) or (bool(values) and len(values) >= min(one["most_processes"] for one in values))

    def stored_of(self, case: Case) -> list[Row]:
        """What all processes say, when the last of them has ended."""
        if not self.settled(case):
            return []
        values, processes = self._values(case), self.processes[case]
        row = (values or processes)[-1] | {"started_at": processes[0]["started_at"], "reason": processes[-1]["reason"]}
        if not values:
            row["verdict_reason"] = row["reason"]
        elif row["reason"] is not None:
            row["reason"] = f"1 of {len(processes)} processes failed: {row['reason']}"
        return self.summarise(case, values, row)

    def _values(self, case: Case) -> list[Row]:
        return [process for process in self.processes[case] if process["status"] == "ok"]


def judged(
    values: Sequence[Row], complete: Callable[[Sequence[Sample]], bool] = bool
) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Samples in the estimate, by process, and the columns that say how many, how sure and what was left out."""
    every = [[(sample, sample["flag"]) for sample in value["samples"]] for value in values]
    clean, note = undisturbed(every, complete)
    kept = [samples for samples in clean if samples]
    return kept, sureness(len(kept), [note], [flag for samples in every for _, flag in samples])


def largest(values: Sequence[Row], name: str) -> int | None:
    """The largest count of a process; None where none knows it."""
    return max((value[name] for value in values if value[name] is not None), default=None)


def check_model(field: str, name: str, precision: str, device: str) -> None:
    """Raise `InputError` for a model that does not generate text, or a precision or device that is not there."""
    reference = parse(name)
    if reference.kind == "static" or is_encoder(reference):
        raise bad(field, name, "a model that generates text")
    check_device(known_precision(precision), device)
