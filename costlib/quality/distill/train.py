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
from pathlib import Path
from typing import Any

import numpy as np

from costlib.isolate import step
from costlib.models.encoder import Encoder, load_encoder
from costlib.models.load import load_model
from costlib.models.vectors import linear_head, unit
from costlib.quality.distill.language import forward, next_token_right, shallow_language_model, windows
from costlib.quality.distill.material import Material
from costlib.quality.distill.retention import Race, race, retention
from costlib.quality.distill.students import shallow_student, soft_head, static_student
from costlib.stats.intervals import mean_interval
from costlib.stats.paired import wilson

_RACED = 256
_RACED_WINDOWS = 2
_UNEVEN = 1.5


def train_once(
    teacher: str, student: str, device: str, recipe: dict[str, Any], material: dict[str, Any], folder: str
) -> dict[str, Any]:
    """Make, score and time a student and save it in `folder`, made last; the target of `run_isolated`.

    `material` holds the fields of a `Material`. Returns columns of the table.
    """
    given = Material(**material)
    if student == "language":
        row, save = _language(teacher, device, recipe, given)
    else:
        row, save = _classifier(teacher, student, device, recipe, given)
    place = Path(folder)
    place.mkdir(parents=True)
    save(place)
    return row


_Save = Callable[[Path], None]


def _classifier(
    teacher: str, student: str, device: str, recipe: dict[str, Any], material: Material
) -> tuple[dict[str, Any], _Save]:
    model = load_encoder(teacher, recipe["precision"], device)
    step("teaching the teacher the task")
    head = linear_head(model.encode(material.texts), material.labels)

    def taught(texts: Sequence[str]) -> Any:
        return head.predict(unit(model.encode(texts)))

    step("making the student")
    started = time.perf_counter()
    answer, read, note, size, save = _student(student, model, head, recipe, material)
    seconds = time.perf_counter() - started
    step("scoring teacher and student")
    truth = np.asarray(material.truth)
    right = [(predict(material.held) == truth).astype(float) for predict in (taught, answer)]
    step("timing teacher and student in turn")
    raced = material.held[:_RACED]
    found = race(lambda: taught(raced), lambda: answer(raced), len(raced), synchronize=_wait(device))
    row = _columns(right[0], right[1], None, found) | {
        "metric": "accuracy",
        "training_items": len(material.texts),
        "leaked_items": material.leaked,
        "tokens_per_item": float(np.mean(model.tokens(raced))),
        "speed_basis": f"{len(raced)} documents, from text to class",
        "teacher_bytes": model.weight_bytes + head.coef_.nbytes,
        "student_bytes": size,
        "teacher_tokens": read,
        "training_s": seconds,
        "steps": recipe.get("steps", 0),
        "steps_note": note,
    }
    return row, save


def _student(
    student: str, model: Encoder, head: Any, recipe: dict[str, Any], material: Material
) -> tuple[Callable[[Sequence[str]], Any], int, str, int, _Save]:
    """The student's answer to texts, the tokens its teacher read, a note, its bytes, and how it is saved."""
    if student in ("static", "layers"):
        if student == "static":
            made = static_student(model, recipe["width"])
            read, note = 3 * len(made.model.tokens), "made from the teacher's vocabulary; no text was read"
        else:
            made = shallow_student(
                model, material.texts, steps=recipe["steps"], every=recipe["every"], batch=recipe["batch"]
            )
            read, note = sum(model.tokens(material.texts)), _budget(recipe["steps"])
        own = linear_head(made.encode(material.texts), material.labels)

        def answer(texts: Sequence[str]) -> Any:
            return own.predict(unit(made.encode(texts)))

        return answer, read, note, made.weight_bytes + own.coef_.nbytes, lambda folder: _save(made, folder)
    classes = [str(name) for name in head.classes_]
    known = set(material.texts)
    texts = [*material.texts, *(text for text in material.unlabelled if text not in known)]
    scores = head.decision_function(unit(model.encode(texts)))
    logits = np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores
    read = sum(model.tokens(texts))
    size = 0
    if recipe["features"] == "static":
        base = static_student(model, recipe["width"])
        read, size = read + 3 * len(base.model.tokens), base.weight_bytes

        def vectors(given: Sequence[str]) -> Any:
            return unit(base.encode(given)) * math.sqrt(base.model.dim)

    else:
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=20_000).fit(texts)
        size = sum(len(word.encode()) for word in words.vocabulary_) + words.idf_.nbytes

        def vectors(given: Sequence[str]) -> Any:
            return words.transform(given).toarray() * 8

    hard = [classes.index(label) for label in material.labels] + [-1] * (len(texts) - len(material.texts))
    network = soft_head(
        vectors(texts), logits, classes, hard, steps=recipe["steps"], temperature=recipe["temperature"],
        alpha=recipe["alpha"],
    )  # fmt: skip

    def save(folder: Path) -> None:
        import torch

        if recipe["features"] == "static":
            _save(base, folder)
        torch.save({"classes": classes, "network": network.network.state_dict()}, folder / "head.pt")

    note = _budget(recipe["steps"])
    return lambda given: network.predict(vectors(given)), read, note, size + network.weight_bytes, save


def _language(teacher: str, device: str, recipe: dict[str, Any], material: Material) -> tuple[dict[str, Any], _Save]:
    loaded = load_model(teacher, recipe["precision"], device, tokenizer=True)
    cut = windows(loaded.tokenizer, material.texts[0], recipe["window"], recipe["held_out"])
    started = time.perf_counter()
    settings = {key: recipe[key] for key in ("steps", "every", "temperature", "alpha", "batch")}
    student, read = shallow_language_model(loaded.model, cut.train, device=device, **settings)
    seconds = time.perf_counter() - started
    step("scoring teacher and student")
    (first, groups), (second, _) = (next_token_right(model, cut.test, device) for model in (loaded.model, student))
    step("timing teacher and student in turn")
    raced = cut.test[:_RACED_WINDOWS]
    found = race(
        lambda: forward(loaded.model, raced, device),
        lambda: forward(student, raced, device),
        int(raced.size),
        synchronize=_wait(device),
    )
    size = sum(p.numel() * p.element_size() for p in student.parameters())

    def save(folder: Path) -> None:
        student.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)

    row = _columns(first, second, groups, found) | {
        "metric": "next-token accuracy",
        "training_items": int(cut.train.size),
        "tokens_per_item": 1.0,
        "speed_basis": f"{len(raced)} windows of {recipe['window']} tokens, a forward each; an item is a token",
        "teacher_bytes": loaded.proof.weight_bytes,
        "student_bytes": int(size),
        "teacher_tokens": read,
        "training_s": seconds,
        "steps": recipe["steps"],
        "steps_note": "; ".join(filter(None, (_budget(recipe["steps"]), loaded.weights_note))),
    }
    return row, save


def _columns(teacher: Any, student: Any, groups: Sequence[int] | None, found: Race) -> dict[str, Any]:
    kept = retention(teacher, student, clusters=groups)
    row: dict[str, Any] = {"items": len(teacher)}
    for name, scores in (("teacher_score", teacher), ("student_score", student)):
        ends: tuple[float, float | None, float | None]
        if groups is None:  # right or wrong, item by item
            ends = (float(np.mean(scores)), *wilson(int(np.sum(scores)), len(scores)))
        else:
            ends = mean_interval(_by_group(scores, groups), 0.0, 1.0)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    for name, ratio in (
        ("retention", kept), ("speedup", found.speedup), ("teacher_items_per_s", found.teacher),
        ("student_items_per_s", found.student),
    ):  # fmt: skip
        row |= {name: ratio.value, f"{name}_low": ratio.low, f"{name}_high": ratio.high}
    low, high = found.speedup.low, found.speedup.high
    busy = "rounds differ by half or more: the machine was busy, time it again on an idle one with --fresh"
    uneven = busy if low is not None and high is not None and high > _UNEVEN * low else None
    speed = ("speed is over rounds of one process", uneven)
    reasons = dict.fromkeys(filter(None, (kept.reason, found.speedup.reason, *speed)))
    return row | {"speed_reason": "; ".join(reasons)}


def _by_group(scores: Any, groups: Sequence[int]) -> Any:
    """Mean of each window, whose tokens are not independent; windows are equally long."""
    return np.bincount(np.asarray(groups), np.asarray(scores)) / np.bincount(np.asarray(groups))


def _budget(steps: int) -> str:
    return f"trained for {steps} steps only: more may keep more"


def _wait(device: str) -> Callable[[], None]:
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


def _save(made: Encoder, folder: Path) -> None:
    made.model.save_pretrained(folder)
    if not made.static:
        made.tokenizer.save_pretrained(folder)
        pooling = {
            "word_embedding_dimension": made.model.config.hidden_size,
            f"pooling_mode_{_MODES[made.pooling]}": True,
        }
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")


_MODES = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
