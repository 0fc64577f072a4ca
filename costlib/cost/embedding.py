"""$ per million tokens of measured embedding models, beside what APIs charge for embeddings.

Every token of an embedding is input, so the whole hour is charged to the tokens read: ($/hour) / (tokens/s * 3600 /
1e6), with the device busy for `utilization` of the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cost.inputs import share
from costlib.cost.sizing import hourly_rate
from costlib.cost.token import usd_per_mtok
from costlib.environment import default_device, device_name
from costlib.prices.book import AsOf, PriceBook, day_and_time, load_book
from costlib.prices.entries import DateOutsideCoverage, MissingPrice, TimeNeeded
from costlib.prices.rates import Rental, rental

if TYPE_CHECKING:
    import pandas as pd


def priced(rows: pd.DataFrame, rates: Mapping[str, Rental | float], utilization: float = 1.0) -> pd.DataFrame:
    """Rows of table `embeddings` with usd_per_hour and usd_per_mtok (`_low`, `_high`), kind derived.

    `rates` gives each device its rate, a list price, so the interval is that of the speed. Rows without a speed have no
    price; their status and reason say why.
    """
    used = share("utilization", utilization, zero=False)
    extra: list[dict[str, Any]] = []
    for row in rows.to_dict("records"):
        found = rental(rates[row["device"]])
        value = found.usd_per_hour
        out: dict[str, Any] = {"usd_per_hour": value, **found.columns()}
        for name, speed in (
            ("usd_per_mtok", row["tokens_per_s"]),
            ("usd_per_mtok_low", row["tokens_per_s_high"]),
            ("usd_per_mtok_high", row["tokens_per_s_low"]),
        ):
            out[name] = None if speed is None or speed != speed else usd_per_mtok(value, speed * used)
        out["price_kind"] = "derived"
        extra.append(out)
    names = list(extra[0]) if extra else []
    return rows.assign(**{name: [row[name] for row in extra] for name in names})


def api_prices(book: PriceBook, as_of: AsOf = None) -> pd.DataFrame:
    """Embedding models of the price book, cheapest first: provider, model, usd_per_mtok (`Decimal`), source, kind.

    A model counts as an embedding model where its name says so and text input has a price; models without one on that
    day are left out. Raises `InputError` for a day that is none.
    """
    import pandas as pd

    if as_of is not None:
        day_and_time(as_of)
    rows = []
    for provider, model in sorted({(p.provider, p.model) for p in book.prices if "embed" in p.model.lower()}):
        try:
            band = book.sheet(model, provider, as_of=as_of).band("input", 0)
        except (DateOutsideCoverage, MissingPrice, TimeNeeded):
            continue
        price: Decimal = band.usd_per_mtok
        kind, source = band.price.kind, band.price.source
        rows.append({"provider": provider, "model": model, "usd_per_mtok": price, "source": source, "kind": kind})
    frame = pd.DataFrame(rows, columns=["provider", "model", "usd_per_mtok", "source", "kind"])
    return frame.sort_values(["usd_per_mtok", "provider", "model"], ignore_index=True)


def embed(
    model: str,
    precision: str | Iterable[str] = "fp32",
    *,
    text: str | Path,
    usd_per_hour: float | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: str | None = None,
    **settings: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure an embedding model: speed, bytes, fidelity to its baseline, and $ beside API embedding prices.

    Rows of table `embeddings` with $ per million tokens, and those of APIs. Raises `InputError` for bad input, also a
    rate nobody knows, before measuring.

    Args:
        model: demo:minilm, static:FOLDER, path:FOLDER, hub:ORG/NAME or random:SHAPE.
        precision: Comma-separated: fp32, bf16, int8, ...; the first is the baseline.
        text: Documents: .txt (one a line), or .jsonl, .csv or .parquet with an input.
        usd_per_hour: $ per hour of the device [default: the cheapest offer of data/rates.csv].
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        **settings: Those of `costlib.measure.embed.embed`.
    """
    from costlib.measure.embed import embed as measure_embeddings
    from costlib.models.reference import is_static, parse

    static = is_static(parse(model))
    name = device_name(settings.get("device") or ("cpu" if static else default_device()))
    rates = {name: hourly_rate(name, usd_per_hour, rate_kind, rate_provider, as_of)}
    prices = api_prices(load_book(), as_of)
    return priced(measure_embeddings(model, precision, text=text, **settings), rates), prices
