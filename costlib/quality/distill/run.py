"""`distill`: makes one student in a child process, scores and times it against its teacher, keeps it and its row.

The student lies in the store, `students/RUN_ID`, beside the row of its run. The same teacher, material, recipe, device
and package versions give the same student, so it is not made again. A student is moved to its place when it is whole:
a run that was killed leaves neither a student nor a row.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.environment import default_device, describe, device_name
from costlib.errors import bad, unused
from costlib.isolate import run_isolated
from costlib.models import demo
from costlib.models.encoder import refuse_other_models
from costlib.models.load import is_encoder
from costlib.models.reference import is_static, parse
from costlib.output import cannot_write, check_folder, scratch
from costlib.progress import Progress, Step, silent
from costlib.quality.distill.material import labelled_material, text_material
from costlib.quality.distill.recipe import idle, recipe_of
from costlib.store import Store, new_id
from costlib.tables import DISTILLATIONS

if TYPE_CHECKING:
    import pandas as pd

_TARGET = "costlib.quality.distill.train:train_once"


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
        raise bad("teacher", teacher, "a model with trained weights: random ones have nothing to teach")
    device = device or default_device()
    given = {"steps": steps, "every": every, "width": width, "features": features, "temperature": temperature}
    given |= {"alpha": alpha, "window": window, "batch": batch, "held_out": held_out}
    recipe = recipe_of(student, device, precision, given)
    unused(f"for a {student} student", distill, asked, idle(student, features))
    if not 0 < timeout_s < math.inf:
        raise bad("timeout_s", timeout_s, "a number of seconds above 0")
    if out is not None:
        _check_place(Path(out))
    if student == "language":
        if is_encoder(reference):
            raise bad("teacher", teacher, "a model that generates text, for a language student")
        material = text_material(task)
    else:
        refuse_other_models(reference)
        if is_static(reference):
            raise bad("teacher", teacher, "a transformer: a static model is a student already")
        material = labelled_material(task, test, unlabelled)
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    tell = progress or silent
    if reference.kind == "demo":
        demo.ensure(reference.name, on_step=tell)
    environment, fingerprint = describe(device)
    row: dict[str, Any] = {"teacher": teacher, "student": student, "recipe": json.dumps(recipe, sort_keys=True)}
    row |= {"task": material.name, "device": device_name(device), "fingerprint": fingerprint}
    row |= {"material_sha256": material.sha256(teacher)}
    found = None if fresh else _stored(kept, row, copied=out is not None)
    if found is None:
        arguments = {"teacher": teacher, "student": student, "device": device, "recipe": recipe}
        arguments |= {"material": asdict(material)}

        def show(text: str) -> None:
            tell(Step(f"{student} student of {teacher}: {text}", stage="distill", done=0, total=1))

        row |= {"started_at": datetime.now(UTC).isoformat(timespec="seconds"), "run_id": new_id(), "kind": "measured"}
        part, folder = (kept.root / "students" / name for name in (f".writing-{row['run_id']}", row["run_id"]))
        try:
            outcome = run_isolated(
                _TARGET, arguments | {"folder": str(part.resolve())}, timeout_s=timeout_s, on_progress=show
            )
            if outcome.value is not None:
                part.rename(folder)
                row |= outcome.value | {"folder": f"students/{folder.name}"}
        finally:
            shutil.rmtree(part, ignore_errors=True)
        row |= {"status": outcome.status, "reason": outcome.reason}
        row["environment"] = json.dumps(environment, sort_keys=True)
        found = DISTILLATIONS.of([row])
        kept.write(DISTILLATIONS, found, row["run_id"])
    tell(Step("distilled", stage="distill", done=1, total=1))
    if out is not None and found["status"].iloc[0] == "ok":
        _copy(kept.root / found["folder"].iloc[0], Path(out))
    return found


def distillations(store: Store | str | None = None) -> pd.DataFrame:
    """The newest row of each teacher, student, recipe, task and device of a store."""
    kept = store if isinstance(store, Store) else Store(store)
    key = ["teacher", "student", "recipe", "task", "device"]
    return kept.read(DISTILLATIONS).frame.drop_duplicates(key, keep="last", ignore_index=True)


def _stored(store: Store, asked: dict[str, Any], *, copied: bool) -> pd.DataFrame | None:
    """The newest stored row of what is asked for; to be copied, its student must still lie in the store.

    A crash or a timeout may pass and is tried again; what does not fit or is not supported stays so.
    """
    frame = store.read(DISTILLATIONS).frame
    same = frame["status"] != "error"
    for name, value in asked.items():
        same &= frame[name] == value
    found = frame[same].tail(1).reset_index(drop=True)
    if found.empty:
        return None
    gone = found["status"][0] == "ok" and not (store.root / found["folder"][0]).is_dir()
    return None if copied and gone else found


def _check_place(out: Path) -> None:
    if check_folder(out).exists():
        raise bad("out", str(out), "a folder that does not exist yet")


def _copy(student: Path, out: Path) -> None:
    """Copy under another name, then move: a copy is whole or not there."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch(out.parent, ".costlib-copy-") as place:
            shutil.copytree(student, place / "copy").rename(out)
    except OSError as error:  # shutil tells several in one
        raise cannot_write("out", out, error, "the student in the store") from None
