"""One streamed request: what was sent, when each piece of the answer came, and how it ended.

The first token is the first chunk that carries text (or thoughts, where a server streams them); an empty chunk that
only names the role is none. An answer is whole when the server said why it ended or sent [DONE]; a stream that stops
before is cut, however politely the connection was closed. Nothing is tried again: every request counts once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from costlib.measure.load.sse import Events
from costlib.server import LARGEST_BODY, NO_JSON, Failed, complaint, lost, refused, usage_counts

if TYPE_CHECKING:
    import httpx

Clock = Callable[[], float]
"""Seconds since the start of the test."""
Hear = Callable[[str, float], None]
"""Told every piece of text and when it came."""

_GRACE_S = 1.0
"""What a server may take to close a stream after its last event."""


@dataclass
class Attempt:
    """One request, its times in seconds since the start of the test; `reason` begins with the kind of the failure."""

    number: int
    scheduled_s: float
    words: int = 0
    sent_s: float | None = None
    chunk_s: list[float] = field(default_factory=list)
    end_s: float | None = None
    outcome: str = "failed"
    reason: str | None = "not_sent: its turn never came"
    usage: tuple[int, int] | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None


async def send(
    client: httpx.AsyncClient,
    url: str,
    body: bytes,
    attempt: Attempt,
    clock: Clock,
    *,
    timeout_s: float,
    secret: str | None = None,
    hear: Hear | None = None,
) -> None:
    """Send one request and fill in `attempt`; raises nothing that a server, a network or a time limit does.

    Cancelled from outside (the time limit of the test), it fills in how far it came and lets the cancellation pass.
    """
    import httpx

    late = Failed("timeout", f"no whole answer within {timeout_s:g} s", passing=True)
    answer = _Answer(attempt, hear)
    failure: Failed | None = None
    attempt.sent_s, attempt.reason = clock(), None
    try:
        async with asyncio.timeout(timeout_s) as limit:
            try:
                await _stream(client, url, body, answer, clock, limit, timeout_s, secret)
            except (httpx.TransportError, httpx.DecodingError) as error:
                raise lost(error, late) from error
    except TimeoutError:
        failure = late
    except Failed as error:
        failure = error
    except asyncio.CancelledError:
        failure = Failed("time_limit", "the time of the test was over", passing=True)
        raise
    finally:
        attempt.end_s = clock()
        if failure is None and not answer.ended:
            failure = Failed("cut", "the stream ended without its end", passing=True)
        if failure is not None and not answer.ended:
            attempt.outcome, attempt.reason = ("cut" if attempt.chunk_s else "failed"), str(failure)
        elif not attempt.chunk_s:
            attempt.outcome = "empty" if attempt.finish_reason else "failed"
            attempt.reason = f"no_content: a whole answer without text ({attempt.finish_reason})"
        else:
            attempt.outcome = "ok"


async def _stream(
    client: httpx.AsyncClient,
    url: str,
    body: bytes,
    answer: _Answer,
    clock: Clock,
    limit: asyncio.Timeout,
    timeout_s: float,
    secret: str | None,
) -> None:
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    async with client.stream("POST", url, content=body, headers=headers, timeout=timeout_s) as response:
        events, size, said, graced = Events(), 0, b"", False
        async for part in response.aiter_bytes():
            now = clock()
            size += len(part)
            if size > LARGEST_BODY:
                raise Failed("malformed", "more than 16 MB came back", passing=False)
            if response.status_code != 200:
                said += part
                continue
            for event in events.feed(part):
                answer.take(event, now)
            if answer.ended and not graced:
                graced = True
                with suppress(RuntimeError):  # the time was over in this very moment
                    limit.reschedule(min(limit.when() or 0.0, asyncio.get_running_loop().time() + _GRACE_S))
        if response.status_code != 200:
            raise refused(response.status_code, response.headers.get("retry-after"), said, secret)
        for event in events.end():
            answer.take(event, clock())
        if not answer.heard:
            raise Failed("malformed", "no event came: the answer is not a stream", passing=False)


class _Answer:
    """Reads the events of one stream into its attempt."""

    def __init__(self, attempt: Attempt, hear: Hear | None) -> None:
        self._attempt, self._hear = attempt, hear
        self.heard = self.ended = False

    def take(self, data: str, now: float) -> None:
        """One event; raises `Failed` for an error in the stream, or for what is no completion chunk."""
        self.heard = True
        if data.strip() == "[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
            if event.get("error") or event.get("object") == "error":
                raise Failed("stream_error", complaint(event.get("error") or event), passing=True)
            self._count(event.get("usage"))
            for choice in event.get("choices") or ():
                if text := _text(choice):
                    self._attempt.chunk_s.append(now)
                    if self._hear is not None:
                        self._hear(text, now)
                if choice.get("finish_reason") is not None:
                    self._attempt.finish_reason = str(choice["finish_reason"])[:40]
                    self.ended = True
        except NO_JSON as error:
            raise Failed("malformed", "an event is not a completion chunk in JSON", passing=True) from error

    def _count(self, usage: Any) -> None:
        counts = usage_counts(usage)
        if counts is None:
            return
        self._attempt.usage = counts  # a server that tells them with every chunk counts up: the last one holds
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        if isinstance(cached, int) and 0 <= cached <= counts[0]:
            self._attempt.cached_tokens = cached


def _text(choice: dict[str, Any]) -> str:
    """What a chunk adds: text of a chat or a completion, or thoughts, which are tokens as well."""
    parts = choice.get("delta") or {}
    found = (parts.get("content"), parts.get("reasoning_content"), parts.get("reasoning"), choice.get("text"))
    return next((text for text in found if isinstance(text, str) and text), "")
