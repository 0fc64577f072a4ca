"""What an hour of a device costs: rented on demand, at spot prices, reserved, or owned.

`data/rates.csv` holds one price of one provider per line, as it was seen on a day; prices of whole nodes keep their
size. An hour asked for without a provider is the price of the provider in the middle (the lower one of two), so that
it can really be bought, with the cheapest and the dearest provider as its interval. A provider counts once, with its
cheapest price per device; assumed prices count only where nobody quotes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import pandas as pd

from costlib.errors import bad
from costlib.figure import Kind
from costlib.paths import data_dir
from costlib.prices.book import AsOf, day_and_time
from costlib.prices.entries import DateOutsideCoverage, price_error
from costlib.read import Row, earliest_date, read_rows

RATE_KINDS = ("on_demand", "spot", "reserved_1y", "reserved_3y", "owned")

_SPECIFICATION = (
    "memory_bytes",
    "bandwidth_bytes_per_s",
    "fp16_dense_tflops",
    "bf16_dense_tflops",
    "fp8_dense_tflops",
    "watts",
    "spec_source",
)
_COLUMNS = (
    "device",
    "rate_kind",
    "provider",
    "devices",
    "usd_per_hour",
    *_SPECIFICATION[:-1],
    "includes",
    "source",
    "observed_on",
    "kind",
    "spec_source",
)


@dataclass(frozen=True)
class Rate:
    """US dollars for an hour of ONE device, and what the device is.

    `low` and `high` are the cheapest and dearest providers' price of the same device hour. It is sold `devices` at a
    time, for `node_usd_per_hour`. Specifications are the vendor's (dense, without sparsity); None where unknown, for
    the reason in `spec_source`.
    """

    device: str
    rate_kind: str
    provider: str
    devices: int
    usd_per_hour: Decimal
    low: Decimal
    high: Decimal
    node_usd_per_hour: Decimal
    includes: str
    source: str
    observed_on: str
    kind: Kind
    memory_bytes: int | None
    bandwidth_bytes_per_s: float | None
    fp16_dense_tflops: float | None
    bf16_dense_tflops: float | None
    fp8_dense_tflops: float | None
    watts: float | None
    spec_source: str

    @property
    def known_from(self) -> date:
        """The first day the observation can be of: `2026-04` may mean its first."""
        day = earliest_date(self.observed_on)
        assert day is not None  # checked when it was read
        return day


def load_rates(path: Path | None = None) -> tuple[Rate, ...]:
    """Every line of `path` (default data/rates.csv); `low` and `high` are the line's own price.

    Raises `InputError` naming file, line and field for a rate of zero or less, an unknown rate kind, a repeated line,
    a date that is none, or two lines that disagree on what a device is.
    """
    path = path or data_dir() / "rates.csv"
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=8)
def _load(path: Path, _changed: int) -> tuple[Rate, ...]:
    rates: list[Rate] = []
    lines: dict[tuple[object, ...], str] = {}
    specified: dict[str, tuple[tuple[str, ...], str]] = {}
    for row in read_rows(path, _COLUMNS):
        rate = _rate(row)
        key = (rate.device, rate.rate_kind, rate.provider, rate.devices, rate.observed_on)
        if key in lines:
            raise bad("line", " ".join(str(part) for part in key), f"one line for it; see {lines[key]}", row.where)
        lines[key] = row.where
        given = tuple(row.cells[name] for name in _SPECIFICATION)
        first, where = specified.setdefault(rate.device, (given, row.where))
        for name, was, now in zip(_SPECIFICATION, first, given, strict=True):
            if was != now:
                raise bad(name, now, f"{was}, as on {where}", row.where)
        rates.append(rate)
    return tuple(rates)


def _rate(row: Row) -> Rate:
    def known(field: str) -> float | None:
        number = row.optional_number(field)
        return None if number is None else float(number)

    if earliest_date(row.cells["observed_on"]) is None:
        raise bad("observed_on", row.cells["observed_on"], "a date as YYYY, YYYY-MM or YYYY-MM-DD", row.where)
    kind: Kind = "assumed" if row.text("kind", ("quoted", "assumed")) == "assumed" else "quoted"
    node, devices = row.number("usd_per_hour"), row.count("devices")
    return Rate(
        device=row.text("device"),
        rate_kind=row.text("rate_kind", RATE_KINDS),
        provider=row.text("provider"),
        devices=devices,
        usd_per_hour=node / devices,
        low=node / devices,
        high=node / devices,
        node_usd_per_hour=node,
        includes=row.text("includes"),
        source=row.text("source"),
        observed_on=row.cells["observed_on"],
        kind=kind,
        memory_bytes=row.count("memory_bytes") if row.cells["memory_bytes"] else None,
        bandwidth_bytes_per_s=known("bandwidth_bytes_per_s"),
        fp16_dense_tflops=known("fp16_dense_tflops"),
        bf16_dense_tflops=known("bf16_dense_tflops"),
        fp8_dense_tflops=known("fp8_dense_tflops"),
        watts=known("watts"),
        spec_source=row.text("spec_source"),
    )


def rate(
    device: str,
    rate_kind: str = "on_demand",
    provider: str | None = None,
    as_of: AsOf = None,
    path: Path | None = None,
) -> Rate:
    """The price of a device hour as last seen by `as_of` (None: the latest), and its spread between providers.

    Without a provider: the one in the middle of those that quote the device (the lower of two), else of those assumed.
    Raises `InputError` for an unknown device, rate kind or provider, which names those there are, and
    `DateOutsideCoverage` for a day before the first observation.
    """
    offers = _offers(device, rate_kind, as_of, path)
    if provider is not None:
        offers = [offer for offer in offers if offer.provider == provider]
        if not offers:
            known = {offer.provider for offer in _offers(device, rate_kind, as_of, path)}
            raise bad(f"provider of {rate_kind} {device}", provider, known)
    cheapest = _cheapest([offer for offer in offers if offer.kind == "quoted"] or offers)
    middle = cheapest[(len(cheapest) - 1) // 2]
    return replace(middle, low=cheapest[0].usd_per_hour, high=cheapest[-1].usd_per_hour)


def spread(
    device: str,
    rate_kind: str = "on_demand",
    *,
    devices: int | None = None,
    as_of: AsOf = None,
    path: Path | None = None,
) -> pd.DataFrame:
    """Every provider's price of a device hour, cheapest first: how much the choice of provider is worth.

    Columns: provider, devices (sold together), usd_per_hour (one device), node_usd_per_hour, times_cheapest, includes,
    source, observed_on, kind. `devices` keeps offers of that size alone, for comparing like with like. Raises what
    `rate` raises.
    """
    offers = [o for o in _offers(device, rate_kind, as_of, path) if devices in (None, o.devices)]
    if not offers:
        sizes = {str(offer.devices) for offer in _offers(device, rate_kind, as_of, path)}
        raise bad(f"devices of {rate_kind} {device}", devices, sizes)
    cheapest = _cheapest(offers)
    columns = ("provider", "devices", "usd_per_hour", "node_usd_per_hour", "includes", "source", "observed_on", "kind")
    frame = pd.DataFrame([{name: getattr(offer, name) for name in columns} for offer in cheapest])
    times = [offer.usd_per_hour / cheapest[0].usd_per_hour for offer in cheapest]
    frame.insert(4, "times_cheapest", times)
    return frame


def _offers(device: str, rate_kind: str, as_of: AsOf, path: Path | None) -> list[Rate]:
    """The latest observation of each provider's price for each size, as of a day."""
    every = load_rates(path)
    names = list(dict.fromkeys(offer.device for offer in every))
    if device not in names:
        raise bad("device", device, get_close_matches(device, names, n=6, cutoff=0.4) or names)
    if rate_kind not in RATE_KINDS:
        raise bad("rate_kind", rate_kind, RATE_KINDS)
    kinds = sorted({offer.rate_kind for offer in every if offer.device == device})
    if rate_kind not in kinds:
        raise bad(f"rate_kind of {device}", rate_kind, f"{', '.join(kinds)}, or another row in data/rates.csv")
    offers = [offer for offer in every if (offer.device, offer.rate_kind) == (device, rate_kind)]
    if as_of is not None:
        day = day_and_time(as_of)[0]
        first = min(offer.known_from for offer in offers)
        offers = [offer for offer in offers if offer.known_from <= day]
        if not offers:
            what = f"as-of date of {rate_kind} {device}"
            raise price_error(DateOutsideCoverage, what, str(day), f"{first} (first observation) or later")
    latest: dict[tuple[str, int], Rate] = {}
    for offer in sorted(offers, key=lambda offer: offer.known_from):
        latest[offer.provider, offer.devices] = offer
    return list(latest.values())


def _cheapest(offers: Sequence[Rate]) -> list[Rate]:
    """One offer per provider, the cheapest per device (then the smallest), ascending."""
    ascending = sorted(offers, key=lambda offer: (offer.usd_per_hour, offer.devices, offer.provider))
    of_provider: dict[str, Rate] = {}
    for offer in ascending:
        of_provider.setdefault(offer.provider, offer)
    return list(of_provider.values())
