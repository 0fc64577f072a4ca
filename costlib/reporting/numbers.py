"""How a number is written for a person: `$24,545`, `15.6 %`, `1.2 million`, `4.29`, with what follows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from costlib.figure import Number, plain

NARROW = "\u202f"
_LARGE = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_MINUS = "\u2212"
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
"""How a sentence writes small numbers."""


def number(value: Number, unit: str, places: int | None = None) -> str:
    """A number in its unit as a person writes it: `$1,240`, `12.3 %`, `536 MB`, `1.29`.

    Money below $100 keeps its cents, and $0.0000015 its digits. Shares become percentages, bytes GB or MB (decimal),
    counts of a million or more words. With `places`, those of a column, every number has as many decimals.
    """
    size = abs(float(value))
    sign = _MINUS if value < 0 else ""
    if places is not None and unit != "bytes":
        share = is_share(unit)
        text = f"{100 * size if share or unit == 'points' else size:,.{places}f}"
        sign = sign if float(text.replace(",", "")) else ""
        return f"{sign}{'$' if unit.startswith('USD') else ''}{text}{NARROW + '%' if share else ''}"
    if unit.startswith("USD"):
        return f"{sign}${_money(size)}"
    if is_share(unit):
        return f"{sign}{plain(100 * size)}{NARROW}%"
    if unit == "points":  # a difference of two shares, never to be read as relative
        return f"{sign}{plain(100 * size)}"
    if unit == "p-value" and size < 1e-4:
        return "< 0.0001"
    if unit == "bytes":
        scale, name = next((s for s in _BYTES if size >= s[0]), (1.0, "bytes"))
        return f"{sign}{_whole(size / scale)}{NARROW}{name}"
    if unit.endswith("/month") and size >= 1000:  # a volume: its interval is wider than a fourth digit
        size = round(size, 2 - math.floor(math.log10(size)))
    return sign + _worded(size, _whole(size))


def _whole(size: float) -> str:
    """Whole numbers without decimals, others with three significant digits."""
    return f"{size:,.0f}" if math.isclose(size, round(size), rel_tol=1e-9, abs_tol=1e-12) else plain(size)


def _money(size: float) -> str:
    if size >= 1e6:
        return _worded(size, "")
    if size >= 100 or size == 0:
        return f"{size:,.0f}"
    cents = f"{size:.2f}"
    return cents if size >= 1 or math.isclose(float(cents), size, rel_tol=1e-9) else plain(size)


def _worded(size: float, otherwise: str) -> str:
    scale, word = next((s for s in _LARGE if size >= s[0]), (1.0, ""))
    return f"{size / scale:.3g}{NARROW}{word}" if word else otherwise


def unit_text(unit: str, value: Number | None = None) -> str:
    """What follows the number: ` per month` of USD/month, ` request` after a single one, nothing where it is said."""
    unit = {"h": "hours", "USD/h": "USD/hour"}.get(unit, unit)
    if unit.startswith("USD"):
        per = unit.partition("/")[2].replace("Mtok", "million tokens")
        return f" per {per}" if per else ""
    named = {"share": "", "probability": "", "bytes": "", "ratio": "\u202f\u00d7", "": "", "tokens/s": " tokens/s"}
    if unit in named:
        return named[unit]
    what, per, each = unit.removeprefix("share ").partition("/")
    if value == 1 and what not in ("s", "times"):
        what = what.removesuffix("es" if what.endswith("sses") else "s")
    return f" {what} per {each}" if per else f" {what}"


def header_unit(unit: str) -> str:
    """The unit as a column header or an axis names it."""
    names = {
        "share": "%",
        "probability": "%",
        "ratio": "\u00d7",
        "bytes": "MB or GB",
        "USD/Mtok": "USD per million tokens",
    }
    return names.get(unit, unit if unit == "tokens/s" else unit.replace("/", " per "))


def between(low: Number, high: Number, unit: str, value: Number | None = None, places: int | None = None) -> str:
    """An interval in words, `41 to 52 %`; nothing where both ends read as the value does."""
    ends = [number(end, unit, places) for end in (low, high)]
    if value is not None and ends[0] == ends[1] == number(value, unit, places):
        return ""
    for word in ("%", "MB", "GB", "million", "billion"):
        if all(end.endswith(NARROW + word) for end in ends):
            ends[0] = ends[0].removesuffix(NARROW + word)
    return " to ".join(ends)


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def is_share(unit: str) -> bool:
    """Whether a number of the unit is written as a percentage."""
    return unit in ("share", "probability") or unit.startswith("share of ")


def places_of(values: Sequence[float], unit: str) -> int | None:
    """Decimals that let a column be read downwards; None where each number keeps its own."""
    sizes = [abs(value) for value in values if value]
    if not sizes or unit in ("bytes", "by row", "p-value") or max(sizes) >= 1e6 * max(min(sizes), 1e-300):
        return None
    if is_share(unit) or unit == "points":
        sizes = [100 * size for size in sizes]
        return 0 if all(math.isclose(size, round(size), abs_tol=1e-9) for size in sizes) else 1
    if max(sizes) >= 1000 or all(size == round(size) for size in sizes):
        return None if max(sizes) >= 1e6 and not unit.startswith("USD") else 0
    least = max(2 if unit.startswith("USD") or max(sizes) < 100 else 1, 1 - math.floor(math.log10(min(sizes))))
    mixed = unit.startswith("USD") and least > 2 and max(sizes) >= 10  # $900 beside half a cent
    return None if least > 4 or mixed else least
