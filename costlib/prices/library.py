"""The public list prices of `genai-prices`, turned into dated entries that do not guess.

The library answers every question: a date before a model's first price gets the first one, an unknown or misspelt
context (`service_tier=batch`) gets the standard price, a batch rate that lacks a cached-input rate borrows the
standard one, and an unknown model is matched to a similar name or to another provider. Here each of its prices becomes
one entry with the days, tier and tokens it was published for, and nothing else is answered.

What the library leaves open is settled so: entries without a first day keep `effective_from` None and are answered
from the date in the model's own identifiers (gpt-4o-2024-08-06), else of its dated namesake at another provider, else
from `RECORDED_SINCE`, the first day for which the library records a change; its last day is the release of the pinned
version. Prices per second, page, message or character are left out: this book prices tokens, requests and searches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Context, Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from costlib.errors import InputError, invalid_input
from costlib.prices.entries import FEES, Price, price_id
from costlib.prices.names import Name
from costlib.read import iso_date

RELEASED = {"0.2.3": date(2026, 11, 10)}
"""Release day of the pinned version: the last day its prices are known to hold."""

RECORDED_SINCE = date(2025, 5, 22)
"""The earliest price change the library records."""

_TOKEN_KINDS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "output_reasoning",
    "output_citation_mtok": "output_citation",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "input_video_mtok": "input_video",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
    "cache_audio_read_mtok": "cache_read_audio",
    "cache_image_read_mtok": "cache_read_image",
    "web_searches_kcount": "search",
    "storage_searches_kcount": "storage_search",
    "requests_kcount": "request",
}
_LEFT_OUT = {
    "audio_hours": "hour of audio",
    "input_audio_hours": "hour of audio",
    "input_document_kpages": "page",
    "input_annotated_document_kpages": "annotated page",
    "input_mchars": "character",
    "input_text_messages_kcount": "message",
}
_TIERS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
_WITHOUT_NOISE = Context(prec=10)
"""Some of the library's prices went through floats: 0.18000000000000002 was published as 0.18."""
_DATED = re.compile(r"(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class ListedModel:
    """A model of the public list, the lower-case names that are exactly its own, and its prices."""

    name: Name
    aliases: tuple[str, ...]
    prices: tuple[Price, ...]


@dataclass(frozen=True)
class PublicList:
    """Everything the pinned library publishes about tokens and requests."""

    source: str
    released: date
    models: tuple[ListedModel, ...]


def installed_list() -> str:
    """The version of the installed `genai-prices`; raises `InputError` unless it is the pinned one."""
    try:
        installed = version("genai-prices")
    except PackageNotFoundError:
        raise InputError("the package genai-prices is missing; allowed: pip install genai-prices==0.2.3") from None
    if installed not in RELEASED:
        raise invalid_input(
            "version of genai-prices", installed, f"{', '.join(RELEASED)} (pip install genai-prices==0.2.3)"
        )
    return installed


def read_public_list() -> PublicList:
    """Convert the installed `genai-prices` (about a second, most of it its import).

    Raises `InputError` when the package is missing or is not the pinned version.
    """
    installed = installed_list()
    from genai_prices.data import providers

    source = f"genai-prices@{installed}"
    clauses = {(p.id, m.id): list(_clauses(m.match)) for p in providers for m in p.models}
    literals = {(p, m): frozenset({m.lower(), *(text for _, text in of)}) for (p, m), of in clauses.items()}
    namesakes = _dates_of_namesakes(literals.values())
    models: list[ListedModel] = []
    for provider in providers:
        joint = provider.provider_match is None or hasattr(provider.provider_match, "and_")
        also = () if joint else tuple(text for _, text in _clauses(provider.provider_match))
        for model in provider.models:
            of = clauses[provider.id, model.id]
            name = Name(
                provider.id,
                model.id,
                at_home=provider.model_match is not None and provider.model_match.is_match(model.id.lower()),
                pattern="|".join(dict.fromkeys(_pattern(field, text) for field, text in of if field != "equals")),
                deprecated=bool(model.deprecated),
                also=also,
                sold_by=tuple(dict.fromkeys(_LEFT_OUT[key] for key in _keys(model) if key in _LEFT_OUT)),
            )
            aliases = dict.fromkeys([model.id.lower(), *(text for field, text in of if field == "equals")])
            known_from = _first_day(literals[provider.id, model.id], namesakes)
            prices = tuple(_prices(source, RELEASED[installed], provider.id, model, known_from))
            models.append(ListedModel(name, tuple(aliases), prices))
    return PublicList(source, RELEASED[installed], tuple(models))


def _keys(model: Any) -> Iterator[str]:
    for entry in model.prices if isinstance(model.prices, list) else [model]:
        yield from (key for key, price in entry.prices.__dict__.items() if price is not None)


def _clauses(match: Any) -> Iterator[tuple[str, str]]:
    """The conditions of a rule of the list, each with its text; of a conjunction all but regular expressions."""
    for part in getattr(match, "or_", ()):
        yield from _clauses(part)
    yield from (clause for part in getattr(match, "and_", ()) for clause in _clauses(part) if clause[0] != "regex")
    for field in ("equals", "starts_with", "ends_with", "contains", "regex"):
        text = getattr(match, field, None)
        if text is not None:
            yield field, text if field == "regex" else text.lower()


_BEFORE = r"(?!ft:)(?:.*[/.:])?"
_VERSION = r"(?:20\d\d-?\d\d-?\d\d|\d\d-\d\d(?:-20\d\d)?|\d{3,4}|latest|preview|exp|v\d+|e?\d+b|it)"
_AFTER = rf"(?:[-@.:]{_VERSION}|:\d+k?)*"


def _pattern(field: str, text: str) -> str:
    """A rule of the list that holds for more than one name, without the liberty it takes.

    The list's "starts with" takes any ending: claude-opus-4-1 would be claude-opus-4-10 too. Here what follows must be
    a date or a version, and what goes before (a region, a path) must end at a point, slash or colon.
    """
    if field == "regex":
        return f"({text.removeprefix('^').removesuffix('$')})" + ("" if text.endswith("$") else r"[\d.-]*")
    literal = f"({re.escape(text)})"
    before = _BEFORE if field in ("contains", "ends_with") else ""
    if field == "ends_with":
        return before + literal
    after = _AFTER
    if text.endswith("ft-"):
        after = r"\w+"
    elif re.search(r"-20\d\d-?$", text):
        after = r"-?\d\d-?\d\d" + after
    elif text.endswith(("-", "@")):
        after = _VERSION + after
    elif text.endswith("-0"):
        after = r"(?:\d\d\d?)?" + after
    return before + literal + after + (r"(?::[\w.:-]*)?" if text.startswith("ft:") else "")


def _dates(name: str) -> list[date]:
    found = [iso_date("-".join(parts)) for parts in _DATED.findall(name)]
    return [day for day in found if day is not None]


def _bare(name: str) -> str:
    """A model's name without vendor, region or punctuation: `us.anthropic.claude-3.5-x` is `claude-3-5-x`."""
    name = name.rsplit("/", 1)[-1]
    name = re.sub(r"^((global|regional|us|eu|apac)\.)?((anthropic|openai|meta|mistral|amazon|deepseek)\.)?", "", name)
    return re.sub(r"[._]", "-", name)


def _dates_of_namesakes(names: Iterable[frozenset[str]]) -> Mapping[str, date]:
    """For each bare name, the earliest date any provider's identifiers attach to it."""
    earliest: dict[str, date] = {}
    for aliases in names:
        dated = [day for alias in aliases for day in _dates(alias)]
        stems = {_bare(_DATED.split(alias)[0].rstrip("-@:")) for alias in aliases if _dates(alias)}
        for stem in stems | ({_bare(alias) for alias in aliases} if dated else set()):
            earliest[stem] = min([*dated, earliest.get(stem, date.max)])
    return earliest


def _first_day(aliases: frozenset[str], namesakes: Mapping[str, date]) -> date:
    own = [day for alias in aliases for day in _dates(alias)]
    others = [namesakes[_bare(alias)] for alias in aliases if _bare(alias) in namesakes]
    return min(own or others, default=RECORDED_SINCE)


def _prices(source: str, released: date, provider: str, model: Any, known_from: date) -> Iterator[Price]:
    """Entries of a model: its standard prices, then each tier's, over the days each of them is the active one."""

    def entries(
        tier: str, key: str, price: Any, first: date | None, last: date | None, hours: tuple[time, time] | None
    ) -> Iterator[Price]:
        kind = _TOKEN_KINDS.get(key)
        if kind is None or price is None:
            return
        scale = Decimal(1000) if kind in FEES else Decimal(1)
        cliffs = [] if isinstance(price, Decimal) else [(cliff.start, cliff.price) for cliff in price.tiers]
        for above, amount in [(0, getattr(price, "base", price)), *cliffs]:
            yield Price(
                id=price_id(source, provider, model.id, kind, tier, first, above, hours),
                provider=provider,
                model=model.id,
                token_kind=kind,
                tier=tier,
                amount=_WITHOUT_NOISE.plus(amount) * scale,
                currency="USD",
                effective_from=first,
                effective_to=last,
                known_from=first or (known_from if last is None else min(known_from, last)),
                observed_on=released,
                source=source,
                kind="quoted",
                above_input_tokens=above,
                hours=hours,
            )

    standard = model.prices if isinstance(model.prices, list) else [_Undated(model.prices)]
    dated = [entry for entry in standard if _hours(entry.constraint) is None]
    if len(dated) < 2:  # no change is recorded, which says something only of the days since changes are recorded
        known_from = max(known_from, RECORDED_SINCE)
    # The last entry whose first day has come is the active one.
    for first, last, active in _segments(dated, lambda choices: choices[-1]):
        for key, price in active.prices.__dict__.items():
            yield from entries("standard", key, price, first, last, None)
    for entry in standard:
        if (hours := _hours(entry.constraint)) is not None:
            for key, price in entry.prices.__dict__.items():
                yield from entries("standard", key, price, None, None, hours)
    by_tier: dict[tuple[str, str], list[Any]] = {}
    for variant in model.price_variants or ():
        context = sorted(variant.when.items())
        tier = _TIERS.get(context[0], f"{context[0][0]}={context[0][1]}") if len(context) == 1 else str(context)
        for key in variant.prices.__dict__:
            by_tier.setdefault((tier, key), []).append(variant)
    for (tier, key), variants in by_tier.items():
        # Of a tier's variants the first active one in the list holds, for each price by itself.
        for first, last, active in _segments(variants, lambda choices: choices[0]):
            yield from entries(tier, key, getattr(active.prices, key), first, last, None)


@dataclass(frozen=True)
class _Undated:
    prices: Any
    constraint: Any = None


def _hours(constraint: Any) -> tuple[time, time] | None:
    if not hasattr(constraint, "start_time"):
        return None
    return constraint.start_time.replace(tzinfo=None), constraint.end_time.replace(tzinfo=None)


def _segments(entries: list[Any], choose: Callable[[list[Any]], Any]) -> Iterator[tuple[date | None, date | None, Any]]:
    """The periods in which one entry is active: first day (None: unpublished), last day (None: open), the entry."""
    starts: list[date | None] = sorted({entry.constraint.start_date for entry in entries if entry.constraint})
    if any(entry.constraint is None for entry in entries):
        starts.insert(0, None)
    for position, first in enumerate(starts):
        following = starts[position + 1] if position + 1 < len(starts) else None
        active = [e for e in entries if e.constraint is None or (first and e.constraint.start_date <= first)]
        yield first, following - timedelta(days=1) if following else None, choose(active)
