"""Who served a call of a log, in the price list's own words: the provider it names, a prefix of the model, an address.

What the log says is never overruled: a call to an own server, a gateway or a provider that the list does not know has
no list price, however well its model is known elsewhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd

from costlib.errors import InputError
from costlib.prices.book import PriceBook
from costlib.prices.names import find


def served_by(book: PriceBook, calls: pd.DataFrame) -> pd.DataFrame:
    """`calls` with model and provider in the book's words where it knows them; an unknown address is the provider.

    Columns model, and provider, host where there are any: the address, or just its host, that was called.
    """
    named = [calls[name] if name in calls else pd.Series(None, calls.index, dtype=object)
             for name in ("model", "provider", "host")]  # fmt: skip
    codes, unique = pd.factorize(pd.MultiIndex.from_arrays(named))
    found = [
        _served(book, *(None if part != part or part in (None, "") else str(part) for part in of)) for of in unique
    ]
    chosen = np.array([*found, (None, None)], dtype=object)[codes]
    return calls.assign(model=chosen[:, 0], provider=chosen[:, 1])


def _served(
    book: PriceBook, model: str | None, provider: str | None, host: str | None
) -> tuple[str | None, str | None]:
    if host is not None:
        there = _providers_at(host)
        if provider is None or not there:
            provider = there[0] if there else host
        elif provider.lower() in {name.provider for of in book.names.values() for name in of} - set(there):
            provider = f"{provider} at {host}"
    tries = [(model, provider)]
    prefix, slash, rest = (model or "").partition("/")
    if slash and (provider is None or prefix.lower() == provider.lower()):
        tries.append((rest, prefix))
    for name, by in tries:
        try:
            find(book.names, name or "", by)
        except InputError:
            continue
        return name, by
    return model, provider  # pricing it says what is wrong


@lru_cache(maxsize=4096)
def _providers_at(host: str) -> tuple[str, ...]:
    """The providers whose addresses, as the list has them, a URL or a host can be."""
    from genai_prices.data import providers

    address = host if "://" in host else f"https://{host}"
    return tuple(of.id for of in providers if of.api_pattern and re.match(of.api_pattern, f"{address.rstrip('/')}/"))
