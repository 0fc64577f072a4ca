"""Reading a study: one file, the file it extends, and what a batch changes in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from costlib.devices import WIDTHS, Resolved, resolve
from costlib.environment import default_device
from costlib.errors import InputError, invalid_input
from costlib.paths import data_dir
from costlib.read import Place, extended, file_of, files_of, place, validated
from costlib.study.batch import Changes, changes_of
from costlib.study.file import FILLED_IN, Study, check_study, find_file
from costlib.study.options import CascadeOption, MeasuredOption, RouterOption
from costlib.study.parts import MeasureSpec, TaskSpec


def load_study(path: str | Path) -> Study:
    """Read and check a study file; a bare name such as `demo` means the study shipped under data/studies.

    A study may say `extends: other.yml` and hold only the keys that differ. `FILE#NAME` is the study of one report of a
    batch file (see batch.py). Raises `InputError` naming file and line, field, value and what is allowed.
    """
    file, changes = _found(path)
    tree, at = _read(file, changes)
    for key in FILLED_IN:
        if key in tree:
            raise invalid_input("key", key, "left out: it is filled in when the file is read", at((key,)))
    study = _resolved(validated(Study, tree, at), at)

    def beside(given: Path, *location: str | int) -> Path:
        folder = changes.file.parent if changes and location[0] in changes.values else file.parent
        shipped = data_dir() / "studies"
        if location[0] == "tasks" and not (folder / given).exists() and (shipped / given).is_file():
            folder = shipped  # a copy of a shipped study asks the shipped tasks
        allowed = f"a file that exists, relative to {folder}"
        return file_of(given, str(location[-1]), allowed, at(location), folder).resolve()

    keys = ("workloads", "use_cases", "quality_scores")
    tables = {key: beside(getattr(study, key), key) for key in keys if getattr(study, key) is not None}
    tasks = [
        spec.model_copy(update={"file": beside(spec.file, "tasks", index, "file")})
        for index, spec in enumerate(study.tasks)
    ]
    options = [
        option.model_copy(update={"policy": beside(option.policy, "options", index, "policy")})
        if isinstance(option, (CascadeOption, RouterOption)) and option.policy is not None
        else option
        for index, option in enumerate(study.options)
    ]
    check_study(study, at)
    policies = [option.policy for option in options if isinstance(option, (CascadeOption, RouterOption))]
    named = [*tables.values(), *dict.fromkeys(spec.file for spec in tasks), *(path for path in policies if path)]
    digest = hashlib.sha256()
    for table in [*files_of(file, "study"), *named]:
        digest.update(table.read_bytes())
    if changes:
        digest.update(json.dumps(changes.values, sort_keys=True, default=str).encode())
    found = {**tables, "tasks": tuple(tasks), "options": tuple(options)}
    found["reference"] = changes.reference if changes else str(file)
    return study.model_copy(update={**found, "path": file, "hash": digest.hexdigest()})


def _resolved(study: Study, at: Place) -> Study:
    """The study with every precision that it asks for by width (16-bit) as the one that this machine has for it."""
    device, found = default_device(), dict[tuple[str, str], Resolved]()

    def name(asked: str, model: str, *location: str | int) -> str:
        if asked in WIDTHS and (asked, model) not in found:
            try:
                found[asked, model] = resolve(asked, model, device)
            except InputError as error:
                raise InputError(f"{at(location)}: {error}") from error
        return found[asked, model].name if asked in WIDTHS else asked

    def names(spec: MeasureSpec | TaskSpec, *location: str | int) -> tuple[str, ...]:
        return tuple(name(one, spec.model, *location) for one in spec.precision)

    measure = tuple(
        spec.model_copy(update={"precision": names(spec, "measure", index, "precision")})
        for index, spec in enumerate(study.measure)
    )
    tasks = tuple(
        spec.model_copy(
            update={
                "precision": names(spec, "tasks", index, "precision"),
                "baseline": spec.baseline and name(spec.baseline, spec.model, "tasks", index, "baseline"),
            }
        )
        for index, spec in enumerate(study.tasks)
    )
    options = tuple(
        option.model_copy(update={"precision": name(option.precision, option.model, "options", index, "precision")})
        if isinstance(option, MeasuredOption)
        else option
        for index, option in enumerate(study.options)
    )
    quality = study.quality
    if quality is not None:  # one baseline for every model of the study
        first = study.measure[0].model if study.measure else ""
        quality = quality.model_copy(update={"baseline": name(quality.baseline, first, "quality", "baseline")})
    changed = {"measure": measure, "tasks": tasks, "options": options, "quality": quality}
    return study.model_copy(update={**changed, "resolved": tuple(found.values())})


def place_in(study: Study, *location: str | int) -> str:
    """File and line of a part of a study, in the file or in the batch that it was read from."""
    return _read(*_found(study.reference))[1](location)


def _found(path: str | Path) -> tuple[Path, Changes | None]:
    """The study file that a path, a name or a report of a batch means, and what that batch changes."""
    changes = changes_of(path)
    return (changes.study, changes) if changes else (find_file(path), None)


def _read(file: Path, changes: Changes | None) -> tuple[Mapping[str, Any], Place]:
    """The keys of a study with those of a batch over them, and where each is written."""
    tree = extended(file, "study")
    inside = place(file, tree)
    if changes is None:
        return tree, inside

    def at(location: Sequence[str | int]) -> str:
        return changes.at(location) if location and location[0] in changes.values else inside(location)

    return {**tree, **changes.values}, at
