"""One streamed request: what was sent, when each piece of the answer came, and how it ended.

The first token is the first chunk that carries text (or thoughts, where a server streams them); an empty chunk that
only names the role is none. An answer is whole when the server said why it ended or sent [DONE]; a stream that stops
before is cut, however politely the connection was closed. Nothing is tried again: every request counts once.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    events, heard, ended = Events(), False, False
    failure: Failed | None = None
    attempt.sent_s, attempt.reason = clock(), None

    def read(found: Iterable[str], now: float) -> bool:
        nonlocal heard, ended
        for data in found:
            heard = True
            ended = _read(data, attempt, now, hear) or ended
        return ended

    try:
        await exchange(client, url, body, lambda part: read(events.feed(part), clock()), timeout_s=timeout_s)
        read(events.end(), clock())
        if not heard:
            raise Failed("malformed", "no event came: the answer is not a stream", passing=False)
    except Failed as error:
        failure = error
    except asyncio.CancelledError:
        failure = Failed("time_limit", "the time of the test was over", passing=True)
        raise
    finally:
        attempt.end_s = clock()
        if not ended:
            failure = failure or Failed("cut", "the stream ended without its end", passing=True)
            attempt.outcome, attempt.reason = ("cut" if attempt.chunk_s else "failed"), str(failure)
        elif not attempt.chunk_s:
            attempt.outcome = "empty" if attempt.finish_reason else "failed"
            attempt.reason = f"no_content: a whole answer without text ({attempt.finish_reason})"
        else:
            attempt.outcome = "ok"


def _read(data: str, attempt: Attempt, now: float, hear: Hear | None) -> bool:
    """One event into its attempt, and whether it ends it; `Failed` for an error, or for what is no completion chunk."""
    if data.strip() == "[DONE]":
        return True
    try:
        event = json.loads(data)
        if event.get("error") or event.get("object") == "error":
            raise Failed("stream_error", complaint(event.get("error") or event), passing=True)
        usage = event.get("usage")
        if counts := usage_counts(usage):
            attempt.usage = counts  # a server that tells them with every chunk counts up: the last one holds
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else None
            if isinstance(cached, int) and 0 <= cached <= counts[0]:
                attempt.cached_tokens = cached
        ended = False
        for choice in event.get("choices") or ():
            if text := _text(choice):
                attempt.chunk_s.append(now)
                if hear is not None:
                    hear(text, now)
            if choice.get("finish_reason") is not None:
                attempt.finish_reason, ended = redact(str(choice["finish_reason"]))[:40], True
        return ended
    except NO_JSON as error:
        raise Failed("malformed", "an event is not a completion chunk in JSON", passing=True) from error


def _text(choice: dict[str, Any]) -> str:
    """What a chunk adds: text of a chat or a completion, or thoughts, which are tokens as well."""
    parts = choice.get("delta") or {}
    found = (parts.get("content"), parts.get("reasoning_content"), parts.get("reasoning"), choice.get("text"))
    return next((text for text in found if isinstance(text, str) and text), "")


_END = re.compile(rb"\r\n|\n|\r")


class Events:
    """Bytes in, the data of every whole event out; comments, ids and names of events are skipped.

    https://html.spec.whatwg.org/multipage/server-sent-events.html. Own code, because a load test must stamp each event
    with the arrival of its bytes, and bound what it holds. Lines end in LF, CR or CRLF and are cut before they are
    decoded, so that a border of the network inside a character does no harm.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._first = True

    def feed(self, part: bytes) -> list[str]:
        """Events that end within `part`."""
        if self._after_cr and part[:1] == b"\n":
            part = part[1:]
        self._after_cr = part[-1:] == b"\r"
        if not _END.search(part):
            self._held.append(part)
            return []
        lines = _END.split(b"".join((*self._held, part)))
        self._held = [lines.pop()]
        return [event for line in lines if (event := self._line(line)) is not None]

    def end(self) -> list[str]:
        """The event that a server left open when it closed the stream."""
        lines = [b"".join(self._held), b""]
        self._held = []
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> str | None:
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data).decode(errors="replace") if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
