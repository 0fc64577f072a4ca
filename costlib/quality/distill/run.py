"""`distill`: makes one student in a child process, scores and times it against its teacher, keeps it and its row.

The student lies in the store, `students/RUN_ID`, beside the row of its run. The same teacher, material, recipe, device
and package versions give the same student, so it is not made again. A student is moved to its place when it is whole:
a run that was killed leaves neither a student nor a row.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from costlib.environment import default_device, device_name
from costlib.errors import bounded, invalid_input, unused
from costlib.isolate import Outcome
from costlib.measure.campaign import Campaign, Row
from costlib.models.encoder import refuse_other_models
from costlib.models.load import check_device, is_encoder
from costlib.models.precision import precision as known_precision
from costlib.models.reference import is_static, parse
from costlib.output import cannot_write, check_folder, scratch
from costlib.progress import Progress
from costlib.quality.distill.material import labelled_material, text_material
from costlib.store import Store
from costlib.tables import DISTILLATIONS, STUDENTS

if TYPE_CHECKING:
    import pandas as pd

_FEATURES = ("static", "tfidf")
_RECIPES = {
    "static": ("width",),
    "layers": ("steps", "every", "batch"),
    "soft": ("steps", "features", "width", "temperature", "alpha"),
    "language": ("steps", "every", "temperature", "alpha", "window", "batch", "held_out"),
}
"""The settings that each kind of student has."""
_LEAST = {"steps": 1, "every": 2, "width": 1, "window": 8, "batch": 1, "held_out": 2}


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
    fresh: bool = False,
    timeout_s: float = 3600.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Make a student and return its row (table `distillations`).

    `student` is `static` (a table from the teacher's vocabulary, `width` numbers per token), `layers` (every `every`-th
    layer, `steps` steps on the teacher's embeddings), `soft` (a classifier on `features`, `steps` steps on the soft
    labels of `task` and `unlabelled`), or `language` (a causal language model with every `every`-th layer, `steps`
    steps of `batch` windows of `window` tokens). `task` is a labelled file, for `language` a text; `test` a second
    labelled file to score on, else 30 % of each class are held out. `out` is a new folder for a copy of the student.
    What the store holds is not made again, unless it ended as an error, or `fresh`.
    Failures become a row with a status and a reason. Raises `InputError` for bad input before anything is loaded.

    Args:
        teacher: demo:minilm, path: or hub:; for a language student a causal model.
        student: static, layers, soft or language.
        task: Labelled .jsonl or .csv; for language a text.
        test: Labelled file to score on [default: 30 % of the task].
        unlabelled: More documents for soft labels.
        precision: Precision of the teacher: fp32, bf16 or fp16.
        steps: Optimizer steps: layers, soft, language.
        every: Keep every n-th layer: layers, language.
        width: Numbers in a static vector.
        features: What a soft student reads: static or tfidf.
        temperature: T of the soft labels.
        alpha: Weight of soft labels against hard ones, 0 to 1.
        window: Tokens in a window: language.
        batch: Documents or windows in a step.
        held_out: Windows kept for scoring, at most: language.
        out: New folder for a copy of the student.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        store: Folder of measurements [default: data/store].
        fresh: Make again what is in the store.
        timeout_s: Seconds it may take.
        progress: Is told each step.
    """
    asked = dict(locals())
    reference = parse(teacher)
    if reference.kind == "random":
        raise invalid_input("teacher", teacher, "a model with trained weights: random ones have nothing to teach")
    device = device or default_device()
    given = {"steps": steps, "every": every, "width": width, "features": features, "temperature": temperature}
    given |= {"alpha": alpha, "window": window, "batch": batch, "held_out": held_out}
    recipe = {"precision": precision} | {name: given[name] for name in _checked(student, device, precision, given)}
    used = {*recipe, *(["test"] if student != "language" else []), *(["unlabelled"] if student == "soft" else [])}
    used -= {"width"} if "features" in recipe and features == "tfidf" else set()
    unused(f"for a {student} student", distill, asked, [n for n in (*given, "test", "unlabelled") if n not in used])
    if out is not None and check_folder(Path(out)).exists():
        raise invalid_input("out", str(out), "a folder that does not exist yet")
    if student == "language":
        if is_encoder(reference):
            raise invalid_input("teacher", teacher, "a model that generates text, for a language student")
        material = text_material(task)
    else:
        refuse_other_models(reference)
        if is_static(reference):
            raise invalid_input("teacher", teacher, "a transformer: a static model is a student already")
        material = labelled_material(task, test, unlabelled)
    columns = {"teacher": teacher, "student": student, "recipe": json.dumps(recipe, sort_keys=True)}
    columns |= {"task": material.name, "material_sha256": material.sha256(teacher), "device": device_name(device)}
    asked = {"teacher": teacher, "student": student, "device": device, "recipe": recipe, "material": asdict(material)}
    probe = Student(
        models=[teacher], device=device, store=store, fresh=fresh, time_budget_s=timeout_s, timeout_s=timeout_s,
        progress=progress, asked=asked, shared=columns, copied=out is not None,
    )  # fmt: skip
    found = DISTILLATIONS.of(probe.run([student])[0][-1:])
    if out is not None and found["status"].iloc[0] == "ok":
        _copy(probe.kept.root / found["folder"].iloc[0], Path(out))
    return probe.answer(found)


@dataclass(kw_only=True)
class Student(Campaign[str]):
    """One student, made in a folder that is moved to its place when it is whole."""

    name, table, in_child, once = "distill", DISTILLATIONS, "costlib.quality.distill.train:train_once", True
    asked: Row
    shared: Row
    copied: bool
    """Whether the student must lie in the store, to be copied."""

    def label(self, case: str) -> str:
        """The student and its teacher."""
        return f"{case} student of {self.shared['teacher']}"

    def key(self, case: str) -> Row:
        """The recipe, and the hash of what the student learns from."""
        return self.shared

    def look_up(self, case: str) -> list[Row]:
        """A stored student, if it is there where it is to be copied."""
        found = super().look_up(case)
        if self.copied and any(
            row["status"] == "ok" and not (self.kept.root / row["folder"]).is_dir() for row in found
        ):
            self.rows[case], self.processes[case] = [], []
        return self.rows[case]

    def arguments(self, case: str) -> Row:
        """All that a student is made of."""
        return self.asked

    def child(self, case: str, arguments: Row, budget_s: float, show: Progress) -> Outcome:
        """What a failed or killed child left of a student is removed."""
        part, folder = (self.kept.root / "students" / name for name in (f".writing-{self.run_id}", self.run_id))
        try:
            outcome = super().child(case, arguments | {"folder": str(part.resolve())}, budget_s, show)
            if outcome.value is not None:
                part.rename(folder)
                outcome.value["folder"] = f"students/{folder.name}"
            return outcome
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _checked(student: str, device: str, precision: str, given: Row) -> tuple[str, ...]:
    """The settings this kind of student has; all of them are in their range, those of other kinds, too."""
    if student not in STUDENTS:
        raise invalid_input("student", student, STUDENTS)
    check_device(known_precision(precision), device)
    if known_precision(precision).method != "dense":
        raise invalid_input("precision", precision, "fp32, bf16 or fp16: a student is made from dense weights")
    if given["features"] not in _FEATURES:
        raise invalid_input("features", given["features"], _FEATURES)
    for name, least in _LEAST.items():
        bounded(name, given[name], least, 10**7, whole=True)
    bounded("temperature", given["temperature"], 1e-6, 1e3)
    bounded("alpha", given["alpha"], 0, 1)
    return _RECIPES[student]


def distillations(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each teacher, student, recipe, task and device of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["teacher", "student", "recipe", "task", "device"]
    return kept.read(DISTILLATIONS).frame.drop_duplicates(key, keep="last", ignore_index=True)


def _copy(student: Path, out: Path) -> None:
    """Copy under another name, then move: a copy is whole or not there."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch(out.parent, ".costlib-copy-") as place:
            shutil.copytree(student, place / "copy").rename(out)
    except OSError as error:  # shutil tells several in one
        raise cannot_write("out", out, error, "the student in the store") from None
