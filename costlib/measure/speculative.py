"""Speculative decoding, measured: does a draft make greedy decoding of a target faster, here, on this text?

Both models are loaded in one child process; plain and assisted generation of the same prompts follow one another in
shuffled order (see `assisted.py`), and processes repeat until the speed-up is sure (see `repeat.py`). Every draft must
leave the answers as they are: an answer that is not plain greedy decoding's, token for token, makes the row invalid.
At 16 bit, near ties that rounding decides make that common (see `equality.py`), so fp32 is the default here. The
verdict is "do not use" unless the whole interval of the speed-up lies above 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device, describe, device_name
from costlib.errors import bad
from costlib.measure.assisted import PROMPT_LOOKUP
from costlib.measure.draft_rows import draft_row, speedups
from costlib.measure.repeat import finished, repeat
from costlib.measure.technique import (
    check_count,
    check_model,
    check_seconds,
    ending,
    ensure_weights,
    material,
    stored,
)
from costlib.models.corpus import Text, read_text
from costlib.models.reference import parse
from costlib.progress import Progress, silent
from costlib.store import Store, new_id
from costlib.tables import SPECULATIONS

if TYPE_CHECKING:
    import pandas as pd


def speculate(
    model: str,
    draft: str = PROMPT_LOOKUP,
    precision: str = "fp32",
    *,
    text: str | Path | Text | None = None,
    draft_precision: str | None = None,
    draft_tokens: int | Iterable[int] = (2, 4, 8),
    prompt_tokens: int = 128,
    output_tokens: int = 64,
    prompts: int = 3,
    device: str | None = None,
    store: Store | str | None = None,
    fresh: bool = False,
    time_budget_s: float = 120.0,
    timeout_s: float = 1800.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure speculative decoding: acceptance, speed-up predicted and measured, and whether to use it.

    One row of table `speculations` for each number of proposals in `draft_tokens`, against plain greedy decoding.

    `draft` is a model reference with the target's tokenizer, or `prompt-lookup`; `draft_precision` is the target's
    where None. Prompts are cut from `text`, `prompts` of them in each process. `time_budget_s` bounds the processes
    together, for each number of proposals. Random weights on either side give times and bytes, and no acceptance. What
    is in the store for the same settings, text and environment is not measured again unless `fresh`. Raises
    `InputError` for bad input; failures of a model become rows with a status and a reason.

    Args:
        model: The target: demo:, hub:, path:, gguf: or random: model.
        draft: A model with the target's tokenizer, or prompt-lookup [default: prompt-lookup].
        precision: fp32, bf16, int8, ...; at 16 bit near ties change answers.
        text: File or folder of prose that prompts are cut from [default: pydoc_data.topics].
        draft_precision: Of the draft [default: the target's].
        draft_tokens: Comma-separated: proposals of a check, at most [default: 2,4,8].
        prompt_tokens: Tokens of a prompt.
        output_tokens: New tokens, forced.
        prompts: Prompts of each process.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        store: Folder of measurements [default: data/store].
        fresh: Measure again what is in the store.
        time_budget_s: Seconds of all processes, for each draft length.
        timeout_s: Seconds after which one process is stopped.
        progress: Is told each step.
    """
    read = read_text(text)
    counts = list(dict.fromkeys([draft_tokens] if isinstance(draft_tokens, int) else draft_tokens))
    device = device or default_device()
    precision = resolve(precision, model, device).name
    draft_precision = draft_precision and resolve(draft_precision, draft, device).name
    models = {"model": (model, precision)}
    if draft != PROMPT_LOOKUP:
        models["draft"] = (draft, draft_precision or precision)
    elif draft_precision is not None:
        raise bad("draft_precision", draft_precision, f"none: {PROMPT_LOOKUP} has no weights")
    for field, (name, held) in models.items():
        check_model(field, name, held, device)
    if not counts:
        raise bad("draft_tokens", counts, "at least one number")
    for count in counts:
        check_count("draft_tokens", count, 1)
    for field, number in (("prompt_tokens", prompt_tokens), ("output_tokens", output_tokens)):
        check_count(field, number, 2)
    check_count("prompts", prompts, 1)
    check_seconds(time_budget_s=time_budget_s, timeout_s=timeout_s)
    references = [name for name, _ in models.values()]
    has_random = any(parse(name).kind == "random" for name in references)
    tell = progress or silent
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    given = {
        "target": model,
        "precision": precision,
        "draft": draft,
        "draft_precision": draft_precision or precision,
        "text": None if has_random else read.content,
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "prompts": prompts,
        "device": device,
    }
    shared = {
        "model": model,
        "precision": precision,
        "draft": draft,
        "draft_precision": models["draft"][1] if "draft" in models else None,
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "device": device_name(device),
        "text": None if has_random else read.name,
        "kind": "measured",
        "material_sha256": material(given, references),
    }
    found = stored(kept.read(SPECULATIONS).frame, str(shared["material_sha256"]), describe(device)[1])
    ids = {} if fresh else dict(zip(found["draft_tokens"], found["run_id"], strict=True))
    missing = [count for count in counts if count not in ids]
    if missing:
        import pandas as pd

        ensure_weights(references, tell)
        for row in _measured(given, missing, has_random, time_budget_s, timeout_s, tell):
            kept.write(SPECULATIONS, pd.DataFrame([shared | row]), row["run_id"])
            ids[row["draft_tokens"]] = row["run_id"]
    frame = kept.read(SPECULATIONS).frame.set_index("run_id", drop=False)
    return frame.loc[[ids[count] for count in counts]].reset_index(drop=True)


def speculations(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each target, draft, draft length, lengths, device and text of a store.

    Args:
        store: A store or its folder [default: the default store].
    """
    kept = store if isinstance(store, Store) else Store(store or None)
    key = ["model", "precision", "draft", "draft_precision", "draft_tokens", "prompt_tokens", "output_tokens"]
    frame = kept.read(SPECULATIONS).frame
    return frame.drop_duplicates([*key, "device", "text"], keep="last", ignore_index=True)


def _measured(
    given: dict[str, Any], counts: list[int], has_random: bool, budget_s: float, timeout_s: float, tell: Progress
) -> list[dict[str, Any]]:
    """One row for each number of proposals, from processes that measured all of them."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    outcomes = repeat(
        "costlib.measure.assisted:assist_once",
        given | {"lengths": counts},
        lambda processes: [speedups(processes, count) for count in counts],
        budget_s=budget_s * len(counts),
        timeout_s=timeout_s,
        stage="speculate",
        tell=tell,
    )
    values, rows = finished(outcomes), []
    for count in counts:
        row = ending(outcomes, given["device"]) | {"draft_tokens": count, "run_id": new_id(), "started_at": started}
        if values:
            found = draft_row(values, count, given["precision"], has_random)
            row |= found | {"reason": found["reason"] or row["reason"]}
        rows.append(row)
    return rows
