"""Two ways of generating the same text, measured in turn in every process, until the ratio is sure.

Both ways run on the same inputs, and every process takes other inputs, so that a process is one independent observation
of the ratio: of this machine and of this kind of input. At least two processes run; the first that fails is the last.

Both ways must answer alike. A pass over many tokens adds up the same products in another order than a pass over one, so
logits differ by rounding. Where the two best tokens are closer than that, greedy decoding may choose either, and
everything after it differs. At bf16, which keeps 8 bits, this is common; at fp32 it is rare.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from costlib.errors import invalid_input
from costlib.isolate import Outcome, step
from costlib.measure.campaign import Campaign, Case, Row, material
from costlib.measure.estimate import MAXIMUM_PROCESSES, MINIMUM_PROCESSES, sureness, undisturbed
from costlib.measure.worker import Session
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import parse
from costlib.progress import Progress

_LEAST_S = 30.0
"""Seconds that a process may work in any case: it does a fixed amount, and an interval needs two of them."""
_NEAR_STEPS = 4
"""Two logits are a near tie within this many steps of the format: each is rounded, after many rounded layers."""
Sample = dict[str, Any]
"""What one input gave in a process; its `flag` says why it was disturbed, or is empty."""


@dataclass(kw_only=True)
class Turns(Campaign[Case]):
    """A child is asked `asked` and its number; it returns `samples`, and for how many processes there are inputs."""

    asked: Row

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shared["material_sha256"] = material(self.asked, self.models)

    def key(self, case: Case) -> Row:
        """All that is asked, as a hash."""
        return {"material_sha256": self.shared["material_sha256"]}

    def arguments(self, case: Case) -> Row:
        """Every process has its number, and other inputs."""
        return self.asked | {"process": len(self.processes[case])}

    def child(self, case: Case, arguments: Row, budget_s: float, show: Progress) -> Outcome:
        """A process has time for its fixed amount of work."""
        return super().child(case, arguments, max(budget_s, _LEAST_S), show)

    def ratios(self, case: Case, processes: list[list[Sample]]) -> list[list[float]]:
        """Series of numbers, one of each process, that have to agree."""
        raise NotImplementedError

    def summarise(self, case: Case, values: list[Row], row: Row) -> list[Row]:
        """The rows of a case; `values` are what processes returned, `row` the columns known without them."""
        raise NotImplementedError

    def complete(self, samples: Sequence[Sample]) -> bool:
        """Whether what is left of a process, when disturbed samples are out, can be judged."""
        return bool(samples)

    def series(self, case: Case) -> list[list[list[float]]]:
        """The ratios of undisturbed samples."""
        kept, _ = judged(self._values(case), self.complete)
        return [[[number] for number in numbers] for numbers in self.ratios(case, kept)]

    def lacks(self, case: Case) -> bool:
        """Whether there is no interval yet."""
        return len(self.processes[case]) < MINIMUM_PROCESSES

    def ended(self, case: Case) -> bool:
        """Whether there is no time or input for another process; a stored row is of all of them."""
        if self.rows[case]:
            return True
        values = self._values(case)
        return super().ended(case) or (bool(values) and len(values) >= min(one["most_processes"] for one in values))

    def stored_of(self, case: Case) -> list[Row]:
        """What all processes say, when the last of them has ended."""
        if not self.settled(case):
            return []
        values, processes = self._values(case), self.processes[case]
        row = (values or processes)[-1] | {"started_at": processes[0]["started_at"], "reason": processes[-1]["reason"]}
        if not values:
            row["verdict_reason"] = row["reason"]
        elif row["reason"] is not None:
            row["reason"] = f"1 of {len(processes)} processes failed: {row['reason']}"
        return self.summarise(case, values, row)

    def _values(self, case: Case) -> list[Row]:
        return [process for process in self.processes[case] if process["status"] == "ok"]


def judged(
    values: Sequence[Row], complete: Callable[[Sequence[Sample]], bool] = bool
) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Samples in the estimate, by process, and the columns that say how many, how sure and what was left out."""
    every = [[(sample, sample["flag"]) for sample in value["samples"]] for value in values]
    clean, note = undisturbed(every, complete)
    kept = [samples for samples in clean if samples]
    return kept, sureness(len(kept), [note], [flag for samples in every for _, flag in samples])


def largest(values: Sequence[Row], *names: str) -> dict[str, int | None]:
    """The largest count of a process by name; None where none knows it."""
    known = {name: [value[name] for value in values if value[name] is not None] for name in names}
    return {name: max(counts, default=None) for name, counts in known.items()}


def verdict(differences: Sequence[Row | None], than: str, precision: str, what: str, sure: bool) -> Row:
    """The columns of a verdict: invalid where answers differ, "use" where the gain is `sure`; `what` is its reason."""
    found = [each for each in differences if each is not None]
    if not found:
        return {"verdict": "use" if sure else "do not use", "verdict_reason": what}
    worst = next((each for each in found if not each["near_tie"]), found[0])
    text = f"{len(found)} of {len(differences)} answers {than} are not those of plain greedy decoding, "
    if "gap" not in worst:
        text += f"one of them ends at new token {worst['at']}"
    else:
        text += f"one at new token {worst['at']}, where the two choices are {worst['gap']:.2g} apart in logit and "
        text += f"{precision} tells {worst['step']:.2g} apart: "
        text += "a near tie, which rounding decides" if worst["near_tie"] else "more than rounding explains"
        text += "; fp32 compares more exactly" if worst["near_tie"] and precision != "fp32" else ""
    return {"status": "invalid", "reason": text, "verdict_reason": f"invalid: {text}"}


def check_model(field: str, name: str, precision: str, device: str) -> None:
    """Raise `InputError` for a model that does not generate text, or a precision or device that is not there."""
    if is_encoder(parse(name)):
        raise invalid_input(field, name, "a model that generates text")
    check_device(known_precision(precision), device)


# What a child does.


def prompts_of(
    tokenizer: Any, text: str | None, vocabulary: int, length: int, count: int, process: int
) -> tuple[list[list[int]], int]:
    """`count` prompts of `length` tokens for one process, and how many processes the text has prompts for.

    The text is cut into windows that do not overlap, shuffled once and dealt out process by process. A prompt begins
    with the beginning-of-text token where the tokenizer puts one there; without a text it is random. Raises
    `InputError` for a text too short for two processes.
    """
    if text is None:
        drawn = random.Random(f"{length} {process}")
        return [drawn.choices(range(vocabulary), k=length) for _ in range(count)], MAXIMUM_PROCESSES
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    first = tokenizer("a", verbose=False)["input_ids"][:1]
    begin = first if first and first[0] == tokenizer.bos_token_id else []
    size = length - len(begin)
    starts = list(range(0, len(ids) - size + 1, size)) if size > 0 else []
    most = len(starts) // count
    if most < MINIMUM_PROCESSES:
        needed = MINIMUM_PROCESSES * count
        allowed = f"a text of at least {needed} times the prompt, {needed * length:,} tokens (it has {len(ids):,})"
        raise invalid_input("text", f"{len(text):,} characters", allowed)
    random.Random(0).shuffle(starts)
    mine = starts[process * count : (process + 1) * count]
    return [[*begin, *ids[start : start + size]] for start in mine], min(most, MAXIMUM_PROCESSES)


def sample(session: Session, prompts: Sequence[list[int]], once: Callable[[int, list[int]], Sample]) -> list[Sample]:
    """What `once` gives for each prompt by its number, with the flag of the device."""
    session.device.reset_peaks()
    disturbance, samples = session.device.disturbance(), []
    for number, prompt in enumerate(prompts):
        step(f"prompt {number + 1} of {len(prompts)}")
        samples.append(once(number, prompt) | {"flag": disturbance.reason()})
    return samples


def difference(model: Any, prompt: Sequence[int], plain: Sequence[int], other: Sequence[int]) -> dict[str, Any] | None:
    """None where two answers are equal, else `at` (new token, from 1) and what the model thinks of both tokens there.

    `gap` is the distance of the two logits when the model reads everything before once more, `step` the distance of
    neighbouring numbers of its format at that size, `near_tie` whether rounding decides between the two.
    """
    import torch

    at = next((at for at, (a, b) in enumerate(zip_longest(plain, other)) if a != b), None)
    if at is None:
        return None
    found: dict[str, Any] = {"at": at + 1, "near_tie": False}
    if at < min(len(plain), len(other)):
        with torch.inference_mode():
            read = torch.tensor([[*prompt, *plain[:at]]], device=model.device)
            logits = model(input_ids=read, use_cache=False, logits_to_keep=1).logits[0, -1]
        pair = logits[[plain[at], other[at]]].float().tolist()
        top = max(map(abs, pair))
        size = torch.finfo(logits.dtype).eps * 2.0 ** math.floor(math.log2(top)) if top else 0.0
        gap = abs(pair[0] - pair[1])
        found |= {"gap": gap, "step": size, "near_tie": gap <= _NEAR_STEPS * size}
    return found
