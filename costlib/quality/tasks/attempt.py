"""One attempt at one completion: its text and tokens, or in which way it failed and what that may have cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LARGEST_BODY = 16_000_000
_LARGEST_COUNT = 2**53
_NO_JSON = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer of unknown shape raises."""


@dataclass(frozen=True)
class Answer:
    """A whole answer, billed: `text`, None where it holds none; `ended` as the server says; tokens (read, written)."""

    text: str | None
    ended: str
    used: tuple[int, int] | None


class Failed(Exception):  # noqa: N818 - an outcome of an attempt, not a defect
    """`kind`: what was said; whether trying again may help, whether it may have been billed, what pause was asked."""

    def __init__(
        self, kind: str, said: str, *, passing: bool, billed: bool = False, pause_s: float | None = None
    ) -> None:
        super().__init__(f"{kind}: {said}")
        self.passing, self.billed, self.pause_s = passing, billed, pause_s


def send(client: httpx.Client, url: str, body: Mapping[str, Any], *, timeout_s: float, secret: str | None) -> Answer:
    """Ask once; raises `Failed` for all that a server or a network does, `secret` blotted out of what it said."""
    import httpx

    late = Failed("timeout", f"no whole answer within {timeout_s:g} s", passing=True, billed=True)
    deadline = time.monotonic() + timeout_s
    content = b""
    try:
        with client.stream("POST", url, json=body, timeout=timeout_s) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > _LARGEST_BODY:
                    raise Failed("malformed", "more than 16 MB came back", passing=False, billed=True)
                if time.monotonic() > deadline:
                    raise late
    except (httpx.ConnectTimeout, httpx.ConnectError) as error:
        raise Failed("unreachable", type(error).__name__, passing=True) from error
    except httpx.TimeoutException as error:
        raise late from error
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise Failed("cut", "the connection ended before the answer did", passing=True, billed=True) from error
    except httpx.DecodingError as error:
        raise Failed("malformed", "the answer is not in its own encoding", passing=True, billed=True) from error
    except httpx.TransportError as error:
        raise Failed("unreachable", type(error).__name__, passing=True) from error
    if response.status_code != 200:
        said = content.decode(errors="replace")
        said = said.replace(secret, "***") if secret else said
        raise _refusal(response.status_code, response.headers.get("retry-after"), said)
    return _read(content)


def _refusal(status: int, retry_after: str | None, content: str) -> Failed:
    kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "refused"
    said = f"status {status}"
    with suppress(*_NO_JSON):
        found = json.loads(content)
        error = found.get("error") or found.get("detail") or found["message"]
        said += f", {str(error['message'] if isinstance(error, dict) else error).splitlines()[0][:200]}"
    return Failed(kind, said, passing=status in _PASSING, pause_s=_pause(retry_after))


def _read(content: bytes) -> Answer:
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"].get("content") if "message" in choice else choice["text"]
        ended = str(choice.get("finish_reason"))
        if isinstance(text, list):  # parts, of which some may be thoughts
            text = "".join(part["text"] for part in text if part["type"] == "text")
        if text is not None:
            text = text.encode(errors="replace").decode()  # JSON can spell half a character, which no file holds
    except _NO_JSON as error:
        raise Failed("malformed", "the answer is not a completion in JSON", passing=True, billed=True) from error
    usage = answer.get("usage")
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    told = [count for count in counts if isinstance(count, int) and 0 <= count < _LARGEST_COUNT]
    # A model may say nothing; one that was stopped before it said anything has not answered.
    return Answer(text if text or ended == "stop" else None, ended[:40], (told[0], told[1]) if len(told) == 2 else None)


def _pause(retry_after: str | None) -> float | None:
    """Seconds a server asks to wait, given as a number or a date."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return None
