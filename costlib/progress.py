"""Progress as plain values: rooms report steps, the command line decides how to draw them.

Every long-running function takes `progress`, a callable of one argument, or None. The argument is a `str`; where the
amount of work is known it is a `Step`, a string that also knows its stage and how far that stage is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

Progress = Callable[[str], None]


class Step(str):
    """One step of a stage: `done` of `total` parts are finished."""

    stage: str
    done: int
    total: int

    def __new__(cls, text: str, *, stage: str, done: int, total: int) -> Self:
        """A string with its stage and counts."""
        step = super().__new__(cls, text)
        step.stage, step.done, step.total = stage, done, total
        return step


def silent(_: str) -> None:
    """Progress that nobody watches."""
