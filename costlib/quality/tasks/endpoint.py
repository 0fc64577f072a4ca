"""Asks an OpenAI-compatible endpoint many questions: bounded in time, tries, rate and money, and never twice.

Each answer that was paid for is written and synced to a journal before it is used, under the hash of its question; a
second run, or one after a crash, asks only what has no answer there. A failure is a value with its kind, so that the
number of replies is always the number of questions. What may pass (429, 5xx, a time-out, a broken connection, an answer
that is no JSON) is tried again after a growing, jittered pause or the server's Retry-After; what will not is not.
A whole answer without text (`no_content`, all tokens spent on thinking, say) was paid for, so it is kept, too.

The cap on money holds with requests in flight: before one is sent, its worst case is set aside, a token for every byte
of the prompt and all of `max_tokens`. An attempt that may have been billed without telling (a time-out, a cut answer,
no `usage`) keeps its worst case counted. The key is read from the environment and is in no file, message or error.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.progress import Progress, Step, silent
from costlib.quality.tasks import bounds
from costlib.quality.tasks.items import Task, sha256
from costlib.redact import redact
from costlib.server import (
    NO_JSON,
    Failed,
    api_key,
    asking,
    check_address,
    check_extra,
    lengths,
    request_body,
    request_url,
    usage_counts,
)

_LONGEST_PAUSE_S = 60.0
OVERHEAD_TOKENS = 256
"""What a chat template may add to a prompt."""


@dataclass(frozen=True)
class TokenPrice:
    """USD per million tokens."""

    usd_per_mtok_input: Decimal
    usd_per_mtok_output: Decimal

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (isinstance(value, Decimal) and value.is_finite() and value >= 0):
                raise bad(name, value, "an amount in USD of at least 0, as a Decimal")

    def usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Price of one request."""
        return (input_tokens * self.usd_per_mtok_input + output_tokens * self.usd_per_mtok_output) / 1_000_000


@dataclass(frozen=True)
class Endpoint:
    """Where to ask: `url` is the base, e.g. http://127.0.0.1:8000/v1; `api_key_env` names an environment variable.

    `extra` is merged into each request, e.g. {"seed": 1}; a null takes a field out: {"max_tokens": null,
    "max_completion_tokens": 9}. A model without a chat template needs `chat=False`: the prompt as it is, at
    /completions. Raises `InputError` for a url that is neither https nor on this machine
    (unless `allow_remote_http`, which sends the key in the clear), a bound that is none, or a key that cannot be sent.
    """

    url: str
    model: str
    api_key_env: str | None = None
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    price: TokenPrice | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    allow_remote_http: bool = False
    chat: bool = True

    def __post_init__(self) -> None:
        check_address("endpoint", self.url, allow_remote_http=self.allow_remote_http)
        if not self.model:
            raise bad("model", self.model, "the name the endpoint knows the model by")
        for name, value, kinds, most in (
            ("concurrency", self.concurrency, int, 256),
            ("requests_per_minute", self.requests_per_minute, int | float, 1e6),
            ("timeout_s", self.timeout_s, int | float, 3600),
            ("attempts", self.attempts, int, 10),
        ):
            if value is not None and not (
                isinstance(value, kinds) and not isinstance(value, bool) and 0 < value <= most
            ):
                whole = "whole " if kinds is int else ""
                raise bad(name, value, f"a {whole}number above 0 and at most {most:g}")
        check_extra(self.extra)
        api_key(self.api_key_env)


@dataclass(frozen=True)
class Ask:
    """One question; `id` is the caller's."""

    id: str
    prompt: str
    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """The answer, or `failure`: its kind and a sentence.

    Tokens are the server's; `usd`, which needs them and a price, is what the answer cost when it was bought, and
    `seconds` what the attempt took that brought it.
    """

    id: str
    text: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None
    seconds: float | None = None
    attempts: int = 0
    failure: str | None = None


def ask_all(
    endpoint: Endpoint,
    asks: Sequence[Ask],
    *,
    journal: Path,
    max_usd: Decimal | bounds.Purse | None = None,
    progress: Progress | None = None,
) -> list[Reply]:
    """Ask every question that `journal` holds no answer to; one reply per question, in order.

    `max_usd` caps what this call spends; a purse, what all calls that are given it spend together. Raises `InputError`
    for a cap without a price, or a journal in use by another run; what a server does never raises.
    """
    purse = max_usd if isinstance(max_usd, bounds.Purse) else bounds.Purse(max_usd)
    if purse.cap is not None and endpoint.price is None:
        raise bad("max_usd", str(purse.cap), "a cap together with a price per token, without which spending is unknown")
    tell = progress or silent
    key = api_key(endpoint.api_key_env)
    with bounds.opened(journal) as (known, keep), asking(endpoint.url, key, endpoint.concurrency) as ask_once:
        run = _Run(endpoint, ask_once, known, keep, purse, bounds.Rate(endpoint.requests_per_minute))
        pool = ThreadPoolExecutor(max_workers=endpoint.concurrency)
        try:
            asked: dict[str, Future[Reply]] = {}
            waiting = []
            for ask in asks:
                body = _body(endpoint, ask)
                question = sha256([endpoint.url.rstrip("/"), body])
                if question not in asked:
                    asked[question] = pool.submit(run.answer, question, body, _worst(endpoint, ask))
                waiting.append(asked[question])
            replies = []
            for number, (ask, future) in enumerate(zip(asks, waiting, strict=True), 1):
                replies.append(replace(future.result(), id=ask.id))
                tell(Step(f"{endpoint.model}: {number} of {len(asks)}", stage="tasks", done=number, total=len(asks)))
        finally:
            run.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return replies


@dataclass
class _Run:
    endpoint: Endpoint
    ask: Callable[[str, Mapping[str, Any], float], bytes]
    known: dict[str, dict[str, Any]]
    keep: bounds.Keep
    purse: bounds.Purse
    rate: bounds.Rate
    stopped: threading.Event = field(default_factory=threading.Event)

    def answer(self, key: str, body: Mapping[str, Any], most: Decimal) -> Reply:
        """The kept answer, or a new one that costs at most `most` an attempt; its id is the caller's to set."""
        if key in self.known:
            return _reply(self.known[key])
        jitter = random.Random(key)
        endpoint = self.endpoint
        url = request_url(endpoint.url, chat=endpoint.chat)
        last, tried = "stopped: the run was interrupted", 0
        while tried < endpoint.attempts:
            if not self.purse.reserve(most):
                last = f"over_budget: up to {most:.6f} USD more would pass the cap of {self.purse.cap} USD"
                break
            self.rate.wait(self.stopped)
            if self.stopped.is_set():
                self.purse.settle(most, Decimal(0))
                break
            tried += 1
            started = time.monotonic()
            try:
                answer = _read(self.ask(url, body, endpoint.timeout_s))
            except Failed as error:
                self.purse.settle(most, most if error.billed else Decimal(0))
                last = str(error)
                if not error.passing or tried == endpoint.attempts:
                    break
                pause = error.pause_s if error.pause_s is not None else 0.5 * 2**tried * (0.5 + jitter.random())
                bounds.sleep(min(_LONGEST_PAUSE_S, pause), self.stopped)
                continue
            except BaseException:
                self.purse.settle(most, most)  # else those who wait for it would wait for ever
                raise
            usd = endpoint.price.usd(*answer.used) if endpoint.price and answer.used else None
            self.purse.settle(most, most if usd is None else usd)
            empty = f"no_content: the answer holds no text (finish_reason {answer.ended})"
            found: dict[str, Any] = {
                "text": answer.text,
                "input_tokens": answer.used[0] if answer.used else None,
                "output_tokens": answer.used[1] if answer.used else None,
                "usd": None if usd is None else str(usd),
                "seconds": time.monotonic() - started,
                "attempts": tried,
                "failure": empty if answer.text is None else None,
            }
            self.keep(key, found)
            return _reply(found)
        return Reply("", attempts=tried, failure=last)


@dataclass(frozen=True)
class _Answer:
    """A whole answer, billed: `text`, None where it holds none; `ended` as the server says; tokens (read, written)."""

    text: str | None
    ended: str
    used: tuple[int, int] | None


def _read(content: bytes) -> _Answer:
    """The completion that a server sent; raises `Failed` for what is none."""
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"].get("content") if "message" in choice else choice["text"]
        ended = redact(str(choice.get("finish_reason")))
        if isinstance(text, list):  # parts, of which some may be thoughts
            text = "".join(part["text"] for part in text if part["type"] == "text")
        if text is not None:
            # JSON can spell half a character, which no file holds.
            text = redact(text.encode(errors="replace").decode())
    except NO_JSON as error:
        raise Failed("malformed", "the answer is not a completion in JSON", passing=True, billed=True) from error
    # A model may say nothing; one that was stopped before it said anything has not answered.
    return _Answer(text if text or ended == "stop" else None, ended[:40], usage_counts(answer.get("usage")))


def _body(endpoint: Endpoint, ask: Ask) -> dict[str, Any]:
    settings: dict[str, Any] = {"chat": endpoint.chat, "stop": ask.stop, "extra": endpoint.extra}
    return request_body(endpoint.model, ask.prompt, ask.max_tokens, **settings)


def worst_usd(endpoint: Endpoint, task: Task) -> Decimal:
    """What asking every item of a task once could cost at most: a token for every byte, answers at full length."""
    return sum(
        (_worst(endpoint, Ask(item.id, task.rendered(item), task.max_tokens)) for item in task.items), Decimal(0)
    )


def _worst(endpoint: Endpoint, ask: Ask) -> Decimal:
    if endpoint.price is None:
        return Decimal(0)
    read = len(ask.prompt.encode()) + OVERHEAD_TOKENS
    return endpoint.price.usd(read, max(lengths(_body(endpoint, ask))))


def _reply(found: Mapping[str, Any]) -> Reply:
    """A reply of what the journal keeps of one."""
    usd = None if found["usd"] is None else Decimal(found["usd"])
    return Reply("", **{name: value for name, value in found.items() if name != "usd"}, usd=usd)
