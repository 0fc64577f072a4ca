"""One option for one workload: $ and seconds per request, success rate, latency, and every requirement it fails.

An offer that fails one is shown and never chosen. Expected $ of a request = inference + P(miss) * cost of a miss.
Self-hosted: seconds of a replica per request = input tokens / prefill speed + output tokens / decode speed, with no
prefix cache (cached tokens are computed again). The rented hour is paid busy or idle; problem.py sizes the pool. A
cascade or router costs what its stages cost, each for its share of the requests, and fails whatever a stage fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from costlib.figure import plain
from costlib.portfolio.supply import Ends, PricedOption, where_in
from costlib.portfolio.together import asked, splits
from costlib.portfolio.workloads import Score, Scores, Workload
from costlib.prices.api import PricedRequest, price_request
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.prices.entries import MissingPrice
from costlib.read import close
from costlib.study import ApiOption, DistilledOption, HumanOption, Latency, MeasuredOption, Study

UNKNOWN = ("price", "speed", "quality result")
"""Requirements failed by an option nothing is known about."""

REQUIREMENTS = (*UNKNOWN, "quality gate", "own machines only", "latency limit", "quality floor")
"""Everything an offer must meet."""


CACHE_LIFETIME_S = 300
"""How long a provider keeps a prompt it was not asked for again: five minutes, the usual default."""


@dataclass(frozen=True)
class Offer:
    """One option for one workload; money is $ per request, seconds are of one replica per request."""

    workload: Workload
    supply: PricedOption
    input_usd: Decimal
    output_usd: Decimal
    input_s: Ends
    output_s: Ends
    score: Score | None
    latency_s: float | None
    failed: Mapping[str, str]
    note: str
    source: str
    """Where the inference cost comes from; the success rate has its own."""
    uncached_usd: Decimal = Decimal(0)
    """What the input would cost more without the provider's prompt cache."""

    @property
    def eligible(self) -> bool:
        """Whether the offer fails nothing."""
        return not self.failed


def offers(
    study: Study,
    workloads: tuple[Workload, ...],
    scores: Scores,
    found: tuple[PricedOption, ...],
    book: PriceBook | None = None,
) -> list[list[Offer]]:
    """Every option for every workload: offers[w][o]. Raises `InputError` for a model or date the price book lacks."""
    book = book or load_book()
    table = []
    for workload in workloads:
        alone = {place: _offer(study, workload, one, scores, book) for place, one in enumerate(found) if not one.stages}
        table.append([alone.get(place) or _together(workload, one, scores, alone) for place, one in enumerate(found)])
    return table


def _together(workload: Workload, supply: PricedOption, scores: Scores, alone: Mapping[int, Offer]) -> Offer:
    """What stages cost for their shares. A cascade keeps its last asker waiting for every stage, a router for one."""
    stages = [(alone[place], Decimal(repr(share))) for place, share in asked(supply)]
    failed: dict[str, str] = {}
    for name in ("price", "speed", "quality gate", "own machines only"):
        reasons = [f"{offer.supply.name}: {offer.failed[name]}" for offer, _ in stages if name in offer.failed]
        failed |= {name: "; ".join(reasons)} if reasons else {}
    score = _judge(workload, supply, scores, failed)
    waits = [offer.latency_s for offer, _ in stages]
    known = [wait for wait in waits if wait is not None]
    latency = None if len(known) < len(waits) else max(known) if splits(supply) else math.fsum(known)
    _limit(workload, latency, failed)
    option = supply.option
    shares = " and ".join(f"{plain(100 * float(share))} % {offer.supply.name}" for offer, share in stages)
    return Offer(
        workload=workload,
        supply=supply,
        input_usd=sum((offer.input_usd * share for offer, share in stages), supply.usd_per_request),
        output_usd=sum((offer.output_usd * share for offer, share in stages), Decimal(0)),
        input_s=_NONE,
        output_s=_NONE,
        score=score,
        latency_s=latency,
        failed={name: failed[name] for name in REQUIREMENTS if name in failed},
        note="; ".join(text for text in (f"asks {shares} of the requests", supply.note) if text),
        source="; ".join(dict.fromkeys([getattr(option, "source", ""), *(offer.source for offer, _ in stages)])),
        uncached_usd=sum((offer.uncached_usd * share for offer, share in stages), Decimal(0)),
    )


def _judge(workload: Workload, supply: PricedOption, scores: Scores, failed: dict[str, str]) -> Score | None:
    """The success rate, measured on a task before stated; notes where it is unknown or below the floor."""
    name = supply.option.capability
    score = (supply.scores or {}).get(workload.workload) or scores.get((workload.workload, name))
    if score is None:
        stated = [capability for of, capability in scores if of == workload.workload]
        failed["quality result"] = f"no success rate of {name} on {workload.workload}{close(name, stated)}"
    elif score.success_rate < workload.quality_floor:
        failed["quality floor"] = (
            f"success rate {score.success_rate:g} is below the floor of {workload.quality_floor:g}"
        )
    return score


def _limit(workload: Workload, latency: float | None, failed: dict[str, str]) -> None:
    limit = workload.latency_limit_s
    if limit is not None and latency is not None and latency > limit:
        failed["latency limit"] = f"an answer takes {plain(latency)} s, the limit is {limit:g} s"


def _offer(study: Study, workload: Workload, supply: PricedOption, scores: Scores, book: PriceBook) -> Offer:
    option = supply.option
    failed = dict(supply.failed or {})
    quote = _Quote()
    sources: list[str] = []
    if isinstance(option, ApiOption):
        with where_in(study, option):
            quote = _quote(study, workload, option, book)
        sources.append(quote.source)
        if quote.problem:
            failed["price"] = quote.problem
        if workload.own_machines_only:
            failed["own machines only"] = "requests may not leave for an API"
    elif isinstance(option, HumanOption):
        if workload.human_minutes is None:
            failed["speed"] = "no minutes per task for a person"
    elif supply.speed_source:
        sources += [supply.speed_source, supply.rate_source]
    if workload.workload in (supply.gated or {}):
        requirement, reason = (supply.gated or {})[workload.workload]
        failed[requirement] = reason
    score = _judge(workload, supply, scores, failed)
    latency = _latency(workload, supply)
    _limit(workload, latency, failed)
    if isinstance(option, DistilledOption) and option.latency is None and workload.latency_limit_s is not None:
        failed["latency limit"] = f"no latency of one request is known, the limit is {workload.latency_limit_s:g} s"
    return Offer(
        workload=workload,
        supply=supply,
        input_usd=quote.input_usd,
        output_usd=quote.output_usd,
        input_s=_seconds(workload.input_tokens, supply.prefill_tokens_per_s),
        output_s=_seconds(workload.output_tokens, supply.decode_tokens_per_s),
        score=score,
        latency_s=latency,
        failed={name: failed[name] for name in REQUIREMENTS if name in failed},
        note="; ".join(text for text in (supply.note, quote.note) if text),
        source="; ".join(text for text in sources if text) or "study",
        uncached_usd=quote.uncached_usd,
    )


def cold_cache(study: Study, workload: Workload, option: ApiOption, book: PriceBook) -> tuple[float, Decimal]:
    """Share of requests that find an API's prompt cache expired, and the $ each then costs more.

    Arrivals are Poisson at the rate of each hour of the profile, and every read keeps the cache for `CACHE_LIFETIME_S`
    more, so that a request comes too late with probability exp(-rate * lifetime). It then pays for writing the cache,
    or for plain input where writing has no price of its own. (0, 0) where nothing is cached.
    """
    profile = study.profiles[workload.profile]
    shares = profile.hourly_share()
    peak = 1.0 if profile.weights else float(profile.peak_to_mean or 1)
    late = [math.exp(-workload.requests_per_month * each / peak / 3600 * CACHE_LIFETIME_S) for each in shares]
    share = math.fsum(each * cold for each, cold in zip(shares, late, strict=True)) / math.fsum(shares)

    def ask(**cache: int) -> Decimal:
        tokens: dict[str, Any] = {"input_tokens": workload.input_tokens, "output_tokens": 0, **cache}
        of = (option.model, option.provider, option.tier)
        return sum(
            (
                share * price_request(book, *of[:2], tier=of[2], as_of=at, **tokens).total
                for at, share in book.periods(*of, study.as_of, shares)
            ),
            Decimal(0),
        )

    try:
        read = ask(cached_tokens=workload.cached_tokens)
    except MissingPrice:
        return 0.0, Decimal(0)
    try:
        written = ask(cache_write_tokens=workload.cached_tokens)
    except MissingPrice:
        written = ask()
    return share, written - read


def mean_request(book: PriceBook, use: Any, as_of: AsOf = None) -> PricedRequest:
    """The price of a mean request, its model and tokens by name; all input at the full price where cached has none.

    A long-context tier follows the mean input length; `use["at"]` is the time of day, where it has one. Raises the
    errors of `price_request`.
    """
    if (at := use.get("at")) is not None:
        as_of = datetime.combine(book.moment(as_of)[0], at, UTC)
    for cached_tokens in (use["cached_tokens"], 0):
        try:
            return price_request(
                book,
                use["model"],
                use["provider"],
                input_tokens=use["input_tokens"],
                output_tokens=use["output_tokens"],
                cached_tokens=cached_tokens,
                tier=use["tier"],
                as_of=as_of,
            )
        except MissingPrice:
            if not cached_tokens:
                raise
    raise AssertionError("unreachable: the second round returns or raises")


@dataclass(frozen=True)
class _Quote:
    """Price of a mean request, $ of its input and of its output, or the reason why there is none."""

    input_usd: Decimal = Decimal(0)
    output_usd: Decimal = Decimal(0)
    source: str = ""
    problem: str = ""
    note: str = ""
    uncached_usd: Decimal = Decimal(0)


def _quote(study: Study, workload: Workload, option: ApiOption, book: PriceBook) -> _Quote:
    shares = study.profiles[workload.profile].hourly_share()
    try:
        periods = book.periods(option.model, option.provider, option.tier, study.as_of, shares)
        parts = [(share, _quote_at(workload, option, book, at)) for at, share in periods]
    except MissingPrice as error:
        return _Quote(problem=str(error))
    if len(parts) == 1:
        return parts[0][1]
    names = ("input_usd", "output_usd", "uncached_usd")
    mean: dict[str, Any] = {
        name: sum((share * getattr(quote, name) for share, quote in parts), Decimal(0)) for name in names
    }
    note = "its price depends on the hour: the mean of the hours in which the requests come"
    return replace(parts[0][1], **mean, note="; ".join(filter(None, (parts[0][1].note, note))))


def _quote_at(workload: Workload, option: ApiOption, book: PriceBook, at: AsOf) -> _Quote:
    use = {"model": option.model, "provider": option.provider, "tier": option.tier} | vars(workload)
    inputs, whole = (mean_request(book, use | n, at) for n in ({"output_tokens": 0}, {}))
    found = _Quote(inputs.total, whole.total - inputs.total, f"{whole.source}, as of {whole.as_of}")
    if not workload.cached_tokens:
        return found
    if all(line.kind != "cache_read" for line in inputs.lines):
        return replace(found, note="no cache price, so all input costs the full price")
    uncached = mean_request(book, use | {"output_tokens": 0, "cached_tokens": 0}, at)
    return replace(found, uncached_usd=uncached.total - inputs.total)


_NONE: Ends = (0.0, 0.0, 0.0)


def _seconds(tokens: int, speed: Ends | None) -> Ends:
    return _NONE if speed is None else (tokens / speed[2], tokens / speed[1], tokens / speed[0])


def _latency(workload: Workload, supply: PricedOption) -> float | None:
    """Seconds to the whole answer; None when nothing is known."""
    option = supply.option
    if isinstance(option, MeasuredOption):
        if supply.prefill_tokens_per_s is None or supply.decode_tokens_per_s is None:
            return None
        prefill, decode = supply.prefill_tokens_per_s[1], supply.decode_tokens_per_s[1]
        return supply.batch * (workload.input_tokens / prefill + workload.output_tokens / decode)
    latency: Latency | None = getattr(option, "latency", None)
    if latency is None:
        return None
    minutes = workload.human_minutes or 0.0 if isinstance(option, HumanOption) else 0.0
    speed = latency.tokens_per_s_per_user
    writing = workload.output_tokens / speed if speed and not isinstance(option, HumanOption) else 0.0
    return latency.wait_s + latency.ttft_s + minutes * 60 + writing
