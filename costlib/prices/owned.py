"""What an hour of one's own hardware costs: capital once, then power, hosting and people."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

from costlib.errors import invalid_input
from costlib.prices.amounts import Amount, exact
from costlib.value import brief

HOURS_PER_YEAR = 8760
_LARGEST, _HIGHEST_RATE, _SHORTEST = Decimal("1e15"), Decimal("1e3"), Decimal("1e-9")
_NO_INTEREST = Decimal("1e-60")
"""Interest over the life up to which capital is its plain share: the two then agree far beyond a cent."""


@brief
@dataclass(frozen=True)
class OwnedHour:
    """US dollars for an hour of owned hardware, by what they pay for; the hour costs the same busy or idle."""

    capital: Decimal
    energy: Decimal
    hosting: Decimal
    staff: Decimal

    @property
    def total(self) -> Decimal:
        """The whole hour."""
        return self.capital + self.energy + self.hosting + self.staff


def owned_hour(
    capex: Amount,
    residual: Amount,
    life_hours: Amount,
    kw: Amount,
    pue: Amount,
    usd_per_kwh: Amount,
    hosting_per_hour: Amount = 0,
    staff_per_hour: Amount = 0,
    discount_rate: Amount = 0,
) -> OwnedHour:
    """The hour of hardware bought for `capex` and sold for `residual` US dollars after `life_hours` of wall clock.

    (capex - residual) / life hours + kW * PUE * $/kWh + hosting + staff. Capital enters once: an instalment or a
    depreciation is this same money and is not added. With a yearly `discount_rate` (0.08 for 8 %) capital is the level
    payment that repays capex less the present value of the residual over the life, paid yearly. Raises `InputError`
    for a number that is negative or not finite, a life of zero, a residual above capex, or a PUE below 1.
    """
    given: dict[str, Amount] = {
        "capex": capex,
        "residual": residual,
        "life_hours": life_hours,
        "kw": kw,
        "pue": pue,
        "usd_per_kwh": usd_per_kwh,
        "hosting_per_hour": hosting_per_hour,
        "staff_per_hour": staff_per_hour,
        "discount_rate": discount_rate,
    }
    numbers = {name: exact(name, value, zero=name != "life_hours") for name, value in given.items()}
    for name, number in numbers.items():
        if number >= (most := _HIGHEST_RATE if name == "discount_rate" else _LARGEST):
            raise invalid_input(name, given[name], f"a number below {most:g}")
    if numbers["life_hours"] < _SHORTEST:
        raise invalid_input("life_hours", life_hours, f"at least {_SHORTEST}")
    bought, sold, life = numbers["capex"], numbers["residual"], numbers["life_hours"]
    if sold > bought:
        raise invalid_input("residual", residual, f"at most capex ({capex})")
    if numbers["pue"] < 1:
        raise invalid_input("pue", pue, "a number >= 1 (1 is no overhead)")
    interest = numbers["discount_rate"]
    capital = (bought - sold) / life
    with localcontext(prec=120):  # 1 + rate must keep the digits of a tiny rate
        shrunk = (1 + interest) ** -(life / HOURS_PER_YEAR)
        if 1 - shrunk > _NO_INTEREST:
            capital = (bought - sold * shrunk) * interest / (1 - shrunk) / HOURS_PER_YEAR
    capital = +capital  # rounded to the digits that all amounts have
    energy = numbers["kw"] * numbers["pue"] * numbers["usd_per_kwh"]
    return OwnedHour(capital, energy, numbers["hosting_per_hour"], numbers["staff_per_hour"])


def owned(
    *,
    capex: float,
    life_years: float,
    kw: float,
    usd_per_kwh: float,
    pue: float = 1.0,
    residual: float = 0.0,
    hosting_per_hour: float = 0.0,
    staff_per_hour: float = 0.0,
    discount_rate: float = 0.0,
) -> OwnedHour:
    """What an hour of your own hardware costs, busy or idle, by what it pays for.

    Args:
        capex: $ paid for the hardware.
        life_years: Years it is used, day and night.
        kw: kW it draws.
        usd_per_kwh: $ per kWh.
        pue: Power of the site over power of the hardware.
        residual: $ it is sold for in the end.
        hosting_per_hour: $ an hour for space and network.
        staff_per_hour: $ an hour for its share of people.
        discount_rate: Yearly discount rate, e.g. 0.08.
    """
    asked = dict(locals())
    years = exact("life_years", asked.pop("life_years"), zero=False)
    return owned_hour(life_hours=years * HOURS_PER_YEAR, **asked)
