"""Which model a name means: exactly one, or an error that suggests near names and takes none of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from costlib.errors import bad
from costlib.prices.entries import Price, PriceError, UnknownModel, UnknownProvider, price_error
from costlib.read import Row, iso_date

_DATE_SUFFIX = re.compile(r"(.+)-(\d{8}|\d{4}-\d{2}-\d{2}|latest)")


@dataclass(frozen=True)
class Name:
    """What a name stands for at one provider.

    `takes_date` says that the name may carry a date suffix and still mean this model, `at_home` that the provider is
    the model's own.
    """

    provider: str
    model: str
    takes_date: bool = False
    at_home: bool = False


def find(names: Mapping[str, tuple[Name, ...]], model: str, provider: str | None = None) -> tuple[str, str]:
    """The (provider, model) a name means: an id, an alias, or one of them with a date suffix where those exist.

    `names` maps lower-case names to what they stand for. Without a provider the model's own one is taken, or the only
    one that offers it. Raises `UnknownProvider` or `UnknownModel`.
    """
    if provider is not None:
        providers = sorted({name.provider for of in names.values() for name in of})
        if provider.lower() not in providers:
            near = get_close_matches(provider.lower(), providers, cutoff=0.5) or providers
            raise price_error(UnknownProvider, "provider", provider, near)
        provider = provider.lower()
    wanted = model.strip().lower()
    found = _named(names, wanted, provider)
    if not found:
        raise _unknown(names, model, wanted, provider)
    if len(found) > 1:
        at_home = [name for name in found if name.at_home]
        if len(at_home) != 1:
            raise price_error(UnknownProvider, f"provider of {model}", provider, [name.provider for name in found])
        found = at_home
    return found[0].provider, found[0].model


def _named(names: Mapping[str, tuple[Name, ...]], wanted: str, provider: str | None) -> list[Name]:
    dated = _DATE_SUFFIX.fullmatch(wanted)
    by_provider: dict[str, Name] = {}
    if dated and (dated[2] == "latest" or _is_date(dated[2])):
        by_provider = {name.provider: name for name in names.get(dated[1], ()) if name.takes_date}
    by_provider |= {name.provider: name for name in names.get(wanted, ())}
    return [name for name in by_provider.values() if provider in (None, name.provider)]


def check_names(entries: Sequence[tuple[Price, Row]], names: Mapping[str, tuple[Name, ...]]) -> None:
    """Refuse own entries under an alias or another spelling of a listed model: nobody would be priced by them."""
    providers = {name.provider for of in names.values() for name in of}
    for price, row in entries:
        provider = price.provider.lower()
        if provider in providers and provider != price.provider:
            raise bad("provider", price.provider, f"{provider}, its name in the price book", row.where)
        listed = {name.model for name in _named(names, price.model.lower(), provider)}
        if listed and price.model not in listed:
            raise bad("model", price.model, f"{', '.join(sorted(listed))}, its name in the price book", row.where)


def _is_date(text: str) -> bool:
    return iso_date(text if "-" in text else f"{text[:4]}-{text[4:6]}-{text[6:]}") is not None


def _unknown(names: Mapping[str, tuple[Name, ...]], model: str, wanted: str, provider: str | None) -> PriceError:
    known = [alias for alias, of in names.items() if any(provider in (None, name.provider) for name in of)]
    near = get_close_matches(wanted, known, n=4, cutoff=0.5)
    elsewhere = sorted({name.provider for name in _named(names, wanted, None)})
    allowed = f"a model of {provider}" if provider else "a model of the price book"
    allowed += f", such as {', '.join(near)}" if near else ""
    allowed += f"; offered by {', '.join(elsewhere)}" if elsewhere else ""
    return price_error(UnknownModel, "model", model, allowed)
