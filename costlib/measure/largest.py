"""The largest batch that runs, by bisection over real runs; out of memory is a result, not a failure.

The first guess comes from predicted bytes. From there the batch doubles until it does not fit, then the gap is halved
to within 5 %. On a CPU, where running out of memory takes the machine down with it, the prediction is the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from costlib.errors import InputError
from costlib.models.memory import predict
from costlib.models.reference import parse, shape

_CLOSE = 0.05
_MOST = 65_536
_HEADROOM = 0.8
"""Share of free memory that weights and key-value cache may take; activations and workspace need the rest."""


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
        elif high - low <= max(1, math.floor(_CLOSE * high)):
            return low or None
        else:
            trial = (low + high) // 2


def first_guess(model: str, precision: str, prompt_tokens: int, output_tokens: int, free_bytes: int) -> int:
    """The batch whose predicted weights and cache fill `_HEADROOM` of the free memory; 1 where nothing is known."""
    try:
        known = shape(parse(model))
        one, two = (predict(known, precision, batch, prompt_tokens + output_tokens) for batch in (1, 2))
    except InputError:
        return 1
    each = two.total_bytes - one.total_bytes
    room = _HEADROOM * free_bytes - one.weight_bytes
    return max(1, min(_MOST, int(room // each))) if each and room > 0 else 1


def free_memory(device: str) -> int:
    """Bytes free on the device now, as the driver or the operating system says."""
    if device.startswith("cuda"):
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    import psutil

    return int(psutil.virtual_memory().available)
