"""The offers of the very device a measurement ran on, found by the name its driver gives it.

A GPU is matched by the name NVML gives it, whole (see `costlib.devices`). A CPU is priced as a share of a cloud
machine: the rate of the shipped two-core row times cores / 2, because clouds price general-purpose machines by the
core.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

from costlib.devices import data_sheets, known_gpu
from costlib.errors import invalid_input
from costlib.prices.book import AsOf
from costlib.prices.rates import Offer, Rental, cheapest, offers, priced_devices

_CPU = re.compile(r"CPU,? (\d+) cores")
_CPU_ROW, _CPU_ROW_CORES = "CPU 2 cores", 2


def measured_offers(
    measured: str, rate_kind: str = "on_demand", provider: str | None = None, as_of: AsOf = None
) -> tuple[Offer, ...]:
    """What is for sale of a measured device; a CPU with other than two cores is scaled and of kind derived.

    Raises the errors of `offers`, and `InputError` where no device of data/rates.csv stands for the measured one.
    """
    cpu = _CPU.match(measured)
    name = _CPU_ROW if cpu else known_gpu(measured)
    if name is None or name not in priced_devices():
        allowed = "a device of data/rates.csv under a driver's name of data/devices.csv, word for word "
        raise invalid_input("device", measured, allowed + "(add a row there, or give the $/hour yourself)")
    found = offers(name, rate_kind, provider, as_of=as_of)
    cores = int(cpu[1]) if cpu else _CPU_ROW_CORES
    if cores == _CPU_ROW_CORES:
        return found
    return tuple(
        replace(
            one,
            device=f"CPU {cores} cores",
            usd_per_hour=one.usd_per_hour * Decimal(cores) / _CPU_ROW_CORES,
            kind="derived",
            source=f"{one.source}; {_CPU_ROW} scaled to {cores} cores",
        )
        for one in found
    )


def measured_rate(
    measured: str, rate_kind: str = "on_demand", provider: str | None = None, as_of: AsOf = None
) -> Rental:
    """The cheapest whole offer for one measured device; raises what `measured_offers` raises."""
    return cheapest(measured_offers(measured, rate_kind, provider, as_of))


def device_memory() -> dict[str, int]:
    """Bytes of memory of every GPU in data/rates.csv, by name."""
    sheets = data_sheets()
    found = {name: sheets[name].memory_bytes for name in priced_devices() if name in sheets and name[:3] != "CPU"}
    return {name: memory for name, memory in found.items() if memory is not None}
