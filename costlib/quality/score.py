"""Scores one model at one precision on a text; runs in a child process, the only place of this room that needs torch.

What is scored, and from which context, is a rule of `costlib.quality.windows`.

The baseline runs first and a variant is compared with it token by token over the whole vocabulary. Keeping vocabulary *
tokens numbers would mean 4.3 GB in float32 for 4,096 tokens of a 262,144-word vocabulary. So the baseline leaves its
final hidden states and output layer (a few hundred MB, nearly all of it the layer), from which the same logits are made
again, a slice at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlib.environment import describe
from costlib.errors import invalid_input
from costlib.isolate import Invalid, Unsupported, step
from costlib.measure.worker import LOADED
from costlib.quality.windows import Rule, refuse_other_tokenizer, sequence_of, token_hash

_POSITIONS = 128
"""Positions whose logits are made together: large enough for a fast matrix product, 134 MB of a 262,144 vocabulary."""
_ROWS = 16
"""Positions normalized together: few enough to stay in a processor's cache."""
_CHECKED_TOKENS = 8
NOT_FINITE = "the model gives likelihoods that are not finite numbers"
_COMPARED_ROWS = 8192
_CHECK_TOLERANCE = 0.02


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
        raise invalid_input("window", window, f"at most {longest:,} tokens, the longest context of {model}")
    step(LOADED)
    with torch.inference_mode():
        head = checked_head(loaded.model, sequence[:_CHECKED_TOKENS], device)
        other = (
            None if baseline is None else (baseline["hidden"].to(device), handed_head(baseline["head"], head, device))
        )
        answer = _walk(loaded.model, head, other, sequence, asked, device)
        hidden = answer.pop("hidden")
        if hand_over:
            left = {"sequence": sequence, "size": size, "hidden": hidden.cpu()}
            torch.save(left | {"head": vars(Head.of(loaded.model).to("cpu"))}, handed)
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


@dataclass(frozen=True)
class Head:
    """A model's last step, final hidden states to logits: linear, then a scale, then a soft cap (Gemma 2, Cohere)."""

    weight: Any
    bias: Any
    scale: float
    softcap: float | None

    @classmethod
    def of(cls, model: Any) -> Head:
        """The head of a loaded model; raises `Unsupported` when its output layer is not a dense linear one."""
        import torch

        layer = model.get_output_embeddings()
        if type(layer) is not torch.nn.Linear:
            raise Unsupported(f"the output layer is {type(layer).__name__}, not a dense linear layer")
        config = model.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        bias = None if layer.bias is None else layer.bias.detach()
        return cls(layer.weight.detach(), bias, float(scale), getattr(config, "final_logit_softcapping", None))

    def to(self, device: str, dtype: Any = None) -> Head:
        """The same head elsewhere, or in another type."""
        bias = None if self.bias is None else self.bias.to(device, dtype)
        return replace(self, weight=self.weight.to(device, dtype), bias=bias)

    def prepared(self) -> Head:
        """The same head, its 16-bit weights widened on a CPU.

        Most CPUs have no 16-bit matrix product. A product in float32 that `logits` rounds to 16 bit is what the
        library emulates for them, and is 3 times faster.
        """
        import torch

        return (
            self.to("cpu", torch.float32)
            if self.weight.device.type == "cpu" and self.weight.element_size() < 3
            else self
        )

    def project(self, hidden: Any, out: Any = None) -> Any:
        """Hidden states (positions, width) times the weights, into `out` (at least as many positions) if given."""
        import torch

        into = None if out is None else out[: len(hidden)]
        return torch.mm(hidden.to(self.weight.dtype), self.weight.t(), out=into)

    def logits(self, projected: Any, dtype: Any) -> Any:
        """Logits (positions, vocabulary) of what `project` gave, in `dtype`, the model's own."""
        import torch

        logits = (projected if self.bias is None else projected + self.bias).to(dtype)
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def compare_logits(variant: Any, baseline: Any) -> tuple[Any, Any]:
    """KL(baseline || variant) in nats over the full vocabulary, and whether both rank the same token first.

    Takes log-probabilities (positions, vocabulary) in float32; identical ones give exactly 0 and True. Rounding can
    push the KL of nearly identical ones below 0 by about 1e-7, which is cut off.
    """
    import torch

    divergence = torch.linalg.vecdot(baseline.exp(), baseline - variant).clamp_min(0)
    return divergence, baseline.max(-1).indices == variant.max(-1).indices


def hidden_of(model: Any, ids: Sequence[int], device: str) -> Any:
    """Final hidden states (positions, width) of one sequence."""
    import torch

    batch = torch.tensor([list(ids)], device=device)
    return model.base_model(input_ids=batch, use_cache=False).last_hidden_state[0]


def checked_head(model: Any, ids: Sequence[int], device: str) -> Head:
    """The head, prepared, once it has been seen to give the model's own logits on a few tokens."""
    import torch

    head = Head.of(model).prepared()
    expected = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0].float()
    if not torch.isfinite(expected).all():
        raise Invalid(NOT_FINITE)
    hidden = hidden_of(model, ids, device)
    difference = (head.logits(head.project(hidden), hidden.dtype).float() - expected).abs().max()
    if not difference <= _CHECK_TOLERANCE * expected.abs().max():
        raise Unsupported("this model does more to its final hidden states than a linear layer, a scale and a soft cap")
    return head


def handed_head(handed: Mapping[str, Any], own: Head, device: str) -> Head:
    """The baseline's head; its weights are not held twice when the variant's are the same, as they usually are."""
    import torch

    other = Head(**handed).to(device)
    words, others = len(own.weight), len(other.weight)
    if words != others:
        raise Invalid(f"its output layer has {words:,} words, not the baseline's {others:,}")
    pairs = zip(own.weight.split(_COMPARED_ROWS), other.weight.split(_COMPARED_ROWS), strict=True)
    if other.weight.shape == own.weight.shape and all(torch.equal(one, two.to(one.dtype)) for one, two in pairs):
        return replace(other, weight=own.weight, bias=None if other.bias is None else other.bias.to(own.weight.dtype))
    return other.prepared()
