"""The dated price book: which price holds for a model, tier and kind of token on a day, or why there is none.

The book lays our own entries (data/prices/*.csv) over the public list prices of `genai-prices`. A question it cannot
answer is a typed error, never a neighbouring answer: an unknown model is not matched to a similar one, a tier without
a price is not priced as standard, and a day before the first or after the last known price is not covered.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path

from costlib.errors import CostlibError
from costlib.output import write_whole
from costlib.paths import cache_dir, data_dir
from costlib.prices.currency import ExchangeRates, load_exchange_rates
from costlib.prices.entries import (
    TIERS,
    DateOutsideCoverage,
    MissingPrice,
    Price,
    PriceError,
    TimeNeeded,
    UnknownTier,
    check_against_each_other,
    check_against_list,
    price_error,
    read_prices,
)
from costlib.prices.library import PublicList, installed_list, read_public_list
from costlib.prices.names import Name, check_names, find
from costlib.read import iso_date
from costlib.value import brief

AsOf = date | datetime | str | None
"""A day (UTC), a moment, either as ISO 8601 text, or None for the book's snapshot day."""

_MOST_SHEETS = 50_000


@dataclass(frozen=True, slots=True)
class Band:
    """A price in US dollars for requests with more input tokens than `above`."""

    above: int
    usd_per_mtok: Decimal
    price: Price


@dataclass(frozen=True)
class Sheet:
    """Every price of one model and tier at one moment, by token kind, long-context bands ascending.

    `known` holds the kinds of price the model has in any tier on any day, `cliffs` where long-context bands begin.
    """

    provider: str
    model: str
    tier: str
    day: date
    bands: Mapping[str, tuple[Band, ...]]
    known: frozenset[str]
    cliffs: tuple[int, ...]
    other_days: Mapping[str, str]
    deprecated: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the model."""
        return (f"{self.provider}/{self.model} is deprecated by its provider",) if self.deprecated else ()

    def band(self, token_kind: str, input_tokens: int) -> Band:
        """The price of a token kind for a request of `input_tokens` in all.

        Raises `DateOutsideCoverage` where that kind has a price on other days only, `MissingPrice` where it has none.
        """
        for band in reversed(self.bands.get(token_kind, ())):
            if band.above == 0 or input_tokens > band.above:
                return band
        what = f"price of {token_kind} tokens in tier {self.tier} of {self.provider}/{self.model}"
        if token_kind in self.other_days:
            days = self.other_days[token_kind]
            raise price_error(DateOutsideCoverage, f"as-of date for the {what}", str(self.day), days)
        published = f"tokens with a published price ({', '.join(self.bands)}), or an own entry in data/prices"
        raise price_error(MissingPrice, what, None, published)


@brief
@dataclass(frozen=True)
class PriceBook:
    """All known prices; build it with `load_book`.

    `snapshot_date` is the last day the public list is known to hold, `source` names the list and its version.
    """

    source: str
    snapshot_date: date
    prices: tuple[Price, ...]
    names: Mapping[str, tuple[Name, ...]]
    exchange_rates: ExchangeRates
    _sheets: dict[tuple[str, str | None, str, AsOf], Sheet] = field(default_factory=dict, compare=False, repr=False)
    _found: dict[tuple[str, str | None], Name | PriceError] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def snapshot(self) -> str:
        """SHA-256 of every price in the book: two books with the same hash answer every question alike."""
        digest = hashlib.sha256()
        for line in sorted(repr(price) for price in self.prices):
            digest.update(line.encode())
        return digest.hexdigest()

    @cached_property
    def by_model(self) -> Mapping[tuple[str, str], tuple[Price, ...]]:
        """The prices of each (provider, model)."""
        grouped: dict[tuple[str, str], list[Price]] = {}
        for price in self.prices:
            grouped.setdefault((price.provider, price.model), []).append(price)
        return {key: tuple(group) for key, group in grouped.items()}

    def sheet(self, model: str, provider: str | None = None, tier: str = "standard", as_of: AsOf = None) -> Sheet:
        """The prices of a model and tier that hold at a moment.

        Raises `UnknownModel`, `UnknownProvider`, `UnknownTier`, `MissingPrice` (the model has no price in that tier),
        `DateOutsideCoverage`, or `TimeNeeded` where the price depends on the hour and `as_of` is only a date.
        """
        key = (model, provider, tier, as_of)
        sheet = self._sheets.get(key)
        if sheet is None:
            if len(self._sheets) >= _MOST_SHEETS:
                self._sheets.clear()
            sheet = self._sheets[key] = self._build(self.name(model, provider), tier, *self.moment(as_of))
        return sheet

    def periods(
        self, model: str, provider: str | None, tier: str, as_of: AsOf, shares: Sequence[float]
    ) -> tuple[tuple[AsOf, Decimal], ...]:
        """The moments that stand for the different prices of a day, and the share of the requests made at each.

        `shares` are the requests of each hour of the day (UTC), in any unit. One moment, `as_of` itself, where the
        price does not depend on the hour.
        """
        try:
            self.sheet(model, provider, tier, as_of)
        except TimeNeeded:
            day = self.moment(as_of)[0]
        else:
            return ((as_of, Decimal(1)),)
        found: dict[frozenset[str], tuple[datetime, float]] = {}
        for minute in range(24 * 60):
            at = datetime.combine(day, time(*divmod(minute, 60)), UTC)
            bands = self.sheet(model, provider, tier, at).bands.values()
            ids = frozenset(band.price.id for of in bands for band in of)
            first, share = found.get(ids, (at, 0.0))
            found[ids] = first, share + shares[minute // 60] / 60
        parts = [(at, round(Decimal(share / sum(shares)), 9)) for at, share in found.values() if share]
        at, _ = parts.pop()
        return (*parts, (at, 1 - sum((share for _, share in parts), Decimal(0))))

    def name(self, model: str, provider: str | None = None) -> Name:
        """The model that a name means, at that provider. Raises `UnknownModel` or `UnknownProvider`."""
        known = self._found.get((model, provider))
        if known is None:
            if len(self._found) >= _MOST_SHEETS:
                self._found.clear()
            try:
                known = find(self.names, model, provider)
            except PriceError as error:
                known = error
            self._found[model, provider] = known
        if isinstance(known, PriceError):
            raise type(known)(str(known))
        return known

    def moment(self, as_of: AsOf) -> tuple[date, time | None]:
        """The UTC day of `as_of`, and its time of day where it has one; None is the snapshot day."""
        return (self.snapshot_date, None) if as_of is None else day_and_time(as_of)

    def _build(self, name: Name, tier: str, day: date, at: time | None) -> Sheet:
        provider, model = name.provider, name.model
        where = f"{provider}/{model}"
        prices = self.by_model.get((provider, model), ())
        tiers = sorted({price.tier for price in prices})
        known = frozenset(price.token_kind for price in prices)
        if tier == "default":
            tier = "standard"
        if tier not in TIERS and tier not in tiers:
            raise price_error(UnknownTier, "tier", tier, sorted({*TIERS, *tiers}))
        prices = tuple(price for price in prices if price.tier == tier)
        if not prices:
            sold_by = f": it is sold by the {' and the '.join(name.sold_by)}" if name.sold_by else ""
            allowed = f"none, no price of tokens is published{sold_by}"
            if tiers:
                allowed = f"a tier with a published price: {', '.join(tiers)}"
            raise price_error(MissingPrice, f"tier of {where}", tier, allowed)
        active = [price for price in prices if self.holds(price, day)]
        if not active:
            what = f"as-of date for tier {tier} of {where}"
            raise price_error(DateOutsideCoverage, what, str(day), self._days(prices, day))
        own = {price.token_kind for price in active if price.own}
        active = [price for price in active if price.own or price.token_kind not in own]
        if any(price.hours for price in active):
            if at is None:
                allowed = f"a moment with its UTC time, such as {day}T09:00 (in a table: column timestamp), "
                allowed += "because this price depends on the hour"
                raise price_error(TimeNeeded, f"as-of date of {where}", str(day), allowed)
            active = [price for price in active if price.holds_at(at)]
        kinds = {price.token_kind: None for price in prices}
        chosen = {kind: _chosen([price for price in active if price.token_kind == kind]) for kind in kinds}
        return Sheet(
            provider,
            model,
            tier,
            day,
            {kind: tuple(self._band(price, day) for price in of) for kind, of in chosen.items() if of},
            known,
            tuple(sorted({price.above_input_tokens for of in chosen.values() for price in of} - {0})),
            {k: self._days([p for p in prices if p.token_kind == k], day) for k, of in chosen.items() if not of},
            name.deprecated,
        )

    def holds(self, price: Price, day: date) -> bool:
        """Whether the book knows that a price holds on a day: not beyond the snapshot, but for a contract's own end."""
        return price.covers(day) and day <= self._known_to(price)

    def _known_to(self, price: Price) -> date:
        return price.effective_to if price.own and price.effective_to else self.snapshot_date

    def _days(self, prices: Sequence[Price], day: date) -> str:
        """The days that prices are known for, and the nearest of them, which a reader may ask for instead."""
        first = min(price.known_from for price in prices)
        lasts = [min(price.effective_to or date.max, self._known_to(price)) for price in prices]
        known = zip(prices, lasts, strict=True)
        nearest = min((min(max(day, price.known_from), last) for price, last in known), key=lambda one: abs(one - day))
        allowed = (
            f"{first} to {max(lasts)}; the nearest recorded price is that of {nearest}, which need not be that of "
        )
        return f"{allowed}{day}: ask for it with --as-of {nearest} (as_of)"

    def _band(self, price: Price, day: date) -> Band:
        amount = self.exchange_rates.to_usd(price.amount, price.currency, day)
        return Band(price.above_input_tokens, amount, price)


def _chosen(prices: Sequence[Price]) -> list[Price]:
    """Of the prices of one token kind that hold: the hour's before the day's, then the last observation."""
    prices = [price for price in prices if price.hours] or prices
    bands: dict[int, Price] = {}
    for price in sorted(prices, key=lambda price: price.observed_on):
        bands[price.above_input_tokens] = price
    return [bands[above] for above in sorted(bands)]


def day_and_time(as_of: date | datetime | str) -> tuple[date, time | None]:
    """The UTC day of a date, moment or ISO 8601 text, and the time of day where it has one; no time zone means UTC."""
    if isinstance(as_of, str):
        try:
            as_of = iso_date(as_of) or datetime.fromisoformat(as_of)
        except ValueError:
            allowed = "a date as YYYY-MM-DD, or a moment as YYYY-MM-DDTHH:MM"
            raise price_error(DateOutsideCoverage, "as-of date", as_of, allowed) from None
    if isinstance(as_of, datetime):
        utc = as_of.astimezone(UTC) if as_of.tzinfo else as_of
        return utc.date(), utc.time()
    return as_of, None


def load_book(folder: Path | None = None) -> PriceBook:
    """The public list prices with the own entries of `folder` (default data/prices) laid over them.

    Raises `InputError` naming file, line and field for a broken own entry.
    """
    folder = folder or data_dir() / "prices"
    files = tuple((path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.csv")))
    return _load_book(files)


@lru_cache(maxsize=1)
def _public_list() -> PublicList:
    """The public list, kept in the cache as the same code made it of the same version, because that takes longest."""
    files = [Path(__file__).parent / f"{name}.py" for name in ("library", "entries", "names")]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    kept = (
        cache_dir() / "prices" / f"{sys.version_info.major}.{sys.version_info.minor}-{installed_list()}-{code}.pickle"
    )
    with suppress(Exception):  # none there, or not whole: it is made again
        found: PublicList = pickle.loads(kept.read_bytes())
        return found
    made = read_public_list()
    with suppress(OSError, CostlibError):  # a cache that cannot be written is none
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, pickle.dumps(made))
    return made


@lru_cache(maxsize=8)
def _load_book(files: tuple[tuple[Path, int], ...]) -> PriceBook:
    public, exchange_rates = _public_list(), load_exchange_rates()
    listed = [price for model in public.models for price in model.prices]
    own = [entry for path, _ in files for entry in read_prices(path, exchange_rates.currencies)]
    check_against_each_other(own)
    names = _names(public)
    check_names(own, names)
    check_against_list(own, listed)
    prices = [*listed, *(price for price, _ in own)]
    for price, _ in own:
        name = Name(price.provider, price.model)
        same = names.setdefault(price.model.lower(), ())
        if all((other.provider, other.model) != (name.provider, name.model) for other in same):
            names[price.model.lower()] = (*same, name)
    return PriceBook(public.source, public.released, tuple(prices), names, exchange_rates)


def _names(public: PublicList) -> dict[str, tuple[Name, ...]]:
    names: dict[str, tuple[Name, ...]] = {}
    for listed in public.models:
        for alias in listed.aliases:
            names[alias] = (*names.get(alias, ()), listed.name)
    return names
