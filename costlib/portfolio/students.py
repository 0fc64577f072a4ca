"""A distilled student as an option: its measured speed, its measured score, and the effort of making it per month.

Speeds come from the row of table `distillations`: items per second times the tokens of an item, all of it reading, as a
student that classifies writes nothing. A student that writes text was timed reading only, so it serves nothing yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from costlib.cost.distillation import price_distillation
from costlib.errors import InputError
from costlib.portfolio.supply import Ends, PricedOption, ends_of, rented
from costlib.portfolio.workloads import Score
from costlib.prices.hardware import measured_offers
from costlib.prices.rates import cheapest
from costlib.study import DistilledOption, Study

_WEEKS_PER_MONTH = 365 / 12 / 7


def student(supply: PricedOption, option: DistilledOption, study: Study, frame: pd.DataFrame) -> PricedOption:
    """The supply with speed, rate, effort and score of the newest row that `option` names; a reason where it cannot."""
    supply = replace(supply, model=f"{option.student} student of {option.teacher} on {option.task}")
    for name in ("teacher", "student", "task"):
        frame = frame[frame[name] == getattr(option, name)]
    if frame.empty:
        return replace(supply, failed={"speed": "not distilled yet"})
    row: dict[str, Any] = {str(key): value for key, value in frame.iloc[-1].to_dict().items()}
    if row["status"] != "ok":
        return replace(supply, failed={"speed": f"distillation ended as {row['status']}: {row['reason']}"})
    if option.student == "language":
        return replace(supply, failed={"speed": "timed reading text, not writing it"})
    if pd.isna(row["student_items_per_s"]) or not row["tokens_per_item"] > 0:
        return replace(supply, failed={"speed": f"no speed was measured: {row['speed_reason']}"})
    try:
        found = measured_offers(row["device"], option.rate_kind, option.rate_provider, as_of=study.as_of)
    except InputError as error:
        return replace(supply, failed={"price": f"no hourly rate: {error}"})
    priced = price_distillation(
        row,
        cheapest(found).usd_per_hour,
        1,
        people_hours=option.people_hours,
        usd_per_people_hour=study.assume("human_usd_per_hour"),
        retrain_every_weeks=option.retrain_every_weeks,
        retraining_people_hours=option.retraining_people_hours,
    )
    weekly = priced.effort_usd / option.lifetime_weeks
    weekly += priced.retraining_usd / option.retrain_every_weeks if option.retrain_every_weeks else 0.0
    notes = (supply.note, row["steps_note"], row["speed_reason"])
    note = "; ".join(text for text in notes if isinstance(text, str) and text)
    return replace(
        rented(supply, found, 1),
        prefill_tokens_per_s=_tokens(ends_of(row, "student_items_per_s"), row),
        speed_kind="measured",
        speed_source=f"distillation {row['run_id']} on {row['device']}",
        teacher_times=float(row["student_items_per_s"]) / float(row["teacher_items_per_s"]),
        effort_usd_per_month=weekly * _WEEKS_PER_MONTH,
        scores=_scores(option, row),
        note=note,
    )


def _tokens(items_per_s: Ends, row: dict[str, Any]) -> Ends:
    low, value, high = (speed * float(row["tokens_per_item"]) for speed in items_per_s)
    return low, value, high


def _scores(option: DistilledOption, row: dict[str, Any]) -> dict[str, Score] | None:
    if option.workload is None or pd.isna(row["student_score"]):
        return None
    low, value, high = ends_of(row, "student_score")
    source = f"{row['metric']} on {row['items']} held-out items of {option.task}"
    day = str(row["started_at"])[:10]
    who = (option.workload, option.capability)
    return {option.workload: Score(*who, value, low, high, "measured", source, int(row["items"]), day)}
