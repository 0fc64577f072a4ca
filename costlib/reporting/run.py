"""From a study file to a folder of reports: measure what is missing, run the notebooks, publish, check.

Everything is made in a temporary folder beside the final one and moved into place at the end, so that an interruption
leaves nothing half-written and an older report stays until the new one is complete. What is in the store is not
measured again, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from costlib.environment import git_commit
from costlib.figure import spreadsheet_cell
from costlib.output import NoRoomError, cannot_write, scratch
from costlib.paths import notebooks_dir
from costlib.portfolio.plan import check_tables
from costlib.portfolio.shared import PLACE
from costlib.progress import Progress, Step, unwatched
from costlib.reporting.checks import check, inspect, study_words
from costlib.reporting.folder import check_writable, failed, move_in, staged
from costlib.reporting.manifest import MANIFEST, Check, inputs_hash, packages, sha256, sources
from costlib.reporting.markup import Number
from costlib.reporting.notebook import (
    NotebookError,
    check_parameters,
    execute,
    notebook_files,
    page_of,
    parameters_of,
)  # fmt: skip
from costlib.reporting.publish import check_list, index_page, publish, scrub
from costlib.store import Store, new_id
from costlib.study import Study, load_study
from costlib.value import brief

_CHECKS = "<!--checks-->"


@brief
@dataclass(frozen=True)
class RunResult:
    """What a run made: its id, the files in the order a reader opens them, and the checks of the folder."""

    run_id: str
    files: tuple[Path, ...]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


def run(
    study_path: str | Path = "demo",
    *,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    fresh: bool = False,
    report_only: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Measure what is missing, evaluate, plan and report.

    Raises `InputError` for bad input before any work, and `RunError` when a notebook fails: then `<name>.failed.html`
    says why and an older report is unchanged.

    Args:
        study_path: Study file, or the name of a shipped study.
        out: Folder of the report [default: reports/STUDY].
        store: Folder of measurements [default: data/store].
        fresh: Measure again what is in the store.
        report_only: Measure nothing: report what is stored.
        progress: Is told each step.
    """
    study = load_study(study_path)
    kept = store if isinstance(store, Store) else Store(store)
    folder = Path(out) if out is not None else reports_dir() / study.name
    check_writable(folder, map(page_of, study.notebooks))
    check_inputs(study, kept)
    tell = progress or unwatched
    if not report_only:
        kept.check_writable()
        _measure(study, kept, fresh, tell)
    return _report(study, kept, folder, tell)


def check_inputs(study: Study, store: Store) -> None:
    """Raise `InputError` for a notebook, a parameter or a table that a report of the study cannot be made with."""
    files = notebook_files(study)
    for name in study.notebooks:
        check_parameters(files[page_of(name)], study.notebook_parameters.get(name, {}))
    check_tables(study, store)


def report(
    study_path: str | Path = "demo",
    *,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Write the report from what is stored; nothing is measured.

    Args:
        study_path: Study file, or the name of a shipped study.
        out: Folder of the report [default: reports/STUDY].
        store: Folder of measurements [default: data/store].
        progress: Is told each step.
    """
    return run(study_path, out=out, store=store, report_only=True, progress=progress)


def reports_dir() -> Path:
    """`reports/` of the repository costlib runs from, or of the folder it was started in."""
    root = notebooks_dir().parent
    return root / "reports" if (root / "pyproject.toml").exists() else Path.cwd() / "reports"


def _report(study: Study, store: Store, folder: Path, progress: Progress) -> RunResult:
    """Run the study's notebooks on what is stored and publish them into `folder`."""
    run_id, generated = new_id(), datetime.now(UTC).isoformat(timespec="seconds")
    made_from = inputs_hash(study, store)  # before the work: what changes during it makes the report outdated
    with _room(folder), staged(folder) as (work, stage), scratch() as plans:
        facts: dict[str, dict[str, Any]] = {}
        files, named = notebook_files(study), {page_of(name): name for name in study.notebooks}
        for notebook, file in files.items():
            ours = {"study": study.reference, "store": store.root.resolve()}
            given: dict[str, object] = {**study.notebook_parameters.get(named[notebook], {})}
            given |= {name: value for name, value in ours.items() if name in parameters_of(file)}
            try:
                facts[notebook] = execute(
                    file, work / f"{notebook}.ipynb", given, environment={PLACE: str(plans)}, progress=progress
                )
            except NotebookError as error:
                raise failed(error, folder) from error
        progress(Step("publishing", stage="report", done=0, total=1))
        manifest = {**_manifest(study, store, run_id, generated, facts), "inputs": made_from}
        write(study, stage, work, manifest, facts)
        move_in(stage, folder)
    found = check(folder, study.reference)  # what is published, as it lies there
    progress(Step("published", stage="report", done=1, total=1))
    return RunResult(run_id, tuple(folder / name for name in [*manifest["files"], MANIFEST]), tuple(found))


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, NoRoomError) as error:
        raise cannot_write(
            "out", folder, error.error if isinstance(error, NoRoomError) else error, "an older report"
        ) from None


def _measure(study: Study, store: Store, fresh: bool, progress: Progress) -> None:
    from costlib.measure.run import measure
    from costlib.quality.tasks.answers import answer_tasks
    from costlib.quality.tasks.study import task_of
    from costlib.quality.text import measure_text

    for spec in study.measure:
        measure(
            spec.model,
            spec.precision,
            engine=spec.engine,
            batch=spec.batch,
            prompt_tokens=spec.prompt_tokens,
            output_tokens=spec.output_tokens,
            time_budget_s=spec.time_budget_s,
            store=store,
            fresh=fresh,
            progress=progress,
        )
        if study.quality is not None:
            measure_text(
                spec.model,
                spec.precision,
                baseline=study.quality.baseline,
                text=study.quality.text,
                tokens=study.quality.tokens,
                window=study.quality.window,
                store=store,
                fresh=fresh,
                progress=progress,
            )

    for task in study.tasks:
        answer_tasks(
            task.model,
            task.precision,
            [task_of(task)],
            store=store,
            fresh=fresh,
            progress=progress,
            time_budget_s=7200,
            timeout_s=7200,
        )


def _manifest(
    study: Study, store: Store, run_id: str, generated: str, facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    made_from = sources(notebook_files(study), study.hash)
    runs = sorted({run for fact in facts.values() for run in fact.get("runs", [])})
    provenance = {"Run": run_id, "Generated": generated, "Study": f"{study.name}, SHA-256 {study.hash}"}
    for fact in facts.values():
        provenance |= fact.get("provenance", {})
    provenance |= {
        "Measurement runs": ", ".join(runs) or "none",
        "Store": scrub(str(store.root.resolve())),
        "Packages": packages(),
        "Commit": git_commit() or "not a git checkout",
        "Sources": " · ".join(f"{name} SHA-256 {digest[:16]}" for name, digest in made_from.items()),
    }
    reports = [
        {"name": name, "file": f"{name}.html", **{key: fact.get(key, "") for key in ("title", "answer")},
         "ties": fact.get("ties", []), "figures": len(fact["ledger"]), "totals": fact.get("totals", {})}
        for name, fact in sorted(facts.items(), key=lambda made: made[0] != "portfolio")  # the answer first
    ]  # fmt: skip
    return {
        "run_id": run_id,
        "study": study.label,
        "title": study.title,
        "synthetic": study.synthetic,
        "as_of": study.as_of.isoformat(),
        "generated": generated,
        "reports": reports,
        "sources": made_from,
        "provenance": provenance,
        "files": {},
    }


def write(
    study: Study, stage: Path, work: Path, manifest: dict[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write every page and table, the index, and the manifest, which holds the hash of every other file."""
    lines = [{"report": f"{name}.html", **row} for name, fact in facts.items() for row in fact["ledger"]]
    _write_csv(stage / "ledger.csv", lines, ["report", "id", *(one.name for one in fields(Number))])
    for fact in facts.values():
        for name, rows in fact.get("exports", {}).items():
            _write_csv(stage / f"{name}.csv", rows, list(rows[0]) if rows else [])
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
        (stage / name).write_text(html.replace(_CHECKS, check_list(found)), encoding="utf-8")
    names = [*(report["file"] for report in manifest["reports"]), *tables]
    sizes = {name: (stage / name).stat().st_size for name in names}
    (stage / "index.html").write_text(index_page(manifest, found, sizes), encoding="utf-8")
    manifest["checks"] = [asdict(one) for one in found]
    manifest["files"] = {name: sha256(stage / name) for name in ["index.html", *names]}
    (stage / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_csv(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows as CSV a spreadsheet opens safely: text that looks like a formula is quoted with an apostrophe."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in rows)
