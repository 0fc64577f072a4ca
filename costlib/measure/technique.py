"""What measuring a draft and measuring a prefix share: checks of input, the key of a stored row, and how it ended."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costlib.environment import describe
from costlib.errors import bad
from costlib.isolate import Outcome, Unsupported
from costlib.measure.repeat import finished
from costlib.models import demo
from costlib.models.load import Loaded, check_device, context_of, is_encoder, load_model
from costlib.models.precision import precision as known_precision
from costlib.models.reference import on_disk, parse
from costlib.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


_SAME = ("weights_note", "compute_dtype")
"""What every process says of the model it loaded."""


def check_model(field: str, name: str, precision: str, device: str) -> None:
    """Raise `InputError` for a model that does not generate text, or a precision or device that is not there."""
    reference = parse(name)
    if reference.kind == "static" or is_encoder(reference):
        raise bad(field, name, "a model that generates text")
    check_device(known_precision(precision), device)


def check_count(field: str, number: Any, least: int) -> None:
    """Raise `InputError` for a number that is not whole, or below `least`."""
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= 10**7:
        raise bad(field, number, f"a whole number from {least} to 10,000,000")


def check_seconds(**limits: float) -> None:
    """Raise `InputError` for a limit that is not a number of seconds above 0."""
    for field, seconds in limits.items():
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise bad(field, seconds, "a number of seconds above 0")


def load_generator(model: str, precision: str, device: str, tokens: int) -> Loaded:
    """Load a model that generates text and reads `tokens` of it; call it in a child process.

    Raises what `load_model` does, and `Unsupported` where the model can do neither.
    """
    longest = context_of(parse(model))
    if longest and tokens > longest:
        raise Unsupported(f"{tokens} tokens of prompt, answer and proposals exceed the context of {model}, {longest}")
    loaded = load_model(model, precision, device)
    if loaded.model.get_output_embeddings() is None:
        raise Unsupported("the model has no output head: it embeds and does not generate; see costlib embed")
    return loaded


def ensure_weights(models: Sequence[str], tell: Progress) -> None:
    """Convert demo weights here, so that a minute of conversion is not taken from a time budget."""
    for reference in map(parse, models):
        if reference.kind == "demo":
            demo.ensure(reference.name, on_step=tell)


def material(asked: dict[str, Any], models: Sequence[str]) -> str:
    """Hash of everything that was asked, and of the files of local models."""
    read = [asked, *(on_disk(name) for name in models)]
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def stored(frame: pd.DataFrame, hashed: str, fingerprint: str) -> pd.DataFrame:
    """Rows of the same question in the same environment; a crash or a timeout may pass and is asked again."""
    same = (frame["material_sha256"] == hashed) & (frame["fingerprint"] == fingerprint) & (frame["status"] != "error")
    return frame[same.fillna(False).astype(bool)]


def ending(outcomes: Sequence[Outcome], device: str) -> dict[str, Any]:
    """Status, reason and environment columns of processes, of which the last one may have failed."""
    values, last = finished(outcomes), outcomes[-1]
    row: dict[str, Any]
    if values:
        environment, fingerprint = values[-1]["environment"], values[-1]["fingerprint"]
        failed = None if last.status == "ok" else f"1 of {len(outcomes)} processes failed: {last.reason}"
        row = {"status": "ok", "reason": failed, **{name: values[-1].get(name) for name in _SAME}}
    else:
        environment, fingerprint = describe(device)
        row = {"status": last.status, "reason": last.reason, "verdict_reason": last.reason}
    return row | {"fingerprint": fingerprint, "environment": json.dumps(environment, sort_keys=True)}
