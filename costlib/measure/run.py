"""Measures configurations until sure: child processes, shuffled and interleaved, each one an immutable run.

A round starts one child process for every configuration, in shuffled order, so that drift of the machine does not look
like a difference between configurations. A configuration is settled when at least five processes agree within 2 %, when
its time budget is spent, or when it failed. Rounds go on until all are settled; one that is precise already takes part
in them while its budget lasts, because a comparison needs both of a round (costlib.measure.difference). What is in the
store is not measured again, unless `fresh`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any

from costlib.environment import default_device, describe, device_name
from costlib.errors import RunError, bad
from costlib.isolate import run_isolated
from costlib.measure.estimate import CONFIGURATION, precise, spent, usable
from costlib.measure.largest import bisect_largest, first_guess, free_memory
from costlib.measure.summarise import summarise
from costlib.models import demo
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import Reference, parse
from costlib.paths import measurements_dir
from costlib.progress import Progress, Step, silent
from costlib.store import Store, new_id
from costlib.tables import ENGINES, MEASUREMENTS, RUNS

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


def measure(
    model: str,
    precision: str | Iterable[str] = "bf16",
    *,
    engine: str | Iterable[str] = "eager",
    batch: int | str | Iterable[int | str] = 1,
    prompt_tokens: int | Iterable[int] = 128,
    output_tokens: int | Iterable[int] = 64,
    device: str | None = None,
    store: Store | str | None = None,
    fresh: bool = False,
    time_budget_s: float = 120.0,
    timeout_s: float = 1800.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure every combination and return one row each (table `measurements`, units in the column names).

    A batch `max` is first searched by bisection (see `largest`), then measured; the runs that did not fit stay in the
    store as rows of status oom. `time_budget_s` bounds each configuration's processes together, `timeout_s` each
    process. `device` is `cpu`, `cuda` or None for what is there. Failures become rows with a status and a reason.
    Raises `InputError` for bad input before anything is measured.
    """
    reference = parse(model)
    device = device or default_device()
    precisions, engines, batches = _several(precision), _several(engine), _several(batch)
    prompts, outputs = _several(prompt_tokens), _several(output_tokens)
    for name in precisions:
        check_device(known_precision(name), device)
    for name in engines:
        if name not in ENGINES:
            raise bad("engine", name, ENGINES)
        _check_engine(name, reference, precisions)
    for field, values in (("batch", batches), ("prompt_tokens", prompts), ("output_tokens", outputs)):
        for count in values:
            if field == "batch" and count == "max":
                continue
            if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10**7:
                raise bad(field, count, "a whole number from 1 to 10,000,000" + (" or max" if field == "batch" else ""))
    for field, limit in (("time_budget_s", time_budget_s), ("timeout_s", timeout_s)):
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit) or limit <= 0:
            raise bad(field, limit, "a number of seconds above 0")
    asked = {"precision": precisions, "engine": engines, "batch": batches}
    for field, values in (asked | {"prompt_tokens": prompts, "output_tokens": outputs}).items():
        if not values:
            raise bad(field, values, "at least one value")
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    name = device_name(device)
    if reference.kind == "demo":  # here, so that a minute of conversion is not taken from a time budget
        demo.ensure(reference.name, on_step=progress or silent)
    campaign = _Campaign(kept, device, fresh, time_budget_s, timeout_s, progress or silent)
    combined = product(precisions, engines, batches, prompts, outputs)
    wanted = [
        Configuration(model, *parts[:2], size, *parts[3:], name)
        for parts in combined
        for size in [
            campaign.largest(Configuration(model, *parts[:2], 1, *parts[3:], name)) if parts[2] == "max" else parts[2]
        ]
    ]
    wanted = list(dict.fromkeys(wanted))
    campaign.run(wanted)
    rows = measurements(kept)
    keys = [tuple(asdict(configuration).values()) for configuration in wanted]
    order = {key: position for position, key in enumerate(keys)}
    found = rows[[key in order for key in rows[list(CONFIGURATION)].itertuples(index=False, name=None)]]
    positions = [order[key] for key in found[list(CONFIGURATION)].itertuples(index=False, name=None)]
    return found.iloc[sorted(range(len(positions)), key=positions.__getitem__)].reset_index(drop=True)


def stored_runs(store: Store | str | None = None) -> pd.DataFrame:
    """Every run of a store, and the reference runs that come with costlib (data/measurements), oldest first."""
    import pandas as pd

    kept = store if isinstance(store, Store) else Store(store)
    frames = [found.read(RUNS).frame for found in (Store(measurements_dir()), kept)]
    runs = pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
    return runs.drop_duplicates("run_id").sort_values("run_id", kind="stable", ignore_index=True)


def measurements(store: Store | str | None = None) -> pd.DataFrame:
    """One row per configuration of `stored_runs`, from its newest campaign (table `measurements`)."""
    import pandas as pd

    runs = stored_runs(store)
    if runs.empty:
        return MEASUREMENTS.validate(pd.DataFrame(columns=MEASUREMENTS.names))
    rows = []
    for _, group in runs.groupby(list(CONFIGURATION), sort=False):
        newest = group["campaign"].max()
        rows.append(summarise(group[group["campaign"] == newest]))
    return MEASUREMENTS.validate(pd.DataFrame(rows, columns=MEASUREMENTS.names))


def _several(value: Any) -> list[Any]:
    """One value or several as a list without repetitions."""
    return list(dict.fromkeys(value if isinstance(value, Iterable) and not isinstance(value, str) else [value]))


def _check_engine(engine: str, reference: Reference, precisions: list[str]) -> None:
    """GGUF blocks run by llama.cpp only, and llama.cpp runs nothing else."""
    packed = [name for name in precisions if known_precision(name).method == "gguf"]
    if engine == "llamacpp" and (reference.kind != "gguf" or len(packed) < len(precisions)):
        raise bad(
            "engine", engine, "an engine of transformers; llamacpp runs gguf: models at their own gguf- precision"
        )
    if engine != "llamacpp" and packed:
        raise bad("precision", packed[0], "fp32, bf16 or fp16 with this engine; GGUF blocks run by engine llamacpp")


class _Campaign:
    """One call of `measure`: decides what is still to be run, and runs it."""

    def __init__(
        self, store: Store, device: str, fresh: bool, time_budget_s: float, timeout_s: float, progress: Progress
    ) -> None:
        self._store, self._device = store, device
        self._budget, self._timeout, self._progress = time_budget_s, timeout_s, progress
        self._new_campaign = new_id()
        self._fingerprint = describe(device)[1]
        self._runs: dict[Configuration, pd.DataFrame] = {}
        self._stored = None if fresh else store.read(RUNS).frame

    def run(self, wanted: list[Configuration]) -> None:
        for configuration in wanted:
            self._runs[configuration] = self._found(configuration)
        shuffled = random.Random(self._new_campaign)
        going = [c for c in wanted if not self._settled(c)]
        while not all(map(self._settled, going)):
            round_ = [c for c in going if not self._ended(c)]
            shuffled.shuffle(round_)
            for configuration in round_:
                self._start(configuration, sum(map(self._settled, wanted)), len(wanted))
        self._progress(Step("measured", stage="measure", done=len(wanted), total=len(wanted)))

    def largest(self, one: Configuration) -> int:
        """The largest batch of a configuration that runs; 1 where not even that fits, so that its row says so."""
        free = free_memory(self._device)
        guess = first_guess(one.model, one.precision, one.prompt_tokens, one.output_tokens, free)

        def fits(batch: int) -> bool:
            trial = replace(one, batch=batch)
            self._runs[trial] = self._found(trial)
            if self._runs[trial].empty:
                self._start(trial, 0, 1)
            status = self._runs[trial].iloc[-1]["status"]
            if status not in ("ok", "oom"):
                raise RunError(f"{trial}: {self._runs[trial].iloc[-1]['reason']}")
            return bool(status == "ok")

        most = guess if self._device == "cpu" else 4 * guess
        return bisect_largest(fits, guess, most) or 1

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
        return bool(runs.iloc[-1]["status"] != "ok") or spent(list(runs["wall_s"]), self._budget)

    def _start(self, configuration: Configuration, settled: int, total: int) -> None:
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
            "minimum_iterations": 1,
            "maximum_iterations": _MAXIMUM_ITERATIONS,
            "seed": random.Random(f"{configuration} {len(runs)}").randrange(2**31),
        }
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = run_isolated(
            "costlib.measure.worker:measure_once", arguments, timeout_s=self._timeout, on_progress=show
        )
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
        environment = values.pop("environment", None)
        if environment is None:
            environment, values["fingerprint"] = describe(self._device)
        row |= values
        row["environment"] = json.dumps(environment, sort_keys=True)
        frame = pd.DataFrame([row])
        self._store.write(RUNS, frame, run_id)
        checked = RUNS.validate(frame)
        self._runs[configuration] = checked if runs.empty else pd.concat([runs, checked], ignore_index=True)
