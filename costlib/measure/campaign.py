"""One campaign: child processes in shuffled rounds, until what each of them measures is known well enough.

Whatever costlib measures (speed, embeddings, drafts, prefixes, text, tasks, students) is a probe: a subclass that says
by which columns a stored row is found again, what a child process is asked, which of its numbers have to agree, and
what is stored of it. All the rest lies here, once:

- What the store holds for the same question in the same environment is not measured again, unless `fresh`. A crash or a
  timeout may pass and is tried again; what does not fit or is not supported stays so.
- A round starts one process for every case, in shuffled order, so that drift of the machine does not look like a
  difference between cases. A case is settled when at least five processes agree within 2 %, when its time budget is
  spent, or when it failed. Rounds go on until all are settled; one that is precise already takes part in them while its
  budget lasts, because a comparison needs both of a round (costlib.measure.compare).
- A process is in the store as soon as it has ended, so that a run that was killed goes on where it stopped. A row that
  the store cannot take ends the campaign: what was measured is told, with a warning.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from costlib.environment import describe, device_name
from costlib.errors import InputError, bounded, invalid_input
from costlib.isolate import Outcome, run_isolated
from costlib.measure.estimate import precise, spent
from costlib.measure.worker import LOADED
from costlib.models import demo
from costlib.models.reference import on_disk, parse
from costlib.output import NoRoomError, UnstoredWarning
from costlib.progress import Progress, Step, unwatched
from costlib.store import Store, new_id
from costlib.tables import Table

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
Case = TypeVar("Case", bound=Hashable)


@dataclass(kw_only=True)
class Campaign(Generic[Case]):
    """One call of a probe; `processes` and `rows` hold, by case, what children answered and what is stored of it."""

    name: ClassVar[str]
    """Stage of its progress."""
    table: ClassVar[Table]
    in_child: ClassVar[str]
    once: ClassVar[bool] = False
    """Whether one process says all there is to say."""

    models: Sequence[str]
    device: str
    store: Store | Path | str | None = None
    fresh: bool = False
    time_budget_s: float
    timeout_s: float
    progress: Progress | None = None
    shared: Row = field(default_factory=dict)
    """Columns of every row."""
    baseline: Case | None = None
    """The case that others are compared with: what is wrong with it is wrong with all."""
    processes: dict[Case, list[Row]] = field(default_factory=dict)
    rows: dict[Case, list[Row]] = field(default_factory=dict)
    ceilings: dict[str, Row] = field(default_factory=dict)
    """Of the device, measured in this call, by model."""
    searched_s: dict[Case, float] = field(default_factory=dict)
    """Seconds of a search for what is measured, which its budget has to pay, too."""

    def __post_init__(self) -> None:
        for name in ("timeout_s", "time_budget_s"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
                raise invalid_input(name, seconds, "a number of seconds above 0")
        self.kept = self.store if isinstance(self.store, Store) else Store(self.store)
        self.kept.check_writable()
        self.tell = self.progress or unwatched
        self.id, self.fingerprint = new_id(), describe(self.device)[1]
        self.run_id = ""
        self.refused: dict[Case, InputError] = {}
        self.unstored: NoRoomError | None = None
        self._known: pd.DataFrame | None = None
        self._ready = False

    # What a probe says.

    def label(self, case: Case) -> str:
        """What progress calls a case."""
        raise NotImplementedError

    def key(self, case: Case) -> Row:
        """Columns by which a stored row answers the same question."""
        raise NotImplementedError

    def arguments(self, case: Case) -> Row:
        """What the next child process of a case is asked."""
        raise NotImplementedError

    def columns(self, case: Case) -> Row:
        """Columns of a row that are known before a child answers."""
        return self.shared | self.key(case)

    def starts(self, case: Case) -> str:
        """The step of the child from which the time budget runs."""
        return LOADED

    def series(self, case: Case) -> list[list[list[float]]]:
        """Numbers by process, each series of which has to agree."""
        return []

    def lacks(self, case: Case) -> bool:
        """Whether a process is wanted for more than the numbers, however well those agree."""
        return False

    def in_order(self, round_: list[Case]) -> list[Case]:
        """The cases of a round, in the order in which their processes start."""
        return round_

    def stored_of(self, case: Case) -> list[Row]:
        """What is stored now that a process of a case has ended: the process."""
        return self.processes[case][-1:]

    def stored_rows(self) -> pd.DataFrame:
        """What the store holds, oldest first."""
        return self.kept.read(self.table).frame

    # What all of them share.

    def run(self, cases: Sequence[Case]) -> list[list[Row]]:
        """Measure what is not settled; the rows of each case, found or made here, and of no other campaign."""
        for case in cases:
            self.look_up(case)
        shuffled = random.Random(self.id)
        going = [case for case in cases if not self.settled(case)]
        while not self.unstored and not all(map(self.settled, going)):
            round_ = [case for case in going if not self.ended(case)]
            shuffled.shuffle(round_)
            for case in self.in_order(round_):
                if not self.unstored:
                    self.start(case, sum(map(self.settled, cases)), len(cases))
        self.tell(Step("measured", stage=self.name, done=len(cases), total=len(cases)))
        if cases and all(case in self.refused for case in cases):
            raise self.refused[cases[0]]
        return [self.rows[case] for case in cases if self.rows[case]]

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows a caller is told, with a warning where the store took no more."""
        if self.unstored is not None:
            said = f"{self.unstored}; what it did not take is told, and stored nowhere"
            warnings.warn(said, UnstoredWarning, stacklevel=3)
        return frame

    def look_up(self, case: Case) -> list[Row]:
        """Rows in the store that may be continued: same question and environment, newest campaign."""
        if case in self.rows:  # a search ran it already
            return self.rows[case]
        found: list[Row] = []
        if not self.fresh:
            frame = self._known = self.stored_rows() if self._known is None else self._known
            for name, value in ({"fingerprint": self.fingerprint} | self.key(case)).items():
                frame = frame[frame[name].isna() if value is None else frame[name] == value]
            newest = frame["campaign"].eq(frame["campaign"].max()) if "campaign" in frame else slice(-1, None)
            found = records(frame[newest])
        self.rows[case] = [] if found and found[-1]["status"] == "error" else found
        self.processes[case] = list(self.rows[case])
        return self.rows[case]

    def settled(self, case: Case) -> bool:
        """Whether another process would not help, or not fit."""
        if not self.processes[case] or self.ended(case):
            return bool(self.processes[case])
        series = self.series(case)
        return bool(series) and not self.lacks(case) and all(map(precise, series))

    def ended(self, case: Case) -> bool:
        """Whether a case takes part in no further round: it failed, or its time budget is spent."""
        processes = self.processes[case]
        if not processes or processes[-1]["status"] != "ok" or self.once:
            return bool(processes)
        walls = [float(process["wall_s"]) for process in processes]
        return not self.lacks(case) and spent(walls, self.time_budget_s, self.searched_s.get(case))

    def start(self, case: Case, settled: int = 0, total: int = 1, budget_s: float | None = None) -> None:
        """One more process of a case; its row is stored as soon as it has ended."""
        if not self._ready:  # here, so that a minute of conversion is not taken from a time budget
            self._ready = True
            for reference in map(parse, self.models):
                if reference.kind == "demo":
                    demo.ensure(reference.name, on_step=self.tell)
        processes, budget_s = self.processes[case], budget_s or self.time_budget_s
        label = self.label(case) + ("" if self.once else f", process {len(processes) + 1}")

        def show(text: str) -> None:
            self.tell(Step(f"{label}: {text}", stage=self.name, done=settled, total=total))

        show("starting")
        self.run_id = new_id()
        begun, arguments = datetime.now(UTC).isoformat(timespec="milliseconds"), self.arguments(case)
        if "budget_s" in arguments:
            arguments["budget_s"] = budget_s
        try:
            outcome = self.child(case, arguments, budget_s, show)
        except InputError as error:  # this model and this case do not go together; others may
            if case == self.baseline:
                raise
            self.refused[case] = error
            outcome = Outcome("unsupported", None, str(error), 0.0)
        answer = dict(outcome.value or {})
        if ceilings := answer.pop("ceilings", None):
            self.ceilings[arguments["model"]] = ceilings
        environment, fingerprint = describe(self.device)
        environment = answer.pop("environment", environment)
        row: Row = {"device": device_name(self.device)} | self.columns(case)
        row |= {
            "run_id": self.run_id,
            "campaign": processes[-1]["campaign"] if processes and "campaign" in processes[-1] else self.id,
            "started_at": begun,
            "kind": "measured",
            "status": outcome.status,
            "reason": outcome.reason,
            "wall_s": outcome.seconds,
            "fingerprint": fingerprint,
            "environment": json.dumps(environment, sort_keys=True),
        }
        row["device"] = environment.get("device", row["device"])  # the one it ran on
        processes.append(row | answer)
        made = self.stored_of(case)
        self.rows[case] = [*self.rows[case], *made]
        if made and case not in self.refused:  # what the caller can mend is no result
            self._keep(made)

    def child(self, case: Case, arguments: Row, budget_s: float, show: Progress) -> Outcome:
        """Run a child process to its end."""
        limits: Row = {"timeout_s": self.timeout_s, "budget_s": budget_s, "starts": self.starts(case)}
        return run_isolated(self.in_child, arguments, **limits, on_progress=show)

    def _keep(self, rows: Sequence[Row]) -> None:
        files: dict[str, list[Row]] = {}
        for row in rows:
            files.setdefault(row["run_id"], []).append(row)
        for run_id, part in files.items():
            try:
                self.kept.write(self.table, self.table.of(part), run_id)
            except NoRoomError as error:
                self.unstored = error


def records(frame: pd.DataFrame) -> list[Row]:
    """Rows of a frame as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def material(asked: Mapping[str, Any], models: Sequence[str]) -> str:
    """Hash of everything that was asked, and of the files of local models."""
    read = [dict(asked), *map(on_disk, models)]
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def whole_numbers(least: int = 1, most: int = 10**7, more: str = "", **numbers: Any) -> None:
    """Raise `InputError` for the first number, by name, that is not whole or not within its bounds."""
    for name, number in numbers.items():
        bounded(name, number, least, most, whole=True, more=more)
