"""Which of a record's numbers are token counts, of what, and which lie inside which.

A path is read by its words: `usage.prompt_tokens_details.cached_tokens` is cached input. Exports disagree on what input
and output hold: OpenAI's include cached, reasoning and audio tokens, Anthropic's input leaves cached ones out, Langfuse
keeps buckets apart. Where a record has a total, the total decides; a canonical count includes everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]

TOKENS = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "cached_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "input_video_tokens",
    "cached_image_tokens",
    "output_video_tokens",
    "citation_tokens",
    "searches",
)
"""Canonical counts of a call: all but input, output and searches are parts of the input or of the output."""

_INPUT = {"input", "prompt", "prompts"}
_OUTPUT = {"output", "completion", "completions", "candidates", "generated"}
_WRITTEN = {"creation", "write", "written", "created"}
_REASONING = {"reasoning", "thoughts", "thinking"}
_NOISE = {
    "usage", "token", "tokens", "count", "counts", "detail", "details", "num", "gen", "ai", "genai", "llm", "metadata",
    "object", "additional", "values", "last", "n", "content", "ephemeral", "billed", "units", "billable",
}  # fmt: skip
_NO_COUNT = {
    "cost", "costs", "price", "usd", "spend", "time", "latency", "duration", "ms", "seconds", "per", "rate", "max",
    "limit", "limits", "remaining", "budget", "window", "speed", "temperature", "tier", "unit", "created", "id", "ttl",
    "percent", "percentage", "throughput", "quota", "min", "tps", "share", "index",
}  # fmt: skip
"""Words of numbers beside token counts that are none: settings, limits, times, money."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]*")
ANTHROPIC = re.compile(r"(?i)(^|\.|_)cache_?(read|creation|write)_?input_?tokens|cache_creation\.")


@lru_cache(maxsize=4096)
def role_of(path: str) -> str | None:
    """What a path counts: a canonical count, a part of one as exports have it, `known` where others hold it already.

    None for what is no token count at all, `unknown` for one that nothing is known about.
    """
    if path in TOKENS:
        return path.removesuffix("_tokens")
    segments = [tuple(word.lower() for word in _WORDS.findall(segment)) for segment in path.split(".")]
    last = set(segments[-1])
    holds = [at for at, words in enumerate(segments[:-1]) if {"usage", "token", "tokens"} & set(words)]
    boxes = [at for at in holds if set(segments[at]) <= _NOISE]
    if not ({"token", "tokens"} & last or holds or {"searches"} == last) or last & _NO_COUNT - {"created"}:
        return None
    if any({"total", "usage"} <= set(words) for words in segments[:-1]):
        return "known"  # a session's count so far
    if "[]" in path:
        return "unknown"
    if boxes:
        tail = segments[boxes[-1] + 1 :]
    else:  # the last part, with what says more about it before it
        start = len(segments) - 1
        while start and {"tokens", "token", "details", "cache", "server"} & set(segments[start - 1]):
            start -= 1
        tail = segments[start:]
    return _role({word for words in tail for word in words} - _NOISE)


def _role(words: set[str]) -> str:
    if {"search", "searches"} & words and words <= {"server", "tool", "use", "web", "search", "searches", "requests",
                                                    "queries"}:  # fmt: skip
        return "searches"
    into, out = bool(words & _INPUT), bool(words & _OUTPUT)
    rest = words - _INPUT - _OUTPUT
    if into and out:
        return "unknown"
    missed = {"uncached"} <= rest or {"no", "cache"} <= rest or {"cache", "miss"} <= rest or {"non", "cached"} <= rest
    if missed and rest <= {"uncached", "no", "non", "cache", "cached", "miss"}:
        return "uncached"
    if rest <= {"total"}:
        return "input" if into else "output" if out else "total" if rest else "unknown"
    if rest & _WRITTEN and rest & {"cache", "cached"}:
        left = rest - _WRITTEN - {"cache", "cached"}
        return {(): "written", ("5m",): "cache_write", ("1h",): "cache_write_1h"}.get(tuple(left), "unknown")
    if "cached" in rest or {"cache", "read"} <= rest or {"cache", "hit"} <= rest:
        left = rest - {"cached", "cache", "read", "hit"}
        known = {(): "cached", ("audio",): "cached_audio", ("image",): "cached_image",
                 ("text",): "known"}  # fmt: skip
        return "unknown" if out else known.get(tuple(left), "unknown")
    if rest <= _REASONING and not into:
        return "thoughts" if "thoughts" in rest else "reasoning"
    if rest in ({"citation"}, {"citations"}) and not into:
        return "citation"
    if rest == {"text"} or (out and rest in ({"accepted", "prediction"}, {"rejected", "prediction"})):
        return "known"
    for medium in ("audio", "image", "video"):
        if rest == {medium} and (into or out):
            side = "input" if into else "output"
            return f"{side}_{medium}" if f"{side}_{medium}_tokens" in TOKENS else "unknown"
    return "unknown"


class Sums:
    """The canonical counts of records of one shape, with masks of those that do not add up."""

    def __init__(self, found: Mapping[str, Counts], *, apart: Sequence[str]) -> None:
        """`found` by role, NaN where a record has none; `apart` names the groups that lie beside by default."""
        size = len(next(iter(found.values()))) if found else 0
        self._found, self._nothing = found, np.zeros(size)
        cached = self._of("cached")
        long_written = self._of("cache_write_1h")
        written = np.maximum(self._of("cache_write"), np.maximum(self._of("written") - long_written, 0))
        reasoning = np.maximum(self._of("reasoning"), self._of("thoughts"))
        self.no_output = np.isnan(found["output"]) if "output" in found else np.ones(size, dtype=bool)
        base = found.get("input", np.full(size, np.nan))
        whole = found["uncached"] + cached + written + long_written if "uncached" in found else base
        self.settled = np.isnan(base) & ~np.isnan(whole)
        base = np.where(np.isnan(base), whole, base)
        self.no_input = np.isnan(base)
        parts = {
            "cached": cached,
            "written": written + long_written,
            "reasoning": reasoning,
            "heard": self._of("input_audio") + self._of("input_image") + self._of("input_video"),
            "said": self._of("output_audio") + self._of("output_image") + self._of("output_video"),
        }
        into = {"cached", "written", "heard"}
        twice = np.minimum(self._of("cached_audio"), cached)
        inputs, outputs = np.nan_to_num(base), self._of("output")
        total = self._of("total")

        def sums(beside: frozenset[str]) -> tuple[Counts, Counts]:
            more = sum((parts[name] for name in beside & into), np.zeros(size))
            more = more - twice if {"cached", "heard"} <= beside else more
            return (
                np.where(self.settled, inputs, inputs + more),
                outputs + sum((parts[name] for name in beside - into), np.zeros(size)),
            )

        usual = frozenset(apart)
        all_in, all_out = sums(usual)
        open_ = (total > 0) & (all_in + all_out != total)
        if open_.any():
            there = [name for name, part in parts.items() if part.any()]
            for count in range(1, len(there) + 1):
                for flipped in combinations(there, count):
                    other_in, other_out = sums(usual ^ frozenset(flipped))
                    fits = open_ & (other_in + other_out == total)
                    all_in, all_out = np.where(fits, other_in, all_in), np.where(fits, other_out, all_out)
                    open_ &= ~fits
        self.contradicts = open_
        self.counts = {
            "input_tokens": all_in,
            "cached_tokens": cached,
            "cache_write_tokens": written,
            "cache_write_1h_tokens": long_written,
            "output_tokens": all_out,
            "reasoning_tokens": reasoning,
            **{f"{name}_tokens": self._of(name) for name in _MEDIA},
            "searches": self._of("searches"),
        }

    def beyond(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Which records count more of a part than of what it is part of, by kind of reason."""
        of = self.counts
        inside = of["cached_tokens"] + of["cache_write_tokens"] + of["cache_write_1h_tokens"]
        yield "cached tokens above input tokens", inside > of["input_tokens"]
        yield "reasoning tokens above output tokens", of["reasoning_tokens"] > of["output_tokens"]
        heard = of["input_audio_tokens"] + of["input_image_tokens"] + of["input_video_tokens"]
        said = of["output_audio_tokens"] + of["output_image_tokens"] + of["output_video_tokens"]
        over = (heard > of["input_tokens"]) | (said + of["citation_tokens"] > of["output_tokens"])
        over |= of["cached_audio_tokens"] > np.minimum(of["cached_tokens"], of["input_audio_tokens"])
        over |= of["cached_image_tokens"] > np.minimum(of["cached_tokens"], of["input_image_tokens"])
        yield "audio, image or video tokens above those they are part of", over

    def _of(self, role: str) -> Counts:
        return np.nan_to_num(self._found[role]) if role in self._found else self._nothing


_MEDIA = ("input_audio", "cached_audio", "output_audio", "input_image", "output_image", "input_video", "cached_image",
          "output_video", "citation")  # fmt: skip
