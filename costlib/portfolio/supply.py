"""An option by itself, as the plan reckons with it, and where in a study an error about it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.errors import InputError
from costlib.portfolio.workloads import Score
from costlib.prices.entries import DateOutsideCoverage, TimeNeeded, UnknownModel, UnknownProvider, UnknownTier
from costlib.prices.rates import Offer, Rental, cheapest, useful
from costlib.study import AnyOption, Study, place_in

Ends = tuple[float, float, float]
"""Low end, value, high end."""


@dataclass(frozen=True)
class PricedOption:
    """An option by itself. Speeds are tokens/s of one replica; `offers` are what its hardware is sold as."""

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
    offers: tuple[Offer, ...] = ()
    """What could be rented, those that are cheapest for some number of replicas."""
    together: int = 1
    """Replicas that the study rents together."""
    speed_kind: str = ""
    speed_source: str = ""
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

    def rent(self, replicas: int) -> Rental:
        """The cheapest whole offer for so many replicas."""
        return cheapest(self.offers, self.devices * self.together, -(-replicas // self.together))

    @property
    def purchases(self) -> tuple[tuple[int, float], ...]:
        """Of each offer the replicas that its smallest purchase holds, and the $ per hour of it."""
        found = []
        for one in self.offers:
            held, units = one.bundle(self.devices * self.together)
            found.append((held * self.together, float(one.usd_per_hour * units)))
        return tuple(found)

    @property
    def usd_per_hour(self) -> Ends | None:
        """$ of an hour of one replica where every purchase is full; a list price: exact, until it changes."""
        if not self.offers:
            return None
        usd = min(usd / held for held, usd in self.purchases)
        return usd, usd, usd

    @property
    def rate(self) -> Offer | None:
        """The offer of that price."""
        whole = [usd / held for held, usd in self.purchases]
        return self.offers[whole.index(min(whole))] if whole else None

    @property
    def rate_kind(self) -> str:
        """Quoted, assumed or derived."""
        return self.rate.kind if self.rate else ""

    @property
    def rate_source(self) -> str:
        """Who sells it, where that was seen, and when."""
        one = self.rate
        return f"{one.provider}, {one.source} ({one.observed_on})" if one else ""


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


def rented(supply: PricedOption, found: Sequence[Offer], devices: int) -> PricedOption:
    """The supply on hardware that is for sale, `devices` of which hold one replica together."""
    together = getattr(supply.option, "replicas_per_node", 1)
    offers = useful(found, devices * together)
    return replace(supply, device=found[0].device, devices=devices, offers=offers, together=together)


def ends_of(row: Any, name: str) -> Ends:
    """A value of a table's row with its interval; the value itself where there is none."""
    value = float(row[name])
    low, high = (value if pd.isna(row[f"{name}_{end}"]) else float(row[f"{name}_{end}"]) for end in ("low", "high"))
    return min(low, value), value, max(high, value)
