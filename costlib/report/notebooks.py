"""The notebooks of a study: those shipped with costlib by name, and its own, which lie beside the study or below.

A notebook is code, and so is a study that names one of its own. Nothing outside the study's folder is run.
"""

from __future__ import annotations

import re
from pathlib import Path

from costlib.errors import InputError, bad
from costlib.paths import notebooks_dir
from costlib.study import Study, place_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def notebook_files(study: Study) -> dict[str, Path]:
    """The file of each notebook of a study by the name of its page; raises `InputError` for one that may not run."""
    found: dict[str, Path] = {}
    for number, name in enumerate(study.notebooks):
        file = _file(study, number, name)
        if found.setdefault(page_of(name), file) != file:
            raise _refused(study, number, name, "a name no other notebook has")
    return found


def page_of(name: str) -> str:
    """The name of the page of a notebook that a study names, such as `mine` of `reports/mine.ipynb`."""
    return Path(name).stem if name.endswith(".ipynb") else Path(name).name


def shipped() -> dict[str, Path]:
    """The notebooks that come with costlib, by name."""
    return {file.stem: file for file in sorted(notebooks_dir().glob("*.ipynb"))}


def _file(study: Study, number: int, name: str) -> Path:
    ours = shipped()
    if name in ours:
        return ours[name]
    folder = study.path.parent.resolve()
    try:
        given = folder / (name if name.endswith(".ipynb") else f"{name}.ipynb")
        file = given.resolve()
        inside = file.is_relative_to(folder) and not Path(name).is_absolute() and ".." not in Path(name).parts
        there = inside and file.is_file()
    except (OSError, ValueError, RuntimeError):  # no name of a file: a NUL, too long, a loop of links
        inside = there = False
    if not inside or not there:
        allowed = f"one of {', '.join(ours)}, or a notebook in the study's folder or below it"
        raise _refused(study, number, name, allowed)
    if not _NAME.fullmatch(page_of(name)) or page_of(name) == "index":
        raise _refused(study, number, name, "a file name of letters, digits, _ and -, other than index")
    return file


def _refused(study: Study, number: int, name: str, allowed: str) -> InputError:
    return bad("notebooks", name, allowed, place_in(study, "notebooks", number))
