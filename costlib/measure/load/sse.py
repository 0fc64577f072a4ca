"""Server-sent events, read from bytes as they come: https://html.spec.whatwg.org/multipage/server-sent-events.html.

Own code, because a load test must stamp each event with the arrival of its bytes, and bound what it holds. Lines end in
LF, CR or CRLF and are cut before they are decoded, so that a border of the network inside a character does no harm.
"""

from __future__ import annotations

import re

_END = re.compile(rb"\r\n|\n|\r")


class Events:
    """Bytes in, the data of every whole event out; comments, ids and names of events are skipped."""

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
