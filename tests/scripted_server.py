"""A server on loopback that streams completions as each test says, and remembers what it was asked and when."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

Raw = list[bytes | float]
"""Bytes written one after another, and pauses in seconds between them."""


def event(data: Any) -> bytes:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
DONE = event("[DONE]")


def usage(read: int, written: int, **details: Any) -> bytes:
    """The last chunk of most servers: tokens, and no choice."""
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return event({"choices": [], "usage": {**counts, **details}})


class ScriptedServer:
    """Each request is answered by the next of `script`, then by `usual`; both are given the request's body.

    What a script returns: bytes and pauses of a stream, a status, headers and content, or the bytes of no HTTP at all.
    `first_s`, `gap_s` and `tokens` shape the usual answer; its usage counts a word as a token and 7 of a template.
    """

    def __init__(self) -> None:
        self.script: list[Callable[[dict[str, Any]], Any]] = []
        self.usual: Callable[[dict[str, Any]], Any] = self.answer
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.came: list[float] = []
        self.first_s, self.gap_s, self.tokens = 0.0, 0.0, None
        self.busy = self.most_busy = 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, body: dict[str, Any]) -> Raw:
        count = self.tokens or body["max_tokens"]
        read = len((body["messages"][0]["content"] if "messages" in body else body["prompt"]).split()) + 7
        parts: Raw = [ROLE, self.first_s]
        for number in range(count):
            parts += [self.gap_s] * (number > 0) + [chunk(f"t{number} ")]
        return [*parts, chunk(finish="length"), usage(read, count), DONE]

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.lower().splitlines() if line.startswith("content-length"))
                body = json.loads(await reader.readexactly(int(length.partition(":")[2])))
                self.came.append(time.perf_counter())
                self.bodies.append(body)
                self.heads.append(head)
                self.busy += 1
                self.most_busy = max(self.most_busy, self.busy)
                how = (self.script.pop(0) if self.script else self.usual)(body)
                try:
                    if not await self._respond(writer, how):
                        return
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(self, writer: asyncio.StreamWriter, how: Any) -> bool:
        """Whether the connection stays open."""
        if isinstance(how, bytes):
            writer.write(how)
            await writer.drain()
            return False
        if isinstance(how, tuple):
            status, headers, content = how
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + content)
            await writer.drain()
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in how:
            if part is CUT:
                writer.transport.abort()
                return False
            if isinstance(part, bytes):
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
            elif part:
                await asyncio.sleep(part)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def close(self) -> None:
        async def end() -> None:
            self.server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


CUT = object()
"""In a stream: the connection breaks here."""


def always(how: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda body: how
