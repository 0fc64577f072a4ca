"""What a caller asks of the measure room: measure configurations, and read what is in the store as rows.

The largest batch that runs is found by bisection over real runs; out of memory is a result, not a failure. The first
guess comes from predicted bytes. From there the batch doubles until it does not fit, then the gap is halved to within
5 %. On a CPU, where running out of memory takes the machine down with it, the prediction is the limit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, device_name, handle_of, unified
from costlib.errors import InputError, invalid_input
from costlib.measure.campaign import Campaign, Row, whole_numbers
from costlib.measure.engines import ENGINES
from costlib.measure.estimate import CONFIGURATION
from costlib.measure.summarise import speeds_of, summarise
from costlib.measure.worker import COMPILED, LOADED
from costlib.models.load import check_device
from costlib.models.memory import activation_bytes, predict
from costlib.models.precision import precision as known_precision
from costlib.models.reference import Reference, parse, shape
from costlib.paths import measurements_dir
from costlib.progress import Progress, Step
from costlib.store import Store
from costlib.tables import MEASUREMENTS, RUNS

if TYPE_CHECKING:
    import pandas as pd

_CLOSE = 0.05
_MOST = 65_536
_HEADROOM = 0.8
"""Share of free memory that weights, key-value cache and activations may take; workspace needs the rest."""
_ALL_BUT_BATCH = [name for name in CONFIGURATION if name != "batch"]
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
    precisions = _several(resolve(name, model, device).name for name in _several(precision))
    values = {"precision": precisions, "engine": _several(engine), "batch": _several(batch)}
    values |= {"prompt_tokens": _several(prompt_tokens), "output_tokens": _several(output_tokens)}
    for name in precisions:
        check_device(known_precision(name), device)
    for name in values["engine"]:
        if name not in ENGINES:
            raise invalid_input("engine", name, ENGINES)
        _check_engine(name, reference, precisions)
    for field, given in values.items():
        for count in given if field in ("batch", "prompt_tokens", "output_tokens") else ():
            if (field, count) != ("batch", "max"):
                whole_numbers(more=" or max" if field == "batch" else "", **{field: count})
        if not given:
            raise invalid_input(field, given, "at least one value")
    probe = Speed(
        models=[model], device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, shared={"ttft_s": [], "decode_s": [], "flags": []},
    )  # fmt: skip
    wanted = []
    for parts in product(*values.values()):
        asked = dict(zip(values, parts, strict=True))
        largest = asked["batch"] == "max"
        one = Configuration(model, device=device_name(device), **(asked | {"batch": 1} if largest else asked))
        wanted.append(replace(one, batch=probe.largest(one)) if largest else one)
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

    def starts(self, case: Configuration) -> str:
        """Compiling is not taken from the time budget."""
        return COMPILED if ENGINES[case.engine].compiles else LOADED

    def series(self, case: Configuration) -> list[list[list[float]]]:
        """The speed that decides."""
        runs = RUNS.of(self.processes[case])
        return [list(speeds_of(runs)[0].values())[-1]]

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
    rows = [summarise(runs, largest.get(tuple(runs.iloc[-1][_ALL_BUT_BATCH]))) for runs in measured]
    return MEASUREMENTS.validate(pd.DataFrame(rows, columns=MEASUREMENTS.names))


def _several(value: Any) -> list[Any]:
    """One value or several as a list without repetitions; numbers of numpy, as a table holds them, as Python's."""
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return list(dict.fromkeys(one.item() if hasattr(one, "item") else one for one in values))


def _check_engine(engine: str, reference: Reference, precisions: list[str]) -> None:
    """GGUF blocks run by llama.cpp only, and llama.cpp runs nothing else."""
    packed = [name for name in precisions if known_precision(name).method == "gguf"]
    if engine == "llamacpp" and (reference.kind != "gguf" or len(packed) < len(precisions)):
        raise invalid_input(
            "engine", engine, "an engine of transformers; llamacpp runs gguf: models at their own gguf- precision"
        )
    if engine != "llamacpp" and packed:
        raise invalid_input(
            "precision", packed[0], "fp32, bf16 or fp16 with this engine; GGUF blocks run by engine llamacpp"
        )


def bisect_largest(fits: Callable[[int], bool], guess: int, most: int = _MOST) -> int | None:
    """The largest number in 1..most that fits, within 5 %; None if not even 1 does. Each number is tried once."""
    low, high = 0, None
    trial = max(1, min(guess, most))
    while True:
        if fits(trial):
            low = trial
            if low >= most:
                return most
        else:
            high = trial
        if high is None:
            trial = min(2 * low, most)
        elif _close(low, high):
            return low or None
        else:
            trial = (low + high) // 2


def _close(fits: int, fails: int) -> bool:
    return fails - fits <= max(1, math.floor(_CLOSE * fails))


def first_guess(model: str, precision: str, prompt_tokens: int, output_tokens: int, free_bytes: int) -> int:
    """The batch whose predicted weights and cache fill `_HEADROOM` of the free memory; 1 where nothing is known."""
    try:
        known = shape(parse(model))
        one, two = (predict(known, precision, batch, prompt_tokens + output_tokens) for batch in (1, 2))
    except InputError:
        return 1
    element = known_precision(precision).dense_bytes
    each = two["total_bytes"] - one["total_bytes"] + activation_bytes(known, prompt_tokens, element)
    room = _HEADROOM * free_bytes - one["weight_bytes"]
    return max(1, min(_MOST, int(room // each))) if each and room > 0 else 1


def largest_batches(runs: pd.DataFrame) -> dict[tuple[object, ...], int]:
    """The largest batch that ran, for every configuration (all but the batch) of which one 5 % larger did not fit."""
    found: dict[tuple[object, ...], int] = {}
    for key, group in runs.groupby(_ALL_BUT_BATCH, sort=False):
        ran, full = (group.loc[group["status"] == status, "batch"] for status in ("ok", "oom"))
        if len(ran) and len(larger := full[full > ran.max()]) and _close(int(ran.max()), int(larger.min())):
            found[key] = int(ran.max())
    return found


def free_memory(device: str) -> int:
    """Bytes free on the device now, as the driver or the operating system says; 0 where the driver does not.

    The memory of a GPU that has none of its own is the host's.
    """
    if device.startswith("cuda"):
        import pynvml

        try:
            pynvml.nvmlInit()
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle_of(device)).free)
        except pynvml.NVMLError as error:
            if not unified(error):
                return 0
    import psutil

    return int(psutil.virtual_memory().available)
