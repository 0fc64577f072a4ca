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
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

from costlib.errors import InputError, bounded, invalid_input
from costlib.output import cannot_write
from costlib.progress import Progress, Step, unwatched
from costlib.quality.tasks.items import Task, sha256
from costlib.redact import redact, redact_all
from costlib.server import NO_JSON, Failed, Target, api_key, asking, lengths, usage_counts

OVERHEAD_TOKENS = 256
"""What a chat template may add to a prompt."""
_LONGEST_PAUSE_S = 60.0


def amount(name: str, value: object) -> Decimal:
    """An amount in USD, written or as a Decimal; raises `InputError` for anything else."""
    try:
        money = Decimal(value) if isinstance(value, str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        money = Decimal("NaN")
    if not (money.is_finite() and 0 <= money < 10**9):
        raise invalid_input(name, str(value), "an amount in USD of at least 0")
    return money


@dataclass(frozen=True)
class TokenPrice:
    """USD per million tokens."""

    usd_per_mtok_input: Decimal
    usd_per_mtok_output: Decimal

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            amount(name, value)

    def usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Price of one request."""
        return (input_tokens * self.usd_per_mtok_input + output_tokens * self.usd_per_mtok_output) / 1_000_000


@dataclass(frozen=True)
class Endpoint(Target):
    """Where to ask, how often, and at what price."""

    called: ClassVar[str] = "endpoint"

    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    price: TokenPrice | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        bounded("concurrency", self.concurrency, 1, 256, whole=True)
        bounded("attempts", self.attempts, 1, 10, whole=True)
        bounded("timeout_s", self.timeout_s, 0.001, 3600)
        if self.requests_per_minute is not None:
            bounded("requests_per_minute", self.requests_per_minute, 0.001, 1e6)

    def worst_usd(self, prompt: str, max_tokens: int) -> Decimal:
        """What one request costs at most: a token for every byte, and an answer at full length."""
        read, written = len(prompt.encode()) + OVERHEAD_TOKENS, max(lengths(self.body(prompt, max_tokens)))
        return self.price.usd(read, written) if self.price else Decimal(0)

    def worst_task_usd(self, task: Task) -> Decimal:
        """What asking every item of a task once could cost at most."""
        return sum((self.worst_usd(task.rendered(item), task.max_tokens) for item in task.items), Decimal(0))


class Purse:
    """Money left under a cap, with what is in flight set aside."""

    def __init__(self, cap: Decimal | None) -> None:
        self.cap = None if cap is None else amount("max_usd", cap)
        self.spent = self.held = Decimal(0)
        self.changed = threading.Condition()

    def reserve(self, most: Decimal) -> bool:
        """Set `most` aside; waits while what is in flight may leave enough, False where it cannot."""
        with self.changed:
            while self.cap is not None and self.spent + self.held + most > self.cap:
                if self.held == 0 or self.spent + most > self.cap:
                    return False
                self.changed.wait()
            self.held += most
            return True

    def settle(self, most: Decimal, spent: Decimal) -> None:
        """Turn what was set aside into what was spent."""
        with self.changed:
            self.held -= most
            self.spent += spent
            self.changed.notify_all()


class Rate:
    """Requests started evenly, at most so many a minute."""

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next = 0.0
        self.lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        """Sleep until the next request may start, or the run is stopped."""
        with self.lock:
            now = time.monotonic()
            start = max(now, self.next)
            self.next = start + self.gap
        if start > now:
            sleep(start - now, stopped)


def sleep(seconds: float, stopped: threading.Event) -> None:
    """Pause, until the run is stopped at most."""
    stopped.wait(seconds)


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
    max_usd: Decimal | Purse | None = None,
    progress: Progress | None = None,
) -> list[Reply]:
    """Ask every question that `journal` holds no answer to; one reply per question, in order.

    `max_usd` caps what this call spends; a purse, what all calls that are given it spend together. Raises `InputError`
    for a cap without a price, or a journal in use by another run; what a server does never raises.
    """
    purse = max_usd if isinstance(max_usd, Purse) else Purse(max_usd)
    if purse.cap is not None and endpoint.price is None:
        raise invalid_input(
            "max_usd", str(purse.cap), "a cap together with a price per token, without which spending is unknown"
        )
    tell, rate, stopped = progress or unwatched, Rate(endpoint.requests_per_minute), threading.Event()

    def bought(key: str, ask: Ask) -> Reply:
        """The kept answer, or a new one; its id is the caller's to set."""
        if key in known:
            return known[key]
        jitter, most = random.Random(key), endpoint.worst_usd(ask.prompt, ask.max_tokens)
        last, tried = "stopped: the run was interrupted", 0
        while tried < endpoint.attempts:
            if not purse.reserve(most):
                last = f"over_budget: up to {most:.6f} USD more would pass the cap of {purse.cap} USD"
                break
            rate.wait(stopped)
            spent, reply = Decimal(0), None
            try:
                if stopped.is_set():
                    break
                tried, started = tried + 1, time.monotonic()
                spent = most  # whatever happens now, else those who wait for it would wait for ever
                body = endpoint.body(ask.prompt, ask.max_tokens, ask.stop)
                text, ended, used = _read(post(endpoint.address, body, endpoint.timeout_s))
                usd = endpoint.price.usd(*used) if endpoint.price and used else None
                spent = most if usd is None else usd
            except Failed as error:
                spent, last = most if error.billed else Decimal(0), str(error)
                if not error.passing or tried == endpoint.attempts:
                    break
                pause = error.pause_s if error.pause_s is not None else 0.5 * 2**tried * (0.5 + jitter.random())
            else:
                empty = f"no_content: the answer holds no text (finish_reason {ended})" if text is None else None
                read, written = used or (None, None)
                reply = Reply("", text, read, written, usd, time.monotonic() - started, tried, empty)
            finally:
                purse.settle(most, spent)
            if reply is not None:
                keep(key, reply)
                return reply
            sleep(min(_LONGEST_PAUSE_S, pause), stopped)
        return Reply("", attempts=tried, failure=last)

    key = api_key(endpoint.api_key_env)
    with opened(journal) as (known, keep), asking(endpoint.url, key, endpoint.concurrency) as post:
        pool = ThreadPoolExecutor(max_workers=endpoint.concurrency)
        try:
            keys = [sha256([endpoint.url.rstrip("/"), endpoint.body(a.prompt, a.max_tokens, a.stop)]) for a in asks]
            asked = {key: pool.submit(bought, key, ask) for key, ask in dict(zip(keys, asks, strict=True)).items()}
            replies = []
            for number, (name, ask) in enumerate(zip(keys, asks, strict=True), 1):
                replies.append(replace(asked[name].result(), id=ask.id))
                tell(Step(f"{endpoint.model}: {number} of {len(asks)}", stage="tasks", done=number, total=len(asks)))
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return replies


def _read(content: bytes) -> tuple[str | None, str, tuple[int, int] | None]:
    """A completion: its text, None where it holds none, how it ended, and tokens (read, written); else `Failed`."""
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
    return text if text or ended == "stop" else None, ended[:40], usage_counts(answer.get("usage"))


@contextmanager
def opened(journal: Path) -> Iterator[tuple[dict[str, Reply], Callable[[str, Reply], None]]]:
    """What a journal holds, and a function that appends to it; one run at a time.

    A last line that a crash cut short is no answer; the next line starts behind it.
    """
    known: dict[str, Reply] = {}
    with journal.open("a+b", buffering=0) as file:
        _lock(file, journal)
        file.seek(0)
        content = file.read()
        for line in content.split(b"\n"):
            with suppress(ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
                found = json.loads(line)
                key, usd = found.pop("key"), found["usd"]
                known[key] = Reply("", **found | {"usd": None if usd is None else Decimal(usd)})
        if content and not content.endswith(b"\n"):
            file.write(b"\n")
        lock = threading.Lock()

        def keep(key: str, reply: Reply) -> None:
            found = vars(reply) | {"usd": None if reply.usd is None else str(reply.usd)}
            del found["id"]
            line = json.dumps({"key": key, **redact_all(found)}).encode() + b"\n"
            with lock:
                end = file.seek(0, os.SEEK_END)
                try:
                    while line:
                        line = line[file.write(line) :]
                    os.fsync(file.fileno())
                except OSError as error:
                    file.truncate(end)  # half a line would spoil the next one
                    raise cannot_write("store", journal, error) from None

        yield known, keep


def _lock(file: Any, journal: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no such lock, and two runs at once may both pay
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        used = f"store is {journal.parent.name!r}; allowed: one that no other run of this task uses"
        raise InputError(used) from error
