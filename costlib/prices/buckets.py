"""What a request is counted in, and the buckets it is billed in: every token lies in exactly one.

A count includes its parts: input tokens include cached, audio and image ones, cached tokens include cached audio. A
part with a price of its own is a bucket, and is taken out of what it is part of; one that the model has no price for
stays there, and is reported. The same arithmetic serves one request (integers) and a table of them (arrays).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MOST_TOKENS = 10**15
"""Counts from here on are taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Count:
    """The kind of price a count is billed at, the counts that include it, and whether there must be such a price."""

    kind: str
    inside: tuple[str, ...] = ()
    must: bool = True


COUNTS: dict[str, Count] = {
    "input_tokens": Count("input"),
    "cached_tokens": Count("cache_read", ("input_tokens",)),
    "cache_write_tokens": Count("cache_write_5m", ("input_tokens",)),
    "cache_write_1h_tokens": Count("cache_write_1h", ("input_tokens",)),
    "input_audio_tokens": Count("input_audio", ("input_tokens",), False),
    "input_image_tokens": Count("input_image", ("input_tokens",), False),
    "input_video_tokens": Count("input_video", ("input_tokens",), False),
    "cached_audio_tokens": Count("cache_read_audio", ("cached_tokens", "input_audio_tokens", "input_tokens"), False),
    "cached_image_tokens": Count("cache_read_image", ("cached_tokens", "input_image_tokens", "input_tokens"), False),
    "output_tokens": Count("output"),
    "reasoning_tokens": Count("output_reasoning", ("output_tokens",), False),
    "citation_tokens": Count("output_citation", ("output_tokens",), False),
    "output_audio_tokens": Count("output_audio", ("output_tokens",), False),
    "output_image_tokens": Count("output_image", ("output_tokens",), False),
    "output_video_tokens": Count("output_video", ("output_tokens",), False),
    "searches": Count("search"),
    "storage_searches": Count("storage_search"),
    "requests": Count("request", (), False),
}
"""Every count of a request, a usage table or a log, in the order of a bill; `requests` is how many the rest adds up."""

_PARTS = {
    whole: tuple(name for name, count in COUNTS.items() if whole in count.inside)
    for whole in {whole for count in COUNTS.values() for whole in count.inside}
}


@lru_cache(maxsize=256)
def own_buckets(known: frozenset[str]) -> frozenset[str]:
    """The counts that are buckets of their own at a model with prices of the kinds `known`, in whatever tier.

    Cached audio is one wherever audio is: it would be taken out of both cached tokens and audio else.
    """

    def apart(count: Count) -> bool:
        kinds = (count.kind, f"input_{count.kind.removeprefix('cache_read_')}")
        return count.must or not known.isdisjoint(kinds)

    return frozenset(name for name, count in COUNTS.items() if apart(count))


@dataclass(frozen=True, slots=True)
class Plan:
    """How counts of some names become what is billed of each kind, and what to check of them."""

    steps: tuple[tuple[str, tuple[str, ...]], ...]
    kinds: tuple[tuple[str, str], ...]
    checks: tuple[tuple[str, str, str | None], ...]

    def bill(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """What is billed of each kind: each count less the parts of it that are buckets of their own."""
        left: dict[str, Any] = {}
        for name, parts in self.steps:
            own = counts[name]
            for part in parts:
                own = own - left[part]
            left[name] = own
        return {kind: left[name] for kind, name in self.kinds}

    def beyond(self, counts: Mapping[str, Any], billed: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """What may not be larger than what it is part of: field, value, the whole, and what is left (wrong below 0)."""
        for field, whole, kind in self.checks:
            left = counts.get(whole, 0) - counts[field] if kind is None else billed[kind]
            yield field, counts[field] if kind is None else counts[whole] - left, whole, left


@lru_cache(maxsize=1024)
def plan(names: tuple[str, ...], own: frozenset[str]) -> Plan:
    """The plan for counts of `names`, where `own` are buckets of their own."""
    billed = [name for name in COUNTS if name in names and name in own]
    steps = tuple((name, tuple(part for part in _PARTS.get(name, ()) if part in billed)) for name in reversed(billed))
    single = [(name, whole, None) for name in names for whole in COUNTS[name].inside]
    sums = [(" + ".join(parts), whole, COUNTS[whole].kind) for whole, parts in steps if len(parts) > 1]
    return Plan(steps, tuple((COUNTS[name].kind, name) for name in billed), (*single, *sums))


def not_used(name: str, number: int, where: str) -> str:
    """The sentence about tokens that were passed and have no price of their own at `where`."""
    return f"{number:,} {name} have no price of their own at {where}: billed as the other {COUNTS[name].inside[0]}"
