"""Scores one model at one precision on a text; runs in a child process, the only place of this room that needs torch.

What is scored, and from which context, is a rule of `costlib.quality.windows`.

The baseline runs first and leaves a file from which its logits are made again (`costlib.quality.head`), so that a
variant is compared with it token by token over the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from costlib.environment import describe
from costlib.errors import bad
from costlib.isolate import Invalid, step
from costlib.measure.worker import LOADED
from costlib.quality.head import NOT_FINITE, Head, checked_head, compare_logits, handed_head, hidden_of
from costlib.quality.tokens import refuse_other_tokenizer, sequence_of, token_hash
from costlib.quality.windows import Rule

_POSITIONS = 128
"""Positions whose logits are made together: large enough for a fast matrix product, 134 MB of a 262,144 vocabulary."""
_ROWS = 16
"""Positions normalized together: few enough to stay in a processor's cache."""
_CHECKED_TOKENS = 8


def score(
    model: str,
    precision: str,
    device: str,
    text: str,
    tokens: int,
    rule: str,
    window: int,
    stride: int,
    folder: str,
    hand_over: bool,
    variants: Iterable[str] = (),
) -> dict[str, Any]:
    """Score the first `tokens` tokens of `text` under a window rule; the target of `run_isolated`.

    The baseline runs first and with `hand_over` leaves `baseline.pt` in `folder`; where that file lies, this is a
    variant, which takes its tokens from there and compares itself with it. Per scored token: `nll` (nats), and for a
    variant `kl` (nats) and `top1` (whether both rank the same token first). The baseline refuses `variants`, other
    models to come, whose tokenizer is not its own, before any weights are loaded.
    """
    import torch

    from costlib.models.load import load_model, load_tokenizer

    handed = Path(folder) / "baseline.pt"
    baseline = torch.load(handed, map_location="cpu", mmap=True, weights_only=True) if handed.exists() else None
    asked = Rule.of(rule, window, stride)
    if baseline is None:
        tokenizer = load_tokenizer(model)
        sequence, size = sequence_of(tokenizer, text, tokens, asked)
        for variant in variants:
            refuse_other_tokenizer(variant, load_tokenizer(variant), model, tokenizer, text, sequence)
    else:
        sequence, size = baseline["sequence"], baseline["size"]
    loaded = load_model(model, precision, device)
    longest = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and window > longest:
        raise bad("window", window, f"at most {longest:,} tokens, the longest context of {model}")
    step(LOADED)
    with torch.inference_mode():
        head = checked_head(loaded.model, sequence[:_CHECKED_TOKENS], device)
        other = None if baseline is None else (baseline["hidden"].to(device), handed_head(baseline, head, device))
        answer = _walk(loaded.model, head, other, sequence, asked, device)
        hidden = answer.pop("hidden")
        if hand_over:
            layer = Head.of(loaded.model)
            left = {"sequence": sequence, "size": size, "hidden": hidden.cpu(), "weight": layer.weight.cpu()}
            left |= {"bias": None if layer.bias is None else layer.bias.cpu()}
            torch.save({**left, "scale": layer.scale, "softcap": layer.softcap}, handed)
    environment, fingerprint = describe(device)
    return {
        **answer,
        "utf8_bytes": size,
        "text_sha256": token_hash(sequence[1:]),
        "weights_note": loaded.weights_note,
        "compute_dtype": loaded.proof.compute_dtype,
        "environment": environment,
        "fingerprint": fingerprint,
    }


def _walk(
    model: Any, head: Head, baseline: tuple[Any, Head] | None, sequence: Sequence[int], rule: Rule, device: str
) -> dict[str, Any]:
    """Score what the rule scores of `sequence`, window by window and slice by slice; results are in that order.

    Results and projections live in tensors made once: fresh memory of their size costs a third of the time in page
    faults, and small results allocated between large slices would fragment the heap by gigabytes.
    """
    import torch

    windows = rule.windows(len(sequence) - 1)
    tokens = sum(part.stop - part.start for part in windows)
    wanted = [token for part in windows for token in sequence[part.start + 1 : part.stop + 1]]
    targets = torch.tensor(wanted, device=device)
    nll, kl, top1 = (torch.zeros(tokens, device=device) for _ in range(3))
    heads = [head] if baseline is None else [head, baseline[1]]
    buffers = [each.weight.new_empty((min(_POSITIONS, rule.window), len(each.weight))) for each in heads]
    hidden = None
    stop = 0
    for number, part in enumerate(windows, 1):
        step(f"window {number} of {len(windows)}")
        read = list(sequence[part.read : part.stop])
        read[0] = sequence[0] if rule.bos_first else read[0]
        start, stop = stop, stop + part.stop - part.start
        states = hidden_of(model, read, device)[start - stop :]
        hidden = states.new_empty((tokens, states.shape[1])) if hidden is None else hidden
        hidden[start:stop] = states
        sources = [hidden] if baseline is None else [hidden, baseline[0]]
        for at in range(start, stop, _POSITIONS):
            end = min(stop, at + _POSITIONS)
            slabs = [
                each.project(source[at:end], buffer)
                for each, source, buffer in zip(heads, sources, buffers, strict=True)
            ]
            for row in range(at, end, _ROWS):
                rows = slice(row, min(end, row + _ROWS))
                cut = slice(rows.start - at, rows.stop - at)
                logs = [
                    torch.log_softmax(each.logits(slab[cut], source.dtype).float(), -1)
                    for each, slab, source in zip(heads, slabs, sources, strict=True)
                ]
                nll[rows] = -logs[0].gather(1, targets[rows, None])[:, 0]
                if baseline is not None:
                    kl[rows], top1[rows] = compare_logits(*logs)
    if not (torch.isfinite(nll).all() and torch.isfinite(kl).all()):
        raise Invalid(NOT_FINITE)
    compared = {"kl": kl.double().tolist(), "top1": top1.bool().tolist()} if baseline else {"kl": None, "top1": None}
    return {"nll": nll.double().tolist(), **compared, "hidden": hidden}
