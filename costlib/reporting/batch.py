"""Many reports from one batch file: each in a process of its own, several at a time, resumable.

Everything is read and checked before anything starts. A report that fails, crashes, is killed or takes too long leaves
a page that says so and does not touch the others. A report whose inputs are those it was made from, and whose folder
passes its checks, is not made again. The folder of the batch gets an index over all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from costlib.environment import cpu_count, git_commit
from costlib.errors import InputError, RunError, invalid_input
from costlib.isolate import run_isolated, step
from costlib.output import cannot_write, check_folder, held, write_all
from costlib.progress import Progress, Step, unwatched
from costlib.reporting import markup
from costlib.reporting.checks import BATCH, unchanged
from costlib.reporting.folder import check_writable, clear_leftovers, write_failure
from costlib.reporting.manifest import MANIFEST, Check, Listed, packages, read_manifest, sha256
from costlib.reporting.notebook import page_of
from costlib.reporting.publish import long_date, machine_paths, page, provenance_block, scrub
from costlib.reporting.run import check_inputs, report, reports_dir
from costlib.store import Store
from costlib.study import Batch, BatchReport, Study, load_batch, load_study
from costlib.study.batch import together
from costlib.tables.columns import known
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What the numeric libraries take their number of threads from."""

_INTERRUPTED = "the batch was interrupted"


TOTALS = {
    "plan": "usd_per_month", "bills": "cash_usd_per_month", "saving": "saving_usd_per_month",
    "probability_saves": "cheaper_probability",
}  # fmt: skip
"""The numbers a portfolio report states of itself, and the column of each on the batch's page."""


@dataclass(frozen=True)
class Made:
    """How one report of a batch ended: `written`, `unchanged`, `failed`, or `waiting` where it was not begun.

    `synthetic` is what its study says is made up, `page` what a reader opens first in the folder `out`; `reason` says
    why it failed.
    """

    name: str
    title: str
    as_of: date
    synthetic: str
    out: Path
    status: str
    reason: str | None = None
    page: str | None = None
    seconds: float | None = None
    checks: int | None = None
    checks_passed: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the report is there and passes its checks."""
        return self.status in ("written", "unchanged")

    @cached_property
    def reports(self) -> list[Listed]:
        """What the manifest in its folder says of each notebook; nothing for a report that is not ok."""
        return read_manifest(self.out).reports if self.ok else []

    @property
    def totals(self) -> dict[str, dict[str, Any]]:
        """Each of `TOTALS` with value, low, high, reason, unit, kind and source."""
        told = next((one.totals for one in self.reports if one.totals), {})
        why = "no portfolio notebook in this report" if self.ok else "the report failed or was not made"
        unknown = {"value": None, "low": None, "high": None, "reason": why}
        about = {"kind": "derived", "source": self.name}
        return {name: told.get(name, unknown | {"unit": known(column).unit} | about) for name, column in TOTALS.items()}

    def document(self) -> dict[str, Any]:
        """The report as JSON types but for `out`, a path; numbers are decimal strings."""
        names = ("name", "title", "as_of", "status", "reason", "out", "page", "seconds", "checks", "checks_passed")
        return {name: getattr(self, name) for name in names} | {
            name: {key: str(held) if isinstance(held, float) else held for key, held in total.items()}
            for name, total in self.totals.items()
        }


@brief
@dataclass(frozen=True)
class BatchResult:
    """A batch that was made: its file, the folder of its index, how many reports at a time, and every report."""

    batch: Batch
    out: Path
    workers: int
    reports: tuple[Made, ...]

    @property
    def ok(self) -> bool:
        """Whether every report is there and passes its checks."""
        return all(report.ok for report in self.reports)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Every report as JSON types."""
        return [one.document() for one in self.reports]

    @property
    def index(self) -> Path:
        """The first page."""
        return self.out / "index.html"


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
        raise invalid_input("workers", workers, "at least 1")
    if timeout_s is not None and timeout_s < 1:
        raise invalid_input("timeout_s", timeout_s, "at least 1")
    tell = progress or unwatched
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
            raise invalid_input("out", str(folder), "a folder no other batch is writing to at this moment")
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
            kept = Store(one.store or store or found.store)
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
        _check_folder(folder)
    except InputError as error:
        mistakes[str(error)] = error
    if mistakes:
        raise together(list(mistakes.values()))
    return jobs


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose first page is something else's, or that cannot be written."""
    others = not (folder / BATCH).is_file() and any((folder / name).exists() for name in (MANIFEST, "index.html"))
    if others or (folder.exists() and not folder.is_dir()):
        raise invalid_input("out", str(folder), "a new folder, or one without an index.html that is not a batch's")
    check_folder(folder)


def _check_apart(out: Path, folder: Path, others: Mapping[str, Path]) -> None:
    """Refuse a folder that another report, or the index of the batch, is written to."""
    for name, other in others.items():
        if out == other or out in other.parents or other in out.parents:
            raise invalid_input("out", str(out), f"a folder of its own (report {name} is written to {other})")
    if out == folder or out in folder.parents:
        raise invalid_input("out", str(out), f"a folder of its own (the index of the batch is written to {folder})")


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


def write_batch(result: BatchResult) -> None:
    """Write index.html and batch.json; paths in them are relative to the folder."""
    file, folder = result.batch.file, result.out
    generated = datetime.now(UTC).isoformat(timespec="seconds")
    beside = os.path.relpath(file, folder)
    document = {
        "batch": file.name if machine_paths(beside) else beside,
        "title": result.batch.title,
        "generated": generated,
        "workers": result.workers,
        "ok": result.ok,
        "reports": [{**made.document(), "out": os.path.relpath(made.out, folder)} for made in result.reports],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
    write_all({result.index: batch_page(result, generated), folder / BATCH: scrub(text)})


_STATUS = {"written": "complete", "unchanged": "complete, unchanged", "failed": "FAILED", "waiting": "not made"}


def batch_page(result: BatchResult, generated: str) -> str:
    """The first page of a batch: how many reports there are, what each plan costs and saves, and where each is."""
    import pandas as pd

    file, reports = result.batch.file, result.reports
    about = f"costlib batch {file.stem} · {len(reports)} reports · made {long_date(generated)}"

    def linked(path: Path | None, text: str) -> str:
        target = escape(quote(os.path.relpath(path, result.out))) if path else ""
        return f'<a href="{target}">{escape(text)}</a>' if path else escape(text)

    links = {made.name: linked(made.out / made.page if made.page else None, made.name) for made in reports}
    rows: list[dict[str, Any]] = []
    for made in reports:
        rows.append({"report": made.name, "status": _STATUS[made.status]})
        for column, total in zip(TOTALS.values(), made.totals.values(), strict=True):
            rows[-1] |= {column: total["value"]} | {
                f"{column}_{key}": total[key] for key in ("low", "high", "reason", "source")
            }
    frame = pd.DataFrame(rows).astype(
        {f"{column}{end}": float for column in TOTALS.values() for end in ("", "_low", "_high")}
    )
    caption = "Each plan in a month, wrong answers counted, and its saving against the baseline"
    table = markup.Table(frame, ["report", "status", *TOTALS.values()], None, {}, file.stem)
    shown = table.html(caption, caption)
    for made in reports:
        small = f"<small>{escape(f'{made.title} · as of {long_date(made.as_of)}')}</small>"
        shown = shown.replace(f'<th scope="row">{made.name}<', f'<th scope="row">{links[made.name]}{small}<')
    answer, said = _headline(frame, reports, file.stem)
    answers = [
        f"<li><h3>{linked(made.out / (made.page or ''), made.name)}: {escape(made.title)}</h3>"
        + "".join(
            f'<p>{linked(made.out / one.file, one.title)}<br><span class="cite">{escape(one.answer)}</span></p>'
            for one in made.reports
        )
        + "</li>"
        for made in reports
        if made.reports
    ]
    provenance = [
        ("Status", f"{sum(made.ok for made in reports)} of {len(reports)} reports complete"),
        ("Batch", f"{file.name}, SHA-256 {sha256(file)}"),
        ("Generated", f"{generated}, {result.workers} at a time"),
        ("Packages", packages()),
        ("Commit", git_commit() or "not a git checkout"),
    ]
    body = [
        f'<h1>{escape(result.batch.title)}</h1><p class="eyebrow">{escape(about)}</p><p class="headline">{answer}</p>',
        *(
            f'<p class="caution">{links[made.name]}: {escape(made.reason or made.status)}</p>'
            for made in reports
            if not made.ok
        ),
        shown,
        markup.key(),
        *(f'<p class="note-line">{escape(text)}</p>' for text in dict.fromkeys(one.synthetic for one in reports)),
        f'<h2>What each report says</h2><ul class="reports">{"".join(answers)}</ul>' if answers else "",
        markup.ledger([*said, *(one for row in table.numbers for one in row.values())]),
        provenance_block(provenance),
    ]
    return page(f"{result.batch.title}: reports", "".join(body))


def _headline(frame: pd.DataFrame, reports: Sequence[Made], source: str) -> tuple[str, list[markup.Number]]:
    """The answer first: how many are there, which are not, and whose plan saves most."""
    missing = [made.name for made in reports if not made.ok]
    count = f"{len(reports) - len(missing)} of {len(reports)}" if missing else f"All {len(reports)}"
    words: dict[str, Any] = {"counted": count, "names": missing}
    sentence = "{counted} reports are complete"
    sentence += ("; {names} " + ("is" if len(missing) == 1 else "are") + " not. ") if missing else ". "
    best = frame.dropna(subset=TOTALS["saving"]).sort_values(TOTALS["saving"], ascending=False, kind="stable").head(1)
    if len(best):
        words = dict(best.iloc[0]) | words
        saves = float(words[TOTALS["saving"]]) > 0
        sentence += (
            f"The plan of {{report}} saves most, {{{TOTALS['saving']}:range}}."
            if saves
            else ("No plan is cheaper than its baseline.")
        )
    return markup.fill(sentence, words, source, kinds=False)
