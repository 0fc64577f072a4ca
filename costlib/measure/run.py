"""What a caller asks of the measure room: measure configurations, and read what is in the store as rows."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, device_name
from costlib.errors import bad
from costlib.measure.campaign import Campaign, Row, whole_number
from costlib.measure.estimate import CONFIGURATION, usable
from costlib.measure.largest import ALL_BUT_BATCH, bisect_largest, first_guess, free_memory, largest_batches
from costlib.measure.summarise import summarise
from costlib.measure.worker import COMPILED, LOADED
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import Reference, parse
from costlib.paths import measurements_dir
from costlib.progress import Progress, Step
from costlib.store import Store
from costlib.tables import ENGINES, MEASUREMENTS, RUNS

if TYPE_CHECKING:
    import pandas as pd

_MAXIMUM_ITERATIONS = 100
_SLICE = 0.05
"""Share of the time budget that one process spends on timed iterations; loading and warm-up come on top.

Small, because the process is the unit of the interval: more processes narrow it, more iterations in one hardly do.
"""


def measure(
    model: str,
    precision: str | Iterable[str] = "16-bit",
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
    """Measure speed, memory and energy, each configuration in a process of its own.

    Every combination is one row (table `measurements`, units in the column names). `precision` names precisions, or a
    width: 16-bit, 8-bit or 4-bit (see `costlib.devices.resolve`). A batch `max` is
    first searched by bisection (see `largest`), then measured; the runs that did not fit stay in the store as rows of
    status oom. `time_budget_s` bounds each configuration's processes together, and what each does once its model is
    loaded (or compiled); `timeout_s` bounds each process. `device` is `cpu`, `cuda` or None for what is there. Failures
    become rows with a status and a reason. Raises `InputError` for bad input before anything is measured, and where no
    configuration suits the model's files.

    Args:
        model: demo:gemma-3-270m, hub:ORG/NAME, path:FOLDER, gguf:FILE or random:SHAPE.
        precision: Comma-separated: 16-bit, 8-bit, 4-bit, bf16, nf4, ...
        engine: Comma-separated: eager, compiled, batched, llamacpp.
        batch: Comma-separated sequences run together, or max.
        prompt_tokens: Comma-separated prompt tokens of each sequence.
        output_tokens: Comma-separated new tokens of each sequence, forced.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        store: Folder of measurements [default: data/store].
        fresh: Measure again what is in the store.
        time_budget_s: Seconds for each configuration.
        timeout_s: Seconds after which one process is stopped.
        progress: Is told each step.
    """
    reference = parse(model)
    device = device or default_device()
    engines, batches = _several(engine), _several(batch)
    precisions = _several(resolve(name, model, device).name for name in _several(precision))
    prompts, outputs = _several(prompt_tokens), _several(output_tokens)
    for name in precisions:
        check_device(known_precision(name), device)
    for name in engines:
        if name not in ENGINES:
            raise bad("engine", name, ENGINES)
        _check_engine(name, reference, precisions)
    for field, values in (("batch", batches), ("prompt_tokens", prompts), ("output_tokens", outputs)):
        for count in values:
            if (field, count) != ("batch", "max"):
                whole_number(field, count, more=" or max" if field == "batch" else "")
    asked = {"precision": precisions, "engine": engines, "batch": batches}
    for field, values in (asked | {"prompt_tokens": prompts, "output_tokens": outputs}).items():
        if not values:
            raise bad(field, values, "at least one value")
    limits: dict[str, Any] = {"time_budget_s": time_budget_s, "timeout_s": timeout_s}
    probe = Speed(models=[model], device=device, store=store, fresh=fresh, progress=progress, **limits)
    wanted = []
    for parts in product(precisions, engines, batches, prompts, outputs):
        one = Configuration(model, *parts[:2], 1 if parts[2] == "max" else parts[2], *parts[3:], device_name(device))
        wanted.append(replace(one, batch=probe.largest(one)) if parts[2] == "max" else one)
    measured = [RUNS.of(rows) for rows in probe.run(list(dict.fromkeys(wanted)))]
    return probe.answer(_table(measured, stored_runs(probe.kept)))


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


class Speed(Campaign[Configuration]):
    """Speed, memory and energy of configurations; each process is a run."""

    name, table, in_child = "measure", RUNS, "costlib.measure.worker:measure_once"

    def label(self, case: Configuration) -> str:
        """Model, precision, engine and batch."""
        return str(case)

    def key(self, case: Configuration) -> Row:
        """The configuration."""
        return asdict(case)

    def arguments(self, case: Configuration) -> Row:
        """The configuration on torch's device, its share of the time budget, and the ceilings known already."""
        return asdict(case) | {
            "device": self.device,
            "slice_s": self.time_budget_s * _SLICE,
            "budget_s": self.time_budget_s,
            "ceilings": self.ceilings.get(case.model, {}),
            "maximum_iterations": _MAXIMUM_ITERATIONS,
            "seed": random.Random(f"{case} {len(self.processes[case])}").randrange(2**31),
        }

    def columns(self, case: Configuration) -> Row:
        """A run that failed has no sample."""
        return asdict(case) | {"ttft_s": [], "decode_s": [], "flags": []}

    def starts(self, case: Configuration) -> str:
        """Compiling is not taken from the time budget."""
        return COMPILED if case.engine == "compiled" else LOADED

    def series(self, case: Configuration) -> list[list[list[float]]]:
        """Times of decode, or to the first token where that is all."""
        samples, _ = usable(RUNS.of(self.processes[case]))
        return [[(rest if case.output_tokens > 1 else first) for first, rest in samples]]

    def largest(self, one: Configuration) -> int:
        """The largest batch of a configuration that runs; one that says why where it failed otherwise.

        The search ends where the time budget would not hold two more processes, and what it took is taken from the
        measurement of the batch it found.
        """
        free = free_memory(self.device)
        guess = first_guess(one.model, one.precision, one.prompt_tokens, one.output_tokens, free)
        failed: list[int] = []
        untried: list[int] = []
        took: dict[int, float] = {}

        def fits(batch: int) -> bool:
            if self.unstored or (took and sum(took.values()) + 2 * max(took.values()) > self.time_budget_s):
                untried.append(batch)
            if failed or untried:
                return False
            trial = replace(one, batch=batch)
            if not self.look_up(trial):
                self.start(trial, budget_s=self.time_budget_s - sum(took.values()))
                took[batch] = float(self.processes[trial][-1]["wall_s"])
            status, reason = (self.processes[trial][-1][name] for name in ("status", "reason"))
            if len(took) > 1 and str(reason).startswith("stopped after the time budget"):
                untried.append(batch)
            elif status not in ("ok", "oom"):
                failed.append(batch)
            return bool(status == "ok")

        most = guess if self.device == "cpu" else 4 * guess
        found = bisect_largest(fits, guess, most)
        largest = failed[0] if failed else found or 1
        if untried:
            said = f"the search for the largest batch ended with its time budget, at {largest}"
            self.tell(Step(f"{one}: {said}", stage=self.name, done=0, total=1))
        self.searched_s[replace(one, batch=largest)] = sum(took.values()) - took.get(largest, 0.0)
        return largest


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
    groups = [group for _, group in runs.groupby(list(CONFIGURATION), sort=False)]
    return _table([group[group["campaign"] == group["campaign"].max()] for group in groups], runs)


def _table(measured: list[pd.DataFrame], every: pd.DataFrame) -> pd.DataFrame:
    """One row for the runs of each measurement; `every` run says which batch was the largest."""
    import pandas as pd

    largest = largest_batches(every)
    rows = [summarise(runs, largest.get(tuple(runs.iloc[-1][list(ALL_BUT_BATCH)]))) for runs in measured]
    return MEASUREMENTS.validate(pd.DataFrame(rows, columns=MEASUREMENTS.names))


def _several(value: Any) -> list[Any]:
    """One value or several as a list without repetitions; numbers of numpy, as a table holds them, as Python's."""
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return list(dict.fromkeys(one.item() if hasattr(one, "item") else one for one in values))


def _check_engine(engine: str, reference: Reference, precisions: list[str]) -> None:
    """GGUF blocks run by llama.cpp only, and llama.cpp runs nothing else."""
    packed = [name for name in precisions if known_precision(name).method == "gguf"]
    if engine == "llamacpp" and (reference.kind != "gguf" or len(packed) < len(precisions)):
        raise bad(
            "engine", engine, "an engine of transformers; llamacpp runs gguf: models at their own gguf- precision"
        )
    if engine != "llamacpp" and packed:
        raise bad("precision", packed[0], "fp32, bf16 or fp16 with this engine; GGUF blocks run by engine llamacpp")
