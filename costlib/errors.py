"""Errors a person can act on.

`InputError` is for anything the caller can mend: the command line prints its one sentence and exits with 2.
`RunError` is for work that started and failed: exit code 1. Everything else that escapes is a defect of costlib.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from costlib.redact import redact

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no name holds and no sentence shows as it is: control characters, line ends, halves of characters."""
_LONG = 12
"""From this many names on, an error shows the nearest ones instead of all."""


class CostlibError(Exception):
    """Base of every error costlib raises on purpose; its text is one sentence, and holds no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class InputError(CostlibError):
    """Bad input: names the field, the value and what is allowed; each sentence is one line."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(CONTROL.sub(lambda one: ascii(one[0])[1:-1], text) for text in sentences))


class RunError(CostlibError):
    """A run that started correctly and failed."""


def invalid_input(field: str, value: object, allowed: str | Iterable[str], where: str | None = None) -> InputError:
    """Build the one sentence every bad input gets.

    `field` is the name the user typed, `value` what was passed, `allowed` either a sentence fragment or the set of
    accepted names, `where` a file, or file and line.
    """
    if not isinstance(allowed, str):
        names = sorted(allowed)
        near = get_close_matches(_shown(value), names, n=5, cutoff=0.3) if len(names) > _LONG else names
        allowed = "one of " + ", ".join(near or names)
        if near and len(near) < len(names):
            allowed += f" and {len(names) - len(near)} more"
    prefix = f"{where}: " if where else ""
    return InputError(f"{prefix}{_cut(field)} is {_shown(value)}; allowed: {_cut(allowed, 1000)}")


def bounded(field: str, value: object, low: float, high: float, *, whole: bool = False, more: str = "") -> None:
    """Refuse anything but a number, a `whole` one perhaps, from `low` to `high`; `more` says what else is allowed."""
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise invalid_input(field, value, f"a {'whole ' * whole}number from {low:g} to {high:,.15g}{more}")


def unused(why: str, of: Callable[..., object], given: Mapping[str, object], names: Iterable[str]) -> None:
    """Refuse by its name an option of `of` that would say nothing as it was `given`; at its default it was not.

    A default is one as text, too: "128" is how a command line has 128.
    """
    known = inspect.signature(of).parameters
    for name in names:
        default, value = known[name].default, given[name]
        said = ",".join(map(str, value)) if isinstance(value, list) else value
        if value != default and said != str(default):
            raise invalid_input(name, given[name], f"left out: it has no meaning {why}")


def _shown(value: object) -> str:
    """A value as it is written, shortened where it would fill a screen; its type where it cannot be written."""
    try:
        return _cut(repr(value))
    except (ValueError, RecursionError):  # a number of 5,000 digits, lists 1,000 deep
        return f"an absurd {type(value).__name__}"


def _cut(text: str, end: int = 150) -> str:
    """A text without its middle where it would fill a screen; a secret goes first, as half of one is not known."""
    text = redact(text)
    return text if len(text) <= 2 * end else f"{text[:end]} ... {text[-end:]}"
