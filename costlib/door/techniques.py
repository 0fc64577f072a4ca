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
    """Measure speculative decoding: acceptance, speed-up predicted and measured, and whether to use it.

    Rows of table `speculations`, one per draft length, against plain greedy decoding.

    Args:
        model: The target: demo:, hub:, path:, gguf: or random: model.
        draft: A model with the target's tokenizer, or prompt-lookup.
        precision: fp32, bf16, int8, ...; at 16 bit near ties change answers.
        text: File or folder of prose that prompts are cut from [default: pydoc_data.topics].
        **settings: Those of `costlib.measure.speculative.speculate`.
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
    """Measure prefix caching: time to first token and $ saved by reusing what prompts share, and an API's break-even.

    One row of table `prefixes` with $, and the stream at the API. Raises `InputError` for bad input, also a rate or
    price nobody knows, before measuring.

    Args:
        model: demo:, hub:, path:, gguf: or random: model.
        precision: fp32, bf16, int8, ...; at 16 bit near ties change answers.
        text: File or folder of prose that prompts are cut from [default: pydoc_data.topics].
        usd_per_hour: $ per hour of the device [default: the cheapest offer of data/rates.csv].
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        api: Model of the price book whose prompt cache is priced for the same stream, too.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        **settings: Those of `costlib.measure.prefix.prefix`.
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
