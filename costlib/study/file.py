"""The study as a whole: its fields, and the checks that one field alone cannot make. `load.py` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from costlib.devices import Resolved
from costlib.errors import InputError, invalid_input
from costlib.paths import data_dir
from costlib.read import Place, file_of, near, validated
from costlib.study.fields import Count, Parameter, Part, Text, as_number
from costlib.study.options import AnyOption, CascadeOption, Option, RouterOption
from costlib.study.parts import (
    Assumptions,
    Baseline,
    ColumnRule,
    MeasureSpec,
    MonitorSpec,
    Profile,
    QualitySpec,
    TaskSpec,
)
from costlib.value import brief

FILLED_IN = ("path", "hash", "reference", "resolved", "changed")
"""What is no key of a study file."""
_SHIPPED = {"study": "studies", "batch": "batches"}


@brief
class Study(Part):
    """A whole study; see the module docstring. Paths are absolute; `hash` is SHA-256 over the YAML and its tables.

    `reference` is what `load_study` reads it from again: the file, or the batch file and a report of it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Text
    as_of: date
    currency: Literal["USD"] = "USD"
    synthetic: Text
    measure: tuple[MeasureSpec, ...] = ()
    quality: QualitySpec | None = None
    tasks: tuple[TaskSpec, ...] = ()
    monitor: MonitorSpec = MonitorSpec()
    workloads: Path
    use_cases: Path | None = None
    workload_columns: dict[str, ColumnRule]
    profiles: dict[str, Profile]
    quality_scores: Path
    options: Annotated[tuple[Option, ...], Field(min_length=1)]
    baseline: Baseline
    assumptions: Assumptions
    budget_usd_per_month: Annotated[Decimal, BeforeValidator(as_number), Field(gt=0, allow_inf_nan=False)] | None = None
    draws: Annotated[Count, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, BeforeValidator(as_number), Field(ge=0)] = 0
    notebooks: tuple[Text, ...] = ()
    notebook_parameters: dict[Text, dict[Text, Parameter]] = Field(default_factory=dict)
    path: Path = Field(default=Path(), exclude=True)
    hash: str = Field(default="", exclude=True)
    reference: str = Field(default="", exclude=True)
    resolved: tuple[Resolved, ...] = Field(default=(), exclude=True)
    """What precisions that are asked for by width became on this machine, and why."""
    changed: dict[str, dict[str, Any]] = Field(default_factory=dict, exclude=True)
    """Cells of the workload table that `replace` put in the place of the file's: column -> workload -> value."""

    @property
    def label(self) -> str:
        """What a reader calls the study: its name, or batch file and name where a batch changed it."""
        return Path(self.reference).name if "#" in Path(self.reference).name else self.name

    def replace(self, **changes: Any) -> Study:
        """The study with other numbers; this one stays as it is.

        Raises `InputError` for a name that is neither a column of the workload table, an assumption nor a key of a
        study, and for a value that a study file could not hold.

        Args:
            changes: A column of the workload table by workload (`requests_per_month={"tickets": 2e6}`), an assumption
                (`max_utilization=0.5`, or `(low, value, high)`; it has no range where a number is given), or a key of
                the study (`draws=500`).
        """
        keys = [name for name in type(self).model_fields if name not in FILLED_IN]
        numbers = list(type(self.assumptions).model_fields)
        columns = {name: dict(self.changed.get(name, {})) for name in self.workload_columns}
        tree: dict[str, Any] = _as_read(self.model_dump(exclude_none=True))
        for name, value in changes.items():
            if name in columns:
                if not isinstance(value, Mapping):
                    raise invalid_input(name, value, f"values by workload, such as {name}={{'a workload': 1}}")
                columns[name] |= value
            elif name in numbers:
                low, middle, high = value if isinstance(value, tuple) else (value, value, value)
                tree["assumptions"][name] |= {"value": middle, "low": low, "high": high, "source": "replace"}
            elif name in keys:
                tree[name] = value
            else:
                raise invalid_input("change", name, near(name, [*columns, *numbers, *keys]))

        def at(location: Sequence[str | int]) -> str:
            return f"replace({'.'.join(map(str, location))})"

        made = validated(type(self), tree, at)
        check_study(made, at)
        given = {name: cells for name, cells in columns.items() if cells}
        digest = sha256(f"{self.hash} {sorted(changes.items(), key=str)}".encode()).hexdigest()
        kept = {name: getattr(self, name) for name in ("path", "reference", "resolved")}
        return made.model_copy(update={**kept, "hash": digest, "changed": given})

    def assume(self, name: str) -> float:
        """The value of an assumption by name."""
        return float(getattr(self.assumptions, name).value)

    def option(self, name: str) -> AnyOption:
        """The option of that name; raises `InputError` when there is none."""
        for option in self.options:
            if option.name == name:
                return option
        raise invalid_input("option", name, near(name, [option.name for option in self.options]))


def _as_read(value: Any) -> Any:
    """What YAML would hold: lists for tuples."""
    if isinstance(value, dict):
        return {key: _as_read(inner) for key, inner in value.items()}
    return [_as_read(inner) for inner in value] if isinstance(value, (tuple, list)) else value


def find_file(path: str | Path, kind: Literal["study", "batch"] = "study") -> Path:
    """The file of a study or a batch, absolute; a bare name means one shipped. Raises `InputError` without one."""
    shipped = {file.stem: file for file in sorted((data_dir() / _SHIPPED[kind]).glob("*.yml"))}
    allowed = f"an existing YAML file, or a shipped {kind}: {', '.join(shipped) or 'none'}"
    try:
        return file_of(path, kind, allowed).resolve()
    except InputError:
        if str(path) not in shipped:
            raise
        return shipped[str(path)].resolve()


def check_study(study: Study, at: Place) -> None:
    """What one field alone cannot tell; raises `InputError` at its place."""

    def fail(field: str, value: object, allowed: str, *location: str | int) -> InputError:
        return invalid_input(field, value, allowed, at(location))

    names = [option.name for option in study.options]
    for index, option in enumerate(study.options):
        if option.name in names[:index]:
            raise fail("name", option.name, "a name no other option has", "options", index, "name")
        if isinstance(option, (CascadeOption, RouterOption)):
            _check_stages(study, option, index, fail)
    if study.baseline.option not in names:
        raise fail("baseline.option", study.baseline.option, near(study.baseline.option, names), "baseline", "option")
    for index, exception in enumerate(study.baseline.exceptions):
        if exception.option not in names:
            where = ("baseline", "exceptions", index, "option")
            raise fail("exceptions.option", exception.option, near(exception.option, names), *where)
    for name, profile in study.profiles.items():
        if (profile.weights is None) == (profile.peak_to_mean is None):
            raise fail(f"profiles.{name}", name, "either weights (24 numbers) or peak_to_mean", "profiles", name)
        if profile.weights is not None and sum(profile.weights) <= 0:
            raise fail(
                f"profiles.{name}.weights", "all zero", "at least one weight above 0", "profiles", name, "weights"
            )
    for name in study.notebook_parameters:
        if name not in study.notebooks:
            allowed = near(name, list(study.notebooks))
            raise fail("notebook_parameters", name, allowed, "notebook_parameters", name)
    for index, spec in enumerate(study.tasks):
        if spec.reference not in spec.precision:
            allowed = f"one of the task's precisions, {', '.join(spec.precision)}"
            raise fail("baseline", spec.reference, allowed, "tasks", index, "baseline")
        same = [one.file for one in study.tasks if one.file.stem == spec.file.stem and one.file != spec.file]
        if same:
            raise fail("file", str(spec.file), f"a name of its own (beside {same[0]})", "tasks", index, "file")
        twice = [one for one in study.tasks[:index] if (one.file, one.model) == (spec.file, spec.model)]
        if twice:
            raise fail("file", str(spec.file), "each task once for a model", "tasks", index, "file")
    most = {"max_utilization": 1.0, "quality_correlation": 1.0, "hours_per_month": 744.0}
    for name, assumption, _ in study.assumptions.rows():
        low, value, high = assumption.ends
        if not low <= value <= high:
            raise fail(f"{name}.low, value, high", (low, value, high), "low <= value <= high", "assumptions", name)
        if high > most.get(name, 1e15):
            raise fail(name, high, f"at most {most[name]:g}", "assumptions", name)
        if low == 0 and name in ("max_utilization", "hours_per_month"):
            raise fail(name, low, "above 0", "assumptions", name)
        if name == "minimum_replicas" and any(end != int(end) or end < 1 for end in (low, value, high)):
            raise fail(name, (low, value, high), "whole numbers of at least 1", "assumptions", name)


def _check_stages(study: Study, option: CascadeOption | RouterOption, index: int, fail: Any) -> None:
    """Stages are other options of one step, each once, and their shares can hold together."""
    plain = [one.name for one in study.options if not isinstance(one, (CascadeOption, RouterOption))]
    names = [stage.option for stage in option.stages]
    high = 1.0 if isinstance(option, CascadeOption) else 0.0
    for number, stage in enumerate(option.stages):
        where = ("options", index, "stages", number)
        if stage.option not in plain:
            allowed = near(stage.option, plain) + ", which is neither a cascade nor a router"
            raise fail("stages.option", stage.option, allowed, *where, "option")
        if stage.option in names[:number]:
            raise fail("stages.option", stage.option, "each option once", *where, "option")
        given = [end for end in (stage.low, stage.share, stage.high) if end is not None]
        if option.policy is not None or number == 0:
            if given:
                who = "the first stage gets the rest" if option.policy is None else "the policy says it"
                raise fail("stages.share", given[0], f"left out: {who}", *where)
            continue
        if stage.share is None:
            raise fail("stages.share", "left out", "the share of the requests this stage is asked", *where)
        if list(stage.ends) != sorted(stage.ends):
            raise fail("stages.low, share, high", stage.ends, "low <= share <= high", *where)
        if isinstance(option, CascadeOption):
            if stage.ends[2] > high:
                raise fail("stages.high", stage.ends[2], f"at most {high:g}, the stage before it", *where)
            high = stage.ends[2]
        else:
            high += stage.ends[2]
            if high > 1 + 1e-9:
                raise fail("stages.high", f"{high:g} in all", "at most 1 in all", *where)
    if option.policy is not None and option.workload is None:
        raise fail("workload", "left out", "the workload whose requests the policy was chosen on", "options", index)
    if option.policy is None and option.workload is not None:
        raise fail("workload", option.workload, "left out without a policy", "options", index, "workload")
