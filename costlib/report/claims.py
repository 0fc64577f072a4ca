"""Claims about memory and quality, judged by the rules of `verdicts`; those about money are in `claim_costs`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from costlib.errors import InputError
from costlib.figure import Figure
from costlib.models.architectures import architecture
from costlib.models.memory import predict
from costlib.models.precision import PRECISIONS
from costlib.quality.depth import growth
from costlib.report.page import figure_of
from costlib.report.verdicts import Claim, Part, above, bound, compared, within_noise

_Z = 1.959964
_GB = 10**9
LEAST_RIGHT = 0.5
"""Share of right answers below which a model has too little to lose on a task for a loss to say anything."""
LONG_CONTEXT = 4096
"""Tokens of context from which a context is called long; a shorter window shows a hint and decides nothing."""
_CODE = {".py", ".js", ".ts", ".java", ".c", ".h", ".cc", ".cpp", ".rs", ".go", ".rb", ".sh", ".sql", ".scala", ".kt"}

Row = Mapping[str, Any]


def memory_claim(shape: str = "llama-3.1-70b") -> Claim:
    """Whether the weights of a 70B model at 4 bits fit into what the headline says."""
    model = architecture(shape)
    line = bound(35.5 * _GB, "bytes", "the claim's 35 GB, as a number that rounds to it")

    def part(what: str, size: int) -> Part:
        figure = Figure(size, "bytes", "derived", f"costlib memory {shape}", reason="arithmetic of the shape, exact")
        return compared(what, figure, line, least=False)

    nf4, double = predict(model, "nf4"), predict(model, "nf4-double")
    context = f"{nf4.context:,} tokens of context"
    return Claim(
        "memory", "70B in 35 GB at 4 bits", "A 70B model fits in 35 GB at 4 bits",
        "Each count of bytes is at most what rounds to the claim's.",
        [
            part("every parameter at exactly 4 bits", nf4.uniform_bytes),
            part("nf4 with double quantization: scales, and 16-bit embeddings and head", double.weight_bytes),
            part("nf4: the same with larger scales", nf4.weight_bytes),
            part(f"nf4 with double quantization, and {context}", double.total_bytes),
        ],
        f"costlib memory {shape} --precision nf4,nf4-double",
    )  # fmt: skip


def fidelity(rows: Sequence[Row]) -> list[Row]:
    """Rows of table `quality` that compare a quantized variant with its own 16-bit self, most tokens of each text."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        own = row["status"] == "ok" and row["baseline_model"] in (None, row["model"])
        if own and _bits(row["precision"]) <= 8.5 and _bits(row["baseline"]) >= 16:
            key = (row["model"], row["precision"], row["baseline"], row["text"], row["window"])
            if key not in best or row["tokens"] >= best[key]["tokens"]:
                best[key] = row
    return list(best.values())


def _bits(precision: str) -> float:
    return PRECISIONS[precision].linear_bits


def _text(row: Row) -> str:
    """The text as a reader may see it: never the folder it lies in."""
    return PurePath(row["text"]).name


def is_code(row: Row) -> bool:
    """Whether a text is source code: by its name, or by most of the files of a folder."""
    names = row.get("text_files") or [row["text"]]
    return sum(PurePath(name).suffix in _CODE for name in names) * 2 > len(names)


def _weights(rows: Sequence[Row]) -> str:
    """What a reader must know about the weights behind some rows."""
    notes = dict.fromkeys(f"{row['model']}: {row['weights_note']}." for row in rows if row["weights_note"])
    return " ".join(notes)


def noise_claim(bits: int, quality: Sequence[Row], scores: Sequence[Row]) -> Claim:
    """Whether a small model at 8 or 4 bits loses no more than noise, on texts and on tasks."""
    wanted = range(7, 10) if bits == 8 else range(4, 6)

    def fits(row: Row) -> bool:
        return row["precision"] in PRECISIONS and int(_bits(row["precision"])) in wanted

    parts = []
    for row in fidelity(quality):
        if fits(row):
            what = f"{row['model']} {row['precision']}: perplexity on {_text(row)} over {row['baseline']}'s, "
            what += f"windows of {row['window']:,} tokens"
            ratio = figure_of(
                row, "ppl_ratio", "ratio", kind="measured", source=f"run {row['run_id']}", reason="unknown"
            )
            parts.append(within_noise(what, ratio, 1.0, "ratio"))
    for row in scores:
        if fits(row) and row["difference"] is not None:
            what = f"{row['model']} {row['precision']}: score lost on {row['task']}, {row['n']} items"
            base = row["score"] - row["difference"]
            parts.append(_able(within_noise(what, lost(row), 0.0, "points"), base))
    return Claim(
        f"noise_{bits}", f"{bits}-bit losses within noise",
        f"The loss of a small model at {bits} bits is within noise",
        "The interval of the loss against the 16-bit baseline, paired by token or item, reaches down to no loss and "
        "not above the bound; it fails where the whole interval is a loss, however small.",
        parts,
        f"costlib quality MODEL --precision bf16,{'int8' if bits == 8 else 'nf4'} --tokens 16384 --task FILE.jsonl",
        _weights([row for row in (*fidelity(quality), *scores) if fits(row)]),
    )  # fmt: skip


def _able(part: Part, right: float) -> Part:
    """The part, undecided where what it is compared with answers too little rightly to lose anything."""
    if right >= LEAST_RIGHT:
        return part
    why = "fewer than half of the answers it is compared with are right: there is too little to lose"
    return replace(part, ok=None, why=why, counts=False)


def lost(row: Row) -> Figure:
    """Score lost against the baseline, paired by item; positive where something is lost."""
    low, high = row["difference_low"], row["difference_high"]
    known = low is not None and high is not None
    source = f"answers of {row['date']}, {row['task']}"
    if not known:
        return Figure(-row["difference"], "points", "measured", source, reason=row["reason"] or "no interval")
    return Figure(-row["difference"], "points", "measured", source, -high, -low)


def code_claim(quality: Sequence[Row]) -> Claim:
    """Whether code loses more than prose at the same precision."""
    rows = fidelity(quality)
    parts = []
    for code, prose in _pairs(rows):
        ratios = [math.log(row["ppl_ratio"]) for row in (code, prose)]
        errors = [
            (math.log(row["ppl_ratio_high"]) - math.log(row["ppl_ratio_low"])) / (2 * _Z) for row in (code, prose)
        ]
        apart, error = ratios[0] - ratios[1], math.hypot(*errors)
        figure = Figure(
            math.exp(apart), "ratio", "derived", f"runs {code['run_id']} and {prose['run_id']}",
            math.exp(apart - _Z * error), math.exp(apart + _Z * error),
        )  # fmt: skip
        what = f"{code['model']} {code['precision']}: loss on {_text(code)} over that on {_text(prose)}"
        parts.append(above(what, figure, bound(1, "ratio")))
    return Claim(
        "code", "Code loses more than prose", "Code is more sensitive to quantization than prose",
        "Perplexity over the baseline's grows more on code than on prose; the two texts are independent samples.",
        parts,
        "costlib quality MODEL --precision bf16,int8,nf4 --tokens 16384 --text FILE.py",
        _weights(rows), "enough tokens to tell the two losses apart, and the same command on prose",
    )  # fmt: skip


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Code and prose of the same model, precision, baseline and window; with intervals, and as many tokens as both."""
    for code in rows:
        for prose in rows:
            same = all(code[name] == prose[name] for name in ("model", "precision", "baseline", "window", "rule"))
            known = all(row[f"ppl_ratio{end}"] is not None for row in (code, prose) for end in ("", "_low", "_high"))
            if same and known and is_code(code) and not is_code(prose):
                yield code, prose


def context_claim(quality: Sequence[Row]) -> Claim:
    """Whether tokens with much context lose more than tokens with little; short windows are shown for want of long."""
    parts, hints = [], []
    bases = {
        (row["model"], row["text"], row["window"], row["tokens"]): row
        for row in quality
        if row["status"] == "ok" and row["precision"] == row["baseline"]
    }
    for row in fidelity(quality):
        base = bases.get((row["model"], row["text"], row["window"], row["tokens"]))
        if base is None:
            continue
        try:
            found = growth(row, base)
        except InputError:
            continue  # not the same tokens (another version of the text), or none kept
        if found is None:
            continue
        source = f"runs {row['run_id']} and {base['run_id']}"
        figure = Figure(found.value, "nats/token", "derived", source, found.low, found.high)
        what = f"{row['model']} {row['precision']} on {_text(row)}: loss after {found.first:,} to "
        what += f"{found.last:,} tokens of context over that after fewer"
        part = above(what, figure, bound(0, "nats/token"))
        if row["window"] < LONG_CONTEXT:
            hints.append(replace(part, ok=None, why=f"a window of {row['window']:,} tokens is not long", counts=False))
        else:
            parts.append(part)
    return Claim(
        "context", "Long context loses more", "Long context is more sensitive to quantization",
        f"Tokens in the deeper half of a window of at least {LONG_CONTEXT:,} tokens lose more negative log-likelihood "
        "than those in the first half.",
        parts or hints,
        f"costlib quality MODEL --precision bf16,int8,nf4 --window {LONG_CONTEXT} --tokens {2 * LONG_CONTEXT}",
        _weights(fidelity(quality)),
    )  # fmt: skip


def edge_claims(scores: Sequence[Row]) -> tuple[Claim, Claim]:
    """Whether small models, and quantized ones, fail on the items named NAME_hard, the edge cases of a task NAME."""
    index = {(row["model"], row["precision"], row["engine"], row["task"]): row for row in scores}
    small, quantized = [], []
    for (model, precision, engine, task), hard in index.items():
        easy = index.get((model, precision, engine, str(task).removesuffix("_hard")))
        if not str(task).endswith("_hard") or easy is None or precision not in PRECISIONS:
            continue
        named = f"{model} {precision} on {task}, {hard['n']} items"
        if _bits(precision) >= 16:
            what = f"{named}: share of right answers lost against {easy['task']}"
            small.append(_able(above(what, _drop(easy, hard), bound(0, "points")), easy["success"]))
        elif hard["difference"] is not None:
            base = hard["score"] - hard["difference"]
            part = above(f"{named}: score lost against {hard['baseline']}", lost(hard), bound(0, "points"))
            quantized.append(_able(part, base))
    takes = "costlib quality demo:minilm --precision bf16,nf4 --task data/tasks/ticket_routing.jsonl --task "
    takes += "data/tasks/ticket_routing_hard.jsonl"
    needs = "a model that answers most of the ordinary items rightly, and enough items"
    rule = "The share of right answers on the edge cases of a task is lower, with its whole interval, than "
    return (
        Claim("edge-small", "Small models fail on edge cases", "Small models fail on edge cases",
              f"{rule}on its ordinary items; only models at 16 bits count.", small, takes, _weights(scores), needs),
        Claim("edge-quantized", "Quantized models fail on edge cases", "Quantized models fail on edge cases",
              f"{rule}that of the same model at 16 bits, paired by item.", quantized, takes, _weights(scores), needs),
    )  # fmt: skip


def _drop(easy: Row, hard: Row) -> Figure:
    """Right answers on ordinary items less those on edge cases, with Newcombe's interval of two independent shares."""
    source = f"answers of {hard['date']}, {easy['task']} and {hard['task']}"
    apart = easy["success"] - hard["success"]
    spans = [row[f"success_{end}"] for row in (easy, hard) for end in ("low", "high")]
    if any(end is None for end in spans):
        return Figure(apart, "points", "derived", source, reason="too few items for an interval")
    (low, high), (hard_low, hard_high) = spans[:2], spans[2:]
    below = math.hypot(easy["success"] - low, hard_high - hard["success"])
    over = math.hypot(high - easy["success"], hard["success"] - hard_low)
    return Figure(apart, "points", "derived", source, apart - below, apart + over)
