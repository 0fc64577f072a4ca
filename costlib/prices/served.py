"""Who served a call of a log, in the price list's own words: the provider it names, a prefix of the model, an address.

What the log says is never overruled: a call to an own server, a gateway or a provider that the list does not know has
no list price, however well its model is known elsewhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pandas as pd

from costlib.errors import InputError
from costlib.prices.book import PriceBook
from costlib.prices.names import find


def served_by(book: PriceBook, calls: pd.DataFrame) -> pd.DataFrame:
    """`calls` with the book's names in `asked_model` and `asked_provider`, and in `not_served` why there are none.

    Columns model, and provider, host where there are any: the address, or just its host, that was called.
    """
    named = [calls[name] if name in calls else pd.Series(None, calls.index, dtype=object)
             for name in ("model", "provider", "host")]  # fmt: skip
    key = pd.MultiIndex.from_arrays(named)
    codes, unique = pd.factorize(key)
    found = [_served(book, *(None if part != part or part in (None, "") else str(part) for part in of)) for of in unique]
    columns = ("asked_model", "asked_provider", "not_served")
    chosen = pd.DataFrame(found, columns=list(columns), dtype=object).iloc[codes].set_index(calls.index)
    return calls.assign(**{name: chosen[name] for name in columns})


def _served(
    book: PriceBook, model: str | None, provider: str | None, host: str | None
) -> tuple[str | None, str | None, str | None]:
    model = model or ""
    if host is not None:
        at = _providers_at(host)
        if not at:
            return model, provider, f"called at {host}, which is no provider of the price list"
        if provider is None:
            provider = at[0]
        elif (known := _known(book, provider)) is not None and known not in at:
            return model, provider, f"called at {host}, which is {at[0]}, not {provider}"
    tries = [(model, provider)]
    prefix, slash, rest = model.partition("/")
    if slash and (provider is None or prefix.lower() == provider.lower()):
        tries.append((rest, prefix))
    for name, by in tries:
        try:
            find(book.names, name, by)
        except InputError:
            continue
        return name, by, None
    return model, provider, None  # pricing it says what is wrong


def _known(book: PriceBook, provider: str) -> str | None:
    """The list's name of a provider as the log spells it, where the list has one."""
    names = {name.provider for of in book.names.values() for name in of}
    return provider.lower() if provider.lower() in names else None


@lru_cache(maxsize=4096)
def _providers_at(host: str) -> tuple[str, ...]:
    """The providers whose addresses, as the list has them, a URL or a host can be."""
    from genai_prices.data import providers

    address = host if "://" in host else f"https://{host}"
    return tuple(of.id for of in providers if of.api_pattern and re.match(of.api_pattern, f"{address.rstrip('/')}/"))
