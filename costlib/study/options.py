"""What could serve a workload: APIs, measured and published configurations, people, and several of them together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from costlib.figure import Kind
from costlib.study.fields import Batch, Count, Number, Part, Positive, Share, Text, one_of
from costlib.tables import STUDENTS


class Latency(Part):
    """Seconds to the first token and tokens/s one user sees afterwards; `wait_s` is a queue before both."""

    ttft_s: Number = 0.0
    tokens_per_s_per_user: Positive | None = None
    wait_s: Number = 0.0
    kind: Kind
    source: Text


class _Option(Part):
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
    """`replicas_per_node`: how many are rented together, as 4 of two devices each on machines of eight."""

    rate_kind: Text = "on_demand"
    rate_provider: Text | None = None
    model: Text
    precision: Text
    minimum_replicas: Count | None = None
    maximum_replicas: Count | None = None
    replicas_per_node: Count = 1


class MeasuredOption(_SelfHosted):
    """A configuration measured by costlib, read from the store, billed at the rate of the device that ran it.

    The batch `max` is the largest that ran. The lengths need a value where the study measures several.
    """

    type: Literal["measured"]
    engine: Text = "eager"
    batch: Batch = 1
    prompt_tokens: Count | None = None
    output_tokens: Count | None = None


class QuotedOption(_SelfHosted):
    """A configuration at a published speed: the row of data/speeds.csv that these fields select.

    `devices` is the number of devices that hold one replica together; `speed_source` is how the row's source begins,
    needed where several publications match. The row must give prefill and decode tokens/s apart from each other. It
    gives way to a row costlib measured of the same shape, precision and device (see `cost.speeds.measured_instead`).
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


class DistilledOption(_Option):
    """A student in the store (table `distillations`), billed at the rate of the device that ran it.

    Its score on the task is its success rate on `workload`. The effort of making it is paid back over `lifetime_weeks`
    (people at the study's hourly cost), and again every `retrain_every_weeks` where given. The store knows how many
    items a pass takes in a second, not how long one waits: a workload with a latency limit needs `latency`.
    """

    type: Literal["distilled"]
    rate_kind: Text = "on_demand"
    rate_provider: Text | None = None
    minimum_replicas: Count | None = None
    maximum_replicas: Count | None = None
    teacher: Text
    student: Annotated[str, AfterValidator(one_of(STUDENTS))]
    task: Text
    workload: Text | None = None
    people_hours: Number
    retraining_people_hours: Number = 0.0
    retrain_every_weeks: Positive | None = None
    lifetime_weeks: Positive
    latency: Latency | None = None
    kind: Kind
    source: Text


class Stage(Part):
    """One option among several, and the share of the requests it is asked, with its range; the first stage has none."""

    option: Text
    share: Share | None = None
    low: Share | None = None
    high: Share | None = None

    @property
    def ends(self) -> tuple[float, float, float]:
        """Low end, value, high end; everything for the first stage."""
        value = 1.0 if self.share is None else self.share
        return value if self.low is None else self.low, value, value if self.high is None else self.high


class _Together(_Option):
    stages: Annotated[tuple[Stage, ...], Field(min_length=2)]
    usd_per_request: Number = 0.0
    policy: Path | None = None
    workload: Text | None = None
    kind: Kind
    source: Text


class CascadeOption(_Together):
    """Options asked one after the other until one is sure: a later stage is asked its `share` of all requests.

    `usd_per_request` is what judging the answers costs. With `policy`, a document written by `costlib route`, shares,
    judging and the success rate on `workload` are those it measured.
    """

    type: Literal["cascade"]


class RouterOption(_Together):
    """Options of which each request goes to one: a later stage gets its `share`, the first one what is left.

    `usd_per_request` is what the router costs; `policy` as for a cascade.
    """

    type: Literal["router"]


SelfHosted = MeasuredOption | QuotedOption | DistilledOption
Together = CascadeOption | RouterOption
AnyOption = ApiOption | SelfHosted | HumanOption | Together
Option = Annotated[AnyOption, Field(discriminator="type")]
