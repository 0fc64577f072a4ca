"""One dated price, the errors a price question can end in, and our own entries from data/prices/*.csv.

Our own entries say what the public list does not: contracted, promotional, corrected and missing prices. They go
before the public list on the days they cover. Two entries for the same thing and the same first day are a correction
(the later observation holds); a new first day is a price move; anything else that overlaps is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path

from costlib.errors import InputError, invalid_input
from costlib.figure import KINDS, Kind
from costlib.read import Row, read_rows

TOKEN_KINDS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "output_reasoning",
    "output_citation",
    "input_audio",
    "input_image",
    "input_video",
    "output_audio",
    "output_image",
    "output_video",
    "cache_read_audio",
    "cache_read_image",
    "search",
    "storage_search",
    "request",
)
"""`input` is text input that no cache served, embeddings included; `cache_write_5m` is a write with the provider's
default lifetime; `output` covers reasoning where reasoning has no price of its own. `FEES` are no tokens."""

FEES = {"search": "searches", "storage_search": "searches", "request": "requests"}
"""Kinds that are fees, and what for: a web search, a search of stored files, a request."""

TIERS = ("standard", "batch", "flex", "priority", "fast")

PURPOSES = ("list", "contracted", "promotional", "correction", "missing")
"""Why an own entry exists. `correction` and `missing` are checked against the public list: the one must find a price
of the same first day to correct, the other must find none."""

_UNITS = {
    "1M tokens": Decimal(1),
    "1K tokens": Decimal(1000),
    **{f"1M {things}": Decimal(1) for things in ("requests", "searches")},
    **{f"1K {things}": Decimal(1000) for things in ("requests", "searches")},
    "1 request": Decimal(1_000_000),
    "1 search": Decimal(1_000_000),
}
_REQUIRED = (
    "model",
    "provider",
    "token_kind",
    "tier",
    "unit",
    "amount",
    "currency",
    "effective_from",
    "effective_to",
    "observed_on",
    "source",
    "kind",
)
_OPTIONAL = ("purpose", "above_input_tokens")


class PriceError(InputError):
    """A price question that has no answer, with what would have one."""


class UnknownModel(PriceError):  # noqa: N818
    """No model of that name in the book; near names are suggested, none is taken instead."""


class UnknownProvider(PriceError):  # noqa: N818
    """No provider of that name, or several offer the model and none was named."""


class UnknownTier(PriceError):  # noqa: N818
    """No service tier of that name."""


class MissingPrice(PriceError):  # noqa: N818
    """The model is known and this price of it is not published: no batch price, no cache-read price, no output."""


class DateOutsideCoverage(PriceError):  # noqa: N818
    """The price exists, on other days than the one asked for."""


class TimeNeeded(PriceError):  # noqa: N818
    """The price depends on the hour of the day and only a date was given."""


def price_error(of: type[PriceError], field: str, value: object, allowed: str | Sequence[str]) -> PriceError:
    """The sentence of `costlib.errors.invalid_input` as one of the errors above."""
    return of(str(invalid_input(field, value, allowed)))


@dataclass(frozen=True, slots=True)
class Price:
    """One dated price: `amount` of `currency` for 1,000,000 tokens (or requests, or searches).

    It applies to a whole request whose input tokens exceed `above_input_tokens` (a cliff, not a marginal rate), from
    `effective_from` to `effective_to`, both inclusive. `effective_from` None means the first day is not published;
    the price is then answered from `known_from` on. `hours` limits it to a UTC time of day (start included).
    """

    id: str
    provider: str
    model: str
    token_kind: str
    tier: str
    amount: Decimal
    currency: str
    effective_from: date | None
    effective_to: date | None
    known_from: date
    observed_on: date
    source: str
    kind: Kind
    purpose: str = "list"
    above_input_tokens: int = 0
    hours: tuple[time, time] | None = None
    own: bool = False

    def doubt(self, day: date) -> str | None:
        """Why the price may not have held on `day` yet; None where its first day is published, and for the last one."""
        if self.effective_from is not None or day >= self.observed_on:
            return None
        return f"first day not published: taken to hold since {self.known_from}, perhaps before it was offered"

    @property
    def unit(self) -> str:
        """What the amount buys."""
        return f"1M {FEES.get(self.token_kind, 'tokens')}"

    def covers(self, day: date) -> bool:
        """Whether the price is known to hold on `day`."""
        return self.known_from <= day and (self.effective_to is None or day <= self.effective_to)

    def holds_at(self, moment: time) -> bool:
        """Whether the price holds at a UTC time of day."""
        if self.hours is None:
            return True
        start, end = self.hours
        return start <= moment < end if start <= end else moment >= start or moment < end


def price_id(
    source: str,
    provider: str,
    model: str,
    token_kind: str,
    tier: str,
    first_day: date | None,
    above: int = 0,
    hours: tuple[time, time] | None = None,
) -> str:
    """The stable name of a price, such as `genai-prices@0.2.3:openai/o3:input:standard:2025-06-10`.

    `undated` stands for an unpublished first day; `>200000` is added to the price of a long-context tier, and
    `01:00-04:00` to a price that holds at some hours (UTC).
    """
    name = f"{source}:{provider}/{model}:{token_kind}:{tier}:{first_day or 'undated'}"
    name += f":>{above}" if above else ""
    return name + (f":{hours[0]:%H:%M}-{hours[1]:%H:%M}" if hours else "")


def read_prices(path: Path, currencies: Sequence[str]) -> list[tuple[Price, Row]]:
    """The own entries of one CSV file, with the line each stands on.

    Columns: model, provider, token_kind, tier, unit, amount, currency, effective_from, effective_to, observed_on,
    source, kind; optional purpose (default `list`) and above_input_tokens. `effective_to` may be empty (until
    further notice). Raises `InputError` naming file, line and field.
    """
    return [(_price(row, path.stem, currencies), row) for row in read_rows(path, _REQUIRED, _OPTIONAL)]


def _price(row: Row, stem: str, currencies: Sequence[str]) -> Price:
    purpose = row.text("purpose", PURPOSES) if row.cells["purpose"] else "list"
    token_kind, unit = row.text("token_kind", TOKEN_KINDS), row.text("unit", tuple(_UNITS))
    things = FEES.get(token_kind, "tokens")
    if unit.split()[1] not in (things, things.removesuffix("s"), things.removesuffix("es")):
        raise invalid_input("unit", unit, f"a unit of {things}", row.where)
    first, last = row.day("effective_from"), row.optional_day("effective_to")
    if last is not None and last < first:
        raise invalid_input("effective_to", str(last), f"a day from {first} (effective_from) on, or empty", row.where)
    amount = row.number("amount", zero=purpose == "promotional") * _UNITS[unit]
    above = row.count("above_input_tokens", least=0) if row.cells["above_input_tokens"] else 0
    provider, model, tier = row.text("provider"), row.text("model"), row.text("tier", TIERS)
    return Price(
        id=price_id(f"{stem}.csv", provider, model, token_kind, tier, first, above),
        provider=provider,
        model=model,
        token_kind=token_kind,
        tier=tier,
        amount=amount,
        currency=row.text("currency", currencies),
        effective_from=first,
        effective_to=last,
        known_from=first,
        observed_on=row.day("observed_on"),
        source=row.text("source"),
        kind=_kind(row),
        purpose=purpose,
        above_input_tokens=above,
        own=True,
    )


def _kind(row: Row) -> Kind:
    value = row.text("kind", KINDS)
    kinds: dict[str, Kind] = {"measured": "measured", "quoted": "quoted", "assumed": "assumed", "derived": "derived"}
    return kinds[value]


def check_against_each_other(entries: Sequence[tuple[Price, Row]]) -> None:
    """Refuse duplicates and overlaps among own entries; corrections (same days, later observation) are fine."""
    seen: dict[tuple[object, ...], list[tuple[Price, Row]]] = {}
    for price, row in entries:
        key = (price.provider.lower(), price.model.lower(), price.token_kind, price.tier, price.above_input_tokens)
        for earlier, other in seen.setdefault(key, []):
            same_days = (price.effective_from, price.effective_to) == (earlier.effective_from, earlier.effective_to)
            if same_days and price.observed_on == earlier.observed_on:
                allowed = f"one row for a price, its days and its observation; see {other.where}"
                raise invalid_input("row", price.id, allowed, row.where)
            if not same_days and _overlap(price, earlier):
                allowed = f"days that do not overlap those of {other.where}, or the same days to correct it"
                raise invalid_input("effective_from", str(price.effective_from), allowed, row.where)
        seen[key].append((price, row))


def check_against_list(entries: Sequence[tuple[Price, Row]], listed: Sequence[Price]) -> None:
    """Hold own entries to the public list.

    `missing` needs a price the list lacks, `correction` a listed price of the same first day; and where the list has
    a long-context price, entries must say what theirs is, and what holds below it.
    """
    known: dict[tuple[str, str, str, str], list[Price]] = {}
    for price in listed:
        known.setdefault(_key(price), []).append(price)
    for price, row in entries:
        of = _key(price)
        same = known.get(of, [])
        there = [other for other in same if _overlap(price, other)]
        if price.purpose == "missing" and there:
            raise invalid_input(
                "purpose", "missing", f"correction, promotional or contracted: {there[0].id} is there", row.where
            )
        corrected = [other for other in same if other.effective_from in (price.effective_from, None)]
        if price.purpose == "correction" and not corrected:
            raise invalid_input(
                "purpose", "correction", "an entry with the first day of the listed price it corrects", row.where
            )
        own = {other.above_input_tokens for other, _ in entries if _key(other) == of and _overlap(other, price)}
        if lacking := {other.above_input_tokens for other in there} - own:
            allowed = f"a row for {min(lacking)} on the same days too, because {there[0].source} prices it apart"
            raise invalid_input("above_input_tokens", price.above_input_tokens, allowed, row.where)


def _key(price: Price) -> tuple[str, str, str, str]:
    return price.provider, price.model, price.token_kind, price.tier


def _overlap(one: Price, other: Price) -> bool:
    one_last, other_last = one.effective_to or date.max, other.effective_to or date.max
    return one.known_from <= other_last and other.known_from <= one_last
