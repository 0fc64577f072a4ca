"""One call of `measure`: what is still to be run, each process an immutable run, shuffled and interleaved.

A round starts one child process for every configuration, in shuffled order, so that drift of the machine does not look
like a difference between configurations. A configuration is settled when at least five processes agree within 2 %, when
its time budget is spent, or when it failed. Rounds go on until all are settled; one that is precise already takes part
in them while its budget lasts, because a comparison needs both of a round (costlib.measure.difference). What is in the
store is not measured again, unless `fresh`.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from costlib.environment import describe
from costlib.errors import InputError
from costlib.isolate import Outcome, run_isolated
from costlib.measure.estimate import precise, spent, usable
from costlib.measure.largest import bisect_largest, first_guess, free_memory
from costlib.measure.worker import COMPILED, LOADED
from costlib.progress import Progress, Step
from costlib.store import Store, new_id
from costlib.tables import RUNS

if TYPE_CHECKING:
    import pandas as pd

_MAXIMUM_ITERATIONS = 100
_SLICE = 0.05
"""Share of the time budget that one process spends on timed iterations; loading and warm-up come on top.

Small, because the process is the unit of the interval: more processes narrow it, more iterations in one hardly do.
"""


@dataclass(frozen=True)
class Configuration:
    """What is measured: a row's key. `device` is the name a reader sees."""

    model: str
    precision: str
    engine: str
    batch: int
    prompt_tokens: int
    output_tokens: int
    device: str

    def __str__(self) -> str:
        return f"{self.model} {self.precision} {self.engine} batch {self.batch}"


class Campaign:
    """One call of `measure`: decides what is still to be run, and runs it."""

    def __init__(
        self, store: Store, device: str, fresh: bool, time_budget_s: float, timeout_s: float, progress: Progress
    ) -> None:
        self._store, self._device = store, device
        self._budget, self._timeout, self._progress = time_budget_s, timeout_s, progress
        self._new_campaign = new_id()
        self._fingerprint = describe(device)[1]
        self._ceilings: dict[str, dict[str, Any]] = {}  # measured in this call, by model
        self._runs: dict[Configuration, pd.DataFrame] = {}
        self._searched: dict[Configuration, float] = {}  # seconds of the search for a largest batch, but for its own
        self._refused: dict[Configuration, InputError] = {}
        self._stored = None if fresh else store.read(RUNS).frame

    def run(self, wanted: list[Configuration]) -> list[pd.DataFrame]:
        """Measure what is not settled; the runs of each, found or made here, and of no other campaign."""
        for configuration in wanted:
            if configuration not in self._runs:  # the search for the largest batch ran it already
                self._runs[configuration] = self._found(configuration)
        shuffled = random.Random(self._new_campaign)
        going = [c for c in wanted if not self._settled(c)]
        while not all(map(self._settled, going)):
            round_ = [c for c in going if not self._ended(c)]
            shuffled.shuffle(round_)
            for configuration in round_:
                self._start(configuration, sum(map(self._settled, wanted)), len(wanted))
        self._progress(Step("measured", stage="measure", done=len(wanted), total=len(wanted)))
        if wanted and all(configuration in self._refused for configuration in wanted):
            raise self._refused[wanted[0]]
        return [self._runs[configuration] for configuration in wanted]

    def largest(self, one: Configuration) -> int:
        """The largest batch of a configuration that runs; one that says why where it failed otherwise.

        The search ends where the time budget would not hold two more processes, and what it took is taken from the
        measurement of the batch it found.
        """
        free = free_memory(self._device)
        guess = first_guess(one.model, one.precision, one.prompt_tokens, one.output_tokens, free)
        failed: list[int] = []
        untried: list[int] = []
        took: dict[int, float] = {}

        def fits(batch: int) -> bool:
            if took and sum(took.values()) + 2 * max(took.values()) > self._budget:
                untried.append(batch)
            if failed or untried:
                return False
            trial = replace(one, batch=batch)
            self._runs[trial] = self._found(trial)
            if self._runs[trial].empty:
                self._start(trial, 0, 1, self._budget - sum(took.values()))
                took[batch] = float(self._runs[trial].iloc[-1]["wall_s"])
            status, reason = self._runs[trial].iloc[-1][["status", "reason"]]
            if len(took) > 1 and str(reason).startswith("stopped after the time budget"):
                untried.append(batch)
            elif status not in ("ok", "oom"):
                failed.append(batch)
            return bool(status == "ok")

        most = guess if self._device == "cpu" else 4 * guess
        found = bisect_largest(fits, guess, most)
        largest = failed[0] if failed else found or 1
        if untried:
            said = f"the search for the largest batch ended with its time budget, at {largest}"
            self._progress(Step(f"{one}: {said}", stage="measure", done=0, total=1))
        self._searched[replace(one, batch=largest)] = sum(took.values()) - took.get(largest, 0.0)
        return largest

    def _found(self, configuration: Configuration) -> pd.DataFrame:
        """Runs in the store that may be continued: same configuration and environment, newest campaign."""
        import pandas as pd

        if self._stored is None or self._stored.empty:
            return pd.DataFrame(columns=RUNS.names)
        runs = self._stored
        same = runs["fingerprint"] == self._fingerprint
        for name, value in asdict(configuration).items():
            same &= runs[name] == value
        runs = runs[same]
        if not runs.empty:
            runs = runs[runs["campaign"] == runs["campaign"].max()]
        # A crash or a timeout may pass; what does not fit or is not supported stays so.
        return runs if runs.empty or runs.iloc[-1]["status"] != "error" else pd.DataFrame(columns=RUNS.names)

    def _settled(self, configuration: Configuration) -> bool:
        runs = self._runs[configuration]
        if runs.empty or self._ended(configuration):
            return not runs.empty
        samples, _ = usable(runs)
        return precise([(rest if configuration.output_tokens > 1 else first) for first, rest in samples])

    def _ended(self, configuration: Configuration) -> bool:
        """Whether it takes part in no further round: it failed, or its time budget is spent."""
        runs = self._runs[configuration]
        if runs.empty:
            return False
        searched = self._searched.get(configuration)
        return bool(runs.iloc[-1]["status"] != "ok") or spent(list(runs["wall_s"]), self._budget, searched)

    def _start(self, configuration: Configuration, settled: int, total: int, budget_s: float | None = None) -> None:
        import pandas as pd

        runs = self._runs[configuration]
        label = f"{configuration}, process {len(runs) + 1}"

        def show(text: str) -> None:
            self._progress(Step(f"{label}: {text}", stage="measure", done=settled, total=total))

        show("starting")
        arguments = {key: value for key, value in asdict(configuration).items() if key != "device"}
        arguments |= {
            "device": self._device,
            "slice_s": self._budget * _SLICE,
            "budget_s": budget_s or self._budget,
            "ceilings": self._ceilings.get(configuration.model, {}),
            "maximum_iterations": _MAXIMUM_ITERATIONS,
            "seed": random.Random(f"{configuration} {len(runs)}").randrange(2**31),
        }
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            outcome = run_isolated(
                "costlib.measure.worker:measure_once",
                arguments,
                timeout_s=self._timeout,
                budget_s=budget_s or self._budget,
                starts=COMPILED if configuration.engine == "compiled" else LOADED,
                on_progress=show,
            )
        except InputError as error:  # this model and this precision do not go together; others may
            self._refused[configuration] = error
            outcome = Outcome("unsupported", None, str(error), 0.0)
        run_id = new_id()
        row: dict[str, Any] = asdict(configuration)
        row |= {
            "run_id": run_id,
            "campaign": self._new_campaign if runs.empty else runs.iloc[-1]["campaign"],
            "started_at": started_at,
            "status": outcome.status,
            "reason": outcome.reason,
            "wall_s": outcome.seconds,
            "ttft_s": [],
            "decode_s": [],
            "flags": [],
        }
        values = outcome.value or {}
        self._ceilings[configuration.model] = values.pop("ceilings", arguments["ceilings"])
        environment = values.pop("environment", None)
        if environment is None:
            environment, values["fingerprint"] = describe(self._device)
        row |= values
        row["device"] = environment.get("device", row["device"])  # the one it ran on
        row["environment"] = json.dumps(environment, sort_keys=True)
        frame = pd.DataFrame([row])
        if configuration not in self._refused:  # what the caller can mend is no result
            self._store.write(RUNS, frame, run_id)
        checked = RUNS.validate(frame)
        self._runs[configuration] = checked if runs.empty else pd.concat([runs, checked], ignore_index=True)
