"""What an hour of hardware costs as it is sold: rented on demand, at spot prices, reserved, or owned.

`data/rates.csv` holds one offer of one provider per line, as it was seen on a day: so many devices together, at one
price. A need (how many replicas of how many devices) comes first, then the cheapest whole offer that covers it: one
device of eight sold together costs all eight. Dollars per device are for reading only. Assumed prices count only where
nobody quotes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.devices import data_sheets
from costlib.errors import invalid_input
from costlib.figure import Kind, Number
from costlib.paths import data_dir
from costlib.prices.book import AsOf, day_and_time
from costlib.prices.entries import DateOutsideCoverage, price_error
from costlib.read import Row, earliest_date, is_file, near, read_rows
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

RATE_KINDS = ("on_demand", "spot", "reserved_1y", "reserved_3y", "owned")
GIVEN = "given by the user"

RATE_COLUMNS = (
    "provider",
    "region",
    "commitment",
    "devices_per_unit",
    "units",
    "source",
    "observed_on",
    "kind",
)
"""What a frame says of the rate behind an amount, each after `rate_`."""

_COLUMNS = (
    "device",
    "rate_kind",
    "provider",
    "region",
    "devices",
    "usd_per_hour",
    "includes",
    "source",
    "observed_on",
    "kind",
)


def purchase(sold_by: int, devices: int) -> tuple[int, int]:
    """(replicas, units): how many replicas of `devices` the smallest useful purchase holds, and how many units it is.

    A replica spans units only where it is larger than one.
    """
    return (sold_by // devices, 1) if devices <= sold_by else (1, -(-devices // sold_by))


@brief
@dataclass(frozen=True)
class Offer:
    """An hour of hardware as it is sold: `devices` together for `usd_per_hour` US dollars.

    `rate_kind` is the commitment; `region` is empty where the source names none. Speeds, memory and watts of the device
    are in data/devices.csv.
    """

    device: str
    rate_kind: str
    provider: str
    region: str
    devices: int
    usd_per_hour: Decimal
    includes: str
    source: str
    observed_on: str
    kind: Kind

    @property
    def known_from(self) -> date:
        """The first day the observation can be of: `2026-04` may mean its first."""
        day = earliest_date(self.observed_on)
        assert day is not None  # checked when it was read
        return day

    @property
    def usd_per_device_hour(self) -> Decimal:
        """The hour of one of the devices, for reading: it may not be for sale."""
        return self.usd_per_hour / self.devices

    def bundle(self, devices: int) -> tuple[int, int]:
        """(replicas, units) of the smallest useful `purchase` for replicas of `devices`."""
        return purchase(self.devices, devices)

    def rent(self, devices: int = 1, replicas: int = 1) -> Rental:
        """Whole units for `replicas` of `devices` each."""
        held, units = self.bundle(devices)
        count = -(-replicas // held) * units
        usd = self.usd_per_hour * count
        return Rental(self, count, usd, usd)


@brief
@dataclass(frozen=True)
class Rental:
    """`units` of an offer, and what they cost together: `usd_per_hour` US dollars for `devices`, used or not.

    It is a list price, exact until it changes; `dearest_usd_per_hour` is the whole bill of the dearest provider for the
    same need.
    """

    offer: Offer
    units: int
    usd_per_hour: Decimal
    dearest_usd_per_hour: Decimal

    @property
    def devices(self) -> int:
        """Devices paid for."""
        return self.units * self.offer.devices

    @property
    def device(self) -> str:
        """What is rented."""
        return self.offer.device

    @property
    def source(self) -> str:
        """Where the price was seen."""
        return self.offer.source

    @property
    def observed_on(self) -> str:
        """When it was seen."""
        return self.offer.observed_on

    @property
    def kind(self) -> Kind:
        """Quoted, assumed or derived."""
        return self.offer.kind

    def document(self) -> dict[str, Any]:
        """Where the amount comes from, field by field, as `--json` shows it."""
        one = self.offer
        return {
            "device": one.device,
            "provider": one.provider or None,
            "region": one.region or None,
            "commitment": one.rate_kind or None,
            "devices_per_unit": one.devices,
            "usd_per_unit_hour": one.usd_per_hour,
            "units": self.units,
            "devices": self.devices,
            "usd_per_hour": self.usd_per_hour,
            "dearest_usd_per_hour": self.dearest_usd_per_hour,
            "includes": one.includes or None,
            "source": one.source,
            "observed_on": one.observed_on or None,
            "kind": one.kind,
        }

    def columns(self) -> dict[str, Any]:
        """The same for a row of a frame, but for the amounts: `rate_provider`, `rate_source`, ..."""
        shown = self.document()
        return {f"rate_{name}": shown[name] for name in RATE_COLUMNS}

    def sentence(self) -> str:
        """The same for a person."""
        one = self.offer
        if one.source == GIVEN:
            return f"{self.usd_per_hour:g} USD per hour for {self.devices} devices, {GIVEN}"
        where = f" in {one.region}" if one.region else ""
        sold = f"{self.units} x {one.devices} {one.device} for {one.usd_per_hour:g} USD per hour"
        dearest = "" if self.dearest_usd_per_hour == self.usd_per_hour else f" (dearest: {self.dearest_usd_per_hour:g})"
        seen = f"{one.rate_kind}, {one.kind}, seen {one.observed_on}: {one.source}"
        return f"{sold}{dearest} at {one.provider}{where}, {seen}"


def load_rates(path: Path | None = None) -> tuple[Offer, ...]:
    """Every line of `path` (default data/rates.csv).

    Raises `InputError` naming file, line and field for a rate of zero or less, an unknown rate kind, a repeated line or
    a date that is none.
    """
    path = path or data_dir() / "rates.csv"
    return _load(path, path.stat().st_mtime_ns if is_file(path) else 0)


@lru_cache(maxsize=8)
def _load(path: Path, _changed: int) -> tuple[Offer, ...]:
    found: list[Offer] = []
    lines: dict[tuple[object, ...], str] = {}
    for row in read_rows(path, _COLUMNS):
        one = _offer(row)
        key = (one.device, one.rate_kind, one.provider, one.region, one.devices, one.observed_on)
        if key in lines:
            raise invalid_input(
                "line", " ".join(str(part) for part in key), f"one line for it; see {lines[key]}", row.where
            )
        lines[key] = row.where
        found.append(one)
    return tuple(found)


def _offer(row: Row) -> Offer:
    if earliest_date(row.cells["observed_on"]) is None:
        raise invalid_input("observed_on", row.cells["observed_on"], "a date as YYYY, YYYY-MM or YYYY-MM-DD", row.where)
    kind: Kind = "assumed" if row.text("kind", ("quoted", "assumed")) == "assumed" else "quoted"
    return Offer(
        device=row.text("device"),
        rate_kind=row.text("rate_kind", RATE_KINDS),
        provider=row.text("provider"),
        region=row.cells["region"],
        devices=row.count("devices"),
        usd_per_hour=row.number("usd_per_hour"),
        includes=row.text("includes"),
        source=row.text("source"),
        observed_on=row.cells["observed_on"],
        kind=kind,
    )


def given(usd_per_device_hour: Number, devices: int = 1) -> Offer:
    """A rate somebody typed, $ per hour of one device, as an offer of `devices` sold together."""
    usd = Decimal(str(usd_per_device_hour)) * devices
    return Offer("given rate", "", "", "", devices, usd, "", GIVEN, "", "assumed")


def rental(rate: Rental | Number) -> Rental:
    """A rate that may be a number somebody typed."""
    return rate if isinstance(rate, Rental) else given(rate).rent()


def offers(
    device: str,
    rate_kind: str = "on_demand",
    provider: str | None = None,
    region: str | None = None,
    *,
    as_of: AsOf = None,
    path: Path | None = None,
) -> tuple[Offer, ...]:
    """What is for sale of a device, as last seen by `as_of` (None: the latest); quoted, else assumed.

    Raises `InputError` for an unknown device, rate kind, provider or region, which names those there are, and
    `DateOutsideCoverage` for a day before the first observation, which names it.
    """
    if rate_kind not in RATE_KINDS:
        raise invalid_input("rate_kind", rate_kind, RATE_KINDS)
    found: list[Offer] = list(load_rates(path))
    what = rate_kind + " " + device
    for field, wanted in (("device", device), ("rate_kind", rate_kind), ("provider", provider), ("region", region)):
        if wanted is None:
            continue
        known = dict.fromkeys(getattr(one, field) for one in found)
        if wanted not in known:
            if field == "device":
                raise invalid_input(field, wanted, near(wanted, known))
            if field == "rate_kind":
                raise invalid_input(
                    f"rate_kind of {device}", wanted, f"{', '.join(known)}, or another row in data/rates.csv"
                )
            raise invalid_input(
                f"{field} of {what}", wanted, [name for name in known if name] or "none: no source names one"
            )
        found = [one for one in found if getattr(one, field) == wanted]
    if as_of is not None:
        day = day_and_time(as_of)[0]
        first = min(found, key=lambda one: one.known_from)
        found = [one for one in found if one.known_from <= day]
        if not found:
            nearest = f"{first.usd_per_hour:f} USD for {first.devices} at {first.provider}"
            allowed = f"{first.known_from} (first observation) or later; the nearest recorded is {nearest}"
            raise price_error(DateOutsideCoverage, f"as-of date of {what}", str(day), allowed)
    latest: dict[tuple[str, int, str], Offer] = {}
    for one in sorted(found, key=lambda one: one.known_from):
        latest[one.provider, one.devices, one.region] = one
        if one.region:  # newer than one whose region nobody knows
            latest.pop((one.provider, one.devices, ""), None)
    rows = list(latest.values())
    return tuple([one for one in rows if one.kind == "quoted"] or rows)


def cheapest(found: Iterable[Offer], devices: int = 1, replicas: int = 1) -> Rental:
    """The cheapest whole offer for `replicas` of `devices` each, with the bill of the dearest provider beside it.

    Units of one offer cover the need; of equal bills the one with the fewest devices counts.
    """
    of_provider: dict[str, Rental] = {}
    for one in sorted((one.rent(devices, replicas) for one in found), key=_order):
        of_provider.setdefault(one.offer.provider, one)
    bills = list(of_provider.values())
    return replace(bills[0], dearest_usd_per_hour=bills[-1].usd_per_hour)


def _order(one: Rental) -> tuple[Decimal, int, str, str]:
    return one.usd_per_hour, one.devices, one.offer.provider, one.offer.region


def useful(found: Iterable[Offer], devices: int = 1) -> tuple[Offer, ...]:
    """The offers that are cheapest for some number of replicas of `devices` each, the smallest purchase first.

    An offer is never needed where another one costs no more per replica and its purchase divides this one's.
    """

    def order(one: Offer) -> tuple[int, Decimal, int, str, str]:
        held, units = one.bundle(devices)
        return held, one.usd_per_hour * units, one.devices, one.provider, one.region

    kept: list[tuple[int, Decimal, Offer]] = []
    for one in sorted(found, key=order):
        held, usd = order(one)[:2]
        if not any(held % smaller == 0 and least * held <= usd * smaller for smaller, least, _ in kept):
            kept.append((held, usd, one))
    return tuple(one for _, _, one in kept)


def offer(
    device: str,
    devices: int = 1,
    *,
    replicas: int = 1,
    rate_kind: str = "on_demand",
    provider: str | None = None,
    region: str | None = None,
    as_of: AsOf = None,
) -> Rental:
    """The cheapest whole offer for a need: `replicas` of `devices` each, that do not span what is sold together.

    `usd_per_hour` of the result is the bill for all that must be rented; `offer` says what it is and where it was seen.
    Raises what `offers` raises, and `InputError` for a need of less than one.
    """
    for field, value in (("devices", devices), ("replicas", replicas)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise invalid_input(field, value, "a whole number of at least 1")
    return cheapest(offers(device, rate_kind, provider, region, as_of=as_of), devices, replicas)


def spread(
    device: str,
    rate_kind: str = "on_demand",
    *,
    devices: int | None = None,
    as_of: AsOf = None,
    path: Path | None = None,
) -> list[dict[str, Any]]:
    """Every provider's price of a device hour, cheapest first: how much the choice of provider is worth.

    provider, region, devices (sold together), usd_per_hour (one device, for reading), times_cheapest, node_usd_per_hour
    (what is sold), includes, source, observed_on, kind. `devices` keeps offers of that size alone, for comparing like
    with like. Raises what `offers` raises.
    """
    every = offers(device, rate_kind, as_of=as_of, path=path)
    found = [one for one in every if devices in (None, one.devices)]
    if not found:
        raise invalid_input(f"devices of {rate_kind} {device}", devices, {str(one.devices) for one in every})
    of_provider: dict[str, Offer] = {}
    for one in sorted(found, key=lambda one: (one.usd_per_device_hour, one.devices, one.provider, one.region)):
        of_provider.setdefault(one.provider, one)
    rows = list(of_provider.values())
    return [
        {
            "provider": one.provider,
            "region": one.region or None,
            "devices": one.devices,
            "usd_per_hour": one.usd_per_device_hour,
            "times_cheapest": one.usd_per_device_hour / rows[0].usd_per_device_hour,
            "node_usd_per_hour": one.usd_per_hour,
            "includes": one.includes,
            "source": one.source,
            "observed_on": one.observed_on,
            "kind": one.kind,
        }
        for one in rows
    ]


def priced_devices(found: Sequence[Offer] | None = None) -> dict[str, None]:
    """The devices anybody sells, in the order of data/rates.csv."""
    return dict.fromkeys(one.device for one in (load_rates() if found is None else found))


def rates(
    device: str | None = None,
    rate_kind: str = "on_demand",
    *,
    devices: int | None = None,
    as_of: str | None = None,
) -> pd.DataFrame:
    """$ per hour of one device: every provider of `device`, cheapest first, or one row per device without it.

    `devices` keeps offers of that many sold together, for comparing like with like. Without a device `usd_per_hour` is
    the cheapest whole offer for one, which is all `devices` sold together; `usd_per_hour_low` and `_high` are what one
    device costs at the cheapest and at the dearest provider, for reading. Devices without that kind of rate on that day
    are left out. Raises `InputError` for an unknown device, rate kind or date.

    Args:
        device: Device of data/rates.csv; leave out to list them all.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        devices: Only offers of that many sold together, e.g. 8.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    import pandas as pd

    frame = pd.DataFrame(rate_rows(device, rate_kind, devices=devices, as_of=as_of))
    frame = frame.rename(columns={"low": "usd_per_hour_low", "high": "usd_per_hour_high"})
    money = ("usd_per_hour", "usd_per_hour_low", "usd_per_hour_high", "node_usd_per_hour", "times_cheapest")
    return frame.astype({name: float for name in money if name in frame})


def rate_rows(
    device: str | None = None,
    rate_kind: str = "on_demand",
    *,
    devices: int | None = None,
    as_of: str | None = None,
) -> list[dict[str, Any]]:
    """The rows of `rates` with exact amounts, as the command shows them: `low` and `high` are its ends."""
    if device is not None:
        return spread(device, rate_kind, devices=devices, as_of=as_of)
    if devices is not None:
        raise invalid_input("devices", devices, "nothing without the device they are of")
    every = load_rates()
    names = list(dict.fromkeys(row.device for row in every if row.rate_kind == rate_kind)) or [every[0].device]
    rows: list[dict[str, Any]] = []
    for name in names:
        try:
            rent = cheapest(offers(name, rate_kind, as_of=as_of))
        except DateOutsideCoverage:
            if name == names[-1] and not rows:
                raise
            continue
        ends, sheet = [one["usd_per_hour"] for one in spread(name, rate_kind, as_of=as_of)], data_sheets().get(name)
        known = {name: getattr(sheet, name, None) for name in ("memory_bytes", "bandwidth_bytes_per_s", "watts")}
        row = {"device": name, "rate_kind": rate_kind, "usd_per_hour": rent.usd_per_hour, "devices": rent.devices}
        row |= {"low": min(ends), "high": max(ends), **known, "provider": rent.offer.provider}
        region = {"region": rent.offer.region or None}
        rows.append(row | region | {"kind": rent.kind, "observed_on": rent.observed_on, "source": rent.source})
    return rows
