"""Embedding models and distilled students, measured and priced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import unused

if TYPE_CHECKING:
    import pandas as pd

    from costlib.cost.distillation import PricedDistillation
    from costlib.prices.rates import Rental


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
    from costlib.cost.embedding import api_prices, priced
    from costlib.environment import default_device, device_name
    from costlib.measure.embed import embed as measure_embeddings
    from costlib.models.reference import is_static, parse
    from costlib.prices.book import load_book

    static = is_static(parse(model))
    name = device_name(settings.get("device") or ("cpu" if static else default_device()))
    rates = {name: hourly_rate(name, usd_per_hour, rate_kind, rate_provider, as_of)}
    prices = api_prices(load_book(), as_of)
    return priced(measure_embeddings(model, precision, text=text, **settings), rates), prices


def hourly_rate(
    device: str,
    usd_per_hour: float | None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    as_of: str | None = None,
) -> Rental:
    """$ per hour of a measured device: as given, or the cheapest whole offer in data/rates.csv as of a day."""
    from costlib.cost.inputs import number
    from costlib.prices.hardware import measured_rate
    from costlib.prices.rates import rental

    if usd_per_hour is not None:
        unused("beside usd_per_hour", hourly_rate, locals(), ("rate_kind", "rate_provider"))
        return rental(number("usd_per_hour", usd_per_hour))
    return measured_rate(device, rate_kind, rate_provider, as_of)


def distill(
    teacher: str,
    student: str = "static",
    *,
    requests_per_week: float,
    usd_per_hour: float | None = None,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    people_hours: float = 0,
    usd_per_people_hour: float = 0,
    teacher_usd_per_mtok: float | None = None,
    retrain_every_weeks: float | None = None,
    retraining_people_hours: float = 0,
    **settings: Any,
) -> tuple[dict[str, Any], PricedDistillation | None]:
    """Distill a teacher into a student: what it keeps, its speed-up, the effort, and when it has paid for itself.

    Its row of table `distillations`, and the money around it: None where the distillation failed; the row says why.
    Raises `InputError` for bad input before anything is trained.

    Args:
        teacher: demo:minilm, path: or hub:; for a language student a causal model.
        student: static, layers, soft or language.
        requests_per_week: Items served in a week.
        usd_per_hour: $ per hour of the device [default: the cheapest offer of data/rates.csv].
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        people_hours: People's hours to make the student.
        usd_per_people_hour: $ per hour of a person.
        teacher_usd_per_mtok: Price of a teacher that is bought.
        retrain_every_weeks: Weeks between retrainings.
        retraining_people_hours: People's hours of each retraining.
        **settings: Those of `costlib.quality.distill.run.distill`.
    """
    asked = dict(locals())
    from costlib.cost.distillation import price_distillation
    from costlib.cost.inputs import number
    from costlib.environment import default_device, device_name
    from costlib.quality.distill.run import distill as make_student

    number("requests_per_week", requests_per_week, zero=True)
    for field, value in (("people_hours", people_hours), ("retraining_people_hours", retraining_people_hours)):
        number(field, value, zero=True)
        number("usd_per_people_hour", usd_per_people_hour, zero=not value)
    for field, given in (("teacher_usd_per_mtok", teacher_usd_per_mtok), ("retrain_every_weeks", retrain_every_weeks)):
        if given is not None:
            number(field, given)
    if retrain_every_weeks is None:
        unused("without retrain_every_weeks", distill, asked, ["retraining_people_hours"])
    if not people_hours and not retraining_people_hours:
        unused("without people_hours", distill, asked, ["usd_per_people_hour"])
    name = device_name(settings.get("device") or default_device())
    found = hourly_rate(name, usd_per_hour, rate_kind, rate_provider)
    row = {str(key): value for key, value in make_student(teacher, student, **settings).iloc[0].to_dict().items()}
    if row["status"] != "ok":
        return row, None
    return row, price_distillation(
        row,
        found.usd_per_hour,
        requests_per_week,
        people_hours=people_hours,
        usd_per_people_hour=usd_per_people_hour,
        teacher_usd_per_mtok=teacher_usd_per_mtok,
        retrain_every_weeks=retrain_every_weeks,
        retraining_people_hours=retraining_people_hours,
    )
