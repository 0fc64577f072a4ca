"""Costs and a judge as a person writes them on a command line or in a notebook: `NAME=NUMBER`."""

from __future__ import annotations

from collections.abc import Iterable

from costlib.errors import bad
from costlib.portfolio.routing.cascades import Judge


def costs_of(texts: Iterable[str]) -> dict[str, float]:
    """$ per request by model, from `NAME=USD` each; a model's name may hold `=`."""
    found: dict[str, float] = {}
    for name, usd in (_pair("cost", text) for text in texts):
        if name in found:
            raise bad(f"cost of {name}", usd, "given once")
        found[name] = usd
    return found


def judge_of(text: str) -> Judge:
    """A judge from `false_accept=SHARE,false_reject=SHARE` and optionally `usd=NUMBER`."""
    found = dict(_pair("judge", part) for part in text.split(","))
    known = ("false_accept", "false_reject", "usd")
    for name in [*found, *known[:2]]:
        if name not in known or name not in found:
            raise bad("judge", text, "false_accept=SHARE,false_reject=SHARE and optionally usd=NUMBER")
    return Judge(**found)


def _pair(field: str, text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name.strip(), float(value.replace("_", "?"))  # Python reads 1_0 as ten
    except ValueError:
        raise bad(field, text, "NAME=NUMBER") from None
