"""Which model a name means: exactly one, or an error that suggests near names and takes none of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from costlib.errors import invalid_input
from costlib.prices.entries import Price, PriceError, UnknownModel, UnknownProvider, price_error
from costlib.read import Row, iso_date

_DATES = re.compile(r"(?<!\d)20\d{6}(?!\d)")
_FILLERS = frozenset(("ai", "api", "beta", "chat", "cloud", "completion", "converse", "gcp", "genai", "text"))
"""What a log writes beside a provider's name: `vertex_ai`, `aws.bedrock`, `gcp.gemini`."""


@dataclass(frozen=True)
class Name:
    """What a name stands for at one provider.

    `pattern` are the list's further names of the model as a regular expression, `at_home` says that the provider is the
    model's own, `deprecated` that it still answers, and that the provider advises against it. `also` are other names of
    the provider, `sold_by` what else the model is sold by, such as an hour of audio: the book has no price for that.
    """

    provider: str
    model: str
    at_home: bool = False
    pattern: str = ""
    deprecated: bool = False
    also: tuple[str, ...] = ()
    sold_by: tuple[str, ...] = ()


def find(names: Mapping[str, tuple[Name, ...]], model: str, provider: str | None = None) -> Name:
    """The model a name means: an id, or another name that the list says is the same model's.

    `names` maps lower-case ids to what they stand for. Without a provider the model's own one is taken, or the only one
    that offers it, or the one whose name for it says most. Raises `UnknownProvider` or `UnknownModel`.
    """
    if provider is not None:
        provider = _provider(names, provider)
    wanted = model.strip().lower()
    found = _named(names, wanted, provider)
    if not found:
        raise _unknown(names, model, wanted, provider)
    at_home = [name for name in found if name.at_home]
    most = [name for name, length in found.items() if length == max(found.values())]
    best = at_home if len(at_home) == 1 else most
    if len(best) > 1:
        raise price_error(UnknownProvider, f"provider of {model}", provider, [name.provider for name in best])
    return best[0]


def _provider(names: Mapping[str, tuple[Name, ...]], given: str) -> str:
    """The provider of that name, or of one the list knows for it; every word of the name must mean that provider."""
    also = {name.provider: name.also for of in names.values() for name in of}
    wanted = given.strip().lower()
    if wanted in also:
        return wanted
    by_word = {word: provider for provider, words in also.items() for word in words} | {name: name for name in also}
    words = [word for word in re.split(r"[^a-z0-9]+", wanted) if word]
    meant = {by_word.get(word, by_word.get(word.removesuffix("ai"), word)) for word in words}
    meant = {word for word in meant if word in also} if meant <= {*also, *_FILLERS} else set()
    whole = by_word.get("-".join(words)) or by_word.get("_".join(words))
    if whole or len(meant) == 1:
        return whole or meant.pop()
    near = get_close_matches(wanted, sorted(also), cutoff=0.5) or sorted(also)
    raise price_error(UnknownProvider, "provider", given, near)


def _named(names: Mapping[str, tuple[Name, ...]], wanted: str, provider: str | None) -> dict[Name, int]:
    """What a name stands for at each provider, and how much of it is the list's own wording."""
    found: dict[str, tuple[int, Name]] = {}
    if all(iso_date(f"{day[:4]}-{day[4:6]}-{day[6:]}") for day in _DATES.findall(wanted)):
        for name in dict.fromkeys(name for of in names.values() for name in of if name.pattern):
            if provider in (None, name.provider) and (match := _compiled(name.pattern).fullmatch(wanted)):
                length = max(len(part) for part in match.groups(""))
                if length > found.get(name.provider, (0, name))[0]:
                    found[name.provider] = length, name
    exact = {name.provider: (len(wanted) + 1, name) for name in names.get(wanted, ())}
    return {name: length for by, (length, name) in (found | exact).items() if provider in (None, by)}


_compiled = lru_cache(maxsize=None)(re.compile)


def check_names(entries: Sequence[tuple[Price, Row]], names: Mapping[str, tuple[Name, ...]]) -> None:
    """Refuse own entries under another spelling of a listed model: nobody would be priced by them.

    With `missing` prices an alias of the list becomes a model of its own: it means another one by now.
    """
    providers = {name.provider for of in names.values() for name in of}
    for price, row in entries:
        provider = price.provider.lower()
        if provider in providers and provider != price.provider:
            raise invalid_input("provider", price.provider, f"{provider}, its name in the price book", row.where)
        listed = {name.model for name in _named(names, price.model.lower(), provider)}
        if listed and price.model not in listed and price.purpose != "missing":
            raise invalid_input(
                "model", price.model, f"{', '.join(sorted(listed))}, its name in the price book", row.where
            )


def _unknown(names: Mapping[str, tuple[Name, ...]], model: str, wanted: str, provider: str | None) -> PriceError:
    known = [alias for alias, of in names.items() if any(provider in (None, name.provider) for name in of)]
    tuned = wanted.startswith("ft:")
    near = get_close_matches(wanted, known, n=4, cutoff=0.5) if not tuned else [n for n in known if n.startswith("ft:")]
    near = [name for name in near if not name.endswith(("-", "@", ":"))]
    elsewhere = sorted({name.provider for name in _named(names, wanted, None)})
    allowed = f"a model of {provider}" if provider else "a model of the price book"
    allowed += f", such as {', '.join(near)}" if near else ""
    allowed += f"; offered by {', '.join(elsewhere)}" if elsewhere else ""
    allowed += "; a fine-tuned model is never priced as its base" if tuned else ""
    return price_error(UnknownModel, "model", model, allowed)
