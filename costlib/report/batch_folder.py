"""The folder of a batch: its first page, the same as a document, and the checks of every report it names."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from costlib.errors import InputError, bad
from costlib.output import check_folder, write_all
from costlib.report.batch_index import batch_index
from costlib.report.batch_result import BatchResult
from costlib.report.checks import check as check_report
from costlib.report.manifest import MANIFEST, Check
from costlib.report.publish import machine_paths, scrub

DOCUMENT = "batch.json"


def check_batch_folder(folder: Path) -> None:
    """Refuse a folder whose first page is something else's, or that cannot be written."""
    if (folder.exists() and not folder.is_dir()) or (
        not (folder / DOCUMENT).is_file() and any((folder / name).exists() for name in (MANIFEST, "index.html"))
    ):
        raise bad("out", str(folder), "a new folder, or one without an index.html that is not a batch's")
    check_folder(folder)


def write_batch(result: BatchResult) -> None:
    """Write index.html and batch.json; paths in them are relative to the folder."""
    file, folder = result.batch.file, result.out
    generated = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [{**made.document(), "out": os.path.relpath(made.out, folder)} for made in result.reports]
    beside = os.path.relpath(file, folder)
    document = {
        "batch": file.name if machine_paths(beside) else beside,
        "title": result.batch.title,
        "generated": generated,
        "workers": result.workers,
        "ok": result.ok,
        "reports": rows,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
    write_all({result.index: batch_index(result, generated), folder / DOCUMENT: scrub(text)})


def check(folder: Path | str, study: Path | str | None = None) -> list[Check]:
    """Check a published folder again: whole, unchanged, every number in the ledger, made from what is here now.

    Raises `InputError` for a folder that is neither of a report nor of a batch.

    Args:
        folder: Folder of a report, or of a batch.
        study: Study or batch file it was made from, if it was moved.
    """
    root = Path(folder)
    if not (root / DOCUMENT).is_file():
        return check_report(root, study)
    try:
        held = _Document.model_validate_json((root / DOCUMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad("report folder", str(folder), f"a folder that costlib batch wrote, with {DOCUMENT}") from error
    file = Path(study) if study is not None else root / held.batch
    return [
        Check(f"{one.name}: {each.name}", each.ok, each.detail)
        for one in held.reports
        for each in _checks(root, one, f"{file}#{one.name}")
    ]


class _Report(BaseModel):
    name: str
    status: str
    reason: str | None
    out: str


class _Document(BaseModel):
    """What is read back of batch.json."""

    batch: str
    reports: list[_Report]


def _checks(root: Path, one: _Report, study: str) -> list[Check]:
    """The checks of one report of a batch; a single one that fails where it is not there."""
    if one.status in ("failed", "waiting"):
        return [Check("made", False, one.reason or one.status)]
    try:
        return check_report(root / one.out, study)
    except InputError as error:
        return [Check("made", False, str(error))]
