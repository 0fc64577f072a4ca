"""One number shown to a reader: value, interval, unit, kind and source.

Every number in a report is a `Figure`, so that none can appear without its unit, its interval (or the reason why it
has none) and its kind. Unknown is `value=None` with a reason, never 0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from costlib.value import brief

Kind = Literal["measured", "quoted", "assumed", "derived"]
KINDS: tuple[str, ...] = get_args(Kind)

Number = float | int | Decimal
_WRITTEN = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


@brief
@dataclass(frozen=True)
class Figure:
    """A number with everything a reader needs to trust it.

    `metric` is the id of definitions (`tables.METRICS`) or a plain name; `reason` says why the value or the interval
    is missing; `source` is a run id, a price id, a file or a publication.
    """

    value: Number | None
    unit: str
    kind: Kind
    source: str
    low: Number | None = None
    high: Number | None = None
    reason: str | None = None
    metric: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; allowed: one of {', '.join(KINDS)}")
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number!r}; allowed: a finite number, or None with a reason")
        if self.value is None and not self.reason:
            raise ValueError(f"{self.metric or 'figure'} has neither a value nor a reason")

    def text(self) -> str:
        """The number as a person reads it: `14.2 tokens/s [13.9, 14.6]`, or the reason it is unknown."""
        if self.value is None:
            return f"unknown: {self.reason}"
        unit = f" {self.unit}" if self.unit else ""
        if self.low is None or self.high is None:
            return f"{plain(self.value)}{unit}"
        return f"{plain(self.value)}{unit} [{plain(self.low)}, {plain(self.high)}]"


def plain(number: Number) -> str:
    """Three significant digits without an exponent, thousands separated: 0.0000015, 14.2, 1,280, 35,300,000,000."""
    value = float(number)
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    if abs(value) >= 100:
        return f"{value:,.0f}"
    shown = f"{value:,.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown and digits > 2 else shown


def spreadsheet_cell(value: object) -> object:
    """A value a spreadsheet cannot take for a formula: text that starts like one gets a leading apostrophe."""
    if not isinstance(value, str) or _WRITTEN.fullmatch(value):
        return value
    risky = value[:1] in ("\t", "\r") or value.lstrip()[:1] in ("=", "+", "-", "@")
    return "'" + value if risky else value
