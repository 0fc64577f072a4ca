"""What a distilled student costs to make and what it saves: effort, $ per million items, payback, volume.

Effort = teacher tokens * price + compute hours * rate + people's hours * their rate. Where the teacher runs on the
same device, its reading is in the compute hours and its tokens are not charged again; `teacher_usd_per_mtok` is for a
teacher that is bought. A request saves the teacher's cost of it minus the student's, both with the device busy for
`utilization` of the hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.cost.inputs import number, share
from costlib.cost.payback import ProjectPayback, distillation_effort_usd, project_payback, requests_per_week_needed
from costlib.cost.sizing import hourly_rate
from costlib.environment import default_device, device_name
from costlib.errors import invalid_input, unused
from costlib.figure import Number
from costlib.store import Store
from costlib.tables.schema import is_null
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

    from costlib.prices.book import AsOf

_MILLION = 1_000_000
_YEAR_WEEKS = 52


@brief
@dataclass(frozen=True)
class PricedDistillation:
    """Money around one row of table `distillations`; $ per million requests, weeks, requests per week.

    `payback_requests_per_week` is the weekly volume that pays the effort and its retrainings back in `within_weeks`;
    None, with `reason`, where a request saves nothing. What the answers cost that a student loses is in none of these:
    `largest_usd_per_miss` is what a lost one may cost before it eats the saving; None where nothing is lost or saved.
    """

    effort_usd: float
    retraining_usd: float
    teacher_usd_per_million: float
    student_usd_per_million: float
    saving_usd_per_request: float
    payback: ProjectPayback
    within_weeks: float
    payback_requests_per_week: float | None
    reason: str | None
    largest_usd_per_miss: float | None


def price_distillation(
    row: Mapping[str, Any],
    usd_per_hour: Number,
    requests_per_week: Number,
    *,
    people_hours: Number = 0,
    usd_per_people_hour: Number = 0,
    teacher_usd_per_mtok: Number | None = None,
    retrain_every_weeks: Number | None = None,
    retraining_people_hours: Number = 0,
    within_weeks: Number = _YEAR_WEEKS,
    utilization: float = 1.0,
) -> PricedDistillation:
    """Price one student; a retraining repeats the compute and the teacher's reading, with its own people's hours.

    A request is one item. Raises `InputError` for a bad number, or a row that holds no speed.
    """
    if row.get("status") != "ok":
        raise invalid_input(
            "student", f"{row.get('student')} ({row.get('status')})", "a student whose distillation ended ok"
        )
    hourly = float(number("usd_per_hour", usd_per_hour))
    used = share("utilization", utilization, zero=False)
    tokens, hours = float(row["teacher_tokens"]), float(row["training_s"]) / 3600
    bought = 0.0 if teacher_usd_per_mtok is None else float(number("teacher_usd_per_mtok", teacher_usd_per_mtok))

    def effort(people: Number) -> float:
        return distillation_effort_usd(
            teacher_mtok=tokens / _MILLION if bought else 0,
            teacher_usd_per_mtok=bought,
            gpu_hours=hours,
            usd_per_gpu_hour=hourly,
            people_hours=people,
            usd_per_people_hour=usd_per_people_hour,
        )

    def per_million(items_per_s: Any) -> float:
        return hourly / 3600 / (float(items_per_s) * used) * _MILLION

    teacher = per_million(row["teacher_items_per_s"]) if not bought else float(row["tokens_per_item"]) * bought
    student = per_million(row["student_items_per_s"])
    saving = (teacher - student) / _MILLION
    once, again = effort(people_hours), effort(retraining_people_hours) if retrain_every_weeks is not None else 0.0
    cadence: dict[str, Any] = {"retraining_usd": again, "retrain_every_weeks": retrain_every_weeks}
    needed = None
    reason = None
    if saving > 0:
        needed = requests_per_week_needed(once, saving, within_weeks, **cadence)
    else:
        reason = "a request costs no less at the student than at the teacher"
    known = [float(row[n]) for n in ("teacher_score", "student_score") if not is_null(row.get(n))]
    lost = known[0] - known[1] if len(known) == 2 else 0.0
    return PricedDistillation(
        effort_usd=once,
        retraining_usd=again,
        teacher_usd_per_million=teacher,
        student_usd_per_million=student,
        saving_usd_per_request=saving,
        payback=project_payback(once, saving, requests_per_week, **cadence),
        within_weeks=float(within_weeks),
        payback_requests_per_week=needed,
        reason=reason,
        largest_usd_per_miss=saving / lost if lost > 0 and saving > 0 else None,
    )


def students(
    store: Store | str | Path | None = None,
    *,
    requests_per_week: float,
    people_hours: float = 0,
    usd_per_people_hour: float = 0,
    retrain_every_weeks: float | None = None,
    as_of: AsOf = None,
) -> pd.DataFrame:
    """Every distilled student of a store with the money around it, the one that keeps most first; failed ones last.

    Money is derived at the rate of the device that ran both; its ends are those of the speed-up. `surely_pays` says
    that a student is paid back at both of them. A retraining takes half the people's hours.

    Args:
        store: A store or its folder [default: the default store].
        requests_per_week: Items served in a week.
        people_hours: People's hours to make the student.
        usd_per_people_hour: $ per hour of a person.
        retrain_every_weeks: Weeks between retrainings.
        as_of: Date of the device's rate [default: the newest].
    """
    import pandas as pd

    from costlib.prices.hardware import measured_rate
    from costlib.quality.distill.run import distillations

    number("requests_per_week", requests_per_week)
    number("people_hours", people_hours, zero=True)
    if retrain_every_weeks is not None:
        number("retrain_every_weeks", retrain_every_weeks)
    frame = distillations(store if isinstance(store, Store) else Store(store or None))
    named: dict[str, Any] = {"people_hours": people_hours, "usd_per_people_hour": usd_per_people_hour}
    if retrain_every_weeks is not None:
        named |= {"retrain_every_weeks": retrain_every_weeks, "retraining_people_hours": people_hours / 2}

    def money(row: Mapping[str, Any]) -> dict[str, Any]:
        if row["status"] != "ok" or is_null(row["retention"]):
            return {}
        rate = measured_rate(row["device"], as_of=as_of)
        speeds = [row["student_items_per_s"]]
        if not is_null(row["speedup_low"]):
            speeds += [row["teacher_items_per_s"] * row[f"speedup_{end}"] for end in ("low", "high")]
        every = [
            price_distillation({**row, "student_items_per_s": speed}, rate.usd_per_hour, requests_per_week, **named)
            for speed in speeds
        ]
        weeks = [one.payback.weeks for one in every]
        made: dict[str, Any] = {"surely_pays": len(every) > 1 and None not in weeks}
        for name, (get, missing) in _MONEY.items():
            value, *ends = (get(one) for one in every)
            known = [end for end in ends if end is not None]
            made[name], made[f"{name}_source"] = value, f"run {row['run_id']}; {rate.source}"
            if value is None:
                made[f"{name}_reason"] = missing(every[0])
            elif len(known) < 2:
                made[f"{name}_reason"] = (
                    "none at the low end of the speed-up" if ends else "the speed-up has no interval"
                )
            elif known[0] == known[1]:
                made[f"{name}_reason"] = "no speed-up is in it"
            else:
                made |= {f"{name}_low": min(value, *known), f"{name}_high": max(value, *known)}
        return made

    parts = ("", "_low", "_high", "_reason", "_source")
    columns = ["surely_pays", *(f"{name}{part}" for name in _MONEY for part in parts)]
    found = pd.DataFrame(
        [money({str(k): v for k, v in row.items()}) for row in frame.to_dict("records")], columns=columns
    )
    found["surely_pays"] = found["surely_pays"].eq(True)
    found = found.astype({f"{name}{part}": float for name in _MONEY for part in parts[:3]})
    both = pd.concat([frame.reset_index(drop=True), found], axis=1).assign(source="run " + frame["run_id"].astype(str))
    for name in ("retention", "speedup"):
        both[f"{name}_reason"] = both["speed_reason"]
    return both.sort_values("retention", ascending=False, kind="stable", ignore_index=True)


_Priced = Callable[[PricedDistillation], Any]
_MONEY: dict[str, tuple[_Priced, _Priced]] = {
    "teacher_usd_per_million": (lambda one: one.teacher_usd_per_million, lambda _: None),
    "student_usd_per_million": (lambda one: one.student_usd_per_million, lambda _: None),
    "effort_usd": (lambda one: one.effort_usd, lambda _: None),
    "retraining_usd": (lambda one: one.retraining_usd, lambda _: None),
    "payback_weeks": (lambda one: one.payback.weeks, lambda one: one.payback.reason),
    "payback_requests_per_week": (lambda one: one.payback_requests_per_week, lambda one: one.reason),
    "largest_usd_per_miss": (lambda one: one.largest_usd_per_miss, lambda _: "nothing is lost, or nothing saved"),
}
"""The money around a student: how it is read, and why there may be none."""


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
