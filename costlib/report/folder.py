"""A report folder as a whole: written beside its final place, sealed with a manifest, checked, and moved in at once."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from costlib.errors import RunError, bad
from costlib.report.checks import Check, check, markup, sha256
from costlib.report.execute import NotebookError, write_whole
from costlib.report.index import index
from costlib.report.ledger import COLUMNS, spreadsheet_cell
from costlib.report.manifest import MANIFEST
from costlib.report.publish import failure_page, publish
from costlib.study import Study

_CHECKS = "<!--checks-->"


def write(
    study: Study, stage: Path, work: Path, manifest: dict[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> list[Check]:
    """Write everything with a placeholder where the checks go, check it, and put the results in."""
    lines = [{"report": f"{name}.html", **row} for name, fact in facts.items() for row in fact["ledger"]]
    (stage / "ledger.csv").write_text(as_csv(lines, ["report", *COLUMNS]), encoding="utf-8")
    for fact in facts.values():
        for name, rows in fact.get("exports", {}).items():
            (stage / f"{name}.csv").write_text(as_csv(rows, list(rows[0]) if rows else []), encoding="utf-8")
    pages = {
        name: publish(work / f"{name}.ipynb", provenance=list(manifest["provenance"].items()), checks=_CHECKS)
        for name in facts
    }
    for name, html in pages.items():
        (stage / f"{name}.html").write_text(html, encoding="utf-8")
    _seal(stage, manifest, [])
    found = check(stage, study.reference)
    for name, html in pages.items():
        (stage / f"{name}.html").write_text(html.replace(_CHECKS, markup(found)), encoding="utf-8")
    _seal(stage, manifest, found)
    return check(stage, study.reference)


def _seal(stage: Path, manifest: dict[str, Any], found: list[Check]) -> None:
    """Write the index and the manifest, which holds the hash of every other file."""
    names = [r["file"] for r in manifest["reports"]] + [f.name for f in sorted(stage.glob("*.csv"))]
    sizes = {name: (stage / name).stat().st_size for name in names}
    (stage / "index.html").write_text(index(manifest, found, sizes), encoding="utf-8")
    manifest["files"] = {name: sha256(stage / name) for name in ["index.html", *names]}
    (stage / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV a spreadsheet opens safely: text that looks like a formula is quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def check_writable(folder: Path) -> None:
    """Refuse a folder that holds something else, before hours of work."""
    if folder.exists() and not folder.is_dir():
        raise bad("out", str(folder), "a folder")
    strangers = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    if strangers and MANIFEST not in strangers and not all(name.endswith(".failed.html") for name in strangers):
        raise bad("out", str(folder), "a new or empty folder, or one costlib wrote a report to")
    check_place(folder)


def check_place(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made; nothing is made yet."""
    try:
        with tempfile.TemporaryFile(
            dir=next(place for place in (folder, *folder.absolute().parents) if place.exists())
        ):
            pass
    except OSError as error:
        raise bad("out", str(folder), f"a folder that can be written ({error.strerror})") from error


def failed(error: NotebookError, folder: Path) -> RunError:
    """Write the page that says a notebook failed, beside an older report; returns the error to raise."""
    return RunError(f"{error}; see {write_failure(folder, error.name, error.what, error.details)}")


def write_failure(folder: Path, name: str, what: str, details: str = "") -> Path:
    """Write the page that says why a report could not be made, in the place of an older such page; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{name}.failed.html"
    write_whole(failure_page(name, what, details), page)
    for older in folder.glob("*.failed.html"):
        if older != page:
            older.unlink(missing_ok=True)
    return page


@contextmanager
def staged(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two places beside `folder`, for notebooks and for what will be moved in; both are gone at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name, held(Path(name)):
        work, stage = Path(name) / "work", Path(name) / "stage"
        stage.mkdir()
        yield work, stage


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs left beside `folder`; one killed while it changed places gets the older report back."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}-[a-z0-9_]{{8}}")  # the names of tempfile
    for left in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if not pattern.fullmatch(left.name) or not left.is_dir():
            continue
        with held(left) as ours:
            if ours and not folder.exists() and (left / "old").is_dir():
                (left / "old").replace(folder)
            if ours:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder for as long as this process lives; False where another process holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def move_in(stage: Path, folder: Path) -> None:
    """Put `stage` in the place of `folder`, with copies of the files there that are not costlib's own."""
    if not folder.exists():
        stage.replace(folder)
        return
    manifest, old = folder / MANIFEST, stage.parent / "old"
    ours = json.loads(manifest.read_text(encoding="utf-8"))["files"].keys() if manifest.is_file() else set()
    for file in folder.iterdir():
        if file.name not in {*ours, MANIFEST} and not file.name.endswith(".failed.html"):
            (shutil.copytree if file.is_dir() else shutil.copy2)(file, stage / file.name)
    try:
        folder.replace(old)
        stage.replace(folder)
    except BaseException:
        if not folder.exists():
            old.replace(folder)
        raise
