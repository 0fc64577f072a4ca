"""From final hidden states to logits, a slice at a time, of a model and of the baseline it is compared with.

Comparing whole distributions would mean keeping vocabulary * tokens numbers (4.3 GB in float32 for 4,096 tokens of a
262,144-word vocabulary). The baseline hands over its final hidden states and output layer instead (a few hundred MB,
nearly all of it the layer), from which the same logits are made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from costlib.isolate import Invalid, Unsupported

NOT_FINITE = "the model gives likelihoods that are not finite numbers"
_COMPARED_ROWS = 8192
_CHECK_TOLERANCE = 0.02


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

    def prepared(self) -> Head:
        """The same head, its 16-bit weights widened on a CPU.

        Most CPUs have no 16-bit matrix product. A product in float32 that `logits` rounds to 16 bit is what the
        library emulates for them, and is 3 times faster.
        """
        if self.weight.device.type != "cpu" or self.weight.element_size() > 2:
            return self
        return Head(self.weight.float(), None if self.bias is None else self.bias.float(), self.scale, self.softcap)

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

    bias = None if handed["bias"] is None else handed["bias"].to(device)
    other = Head(handed["weight"].to(device), bias, handed["scale"], handed["softcap"])
    words, others = len(own.weight), len(other.weight)
    if words != others:
        raise Invalid(f"its output layer has {words:,} words, not the baseline's {others:,}")
    if other.weight.shape != own.weight.shape:
        return other.prepared()
    pairs = zip(own.weight.split(_COMPARED_ROWS), other.weight.split(_COMPARED_ROWS), strict=True)
    if not all(torch.equal(ours, theirs.to(ours.dtype)) for ours, theirs in pairs):
        return other.prepared()
    return replace(other, weight=own.weight, bias=None if bias is None else bias.to(own.weight.dtype))
