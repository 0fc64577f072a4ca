"""What is sent and when: arrivals, lengths, and traces to replay.

Open loop: whoever comes, comes, whether or not the server keeps up. Gaps are exponential (Poisson) or gamma with the
same mean; they are not rescaled to hit the rate, because gaps that add up to a number known before are no longer random
(a finite test then offers a rate near the one that was asked for, and the row says which). Closed loop: a fixed number
of clients, each of which asks again as soon as it is answered. Replay: the times of a trace.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from costlib.errors import invalid_input
from costlib.read import file_of, json_lines

LARGEST_LENGTH = 1_000_000
LONGEST_TRACE = 1_000_000
_LENGTH = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Planned:
    """One request: tokens to read and to write at most, when it comes (None: when a client is free), and its text."""

    prompt_tokens: int
    output_tokens: int
    at_s: float | None = None
    prompt: str | None = None


def open_loop(count: int, rate_per_s: float, scv: float, seed: int) -> list[float]:
    """Seconds at which `count` requests come, the first one a gap after the start.

    `scv` is the squared coefficient of variation of the gaps: 1 is Poisson, above it they come in bursts, below it more
    evenly.
    """
    gaps = np.random.default_rng(seed).gamma(1 / scv, scv / rate_per_s, count)
    return [float(moment) for moment in np.cumsum(gaps)]


def drawn(prompt_tokens: int | str, output_tokens: int | str, count: int, seed: int) -> list[Planned]:
    """Requests of these lengths: a number, or `LOW-HIGH` for whole numbers drawn evenly between the two."""
    read, written = _ends("prompt_tokens", prompt_tokens), _ends("output_tokens", output_tokens)
    chance = random.Random(seed)
    return [Planned(chance.randint(*read), chance.randint(*written)) for _ in range(count)]


def _ends(field: str, length: int | str) -> tuple[int, int]:
    match = _LENGTH.fullmatch(str(length)) if not isinstance(length, bool) else None
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= low <= high <= LARGEST_LENGTH:
        raise invalid_input(field, length, "a whole number from 1 to 1,000,000, or two as LOW-HIGH")
    return low, high


def read_trace(path: str | Path) -> list[Planned]:
    """The requests of a trace: JSONL, a line each, with `output_tokens` and `prompt_tokens` or the `prompt` itself.

    `arrival_s`, seconds of any epoch, is given in every line, in order, or in none. Raises `InputError` with file and
    line.
    """
    file = file_of(path, "trace", "a file that exists: .jsonl, a request a line")
    found: list[Planned] = []
    for where, row in json_lines(file, "request"):
        found.append(_request(row, where, found))
    if not 1 <= len(found) <= LONGEST_TRACE:
        raise invalid_input("trace", str(path), f"a file of 1 to {LONGEST_TRACE:,} requests (it has {len(found):,})")
    if found[0].at_s is None:
        return found
    return [replace(one, at_s=(one.at_s or 0.0) - found[0].at_s) for one in found]


def _request(row: dict[str, Any], where: str, before: Sequence[Planned]) -> Planned:
    allowed = ("arrival_s", "prompt_tokens", "output_tokens", "prompt")
    for name in row:
        if name not in allowed:
            raise invalid_input("field", name, allowed, where)
    at, prompt = row.get("arrival_s"), row.get("prompt")
    if prompt is not None and (not isinstance(prompt, str) or not prompt.strip()):
        raise invalid_input("prompt", prompt, "a text that is not empty", where)
    read = 0 if prompt is not None else _count(row, "prompt_tokens", where)
    written = _count(row, "output_tokens", where)
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float) or not abs(at) < 1e12):
        raise invalid_input("arrival_s", at, "seconds, as a finite number", where)
    if before and (at is None) != (before[0].at_s is None):
        raise invalid_input("arrival_s", at, "given in every line or in none", where)
    last = before[-1].at_s if before else None
    if at is not None and last is not None and at < last:
        raise invalid_input("arrival_s", at, f"at least that of the line before, {last:g}", where)
    return Planned(read, written, None if at is None else float(at), prompt)


def _count(row: dict[str, Any], name: str, where: str) -> int:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_LENGTH:
        raise invalid_input(name, value, "a whole number from 1 to 1,000,000", where)
    return value
