"""The streams that a study's decisions are watched by: right and wrong answers, or a policy's scores, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from costlib.errors import bad
from costlib.portfolio.problem import Floats
from costlib.portfolio.routing.cascades import Outcome
from costlib.portfolio.routing.replay import Policy, floor_of, policy_of, replay
from costlib.portfolio.routing.requests import Requests, read_requests
from costlib.quality.tasks.study import study_stream
from costlib.stats.sequential import Floor
from costlib.store import Store
from costlib.study import MeasuredOption, Study, TaskSpec
from costlib.tables.schema import is_null


def streams(study: Study) -> list[tuple[TaskSpec, MeasuredOption]]:
    """Every task of a workload with every measured option that answers it."""
    return [
        (spec, option)
        for spec in study.tasks
        for option in study.options
        if spec.workload is not None and isinstance(option, MeasuredOption)
        if spec.model == option.model and option.precision in spec.precision
    ]


def watchable(study: Study) -> int:
    """How many different streams the study could watch, whichever options its plan chooses, with its policy."""
    answered = {(spec.file, spec.model, option.precision) for spec, option in streams(study)}
    return len(answered) + (study.monitor.policy is not None)


def right_answers(spec: TaskSpec, precision: str, store: Store, since: str | None) -> tuple[Floats, int]:
    """1 for an item answered wholly right, 0 for another, in the order of first answers, and the items left out.

    With `since` (UTC, ISO 8601) items first answered until then are left out.
    """
    answers, _ = study_stream(spec, precision, store)
    right = np.asarray(answers["score"] >= 1, dtype=np.float64)
    skipped = 0 if since is None else int((answers["started_at"] <= since).sum())
    return right[skipped:], skipped


def routing(study: Study) -> tuple[Policy, Requests, Outcome] | None:
    """The study's routing policy, its rows, and what it gives on them; None where it names none."""
    spec = study.monitor
    if spec.policy is None or spec.rows is None:
        return None
    policy = policy_of(spec.policy)
    requests = read_requests(spec.rows, costs=spec.costs)
    for model in (*policy.models, policy.watch.baseline, policy.watch.reference):
        if model not in requests.models:
            raise bad("policy.models", model, requests.models, str(spec.policy))
    return policy, requests, replay(policy, requests)


def values_of(study: Study, row: Mapping[str, Any], store: Store) -> tuple[Floats, Floor]:
    """The values behind a MONITORING row and their floor, from what is stored now; none where the stream is no more."""
    floor = None if is_null(row["floor"]) else float(row["floor"])
    if row["subject"] == "routing policy":
        found = routing(study)
        if found is None:
            return np.zeros(0), floor
        policy, requests, outcome = found
        shown = requests.first[int(row["skipped"]) :][: int(row["n"])]
        floors, _ = floor_of(policy, requests)
        return np.clip(outcome.score, 0, 1)[shown], None if floors is None else floors[shown]
    for spec in study.tasks:
        if (spec.file.stem, spec.model) == (row["task"], row["model"]) and row["precision"] in spec.precision:
            since = None if is_null(row["since"]) else str(row["since"])
            values, skipped = right_answers(spec, row["precision"], store, since)
            return values[int(row["skipped"]) - skipped :][: int(row["n"])], floor
    return np.zeros(0), floor
