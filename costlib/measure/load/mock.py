"""A server that answers as told: after `first_s` a piece of text, then one every `gap_s`, one for each token asked for.

Run as a program it prints its port and lives until its standard input closes, so it never outlives whom it serves. Each
piece is the moment it was sent, by the clock that every process of a machine shares: whoever reads it later knows how
late it is, however punctual this server was.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from costlib.server import lengths

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first_s: float, gap_s: float) -> None:
    """Serve one connection until the client closes it."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            sizes = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if b"content-length" in line]
            body = json.loads(await reader.readexactly(int(sizes[0])))
            came, pieces = time.perf_counter(), max(lengths(body))
            writer.write(_HEAD)
            for piece in range(pieces):
                # A schedule, not a pause after each piece: being late once does not slow the whole stream down.
                await asyncio.sleep(max(0.0, came + first_s + piece * gap_s - time.perf_counter()))
                _write(writer, {"choices": [{"delta": {"content": f"{time.perf_counter():.9f}"}}]})
                await writer.drain()
            usage = {"prompt_tokens": 1, "completion_tokens": pieces}
            _write(writer, {"choices": [{"delta": {}, "finish_reason": "length"}], "usage": usage})
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, LookupError, ValueError):
        pass
    finally:
        writer.close()


def _write(writer: asyncio.StreamWriter, event: dict[str, object]) -> None:
    data = f"data: {json.dumps(event)}\n\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def serve(first_s: float, gap_s: float) -> None:
    """Listen on a free port of this machine, print it, and serve until standard input closes."""
    server = await asyncio.start_server(lambda r, w: answer(r, w, first_s, gap_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), float(sys.argv[2])))
