"""Parts of a study but for its options: what to measure and judge, how columns and profiles read, assumptions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from costlib.figure import Kind
from costlib.study.fields import (
    Batch,
    Count,
    Engine,
    Number,
    Part,
    Positive,
    Precision,
    Text,
    as_number,
    as_tuple,
    one_of,
)
from costlib.tables import TASK_KINDS

_DAYS_PER_MONTH = 365 / 12


class MeasureSpec(Part):
    """Configurations to measure: one model by precisions, engines, batches and lengths, each one value or a list.

    The batch `max` is searched (see `costlib measure --batch max`). `time_budget_s` is for each configuration.
    """

    model: Text
    precision: Annotated[tuple[Precision, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    engine: Annotated[tuple[Engine, ...], BeforeValidator(as_tuple), Field(min_length=1)] = ("eager",)
    batch: Annotated[tuple[Batch, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (1,)
    prompt_tokens: Annotated[tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    output_tokens: Annotated[tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    time_budget_s: Positive


class QualitySpec(Part):
    """The text measured at every precision, and the gate: perplexity over the baseline precision's at most this."""

    text: Text
    tokens: Count
    window: Count
    baseline: Precision = "16-bit"
    max_perplexity_ratio: Annotated[Positive, Field(ge=1)]


class TaskSpec(Part):
    """A labelled task that one model answers at each precision, and the gate: the largest loss against `baseline`.

    The share of answers that are wholly right is the model's success rate on `workload`; without one the task is only a
    gate. `limit` takes the first items of the file. `baseline` is the first precision where not given.
    """

    file: Path
    model: Text
    precision: Annotated[tuple[Precision, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    baseline: Precision | None = None
    workload: Text | None = None
    kind: Annotated[str, AfterValidator(one_of(TASK_KINDS))] | None = None
    prompt: Text | None = None
    shots: Annotated[int, BeforeValidator(as_number), Field(ge=0, lt=1000)] = 0
    max_tokens: Count | None = None
    chat: bool = False
    limit: Count | None = None
    quality_gate: Annotated[Positive, Field(lt=1)] = 0.01

    @property
    def reference(self) -> Precision:
        """The precision the others are compared with."""
        return self.baseline or self.precision[0]


class MonitorSpec(Part):
    """How `costlib monitor` watches: the false-alarm rate of the whole watch, and what a score is compared with.

    `against` says what a stream of answers must not fall below: the `floor` of its workload, or what it was at the
    `start`, whose items are then the reference.

    The rate is shared equally by every stream the study could watch (each measured option on each task of a workload),
    whichever the plan chose (Bonferroni).
    """

    false_alarm_rate: Annotated[Positive, Field(lt=1)] = 0.05
    against: Literal["floor", "start"] = "floor"
    policy: str | None = None
    rows: str | None = None
    costs: str | None = None

    @property
    def unused(self) -> list[str]:
        """What a reader must know of keys that older studies have; a policy's rows were replayed once."""
        names = [name for name in ("policy", "rows", "costs") if getattr(self, name) is not None]
        told = "not watched: judge newer requests with costlib route, and leave it out here"
        return [f"monitor.{name} is {told}." for name in names]


class ColumnRule(Part):
    """What holds for a whole column of the workload table: where its numbers come from and how uncertain they are.

    A value v of the column is believed to lie in [v * low_factor, v * high_factor].
    """

    kind: Kind
    source: Text
    low_factor: Annotated[Positive, Field(le=1)] = 1.0
    high_factor: Annotated[Positive, Field(ge=1)] = 1.0


class Profile(Part):
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


class Assumption(Part):
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


class Assumptions(Part):
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


class BaselineException(Part):
    """A workload the baseline option cannot serve, what serves it instead, and why."""

    workload: Text
    option: Text
    reason: Text


class Baseline(Part):
    """What the plan is compared with: everything on one option, but for the named exceptions."""

    option: Text
    exceptions: tuple[BaselineException, ...] = ()
