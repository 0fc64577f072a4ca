"""Sends every request of a test when its time has come, and watches whether this process could keep up.

Open loop and replay: each request starts at its moment whatever became of those before it; only `most_at_once` holds
one back, and then the time from its schedule shows the wait. Closed loop: as many clients as there may be at once, each
asking again when it was answered. When the time limit is over, what is under way is cancelled and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from costlib.measure.load.client import Attempt, Hear, send
from costlib.server import client

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
        # Idle connections are dropped before servers drop them (uvicorn after 5 s), else a request may meet its end.
        limits: dict[str, Any] = {"max_connections": None, "max_keepalive_connections": most_at_once}
        async with client(url, key, **limits, keepalive_expiry=4.0) as line:
            cpu, flow.started, done = time.process_time(), time.perf_counter(), count(1)

            def clock() -> float:
                return time.perf_counter() - flow.started

            def begun(request: Sendable, due: float) -> Attempt:
                flow.attempts.append(Attempt(len(flow.attempts), due, request.words))
                return flow.attempts[-1]

            async def one(request: Sendable, attempt: Attempt, turn: asyncio.Semaphore | None = None) -> None:
                async with turn or nullcontext():
                    await send(line, url, request.body, attempt, clock, timeout_s=timeout_s, hear=hear)
                tell(next(done))

            async def one_after_another(waiting: Iterator[Sendable]) -> None:
                for request in waiting:
                    await one(request, begun(request, clock()))

            watch = asyncio.create_task(_watch(flow.lag_s))
            try:
                async with asyncio.timeout(time_limit_s), asyncio.TaskGroup() as group:
                    if requests and requests[0].at_s is None:
                        waiting = iter(requests)
                        for _ in range(min(most_at_once, len(requests))):
                            group.create_task(one_after_another(waiting))
                    else:
                        free = asyncio.Semaphore(most_at_once)
                        for request in requests:
                            due = request.at_s or 0.0
                            if (wait := due - clock()) > 0:
                                await asyncio.sleep(wait)
                            group.create_task(one(request, begun(request, due), free))
            except TimeoutError:
                flow.limited = True
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
                flow.wall_s = clock()
                flow.cpu_share = (time.process_time() - cpu) / flow.wall_s if flow.wall_s else None

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return flow
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, work()).result()
    return flow


async def _watch(lag_s: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_LAG_EVERY_S)
        lag_s.append(max(0.0, time.perf_counter() - before - _LAG_EVERY_S))
