"""Many reports from one batch file: each in a process of its own, several at a time, resumable.

Everything is read and checked before anything starts. A report that fails, crashes, is killed or takes too long leaves
a page that says so and does not touch the others. A report whose inputs are those it was made from, and whose folder
passes its checks, is not made again. The folder of the batch gets an index over all of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from costlib.environment import cpu_count
from costlib.errors import InputError, RunError, bad
from costlib.isolate import run_isolated, step
from costlib.output import cannot_write, held
from costlib.progress import Progress, Step, silent
from costlib.report.batch_folder import check_batch_folder, write_batch
from costlib.report.batch_result import BatchResult, Made
from costlib.report.folder import check_writable, clear_leftovers, write_failure
from costlib.report.inputs import unchanged
from costlib.report.manifest import Check
from costlib.report.notebooks import page_of
from costlib.report.run import check_inputs, report, reports_dir
from costlib.store import Store
from costlib.study import Batch, BatchReport, Study, load_batch, load_study
from costlib.study.batch import together

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What the numeric libraries take their number of threads from."""

_INTERRUPTED = "the batch was interrupted"


@dataclass(frozen=True)
class _Job:
    """One report about to be made. Paths are absolute."""

    report: BatchReport
    study: Study
    out: Path
    store: Path
    timeout_s: float


def batch(
    path: str | Path,
    *,
    workers: int | None = None,
    out: Path | str | None = None,
    store: Path | str | None = None,
    timeout_s: float | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> BatchResult:
    """Make many reports, several at a time, with an index over all.

    `out`, `store` and `timeout_s` take the place of the file's; what a report names itself stays. Raises `InputError`
    naming every mistake in the file, its studies and their tables before anything is written; what fails later is in
    the result.

    Args:
        path: Batch file, or the name of a shipped batch.
        workers: Reports at a time [default: one for each core].
        out: Its folder [default: the file's, or reports/FILE-batch].
        store: Folder of measurements [default: the file's, or data/store].
        timeout_s: Seconds for a report [default: the file's].
        fresh: Make again what has not changed.
        progress: Is told each step.
    """
    found = load_batch(path)
    workers = min(cpu_count(), len(found.reports)) if workers is None else workers
    if workers < 1:
        raise bad("workers", workers, "at least 1")
    if timeout_s is not None and timeout_s < 1:
        raise bad("timeout_s", timeout_s, "at least 1")
    tell = progress or silent
    folder = Path(out).absolute() if out is not None else found.out or reports_dir() / f"{found.file.stem}-batch"
    jobs = _jobs(found, folder, store, timeout_s, tell)
    for root in {job.store for job in jobs if not job.store.is_dir()}:
        Store(root).check_writable()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write("out", folder, error) from None
    with held(folder) as ours:
        if not ours:
            raise bad("out", str(folder), "a folder no other batch is writing to at this moment")
        made: dict[str, Made] = {}
        try:
            _make_all(jobs, workers, fresh, made, tell)
        finally:
            waiting = {job.report.name: _made(job, "waiting", reason=_INTERRUPTED) for job in jobs}
            result = BatchResult(found, folder, workers, tuple({**waiting, **made}.values()))
            write_batch(result)
    return result


def _jobs(found: Batch, folder: Path, store: Path | str | None, timeout_s: float | None, tell: Progress) -> list[_Job]:
    """Every report with its study read and its inputs checked; raises `InputError` with every mistake."""
    jobs: list[_Job] = []
    places: dict[str, Path] = {}
    mistakes: dict[str, InputError] = {}  # the same mistake of a study that many reports share is told once
    for number, one in enumerate(found.reports):
        tell(Step(f"reading {one.name}", stage="reading", done=number, total=len(found.reports)))
        place = (one.out or folder / one.name).resolve()
        try:
            _check_apart(place, folder.resolve(), places)
            places[one.name] = place
            kept = _store(one, store or found.store)
            study = load_study(one.changes.reference)
            check_inputs(study, kept)
            check_writable(place, map(page_of, study.notebooks))
            limit = one.timeout_s or timeout_s or found.timeout_s
            jobs.append(_Job(one, study, place, kept.root.absolute(), limit))
        except InputError as error:
            text = str(error)
            inside = text.startswith(f"{found.file}:")
            mistakes.setdefault(text, error if inside else InputError(f"{one.where}: report {one.name}: {text}"))
    try:
        check_batch_folder(folder)
    except InputError as error:
        mistakes[str(error)] = error
    if mistakes:
        raise together(list(mistakes.values()))
    return jobs


def _store(one: BatchReport, given: Path | str | None) -> Store:
    """The store of a report: its own, that of the batch, or the default one."""
    return Store(one.store or given)


def _check_apart(out: Path, folder: Path, others: Mapping[str, Path]) -> None:
    """Refuse a folder that another report, or the index of the batch, is written to."""
    for name, other in others.items():
        if out == other or out in other.parents or other in out.parents:
            raise bad("out", str(out), f"a folder of its own (report {name} is written to {other})")
    if out == folder or out in folder.parents:
        raise bad("out", str(out), f"a folder of its own (the index of the batch is written to {folder})")


def _make_all(jobs: list[_Job], workers: int, fresh: bool, made: dict[str, Made], tell: Progress) -> None:
    """Make every report and note it in `made`; an interruption ends the processes under way."""
    threads = str(max(1, cpu_count() // workers))
    environment = {name: os.environ.get(name, threads) for name in _THREADS}
    stop = Event()
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_make, job, environment, fresh, stop, tell) for job in jobs]
        try:
            for done in as_completed(waiting):
                one = done.result()
                made[one.name] = one
                text = f"{one.name}: {one.status}" + (f": {one.reason}" if one.reason else "")
                tell(Step(text, stage="reports", done=len(made), total=len(jobs)))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _make(job: _Job, environment: Mapping[str, str], fresh: bool, stop: Event, tell: Progress) -> Made:
    """Make one report in a process of its own, whatever becomes of it."""
    name = job.report.name
    try:
        outcome = run_isolated(
            f"{__name__}:make_one",
            {"study": job.study.reference, "out": str(job.out), "store": str(job.store), "fresh": fresh},
            timeout_s=job.timeout_s,
            on_progress=lambda text: tell(f"{name}: {text}"),
            environment=dict(environment),
            stop=stop,
        )
        if outcome.value is not None:
            return _made(job, seconds=outcome.seconds, **outcome.value)
        reason, seconds = outcome.reason or outcome.status, outcome.seconds
    except InputError as error:  # changed since it was checked
        reason, seconds = str(error), None
    clear_leftovers(job.out)
    if stop.is_set():
        return _made(job, "waiting", reason=_INTERRUPTED)
    page = None
    with suppress(OSError):
        page = write_failure(job.out, name, f"The process that made the report {name} did not finish: {reason}").name
    return _made(job, "failed", reason=reason, page=page, seconds=seconds)


def make_one(study: str, out: str, store: str, fresh: bool) -> dict[str, Any]:
    """In the child: make one report unless it is there already; how it ended, as JSON types."""
    found, kept, folder = load_study(study), Store(store), Path(out)
    checks = None if fresh else unchanged(found, kept, folder)
    if checks is not None:
        return _ended("unchanged", checks)
    try:
        made = report(study, out=folder, store=kept, progress=_notebook_by_notebook)
    except RunError as error:
        pages = [page.name for page in folder.glob("*.failed.html")]
        return {"status": "failed", "reason": str(error.__cause__ or error), "page": pages[0] if pages else None}
    return _ended("written", list(made.checks))


def _ended(status: str, checks: list[Check]) -> dict[str, Any]:
    wrong = [f"{one.name}: {one.detail}" for one in checks if not one.ok]
    counted = {"page": "index.html", "checks": len(checks), "checks_passed": len(checks) - len(wrong)}
    if wrong:
        return {"status": "failed", "reason": f"not every check passed: {'; '.join(wrong)}", **counted}
    return {"status": status, **counted}


def _notebook_by_notebook(text: str) -> None:
    """Pass on the end of each notebook: several reports at a time need no line for each cell."""
    if not isinstance(text, Step) or text.done == text.total:
        step(text)


def _made(job: _Job, status: str, **facts: Any) -> Made:
    study = job.study
    return Made(job.report.name, study.title, study.as_of, study.synthetic, job.out, status, **facts)
