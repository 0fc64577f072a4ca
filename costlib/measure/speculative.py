"""Speculative decoding, measured: does a draft make greedy decoding of a target faster, here, on this text?

Both models are loaded in one child process; plain and assisted generation of the same prompts follow one another in
shuffled order, and processes repeat until the speed-up is sure (see `turns.py`). Every draft must leave the answers as
they are: an answer that is not plain greedy decoding's, token for token, makes the row invalid. At 16 bit, near ties
that rounding decides make that common, so fp32 is the default here. The verdict is "do not use" unless the whole
interval of the speed-up lies above 1.

With a draft it is transformers' own assisted generation, with a fixed number of proposals and no confidence threshold,
so what is timed is what a user of the library gets, its bookkeeping included. It does not report what became of each
check; two public hooks tell: its streamer gets the tokens of every check, on the host, and a hook of the target is
called before each of its passes. Between them lies the check, and between a check and the next one the draft, whose
last token is on the host, too; so both are timed where they happen, and a GPU waits for nothing it would not wait for.

The arithmetic is that of Leviathan, Kalman and Matias 2023, sections 2 and 3. A draft proposes k tokens; the target
checks them all in one pass, keeps those it would have chosen itself and adds one of its own. `alpha` is the chance that
a proposed token is kept, given that all before it were: kept tokens over kept tokens plus checks that ended in a
rejection. Tokens behind a rejection were never judged, so kept over proposed, which is often quoted instead, is lower
and belongs to one draft length.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import invalid_input
from costlib.isolate import Invalid, step
from costlib.measure import turns
from costlib.measure.campaign import Row, whole_numbers
from costlib.measure.estimate import Estimate, ends, over_processes, rate
from costlib.measure.iteration import WARM_UP_TOKENS, cache_bytes, load_generator
from costlib.measure.turns import Sample, Turns
from costlib.measure.worker import LOADED, Session
from costlib.models.load import load_tokenizer
from costlib.models.reference import parse
from costlib.models.texts import Text, read_text
from costlib.progress import Progress
from costlib.stats.intervals import share_interval, student
from costlib.store import Store, new_id
from costlib.tables import SPECULATIONS

if TYPE_CHECKING:
    import pandas as pd

PROMPT_LOOKUP = "prompt-lookup"
"""A draft without a model: what followed the last tokens where they stood before."""
RANDOM = "random weights: what a draft proposes and what is kept of it mean nothing; times and bytes are real"
_BYTES = ("target_bytes", "draft_bytes", "target_kv_cache_bytes", "draft_kv_cache_bytes", "peak_bytes")


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
    lookup = draft == PROMPT_LOOKUP
    if lookup and draft_precision is not None:
        raise invalid_input("draft_precision", draft_precision, f"none: {PROMPT_LOOKUP} has no weights")
    held = precision if draft_precision is None else resolve(draft_precision, draft, device).name
    turns.check_model("model", model, precision, device)
    if not lookup:
        turns.check_model("draft", draft, held, device)
    if not counts:
        raise invalid_input("draft_tokens", counts, "at least one number")
    for count in counts:
        whole_numbers(draft_tokens=count)
    whole_numbers(2, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
    whole_numbers(prompts=prompts)
    models = [model] if lookup else [model, draft]
    has_random = any(parse(name).kind == "random" for name in models)
    settings = {"precision": precision, "draft": draft, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    asked = settings | {"target": model, "draft_precision": held, "prompts": prompts, "device": device}
    shared = settings | {"model": model, "draft_precision": None if lookup else held}
    probe = Drafts(
        models=models, device=device, store=store, fresh=fresh, time_budget_s=time_budget_s, timeout_s=timeout_s,
        progress=progress, asked=asked | {"text": None if has_random else read.content},
        shared=shared | {"text": None if has_random else read.name}, random_weights=has_random,
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

    name, table, in_child = "speculate", SPECULATIONS, "costlib.measure.speculative:assist_once"
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


def speedups(processes: Sequence[Sequence[Sample]], count: int) -> list[float]:
    """Seconds of plain over assisted generation, prefill included, of each process with `count` proposals."""
    return [
        sum(s["plain"]["total_s"] for s in samples) / sum(s["assisted"][str(count)]["total_s"] for s in samples)
        for samples in processes
    ]


def draft_row(values: Sequence[Row], count: int, precision: str, random_weights: bool) -> Row:
    """Columns of the speculations table from what each process returned, at `count` proposals a check."""
    every = [one for value in values for one in value["samples"]]
    kept, row = turns.judged(values)
    row |= {"status": "ok", "reason": None, "prompts": len(every)} | turns.largest(values, *_BYTES)
    times = [_times(samples, count) for samples in kept]
    names = ("plain", "draft_cost", "check_cost", "token", "decode_speedup")
    known = {name: over_processes([each[name] for each in times if name in each]) for name in names}
    plain, cost, check, token = (known[name] for name in names[:4])
    row |= ends("plain_tokens_per_s", plain and rate(1, plain)) | ends("draft_cost", cost) | ends("check_cost", check)
    if cost is None or check is None:
        row["break_even_reason"] = "the draft proposed too little to be timed"
    else:
        row["break_even_acceptance"] = break_even_acceptance(cost.value, count, check.value)
        if row["break_even_acceptance"] is None:
            spent = f"{count} proposals and their check take {count * cost.value + check.value:.2f} target steps"
            row["break_even_reason"] = f"{spent} and give at most {count + 1} tokens"
    if random_weights:
        return row | {"acceptance_reason": RANDOM, "verdict_reason": RANDOM}
    row |= _kept(every, count, cost) | {"speedups": speedups(kept, count)}
    row |= ends("speedup", over_processes(row["speedups"])) | ends("decode_speedup", known["decode_speedup"])
    row |= ends("assisted_tokens_per_s", token and rate(1, token))
    low = row.get("speedup_low")
    said = "a gain is not shown: the speed-up has no interval"
    if low is not None:
        said = f"the interval of the speed-up begins at {low:.3g}, {'' if low > 1 else 'not '}above 1"
    unlike = [one["assisted"][str(count)]["difference"] for one in every]
    return row | turns.verdict(unlike, "with the draft", precision, said, low is not None and low > 1)


def _times(samples: Sequence[Sample], count: int) -> dict[str, float]:
    """Of one process: seconds of a plain step; behind the first chunk the rest, where there is any.

    That is seconds of a token, the speed-up, and what a proposal (`draft_cost`) and a check take in plain steps.
    """
    assisted = [s["assisted"][str(count)] for s in samples]
    later = [check for each in assisted for check in each["checks"][1:]]
    plain = fmean(s["plain"]["decode_s"] / (len(s["plain"]["tokens"]) - 1) for s in samples)
    found = {"plain": plain}
    proposed, kept = (sum(check[name] for check in later) for name in ("proposed", "kept"))
    if later:
        token = sum(each["decode_s"] for each in assisted) / (kept + len(later))
        check_s = fmean(check["check_s"] for check in later)
        found |= {"token": token, "decode_speedup": plain / token, "check_cost": check_s / plain}
    if proposed:
        found["draft_cost"] = sum(check["draft_s"] for check in later) / proposed / plain
    return found


def _kept(every: Sequence[Sample], count: int, cost: Estimate | None) -> Row:
    """Acceptance and tokens per check, counted over all prompts, and the speed-up that follows from it and c.

    The interval of the predicted speed-up joins the worse ends of acceptance and c, and the better ends.
    """
    assisted = [one["assisted"][str(count)] for one in every]
    accepted = [sum(check["kept"] for check in each["checks"]) for each in assisted]
    rejected = [sum(check["kept"] < check["proposed"] for check in each["checks"]) for each in assisted]
    proposed = [check["proposed"] for each in assisted for check in each["checks"]]
    row: Row = {"accepted": sum(accepted), "rejections": sum(rejected), "proposed": sum(proposed)}
    new = sum(len(each["tokens"]) for each in assisted)
    row |= {"checks": len(proposed), "tokens_per_check": new / len(proposed)}
    found = acceptance(accepted, rejected)
    if found is None:
        return row | {"acceptance_reason": "the draft never proposed a token"}
    row |= ends("acceptance", found)
    row["tokens_per_check_expected"] = fmean(tokens_per_check(found[0], number) for number in proposed)
    if cost is not None:
        pairs = zip(found, (cost.value, cost.high, cost.low), strict=True)
        row |= ends("predicted_speedup", [c and predicted_speedup(alpha, c, proposed) for alpha, c in pairs])
    return row


def acceptance(kept: Sequence[int], rejections: Sequence[int]) -> tuple[float, float, float] | None:
    """Alpha and its 95 % interval, from kept tokens and rejecting checks of each prompt; None if nothing was judged.

    Tokens of one text are not independent, so the interval is that of a ratio over prompts (linearised, Student's t;
    Cochran 1977, section 6.4). Few or equal prompts would make it too narrow, so where Clopper and Pearson's interval
    over single tokens reaches further, that end is taken.
    """
    judged = [k + r for k, r in zip(kept, rejections, strict=True)]
    total = sum(judged)
    if not total:
        return None
    alpha = sum(kept) / total
    low, high = share_interval(sum(kept), total)
    prompts = len(judged)
    if prompts > 1:
        squares = sum((k - alpha * n) ** 2 for k, n in zip(kept, judged, strict=True))
        ends = student(alpha, math.sqrt(prompts / (prompts - 1) * squares) / total, prompts - 1)
        low, high = max(0.0, min(low, ends[0])), min(1.0, max(high, ends[1]))
    return alpha, low, high


def tokens_per_check(alpha: float, drafted: int) -> float:
    """Expected tokens of one check of `drafted` proposals: (1 - alpha^(drafted + 1)) / (1 - alpha), equation 1."""
    return float(drafted + 1) if alpha == 1 else (1 - alpha ** (drafted + 1)) / (1 - alpha)


def predicted_speedup(alpha: float, draft_cost: float, drafted: Sequence[int]) -> float:
    """Speed over plain decoding: tokens per check / (g * c + 1), theorem 3.8, where every check has g proposals.

    `draft_cost` is c, the seconds of a draft step over those of a target step. `drafted` are the proposals of each
    check, which differ where a lookup finds none and before the last token. The formula takes a check for one step.
    """
    expected = sum(tokens_per_check(alpha, count) for count in drafted)
    return expected / (draft_cost * sum(drafted) + len(drafted))


def break_even_acceptance(draft_cost: float, drafted: int, check_cost: float = 1.0) -> float | None:
    """Alpha from which a check gives more tokens than it costs target steps; None: at no alpha.

    The cost of a check is `drafted` draft steps and, where not one target step as the formula has it, `check_cost`.
    """
    from scipy.optimize import brentq

    cost = drafted * draft_cost + check_cost
    if cost >= drafted + 1:
        return None
    return 0.0 if cost <= 1 else float(brentq(lambda alpha: tokens_per_check(alpha, drafted) - cost, 0.0, 1.0))


# The child process.


def assist_once(
    target: str,
    precision: str,
    draft: str,
    draft_precision: str,
    lengths: Sequence[int],
    text: str | None,
    prompt_tokens: int,
    output_tokens: int,
    prompts: int,
    device: str,
    process: int,
) -> Row:
    """Measure `prompts` prompts of a text with each number of proposals in `lengths`; the target of `run_isolated`.

    Plain decoding and each assisted one follow one another in shuffled order on every prompt. A `text` of None takes
    random tokens, for random weights.
    """
    tokenizer = None if text is None else load_tokenizer(target)
    if tokenizer is not None and draft not in (PROMPT_LOOKUP, target):
        mine, theirs = tokenizer.get_vocab(), load_tokenizer(draft).get_vocab()
        if mine != theirs:
            unlike = f"the two differ in {len(set(mine.items()) ^ set(theirs.items())):,} of {len(mine):,} tokens"
            raise invalid_input("draft", draft, f"a model with the tokenizer of {target} ({unlike})")
    session, sizes = Session(device), (prompt_tokens, output_tokens, max(lengths))
    loaded = load_generator(target, precision, device, *sizes)
    width = loaded.model.config.get_text_config().vocab_size
    model, helper, helper_bytes = greedy(loaded.model), None, 0
    if draft != PROMPT_LOOKUP:
        other = load_generator(draft, draft_precision, device, *sizes)
        helper, helper_bytes = greedy(other.model), other.proof.weight_bytes
        if width != (has := other.model.config.get_text_config().vocab_size):
            raise invalid_input("draft", draft, f"a model with the {width:,} tokens of {target} (it has {has:,})")
    found, most = turns.prompts_of(tokenizer, text, width, prompt_tokens, prompts, process)
    step(LOADED)
    alone = None if helper is None else generate(helper, found[0], output_tokens)
    for count in lengths:
        generate(model, found[0], min(output_tokens, WARM_UP_TOKENS), count, helper)

    def once(number: int, prompt: list[int]) -> Sample:
        order = random.Random(f"{process} {number}").sample([0, *lengths], len(lengths) + 1)
        answers = {count: generate(model, prompt, output_tokens, count, helper) for count in order}
        for other in answers.values():
            other["difference"] = turns.difference(model, prompt, answers[0]["tokens"], other["tokens"])
        return {"plain": answers.pop(0), "assisted": {str(count): answers[count] for count in lengths}}

    samples = turns.sample(session, found, once)
    columns = session.columns(loaded)
    return columns | {
        "samples": samples,
        "most_processes": most,
        "target_bytes": columns["weight_bytes"],
        "draft_bytes": helper_bytes,
        "target_kv_cache_bytes": samples[-1]["plain"]["kv_cache_bytes"],
        "draft_kv_cache_bytes": 0 if alone is None else alone["kv_cache_bytes"],
    }


def greedy(model: Any) -> Any:
    """Greedy, to the last token, with a fixed number of proposals whatever the draft is sure of."""
    import transformers

    # No padding token: a draft would not look at tokens of that id, also where the target really wrote one.
    model.generation_config = transformers.GenerationConfig(
        do_sample=False, num_assistant_tokens_schedule="constant", assistant_confidence_threshold=0.0
    )
    return model


def generate(model: Any, prompt: list[int], new: int, count: int = 0, helper: Any = None) -> Row:
    """Exactly `new` greedy tokens after a prompt, timed, by transformers' `generate`, with `count` proposals a check.

    `helper` proposes them, or a lookup without one. Gives `tokens`, seconds to the last one (`total_s`) and behind the
    first chunk (`decode_s`), and `checks`: tokens proposed and kept, and seconds of the draft before it and of itself.
    A chunk is what one check settles; the first one also reads the prompt, and the draft before it does, too.
    """
    import torch
    from transformers.generation.streamers import BaseStreamer

    chunks: list[tuple[float, int]] = []
    passes: list[tuple[float, int]] = []

    class Clock(BaseStreamer):  # type: ignore[misc]  # transformers has no types
        def put(self, value: Any) -> None:
            chunks.append((time.perf_counter(), value.numel()))

        def end(self) -> None:
            pass

    def note(_: Any, positional: Any, named: Any) -> None:
        passes.append((time.perf_counter(), (positional[0] if positional else named["input_ids"]).shape[1]))

    how: Row = {}
    if count and helper is None:
        how = {"prompt_lookup_num_tokens": count}
    elif count:
        helper.generation_config.num_assistant_tokens = count
        how = {"assistant_model": helper}
    ids = torch.tensor([prompt], device=model.device)
    how |= {"attention_mask": torch.ones_like(ids), "max_new_tokens": new, "return_dict_in_generate": True}
    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        started = time.perf_counter()
        out = model.generate(ids, streamer=Clock(), **how)
    finally:
        hook.remove()
    tokens = out.sequences[0, len(prompt) :].tolist()
    del chunks[:1]  # the first one is the prompt
    if len(tokens) != new or sum(size for _, size in chunks) != new or len(chunks) != len(passes):
        got = f"{len(tokens)} tokens in {len(chunks)} chunks and {len(passes)} passes"
        raise Invalid(f"generation gave {got}, not {new} tokens with a chunk for each pass")
    checks, before, left = [], started, new
    for number, ((ended, size), (began, read)) in enumerate(zip(chunks, passes, strict=True)):
        # Proposals beyond the last token that is asked for are no proposals.
        proposed = min(read - (len(prompt) if number == 0 else 1), left - 1)
        checks.append({"proposed": proposed, "kept": size - 1, "draft_s": began - before, "check_s": ended - began})
        before, left = ended, left - size
    times = {"total_s": before - started, "decode_s": before - chunks[0][0]}
    return {"tokens": tokens, "checks": checks, "kv_cache_bytes": cache_bytes(out.past_key_values)} | times
