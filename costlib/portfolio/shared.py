"""The plan of a study, made once: the notebooks of a report run in processes of their own and share it by a file."""

from __future__ import annotations

import os
import pickle
from hashlib import sha256
from pathlib import Path

from costlib.output import write_whole
from costlib.portfolio.plan import Plan, make_plan
from costlib.store import Store
from costlib.study import Study, load_study

PLACE = "COSTLIB_REPORT_PLAN"
"""The environment variable of a notebook's kernel that names the run's own folder, which nobody else can write to."""


def plan(study: Study | str | Path = "demo", store: Store | str | Path | None = None) -> Plan:
    """Assign every workload of a study to the option that costs least, errors counted, and say how sure that is.

    Raises `InputError` for a workload, score, price, speed or rate that is missing or wrong, and `Infeasible` (an
    `InputError`) naming the smallest set of requirements that cannot be kept together.

    Args:
        study: A study, the name of a shipped one such as `demo`, or the path of a study file.
        store: A store or its folder, where measurements are [default: the default store].
    """
    wanted = study if isinstance(study, Study) else load_study(study)
    kept = store if isinstance(store, Store) else Store(store or None)
    folder = os.environ.get(PLACE)
    if folder is None:
        return make_plan(wanted, kept)
    file = Path(folder) / f"{sha256(f'{wanted.hash} {kept.root.resolve()}'.encode()).hexdigest()}.pickle"
    if file.exists():
        found: Plan = pickle.loads(file.read_bytes())
        return found
    made = make_plan(wanted, kept)
    write_whole(file, pickle.dumps(made))  # with every frame, so that no other notebook computes one again
    return made
