"""One streamed request: what was sent, when each piece of the answer came, and how it ended.

The first token is the first chunk that carries text (or thoughts, where a server streams them); an empty chunk that
only names the role is none. An answer is whole when the server said why it ended or sent [DONE]; a stream that stops
before is cut, however politely the connection was closed. Nothing is tried again: every request counts once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from costlib.measure.load.sse import Events
from costlib.redact import redact
from costlib.server import NO_JSON, Failed, complaint, exchange, usage_counts

if TYPE_CHECKING:
    import httpx

Clock = Callable[[], float]
"""Seconds since the start of the test."""
Hear = Callable[[str, float], None]
"""Told every piece of text and when it came."""


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
    hear: Hear | None = None,
) -> None:
    """Send one request and fill in `attempt`; raises nothing that a server, a network or a time limit does.

    Cancelled from outside (the time limit of the test), it fills in how far it came and lets the cancellation pass.
    """
    answer, events = _Answer(attempt, hear), Events()
    failure: Failed | None = None
    attempt.sent_s, attempt.reason = clock(), None

    def take(part: bytes) -> bool:
        now = clock()
        for event in events.feed(part):
            answer.take(event, now)
        return answer.ended

    try:
        await exchange(client, url, body, take, timeout_s=timeout_s)
        for event in events.end():
            answer.take(event, clock())
        if not answer.heard:
            raise Failed("malformed", "no event came: the answer is not a stream", passing=False)
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
                    self._attempt.finish_reason = redact(str(choice["finish_reason"]))[:40]
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
