"""List prices of several models beside each other, as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from costlib.errors import invalid_input
from costlib.prices.book import AsOf, load_book
from costlib.prices.entries import DateOutsideCoverage, MissingPrice, TimeNeeded

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("input", "cache_read", "cache_write_5m", "output")
_NOT_TOKENS = ("request", "search", "storage_search")


def prices(
    models: Mapping[str, tuple[str, str] | tuple[str, str, str]], as_of: AsOf = None, input_tokens: int = 0
) -> pd.DataFrame:
    """$ per million tokens of API models, one row each, a column per kind of token (`input_usd_per_mtok`, ...).

    A price that is not published is null, with `reason` where a model has none at all on that day, `known_from` the
    first day that one is known. Raises `InputError` for a model, provider or tier that the price book does not know.

    Args:
        models: A name of your own by provider and model id, such as {"Haiku": ("anthropic", "claude-haiku-5-5")}; a
            third part is the tier, such as batch.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        input_tokens: Length of the request, where long ones have a price of their own.
    """
    import pandas as pd

    book, rows = load_book(), []
    day = book.moment(as_of)[0]
    for label, named in models.items():
        if not isinstance(named, (tuple, list)) or len(named) not in (2, 3):
            raise invalid_input(f"models[{label!r}]", named, "(provider, model id) or (provider, model id, tier)")
        provider, model_id, tier = (*named, "standard")[:3]
        row: dict[str, Any] = {"model": label, "provider": provider, "model_id": model_id, "tier": tier, "reason": None}
        of = book.by_model.get((book.name(model_id, provider).provider, book.name(model_id, provider).model), ())
        row["known_from"] = min((price.known_from for price in of if price.tier == tier), default=None)
        try:
            sheet = book.sheet(model_id, provider, tier, as_of)
        except (MissingPrice, DateOutsideCoverage, TimeNeeded) as error:
            row["reason"], bands = str(error), {}
        else:
            bands = {kind: sheet.band(kind, input_tokens) for kind in sheet.bands if kind not in _NOT_TOKENS}
        row |= {f"{kind}_usd_per_mtok": float(band.usd_per_mtok) for kind, band in bands.items()}
        used = [band.price for band in bands.values()]
        row["price_ids"] = " ".join(price.id for price in used)
        row |= {"as_of": day, "kind": "assumed" if any(price.kind == "assumed" for price in used) else "quoted"}
        rows.append(row | {"source": ", ".join(dict.fromkeys(price.source for price in used)) or book.source})
    kinds = dict.fromkeys([*(f"{kind}_usd_per_mtok" for kind in _FIRST),
                           *(name for row in rows for name in row if name.endswith("_usd_per_mtok"))])  # fmt: skip
    texts = ["model", "provider", "model_id", "tier"]
    columns = [*texts, *kinds, "price_ids", "known_from", "as_of", "reason", "kind", "source"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(kinds, float) | dict.fromkeys(texts, "str"))
