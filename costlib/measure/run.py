"""What a caller asks of the measure room: measure configurations, and read what is in the store as rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, device_name
from costlib.errors import bad
from costlib.measure.campaign import Campaign, Configuration
from costlib.measure.estimate import CONFIGURATION
from costlib.measure.largest import ALL_BUT_BATCH, largest_batches
from costlib.measure.summarise import summarise
from costlib.models import demo
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import Reference, parse
from costlib.paths import measurements_dir
from costlib.progress import Progress, silent
from costlib.store import Store
from costlib.tables import ENGINES, MEASUREMENTS, RUNS

if TYPE_CHECKING:
    import pandas as pd


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
    campaign = Campaign(kept, device, fresh, time_budget_s, timeout_s, progress or silent)
    combined = product(precisions, engines, batches, prompts, outputs)
    wanted = [
        Configuration(model, *parts[:2], size, *parts[3:], name)
        for parts in combined
        for size in [
            campaign.largest(Configuration(model, *parts[:2], 1, *parts[3:], name)) if parts[2] == "max" else parts[2]
        ]
    ]
    return _table(campaign.run(list(dict.fromkeys(wanted))), stored_runs(kept))


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
