"""The rate of the very device a measurement ran on, found by the name its driver gives it.

A GPU is matched by NVML's name. A CPU is priced as a share of a cloud machine: the rate of the shipped two-core row
times cores / 2, because clouds price general-purpose machines by the core.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from costlib.devices import known_gpu
from costlib.errors import bad
from costlib.prices.book import AsOf
from costlib.prices.rates import Rate, load_rates, rate

_CPU = re.compile(r"CPU, (\d+) cores")
_CPU_ROW, _CPU_ROW_CORES = "CPU 2 cores", 2


def measured_rate(
    measured: str,
    rate_kind: str = "on_demand",
    provider: str | None = None,
    as_of: AsOf = None,
    path: Path | None = None,
) -> Rate:
    """The rate of a measured device; that of a CPU with other than two cores is scaled and of kind derived.

    Raises the errors of `rate`, and `InputError` where no device of data/rates.csv stands for the measured one.
    """
    cpu = _CPU.match(measured)
    name = _CPU_ROW if cpu else known_gpu(measured)
    if name is None:
        allowed = "a device of data/rates.csv (add a row there, or give the $/hour yourself)"
        raise bad("device", measured, allowed)
    found = rate(name, rate_kind, provider, as_of=as_of, path=path)
    cores = int(cpu[1]) if cpu else _CPU_ROW_CORES
    if cores == _CPU_ROW_CORES:
        return found
    factor = Decimal(cores) / _CPU_ROW_CORES
    return replace(
        found,
        device=f"CPU {cores} cores",
        usd_per_hour=found.usd_per_hour * factor,
        low=found.low * factor,
        high=found.high * factor,
        node_usd_per_hour=found.node_usd_per_hour * factor,
        kind="derived",
        source=f"{found.source}; {_CPU_ROW} scaled to {cores} cores",
    )


def device_memory() -> dict[str, int]:
    """Bytes of memory of every GPU in data/rates.csv, by name."""
    found = {row.device: row.memory_bytes for row in load_rates() if not row.device.startswith("CPU")}
    return {name: memory for name, memory in found.items() if memory is not None}
