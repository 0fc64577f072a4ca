"""A report folder as a whole: written beside its place, looked at, sealed with a manifest, and moved in at once."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from costlib.errors import CostlibError, RunError, bad
from costlib.figure import spreadsheet_cell
from costlib.output import PART, check_folder, held, scratch, write_whole
from costlib.report.checks import inspect, markup, sha256, study_words
from costlib.report.execute import NotebookError
from costlib.report.index import index
from costlib.report.ledger import COLUMNS
from costlib.report.manifest import MANIFEST
from costlib.report.publish import failure_page, publish
from costlib.study import Study

_CHECKS = "<!--checks-->"
_ATTEMPTS = 20


def write(
    study: Study, stage: Path, work: Path, manifest: dict[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write every page and table, the index, and the manifest, which holds the hash of every other file."""
    lines = [{"report": f"{name}.html", **row} for name, fact in facts.items() for row in fact["ledger"]]
    (stage / "ledger.csv").write_text(as_csv(lines, ["report", *COLUMNS]), encoding="utf-8")
    for fact in facts.values():
        for name, rows in fact.get("exports", {}).items():
            (stage / f"{name}.csv").write_text(as_csv(rows, list(rows[0]) if rows else []), encoding="utf-8")
    tables = [file.name for file in sorted(stage.glob("*.csv"))]
    pages = {
        f"{name}.html": publish(work / f"{name}.ipynb", provenance=list(manifest["provenance"].items()), checks=_CHECKS)
        for name in facts
    }
    found = inspect(
        pages,
        [*tables, "index.html"],
        {f"{name}.html": fact["ledger"] for name, fact in facts.items()},
        [tie for fact in facts.values() for tie in fact.get("ties", [])],
        study_words(study),
    )
    for name, html in pages.items():
        (stage / name).write_text(html.replace(_CHECKS, markup(found)), encoding="utf-8")
    names = [*(report["file"] for report in manifest["reports"]), *tables]
    sizes = {name: (stage / name).stat().st_size for name in names}
    (stage / "index.html").write_text(index(manifest, found, sizes), encoding="utf-8")
    manifest["checks"] = [asdict(one) for one in found]
    manifest["files"] = {name: sha256(stage / name) for name in ["index.html", *names]}
    (stage / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV a spreadsheet opens safely: text that looks like a formula is quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def check_writable(folder: Path, notebooks: Iterable[str] = ()) -> None:
    """Refuse a folder that holds something else, or where a page would meet a stranger's file, before hours of work."""
    check_folder(folder)
    names = [file.name for file in folder.iterdir() if not PART.fullmatch(file.name)] if folder.is_dir() else []
    if names and MANIFEST not in names and not all(name.endswith(".failed.html") for name in names):
        raise bad("out", str(folder), "a new or empty folder, or one costlib wrote a report to")
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
        raise bad("out", str(file), allowed)
