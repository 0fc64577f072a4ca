"""An OpenAI-compatible server as seen from here: its address, its key, what it is sent, and how asking it can fail.

Shared by tasks that are answered by an endpoint and by load tests. The key is read from the environment when it is
needed and is in no file, message or error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from costlib.errors import bad

LARGEST_BODY = 16_000_000
"""Bytes of an answer that are read at most."""
LENGTHS = ("max_tokens", "max_completion_tokens")
"""What bounds an answer; servers differ in which of the names they obey."""
NO_JSON = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer of unknown shape raises."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OURS = ("model", "messages", "prompt", "n", "best_of", "stream")
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LARGEST_COUNT = 2**53


class Failed(Exception):  # noqa: N818 - an outcome of an attempt, not a defect
    """`kind`: what was said; whether trying again may help, whether it may have been billed, what pause was asked."""

    def __init__(
        self, kind: str, said: str, *, passing: bool, billed: bool = False, pause_s: float | None = None
    ) -> None:
        super().__init__(f"{kind}: {said}")
        self.kind, self.passing, self.billed, self.pause_s = kind, passing, billed, pause_s


def check_address(field: str, url: str, *, allow_remote_http: bool) -> None:
    """Refuse what is neither https nor http on this machine (unless `allow_remote_http`), or holds a key or a query."""
    import httpx

    allowed = "an https address, or http on this machine, e.g. http://127.0.0.1:8000/v1"
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise bad(field, url.rpartition("@")[2].partition("?")[0], allowed) from error
    if parts.userinfo or parts.query or parts.fragment:  # not shown: they may be the key
        raise bad(field, f"{parts.scheme}://{parts.host}...", "an address without a key or a query in it")
    near = allow_remote_http or parts.host in _LOOPBACK
    if not parts.host or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise bad(field, url, allowed)
    if (parts.port or 0) > 65535:
        raise bad(field, url, "an address whose port is at most 65535")


def check_extra(extra: Mapping[str, Any]) -> None:
    """Refuse extra fields that costlib sets itself, or that leave an answer without a bound."""
    for name in _OURS:
        if name in extra:
            raise bad("extra", name, f"fields other than {', '.join(_OURS)}")
    if not lengths({"max_tokens": 1, **extra}):
        raise bad("extra", "no length", f"a whole number of at least 1 as one of {', '.join(LENGTHS)}")


def api_key(name: str | None) -> str | None:
    """The key in the environment variable `name`, None where none is named; `InputError` where it cannot be sent."""
    if name is None:
        return None
    key = os.environ.get(name, "")
    if not key or any(not "!" <= letter <= "~" for letter in key):
        allowed = "the name of an environment variable that holds the key, in visible ASCII letters"
        raise bad("api_key_env", name, allowed)
    return key


def client_settings(url: str, key: str | None) -> dict[str, Any]:
    """What an httpx client needs to reach `url`: the key, and no proxy, which cannot reach this machine."""
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"headers": headers, "trust_env": httpx.URL(url).host not in _LOOPBACK}


def request_body(
    model: str,
    prompt: str,
    max_tokens: int,
    *,
    chat: bool,
    stop: tuple[str, ...] = (),
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of one request; `extra` is merged into it, and a null there takes a field out."""
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "temperature": 0}
    if chat:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if stop:
        body["stop"] = list(stop)
    return {name: value for name, value in {**body, **extra}.items() if value is not None}


def request_url(url: str, *, chat: bool) -> str:
    """Where a request goes, below the base address."""
    return f"{url.rstrip('/')}/{'chat/completions' if chat else 'completions'}"


def lengths(body: Mapping[str, Any]) -> list[int]:
    """Every bound on the answer that a body holds."""
    found = [body.get(name) for name in LENGTHS]
    return [value for value in found if isinstance(value, int) and value > 0]


def usage_counts(usage: object) -> tuple[int, int] | None:
    """Tokens (read, written) of a server's `usage`; None where it tells none that a table can hold."""
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    told = [
        count
        for count in counts
        if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _LARGEST_COUNT
    ]
    return (told[0], told[1]) if len(told) == 2 else None


def lost(error: Exception, late: Failed) -> Failed:
    """The failure that an exception of httpx stands for; `late` is that of a time-out."""
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return Failed("unreachable", type(error).__name__, passing=True)
    if isinstance(error, httpx.TimeoutException):
        return late
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return Failed("cut", "the connection ended before the answer did", passing=True, billed=True)
    if isinstance(error, httpx.DecodingError):
        return Failed("malformed", "the answer is not in its own encoding", passing=True, billed=True)
    return Failed("unreachable", type(error).__name__, passing=True)


def refused(status: int, retry_after: str | None, content: bytes, secret: str | None) -> Failed:
    """The failure that a status other than 200 stands for, with what the server said, `secret` blotted out."""
    kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "refused"
    said = f"status {status}"
    text = content.decode(errors="replace")
    with suppress(*NO_JSON):
        found = json.loads(text.replace(secret, "***") if secret else text)
        said += f", {complaint(found.get('error') or found.get('detail') or found['message'])}"
    return Failed(kind, said, passing=status in _PASSING, pause_s=_pause(retry_after))


def complaint(error: Any) -> str:
    """The first line of what a server says about an error, which is a text or an object with a message."""
    return str(error["message"] if isinstance(error, dict) else error).splitlines()[0][:200]


def _pause(retry_after: str | None) -> float | None:
    """Seconds a server asks to wait, given as a number or a date."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return None
