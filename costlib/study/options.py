"""What could serve a workload: APIs, measured and published configurations, people."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from costlib.figure import Kind
from costlib.study.fields import Batch, Count, Number, Part, Positive, Text


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
    rate_kind: Text = "on_demand"
    rate_provider: Text | None = None
    model: Text
    precision: Text
    minimum_replicas: Count | None = None
    maximum_replicas: Count | None = None


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


Option = Annotated[ApiOption | MeasuredOption | QuotedOption | HumanOption, Field(discriminator="type")]
