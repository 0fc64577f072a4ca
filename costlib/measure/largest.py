"""The largest batch that runs, by bisection over real runs; out of memory is a result, not a failure.

The first guess comes from predicted bytes. From there the batch doubles until it does not fit, then the gap is halved
to within 5 %. On a CPU, where running out of memory takes the machine down with it, the prediction is the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from costlib.errors import InputError
from costlib.gpu import handle_of, unified
from costlib.measure.estimate import CONFIGURATION
from costlib.models.memory import activation_bytes, predict
from costlib.models.precision import PRECISIONS
from costlib.models.reference import parse, shape

if TYPE_CHECKING:
    import pandas as pd

_CLOSE = 0.05
_MOST = 65_536
_HEADROOM = 0.8
"""Share of free memory that weights, key-value cache and activations may take; workspace needs the rest."""
ALL_BUT_BATCH = tuple(name for name in CONFIGURATION if name != "batch")


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
    element = PRECISIONS[precision].dense_bytes
    each = two.total_bytes - one.total_bytes + activation_bytes(known, prompt_tokens, element)
    room = _HEADROOM * free_bytes - one.weight_bytes
    return max(1, min(_MOST, int(room // each))) if each and room > 0 else 1


def largest_batches(runs: pd.DataFrame) -> dict[tuple[object, ...], int]:
    """The largest batch that ran, for every configuration (all but the batch) of which one 5 % larger did not fit."""
    found: dict[tuple[object, ...], int] = {}
    for key, group in runs.groupby(list(ALL_BUT_BATCH), sort=False):
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
