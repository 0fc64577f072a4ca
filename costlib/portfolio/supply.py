"""An option by itself, as the plan reckons with it, and where in a study an error about it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.errors import InputError
from costlib.portfolio.workloads import Score
from costlib.prices.entries import DateOutsideCoverage, TimeNeeded, UnknownModel, UnknownProvider, UnknownTier
from costlib.prices.rates import Rate
from costlib.study import AnyOption, Study, place_in

Ends = tuple[float, float, float]
"""Low end, value, high end."""


@dataclass(frozen=True)
class Supply:
    """An option by itself. Speeds are tokens/s of one replica, `usd_per_hour` is of one replica (all its devices)."""

    option: AnyOption
    model: str | None = None
    """What is kept in the portfolio and evaluated; None for people."""
    prefill_tokens_per_s: Ends | None = None
    decode_tokens_per_s: Ends | None = None
    batch: int = 1
    """Sequences run together, where measured."""
    device: str = ""
    devices: int = 0
    """Devices that hold one replica together."""
    usd_per_hour: Ends | None = None
    speed_kind: str = ""
    speed_source: str = ""
    rate_kind: str = ""
    rate_source: str = ""
    failed: Mapping[str, str] | None = None
    """Requirement -> reason, where the option cannot serve anything."""
    note: str = ""
    scores: Mapping[str, Score] | None = None
    """Success rates measured on tasks, by workload."""
    gated: Mapping[str, tuple[str, str]] | None = None
    """Requirement and reason by workload, where a task keeps the option out."""
    stages: tuple[tuple[int, Ends], ...] = ()
    """Of a cascade or router: position of each stage's option in the study, and the share of requests it is asked."""
    usd_per_request: Decimal = Decimal(0)
    """What judging or routing a request costs, besides its stages."""
    teacher_times: float | None = None
    """Of a student: how many times as long its teacher needs for the same request."""
    effort_usd_per_month: float = 0.0
    """Of a student: making and retraining it, spread over its life."""

    @property
    def name(self) -> str:
        """Name of the option."""
        return self.option.name


_FIELDS: tuple[tuple[type[InputError], str], ...] = (
    (UnknownModel, "model"),
    (UnknownProvider, "provider"),
    (UnknownTier, "tier"),
    (DateOutsideCoverage, "as_of"),
    (TimeNeeded, "as_of"),
)
"""The field of a study that an error about prices or rates is about."""


@contextmanager
def where_in(study: Study, option: AnyOption) -> Iterator[None]:
    """Put the file and line of the study, and the option, before an error about what they name."""
    try:
        yield
    except InputError as error:
        field = next((name for kind, name in _FIELDS if isinstance(error, kind)), None)
        index = [one.name for one in study.options].index(option.name)
        part: list[str | int] = ["options", index, *([field] if field else [])]
        location = ["as_of"] if field == "as_of" else part
        raise type(error)(f"{place_in(study, *location)}: option {option.name}: {error}") from None


def rented(supply: Supply, found: Rate, devices: int) -> Supply:
    """The supply with the rate of the device, or of the `devices` that hold one replica together."""
    ends = tuple(float(usd) * devices for usd in (found.low, found.usd_per_hour, found.high))
    return replace(
        supply,
        device=found.device,
        devices=devices,
        usd_per_hour=(ends[0], ends[1], ends[2]),
        rate_kind=found.kind,
        rate_source=f"{found.source} ({found.observed_on})",
    )


def ends_of(row: Any, name: str) -> Ends:
    """A value of a table's row with its interval; the value itself where there is none."""
    value = float(row[name])
    low, high = (value if pd.isna(row[f"{name}_{end}"]) else float(row[f"{name}_{end}"]) for end in ("low", "high"))
    return min(low, value), value, max(high, value)
