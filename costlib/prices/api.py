"""What one request costs at an API, exactly, and what a prompt cache must return to pay.

The price of a request is the sum over `buckets` of tokens times price per million, in `Decimal`; a long-context price
is a cliff chosen by the total input and applies to every token of the request. Usage tables: `costlib.prices.usage`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError, invalid_input, unused
from costlib.figure import Kind
from costlib.prices.amounts import Amount, exact
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.prices.buckets import COUNTS, MOST_TOKENS, not_used, own_buckets, plan
from costlib.value import brief

if TYPE_CHECKING:
    from costlib.prices.usage import PricedUsage

_MILLION = Decimal(1_000_000)
_QUOTED: Kind = "quoted"


@dataclass(frozen=True, slots=True)
class Line:
    """One bucket of a request: `tokens` at `usd_per_mtok` make `amount` US dollars.

    A fee per request or search is a line whose "tokens" are requests or searches, priced per million. `doubt` says why
    the price may not have held yet on the day asked for (see `Price.doubt`), None where nothing does.
    """

    kind: str
    tokens: int
    usd_per_mtok: Decimal
    amount: Decimal
    price_id: str
    doubt: str | None = None


@brief
@dataclass(frozen=True, slots=True)
class PricedRequest:
    """The price of a request, or of `requests` added up, in US dollars, and where each part of it comes from.

    `as_of` is the UTC day of the prices; `as_of_given` is False where none was asked for and the book's snapshot day
    was taken. `source` names the sources of its prices, `kind` is `assumed` where one of them is. `snapshot` is the
    hash of the book. `notes` say what a reader must know: doubts, tokens without a price of their own.
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
    requests: int
    deprecated: bool
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The fields of `--json`."""
        return {**asdict(self), "price_ids": [line.price_id for line in self.lines]}


def price_request(
    book: PriceBook,
    model: str,
    provider: str | None = None,
    *,
    tier: str = "standard",
    as_of: AsOf = None,
    requests: int = 1,
    **counts: int,
) -> PricedRequest:
    """Price one request, or the sums of `requests`, whose long-context price follows their mean.

    `counts` are named as in `COUNTS`: `input_tokens` includes cached, cache-write, audio, image and video tokens,
    `output_tokens` includes reasoning, audio and so on; parts without a price of their own are billed as the rest.
    Raises the errors of `PriceBook.sheet` and `Sheet.band`, and `InputError` for a count that is not known, negative,
    not whole, a bool, 10**15 or more, or larger than the count it is part of.
    """
    given = {name: number for name, count in counts.items() if (number := _count(name, count))}
    if not _count("requests", requests):
        raise invalid_input("requests", requests, "a whole number from 1 on")
    sheet = book.sheet(model, provider, tier, as_of)
    own = own_buckets(sheet.known)
    planned = plan(tuple(given), own)
    billed = planned.bill(given)
    if planned.checks:
        for field, number, whole, left in planned.beyond(given, billed):
            if left < 0:
                raise invalid_input(field, number, f"at most {whole} ({given.get(whole, 0)}), which include them")
    if "requests" in own:
        billed["request"] = requests
    mean = -(-given.get("input_tokens", 0) // requests)
    lines: list[Line] = []
    sources: dict[str, None] = {}
    notes = list(sheet.notes)
    total, kind_of_all = Decimal(0), _QUOTED
    for kind, tokens in billed.items():
        if tokens:
            band = sheet.band(kind, mean)
            price, doubt = band.price, band.price.doubt(sheet.day)
            amount = tokens * band.usd_per_mtok / _MILLION
            lines.append(Line(kind, tokens, band.usd_per_mtok, amount, price.id, doubt))
            sources[price.source] = None
            total += amount
            if doubt:
                notes.append(doubt)
            if price.kind == "assumed":
                kind_of_all = price.kind
    if not own.issuperset(given):
        where = f"{sheet.provider}/{sheet.model}"
        notes += [not_used(name, number, where) for name, number in given.items() if name not in own]
    if requests > 1 and sheet.cliffs:
        notes.append(f"the long-context price of {requests:,} requests follows their mean of {mean:,} input tokens")
    return PricedRequest(
        total=total,
        lines=tuple(lines),
        currency="USD",
        as_of=sheet.day,
        as_of_given=as_of is not None,
        provider=sheet.provider,
        model=sheet.model,
        tier=sheet.tier,
        source=", ".join(sources) or book.source,
        kind=kind_of_all,
        snapshot=book.snapshot,
        requests=requests,
        deprecated=sheet.deprecated,
        notes=tuple(dict.fromkeys(notes)) if notes else (),
    )


def _count(name: str, count: object) -> int:
    """The count as an int; whole numbers of numpy and the like are fine, everything else is refused."""
    if name not in COUNTS:
        raise invalid_input("count", name, tuple(COUNTS))
    if type(count) is int and 0 <= count < MOST_TOKENS:
        return count
    allowed = f"a whole number from 0 to {MOST_TOKENS - 1}"
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise invalid_input(name, count, allowed)
    number = operator.index(count)
    if not 0 <= number < MOST_TOKENS:
        raise invalid_input(name, count, allowed)
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


def price(
    model: str,
    provider: str | None = None,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    input_audio_tokens: int = 0,
    input_image_tokens: int = 0,
    input_video_tokens: int = 0,
    cached_audio_tokens: int = 0,
    cached_image_tokens: int = 0,
    reasoning_tokens: int = 0,
    citation_tokens: int = 0,
    output_audio_tokens: int = 0,
    output_image_tokens: int = 0,
    output_video_tokens: int = 0,
    searches: int = 0,
    storage_searches: int = 0,
    requests: int = 1,
    tier: str = "standard",
    as_of: str | None = None,
) -> PricedRequest:
    """Price of one API request in US dollars, line by line, or of the sums of `requests`.

    `input_tokens` and `output_tokens` include all of their parts, cached tokens the cached audio and images. `as_of` is
    a day, or a moment where the price depends on the hour (UTC); None is the day of the price snapshot.

    Args:
        model: API model, e.g. gpt-4o.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        input_tokens: Input tokens, cached and cache-write ones included.
        output_tokens: Output tokens, reasoning included.
        cached_tokens: Input tokens read from a prompt cache.
        cache_write_tokens: Input tokens written to a cache.
        cache_write_1h_tokens: Those of them written for one hour.
        input_audio_tokens: Input tokens that are audio.
        input_image_tokens: Input tokens that are images.
        input_video_tokens: Input tokens that are video.
        cached_audio_tokens: Cached tokens that are audio.
        cached_image_tokens: Cached tokens that are images.
        reasoning_tokens: Output tokens that are reasoning.
        citation_tokens: Output tokens that are citations.
        output_audio_tokens: Output tokens that are audio.
        output_image_tokens: Output tokens that are images.
        output_video_tokens: Output tokens that are video.
        searches: Web searches.
        storage_searches: Searches of stored files.
        requests: Requests that all these counts add up; their mean sets a tier.
        tier: standard, batch, flex or priority.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    request = locals().copy()
    return price_request(load_book(), **request)


def quote(
    model: str | None = None,
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    usage: str | None = None,
    columns: Mapping[str, str] | None = None,
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    **request: int,
) -> PricedRequest | PricedUsage:
    """Price one API request, or a table of them, line by line, at the list price of a date.

    Args:
        model: API model, e.g. gpt-4o; leave out with --usage.
        usage: Log or table of requests to price instead of one.
        columns: FIELD=COLUMN of a log whose export is not recognised; again for each field.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        tier: standard, batch, flex or priority; with --usage, of rows that name none.
        **request: Those of `costlib.price`.
    """
    if usage is None:
        unused("without --usage", quote, locals(), ["columns"])
        if model is None or input_tokens is None or output_tokens is None:
            raise InputError("Missing MODEL, --prompt-tokens or --output-tokens; allowed: these three, or --usage FILE")
        request |= {"input_tokens": input_tokens, "output_tokens": output_tokens}
        return price(model, provider, tier=tier, as_of=as_of, **request)
    named = {"model": model, "input_tokens": input_tokens, "output_tokens": output_tokens}
    asked = request | {name: value for name, value in named.items() if value is not None}
    unused("beside --usage, whose columns say it", price, asked, asked)
    from costlib.prices.usage import price_table

    return price_table(usage, provider=provider, tier=tier, as_of=as_of, columns=columns)
