"""One study file: typed, validated, with messages a person can act on.

A study is one YAML file that says what to measure, which workloads there are, which options could serve them, what is
assumed, and from where each number comes. `load_study` reads it once; every message names file and line, the field, the
value and what is allowed. Paths inside the file are relative to it. `Study.hash` covers the YAML and the tables it
names, so that a report can say exactly what it was made from.

Every assumption is a value with a low and a high end, a unit, a kind and a source. The ends are read as the range the
value is believed to lie in; risk.py of the portfolio room draws from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from costlib.errors import InputError, bad
from costlib.figure import Kind
from costlib.paths import data_dir
from costlib.tables import ENGINES, PRECISIONS
from costlib.yamlfile import line_of, near, read_yaml, validated

_DAYS_PER_MONTH = 365 / 12


def _as_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("allowed", "a number")
    return value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise PydanticCustomError("allowed", near(value, names))
        return value

    return check


Number = Annotated[float, BeforeValidator(_as_number), Field(ge=0, lt=1e15, allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(_as_number), Field(gt=0, lt=1e15, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_as_number), Field(ge=0, le=1)]
Count = Annotated[int, BeforeValidator(_as_number), Field(ge=1, lt=10**15)]
Money = Annotated[Decimal, BeforeValidator(_as_number), Field(gt=0, lt=10**15, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Precision = Annotated[str, AfterValidator(_one_of(PRECISIONS))]
Engine = Annotated[str, AfterValidator(_one_of(ENGINES))]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasureSpec(_Part):
    """Configurations to measure: one model by precisions, engines and batches; `time_budget_s` is for each of them."""

    model: Text
    precision: Annotated[tuple[Precision, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    engine: Annotated[tuple[Engine, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = ("eager",)
    batch: Annotated[tuple[Count, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (1,)
    prompt_tokens: Count
    output_tokens: Count
    time_budget_s: Positive


class QualitySpec(_Part):
    """The text measured at every precision, and the gate: perplexity over the baseline precision's at most this."""

    text: Text
    tokens: Count
    window: Count
    baseline: Precision = "bf16"
    max_perplexity_ratio: Annotated[Positive, Field(ge=1)]


class ColumnRule(_Part):
    """What holds for a whole column of the workload table: where its numbers come from and how uncertain they are.

    A value v of the column is believed to lie in [v * low_factor, v * high_factor].
    """

    kind: Kind
    source: Text
    low_factor: Annotated[Positive, Field(le=1)] = 1.0
    high_factor: Annotated[Positive, Field(ge=1)] = 1.0


class Profile(_Part):
    """How a month's requests spread: 24 hourly `weights` on `days_per_month` days, or only a `peak_to_mean` ratio."""

    weights: Annotated[tuple[Number, ...], Field(min_length=24, max_length=24)] | None = None
    peak_to_mean: Annotated[Positive, Field(ge=1)] | None = None
    days_per_month: Annotated[Positive, Field(le=31)] = _DAYS_PER_MONTH
    kind: Kind
    source: Text

    def hourly_share(self) -> tuple[float, ...]:
        """Share of the month's requests in each of the 24 hours of one active day.

        With `peak_to_mean` alone the hour of the peak is unknown, so every hour carries the peak.
        """
        if self.weights is None:
            return (float(self.peak_to_mean or 1) / (24 * _DAYS_PER_MONTH),) * 24
        total = sum(self.weights) * self.days_per_month
        return tuple(weight / total for weight in self.weights)


class Latency(_Part):
    """Seconds to the first token and tokens/s one user sees afterwards; `wait_s` is a queue before both."""

    ttft_s: Number = 0.0
    tokens_per_s_per_user: Positive | None = None
    wait_s: Number = 0.0
    kind: Kind
    source: Text


class _Option(_Part):
    name: Text
    capability: Text
    note: str = ""


class ApiOption(_Option):
    """A model behind an API, at the price the book holds for `provider`, `model` and `tier` on the study's date."""

    type: Literal["api"]
    provider: Text
    model: Text
    tier: Text = "standard"
    latency: Latency


class _SelfHosted(_Option):
    rate_kind: Text = "on_demand"
    rate_provider: Text | None = None
    model: Text
    precision: Text
    minimum_replicas: Count | None = None
    maximum_replicas: Count | None = None


class MeasuredOption(_SelfHosted):
    """A configuration measured by costlib, read from the store, billed at the rate of the device that ran it."""

    type: Literal["measured"]
    engine: Text = "eager"
    batch: Count = 1


class QuotedOption(_SelfHosted):
    """A configuration at a published speed: the row of data/speeds.csv that these fields select.

    `devices` is the number of devices that hold one replica together; `speed_source` is how the row's source begins,
    needed where several publications match. The row must give prefill and decode tokens/s apart from each other.
    """

    type: Literal["quoted"]
    device: Text
    devices: Count = 1
    engine: Text = "server"
    speed_source: Text | None = None
    latency: Latency


class HumanOption(_Option):
    """People: minutes per task come from the workload, the hourly cost from the assumptions."""

    type: Literal["human"]
    latency: Latency


Option = Annotated[ApiOption | MeasuredOption | QuotedOption | HumanOption, Field(discriminator="type")]


class Assumption(_Part):
    """A number nobody measured here: `low` and `high` default to the value itself."""

    value: Number
    low: Number | None = None
    high: Number | None = None
    unit: Text
    kind: Kind
    source: Text

    @property
    def ends(self) -> tuple[float, float, float]:
        """Low end, value, high end."""
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        return low, self.value, high


class Assumptions(_Part):
    """The assumptions every plan needs."""

    hours_per_month: Assumption = Field(description="hours a rented device is paid for in a month")
    max_utilization: Assumption = Field(description="busy share of a replica in the peak hour that keeps latency")
    minimum_replicas: Assumption = Field(description="replicas of a self-hosted model kept up, whatever the load")
    human_usd_per_hour: Assumption = Field(description="full cost of an hour of a person's work")
    evaluation_usd_per_month: Assumption = Field(description="evaluating one model on one workload, per month")
    operations_usd_per_month: Assumption = Field(description="keeping one more model in the portfolio, per month")
    quality_correlation: Assumption = Field(description="correlation of the errors in one workload's success rates")

    def rows(self) -> Iterable[tuple[str, Assumption, str]]:
        """Name, assumption and meaning of each."""
        for name, field in type(self).model_fields.items():
            yield name, getattr(self, name), field.description or ""


class BaselineException(_Part):
    """A workload the baseline option cannot serve, what serves it instead, and why."""

    workload: Text
    option: Text
    reason: Text


class Baseline(_Part):
    """What the plan is compared with: everything on one option, but for the named exceptions."""

    option: Text
    exceptions: tuple[BaselineException, ...] = ()


class Study(_Part):
    """A whole study; see the module docstring. Paths are absolute; `hash` is SHA-256 over the YAML and its tables."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Text
    as_of: date
    currency: Literal["USD"] = "USD"
    synthetic: Text
    measure: tuple[MeasureSpec, ...] = ()
    quality: QualitySpec | None = None
    workloads: Path
    workload_columns: dict[str, ColumnRule]
    profiles: dict[str, Profile]
    quality_scores: Path
    options: Annotated[tuple[Option, ...], Field(min_length=1)]
    baseline: Baseline
    assumptions: Assumptions
    budget_usd_per_month: Annotated[Decimal, BeforeValidator(_as_number), Field(gt=0, allow_inf_nan=False)] | None = (
        None
    )
    draws: Annotated[Count, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, BeforeValidator(_as_number), Field(ge=0)] = 0
    notebooks: tuple[Text, ...] = ()
    path: Path = Field(default=Path(), exclude=True)
    hash: str = Field(default="", exclude=True)

    def assume(self, name: str) -> float:
        """The value of an assumption by name."""
        return float(getattr(self.assumptions, name).value)

    def option(self, name: str) -> ApiOption | MeasuredOption | QuotedOption | HumanOption:
        """The option of that name; raises `InputError` when there is none."""
        for option in self.options:
            if option.name == name:
                return option
        raise bad("option", name, near(name, [option.name for option in self.options]))


def load_study(path: str | Path) -> Study:
    """Read and check a study file; a bare name such as `demo` means the study shipped under data/studies.

    Raises `InputError` naming file and line, field, value and what is allowed.
    """
    file = _find(path)
    tree = read_yaml(file, "study")
    for key in ("path", "hash"):
        if key in tree:
            raise bad("key", key, "left out: it is filled in when the file is read", f"{file}:{line_of(tree, (key,))}")
    study = validated(Study, tree, file)
    tables = {key: (file.parent / getattr(study, key)).resolve() for key in ("workloads", "quality_scores")}
    for key, table in tables.items():
        if not table.is_file():
            where = f"{file}:{line_of(tree, (key,))}"
            raise bad(key, str(getattr(study, key)), f"a file that exists, relative to {file.parent}", where)
    _check(study, tree, file)
    digest = hashlib.sha256(file.read_bytes())
    for table in tables.values():
        digest.update(table.read_bytes())
    return study.model_copy(update={**tables, "path": file, "hash": digest.hexdigest()})


def _find(path: str | Path) -> Path:
    file = Path(path).expanduser()
    shipped = data_dir() / "studies" / f"{path}.yml"
    if not file.is_file() and file.name == str(path) and not file.suffix and shipped.is_file():
        file = shipped
    if not file.is_file():
        names = [found.stem for found in sorted((data_dir() / "studies").glob("*.yml"))]
        raise bad("study", str(path), f"an existing YAML file, or a shipped study: {', '.join(names) or 'none'}")
    return file.resolve()


def _check(study: Study, tree: Any, file: Path) -> None:
    """What one field alone cannot tell."""

    def fail(field: str, value: object, allowed: str, *location: str | int) -> InputError:
        return bad(field, value, allowed, f"{file}:{line_of(tree, location)}")

    names = [option.name for option in study.options]
    for index, option in enumerate(study.options):
        if option.name in names[:index]:
            raise fail("name", option.name, "a name no other option has", "options", index, "name")
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
