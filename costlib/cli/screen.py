"""The one way out to a terminal: whatever is printed has no secret in it, and nothing that steers the terminal.

`safe_output` puts a filter in the place of stdout and stderr, so that it holds for every print, warning and traceback.
rich draws with escapes of its own: what it is given is made safe before (`costlib.redact.shown`), and it writes `raw`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from costlib.redact import shown


class _Filter:
    """A text stream whose texts are made safe on their way."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(shown(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def raw(stream: Any) -> IO[str]:
    """The stream behind the filter, for texts that were made safe."""
    found: IO[str] = stream.stream if isinstance(stream, _Filter) else stream
    return found


@contextmanager
def safe_output() -> Iterator[None]:
    """Filter stdout and stderr; letters that an output cannot encode are escaped, too."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    filtered: Any = [_Filter(stream) for stream in before]
    sys.stdout, sys.stderr = filtered
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
