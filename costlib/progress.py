"""Progress as plain values: rooms report steps, the command line decides how to draw them.

Every long-running function takes `progress`, a callable of one argument, or None. The argument is a `str`; where the
amount of work is known it is a `Step`, a string that also knows its stage and how far that stage is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from html import escape
from typing import Any, Self

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


def unwatched(text: str) -> None:
    """Progress that no caller watches: nothing, but in JupyterLab a line below the cell that follows the work.

    A run by papermill (`COSTLIB_PROGRESS=off`, see `reporting.notebook`) shows nothing: a report is of results.
    """
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel") or os.environ.get("COSTLIB_PROGRESS") == "off":
        return
    from IPython.display import display

    done = f'<progress value="{text.done}" max="{text.total}"></progress> ' if isinstance(text, Step) else ""
    shown = {"text/html": f"<small>{done}{escape(text)}</small>", "text/plain": str(text)}
    handle = _lines.get(shell.execution_count)
    if handle is None:
        _lines.clear()
        _lines[shell.execution_count] = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    else:
        handle.update(shown, raw=True)


_lines: dict[int, Any] = {}
"""The line of the running cell, by the count of its run."""
