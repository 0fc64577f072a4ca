"""The rules by which a claim is judged from numbers.

A claim has parts; each part is a number with its interval and a bound. A part holds when the whole interval lies on
the claim's side of the bound, fails when the whole interval lies on the other side, and is undecided where the interval
reaches both sides or the number is unknown. A claim holds when all its parts hold, partly when some do, not here when
none does and one fails; where nothing decides it, it cannot be tested here, and the claim says what it would take. A
part that could not have spoken against the claim (a task the model fails anyway) is shown and does not count. Nothing
is judged by hand: without a number there is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costlib.figure import Figure

HOLDS, PARTLY, NOT, UNTESTED = "holds", "holds partly", "does not hold here", "cannot be tested here"
VERDICTS = (HOLDS, PARTLY, NOT, UNTESTED)
NOISE = 0.05
"""A loss within noise has an interval that holds no loss, and rules out one larger than this share."""


@dataclass(frozen=True)
class Part:
    """One number that speaks for or against a claim; `ok` is None where it decides nothing, `why` then says so.

    A part that does not count is shown and changes no verdict: it could not have spoken against the claim.
    """

    what: str
    figure: Figure
    bound: Figure
    ok: bool | None
    why: str = ""
    counts: bool = True


@dataclass(frozen=True)
class Claim:
    """What is claimed, the rule that judges it, its parts, and what would produce those that are missing.

    `takes` is a command, `needs` says in words what it needs; `note` is what a reader must know about the numbers.
    """

    key: str
    short: str
    said: str
    rule: str
    parts: Sequence[Part]
    takes: str
    note: str = ""
    needs: str = ""

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, from the parts alone."""
        known = [part.ok for part in self.parts if part.counts]
        if known and all(known):
            return HOLDS
        if any(known):
            return PARTLY
        return NOT if False in known else UNTESTED


def bound(value: float, unit: str, source: str = "the claim, read by us as said in its rule") -> Figure:
    """The line a number is held against."""
    return Figure(value, unit, "assumed", source, reason="a line drawn beforehand")


def ends(figure: Figure) -> tuple[float, float] | None:
    """The interval, or the value twice where it has none; None where it is unknown."""
    if figure.value is None:
        return None
    if figure.low is None or figure.high is None:
        return float(figure.value), float(figure.value)
    return float(figure.low), float(figure.high)


def compared(what: str, figure: Figure, line: Figure, *, least: bool) -> Part:
    """A part that holds where the whole interval is at least (or at most) the bound."""
    found, at = ends(figure), float(line.value or 0)
    if found is None:
        return Part(what, figure, line, None, figure.reason or "unknown")
    low, high = found if least else (-found[1], -found[0])
    at = at if least else -at
    ok = True if low >= at else False if high < at else None
    return Part(what, figure, line, ok, "" if ok is not None else "the interval reaches both sides")


def above(what: str, figure: Figure, line: Figure) -> Part:
    """A part that holds where the whole interval is above the bound and fails where it is all below; not at it."""
    found, at = ends(figure), float(line.value or 0)
    if found is None:
        return Part(what, figure, line, None, figure.reason or "unknown")
    ok = True if found[0] > at else False if found[1] < at else None
    return Part(what, figure, line, ok, "" if ok is not None else "the interval holds no difference, too")


def within_noise(what: str, loss: Figure, none: float, unit: str) -> Part:
    """A part about a loss whose value is `none` where nothing is lost, and larger the more is lost.

    It holds where the interval reaches down to `none` and no higher than `NOISE` above it, and fails where the whole
    interval is above `none`; an interval that also allows a larger loss decides nothing.
    """
    line, found = bound(none + NOISE, unit), ends(loss)
    if found is None or loss.low is None:
        return Part(what, loss, line, None, loss.reason or "no interval")
    if found[0] > none:
        return Part(what, loss, line, False)
    ok = True if found[1] <= none + NOISE else None
    return Part(what, loss, line, ok, "" if ok else "too few tokens or items: a larger loss is not ruled out")
