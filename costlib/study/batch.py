"""A batch file: many reports, each a study with other values for some of its keys.

    title: Business units
    out: ../reports/units        # folder of the batch [default: reports/, the name of this file and -batch]
    store: ../store              # measurements [default: data/store]
    timeout_s: 1800              # for one report
    reports:
      - demo                     # a study as it is
      - study: mine.yml          # any key of a study may stand here and takes the place of the study's own
        name: mine-october
        as_of: 2026-10-01
        notebooks: [portfolio]
      - study: unit.yml
        for_each: { workloads: units/*.csv }   # one report for each file, or for each value of a list
        name: unit-{workloads}
        title: Unit {workloads}               # {workloads} stands for the file's name in any text

Paths are relative to the batch file; keys that a study keeps are relative to the study. `study`, `out`, `store` and
`timeout_s` of a report are its own. A report is named FILE#NAME wherever a study is asked for: `load_study`, the
notebooks and every command read the same study from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from costlib.errors import InputError, invalid_input
from costlib.read import Place, is_file, near, parsing, place, read_yaml, sentences
from costlib.study.fields import Part, Positive, Text
from costlib.study.file import Study, find_file

TIMEOUT_S = 1800.0
_OWN = ("study", "out", "store", "timeout_s", "for_each")
_PATHS = ("study", "workloads", "use_cases", "quality_scores")
_BRACED = re.compile(r"{(\w+)}")
_KEYS = [name for name, field in Study.model_fields.items() if not field.exclude]


class _Report(Part):
    """The keys of a report that are not a study's."""

    model_config = ConfigDict(frozen=True, extra="allow")
    study: Text | None = None
    out: Path | None = None
    store: Path | None = None
    timeout_s: Positive | None = None
    for_each: Annotated[dict[Text, Any], Field(min_length=1)] | None = None


class _File(Part):
    """The keys of a batch file."""

    title: Text | None = None
    out: Path | None = None
    store: Path | None = None
    timeout_s: Positive = TIMEOUT_S
    reports: tuple[Annotated[_Report, BeforeValidator(lambda v: {"study": v} if isinstance(v, str) else v)], ...]


@dataclass(frozen=True)
class Changes:
    """What a report of a batch changes in a study: the `values` of its keys, written in `file` at `at`."""

    study: Path
    values: Mapping[str, Any]
    file: Path
    at: Place
    reference: str


@dataclass(frozen=True)
class BatchReport:
    """One report of a batch. Paths are absolute; `out`, `store` and `timeout_s` are None where it names none itself."""

    name: str
    changes: Changes
    out: Path | None
    store: Path | None
    timeout_s: float | None
    where: str
    """File and line it is written at."""


@dataclass(frozen=True)
class Batch:
    """A batch file, read and checked but for the studies it names. Paths are absolute."""

    file: Path
    title: str
    out: Path | None
    store: Path | None
    timeout_s: float
    """For one report, in seconds."""
    reports: tuple[BatchReport, ...]


def load_batch(path: str | Path) -> Batch:
    """Read a batch file and lay out its reports; a bare name means one shipped under data/batches.

    Raises `InputError` naming every mistake in it, each with file and line; the studies are not read yet.
    """
    file = find_file(path, "batch")
    tree = read_yaml(file, "batch")
    at = place(file, tree)
    try:
        spec = _File.model_validate(tree)
    except ValidationError as error:
        raise together(sentences(error, _File, at)) from None
    if not spec.reports:
        raise invalid_input("reports", "empty", "at least one report", at(("reports",)))
    found: list[BatchReport] = []
    mistakes: list[InputError] = []
    for index in range(len(spec.reports)):
        try:
            for report in _laid_out(file, spec, index, tree["reports"][index], at):
                first = next((one for one in found if one.name == report.name), None)
                if first is not None:
                    allowed = f"a name no other report has (it is that of {first.where})"
                    raise invalid_input("name", report.name, allowed, report.where)
                found.append(report)
        except InputError as error:
            mistakes.append(error)
    if mistakes:
        raise together(mistakes)
    out, store = (file.parent / one if one else None for one in (spec.out, spec.store))
    return Batch(file, spec.title or file.stem, out, store, spec.timeout_s, tuple(found))


def changes_of(path: str | Path) -> Changes | None:
    """What the batch changes where `path` is a report of it, FILE#NAME; None for any other path."""
    with parsing("study", path, "a path"):
        folder, name = Path(path).expanduser().parent, Path(path).name
    file, mark, report = name.rpartition("#")
    if not mark or is_file(folder / name) or not is_file(folder / file):
        return None
    reports = {one.name: one.changes for one in load_batch(folder / file).reports}
    if report not in reports:
        raise invalid_input("report", report, near(report, reports), str(folder / file))
    return reports[report]


def together(mistakes: list[InputError]) -> InputError:
    """Several mistakes as one error, a line for each."""
    return mistakes[0] if len(mistakes) == 1 else InputError(*map(str, mistakes))


def _laid_out(file: Path, spec: _File, index: int, entry: Any, at: Place) -> Iterator[BatchReport]:
    """The reports of one entry: one, or one for each combination of what `for_each` lists."""
    entry = {"study": entry} if isinstance(entry, str) else entry
    each = entry.get("for_each") or {}
    for keys, allowed, inside in ((entry, [*_KEYS, *_OWN], ()), (each, [*_KEYS, "study"], ("for_each",))):
        for key in keys:
            if key not in allowed:
                raise invalid_input("key", key, near(key, allowed), at(("reports", index, *inside, key)))
    if "study" not in entry and "study" not in each:
        raise invalid_input("study", None, "a value (required)", at(("reports", index)))
    axes = [
        [(key, value) for value in _values(file, key, given, at(("reports", index, "for_each", key)))]
        for key, given in each.items()
    ]
    for chosen in product(*axes):
        yield _one(file, spec, index, entry, dict(chosen), at)


def _one(
    file: Path, spec: _File, index: int, entry: Mapping[str, Any], chosen: Mapping[str, Any], at: Place
) -> BatchReport:
    """The report of one entry with the `chosen` values of its `for_each`."""
    labels = {key: _label(key, value) for key, value in chosen.items()}

    def written(location: Sequence[str | int] = ()) -> str:
        inside = ("for_each",) if location and location[0] in chosen else ()
        return at(("reports", index, *inside, *location))

    def filled(key: str) -> Any:
        """A text of the entry with the chosen values in the place of their keys in braces."""
        text = entry.get(key)
        if not chosen or not isinstance(text, str):
            return text
        for name in _BRACED.findall(text):
            if name not in labels:
                raise invalid_input(key, f"{{{name}}}", near(name, labels), written((key,)))
        return _BRACED.sub(lambda one: _slug(labels[one[1]]) if key == "name" else labels[one[1]], text)

    values = {key: filled(key) for key in entry if key in _KEYS}
    values |= {key: value for key, value in chosen.items() if key != "study"}
    study = chosen.get("study") or entry["study"]
    words = [_label("study", study), *(label for key, label in labels.items() if key != "study")]
    values.setdefault("name", _slug("-".join(words)))
    beside = file.parent / str(study)
    try:
        found = find_file(beside if is_file(beside) else study)
    except InputError as error:
        raise InputError(f"{written(('study',))}: {error}") from None
    changes = Changes(found, values, file, written, f"{file}#{values['name']}")
    out, store = (file.parent / str(filled(key)) if entry.get(key) else None for key in ("out", "store"))
    return BatchReport(str(values["name"]), changes, out, store, spec.reports[index].timeout_s, written())


def _values(file: Path, key: str, given: Any, where: str) -> list[Any]:
    """The values of a key in `for_each`: a list, or the files that a pattern finds, in order of their names."""
    if isinstance(given, str) and key in _PATHS:
        allowed = f"a pattern that finds files in {file.parent}"
        with parsing(f"for_each.{key}", given, allowed, where):
            found = sorted(str(one.relative_to(file.parent)) for one in file.parent.glob(given) if one.is_file())
        if not found:
            raise invalid_input(f"for_each.{key}", given, allowed, where)
        return list[Any](found)
    plain = isinstance(given, list) and all(isinstance(one, (str, int, float, date)) for one in given)
    if not given or not plain:
        files = " or a pattern of files such as units/*.csv" if key in _PATHS else ""
        raise invalid_input(f"for_each.{key}", given, f"a list of values{files}", where)
    return list(given)


def _label(key: str, value: Any) -> str:
    """What a value is called in a name or a title: a file by its name without the ending."""
    return Path(str(value)).stem if key in _PATHS else str(value)


def _slug(text: str) -> str:
    """A text as a part of a name: lower case, digits, - and _."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")
