"""What a load test is told: which server, what is sent, and its bounds; refused here where it makes no sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from costlib.errors import InputError, bounded, invalid_input

MOST_REQUESTS = 100_000
_BOUNDS = {
    "requests": (1, MOST_REQUESTS, True), "shared_prefix_tokens": (0, 1_000_000, True),
    "most_at_once": (1, 10_000, True), "warmup": (0, 100, True), "seed": (0, 2**32 - 1, True),
    "timeout_s": (0.001, 86_400, False), "time_limit_s": (0.001, 86_400, False), "self_test_s": (0, 600, False),
    "arrival_scv": (0.01, 100, False),
}  # fmt: skip
"""Lowest and highest, and whether it is whole."""


@dataclass(frozen=True)
class Settings:
    """Everything about a test but its load. Lengths are numbers of tokens, or `LOW-HIGH` for even draws between two.

    Prompts are unique behind their first `shared_prefix_tokens`. `arrival_scv` is the squared coefficient of variation
    of the gaps of an open loop: 1 is Poisson. `most_at_once` bounds the requests under way, `time_limit_s` each test,
    `timeout_s` each request, `self_test_s` the client's test of itself after each test (0: none).

    Attributes:
        requests: Requests of each test [default: 100, or the trace].
        prompt_tokens: Tokens of a prompt: 128, or 64-512 drawn evenly.
        output_tokens: Tokens of an answer at most: 64, or 16-256.
        shared_prefix_tokens: Tokens all prompts begin with, which a prefix cache may answer.
        arrival_scv: Burstiness of --rate: 1 is Poisson, above it gamma.
        most_at_once: Requests under way at once, at most.
        warmup: Requests before the first test, which do not count.
        timeout_s: Seconds a request may take.
        time_limit_s: Seconds a test may take.
        self_test_s: Seconds the client tests itself after each test; 0: not.
        seed: Seed of arrivals and lengths; prompts are always new.
        server_device: What the server runs on, for the row [default: --devices of --device].
    """

    requests: int | None = None
    prompt_tokens: int | str = 128
    output_tokens: int | str = 64
    shared_prefix_tokens: int = 0
    arrival_scv: float = 1.0
    most_at_once: int = 512
    warmup: int = 2
    timeout_s: float = 120.0
    time_limit_s: float = 600.0
    self_test_s: float = 2.0
    seed: int = 0
    server_device: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is outside its bounds."""
        for name, (low, high, whole) in _BOUNDS.items():
            if name != "requests" or self.requests is not None:
                bounded(name, getattr(self, name), low, high, whole=whole)


def rates_of(rate: float | str | Sequence[float | str] | None) -> tuple[tuple[float, ...], bool]:
    """The rates to test, requests/s, and whether the highest that holds is searched: `max` at the end asks for it."""
    if rate is None:
        return (), False
    parts = list(rate) if isinstance(rate, Sequence) and not isinstance(rate, str) else [rate]
    search = bool(parts) and parts[-1] == "max"
    rates = parts[:-1] if search else parts
    if not rates and not search:
        raise invalid_input("rate", rate, "requests per second, one or several, and max at the end to search")
    for one in rates:
        bounded("rate", one, 1e-4, 10_000.0)
    if len(set(rates)) < len(rates):
        raise invalid_input("rate", rate, "different rates")
    return tuple(float(one) for one in rates), search


def arrivals_of(
    rated: bool, concurrency: int | None, timed: bool, arrival_scv: float
) -> Literal["poisson", "gamma", "closed", "trace"]:
    """Which kind of load was asked for; exactly one of a rate, a concurrency and a trace with times sets it."""
    if rated and concurrency is not None:
        raise invalid_input("concurrency", concurrency, "a rate (open loop) or a concurrency (closed loop), not both")
    if concurrency is not None:
        bounded("concurrency", concurrency, 1, 10_000, whole=True)
    if concurrency is None and not rated and not timed:
        raise InputError("the load is missing; allowed: a rate, a concurrency, or a trace with arrival_s")
    if arrival_scv != 1 and not rated:
        raise invalid_input("arrival_scv", arrival_scv, "1 but for an open loop, whose rate is given")
    return "closed" if concurrency is not None else "trace" if not rated else "poisson" if arrival_scv == 1 else "gamma"
