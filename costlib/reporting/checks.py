"""What must hold of a report: its pages are looked at once, as they are published; afterwards hashes say what changed.

`inspect` reads the finished pages and what they state of themselves; its results stand in each page and in the
manifest. `check` repeats them and adds what can change later: files, notebooks, the study and the package.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from costlib.errors import InputError, invalid_input
from costlib.figure import KINDS
from costlib.reporting.manifest import MANIFEST, Check, Tie, inputs_hash, read_manifest, sha256, sources
from costlib.reporting.notebook import notebook_files, shipped
from costlib.reporting.publish import machine_paths
from costlib.store import Store
from costlib.study import Study, load_study

BATCH = "batch.json"
"""What a batch's folder says of its reports."""

_LOADING = {"script", "link", "iframe", "object", "embed", "base", "source", "video", "audio"}
_LOADED = re.compile(r"url\(\s*['\"]?(?!#|data:)|@import", re.I)
_STRAY = re.compile(r"\$\s?\d|\d\s*(?:%|tokens/s|[kMGT]B\b|USD\b)")
_NO_ALT = "No description has been provided"  # what nbconvert writes where a notebook gave no alt text
_SPELT = re.compile(r"95\s%|\b[A-Z]+\d+\w*([ -](SXM\d?|PCI[Ee]))?[ -]\d+GB\b")  # intervals, and names such as H100 80GB


def check(folder: Path | str, study: Path | str | None = None) -> list[Check]:
    """Check a published folder again: whole, unchanged, every number in the ledger, made from what is here now.

    Raises `InputError` for a folder that is neither of a report nor of a batch.

    Args:
        folder: Folder of a report, or of a batch.
        study: Study or batch file it was made from, if it was moved.
    """
    root = Path(folder)
    if not (root / BATCH).is_file():
        return _check_report(root, study)
    try:
        held = _Batch.model_validate_json((root / BATCH).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise invalid_input("report folder", str(folder), f"a folder that costlib batch wrote, with {BATCH}") from error
    file = Path(study) if study is not None else root / held.batch

    def checked(one: _Made) -> list[Check]:
        if one.status in ("failed", "waiting"):
            return [Check("made", False, one.reason or one.status)]
        try:
            return _check_report(root / one.out, f"{file}#{one.name}")
        except InputError as error:
            return [Check("made", False, str(error))]

    return [replace(each, name=f"{one.name}: {each.name}") for one in held.reports for each in checked(one)]


class _Made(BaseModel):
    name: str
    status: str
    reason: str | None
    out: str


class _Batch(BaseModel):
    """What is read back of batch.json."""

    batch: str
    reports: list[_Made]


def _check_report(root: Path, study: Path | str | None) -> list[Check]:
    try:
        manifest = read_manifest(root)
    except (OSError, ValueError, KeyError) as error:
        raise invalid_input(
            "report folder", str(root), f"a folder that costlib report wrote, with {MANIFEST}"
        ) from error
    listed = [report.file for report in manifest.reports]
    gone = [f"{name} is missing" for name in listed if not (root / name).is_file()]
    changed = [
        f"{name} was changed or is missing"
        for name, digest in manifest.files.items()
        if not (root / name).is_file() or sha256(root / name) != digest
    ]
    return [
        _check("complete", gone, f"{len(listed)} of {len(listed)} reports have their end marker"),
        *manifest.checks,
        _check("files unchanged", changed, f"{len(manifest.files)} files have the hash they were written with"),
        _check("sources unchanged", *_sources(dict(manifest.sources), study or manifest.study)),
    ]


def unchanged(study: Study, store: Store, folder: Path) -> list[Check] | None:
    """The checks of a folder that was made from the same inputs and passes them all; None for any other folder."""
    try:
        if read_manifest(folder).inputs != inputs_hash(study, store):
            return None
        found = _check_report(folder, study.reference)
    except (OSError, ValueError, InputError):
        return None
    return found if all(one.ok for one in found) else None


def inspect(
    pages: Mapping[str, str],
    files: Iterable[str],
    ledger: Mapping[str, Sequence[Mapping[str, Any]]],
    ties: Iterable[Mapping[str, Any]],
    words: Sequence[str] = (),
) -> list[Check]:
    """What is seen in pages that are about to be published.

    pages: markup by file name
    files: names of everything else that a page may link to
    ledger: lines of the ledger by page
    ties: totals and their parts, see `Tie`
    words: names of the study that look like figures, and are none
    """
    from bs4 import BeautifulSoup

    soups = {name: BeautifulSoup(html, "html.parser") for name, html in pages.items()}
    there, lines = {*pages, *files}, sum(map(len, ledger.values()))
    figures, links, numbers, own = (
        sum(len(soup.select(what)) for soup in soups.values()) for what in ("figure", "a[href]", "[data-n]", ".own")
    )
    known = {name: {line["id"] for line in rows} for name, rows in ledger.items()}
    beside = f"; {own} outputs of the notebooks' own are not covered" if own > 1 else ""
    beside = "; 1 output of the notebook's own is not covered" if own == 1 else beside

    def over(look: Any) -> list[str]:
        return [f"{name}: {problem}" for name, soup in soups.items() for problem in look(name, soup)]

    tied = [Tie.model_validate(tie) for tie in ties]
    return [
        _check("nothing loaded from elsewhere", over(_remote), f"{len(pages)} pages hold all they need"),
        _check("alt text on every figure", over(_alt), f"{figures} figures"),
        _check("links resolve", over(lambda _, soup: _links(soup, there)), f"{links} links"),
        _check(
            "every number in the ledger",
            over(lambda name, soup: _numbers(soup, known.get(name, set()), words)),
            f"{numbers} numbers shown, {lines} in the ledger{beside}",
        ),
        _check(
            "every ledger line explained",
            [f"{name} {row['id']} ({row['what']}) lacks {lacking}" for name, rows in ledger.items()
             for row in rows if (lacking := _lacking(row))],
            f"{lines} lines have a unit, a kind, a source, and an interval or the reason for none",
        ),
        _check(
            "totals tie",
            [f"{tie.what}: parts add up to {sum(tie.parts)}, total is {tie.total}" for tie in tied
             if abs(tie.total - sum(tie.parts, Decimal(0))) >= Decimal("0.01")],
            f"{len(tied)} totals equal the sum of their parts to the cent",
        ),
        _check(
            "no paths of the machine",
            [f"{name} names {path}" for name, html in pages.items() for path in machine_paths(html)],
            "none found",
        ),
    ]  # fmt: skip


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


def _check(name: str, problems: Sequence[str], good: str) -> Check:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Check(name=name, ok=not problems, detail=problems[0] + more if problems else good)


def _remote(_: str, soup: Any) -> Iterator[str]:
    for tag in soup.find_all(True):
        attributes = {key: str(value) for key, value in tag.attrs.items()}
        loads = [v for k, v in attributes.items() if k in ("src", "srcset", "poster", "data") and v[:5] != "data:"]
        loads += [v for k, v in attributes.items() if k == "xlink:href" and not v.startswith(("#", "data:"))]
        style = attributes.get("style", "") + (tag.get_text() if tag.name == "style" else "")
        if tag.name in _LOADING or loads or _LOADED.search(style) or any(key.startswith("on") for key in attributes):
            yield f"<{tag.name}> {(loads or [''])[0]}"[:200]


def _alt(_: str, soup: Any) -> Iterator[str]:
    for image in soup.select("figure, img"):
        shown = image.select("[role=img]") if image.name == "figure" else [image]
        texts = [str(part.get("aria-label") or part.get("alt") or "").strip() for part in shown]
        texts = ["" if text.startswith(_NO_ALT) else text for text in texts]
        if not all(texts) or (image.name == "figure" and not texts and not image.select("img")):
            yield image.get("id") or image.name


def _links(soup: Any, there: set[str]) -> Iterator[str]:
    ids = [str(tag["id"]) for tag in soup.select("[id]")]
    yield from (f"id {i} is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})[:5])
    for target in (str(link["href"]) for link in soup.select("a[href]")):
        known = target[1:] in ids if target.startswith("#") else target in there
        if not known and not target.startswith(("https://", "http://")):
            yield target


def _numbers(soup: Any, known: set[str], words: Sequence[str]) -> Iterator[str]:
    for shown in soup.select("[data-n]"):
        if shown["data-n"] not in known:
            yield f"{shown.get_text().strip()} ({shown['data-n']}) is not in the ledger"
    yield from (f"'{text}' is outside the ledger" for text in _stray(soup, words))


def _stray(soup: Any, words: Sequence[str]) -> Iterator[str]:
    """Money, percentages, speeds and bytes written without a number behind them; `words` are the study's own."""
    outside = ("style", "title", "code", "script", "svg", "details", "nav")
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
            yield line[:80]


def _lacking(row: Mapping[str, Any]) -> str:
    explained = row["reason"] or (row["low"] is not None and row["high"] is not None)
    good = row["kind"] in KINDS and row["source"] and explained and (row["value"] is None or row["unit"])
    return "" if good else "its kind, source, unit, or interval or reason"


def _sources(then: dict[str, str], study_name: Path | str) -> tuple[list[str], str]:
    try:
        study = load_study(study_name)
        files, study_hash = notebook_files(study), study.hash
    except InputError:  # a study that is not at hand is no fault of the report, and so with its own notebooks
        files, study_hash = shipped(), then.pop("study", "")
        then = {name: digest for name, digest in then.items() if name[:10] != "notebooks/" or name[10:-6] in files}
    now = sources(files, study_hash)
    problems = [f"{name} is not the one the report was made from" for name in then if then[name] != now.get(name)]
    return problems, f"{len(then)} sources have the hash the report was made from"
