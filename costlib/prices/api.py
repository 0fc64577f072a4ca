"""What one request costs at an API, exactly, and what a prompt cache must return to pay.

Every token lies in one bucket: input counts include cached and written tokens, output counts include reasoning. The
price of a request is the sum over buckets of tokens times price per million, in `Decimal`; a long-context price is a
cliff chosen by the total input and applies to every token of the request. Usage tables: `costlib.prices.usage`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costlib.errors import bad
from costlib.figure import Kind
from costlib.prices.amounts import Amount, exact
from costlib.prices.book import AsOf, PriceBook
from costlib.prices.entries import Price

MOST_TOKENS = 10**15
"""Counts from here on are taken for a mistake."""

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Line:
    """One bucket of a request: `tokens` at `usd_per_mtok` make `amount` US dollars.

    A fee per request is a line of kind `request` with one "token", priced per million requests. `doubt` says why the
    price may not have held yet on the day asked for (see `Price.doubt`), None where nothing does.
    """

    kind: str
    tokens: int
    usd_per_mtok: Decimal
    amount: Decimal
    price_id: str
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class PricedRequest:
    """The price of a request in US dollars, and where each part of it comes from.

    `as_of` is the UTC day of the prices; `as_of_given` is False where none was asked for and the book's snapshot day
    was taken. `source` names the sources of its prices, `kind` is `assumed` where one of them is. `snapshot` is the
    hash of the book.
    """

    total: Decimal
    lines: tuple[Line, ...]
    currency: str
    as_of: date
    as_of_given: bool
    provider: str
    model: str
    tier: str
    source: str
    kind: Kind
    snapshot: str


def price_request(
    book: PriceBook,
    model: str,
    provider: str | None = None,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    reasoning_tokens: int = 0,
    tier: str = "standard",
    as_of: AsOf = None,
) -> PricedRequest:
    """Price one request.

    `input_tokens` includes cached and cache-write tokens (`cache_write_tokens` with the default lifetime, usually
    five minutes); `output_tokens` includes reasoning, which has its own price at few providers and is priced as output
    elsewhere. Raises the errors of `PriceBook.sheet` and `Sheet.band`, and `InputError` for a count that is negative,
    not whole, a bool, 10**15 or more, or larger than the count it is part of.
    """
    input_tokens = _count("input_tokens", input_tokens)
    output_tokens = _count("output_tokens", output_tokens)
    cached_tokens = _count("cached_tokens", cached_tokens)
    cache_write_tokens = _count("cache_write_tokens", cache_write_tokens)
    cache_write_1h_tokens = _count("cache_write_1h_tokens", cache_write_1h_tokens)
    reasoning_tokens = _count("reasoning_tokens", reasoning_tokens)
    uncached = input_tokens - cached_tokens - cache_write_tokens - cache_write_1h_tokens
    if uncached < 0:
        parts = cached_tokens + cache_write_tokens + cache_write_1h_tokens
        raise bad("cached_tokens + cache writes", parts, f"at most input_tokens ({input_tokens}), which include them")
    if reasoning_tokens > output_tokens:
        raise bad("reasoning_tokens", reasoning_tokens, f"at most output_tokens ({output_tokens}), which include them")
    sheet = book.sheet(model, provider, tier, as_of)
    apart = reasoning_tokens if "output_reasoning" in sheet.bands else 0
    lines: list[Line] = []
    prices: list[Price] = []
    for kind, tokens in (
        ("input", uncached),
        ("cache_read", cached_tokens),
        ("cache_write_5m", cache_write_tokens),
        ("cache_write_1h", cache_write_1h_tokens),
        ("output", output_tokens - apart),
        ("output_reasoning", apart),
        ("request", 1 if "request" in sheet.bands else 0),
    ):
        if tokens:
            band = sheet.band(kind, input_tokens)
            amount = tokens * band.usd_per_mtok / _MILLION
            lines.append(Line(kind, tokens, band.usd_per_mtok, amount, band.price.id, band.price.doubt(sheet.day)))
            prices.append(band.price)
    return PricedRequest(
        total=sum((line.amount for line in lines), Decimal(0)),
        lines=tuple(lines),
        currency="USD",
        as_of=sheet.day,
        as_of_given=as_of is not None,
        provider=sheet.provider,
        model=sheet.model,
        tier=sheet.tier,
        source=", ".join(dict.fromkeys(price.source for price in prices)) or book.source,
        kind="assumed" if any(price.kind == "assumed" for price in prices) else "quoted",
        snapshot=book.snapshot,
    )


def _count(name: str, count: object) -> int:
    """The count as an int; whole numbers of numpy and the like are fine, everything else is refused."""
    if type(count) is int and 0 <= count < MOST_TOKENS:
        return count
    allowed = f"a whole number from 0 to {MOST_TOKENS - 1}"
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise bad(name, count, allowed)
    number = operator.index(count)
    if not 0 <= number < MOST_TOKENS:
        raise bad(name, count, allowed)
    return number


@dataclass(frozen=True)
class CacheBreakEven:
    """What a prompt cache must return to pay for its writes; None, with a reason, where it never does."""

    reads_per_write: Decimal | None
    hit_rate: Decimal | None
    reason: str | None = None


def cache_break_even(base: Amount, write: Amount, read: Amount) -> CacheBreakEven:
    """Reads per write, and the equal hit rate, above which caching is cheaper than sending input at the base price.

    Prices per token in any one unit. reads per write = (write - base) / (base - read); as a share of cached accesses,
    hit rate = (write - base) / (write - read). At 1.25 and 0.1 times the base price: 0.278 reads per write, 21.7 %.
    A write no dearer than the base price pays from the first read on (0); a read no cheaper than it never pays.
    """
    base, write, read = exact("base", base, zero=False), exact("write", write), exact("read", read)
    extra, saving = write - base, base - read
    if saving <= 0:
        return CacheBreakEven(None, None, "never: a cached read costs no less than input at the base price")
    if extra <= 0:
        return CacheBreakEven(Decimal(0), Decimal(0))
    return CacheBreakEven(extra / saving, extra / (write - read))
