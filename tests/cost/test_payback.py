import math
from fractions import Fraction

import numpy as np
import numpy_financial as npf
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from costlib.cost.payback import (
    capital_payback as payback,
)
from costlib.cost.payback import (
    distillation_effort_usd,
    owned_payback,
    project_payback,
    requests_per_week_needed,
)
from costlib.errors import InputError


def test_payback_1_of_owned_hardware_counts_capex_once_public_calculator():
    """392000 $; cloud 14400 $, on premises 11543 $ a month of which 8166.67 is amortization: 35.6 months, not 137."""
    found = owned_payback(392_000, 14_400, 11_543, amortization_usd_per_month=8166.67)
    assert round(found.months, 1) == 35.6
    assert round(found.months) != 137


def test_payback_1_the_wrong_137_months_come_from_counting_capex_twice_public_calculator():
    assert round(owned_payback(392_000, 14_400, 11_543).months) == 137


def test_payback_1_as_a_project_over_its_48_months():
    found = owned_payback(
        392_000, 14_400, 11_543, amortization_usd_per_month=8166.67, life_months=48, discount_rate_per_year=0.10
    )
    assert found.months < found.discounted_months < 48
    assert found.npv_usd > 0
    assert 0.10 < found.irr_per_year < 0.30
    assert found.reason is None


def test_npv_and_irr_by_hand():
    """120 back after 12 months on 100 is 20 % a year; at 10 % it is worth 120 / 1.1 - 100."""
    found = payback(100, 1e-9, life_months=12, discount_rate_per_year=0.10, residual_usd=120)
    assert found.irr_per_year == pytest.approx(0.20)
    assert found.npv_usd == pytest.approx(120 / 1.1 - 100)
    assert found.months is None


def test_discounted_payback_is_the_month_the_annuity_equals_the_capital():
    found = payback(1000, 50, discount_rate_per_year=0.12)
    monthly = 1.12 ** (1 / 12) - 1
    assert -npf.pv(monthly, found.discounted_months, 50) == pytest.approx(1000)
    assert found.months == 20


@settings(max_examples=50, deadline=None)
@given(
    capex=st.floats(1, 1e9),
    share=st.floats(1e-4, 10),
    life=st.integers(1, 60),
    rate=st.floats(0, 1),
    residual=st.floats(0, 1),
)
def test_npv_is_zero_at_the_irr_and_no_number_is_not_finite(capex, share, life, rate, residual):
    saving = capex * share / life
    found = payback(capex, saving, life_months=life, discount_rate_per_year=rate, residual_usd=residual * capex)
    assert math.isfinite(found.npv_usd)
    if found.irr_per_year is not None:
        flows = np.full(life + 1, saving)
        flows[0] = -capex
        flows[-1] += residual * capex
        monthly = math.expm1(math.log1p(found.irr_per_year) / 12)
        assert sum(flow / (1 + monthly) ** month for month, flow in enumerate(flows)) == pytest.approx(
            0, abs=capex * 1e-5
        )
        assert (found.irr_per_year > rate) == (found.npv_usd > 0) or abs(found.npv_usd) < 1e-6 * capex
    if found.months is not None and found.discounted_months is not None:
        assert found.discounted_months >= found.months * (1 - 1e-9)
    for number in (found.months, found.discounted_months):
        assert number is None or (0 < number <= life)
    missing = None in (found.months, found.discounted_months, found.irr_per_year)
    assert missing == (found.reason is not None)


@pytest.mark.parametrize(
    ("saving", "options", "reason"),
    [
        (0, {}, "it saves nothing per month; NPV and IRR need life_months"),
        (-5, {"life_months": 9},
         "it saves nothing per month; no usable discount rate makes the project worth zero"),
        (5, {"life_months": 12}, "savings would need 20.0 months, longer than the life of 12"),
        (1, {"discount_rate_per_year": 0.5, "life_months": 120},
         "the savings never earn back the capital at this discount rate"),
    ],
)  # fmt: skip
def test_what_never_pays_is_none_with_a_reason(saving, options, reason):
    found = payback(100, saving, **options)
    assert None in (found.months, found.discounted_months)
    assert found.reason == reason


def test_a_project_without_retraining():
    found = project_payback(10_000, 0.01, 100_000)
    assert found.weeks == found.first_weeks == found.spread_weeks == 10
    assert found.requests == 1_000_000
    assert found.sustaining_requests_per_week == 0


def test_a_project_with_retraining_every_four_weeks_by_hand():
    """1000 $ a week against 10,000 $ and 2000 $ every 4 weeks: four retrainings are due before week 18, and after each
    later one the balance stays above zero; it first touches zero at week 16, when the fourth is due."""
    found = project_payback(10_000, 0.01, 100_000, retraining_usd=2000, retrain_every_weeks=4)
    assert found.weeks == 18
    assert found.first_weeks == 16
    assert found.spread_weeks == 20
    assert found.requests == 1_800_000
    assert found.sustaining_requests_per_week == 50_000


@settings(max_examples=200, deadline=None)
@given(
    effort=st.floats(1, 1e5),
    weekly=st.floats(1, 1e4),
    retraining=st.floats(1, 1e4),
    cadence=st.integers(1, 26),
)
def test_weeks_until_paid_back_for_good_against_a_walk_through_the_weeks(effort, weekly, retraining, cadence):
    saving = weekly / 1000
    found = project_payback(effort, saving, 1000, retraining_usd=retraining, retrain_every_weeks=cadence)
    weekly = float(Fraction(str(saving)) * 1000)

    def balance(week: float, retrainings: int) -> float:
        return weekly * week - effort - retrainings * retraining

    if Fraction(str(saving)) * 1000 * cadence <= Fraction(str(retraining)):
        assert found.weeks is None
        assert "no more than" in found.reason
        return
    cycles = found.weeks / cadence
    assume(abs(cycles - round(cycles)) > 1e-9)  # paid back at the very moment of a retraining: before or after it
    due = math.ceil(cycles) - 1
    assert balance(found.weeks, due) == pytest.approx(0, abs=1e-6 * (effort + retraining * (due + 1)))
    tolerance = 1e-6 * (effort + retraining * (due + 30))
    for later in range(due + 1, due + 20):
        assert balance(later * cadence, later) >= -tolerance
    if due:
        assert balance(due * cadence, due) <= tolerance
    assert found.first_weeks <= found.weeks * (1 + 1e-9)


def test_retraining_that_eats_the_saving_never_pays():
    found = project_payback(10_000, 0.01, 100_000, retraining_usd=5000, retrain_every_weeks=4)
    assert found.weeks is None
    assert found.reason == "4 weeks save $4000.00, no more than the $5000.00 the retraining then costs"
    assert found.sustaining_requests_per_week == 125_000
    quick = project_payback(3000, 0.01, 100_000, retraining_usd=5000, retrain_every_weeks=4)
    assert (quick.weeks, quick.first_weeks) == (None, 3)


def test_a_saving_that_equals_its_retraining_never_pays_whatever_binary_says():
    """2.023 * 1000 is 2023.0000000000002 in binary; the cycle saves exactly what the retraining costs."""
    assert project_payback(1, 2.023, 1000, retraining_usd=2023, retrain_every_weeks=1).weeks is None


@pytest.mark.parametrize(("saving", "volume"), [(0, 100), (-0.1, 100), (0.1, 0)])
def test_no_saving_no_payback(saving, volume):
    found = project_payback(100, saving, volume)
    assert found.weeks is None
    assert found.reason == "it saves nothing per week"


def test_volume_needed_to_pay_back_within_a_year():
    """52 weeks, retrained every 13: three retrainings fall before the end."""
    needed = requests_per_week_needed(10_000, 0.01, 52, retraining_usd=1000, retrain_every_weeks=13)
    assert needed == pytest.approx(13_000 / 0.52)
    assert requests_per_week_needed(5200, 0.01, 52) == pytest.approx(10_000)


def test_effort_of_a_distillation():
    effort = distillation_effort_usd(
        teacher_mtok=20,
        teacher_usd_per_mtok=10,
        gpu_hours=8,
        usd_per_gpu_hour=2.5,
        people_hours=16,
        usd_per_people_hour=90,
    )
    assert effort == 200 + 20 + 1440
    assert distillation_effort_usd() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: payback(0, 1), "capex_usd is 0"),
        (lambda: payback(100, float("nan")), "saving_usd_per_month is nan"),
        (lambda: payback(100, 1, life_months=0), "life_months is 0"),
        (lambda: payback(100, 1, life_months=1000), "life_months is 1000; allowed: at most 240"),
        (lambda: payback(100, 1, discount_rate_per_year=-0.1), "discount_rate_per_year is -0.1"),
        (lambda: owned_payback(1, 1, 1, amortization_usd_per_month=2), "amortization_usd_per_month is 2; .* at most"),
        (lambda: project_payback(1, 1, 1, retraining_usd=5), "retrain_every_weeks is None"),
        (lambda: project_payback(1, 1, 1, retraining_usd=5, retrain_every_weeks=0), "retrain_every_weeks is 0"),
        (lambda: project_payback(-1, 1, 1), "effort_usd is -1"),
        (lambda: distillation_effort_usd(gpu_hours=1), "rate of gpu_hours is 0"),
        (lambda: requests_per_week_needed(1, 0, 1), "saving_usd_per_request is 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
