"""The one client of OpenAI-compatible servers: address, key, what is sent, a limit on all of it, how it can fail.

Shared by tasks that are answered by an endpoint and by load tests. The key is read from the environment and remembered
as a secret (`costlib.redact`); what a server says is blotted before it is cut or kept. A time limit holds for a request
as a whole, from connecting to its last byte, whether a server is slow with headers or with the body.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from costlib.errors import invalid_input
from costlib.redact import redact, remember, remember_fields, remember_user, remember_words

if TYPE_CHECKING:
    import httpx

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
_LONGEST_SAID = 4000  # of what a server says of an error; blotted, then cut to its first line
_GRACE_S = 1.0
"""What a server may take to close a stream after its last event."""


@dataclass(frozen=True)
class Target:
    """A model of a server: `url` is its base, ending in /v1 as a rule; `api_key_env` names an environment variable.

    `extra` is merged into each request, e.g. {"seed": 1}; a null takes a field out: {"max_tokens": null,
    "max_completion_tokens": 9}. A model without a chat template needs `chat=False`: the prompt as it is, at
    /completions. Raises `InputError` for an address that is neither https nor on this machine (unless
    `allow_remote_http`, which sends the key in the clear), or holds a key, fields that costlib sets itself, an answer
    without a bound, or a key that cannot be sent.
    """

    called: ClassVar[str] = "url"
    """What a user calls the address."""

    url: str
    model: str
    api_key_env: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    chat: bool = True
    allow_remote_http: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be asked; remember the keys in it."""
        check_address(self.called, self.url, allow_remote_http=self.allow_remote_http)
        if not self.model:
            raise invalid_input("model", self.model, "the name the server knows the model by")
        remember_fields(self.extra)
        for name in _OURS:
            if name in self.extra:
                raise invalid_input("extra", name, f"fields other than {', '.join(_OURS)}")
        if not lengths({"max_tokens": 1, **self.extra}):
            raise invalid_input("extra", "no length", f"a whole number of at least 1 as one of {', '.join(LENGTHS)}")
        api_key(self.api_key_env)

    @property
    def address(self) -> str:
        """Where a request goes, below the base address."""
        return f"{self.url.rstrip('/')}/{'chat/completions' if self.chat else 'completions'}"

    def body(self, prompt: str, max_tokens: int, stop: Sequence[str] = (), **more: Any) -> dict[str, Any]:
        """The body of one request, with `more` fields, which `extra` may change."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": max_tokens, "temperature": 0}
        body |= {"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt}
        body |= ({"stop": list(stop)} if stop else {}) | more
        return {name: value for name, value in {**body, **self.extra}.items() if value is not None}


class Failed(Exception):  # noqa: N818 - an outcome of an attempt, not a defect
    """`kind`: what was said; whether trying again may help, whether it may have been billed, what pause was asked."""

    def __init__(
        self, kind: str, said: str, *, passing: bool, billed: bool = False, pause_s: float | None = None
    ) -> None:
        super().__init__(redact(f"{kind}: {said}"))
        self.kind, self.passing, self.billed, self.pause_s = kind, passing, billed, pause_s


def check_address(name: str, url: str, *, allow_remote_http: bool) -> None:
    """Refuse what is neither https nor http on this machine (unless `allow_remote_http`), or holds a key or a query."""
    import httpx

    allowed = "an https address, or http on this machine, e.g. http://127.0.0.1:8000/v1"
    remember_words([url])
    asked = url.partition("?")[2].partition("#")[0]
    if set("@?#") & set(url):  # not shown: what stands there may be the key, even where this is no address
        remember(*(value for _, value in parse_qsl(asked)), asked)
        remember_user(url.rpartition("@")[0].rpartition("//")[2])
        raise invalid_input(name, "not shown", f"an address without a key or a query in it: {allowed}")
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise invalid_input(name, url, allowed) from None
    near = allow_remote_http or parts.host in _LOOPBACK
    if not parts.host or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise invalid_input(name, url, allowed)
    if (parts.port or 0) > 65535:
        raise invalid_input(name, url, "an address whose port is at most 65535")


def identity(url: str) -> str:
    """The endpoint at a base address: host, port and path. The usual path /v1 is not named, any other is."""
    parts = urlsplit(url)
    host = parts.netloc.lower() + (":80" if parts.scheme == "http" and parts.port is None else "")
    path = parts.path.rstrip("/")
    return host if path == "/v1" else f"{host}{path or '/'}"


def api_key(name: str | None) -> str | None:
    """The key in the environment variable `name`, None where none is named; `InputError` where it cannot be sent."""
    if name is None:
        return None
    key = os.environ.get(name, "")
    if not key or any(not "!" <= letter <= "~" for letter in key):
        remember(key)
        allowed = "the name of an environment variable that holds the key, in visible ASCII letters"
        if not re.fullmatch(r"[A-Z]{1,16}(_[A-Z]{1,16}){0,5}", name):
            remember(name)
            raise invalid_input("api_key_env", "not shown", f"{allowed}, e.g. OPENAI_API_KEY (not the key itself)")
        raise invalid_input("api_key_env", name, allowed)
    remember(key)
    return key


def client(url: str, key: str | None, **limits: Any) -> httpx.AsyncClient:
    """A client that reaches `url` with the key; by no proxy where that cannot reach this machine."""
    import httpx

    remember(key or "")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    near = httpx.URL(url).host in _LOOPBACK
    return httpx.AsyncClient(headers=headers, trust_env=not near, limits=httpx.Limits(**limits))


async def exchange(
    line: httpx.AsyncClient, url: str, body: bytes, take: Callable[[bytes], object], *, timeout_s: float
) -> None:
    """Send one request; `take` is given each part of an answer of status 200, and says when it has the last one.

    Raises `Failed` for all that a server, a network or the time limit does; what `take` raises passes.
    """
    import httpx

    size, said, graced = 0, b"", False
    waits = httpx.Timeout(timeout_s, connect=0.9 * timeout_s)  # so that one never reached is told from one too slow
    try:
        async with (
            asyncio.timeout(timeout_s) as limit,
            line.stream("POST", url, content=body, timeout=waits) as response,
        ):
            async for part in response.aiter_bytes():
                size += len(part)
                if size > LARGEST_BODY:
                    raise Failed("malformed", "more than 16 MB came back", passing=False, billed=True)
                if response.status_code != 200:
                    said += part
                elif take(part) and not graced:
                    graced = True
                    with suppress(RuntimeError):  # the time was over in this very moment
                        limit.reschedule(min(limit.when() or 0.0, asyncio.get_running_loop().time() + _GRACE_S))
            if response.status_code != 200:
                raise refused(response.status_code, response.headers.get("retry-after"), said)
    except (TimeoutError, httpx.TransportError, httpx.DecodingError) as error:
        raise _lost(error, timeout_s) from None


@contextmanager
def asking(url: str, key: str | None, at_once: int) -> Iterator[Callable[[str, Mapping[str, Any], float], bytes]]:
    """A function of (url, body, seconds) for threads: the whole answer, or `Failed`; its client has its own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    line = client(url, key, max_connections=at_once)

    def ask(target: str, body: Mapping[str, Any], timeout_s: float) -> bytes:
        content = bytearray()
        work = exchange(line, target, json.dumps(body).encode(), content.extend, timeout_s=timeout_s)
        asyncio.run_coroutine_threadsafe(work, loop).result()
        return bytes(content)

    try:
        yield ask
    finally:
        asyncio.run_coroutine_threadsafe(line.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def lengths(body: Mapping[str, Any]) -> list[int]:
    """Every bound on the answer that a body holds."""
    found = [body.get(name) for name in LENGTHS]
    return [value for value in found if isinstance(value, int) and value > 0]


def usage_counts(usage: object) -> tuple[int, int] | None:
    """Tokens (read, written) of a server's `usage`; None where it tells none that a table can hold."""
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    told = [count for count in counts if type(count) is int and 0 <= count < _LARGEST_COUNT]  # a bool is no count
    return (told[0], told[1]) if len(told) == 2 else None


def _lost(error: Exception, timeout_s: float) -> Failed:
    """The failure that a time-out or an exception of httpx stands for."""
    import httpx

    if isinstance(error, httpx.TimeoutException | TimeoutError) and not isinstance(error, httpx.ConnectTimeout):
        return Failed("timeout", f"no whole answer within {timeout_s:g} s", passing=True, billed=True)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return Failed("cut", "the connection ended before the answer did", passing=True, billed=True)
    if isinstance(error, httpx.DecodingError):
        return Failed("malformed", "the answer is not in its own encoding", passing=True, billed=True)
    return Failed("unreachable", type(error).__name__, passing=True)


def refused(status: int, retry_after: str | None, content: bytes) -> Failed:
    """The failure that a status other than 200 stands for, with what the server said."""
    kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "refused"
    said = f"status {status}"
    with suppress(*NO_JSON):
        found = json.loads(content.decode(errors="replace"))
        said += f", {complaint(found.get('error') or found.get('detail') or found['message'])}"
    return Failed(kind, said, passing=status in _PASSING, pause_s=_pause(retry_after))


def complaint(error: Any) -> str:
    """The first line of what a server says about an error, which is a text or an object with a message; no secret."""
    said = str(error["message"] if isinstance(error, dict) else error)
    return redact(said[:_LONGEST_SAID]).splitlines()[0][:200]


def _pause(retry_after: str | None) -> float | None:
    """Seconds a server asks to wait, given as a number or a date."""
    with suppress(ValueError, TypeError):
        return max(0.0, float(retry_after or ""))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after or "") - datetime.now(UTC)).total_seconds())
    return None
