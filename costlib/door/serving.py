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
    chat: bool = True,
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
    """Load-test an OpenAI-compatible server and price what it delivered, where an hourly rate is known.

    The first part holds tables: `rows` (one per load), `requests` (the traces), `latencies`, `dialects`; the second one
    is $ per million tokens. `usd_per_hour` is that of the whole server; else the cheapest whole offer for `devices` of
    `device` in data/rates.csv counts. `settings` are those of `costlib.measure.load.settings.Settings`: `requests`,
    `prompt_tokens`, `output_tokens`, `time_limit_s`, ... Raises `InputError` for bad input before anything is sent.
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
        Target(url, model, api_key_env, extra or {}, chat, allow_remote_http),
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
