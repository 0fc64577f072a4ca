"""The place of a report: refused before the work where it cannot be written, and changed all at once at the end."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from costlib.errors import CostlibError, RunError, invalid_input
from costlib.output import PART, check_folder, held, scratch, write_whole
from costlib.reporting.manifest import MANIFEST
from costlib.reporting.notebook import NotebookError
from costlib.reporting.publish import failure_page

_ATTEMPTS = 20


def check_writable(folder: Path, notebooks: Iterable[str] = ()) -> None:
    """Refuse a folder that holds something else, or where a page would meet a stranger's file, before hours of work."""
    check_folder(folder)
    names = [file.name for file in folder.iterdir() if not PART.fullmatch(file.name)] if folder.is_dir() else []
    if names and MANIFEST not in names and not all(name.endswith(".failed.html") for name in names):
        raise invalid_input("out", str(folder), "a new or empty folder, or one costlib wrote a report to")
    pages = {"index.html", "ledger.csv", *(f"{name}.html" for name in notebooks)}
    for file in _strangers(folder):
        _refuse_meeting(file, pages)


def failed(error: NotebookError, folder: Path) -> RunError:
    """Write the page that says a notebook failed, beside an older report; returns the error to raise."""
    try:
        return RunError(f"{error}; see {write_failure(folder, error.name, error.what, error.details)}")
    except (OSError, CostlibError):  # no room for it: the sentence has to do
        return RunError(str(error))


def write_failure(folder: Path, name: str, what: str, details: str = "") -> Path:
    """Write the page that says why a report could not be made, in the place of an older such page; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    page = write_whole(folder / f"{name}.failed.html", failure_page(name, what, details))
    for older in folder.glob("*.failed.html"):
        if older != page:
            older.unlink(missing_ok=True)
    return page


@contextmanager
def staged(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two places beside `folder`, for notebooks and for what will be moved in; both are gone at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    with scratch(folder.parent, f".{folder.name}-") as place:
        work, stage = place / "work", place / "stage"
        stage.mkdir()
        yield work, stage


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs left beside `folder`; one killed while it changed places gets the older report back."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}-[a-z0-9_]{{8}}")  # the names of tempfile
    for left in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if not pattern.fullmatch(left.name) or left.is_symlink() or not left.is_dir():
            continue
        with held(left) as ours:
            if ours and not folder.exists() and (left / "old").is_dir():
                (left / "old").replace(folder)
            if ours:
                shutil.rmtree(left, ignore_errors=True)


def move_in(stage: Path, folder: Path) -> None:
    """Put `stage` in the place of `folder`, with copies of the files there that are not costlib's own.

    Others may do the same at the same moment: the last one stays, whole. Raises `InputError`, and leaves everything as
    it is, where a file that is not costlib's has the name of a page.
    """
    pages = {file.name for file in stage.iterdir()}
    for attempt in range(_ATTEMPTS):
        old = stage.parent / ("old" if attempt == 0 else f"old{attempt}")
        if folder.exists():
            try:
                for file in _strangers(folder):
                    _refuse_meeting(file, pages)
                    if file.is_dir() and not file.is_symlink():
                        shutil.copytree(file, stage / file.name, symlinks=True, dirs_exist_ok=True)
                    else:
                        shutil.copy2(file, stage / file.name, follow_symlinks=False)
                folder.replace(old)
            except FileNotFoundError:  # another one is between its two moves
                continue
        try:
            stage.replace(folder)
            return
        except BaseException as error:
            if not folder.exists() and old.exists():
                old.replace(folder)
            if not (isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                raise
    raise RunError(f"{folder} was written by others {_ATTEMPTS} times meanwhile; theirs is there, whole")


def _strangers(folder: Path) -> list[Path]:
    """What lies in a report folder and was not written by costlib, as its manifest tells."""
    if not folder.is_dir():
        return []
    ours: Iterable[str] = ()
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        ours = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"].keys()
    names = {*ours, MANIFEST}
    found = sorted(folder.iterdir())
    return [f for f in found if f.name not in names and not (f.name.endswith(".failed.html") or PART.fullmatch(f.name))]


def _refuse_meeting(file: Path, pages: Iterable[str]) -> None:
    if file.name in pages:
        allowed = "no file of the name of a page: costlib did not write this one and will not replace it; move it away"
        raise invalid_input("out", str(file), allowed)
