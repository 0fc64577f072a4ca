"""Workloads and how well each capability serves them: two CSV tables, typed and checked line by line.

A workload is a stream of requests: its volume and hours, its tokens, how good and how fast an answer must be, what a
wrong answer costs and what a right one is worth. A score is the success rate of one capability (a model family or a
person) on one workload, with its interval, kind and source. Token counts are means per request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from costlib.errors import invalid_input
from costlib.figure import KINDS
from costlib.read import Row, close, near, read_rows
from costlib.study import Study, place_in

T = TypeVar("T")


@dataclass(frozen=True)
class Workload:
    """One stream of requests. Money is $ per request, tokens are means per request."""

    workload: str
    task: str
    requests_per_month: float
    profile: str
    input_tokens: int
    cached_tokens: int
    """Input tokens that repeat from request to request and can be read from an API's prompt cache."""
    output_tokens: int
    latency_limit_s: float | None
    """Longest acceptable time to the whole answer; None: no limit."""
    quality_floor: float
    miss_cost_usd: Decimal
    value_usd: Decimal | None
    human_minutes: float | None
    own_machines_only: bool
    """Requests may not leave for somebody else's API; own and rented machines, and people, are fine."""
    source: str


@dataclass(frozen=True)
class Score:
    """Success rate of a capability on a workload; `low` and `high` are the ends of its interval.

    `items` scored and the `date` of the newest answer are known where a task measured it.
    """

    workload: str
    capability: str
    success_rate: float
    low: float
    high: float
    kind: str
    source: str
    items: int | None = None
    date: str | None = None


Scores = Mapping[tuple[str, str], Score]
"""Success rates by workload and capability."""

_SCORE_COLUMNS = ["workload", "capability", "success_rate", "low", "high", "kind", "source"]


UNITS: Mapping[str, str] = {
    "requests_per_month": "requests/month",
    "input_tokens": "tokens/request",
    "cached_tokens": "tokens/request",
    "output_tokens": "tokens/request",
    "latency_limit_s": "s",
    "quality_floor": "success rate",
    "miss_cost_usd": "USD/miss",
    "value_usd": "USD/good answer",
    "human_minutes": "minutes/request",
}
"""Unit of each numeric column of the workload table."""


def load_workloads(study: Study) -> tuple[Workload, ...]:
    """The study's workloads, in file order.

    Raises `InputError` naming file and line for a wrong header, a negative, NaN, infinite or absurd number, more cached
    than input tokens, an unknown profile, a repeated name, or a column the study says no source for.
    """
    for column in UNITS:
        if column not in study.workload_columns:
            raise invalid_input(
                "workload_columns", f"no {column}", "a kind and a source for every number", str(study.path)
            )
    for column in study.workload_columns:
        if column not in UNITS:
            raise invalid_input("workload_columns", column, near(column, UNITS), str(study.path))
    found = _streams(study, study.workloads)
    known = [*found, *(_streams(study, study.use_cases) if study.changed and study.use_cases else ())]
    for column, cells in study.changed.items():
        for name in cells:
            if name not in known:
                raise invalid_input(f"workload of replace({column}=...)", name, near(name, known))
    for exception in study.baseline.exceptions:
        if exception.workload not in found:
            raise invalid_input(
                "exceptions.workload", exception.workload, near(exception.workload, found), str(study.path)
            )
    for index, spec in enumerate(study.tasks):
        if spec.workload is not None and spec.workload not in found:
            where = place_in(study, "tasks", index, "workload")
            raise invalid_input("workload", spec.workload, near(spec.workload, found), where)
    return tuple(found.values())


def load_use_cases(study: Study) -> tuple[Workload, ...]:
    """Use cases nobody serves today, in a table of the same columns; none where the study names no table.

    Raises as `load_workloads`, and for a use case without a value or with the name of a workload.
    """
    if study.use_cases is None:
        return ()
    found = _streams(study, study.use_cases)
    served = _streams(study, study.workloads)
    for name, case in found.items():
        if name in served:
            raise invalid_input("workload", name, "a name no workload has: it is not served yet", str(study.use_cases))
        if case.value_usd is None:
            raise invalid_input("value_usd", "", f"what a good answer of {name} is worth", str(study.use_cases))
    return tuple(found.values())


def _streams(study: Study, file: Path) -> dict[str, Workload]:
    """The rows of a table of workloads, by name."""
    found: dict[str, Workload] = {}
    for row in read_rows(file, [field.name for field in fields(Workload)]):
        name = row.cells["workload"]
        given = {column: str(cells[name]) for column, cells in study.changed.items() if name in cells}
        if given:
            row = replace(row, cells={**row.cells, **given}, where=f"{row.where}, changed by replace")
        where = row.where
        workload = Workload(
            workload=row.text("workload"),
            task=row.text("task"),
            requests_per_month=_number("requests_per_month", row, least=1),
            profile=row.text("profile", study.profiles),
            input_tokens=_whole("input_tokens", row),
            cached_tokens=_whole("cached_tokens", row),
            output_tokens=_whole("output_tokens", row),
            latency_limit_s=_optional(_number, "latency_limit_s", row),
            quality_floor=_number("quality_floor", row, most=1),
            miss_cost_usd=_money("miss_cost_usd", row),
            value_usd=_optional(_money, "value_usd", row),
            human_minutes=_optional(_number, "human_minutes", row),
            own_machines_only=row.text("own_machines_only", ("yes", "no")) == "yes",
            source=row.text("source"),
        )
        if workload.workload in found:
            raise invalid_input("workload", workload.workload, "a name no other line has", where)
        if workload.cached_tokens > workload.input_tokens:
            raise invalid_input(
                "cached_tokens", workload.cached_tokens, f"at most input_tokens ({workload.input_tokens})", where
            )
        if workload.input_tokens + workload.output_tokens == 0:
            raise invalid_input("input_tokens + output_tokens", 0, "at least 1 token", where)
        found[workload.workload] = workload
    if not found:
        raise invalid_input("workloads", "no rows", "at least one workload", str(file))
    return found


def load_scores(study: Study) -> dict[tuple[str, str], Score]:
    """Success rates by (workload, capability), those of nothing in the study too: `unused_scores` names them.

    Raises as `load_workloads`.
    """
    found: dict[tuple[str, str], Score] = {}
    for row in read_rows(study.quality_scores, _SCORE_COLUMNS):
        where = row.where
        score = Score(
            workload=row.text("workload"),
            capability=row.text("capability"),
            success_rate=_number("success_rate", row, most=1),
            low=_number("low", row, most=1),
            high=_number("high", row, most=1),
            kind=row.text("kind", KINDS),
            source=row.text("source"),
        )
        if not score.low <= score.success_rate <= score.high:
            ends = (score.low, score.success_rate, score.high)
            raise invalid_input("low, success_rate, high", ends, "low <= success_rate <= high", where)
        if (score.workload, score.capability) in found:
            raise invalid_input(
                "workload and capability", f"{score.workload}, {score.capability}", "one line for both", where
            )
        found[score.workload, score.capability] = score
    return found


def unused_scores(study: Study, workloads: Iterable[Workload], scores: Scores) -> str | None:
    """What a reader must know of rows of scores whose option or workload the study no longer has, or spells otherwise.

    `workloads` are all of the study, its use cases too.
    """
    known = {
        "capability": {option.capability for option in study.options},
        "workload": {workload.workload for workload in workloads},
    }
    unused: Counter[tuple[str, str]] = Counter()
    for workload, capability in scores:
        if capability not in known["capability"]:
            unused["capability", capability] += 1
        elif workload not in known["workload"]:
            unused["workload", workload] += 1
    said = [
        f"{field} {name} ({count} {'row' if count == 1 else 'rows'}{close(name, known[field])})"
        for (field, name), count in unused.items()
    ]
    return (
        f"Not used of {study.quality_scores.name}: {'; '.join(said)}; the study has none of that name."
        if said
        else None
    )


def _money(name: str, row: Row) -> Decimal:
    return row.number(name, zero=True)


def _whole(name: str, row: Row) -> int:
    value = row.number(name, zero=True)
    if value != int(value):
        raise invalid_input(name, row.cells[name], "a whole number", row.where)
    return int(value)


def _number(name: str, row: Row, *, least: float = 0, most: float = 1e15) -> float:
    return float(row.number(name, zero=True, least=least, most=most))


def _optional(read: Callable[[str, Row], T], name: str, row: Row) -> T | None:
    return read(name, row) if row.cells[name] else None
