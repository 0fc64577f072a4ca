"""When money spent now comes back: owned hardware, a distilled model, a migration.

A project costs something at once and saves something every period. Capital enters once: a monthly cost of ownership
that already contains amortization must give it back before it is compared with a bill for the cloud, because
amortization is the capital, spread. NPV and IRR are those of numpy-financial with monthly cash flows at the end of each
month; the monthly rate of a yearly rate r is (1 + r)^(1/12) - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy_financial as npf

from costlib.cost.inputs import SMALLEST, fraction, number, signed, whole
from costlib.errors import InputError, invalid_input, unused
from costlib.figure import Number
from costlib.value import brief

_LONGEST_MONTHS = 240
_LARGEST_MONTHLY_RATE = 100.0  # the capital back a hundredfold every month
_LOWEST_YEARLY_RATE = -0.999999  # nearer to losing everything, a float has too few digits left to say how much


@brief
@dataclass(frozen=True)
class Payback:
    """What a project with capital at the start gives back.

    `months` and `discounted_months` count until the savings equal the capital, without and with the discount rate;
    None where that never happens within the life. `irr_per_year` is None where no rate makes the project worth zero.
    `reason` explains every None. The IRR is a share per year: 0.25 for 25 %.
    """

    capex_usd: float
    saving_usd_per_month: float
    months: float | None
    discounted_months: float | None
    npv_usd: float | None
    irr_per_year: float | None
    reason: str | None


def capital_payback(
    capex_usd: Number,
    saving_usd_per_month: Number,
    *,
    life_months: int | None = None,
    discount_rate_per_year: Number = 0,
    residual_usd: Number = 0,
) -> Payback:
    """Payback, NPV and IRR of capital that saves a constant amount every month (which may be negative).

    `life_months` (at most 240) ends the savings and returns `residual_usd`; without it payback may take for ever, and
    NPV and IRR are unknown. The residual does not count towards payback. Raises `InputError` for a bad number.
    """
    capex, saving = number("capex_usd", capex_usd), signed("saving_usd_per_month", saving_usd_per_month)
    yearly = number("discount_rate_per_year", discount_rate_per_year, zero=True, most=10)
    residual = number("residual_usd", residual_usd, zero=True)
    life = None if life_months is None else whole("life_months", life_months, least=1)
    if life is not None and life > _LONGEST_MONTHS:
        raise invalid_input("life_months", life_months, f"at most {_LONGEST_MONTHS}")
    monthly = math.expm1(math.log1p(yearly) / 12)
    reasons: list[str] = []
    months = _months(capex, saving, 0.0, life, reasons)
    discounted = _months(capex, saving, monthly, life, reasons)
    npv = irr = None
    if life is None:
        reasons.append("NPV and IRR need life_months")
    else:
        flows = np.full(life + 1, saving)
        flows[0] = -capex
        flows[-1] += residual
        npv = float(npf.npv(monthly, flows))
        irr = _irr_per_year(flows)
        if irr is None:
            reasons.append("no usable discount rate makes the project worth zero")
    return Payback(capex, saving, months, discounted, npv, irr, "; ".join(dict.fromkeys(reasons)) or None)


def owned_payback(
    capex_usd: Number,
    cloud_usd_per_month: Number,
    owned_usd_per_month: Number,
    *,
    amortization_usd_per_month: Number = 0,
    life_months: int | None = None,
    discount_rate_per_year: Number = 0,
    residual_usd: Number = 0,
) -> Payback:
    """Payback of owned hardware against a cloud bill, with the capital counted once.

    `amortization_usd_per_month` is the part of `owned_usd_per_month` that is the capital spread over its life; it is
    taken out, because `capex_usd` already is that money.
    """
    owned = number("owned_usd_per_month", owned_usd_per_month, zero=True)
    amortization = number("amortization_usd_per_month", amortization_usd_per_month, zero=True)
    if amortization > owned:
        raise invalid_input(
            "amortization_usd_per_month", amortization_usd_per_month, f"at most owned_usd_per_month, {owned:g}"
        )
    cloud = number("cloud_usd_per_month", cloud_usd_per_month, zero=True)
    return capital_payback(
        capex_usd,
        cloud - (owned - amortization),
        life_months=life_months,
        discount_rate_per_year=discount_rate_per_year,
        residual_usd=residual_usd,
    )


def _months(capex: float, saving: float, rate: float, life: int | None, reasons: list[str]) -> float | None:
    """Months until the savings, discounted at a monthly rate, equal the capital; the last month counts in part."""
    kind = "discounted savings" if rate else "savings"
    if saving < SMALLEST:
        reasons.append("it saves nothing per month")
        return None
    if rate * capex >= saving:
        reasons.append("the savings never earn back the capital at this discount rate")
        return None
    interest = rate * capex / saving  # of a month, over its saving
    months = -math.log1p(-interest) / math.log1p(rate) if interest > 1e-12 else capex / saving
    if life is not None and months > life:
        reasons.append(f"{kind} would need {months:.1f} months, longer than the life of {life}")
        return None
    return months


def _irr_per_year(flows: np.ndarray) -> float | None:
    """Yearly IRR of monthly flows, or None; numpy-financial's root is checked, because polynomials can mislead it."""
    if not (flows[1:] > 0).any() or flows[1:].sum() <= 0:
        return None
    scaled = flows / -flows[0]
    with np.errstate(all="ignore"):  # a far month at a huge rate is worth nothing
        try:
            monthly = float(npf.irr(scaled))
        except np.linalg.LinAlgError:
            return None
        if not -1 < monthly < _LARGEST_MONTHLY_RATE or abs(npf.npv(monthly, scaled)) > 1e-6:
            return None
    yearly = math.expm1(12 * math.log1p(monthly))
    return yearly if yearly > _LOWEST_YEARLY_RATE else None


@brief
@dataclass(frozen=True)
class ProjectPayback:
    """When a distilled model or a migration has paid for itself, retraining included.

    `weeks` is when it is paid back for good: no later retraining puts it below zero again. `first_weeks` is when it
    first touches zero, `spread_weeks` the same with retraining spread evenly, as a budget shows it. `requests` is the
    volume served by `weeks`, `sustaining_requests_per_week` what it takes to pay for retraining alone. `reason`
    explains a None.
    """

    weeks: float | None
    requests: float | None
    first_weeks: float | None
    spread_weeks: float | None
    sustaining_requests_per_week: float | None
    reason: str | None


def distillation_effort_usd(
    *,
    teacher_mtok: Number = 0,
    teacher_usd_per_mtok: Number = 0,
    gpu_hours: Number = 0,
    usd_per_gpu_hour: Number = 0,
    people_hours: Number = 0,
    usd_per_people_hour: Number = 0,
) -> float:
    """Effort of a distillation in $ = teacher tokens * price + GPU hours * rate + people's hours * their rate."""
    amounts = {
        "teacher_mtok": (teacher_mtok, teacher_usd_per_mtok),
        "gpu_hours": (gpu_hours, usd_per_gpu_hour),
        "people_hours": (people_hours, usd_per_people_hour),
    }
    return math.fsum(
        number(field, amount, zero=True) * number(f"rate of {field}", rate, zero=not amount)
        for field, (amount, rate) in amounts.items()
    )


def project_payback(
    effort_usd: Number,
    saving_usd_per_request: Number,
    requests_per_week: Number,
    *,
    retraining_usd: Number = 0,
    retrain_every_weeks: Number | None = None,
) -> ProjectPayback:
    """Break-even of an effort that saves on every request and is retrained at weeks R, 2R, 3R, ...

    Raises `InputError` for a bad number, or a retraining cost without a cadence. A saving of 0 or less, or a saving per
    cycle that does not exceed its retraining, never pays back for good: None, with the reason.
    """
    effort = fraction(number("effort_usd", effort_usd, zero=True))
    volume = fraction(number("requests_per_week", requests_per_week, zero=True))
    weekly = fraction(signed("saving_usd_per_request", saving_usd_per_request)) * volume
    retraining = fraction(number("retraining_usd", retraining_usd, zero=True))
    if retraining and retrain_every_weeks is None:
        raise invalid_input("retrain_every_weeks", None, "weeks between retrainings, because retraining_usd is above 0")
    cadence = fraction(1 if retrain_every_weeks is None else number("retrain_every_weeks", retrain_every_weeks))
    if weekly < SMALLEST:
        return ProjectPayback(None, None, None, None, None, "it saves nothing per week")
    cycle = weekly * cadence
    margin = cycle - retraining
    sustaining = float(retraining / cycle * volume)
    if margin <= 0:
        saved, due = float(cycle), float(retraining)
        reason = f"{float(cadence):g} weeks save ${saved:.2f}, no more than the ${due:.2f} the retraining then costs"
        first = float(effort / weekly) if effort <= cycle else None
        return ProjectPayback(None, None, first, None, sustaining, reason)
    paid = max(0, math.ceil(effort / margin) - 1) if retraining else 0  # retrainings before it is paid back for good
    paid_first = max(0, math.ceil((effort - cycle) / margin)) if retraining else 0
    weeks = (effort + paid * retraining) / weekly
    return ProjectPayback(
        weeks=float(weeks),
        requests=float(weeks * volume),
        first_weeks=float((effort + paid_first * retraining) / weekly),
        spread_weeks=float(effort * cadence / margin),
        sustaining_requests_per_week=sustaining,
        reason=None,
    )


def requests_per_week_needed(
    effort_usd: Number,
    saving_usd_per_request: Number,
    within_weeks: Number,
    *,
    retraining_usd: Number = 0,
    retrain_every_weeks: Number | None = None,
) -> float:
    """Weekly volume at which the savings of `within_weeks` equal the effort and the retrainings due before the end."""
    horizon = number("within_weeks", within_weeks)
    saving = number("saving_usd_per_request", saving_usd_per_request)
    cost = number("effort_usd", effort_usd, zero=True)
    if number("retraining_usd", retraining_usd, zero=True):
        cadence = number("retrain_every_weeks", retrain_every_weeks)
        cost += (math.ceil(horizon / cadence) - 1) * float(retraining_usd)
    return cost / (saving * horizon)


_CAPITAL = ("capex", "saving_per_month", "cloud", "owned", "amortization", "life_months", "discount_rate", "residual")


_PARTS = (
    "teacher_mtok",
    "teacher_usd_per_mtok",
    "gpu_hours",
    "usd_per_gpu_hour",
    "people_hours",
    "usd_per_people_hour",
)


@brief
class PaidBack(NamedTuple):
    """The answer of `payback`: of capital or of a project, and for a project what it needs."""

    result: Payback | ProjectPayback
    needed: dict[str, float]

    def document(self) -> dict[str, Any]:
        """The fields of `--json`."""
        rate = {"units": {"irr_per_year": "share per year, 0.25 for 25 %"}} if isinstance(self.result, Payback) else {}
        return {**self.needed, **vars(self.result), **rate, "kind": "derived"}


def payback(
    *,
    capex: float | None = None,
    saving_per_month: float | None = None,
    cloud: float | None = None,
    owned: float | None = None,
    amortization: float | None = None,
    life_months: int | None = None,
    discount_rate: float | None = None,
    residual: float | None = None,
    effort: float | None = None,
    teacher_mtok: float | None = None,
    teacher_usd_per_mtok: float | None = None,
    gpu_hours: float | None = None,
    usd_per_gpu_hour: float | None = None,
    people_hours: float | None = None,
    usd_per_people_hour: float | None = None,
    saving_per_request: float | None = None,
    requests_per_week: float | None = None,
    within_weeks: float | None = None,
    retraining: float | None = None,
    retrain_every_weeks: float | None = None,
) -> PaidBack:
    """When capital, a distilled model or a migration pays back: payback, NPV and IRR, retraining included.

    Args:
        capex: $ paid at the start for owned hardware.
        saving_per_month: $ a month it saves.
        cloud: $ a month the cloud costs instead.
        owned: $ a month owning costs.
        amortization: Part of --owned that is the capital, spread.
        life_months: Months it lasts; NPV and IRR need it.
        discount_rate: Yearly discount rate, e.g. 0.08.
        residual: $ it is sold for in the end.
        effort: $ of a distillation or migration; or its parts, the next six.
        teacher_mtok: Million tokens a teacher writes.
        teacher_usd_per_mtok: $ per million of them.
        gpu_hours: Hours of training.
        usd_per_gpu_hour: $ of each.
        people_hours: Hours of people.
        usd_per_people_hour: $ of each.
        saving_per_request: $ it saves on each request.
        requests_per_week: Requests it serves a week.
        within_weeks: Asks for the volume that pays it back by then.
        retraining: $ of each retraining.
        retrain_every_weeks: Weeks between retrainings.
    """
    asked = dict(locals())
    if capex is not None:
        unused("beside --capex", payback, asked, [name for name in asked if name not in _CAPITAL])
        if life_months is None:
            unused("without --life-months, at the end of which it is sold", payback, asked, ["residual"])
        terms: dict[str, Any] = {"discount_rate_per_year": discount_rate or 0, "residual_usd": residual or 0}
        terms["life_months"] = life_months
        if saving_per_month is not None and cloud is None and owned is None:
            unused("beside --saving-per-month", payback, asked, ["amortization"])
            return PaidBack(capital_payback(capex, saving_per_month, **terms), {})
        if saving_per_month is None and cloud is not None and owned is not None:
            terms["amortization_usd_per_month"] = amortization or 0
            return PaidBack(owned_payback(capex, cloud, owned, **terms), {})
        given = {"--saving-per-month": saving_per_month, "--cloud": cloud, "--owned": owned}
        shown = ", ".join(name for name, value in given.items() if value is not None) or "nothing"
        raise invalid_input("beside --capex", shown, "--saving-per-month, or both --cloud and --owned")
    parts = {name: asked[name] for name in _PARTS}
    if any(value is not None for value in parts.values()):
        spent = distillation_effort_usd(**{name: value or 0 for name, value in parts.items()})
        if effort is not None:
            raise invalid_input("--effort and its parts", (effort, spent), "one of the two, not both")
        for amount, each in zip(_PARTS[::2], _PARTS[1::2], strict=True):
            if parts[amount] is None:
                unused(f"without --{amount.replace('_', '-')}", payback, asked, [each])
        effort = spent
    volume = requests_per_week
    if effort is None or saving_per_request is None or (volume is None and within_weeks is None):
        allowed = "--capex with --saving-per-month, or with --cloud and --owned; or --effort, --saving-per-request "
        raise InputError(f"amounts are missing; allowed: {allowed}and --requests-per-week or --within-weeks")
    unused("beside --effort", payback, asked, _CAPITAL)
    if retraining is None:
        unused("without --retraining, what each costs", payback, asked, ["retrain_every_weeks"])
    cadence: dict[str, Any] = {"retraining_usd": retraining or 0, "retrain_every_weeks": retrain_every_weeks}
    needed = {"effort_usd": effort}
    if within_weeks is not None:
        least = requests_per_week_needed(effort, saving_per_request, within_weeks, **cadence)
        needed["requests_per_week_needed"] = least
        volume = least if volume is None else volume
    return PaidBack(project_payback(effort, saving_per_request, volume or 0, **cadence), needed)
