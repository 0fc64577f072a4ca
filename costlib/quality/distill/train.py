"""Makes one student, scores it and times it against its teacher; runs in a child process.

Every student answers the same held-out items as its teacher. An embedding teacher answers by a linear head on its
vectors; a static student and one with fewer layers get a head of their own, a soft student is the head. A language
student and its teacher are scored by the next token.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from costlib.isolate import step
from costlib.models.encoder import Encoder, load_encoder
from costlib.models.load import load_model
from costlib.models.vectors import linear_head, unit
from costlib.quality.distill.material import Material
from costlib.quality.distill.retention import race, retention
from costlib.quality.distill.students import (
    forward,
    next_token_right,
    shallow_language_model,
    shallow_student,
    soft_head,
    static_student,
    windows,
)
from costlib.stats.intervals import mean_interval
from costlib.stats.paired import wilson

_RACED = 256
_RACED_WINDOWS = 2
_UNEVEN = 1.5
_POOLINGS = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
_Predict = Callable[[Sequence[str]], Any]


@dataclass
class Made:
    """A student beside its teacher: what each scores by item, what is timed of each on so many items, and its columns.

    `groups` names the group of each item, where items are not independent.
    """

    scored: tuple[Callable[[], Any], Callable[[], Any]]
    timed: tuple[Callable[[], object], Callable[[], object]]
    items: int
    columns: dict[str, Any]
    save: Callable[[Path], None]
    groups: list[int] | None = None


def train_once(
    teacher: str, student: str, device: str, recipe: dict[str, Any], material: dict[str, Any], folder: str
) -> dict[str, Any]:
    """Make, score and time a student and save it in `folder`, made last; the target of `run_isolated`.

    `material` holds the fields of a `Material`. Returns columns of the table.
    """
    given = Material(**material)
    if student == "language":
        made = _language(teacher, device, recipe, given)
    else:
        made = _classifier(teacher, student, device, recipe, given)
    step("scoring teacher and student")
    first, second = (np.asarray(score(), dtype=float) for score in made.scored)
    step("timing teacher and student in turn")
    found = race(*made.timed, items=made.items, synchronize=_wait(device))
    kept = retention(first, second, clusters=made.groups)
    row = made.columns | {"items": len(first), "steps": recipe.get("steps", 0)}
    for name, scores in (("teacher_score", first), ("student_score", second)):
        ends: tuple[float, float | None, float | None]
        if made.groups is None:  # right or wrong, item by item
            ends = (float(scores.mean()), *wilson(int(scores.sum()), len(scores)))
        else:  # tokens of a window are not independent; windows are equally long
            ends = mean_interval(np.bincount(made.groups, scores) / np.bincount(made.groups), 0.0, 1.0)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    rates = ("speedup", "teacher_items_per_s", "student_items_per_s")
    for name, ratio in zip(("retention", *rates), (kept, *found), strict=True):
        row |= {name: ratio.value, f"{name}_low": ratio.low, f"{name}_high": ratio.high}
    reasons = [kept.reason, found.speedup.reason, "speed is over rounds of one process"]
    low, high = found.speedup.low, found.speedup.high
    if low is not None and high is not None and high > _UNEVEN * low:
        reasons.append("rounds differ by half or more: the machine was busy, time it again on an idle one with --fresh")
    place = Path(folder)
    place.mkdir(parents=True)
    made.save(place)
    return row | {"speed_reason": "; ".join(dict.fromkeys(filter(None, reasons)))}


def _classifier(teacher: str, student: str, device: str, recipe: dict[str, Any], material: Material) -> Made:
    model = load_encoder(teacher, recipe["precision"], device)
    step("teaching the teacher the task")
    head = linear_head(model.encode(material.texts), material.labels)

    def taught(texts: Sequence[str]) -> Any:
        return head.predict(unit(model.encode(texts)))

    step("making the student")
    started = time.perf_counter()
    make = _soft if student == "soft" else _embedding
    answer, columns, save = make(student, model, head, recipe, material)
    seconds = time.perf_counter() - started
    truth, held, raced = np.asarray(material.truth), material.held, material.held[:_RACED]
    columns |= {
        "metric": "accuracy",
        "training_items": len(material.texts),
        "leaked_items": material.leaked,
        "tokens_per_item": float(np.mean(model.tokens(raced))),
        "speed_basis": f"{len(raced)} documents, from text to class",
        "teacher_bytes": model.weight_bytes + head.coef_.nbytes,
        "training_s": seconds,
    }
    scored = (lambda: taught(held) == truth, lambda: answer(held) == truth)
    return Made(scored, (lambda: taught(raced), lambda: answer(raced)), len(raced), columns, save)


_Student = tuple[_Predict, dict[str, Any], Callable[[Path], None]]
"""How a student answers texts, its columns (bytes, tokens its teacher read, a note), and how it is saved."""


def _embedding(student: str, model: Encoder, head: Any, recipe: dict[str, Any], material: Material) -> _Student:
    if student == "static":
        made = static_student(model, recipe["width"])
        read, note = 3 * len(made.model.tokens), "made from the teacher's vocabulary; no text was read"
    else:
        made = shallow_student(model, material.texts, **{name: recipe[name] for name in ("steps", "every", "batch")})
        read, note = sum(model.tokens(material.texts)), _budget(recipe)
    own = linear_head(made.encode(material.texts), material.labels)
    columns = {"student_bytes": made.weight_bytes + own.coef_.nbytes, "teacher_tokens": read, "steps_note": note}
    return lambda texts: own.predict(unit(made.encode(texts))), columns, lambda folder: _save(made, folder)


def _soft(student: str, model: Encoder, head: Any, recipe: dict[str, Any], material: Material) -> _Student:
    classes = [str(name) for name in head.classes_]
    known = set(material.texts)
    texts = [*material.texts, *(text for text in material.unlabelled if text not in known)]
    scores = head.decision_function(unit(model.encode(texts)))
    logits = np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores
    read, base = sum(model.tokens(texts)), None
    vectors: _Predict
    if recipe["features"] == "static":
        base = small = static_student(model, recipe["width"])
        read, size = read + 3 * len(small.model.tokens), small.weight_bytes
        vectors = lambda given: unit(small.encode(given)) * math.sqrt(small.model.dim)  # noqa: E731
    else:
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=20_000).fit(texts)
        size = sum(len(word.encode()) for word in words.vocabulary_) + words.idf_.nbytes
        vectors = lambda given: words.transform(given).toarray() * 8  # noqa: E731
    hard = [classes.index(label) for label in material.labels] + [-1] * (len(texts) - len(material.texts))
    settings = {name: recipe[name] for name in ("steps", "temperature", "alpha")}
    network = soft_head(vectors(texts), logits, classes, hard, **settings)

    def save(folder: Path) -> None:
        import torch

        if base is not None:
            _save(base, folder)
        torch.save({"classes": classes, "network": network.network.state_dict()}, folder / "head.pt")

    columns = {"student_bytes": size + network.weight_bytes, "teacher_tokens": read, "steps_note": _budget(recipe)}
    return lambda given: network.predict(vectors(given)), columns, save


def _language(teacher: str, device: str, recipe: dict[str, Any], material: Material) -> Made:
    loaded = load_model(teacher, recipe["precision"], device, tokenizer=True)
    cut = windows(loaded.tokenizer, material.texts[0], recipe["window"], recipe["held_out"])
    started = time.perf_counter()
    settings = {key: recipe[key] for key in ("steps", "every", "temperature", "alpha", "batch")}
    student, read = shallow_language_model(loaded.model, cut.train, device=device, **settings)
    raced = cut.test[:_RACED_WINDOWS]
    columns = {
        "training_s": time.perf_counter() - started,
        "metric": "next-token accuracy",
        "training_items": int(cut.train.size),
        "tokens_per_item": 1.0,
        "speed_basis": f"{len(raced)} windows of {recipe['window']} tokens, a forward each; an item is a token",
        "teacher_bytes": loaded.proof.weight_bytes,
        "student_bytes": sum(int(p.numel() * p.element_size()) for p in student.parameters()),
        "teacher_tokens": read,
        "steps_note": "; ".join(filter(None, (_budget(recipe), loaded.weights_note))),
    }

    def save(folder: Path) -> None:
        student.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)

    def score(model: Any) -> Callable[[], Any]:
        return lambda: next_token_right(model, cut.test, device)

    def run(model: Any) -> Callable[[], object]:
        return lambda: forward(model, raced, device)

    scored, timed = (score(loaded.model), score(student)), (run(loaded.model), run(student))
    groups = np.repeat(range(len(cut.test)), recipe["window"] - 1).tolist()
    return Made(scored, timed, int(raced.size), columns, save, groups)


def _budget(recipe: dict[str, Any]) -> str:
    return f"trained for {recipe['steps']} steps only: more may keep more"


def _wait(device: str) -> Callable[[], None]:
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


def _save(made: Encoder, folder: Path) -> None:
    made.model.save_pretrained(folder)
    if not made.static:
        made.tokenizer.save_pretrained(folder)
        pooling = {"word_embedding_dimension": made.model.config.hidden_size}
        pooling[f"pooling_mode_{_POOLINGS[made.pooling]}"] = True
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
