"""What a model needs and costs: memory, prices, rates, $ per token, break-even."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError, bad

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from costlib.cost.breakeven import BreakEven
    from costlib.prices.api import PricedRequest
    from costlib.prices.usage import PricedUsage
    from costlib.store import Store


_PREDICTED = (
    "parameters", "linear_bytes", "quantization_state_bytes", "expert_bytes", "embedding_bytes", "other_bytes",
    "weight_bytes", "kv_cache_bytes", "total_bytes", "activation_bytes", "uniform_bytes", "uniform_with_state_bytes",
)  # fmt: skip


def memory(
    model: str, precision: str | Iterable[str] = ("bf16", "int8", "nf4"), *, batch: int = 1, context: int = 4096
) -> pd.DataFrame:
    """Predict bytes of weights and key-value cache, part by part, one row per precision; needs no weights.

    `model` is a reference (`random:llama-3.1-70b`, `path:DIR`, ...) or the name of a shape. `fits_on` lists devices of
    data/rates.csv that hold weights, key-value cache and the activations of one prompt of `context` tokens, with 10 %
    of their memory to spare for the CUDA context and workspace. `uniform_bytes` is what headlines count, every
    parameter at the bits of the precision; it is no part of the total, nor are the activations. Kind: derived.

    Args:
        model: A shape (llama-3.1-70b), or a random:SHAPE, demo:, path: or hub: model.
        precision: Comma-separated: bf16, int8, nf4, 16-bit, ... [default: bf16,int8,nf4].
        batch: Sequences held at once.
        context: Tokens of each sequence, all of them in the key-value cache.
    """
    import pandas as pd

    return pd.DataFrame(memory_rows(model, precision, batch=batch, context=context))


def memory_rows(
    model: str, precision: str | Iterable[str] = ("bf16", "int8", "nf4"), *, batch: int = 1, context: int = 4096
) -> list[dict[str, Any]]:
    """Predict bytes of weights and key-value cache, part by part; needs no weights.

    The rows of `memory`, without loading pandas.

    Args:
        model: A shape (llama-3.1-70b), or a random:SHAPE, demo:, path: or hub: model.
        precision: Comma-separated: bf16, int8, nf4, 16-bit, ... [default: bf16,int8,nf4].
        batch: Sequences held at once.
        context: Tokens of each sequence, all of them in the key-value cache.
    """
    from costlib.devices import resolve
    from costlib.environment import default_device
    from costlib.models.memory import predict
    from costlib.models.reference import parse, shape
    from costlib.prices.hardware import device_memory

    found = shape(parse(model if ":" in str(model) else f"random:{model}"))
    devices = device_memory()
    names = [precision] if isinstance(precision, str) else list(precision or ())
    names = [resolve(name, str(model), default_device()).name for name in names]
    if not names:
        raise bad("precision", names, "at least one precision")
    rows = []
    for name in names:
        predicted = predict(found, name, batch, context)
        row: dict[str, Any] = {"model": model, "precision": predicted.precision, "batch": batch, "context": context}
        row |= {column: getattr(predicted, column) for column in _PREDICTED}
        rows.append(row | {"fits_on": predicted.fits_on(devices), "kind": "derived", "source": found.source})
    return rows


def price(
    model: str,
    provider: str | None = None,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    input_audio_tokens: int = 0,
    input_image_tokens: int = 0,
    input_video_tokens: int = 0,
    cached_audio_tokens: int = 0,
    cached_image_tokens: int = 0,
    reasoning_tokens: int = 0,
    citation_tokens: int = 0,
    output_audio_tokens: int = 0,
    output_image_tokens: int = 0,
    output_video_tokens: int = 0,
    searches: int = 0,
    storage_searches: int = 0,
    requests: int = 1,
    tier: str = "standard",
    as_of: str | None = None,
) -> PricedRequest:
    """Price of one API request in US dollars, line by line, or of the sums of `requests`.

    `input_tokens` and `output_tokens` include all of their parts, cached tokens the cached audio and images. `as_of` is
    a day, or a moment where the price depends on the hour (UTC); None is the day of the price snapshot.

    Args:
        model: API model, e.g. gpt-4o.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        input_tokens: Input tokens, cached and cache-write ones included.
        output_tokens: Output tokens, reasoning included.
        cached_tokens: Input tokens read from a prompt cache.
        cache_write_tokens: Input tokens written to a cache.
        cache_write_1h_tokens: Those of them written for one hour.
        input_audio_tokens: Input tokens that are audio.
        input_image_tokens: Input tokens that are images.
        input_video_tokens: Input tokens that are video.
        cached_audio_tokens: Cached tokens that are audio.
        cached_image_tokens: Cached tokens that are images.
        reasoning_tokens: Output tokens that are reasoning.
        citation_tokens: Output tokens that are citations.
        output_audio_tokens: Output tokens that are audio.
        output_image_tokens: Output tokens that are images.
        output_video_tokens: Output tokens that are video.
        searches: Web searches.
        storage_searches: Searches of stored files.
        requests: Requests that all these counts add up; their mean sets a tier.
        tier: standard, batch, flex or priority.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    request = locals().copy()
    from costlib.prices.api import price_request
    from costlib.prices.book import load_book

    return price_request(load_book(), **request)


def price_usage(
    usage: pd.DataFrame | Path | str,
    *,
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> PricedUsage:
    """What a table of requests costs: a frame with the counts of `price` as columns, or a log as `costlib usage` reads.

    Columns `model`, `input_tokens` and `output_tokens`; optional `provider`, `tier`, `timestamp` or `date` and the
    other counts, `requests` among them for rows that add up many. A row without a price is in `unpriced`.

    Args:
        usage: A frame, or a file.
        provider: Provider of rows that name none.
        tier: Tier of rows that name none.
        as_of: Date of the prices [default: the day of each row, else the snapshot].
        columns: Column of the file for each field it does not name so.
    """
    from costlib.prices.book import load_book
    from costlib.prices.usage import price_usage as priced

    return priced(load_book(), usage, provider=provider, tier=tier, as_of=as_of, columns=columns)


def rates(
    device: str | None = None,
    rate_kind: str = "on_demand",
    *,
    devices: int | None = None,
    as_of: str | None = None,
) -> pd.DataFrame:
    """$ per hour of one device: every provider of `device`, cheapest first, or one row per device without it.

    `devices` keeps offers of that many sold together, for comparing like with like. Without a device `usd_per_hour` is
    the cheapest whole offer for one, which is all `devices` sold together; `low` and `high` are what one device costs
    at the cheapest and at the dearest provider, for reading. Devices without that kind of rate on that day are left
    out. Raises `InputError` for an unknown device, rate kind or date.

    Args:
        device: Device of data/rates.csv; leave out to list them all.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        devices: Only offers of that many sold together, e.g. 8.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    import pandas as pd

    from costlib.devices import data_sheets
    from costlib.prices.entries import DateOutsideCoverage
    from costlib.prices.rates import cheapest, load_rates, offers, spread

    if device is not None:
        return spread(device, rate_kind, devices=devices, as_of=as_of)
    if devices is not None:
        raise bad("devices", devices, "nothing without the device they are of")
    every = load_rates()
    names = list(dict.fromkeys(row.device for row in every if row.rate_kind == rate_kind)) or [every[0].device]
    rows: list[dict[str, Any]] = []
    for name in names:
        try:
            rent = cheapest(offers(name, rate_kind, as_of=as_of))
        except DateOutsideCoverage:
            if name == names[-1] and not rows:
                raise
            continue
        ends, sheet = spread(name, rate_kind, as_of=as_of)["usd_per_hour"], data_sheets().get(name)
        known = {name: getattr(sheet, name, None) for name in ("memory_bytes", "bandwidth_bytes_per_s", "watts")}
        row = {"device": name, "rate_kind": rate_kind, "usd_per_hour": rent.usd_per_hour, "devices": rent.devices}
        row |= {"low": ends.min(), "high": ends.max(), **known, "provider": rent.offer.provider}
        region = {"region": rent.offer.region or None}
        rows.append(row | region | {"kind": rent.kind, "observed_on": rent.observed_on, "source": rent.source})
    return pd.DataFrame(rows)


def cost(
    model: str | None = None,
    *,
    prefill_tokens_per_s: float | None = None,
    decode_tokens_per_s: float | None = None,
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
    usd_per_hour: float | None = None,
    device: str | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: str | None = None,
    devices: int = 1,
    output_to_input_price_ratio: float | None = None,
    utilization: float = 1.0,
    success_rate: float | None = None,
    store: Store | str | None = None,
) -> pd.DataFrame:
    """$ per million tokens under each split convention, one row per configuration and convention.

    Either of a measured `model` (every ok measurement of it in the store) or of given speeds in tokens/s, of `devices`
    together. The rate is `usd_per_hour` of one, or the cheapest whole offer of a `device` of data/rates.csv as of a
    day, or, for measurements, of the device they ran on: one of eight sold together costs all eight. With a
    `success_rate` also $ per good answer; without output tokens, $ per million embedded documents. Kind: derived.
    Raises `InputError` where neither a measurement nor a speed is given or no rate is known.

    Args:
        model: A measured model; leave out to give speeds.
        prefill_tokens_per_s: Prompt tokens/s of the whole batch.
        decode_tokens_per_s: New tokens/s of the whole batch.
        prompt_tokens: Prompt tokens of a request.
        output_tokens: New tokens of a request; 0 for an embedding.
        usd_per_hour: $ per hour of one device, instead of device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        devices: Devices that give the speeds together.
        output_to_input_price_ratio: Output over input price: adds that split.
        utilization: Share of paid time that serves tokens (assumed).
        success_rate: Share of answers that are good.
        store: Folder of measurements [default: data/store].
    """
    import pandas as pd

    from costlib.cost.inputs import number, whole
    from costlib.cost.sizing import NO_RATE, for_sale
    from costlib.cost.token import CONVENTIONS
    from costlib.cost.token_table import cost_per_token
    from costlib.measure.run import measurements
    from costlib.prices.hardware import measured_offers

    for field, speed in (("prefill_tokens_per_s", prefill_tokens_per_s), ("decode_tokens_per_s", decode_tokens_per_s)):
        if speed is not None:  # in a table NaN means unknown; typed, it is a mistake
            number(field, speed)
    price: Any = None
    if usd_per_hour is not None or device is not None:
        price = for_sale(usd_per_hour, device, rate_kind, rate_provider, as_of)
    whole("devices", devices, least=1)
    if model is not None:
        if prefill_tokens_per_s is not None or decode_tokens_per_s is not None:
            raise bad("model and speeds", model, "a measured model or given speeds, not both")
        if devices != 1:
            raise bad("devices", devices, "nothing beside a measured model, which ran on its own")
        found = measurements(store)
        speeds = found[found["model"] == model]
        if speeds.empty:
            known = sorted(set(found["model"])) or "none yet; run: costlib measure MODEL"
            raise bad("model", model, f"a measured model in the store ({known})")
        if price is None:
            ran_on = sorted(set(speeds["device"]))
            price = {name: measured_offers(name, rate_kind, rate_provider, as_of) for name in ran_on}
    else:
        if decode_tokens_per_s is None and prefill_tokens_per_s is None:
            raise InputError("speeds are missing; allowed: a measured MODEL, or prefill and decode tokens/s")
        if price is None:
            raise InputError(NO_RATE)
        speeds = pd.DataFrame(
            [
                {
                    "model": "given speeds",
                    "device": device or "given rate",
                    "devices": devices,
                    "prefill_tokens_per_s": prefill_tokens_per_s,
                    "decode_tokens_per_s": decode_tokens_per_s,
                    "prompt_tokens": prompt_tokens,
                    "output_tokens": output_tokens,
                    "kind": "assumed",
                    "source": "given by the user",
                }
            ]
        )
    ratio = output_to_input_price_ratio
    wanted = [name for name in CONVENTIONS if name != "price_ratio" or ratio is not None]
    return cost_per_token(
        speeds,
        price,
        conventions=wanted,
        output_to_input_price_ratio=ratio,
        utilization=utilization,
        success_rate=success_rate,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


def breakeven(
    api_model: str,
    provider: str | None = None,
    *,
    input_tokens: int,
    output_tokens: int,
    prefill_tokens_per_s: float,
    decode_tokens_per_s: float,
    usd_per_hour: float | None = None,
    device: str | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    devices_per_replica: int = 1,
    utilization: float = 0.6,
    minimum_replicas: int = 1,
    maximum_replicas: int | None = None,
    cached_tokens: int = 0,
    tier: str = "standard",
    as_of: str | None = None,
) -> BreakEven:
    """Every monthly volume of one kind of request at which self-hosting and an API change places.

    One replica serves requests one after another at the given speeds (tokens/s of the whole batch), for `utilization`
    (assumed) of the month; a rented hour costs the same busy or idle. Of the offers of `device`, the one that pays
    first is rented, in whole units as they are sold; `as_of` holds for it and for the API. Volumes are requests (and
    tokens) per month.

    Args:
        api_model: API model to compare with.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        input_tokens: Input tokens of a request.
        output_tokens: Output tokens of a request.
        prefill_tokens_per_s: Prompt tokens/s of one replica.
        decode_tokens_per_s: New tokens/s of one replica.
        usd_per_hour: $ per hour of one device, instead of device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        devices_per_replica: Devices one replica needs.
        utilization: Share of the month a replica may be busy (assumed).
        minimum_replicas: Replicas kept for availability.
        maximum_replicas: Replicas that can be had [default: no limit].
        cached_tokens: Input tokens the API reads from its cache.
        tier: standard, batch, flex or priority.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
    """
    from costlib.cost.breakeven import Api, break_even_as_sold
    from costlib.cost.inputs import SECONDS_PER_MONTH, number, share
    from costlib.cost.sizing import NO_RATE, for_sale

    prefill = number("prefill_tokens_per_s", prefill_tokens_per_s)
    decode = number("decode_tokens_per_s", decode_tokens_per_s)
    used = share("utilization", utilization, zero=False)
    offers = for_sale(usd_per_hour, device, rate_kind, rate_provider, as_of if device else None)
    if not offers:
        raise InputError(NO_RATE)
    priced = price(
        api_model,
        provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        tier=tier,
        as_of=as_of,
    )
    seconds = input_tokens / prefill + output_tokens / decode
    if seconds == 0:
        raise bad("input_tokens + output_tokens", 0, "at least one token")
    return break_even_as_sold(
        offers,
        float(SECONDS_PER_MONTH) / seconds * used,
        Api(priced.total),
        input_tokens + output_tokens,
        devices_per_replica=devices_per_replica,
        minimum_replicas=minimum_replicas,
        maximum_replicas=maximum_replicas,
    )
