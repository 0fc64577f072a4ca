"""Load tests of servers, with what a token costs at the measured throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import bad, unused

if TYPE_CHECKING:
    import pandas as pd

    from costlib.measure.load.run import LoadTest
    from costlib.progress import Progress
    from costlib.store import Store


def load(
    url: str,
    model: str,
    *,
    rate: float | str | Sequence[float | str] | None = None,
    concurrency: int | None = None,
    trace: str | Path | None = None,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    slo_e2e_s: float | None = None,
    slo_share: float = 0.95,
    api_key_env: str | None = None,
    extra: Mapping[str, Any] | None = None,
    completions: bool = False,
    allow_remote_http: bool = False,
    usd_per_hour: float | None = None,
    device: str | None = None,
    devices: int = 1,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    price_ratio: float | None = None,
    store: Store | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> tuple[LoadTest, pd.DataFrame | None]:
    """Load-test an OpenAI-compatible server: latencies, throughput, goodput within an SLO, and $ per token.

    The first part holds tables: `rows` (one per load), `requests` (the traces), `latencies`, `dialects`; the second one
    is $ per million tokens, None where no hourly rate is known. Raises `InputError` for bad input before anything is
    sent.

    Args:
        url: Base URL of an OpenAI-compatible server, ending in /v1.
        model: Name the server knows the model by.
        rate: Open loop, requests/s: 2, or 1,2,4, or 1,max to search the highest.
        concurrency: Closed loop of so many clients, instead of --rate.
        trace: JSONL of requests (arrival_s, prompt_tokens or prompt, output_tokens) to replay.
        slo_ttft_s: Promise: seconds to the first token.
        slo_tpot_s: Promise: seconds per token after it.
        slo_e2e_s: Promise: seconds to the last token.
        slo_share: Share of requests that must keep it.
        api_key_env: Environment variable that holds the key.
        extra: JSON object merged into requests, e.g. {"ignore_eos": true}; null removes.
        completions: Ask /completions: for a model without a chat template.
        allow_remote_http: Reach another machine by http: text and key go in the clear.
        usd_per_hour: $ per hour of the whole server, instead of --device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        devices: Devices of the server, with --device.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        price_ratio: Output over input price, to split the bill by.
        store: Folder of measurements [default: data/store].
        progress: Is told each step.
        **settings: Those of `costlib.measure.load.settings.Settings`.
    """
    asked = dict(locals())
    from costlib.cost.inputs import number, whole
    from costlib.cost.serving import price_loads
    from costlib.cost.sizing import for_sale
    from costlib.measure.load.run import load as run_load
    from costlib.measure.load.settings import Settings, Target
    from costlib.measure.load.slo import Slo
    from costlib.prices.rates import cheapest

    known = Settings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise bad("setting", name, list(known))
    count = whole("devices", devices, least=1)
    if device is None and count != 1:
        raise bad("devices", devices, "1 without a device: usd_per_hour is that of the whole server")
    offers = for_sale(usd_per_hour, device, rate_kind, rate_provider)
    if not offers:
        unused("without a rate: usd_per_hour, or a device", load, asked, ["price_ratio"])
    promised = Slo(slo_ttft_s, slo_tpot_s, slo_e2e_s, slo_share)
    if not promised.given:
        unused("without a promise: slo_ttft_s, slo_tpot_s or slo_e2e_s", load, asked, ["slo_share"])
    if price_ratio is not None:
        number("price_ratio", price_ratio)
    found = run_load(
        Target(url, model, api_key_env, extra or {}, not completions, allow_remote_http),
        Settings(**{"server_device": None if device is None else f"{count} x {device}", **settings}),
        rate=rate,
        concurrency=concurrency,
        trace=trace,
        slo=promised,
        store=store,
        progress=progress,
    )
    if not offers:
        return found, None
    return found, price_loads(found.rows, cheapest(offers, count), output_to_input_price_ratio=price_ratio)
