"""FOCUS rows of machines: rented by the hour, reserved ahead, or bought.

A machine bills hours, busy or idle, and serves tokens: its rows are priced in hours and count tokens as consumed. A
reservation and owned hardware are paid for by a purchase row whose effective cost is 0; their hours then bill nothing,
or only what running them costs (power, hosting, people), and carry the purchase as effective cost. Over the life of
owned hardware these add up to what was paid less what it is sold for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from costlib.cost.api_charges import METERS, NO_WORKLOAD
from costlib.cost.focus import RENTAL, Charge, Commitment
from costlib.cost.focus_rules import next_month
from costlib.cost.inputs import money
from costlib.errors import bad
from costlib.figure import Kind

_UNIT_PRICE = Decimal("1e-9")
IDLE = "Idle Hours"


@dataclass(frozen=True)
class Bought:
    """Hardware of a whole pool, bought once: what was paid, its published price, and what it is sold for in the end.

    `life_hours` are hours of wall clock. Raises `InputError` for a residual above the price, or a price above the list.
    """

    paid_usd: Decimal
    listed_usd: Decimal
    residual_usd: Decimal
    life_hours: Decimal
    on: date

    def __post_init__(self) -> None:
        """Refuse what would amortize to less than nothing."""
        money("paid_usd", self.paid_usd)
        money("life_hours", self.life_hours)
        money("residual_usd", self.residual_usd, zero=True)
        if self.residual_usd > self.paid_usd:
            raise bad("residual_usd", f"{self.residual_usd:f}", f"at most paid_usd ({self.paid_usd:f})")
        if money("listed_usd", self.listed_usd) < self.paid_usd:
            raise bad("listed_usd", f"{self.listed_usd:f}", f"at least paid_usd ({self.paid_usd:f})")

    def per_hour(self, price: Decimal, replicas: Decimal) -> Decimal:
        """What an hour of one of `replicas` carries of a `price` of the pool, to nine decimals."""
        return ((price - self.residual_usd) / self.life_hours / replicas).quantize(_UNIT_PRICE)


@dataclass(frozen=True)
class Pool:
    """Machines that serve one option for a period: `replicas` of them, each at `usd_per_hour`, for `hours` in all.

    `listed_usd_per_hour` is the published on-demand price of the same machine. `used` is hours and tokens by workload
    and kind of token, `idle` hours by workload; together they are `hours`. `bought` belongs to owned machines.
    """

    name: str
    model: str
    provider: str
    device: str
    rate_kind: str
    replicas: int
    hours: Decimal
    usd_per_hour: Decimal
    listed_usd_per_hour: Decimal
    used: Mapping[tuple[str, str], tuple[Decimal, Decimal]]
    idle: Mapping[str, Decimal]
    kind: Kind
    source: str
    bought: Bought | None = None


def hosting_charges(pool: Pool, start: date, end: date) -> list[Charge]:
    """The purchase (of a reservation, or of hardware bought in the month of `start`) and every hour of a pool.

    Raises `InputError` where used and idle hours are not the paid ones, or an owned hour costs less than its capital.
    """
    spent = sum((hours for hours, _ in pool.used.values()), Decimal(0)) + sum(pool.idle.values(), Decimal(0))
    if spent != pool.hours:
        raise bad(f"hours of pool {pool.name}", f"{spent:f}", f"used and idle hours that add up to {pool.hours:f}")
    listed, contracted, billed, effective = _unit_prices(pool)
    reserved = pool.rate_kind.startswith("reserved")
    hour = Charge(
        model=pool.model,
        workload=NO_WORKLOAD,
        token_kind=IDLE,
        description=f"Reservation of {pool.replicas} replicas of {pool.name}",
        provider=pool.provider,
        service=f"{pool.provider} machines",
        service_category=RENTAL,
        sku=f"{pool.provider}/{pool.device}",
        sku_price=f"{pool.provider}/{pool.device}:{'owned' if pool.rate_kind == 'owned' else 'on_demand'}",
        start=start,
        end=end,
        quantity=pool.hours,
        unit="Hours",
        listed=listed,
        contracted=contracted,
        billed=billed,
        effective=effective,
        pricing_category="Committed" if reserved else "Dynamic" if pool.rate_kind == "spot" else "Standard",
        resource=(pool.name, "Replica"),
        kind=pool.kind,
        source=pool.source,
        price_id=f"{pool.provider}/{pool.device}:{pool.rate_kind}",
    )
    charges = _purchases(pool, hour)
    for (workload, kind), (hours, tokens) in pool.used.items():
        meter = METERS.get(kind, kind)
        about = f"{meter} of {pool.model} for {workload}, on {pool.name}"
        commitment = _commitment(pool, hours, "Used") if reserved else None
        served = replace(hour, workload=workload, token_kind=meter, description=about, quantity=hours)
        charges.append(replace(served, consumed=(tokens, "Tokens"), commitment=commitment))
    for workload, hours in pool.idle.items():
        about = f"Idle hours of {pool.name}, borne by {workload}"
        commitment = _commitment(pool, hours, "Unused") if reserved else None
        idle = replace(hour, workload=workload, description=about, quantity=hours, commitment=commitment)
        charges.append(idle if reserved else replace(idle, consumed=(hours, "Hours")))
    return [charge for charge in charges if charge.quantity]


def _unit_prices(pool: Pool) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Listed, contracted, billed and effective price of an hour."""
    hourly = pool.usd_per_hour
    if pool.rate_kind.startswith("reserved"):
        return pool.listed_usd_per_hour, pool.listed_usd_per_hour, Decimal(0), hourly
    if pool.rate_kind != "owned":
        return pool.listed_usd_per_hour, hourly, hourly, hourly
    if pool.bought is None:  # bought before, at a price nobody gave: a cost and no bill
        return hourly, hourly, Decimal(0), hourly
    replicas = Decimal(pool.replicas)
    capital, at_list = (pool.bought.per_hour(usd, replicas) for usd in (pool.bought.paid_usd, pool.bought.listed_usd))
    if capital > hourly:
        allowed = f"a purchase whose capital is at most the {hourly:f} USD an hour of {pool.name} costs"
        raise bad("capital per hour", f"{capital:f}", allowed)
    return at_list + hourly - capital, hourly, hourly - capital, hourly


def _commitment(pool: Pool, hours: Decimal, status: Literal["Used", "Unused"] | None) -> Commitment:
    return Commitment(f"{pool.name}, {pool.rate_kind}", "Usage", pool.rate_kind, hours, "Hours", status)


def _purchases(pool: Pool, hour: Charge) -> list[Charge]:
    """The purchase row that pays for `hour`s to come, if there is one in this month."""
    sku = f"{pool.provider}/{pool.device}:{pool.rate_kind}"
    bare = replace(hour, token_kind="Purchase", category="Purchase", contracted=None, billed=None, effective=None)
    bare = replace(bare, sku=sku, sku_price=f"{sku}:purchase", price_id=None, pricing_category="Standard")
    if pool.rate_kind.startswith("reserved"):
        commitment = _commitment(pool, pool.hours, None)
        return [replace(bare, listed=pool.usd_per_hour, recurring=True, commitment=commitment)]
    bought = pool.bought
    if bought is None or pool.rate_kind != "owned" or not hour.start <= bought.on < next_month(hour.start):
        return []
    end = max(bought.on + timedelta(hours=float(bought.life_hours)), bought.on + timedelta(days=1))
    about = (
        f"Hardware of {pool.name}, {bought.residual_usd:f} USD of it expected back after {bought.life_hours:f} hours"
    )
    bare = replace(bare, description=about, start=bought.on, end=end, quantity=Decimal(1), unit="Pools")
    return [replace(bare, listed=bought.listed_usd, contracted=bought.paid_usd)]
