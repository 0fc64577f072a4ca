"""What prefix caching is worth: seconds of a paid device, or tokens of an API's cheaper kinds.

On a device of one's own, prefill seconds are charged to input tokens (the `phase_time` split), so the price of a prompt
falls with its time to first token. A paid hour costs the same busy or idle: the saving is money where the freed time is
sold or fewer devices are paid. An API charges a read less than input, and some charge a write more.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cost.sizing import hourly_rate
from costlib.cost.token import usd_per_mtok
from costlib.environment import default_device, device_name
from costlib.errors import unused
from costlib.models.texts import read_text
from costlib.prices.api import CacheBreakEven, cache_break_even, price_request
from costlib.prices.book import AsOf, PriceBook, load_book
from costlib.prices.rates import Rental, rental
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

_HOUR_S = 3600
PER = 1000
"""Requests that savings in $ are quoted for."""


def priced(rows: pd.DataFrame, rate: Rental | float) -> pd.DataFrame:
    """Rows of table `prefixes` with $ at an hourly rate, kind derived, the device busy all hour.

    Adds usd_per_hour, input_usd_per_mtok (prompts read whole), input_usd_per_mtok_reused (prompts that find the prefix)
    and usd_saved_per_1k_requests of the latter, whose interval is that of the saving.
    """
    found = rental(rate)
    value = found.usd_per_hour
    extra: list[dict[str, Any]] = []
    for row in rows.to_dict("records"):
        out: dict[str, Any] = {"usd_per_hour": value, "price_kind": "derived", **found.columns()}
        for name, seconds in (("", row["ttft_s"]), ("_reused", row["ttft_reused_s"])):
            known = seconds is not None and seconds == seconds
            speed = row["prompt_tokens"] / seconds if known else None
            out[f"input_usd_per_mtok{name}"] = None if speed is None else usd_per_mtok(value, speed)
        saved = [row[f"ttft_saved_s{end}"] for end in ("", "_low", "_high")]
        names = [f"usd_saved_per_1k_requests{end}" for end in ("", "_low", "_high")]
        out |= dict.fromkeys(names)
        if saved[0] == saved[0] and saved[0] is not None:
            out[names[0]] = _usd(value, saved[0])
        if saved[1] == saved[1] and saved[1] is not None:
            out |= {name: _usd(value, seconds) for name, seconds in zip(names[1:], saved[1:], strict=True)}
        extra.append(out)
    return rows.assign(**{name: [row[name] for row in extra] for name in (extra[0] if extra else ())})


def _usd(usd_per_hour: float | Decimal, seconds: float) -> Decimal:
    return Decimal(str(usd_per_hour)) * Decimal(str(seconds)) * PER / _HOUR_S


@brief
@dataclass(frozen=True)
class ApiStream:
    """A stream of requests at an API in US dollars, with and without its prompt cache; derived from quoted prices.

    `break_even` is what a written token must return; `source` names the prices.
    """

    provider: str
    model: str
    plain_usd: Decimal
    cached_usd: Decimal
    saving: Decimal
    break_even: CacheBreakEven
    source: str
    kind: str = "derived"


def api_stream(
    book: PriceBook,
    model: str,
    provider: str | None = None,
    *,
    reused_tokens: int,
    prompt_tokens: int,
    output_tokens: int,
    requests: int,
    as_of: AsOf = None,
) -> ApiStream:
    """Price `requests` prompts that share `reused_tokens`: the first writes them to the cache, the others read them.

    Where no price of a write is published, written tokens are billed as input. An API's smallest cacheable prompt and
    the lifetime of its cache are not checked. Raises the errors of `price_request`, also for a model without a price of
    cached reads.
    """
    sheet = book.sheet(model, provider, as_of=as_of)
    bands = {kind: sheet.band(kind, prompt_tokens).usd_per_mtok for kind in ("input", "cache_read")}
    charged = "cache_write_5m" in sheet.bands
    bands["write"] = sheet.band("cache_write_5m", prompt_tokens).usd_per_mtok if charged else bands["input"]

    def price(written: int, read: int) -> Any:
        return price_request(
            book,
            model,
            sheet.provider,
            input_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cached_tokens=read,
            cache_write_tokens=written if charged else 0,
            as_of=as_of,
        )

    plain, first, later = price(0, 0), price(reused_tokens, 0), price(0, reused_tokens)
    without, cached = plain.total * requests, first.total + later.total * (requests - 1)
    return ApiStream(
        provider=sheet.provider,
        model=sheet.model,
        plain_usd=without,
        cached_usd=cached,
        saving=1 - cached / without,
        break_even=cache_break_even(bands["input"], bands["write"], bands["cache_read"]),
        source=later.source,
    )


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
    from costlib.measure.prefix import prefix as measure_prefix

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
