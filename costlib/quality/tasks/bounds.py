"""Bounds on what is asked of an endpoint: money, rate, and a journal of what was paid for."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.errors import InputError, bad
from costlib.output import cannot_write
from costlib.redact import redact_all

Keep = Callable[[str, dict[str, Any]], None]


def sleep(seconds: float, stopped: threading.Event) -> None:
    """Pause, until the run is stopped at most."""
    stopped.wait(seconds)


class Purse:
    """Money left under a cap, with what is in flight set aside."""

    def __init__(self, cap: Decimal | None) -> None:
        if cap is not None and not (cap.is_finite() and cap >= 0):
            raise bad("max_usd", str(cap), "an amount in USD of at least 0")
        self.cap, self.spent, self.held = cap, Decimal(0), Decimal(0)
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


@contextmanager
def opened(journal: Path) -> Iterator[tuple[dict[str, dict[str, Any]], Keep]]:
    """What a journal holds, and a function that appends to it; one run at a time.

    A last line that a crash cut short is no answer; the next line starts behind it.
    """
    known: dict[str, dict[str, Any]] = {}
    with journal.open("a+b", buffering=0) as file:
        _lock(file, journal)
        file.seek(0)
        content = file.read()
        for line in content.split(b"\n"):
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                found = json.loads(line)
                known[found.pop("key")] = found
        if content and not content.endswith(b"\n"):
            file.write(b"\n")
        lock = threading.Lock()

        def keep(key: str, found: dict[str, Any]) -> None:
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
        raise InputError(
            f"store is {journal.parent.name!r}; allowed: one that no other run of this task uses"
        ) from error
