"""Asks an OpenAI-compatible endpoint many questions: bounded in time, tries, rate and money, and never twice.

Each answer that was paid for is written and synced to a journal before it is used, under the hash of its question; a
second run, or one after a crash, asks only what has no answer there. A failure is a value with its kind, so that the
number of replies is always the number of questions. What may pass (429, 5xx, a time-out, a broken connection, an answer
that is no JSON) is tried again after a growing, jittered pause or the server's Retry-After; what will not is not.

The cap on money holds with requests in flight: before one is sent, its worst case is set aside, a token for every byte
of the prompt and all of `max_tokens`. An attempt that may have been billed without telling (a time-out, a cut answer,
no `usage`) keeps its worst case counted. The key is read from the environment and is in no file, message or error.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costlib.errors import bad
from costlib.progress import Progress, Step, silent
from costlib.quality.tasks import bounds
from costlib.quality.tasks.items import Task, sha256

if TYPE_CHECKING:
    import httpx

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LONGEST_PAUSE_S = 60.0
_LARGEST_BODY = 16_000_000
_OVERHEAD_TOKENS = 64
"""What a chat template may add to a prompt."""


@dataclass(frozen=True)
class TokenPrice:
    """USD per million tokens."""

    usd_per_mtok_input: Decimal
    usd_per_mtok_output: Decimal

    def usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Price of one request."""
        return (input_tokens * self.usd_per_mtok_input + output_tokens * self.usd_per_mtok_output) / 1_000_000


@dataclass(frozen=True)
class Endpoint:
    """Where to ask: `url` is the base, e.g. http://127.0.0.1:8000/v1; `api_key_env` names an environment variable.

    `extra` is merged into each request; a null takes a field out: {"max_tokens": null, "max_completion_tokens": 9}.
    Raises `InputError` for a url that is neither https nor on this machine, or a bound that is none.
    """

    url: str
    model: str
    api_key_env: str | None = None
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    price: TokenPrice | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if not parts.hostname or (
            parts.scheme != "https" and (parts.scheme, parts.hostname in _LOOPBACK) != ("http", True)
        ):
            raise bad("endpoint", self.url, "an https address, or http on this machine, e.g. http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query:
            raise bad("endpoint", f"{parts.scheme}://{parts.hostname}...", "an address without a key or a query in it")
        if not self.model:
            raise bad("model", self.model, "the name the endpoint knows the model by")
        for name, value, most in (
            ("concurrency", self.concurrency, 256),
            ("requests_per_minute", self.requests_per_minute, 1e6),
            ("timeout_s", self.timeout_s, 3600),
            ("attempts", self.attempts, 10),
        ):
            if value is not None and not (not isinstance(value, bool) and 0 < value <= most):
                raise bad(name, value, f"a number above 0 and at most {most:g}")
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise bad("api_key_env", self.api_key_env, "the name of an environment variable that holds the key")


@dataclass(frozen=True)
class Ask:
    """One question; `id` is the caller's."""

    id: str
    prompt: str
    max_tokens: int
    system: str | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """The answer, or `failure`: its kind and a sentence. Tokens are the server's; `usd` needs them and a price."""

    id: str
    text: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None
    seconds: float | None = None
    attempts: int = 0
    failure: str | None = None


class _Failed(Exception):  # noqa: N818 - an outcome of an attempt, not a defect
    """One attempt failed: `kind`, whether trying again may help, whether it may have been billed."""

    def __init__(
        self, kind: str, said: str, *, passing: bool, billed: bool = False, pause_s: float | None = None
    ) -> None:
        super().__init__(f"{kind}: {said}")
        self.passing, self.billed, self.pause_s = passing, billed, pause_s


def ask_all(
    endpoint: Endpoint,
    asks: Sequence[Ask],
    *,
    journal: Path,
    max_usd: Decimal | None = None,
    progress: Progress | None = None,
) -> list[Reply]:
    """Ask every question that `journal` holds no answer to; one reply per question, in order.

    `max_usd` caps what this call spends. Raises `InputError` for a cap without a price, or a journal in use by another
    run; what a server does never raises.
    """
    import httpx

    if max_usd is not None and endpoint.price is None:
        raise bad("max_usd", str(max_usd), "a cap together with a price per token, without which spending is unknown")
    tell = progress or silent
    with bounds.opened(journal) as (known, keep), httpx.Client(headers=_headers(endpoint)) as client:
        run = _Run(endpoint, client, known, keep, bounds.Purse(max_usd), bounds.Rate(endpoint.requests_per_minute))
        pool = ThreadPoolExecutor(max_workers=endpoint.concurrency)
        try:
            waiting = [pool.submit(run.answer, ask) for ask in asks]
            replies = []
            for number, future in enumerate(waiting, 1):
                replies.append(future.result())
                tell(Step(f"{endpoint.model}: {number} of {len(asks)}", stage="tasks", done=number, total=len(asks)))
        finally:
            run.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return replies


@dataclass
class _Run:
    endpoint: Endpoint
    client: httpx.Client
    known: dict[str, dict[str, Any]]
    keep: bounds.Keep
    purse: bounds.Purse
    rate: bounds.Rate
    stopped: threading.Event = field(default_factory=threading.Event)

    def answer(self, ask: Ask) -> Reply:
        body = self._body(ask)
        key = sha256([self.endpoint.url, body])
        if key in self.known:
            return _reply(ask, self.known[key])
        random_pause = random.Random(key)
        most = _worst(self.endpoint, ask)
        last = "stopped: the run was interrupted"
        for attempt in range(1, self.endpoint.attempts + 1):
            if self.stopped.is_set():
                break
            if not self.purse.reserve(most):
                last = f"over_budget: up to {most:.6f} USD more would pass the cap of {self.purse.cap} USD"
                return Reply(ask.id, attempts=attempt - 1, failure=last)
            self.rate.wait()
            started = time.monotonic()
            try:
                text, used = self._send(body)
            except _Failed as error:
                self.purse.settle(most, most if error.billed else Decimal(0))
                last = str(error)
                if not error.passing or attempt == self.endpoint.attempts:
                    return Reply(ask.id, attempts=attempt, failure=last)
                pause = error.pause_s if error.pause_s is not None else 0.5 * 2**attempt * (0.5 + random_pause.random())
                bounds.sleep(min(_LONGEST_PAUSE_S, pause))
                continue
            price = self.endpoint.price
            usd = price.usd(*used) if price and used else None
            self.purse.settle(most, most if usd is None else usd)
            found: dict[str, Any] = {
                "text": text,
                "input_tokens": used[0] if used else None,
                "output_tokens": used[1] if used else None,
                "usd": None if usd is None else str(usd),
                "seconds": time.monotonic() - started,
                "attempts": attempt,
            }
            self.keep(key, found)
            return _reply(ask, found)
        return Reply(ask.id, failure=last)

    def _body(self, ask: Ask) -> dict[str, Any]:
        system = [{"role": "system", "content": ask.system}] if ask.system else []
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [*system, {"role": "user", "content": ask.prompt}],
            "max_tokens": ask.max_tokens,
            "temperature": 0,
        }
        if ask.stop:
            body["stop"] = list(ask.stop)
        return {name: value for name, value in {**body, **self.endpoint.extra}.items() if value is not None}

    def _send(self, body: dict[str, Any]) -> tuple[str, tuple[int, int] | None]:
        """Text and tokens (read, written) of one attempt; raises `_Failed`."""
        import httpx

        limit = self.endpoint.timeout_s
        deadline = time.monotonic() + limit
        content = b""
        try:
            with self.client.stream(
                "POST", f"{self.endpoint.url.rstrip('/')}/chat/completions", json=body, timeout=limit
            ) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > _LARGEST_BODY:
                        raise _Failed("malformed", "more than 16 MB came back", passing=False, billed=True)
                    if time.monotonic() > deadline:
                        raise _Failed("timeout", f"no whole answer within {limit:g} s", passing=True, billed=True)
        except httpx.TimeoutException as error:
            raise _Failed("timeout", f"no whole answer within {limit:g} s", passing=True, billed=True) from error
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise _Failed("cut", "the connection ended before the answer did", passing=True, billed=True) from error
        except httpx.TransportError as error:
            raise _Failed("unreachable", type(error).__name__, passing=True) from error
        if response.status_code != 200:
            said = content.decode(errors="replace")
            if self.endpoint.api_key_env:
                said = said.replace(os.environ[self.endpoint.api_key_env], "***")
            raise _refusal(response.status_code, response.headers.get("retry-after"), said)
        return _read(content)


def worst_usd(endpoint: Endpoint, task: Task) -> Decimal:
    """What asking every item of a task once could cost at most: a token for every byte, answers at full length."""
    return sum(
        (_worst(endpoint, Ask(item.id, task.rendered(item), task.max_tokens)) for item in task.items), Decimal(0)
    )


def _worst(endpoint: Endpoint, ask: Ask) -> Decimal:
    if endpoint.price is None:
        return Decimal(0)
    read = len((ask.prompt + (ask.system or "")).encode()) + _OVERHEAD_TOKENS
    return endpoint.price.usd(read, ask.max_tokens)


def _reply(ask: Ask, found: Mapping[str, Any]) -> Reply:
    """A reply of what the journal keeps of one."""
    usd = None if found["usd"] is None else Decimal(found["usd"])
    return Reply(ask.id, **{name: value for name, value in found.items() if name != "usd"}, usd=usd)


def _refusal(status: int, retry_after: str | None, content: str) -> _Failed:
    kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "refused"
    said = f"status {status}"
    with suppress(ValueError, AttributeError, TypeError):
        error = json.loads(content)["error"]
        said += f", {str(error['message'] if isinstance(error, dict) else error).splitlines()[0][:200]}"
    return _Failed(kind, said, passing=status in _PASSING, pause_s=_pause(retry_after))


def _read(content: bytes) -> tuple[str, tuple[int, int] | None]:
    try:
        answer = json.loads(content)
        text = answer["choices"][0]["message"].get("content")
        if text is not None and not isinstance(text, str):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _Failed("malformed", "the answer is not a chat completion in JSON", passing=True, billed=True) from error
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(read, int) and isinstance(written, int) and min(read, written) >= 0:
        return text or "", (read, written)
    return text or "", None


def _pause(retry_after: str | None) -> float | None:
    """Seconds a server asks to wait, given as a number or a date."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return None


def _headers(endpoint: Endpoint) -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ[endpoint.api_key_env]}"} if endpoint.api_key_env else {}
