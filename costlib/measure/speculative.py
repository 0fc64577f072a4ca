"""Speculative decoding, measured: does a draft make greedy decoding of a target faster, here, on this text?

Both models are loaded in one child process; plain and assisted generation of the same prompts follow one another in
shuffled order (see `assisted.py`), and processes repeat until the speed-up is sure (see `turns.py`). Every draft must
leave the answers as they are: an answer that is not plain greedy decoding's, token for token, makes the row invalid.
At 16 bit, near ties that rounding decides make that common (see `equality.py`), so fp32 is the default here. The
verdict is "do not use" unless the whole interval of the speed-up lies above 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import bad
from costlib.measure.assisted import PROMPT_LOOKUP
from costlib.measure.campaign import Row, whole_number
from costlib.measure.draft_rows import draft_row, speedups
from costlib.measure.turns import Sample, Turns, check_model
from costlib.models.corpus import Text, read_text
from costlib.models.reference import parse
from costlib.progress import Progress
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
        whole_number("draft_tokens", count)
    for field, number in (("prompt_tokens", prompt_tokens), ("output_tokens", output_tokens)):
        whole_number(field, number, 2)
    whole_number("prompts", prompts)
    references = [name for name, _ in models.values()]
    has_random = any(parse(name).kind == "random" for name in references)
    settings = {"precision": precision, "draft": draft, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    asked = settings | {
        "target": model,
        "draft_precision": draft_precision or precision,
        "text": None if has_random else read.content,
        "prompts": prompts,
        "device": device,
    }
    shared = settings | {
        "model": model,
        "draft_precision": models["draft"][1] if "draft" in models else None,
        "text": None if has_random else read.name,
    }
    probe = Drafts(
        models=references, device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, asked=asked, shared=shared, random_weights=has_random,
    )  # fmt: skip
    missing = tuple(count for count in counts if not probe.look_up((count,)))
    if missing:
        probe.time_budget_s *= len(missing)
        probe.run([missing])
    found = {row["draft_tokens"]: row for rows in probe.rows.values() for row in rows}
    return probe.answer(SPECULATIONS.of([found[count] for count in counts]))


@dataclass(kw_only=True)
class Drafts(Turns[tuple[int, ...]]):
    """Numbers of proposals a check, all of them in every process."""

    name, table, in_child = "speculate", SPECULATIONS, "costlib.measure.assisted:assist_once"
    random_weights: bool

    def label(self, case: tuple[int, ...]) -> str:
        """The draft and how many proposals it makes."""
        return f"{self.asked['draft']}, {', '.join(map(str, case))} proposals"

    def key(self, case: tuple[int, ...]) -> Row:
        """All that is asked, and the proposals."""
        return super().key(case) | {"draft_tokens": case[0]}

    def arguments(self, case: tuple[int, ...]) -> Row:
        """All numbers of proposals together."""
        return super().arguments(case) | {"lengths": list(case)}

    def ratios(self, case: tuple[int, ...], processes: list[list[Sample]]) -> list[list[float]]:
        """The speed-up at each number of proposals."""
        return [speedups(processes, count) for count in case]

    def summarise(self, case: tuple[int, ...], values: list[Row], row: Row) -> list[Row]:
        """One row for each number of proposals."""
        rows = []
        for count in case:
            one = row | {"draft_tokens": count, "run_id": new_id()}
            if values:
                one |= draft_row(values, count, self.asked["precision"], self.random_weights)
                one["reason"] = one["reason"] or row["reason"]
            rows.append(one)
        return rows


def speculations(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each target, draft, draft length, lengths, device and text of a store.

    Args:
        store: A store or its folder [default: the default store].
    """
    kept = store if isinstance(store, Store) else Store(store or None)
    key = ["model", "precision", "draft", "draft_precision", "draft_tokens", "prompt_tokens", "output_tokens"]
    frame = kept.read(SPECULATIONS).frame
    return frame.drop_duplicates([*key, "device", "text"], keep="last", ignore_index=True)


def best(rows: pd.DataFrame) -> Row:
    """What the number of proposals that is surest to be faster shows; the first where none is."""
    ranked = rows.assign(use=rows["verdict"] == "use", sure=rows["speedup_low"].fillna(0))
    found = ranked.sort_values(["use", "sure"], ascending=False, kind="stable").iloc[0].to_dict()
    return {name: found[name] for name in ("draft_tokens", "acceptance", "speedup", "verdict", "verdict_reason")}
