"""Makes students: a static table, a model with fewer layers, or a small head trained on soft labels.

The static student follows Model2Vec (Tulkens and van Dongen 2024): every token of the vocabulary is embedded by the
teacher on its own, the vectors are turned to their principal components, and each is weighted down the more frequent
its token is (smooth inverse frequency, Arora et al. 2017), frequency by Zipf's law from its rank in the vocabulary. It
needs no text. Fewer layers: every n-th layer of the teacher, trained on the teacher's own embeddings (mean squared
error), as Sentence-Transformers' distillation does. Soft labels: Hinton, Vinyals and Dean 2015.

A language student keeps every n-th layer of its teacher, and the embeddings and output layer as they are; only the
layers and the last norm learn, from the teacher's logits, so that a model whose vocabulary is most of its weights
trains in minutes. The loss is per position and over the full vocabulary. The score is next-token accuracy on held-out
windows of the same text, one item per token.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from costlib.errors import invalid_input
from costlib.isolate import Unsupported, step
from costlib.models.encoder import Array, Encoder, static_encoder
from costlib.models.vectors import unit

_SIF = 1e-4
_PASS = 1024
_REPORT = 20
_HIDDEN = 256
_SOFT_BATCH = 256
_HELD_OUT_SHARE = 0.2


def static_student(teacher: Encoder, width: int = 256) -> Encoder:
    """A static model of `width` numbers per token from a teacher's vocabulary; no text is read.

    Raises `Unsupported` for a teacher without a fast tokenizer, or one that is static already.
    """
    from model2vec import StaticModel
    from sklearn.decomposition import PCA

    words = getattr(teacher.tokenizer, "backend_tokenizer", None)
    if teacher.static or words is None:
        raise Unsupported("a static student needs a transformer teacher with a fast tokenizer")
    vocabulary = words.get_vocab_size()
    special = set(teacher.tokenizer.all_special_ids)
    before, after = _wrapping(teacher.tokenizer)
    ids = [[*before, token, *after] for token in range(vocabulary)]
    vectors: list[Array] = []
    for start in range(0, vocabulary, _PASS):
        step(f"token {start:,} of {vocabulary:,}")
        vectors.append(teacher.encode_ids(ids[start : start + _PASS], batch=256))
    table = np.concatenate(vectors)
    width = min(width, *table.shape)
    table = PCA(width, svd_solver="full", random_state=0).fit_transform(table)
    share = 1 / np.arange(2, vocabulary + 2)
    table *= (_SIF / (_SIF + share / share.sum()))[:, None]
    table[sorted(special)] = 0
    plain = copy.deepcopy(words)
    return static_encoder(StaticModel(table.astype(np.float32), plain, {}, normalize=True))


def _wrapping(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens a tokenizer puts before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:at], whole[at + len(plain) :]


def layers_of(model: Any) -> tuple[Any, str]:
    """The module that holds a transformer's list of layers, and that list's name."""
    import torch

    lists = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if isinstance(child, torch.nn.ModuleList) and name in ("layer", "layers", "h")
    ]
    if len(lists) != 1:
        raise Unsupported(f"this model has {len(lists)} lists of layers; costlib can thin out one")
    return lists[0]


def with_fewer_layers(model: Any, every: int) -> Any:
    """A copy of `model` with every n-th layer, the first one included; its configuration says so."""
    import torch

    holder, name = layers_of(model)
    depth = len(getattr(holder, name))
    kept = list(range(0, depth, every))
    if every < 2 or len(kept) >= depth:
        raise invalid_input(
            "every", every, f"a whole number from 2 on, of a model with at least 2 layers (it has {depth})"
        )
    student = copy.deepcopy(model)
    holder, name = layers_of(student)
    setattr(holder, name, torch.nn.ModuleList([getattr(holder, name)[index] for index in kept]))
    for position, layer in enumerate(getattr(holder, name)):
        for module in layer.modules():  # where its keys and values lie in the cache
            if hasattr(module, "layer_idx"):
                module.layer_idx = position
    config = student.config.get_text_config()
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]
    return student


def optimise(parameters: Sequence[Any], steps: int, rate: float, loss: Callable[[], Any]) -> None:
    """AdamW for `steps` steps with a linear warm-up and decay, gradients clipped at 1.

    Raises `Unsupported` when the loss is no longer a finite number.
    """
    import torch

    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / warm, max(0.02, (steps - at) / max(1, steps - warm)))
    )
    for at in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        reached = float(value.detach())
        if not math.isfinite(reached):
            raise Unsupported(f"the training left the finite numbers at step {at + 1}")
        if at % _REPORT == 0:
            step(f"step {at + 1} of {steps}, loss {reached:.4f}")


def distillation_loss(scores: Any, soft: Any, hard: tuple[Any, Any], *, temperature: float, alpha: float) -> Any:
    """alpha * T^2 * KL(teacher_T || student_T) + (1 - alpha) * cross-entropy (Hinton, Vinyals and Dean 2015).

    `scores` are the student's logits (..., classes), `soft` the teacher's log-probabilities at temperature T; `hard`
    holds scores and classes of what has a label, if anything has. T^2 keeps the size of the soft gradients.
    """
    from torch.nn import functional

    found, wanted = functional.log_softmax(scores / temperature, dim=-1).flatten(0, -2), soft.flatten(0, -2)
    value = alpha * temperature**2 * functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
    if alpha < 1 and len(hard[1]):
        value = value + (1 - alpha) * functional.cross_entropy(*hard)
    return value


def shallow_student(teacher: Encoder, texts: Sequence[str], *, steps: int, every: int, batch: int = 32) -> Encoder:
    """A transformer with every n-th layer of the teacher, trained so that its embeddings meet the teacher's.

    Both are scaled to length 1; the loss is their squared distance.
    """
    import torch

    if teacher.static:
        raise Unsupported("a static model has no layers to leave out")
    targets = torch.from_numpy(unit(teacher.encode(texts))).to(teacher.device)
    student = replace(teacher, model=with_fewer_layers(teacher.model, every))
    ids = student.ids(texts)
    student.model.train()
    order = np.random.default_rng(0)
    torch.manual_seed(0)

    def loss() -> Any:
        chosen = order.integers(0, len(texts), size=min(batch, len(texts)))
        found = torch.nn.functional.normalize(student.pooled([ids[i] for i in chosen]), dim=1)
        return ((found - targets[chosen]) ** 2).sum(1).mean()

    optimise(list(student.model.parameters()), steps, 2e-4, loss)
    student.model.eval()
    student.weight_bytes = sum(p.numel() * p.element_size() for p in student.model.parameters())
    return student


@dataclass
class SoftHead:
    """A small network from features to classes; `predict` gives class names of (documents, width) features."""

    network: Any
    classes: list[str]

    def predict(self, features: Any) -> Any:
        """The most likely class of each document."""
        import torch

        with torch.inference_mode():
            scores = self.network(torch.from_numpy(np.asarray(features, dtype=np.float32)))
        return np.asarray(self.classes)[scores.argmax(1).numpy()]

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weights."""
        return sum(int(p.numel() * p.element_size()) for p in self.network.parameters())


def soft_head(
    features: Any,
    teacher_logits: Any,
    classes: Sequence[str],
    hard: Sequence[int],
    *,
    steps: int,
    temperature: float,
    alpha: float,
) -> SoftHead:
    """Train a network of one hidden layer by `distillation_loss`, on the labels that are known and all soft ones.

    `features` is (documents, width), `teacher_logits` (documents, classes); `hard` holds the class of each document,
    -1 where it has no label.
    """
    import torch

    given = torch.from_numpy(np.asarray(features, dtype=np.float32))
    soft = torch.log_softmax(torch.from_numpy(np.asarray(teacher_logits, dtype=np.float32)) / temperature, dim=1)
    labels = torch.tensor(list(hard))
    torch.manual_seed(0)
    width, count = given.shape[1], len(classes)
    parts = [torch.nn.Linear(width, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, count)]
    network = torch.nn.Sequential(*parts)
    order = np.random.default_rng(0)

    def loss() -> Any:
        chosen = order.integers(0, len(given), size=min(_SOFT_BATCH, len(given)))
        scores = network(given[chosen])
        known = labels[chosen] >= 0
        hard_part = (scores[known], labels[chosen][known])
        return distillation_loss(scores, soft[chosen], hard_part, temperature=temperature, alpha=alpha)

    optimise(list(network.parameters()), steps, 5e-3, loss)
    network.eval()
    return SoftHead(network, list(classes))


class Windows(NamedTuple):
    """Token ids in windows of equal length: (windows, window) integer arrays to train on and held out."""

    train: Any
    test: Any


def windows(tokenizer: Any, text: str, window: int, held_out: int) -> Windows:
    """Cut a text into windows; the last fifth, at most `held_out` windows, is kept for scoring.

    Raises `InputError` for a text of fewer than ten windows.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    count = len(ids) // window
    if count < 10:
        raise invalid_input("task", f"a text of {len(ids):,} tokens", f"a text of at least {10 * window:,} tokens")
    cut = np.asarray(ids[: count * window]).reshape(count, window)
    first = count - max(2, round(count * _HELD_OUT_SHARE))
    return Windows(cut[:first], cut[first:][:held_out])


def shallow_language_model(
    teacher: Any,
    train: Any,
    *,
    steps: int,
    every: int,
    temperature: float,
    alpha: float,
    batch: int,
    device: str,
) -> tuple[Any, int]:
    """The student, and the tokens the teacher read; `train` is (windows, window) token ids."""
    import torch

    student = with_fewer_layers(teacher, every).float().to(device)
    for parameter in student.parameters():
        parameter.requires_grad_(False)
    holder, name = layers_of(student)
    parts = [getattr(holder, name), *(child for other, child in holder.named_children() if "norm" in other)]
    learning = [parameter for part in parts for parameter in part.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    student.train()
    order = np.random.default_rng(0)
    torch.manual_seed(0)
    read = 0

    def loss() -> Any:
        nonlocal read
        chosen = torch.from_numpy(train[order.integers(0, len(train), size=batch)]).to(device)
        read += chosen.numel()
        with torch.no_grad():
            soft = torch.log_softmax(teacher(input_ids=chosen, use_cache=False).logits.float() / temperature, dim=-1)
        scores = student(input_ids=chosen, use_cache=False).logits.float()
        hard = (scores[:, :-1].flatten(0, 1), chosen[:, 1:].flatten())
        return distillation_loss(scores, soft, hard, temperature=temperature, alpha=alpha)

    optimise(learning, steps, 5e-4, loss)
    student.eval()
    return student.to(next(teacher.parameters()).dtype), read


def next_token_right(model: Any, held_out: Any, device: str) -> list[float]:
    """1 where the model's first choice is the next token, else 0, per token of each window."""
    import torch

    right: list[float] = []
    with torch.inference_mode():
        for number, row in enumerate(held_out):
            step(f"window {number + 1} of {len(held_out)}")
            ids = torch.from_numpy(row)[None].to(device)
            first = model(input_ids=ids, use_cache=False).logits[0, :-1].argmax(-1)
            right += (first == ids[0, 1:]).float().tolist()
    return right


def forward(model: Any, held_out: Sequence[Any], device: str) -> None:
    """Run the model over windows, one at a time, for timing."""
    import torch

    with torch.inference_mode():
        for row in held_out:
            model(input_ids=torch.from_numpy(row)[None].to(device), use_cache=False)
