"""Sends every request of a test when its time has come, and watches whether this process could keep up.

Open loop and replay: each request starts at its moment whatever became of those before it; only `most_at_once` holds
one back, and then the time from its schedule shows the wait. Closed loop: as many clients as there may be at once, each
asking again when it was answered. When the time limit is over, what is under way is cancelled and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from costlib.measure.load.client import Attempt, Clock, Hear, send
from costlib.server import client

if TYPE_CHECKING:
    import httpx

_LAG_EVERY_S = 0.01


@dataclass
class Sendable:
    """One request: its body, and when it is due (None: when a client is free)."""

    body: bytes
    at_s: float | None = None
    words: int = 0


@dataclass
class Flow:
    """What came of a test: attempts in order of sending, and how this process did meanwhile.

    `lag_s` is by how much the event loop was late, every 10 ms; `started` the moment 0 of all times, by
    `time.perf_counter`.
    """

    started: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    cpu_share: float | None = None
    wall_s: float = 0.0
    limited: bool = False


def drive(
    url: str,
    requests: Sequence[Sendable],
    flow: Flow,
    *,
    most_at_once: int,
    time_limit_s: float,
    timeout_s: float,
    key: str | None = None,
    hear: Hear | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Flow:
    """Send all of `requests` and fill `flow`, which holds what was done even where the test was interrupted.

    Works under a running event loop (a notebook has one), too: then in a thread of its own.
    """

    async def work() -> None:
        await _drive(url, requests, flow, most_at_once, time_limit_s, timeout_s, key, hear, tell)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return flow
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, work()).result()
    return flow


async def _drive(
    url: str,
    requests: Sequence[Sendable],
    flow: Flow,
    most_at_once: int,
    time_limit_s: float,
    timeout_s: float,
    key: str | None,
    hear: Hear | None,
    tell: Callable[[int], None],
) -> None:
    # Idle connections are dropped before servers drop them (uvicorn does after 5 s), else a request may meet its end.
    limits: dict[str, Any] = {"max_connections": None, "max_keepalive_connections": most_at_once}
    async with client(url, key, **limits, keepalive_expiry=4.0) as opened:
        cpu, flow.started = time.process_time(), time.perf_counter()

        def clock() -> float:
            return time.perf_counter() - flow.started

        watch = asyncio.create_task(_watch(flow.lag_s))
        line = _Line(opened, url, flow, clock, timeout_s, hear, tell)
        try:
            async with asyncio.timeout(time_limit_s):
                if requests and requests[0].at_s is None:
                    await line.closed(requests, most_at_once)
                else:
                    await line.open(requests, most_at_once)
        except TimeoutError:
            flow.limited = True
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            flow.wall_s = clock()
            flow.cpu_share = (time.process_time() - cpu) / flow.wall_s if flow.wall_s else None


@dataclass
class _Line:
    client: httpx.AsyncClient
    url: str
    flow: Flow
    clock: Clock
    timeout_s: float
    hear: Hear | None
    tell: Callable[[int], None]
    done: int = 0

    async def open(self, requests: Sequence[Sendable], most_at_once: int) -> None:
        free = asyncio.Semaphore(most_at_once)

        async def one(request: Sendable, attempt: Attempt) -> None:
            async with free:
                await self._send(request, attempt)

        async with asyncio.TaskGroup() as group:
            for request in requests:
                due = request.at_s or 0.0
                if (wait := due - self.clock()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(one(request, self._new(request, due)))

    async def closed(self, requests: Sequence[Sendable], clients: int) -> None:
        waiting = iter(requests)

        async def client() -> None:
            for request in waiting:
                await self._send(request, self._new(request, self.clock()))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(clients, len(requests))):
                group.create_task(client())

    def _new(self, request: Sendable, due: float) -> Attempt:
        attempt = Attempt(len(self.flow.attempts), due, request.words)
        self.flow.attempts.append(attempt)
        return attempt

    async def _send(self, request: Sendable, attempt: Attempt) -> None:
        await send(self.client, self.url, request.body, attempt, self.clock, timeout_s=self.timeout_s, hear=self.hear)
        self.done += 1
        self.tell(self.done)


async def _watch(lag_s: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_LAG_EVERY_S)
        lag_s.append(max(0.0, time.perf_counter() - before - _LAG_EVERY_S))
