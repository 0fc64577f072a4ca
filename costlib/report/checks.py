"""Is a published folder what it claims to be? Each check reads the files, not the program that made them.

`check(folder)` parses every page and the ledger, so a report can be checked long after it was made, by whoever received
it. The same results stand in the provenance block of each page.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

from costlib.errors import InputError, bad
from costlib.figure import KINDS, Figure
from costlib.report.ledger import interval
from costlib.report.manifest import MANIFEST, Manifest, read_manifest
from costlib.report.notebooks import notebook_files, shipped
from costlib.report.publish import machine_paths
from costlib.reporting.numbers import WORDS, number
from costlib.study import Study, load_study
from costlib.value import brief

_LOADING = {"script", "link", "iframe", "object", "embed", "base", "source", "video", "audio"}
_LOADED = re.compile(r"url\(\s*['\"]?(?!#|data:)|@import", re.I)
_STRAY = re.compile(r"\$\s?\d|\d\s*(?:%|tokens/s|[kMGT]B\b|USD\b)")
_NO_ALT = "No description has been provided"  # what nbconvert writes where a notebook gave no alt text
_SPELT = re.compile(r"95\s%|\b[A-Z]+\d+\w*([ -](SXM\d?|PCI[Ee]))?[ -]\d+GB\b")  # intervals, and names such as H100 80GB


@brief
@dataclass(frozen=True)
class Check:
    """One thing that must hold of a report folder, whether it does, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class _Folder:
    root: Path
    manifest: Manifest
    pages: Mapping[str, Any]
    ledger: Mapping[tuple[str, str], Mapping[str, str]]
    study: Path | str | None

    @property
    def reports(self) -> dict[str, Any]:
        """Pages that carry numbers: all but the index."""
        return {name: soup for name, soup in self.pages.items() if name != "index.html"}


def check(folder: Path | str, study: Path | str | None = None) -> list[Check]:
    """Every check of a report folder; raises `InputError` if it is not one.

    `study` is the study file it was made from, where that is not one shipped with costlib.
    """
    from bs4 import BeautifulSoup

    root = Path(folder)
    try:
        manifest = read_manifest(root)
        with (root / "ledger.csv").open(encoding="utf-8", newline="") as file:
            ledger = {(row["report"], row["id"]): row for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError) as error:
        raise bad("report folder", str(folder), f"a folder that costlib report wrote, with {MANIFEST}") from error
    pages = {
        file.name: BeautifulSoup(file.read_text(encoding="utf-8", errors="replace"), "html.parser")
        for file in sorted(root.glob("*.html"))
        if file.is_file() and file.name in manifest.files
    }
    opened = _Folder(root, manifest, pages, ledger, study)
    return [
        Check(name, not problems, (problems or [good])[0] + _more(problems)) for name, problems, good in _all(opened)
    ]


def study_words(study: Study) -> list[str]:
    """Names and sources of a study and its tables that look like figures, each with the beginnings a heading may show.

    They are the study's own words and not numbers of the report.
    """
    found = {" ".join(text.split()) for text in _texts(study.model_dump(mode="json"))}
    for table in (study.workloads, study.use_cases, study.quality_scores):
        if table is not None:
            with table.open(encoding="utf-8-sig", newline="") as file:
                found |= {" ".join(cell.split()) for row in csv.reader(file) for cell in row}
    starts = {name[: at.start()] for name in found if _STRAY.search(name) for at in re.finditer(r" |$", name)}
    return sorted((name for name in starts if _STRAY.search(name)), key=lambda name: (-len(name), name))


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested lists and mappings."""
    for part in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from (part,) if isinstance(part, str) else _texts(part)


def markup(checks: list[Check]) -> str:
    """The checks as a list for the provenance block."""
    lines = "".join(
        f'<li><span class="{"" if c.ok else "failed"}">{"passed" if c.ok else "FAILED"}</span> · {escape(c.name)}: '
        f"{escape(c.detail)}</li>"
        for c in checks
    )
    return f'<ul class="checks">{lines}</ul>'


def sources(notebooks: Mapping[str, Path], study_hash: str) -> dict[str, str]:
    """SHA-256 of what a report is made from: its notebooks, the package, the study with its tables."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for file in sorted(
        p for p in package.rglob("*") if p.suffix in (".py", ".j2", ".css") and "_shipped" not in p.parts
    ):
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    found = {f"notebooks/{name}.ipynb": sha256(file) for name, file in notebooks.items() if file.is_file()}
    return {**found, "costlib package": digest.hexdigest(), "study": study_hash}


def _all(folder: _Folder) -> Iterator[tuple[str, list[str], str]]:
    tests: dict[str, Callable[[_Folder], tuple[list[str], str]]] = {
        "complete": _complete,
        "nothing loaded from elsewhere": _remote,
        "alt text on every figure": _alt,
        "links resolve": _links,
        "every number in the ledger": _numbers,
        "every ledger line explained": _ledger,
        "totals tie": _ties,
        "no paths of the machine": _paths,
        "files unchanged": _files,
        "sources unchanged": _sources,
    }
    for name, test in tests.items():
        problems, good = test(folder)
        yield name, problems, good


def _more(problems: list[str]) -> str:
    return f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""


def _complete(folder: _Folder) -> tuple[list[str], str]:
    listed = [report.file for report in folder.manifest.reports]
    problems = [f"{name} is missing" for name in listed if name not in folder.pages]
    problems += [f"{name} has no end" for name, soup in folder.reports.items() if not soup.select_one("details.ledger")]
    return problems, f"{len(listed)} of {len(listed)} reports have their end marker"


def _remote(folder: _Folder) -> tuple[list[str], str]:
    problems = []
    for name, soup in folder.pages.items():
        for tag in soup.find_all(True):
            attributes = {key: str(value) for key, value in tag.attrs.items()}
            loads = [v for k, v in attributes.items() if k in ("src", "srcset", "poster", "data") and v[:5] != "data:"]
            loads += [v for k, v in attributes.items() if k == "xlink:href" and not v.startswith(("#", "data:"))]
            style = attributes.get("style", "") + (tag.get_text() if tag.name == "style" else "")
            if (
                tag.name in _LOADING
                or loads
                or _LOADED.search(style)
                or any(key.startswith("on") for key in attributes)
            ):
                problems.append(f"{name}: <{tag.name}> {(loads or [''])[0]}"[:200])
    return problems, f"{len(folder.pages)} pages hold all they need"


def _alt(folder: _Folder) -> tuple[list[str], str]:
    problems, count = [], 0
    for name, soup in folder.pages.items():
        for image in soup.select("figure, img"):
            shown = image.select("[role=img]") if image.name == "figure" else [image]
            count += image.name == "figure"
            texts = [str(part.get("aria-label") or part.get("alt") or "").strip() for part in shown]
            texts = ["" if text.startswith(_NO_ALT) else text for text in texts]
            if not all(texts) or (image.name == "figure" and not texts and not image.select("img")):
                problems.append(f"{name}: {image.get('id') or image.name}")
    return problems, f"{count} figures"


def _links(folder: _Folder) -> tuple[list[str], str]:
    problems, count = [], 0
    for name, soup in folder.pages.items():
        ids = [str(tag["id"]) for tag in soup.select("[id]")]
        problems += [f"{name}: id {i} is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})[:5]]
        known = set(ids)
        for link in soup.select("a[href]"):
            target = str(link["href"])
            count += 1
            if (target.startswith("#") and target[1:] not in known) or (
                not target.startswith(("#", "https://", "http://")) and not (folder.root / target).is_file()
            ):
                problems.append(f"{name}: {target}")
    return problems, f"{count} links"


def _numbers(folder: _Folder) -> tuple[list[str], str]:
    problems, count = [], 0
    for name, soup in folder.reports.items():
        for shown in soup.select("[data-n]"):
            row = folder.ledger.get((name, str(shown["data-n"])))
            text = shown.get_text().strip()
            count += 1
            if row is None:
                problems.append(f"{name}: {text} ({shown['data-n']}) is not in the ledger")
            elif not _agrees(text, row):
                problems.append(f"{name}: {text} is not what the ledger holds, {row['value']} {row['unit']}")
        problems += [f"{name}: '{text}' is outside the ledger" for text in _stray(soup, folder.manifest.words)]
    own = sum(len(soup.select(".own")) for soup in folder.reports.values())
    several = "outputs of the notebooks' own are" if own > 1 else "output of the notebook's own is"
    beside = f"; {own} {several} not covered" if own else ""
    return problems, f"{count} numbers shown, {len(folder.ledger)} in the ledger{beside}"


def _agrees(text: str, row: Mapping[str, str]) -> bool:
    """Whether a text shows what its ledger line holds: the number, its interval, or the reason for none."""
    if not row["value"] or text == row["reason"]:
        return True
    try:
        value, low, high = (Decimal(row[name]) if row[name] else None for name in ("value", "low", "high"))
    except ArithmeticError:
        return False
    if value is not None and value in range(len(WORDS)) and text.lower() == WORDS[int(value)]:
        return True
    figure = Figure(value, row["unit"], "derived", row["source"], low, high)
    places = (None, 0, 1, 2, 3, 4)
    known = [number(value or 0, figure.unit, one) for one in places] + [interval(figure)]
    if low is not None and high is not None:
        known += [number(end, figure.unit, one) for end in (low, high) for one in places]
    return any(re.search(rf"(?<![\d.,]){re.escape(shown)}(?!\d|[.,]\d)", text) for shown in known if shown)


def _stray(soup: Any, words: Sequence[str] = ()) -> list[str]:
    """Money, percentages, speeds and bytes written without a figure behind them; `words` are the study's own."""
    outside = ("style", "title", "code", "script", "svg", "details", "nav")
    found = []
    for text in soup.find_all(string=_STRAY):
        parents = list(text.parents)
        covered = any(p.name in outside or p.get("data-n") or p.get("class") in (["cite"], ["own"]) for p in parents)
        line = " ".join(str(text).split())
        if covered or any(f" {line} " in f" {word} " for word in words):
            continue
        rest = line
        for word in words:
            rest = re.sub(rf"(?<![\w.,]){re.escape(word)}(?!\w)", "", rest)
        if _STRAY.search(_SPELT.sub("", rest)):
            found.append(line[:80])
    return found


def _ledger(folder: _Folder) -> tuple[list[str], str]:
    problems = []
    for (report, identity), row in folder.ledger.items():
        explained = (row["low"] and row["high"]) or row["reason"]
        if row["kind"] not in KINDS or not row["source"] or not explained or (row["value"] and not row["unit"]):
            problems.append(f"{report} {identity} ({row['what']}) lacks its kind, source, unit, or interval or reason")
    return problems, f"{len(folder.ledger)} lines have a unit, a kind, a source, and an interval or the reason for none"


def _ties(folder: _Folder) -> tuple[list[str], str]:
    problems, count = [], 0
    for report in folder.manifest.reports:
        for tie in report.ties:
            count += 1
            if abs(tie.total - (parts := sum(tie.parts, Decimal(0)))) >= Decimal("0.01"):
                problems.append(f"{tie.what}: parts add up to {parts}, total is {tie.total}")
    return problems, f"{count} totals equal the sum of their parts to the cent"


def _paths(folder: _Folder) -> tuple[list[str], str]:
    problems = []
    for file in sorted(folder.root.iterdir()):
        if file.name in (*folder.manifest.files, MANIFEST) and file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            problems += [f"{file.name} names {path}" for path in machine_paths(text)]
    return problems, "none found"


def _files(folder: _Folder) -> tuple[list[str], str]:
    listed = folder.manifest.files
    problems = [
        f"{name} was changed or is missing"
        for name, digest in listed.items()
        if not (folder.root / name).is_file() or sha256(folder.root / name) != digest
    ]
    return problems, f"{len(listed)} files have the hash they were written with"


def _sources(folder: _Folder) -> tuple[list[str], str]:
    then = dict(folder.manifest.sources)
    try:
        study = load_study(folder.study or folder.manifest.study)
        files, study_hash = notebook_files(study), study.hash
    except InputError:  # a study that is not at hand is no fault of the report, and so with its own notebooks
        files, study_hash = shipped(), then.pop("study", "")
        then = {name: digest for name, digest in then.items() if name[:10] != "notebooks/" or name[10:-6] in files}
    now = sources(files, study_hash)
    problems = [f"{name} is not the one the report was made from" for name in then if then[name] != now.get(name)]
    return problems, f"{len(then)} sources have the hash the report was made from"


def sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
