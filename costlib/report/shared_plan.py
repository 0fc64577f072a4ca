"""A report makes its plan once: its notebooks run in processes of their own and share it through a file of the run."""

from __future__ import annotations

import os
import pickle
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

from costlib.output import write_whole
from costlib.portfolio.plan import Plan, make_plan
from costlib.store import Store
from costlib.study import Study

PLACE = "COSTLIB_REPORT_PLAN"
"""The environment variable of a notebook's kernel that names the run's own folder, which nobody else can write to."""


def report_plan(study: Study, store: Store) -> Plan:
    """The plan of a study; in a run of `report`, the one that an earlier notebook of the run has made.

    Raises as `make_plan`.
    """
    folder = os.environ.get(PLACE)
    if folder is None:
        return make_plan(study, store)
    file = Path(folder) / f"{sha256(f'{study.hash} {store.root.resolve()}'.encode()).hexdigest()}.pickle"
    if file.exists():
        found: Plan = pickle.loads(file.read_bytes())
        return found
    plan = make_plan(study, store)
    for each in fields(plan):
        getattr(plan, each.name)  # so that no other notebook computes what this one does not read
    write_whole(file, pickle.dumps(plan))
    return plan
