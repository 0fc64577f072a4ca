"""Speculative decoding and prefix caching: measured on a text, and priced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import unused

if TYPE_CHECKING:
    import pandas as pd

    from costlib.cost.prefix import ApiStream


def speculate(
    model: str,
    draft: str = "prompt-lookup",
    precision: str = "fp32",
    *,
    text: str | Path | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Measure a draft against plain greedy decoding of a model: rows of table `speculations`, one per draft length.

    Prompts are cut from `text`, a file or folder; None is the prose every Python ships. `settings` are those of
    `costlib.measure.speculative.speculate`.
    """
    from costlib.measure.speculative import speculate as measure_draft
    from costlib.quality.corpus import read_text

    read = read_text(text)
    return measure_draft(model, draft, precision, text=read.content, text_name=read.name, **settings)


def prefix(
    model: str,
    precision: str = "fp32",
    *,
    text: str | Path | None = None,
    usd_per_hour: float | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    api: str | None = None,
    provider: str | None = None,
    as_of: str | None = None,
    **settings: Any,
) -> tuple[pd.DataFrame, ApiStream | None]:
    """Measure what reusing a shared prefix saves and price it: one row of table `prefixes` with $, and an API's stream.

    The rate is `usd_per_hour`, or that of the measured device in data/rates.csv. `api` is a model of the price book,
    whose prompt cache is priced for the same stream. `settings` are those of `costlib.measure.prefix.prefix`. Raises
    `InputError` for bad input, also a rate or price nobody knows, before measuring.
    """
    asked = dict(locals())
    from costlib.cost.prefix import api_stream, priced
    from costlib.door.small_models import hourly_rate
    from costlib.environment import default_device, device_name
    from costlib.measure.prefix import prefix as measure_prefix
    from costlib.prices.book import load_book
    from costlib.quality.corpus import read_text

    if api is None:
        unused("without api", prefix, asked, ["provider"] if usd_per_hour is None else ["provider", "as_of"])
    name = device_name(settings.get("device") or default_device())
    rate = hourly_rate(name, usd_per_hour, rate_kind, rate_provider, as_of)
    read = read_text(text)
    book = load_book() if api is not None else None
    if book is not None and api is not None:
        book.sheet(api, provider, as_of=as_of)  # here, so that a price nobody knows ends it before hours of work
    rows = measure_prefix(model, precision, text=read.content, text_name=read.name, **settings)
    if book is None or api is None:
        return priced(rows, rate), None
    counts = {name: int(rows[name][0]) for name in ("prompt_tokens", "output_tokens", "requests")}
    reused = int(rows["usable_tokens"][0])
    return priced(rows, rate), api_stream(book, api, provider, reused_tokens=reused, **counts, as_of=as_of)
