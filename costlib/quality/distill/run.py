"""`distill`: makes one student in a child process, scores and times it against its teacher, and stores the row."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.environment import default_device, describe, device_name
from costlib.errors import bad
from costlib.isolate import run_isolated, step
from costlib.models import demo
from costlib.models.documents import Documents, read_documents
from costlib.models.encoder import Encoder, load_encoder, refuse_other_models
from costlib.models.load import check_device, load_model
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.models.vectors import linear_head, mean_interval, split, unit
from costlib.progress import Progress, Step, silent
from costlib.quality.compare import wilson
from costlib.quality.corpus import DEFAULT_TEXT, read_text
from costlib.quality.distill.language import forward, next_token_right, shallow_language_model, windows
from costlib.quality.distill.retention import Race, race, retention
from costlib.quality.distill.students import shallow_student, soft_head, static_student
from costlib.store import Store, new_id
from costlib.tables import DISTILLATIONS, STUDENTS

if TYPE_CHECKING:
    import pandas as pd

FEATURES = ("static", "tfidf")
_TRAIN_SHARE = 0.7
_RACED = 256
_RACED_WINDOWS = 2
_UNEVEN = 1.5
_LEARNS = ("layers", "soft", "language")


def distill(
    teacher: str,
    student: str = "static",
    *,
    task: str | Path | None = None,
    test: str | Path | None = None,
    unlabelled: str | Path | None = None,
    precision: str = "fp32",
    steps: int = 200,
    every: int = 2,
    width: int = 256,
    features: str = "static",
    temperature: float = 2.0,
    alpha: float = 0.5,
    window: int = 128,
    batch: int = 32,
    held_out: int = 24,
    out: str | Path | None = None,
    device: str | None = None,
    store: Store | str | None = None,
    timeout_s: float = 3600.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Make a student and return its row (table `distillations`).

    `student` is `static` (a table from the teacher's vocabulary, `width` numbers per token), `layers` (every `every`-th
    layer, `steps` steps on the teacher's embeddings), `soft` (a classifier on `features`, `steps` steps on the soft
    labels of `task` and `unlabelled`), or `language` (a causal language model with every `every`-th layer, `steps`
    steps of `batch` windows of `window` tokens). `task` is a labelled file, for `language` a text; `test` a second
    labelled file to score on, else 30 % of each class are held out. `out` is a new folder to save the student in.
    Failures become a row with a status and a reason. Raises `InputError` for bad input before anything is loaded.
    """
    reference = parse(teacher)
    if reference.kind == "random":
        raise bad("teacher", teacher, "a model with trained weights: random ones have nothing to teach")
    if student not in STUDENTS:
        raise bad("student", student, STUDENTS)
    device = device or default_device()
    check_device(known_precision(precision), device)
    if known_precision(precision).method != "dense":
        raise bad("precision", precision, "fp32, bf16 or fp16: a student is made from dense weights")
    if features not in FEATURES:
        raise bad("features", features, FEATURES)
    counts = {"steps": (steps, 1), "every": (every, 2), "width": (width, 1), "window": (window, 8), "batch": (batch, 1)}
    for field, (count, least) in (counts | {"held_out": (held_out, 2)}).items():
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= 10**7:
            raise bad(field, count, f"a whole number from {least} on")
    if not 0 < temperature < 1e3:
        raise bad("temperature", temperature, "a number above 0")
    if not 0 <= alpha <= 1:
        raise bad("alpha", alpha, "a number from 0 (hard labels) to 1 (soft labels)")
    if not 0 < timeout_s < math.inf:
        raise bad("timeout_s", timeout_s, "a number of seconds above 0")
    if out is not None and Path(out).exists():
        raise bad("out", str(out), "a folder that does not exist yet")
    recipe: dict[str, Any] = {"precision": precision}
    if student == "language":
        name = read_text(task).name
        recipe |= {"steps": steps, "every": every, "temperature": temperature, "alpha": alpha, "window": window}
        recipe |= {"batch": batch, "held_out": held_out}
    else:
        refuse_other_models(reference)
        if is_static(reference):
            raise bad("teacher", teacher, "a transformer: a static model is a student already")
        if task is None:
            raise bad("task", None, "a labelled file (.jsonl or .csv with input and expected)")
        learned, scored = (part.name for part in _halves(task, test))
        name = learned if test is None else f"{scored} (trained on {learned})"
        if unlabelled is not None:
            read_documents(unlabelled, field="unlabelled")
        own: dict[str, dict[str, Any]] = {
            "static": {"width": width},
            "layers": {"steps": steps, "every": every, "batch": batch},
            "soft": {"steps": steps, "features": features, "width": width, "temperature": temperature, "alpha": alpha},
        }
        recipe |= own[student]
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    tell = progress or silent
    if reference.kind == "demo":
        demo.ensure(reference.name, on_step=tell)
    files = {"task": task, "test": test, "unlabelled": unlabelled, "out": out}
    arguments = {key: None if file is None else str(Path(file).resolve()) for key, file in files.items()}
    if student == "language" and str(task or DEFAULT_TEXT) == DEFAULT_TEXT:
        arguments["task"] = DEFAULT_TEXT
    arguments |= {"teacher": teacher, "student": student, "device": device, "recipe": recipe}  # type: ignore[dict-item]

    def show(text: str) -> None:
        tell(Step(f"{student} student of {teacher}: {text}", stage="distill", done=0, total=1))

    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    outcome = run_isolated("costlib.quality.distill.run:train_once", arguments, timeout_s=timeout_s, on_progress=show)
    run_id = new_id()
    row: dict[str, Any] = {"run_id": run_id, "started_at": started_at, "teacher": teacher, "student": student}
    row |= {"recipe": json.dumps(recipe, sort_keys=True), "task": Path(name).name, "device": device_name(device)}
    row |= {"status": outcome.status, "reason": outcome.reason, "kind": "measured", **(outcome.value or {})}
    environment, row["fingerprint"] = describe(device)
    row["environment"] = json.dumps(environment, sort_keys=True)
    import pandas as pd

    frame = pd.DataFrame([row])
    kept.write(DISTILLATIONS, frame, run_id)
    tell(Step("distilled", stage="distill", done=1, total=1))
    return DISTILLATIONS.validate(frame)


def distillations(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each teacher, student, recipe, task and device of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["teacher", "student", "recipe", "task", "device"]
    return kept.read(DISTILLATIONS).frame.drop_duplicates(key, keep="last", ignore_index=True)


def train_once(
    teacher: str,
    student: str,
    device: str,
    recipe: dict[str, Any],
    task: str | None,
    test: str | None,
    unlabelled: str | None,
    out: str | None,
) -> dict[str, Any]:
    """Make, score, time and save the student; the target of `run_isolated`. Returns columns of the table."""
    if student == "language":
        return _language(teacher, device, recipe, str(task), out)
    train, held = _halves(str(task), test)
    model = load_encoder(teacher, recipe["precision"], device)
    step("teaching the teacher the task")
    known = model.encode(train.texts)
    head = linear_head(known, train.labels)

    def taught(texts: Sequence[str]) -> Any:
        return head.predict(unit(model.encode(texts)))

    step("making the student")
    started = time.perf_counter()
    answer, read, note, size, save = _student(student, model, head, recipe, train, unlabelled)
    seconds = time.perf_counter() - started
    step("scoring teacher and student")
    truth = np.asarray(held.labels)
    right = [(predict(held.texts) == truth).astype(float) for predict in (taught, answer)]
    step("timing teacher and student in turn")
    raced = held.texts[:_RACED]
    found = race(lambda: taught(raced), lambda: answer(raced), len(raced), synchronize=_wait(device))
    row = _columns(right[0], right[1], None, found) | {
        "metric": "accuracy",
        "training_items": len(train.texts),
        "leaked_items": 0 if test is None else len(read_documents(str(task)).texts) - len(train.texts),
        "tokens_per_item": float(np.mean(model.tokens(raced))),
        "speed_basis": f"{len(raced)} documents, from text to class",
        "teacher_bytes": model.weight_bytes + head.coef_.nbytes,
        "student_bytes": size,
        "teacher_tokens": read,
        "training_s": seconds,
        "steps": recipe.get("steps", 0),
        "steps_note": note,
    }
    return row | _saved(save, out)


def _student(
    student: str, model: Encoder, head: Any, recipe: dict[str, Any], train: Documents, unlabelled: str | None
) -> tuple[Callable[[Sequence[str]], Any], int, str | None, int, Callable[[Path], None]]:
    """The student's answer to texts, the tokens its teacher read, a note, its bytes, and how it is saved."""
    if student in ("static", "layers"):
        if student == "static":
            made = static_student(model, recipe["width"])
            read, note = 3 * len(made.model.tokens), "made from the teacher's vocabulary; no text was read"
        else:
            made = shallow_student(
                model, train.texts, steps=recipe["steps"], every=recipe["every"], batch=recipe["batch"]
            )
            read, note = sum(model.tokens(train.texts)), _budget(recipe["steps"])
        own = linear_head(made.encode(train.texts), train.labels)

        def answer(texts: Sequence[str]) -> Any:
            return own.predict(unit(made.encode(texts)))

        return answer, read, note, made.weight_bytes + own.coef_.nbytes, lambda folder: _save(made, folder)
    classes = [str(name) for name in head.classes_]
    more = () if unlabelled is None else read_documents(unlabelled, field="unlabelled").texts
    texts = [*train.texts, *(text for text in more if text not in set(train.texts))]
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

    hard = [classes.index(label) for label in train.labels] + [-1] * (len(texts) - len(train.texts))
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


def _language(teacher: str, device: str, recipe: dict[str, Any], task: str, out: str | None) -> dict[str, Any]:
    loaded = load_model(teacher, recipe["precision"], device, tokenizer=True)
    cut = windows(loaded.tokenizer, read_text(task).content, recipe["window"], recipe["held_out"])
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

    return (
        _columns(first, second, groups, found)
        | {
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
        | _saved(save, out)
    )


def _halves(task: str | Path, test: str | Path | None) -> tuple[Documents, Documents]:
    """Training and held-out documents; an item in both is left out of training, so that the score stays honest."""
    found = read_documents(task, labelled=True, field="task")
    if test is not None:
        held = read_documents(test, labelled=True, field="test")
        unknown = sorted(set(held.labels) - set(found.labels))
        if unknown:
            raise bad("expected", unknown[0], sorted(set(found.labels)), str(test))
        known = set(held.texts)
        apart = [pair for pair in zip(found.texts, found.labels, strict=True) if pair[0] not in known]
        if len({label for _, label in apart}) < 2:
            raise bad("test", str(test), "documents that are not in the training file")
        return Documents(tuple(t for t, _ in apart), tuple(e for _, e in apart), found.duplicates, found.name), held
    parts = []
    for indices in split(found.labels, _TRAIN_SHARE):
        texts = tuple(found.texts[i] for i in indices)
        parts.append(Documents(texts, tuple(found.labels[i] for i in indices), 0, found.name))
    if len(parts[1].texts) < 2:
        raise bad("task", str(task), "at least two documents left to score on: more documents per class, or test")
    return parts[0], parts[1]


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
    busy = "rounds differ by half or more: the machine was busy, time it again on an idle one"
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


def _saved(save: Callable[[Path], None], out: str | None) -> dict[str, Any]:
    if out is None:
        return {}
    folder = Path(out)
    folder.mkdir(parents=True)
    save(folder)
    return {"folder": folder.name}
