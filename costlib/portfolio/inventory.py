"""The tables of what a plan draws on: prices of its APIs, pools of replicas, and every number nobody measured.

Each function builds one; rows carry kind and source as those of frames.py.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from costlib.portfolio.assign import on_pools, replicas
from costlib.portfolio.bill import Work, pool_cents
from costlib.portfolio.workloads import UNITS
from costlib.prices.book import PriceBook
from costlib.prices.entries import MissingPrice
from costlib.study import ApiOption, Study


def prices(work: Work, book: PriceBook) -> pd.DataFrame:
    """One row per API option: $ per million tokens at the study's date, below any long-context step, with price ids."""
    rows = []
    asked = {place for w in range(len(work.choice)) for place, _ in work.stages(w)}
    for o, supply in enumerate(work.found):
        option = supply.option
        if not isinstance(option, ApiOption):
            continue
        row: dict[str, Any] = {
            "option": option.name,
            "provider": option.provider,
            "model": option.model,
            "tier": option.tier,
            "reason": None,
        }
        try:
            bands = book.sheet(option.model, option.provider, option.tier, work.study.as_of).bands
        except MissingPrice as error:
            bands, row["reason"] = {}, str(error)
        for kind in ("input", "cache_read", "output"):
            row[f"{kind}_usd_per_mtok"] = bands[kind][0].usd_per_mtok if kind in bands else None
        rows.append(
            {
                **row,
                "price_ids": " ".join(
                    bands[kind][0].price.id for kind in ("input", "cache_read", "output") if kind in bands
                ),
                "as_of": work.study.as_of,
                "kind": "quoted",
                "source": book.source,
                "used": o in asked,
            }
        )
    return pd.DataFrame(rows)


def pools(work: Work) -> pd.DataFrame:
    """One row per pool of replicas the plan rents: size, derived utilization, and its bill split into busy and idle."""
    problem, rows = work.scenario.problem, []
    counts = replicas(problem, work.choice)
    ceiling = work.study.assume("max_utilization")
    loads, used = on_pools(problem, work.choice, problem.load)
    shared = pool_cents(work, work.choice)
    for pool in np.flatnonzero(counts):
        supply = work.found[work.economy.pool_option[pool]]
        users = np.flatnonzero(used[:, pool])
        load = loads[:, pool] @ work.economy.hours * ceiling
        busy, idle = (sum((shared[w][int(pool)][part] for w in users), Decimal(0)) for part in (0, 1))
        assert supply.usd_per_hour is not None
        rows.append(
            {
                "pool": supply.name,
                "device": supply.device,
                "devices_per_replica": supply.devices,
                "replicas": int(counts[pool]),
                "minimum_replicas": int(problem.minimum[pool]),
                "peak_hour": int(load.argmax()),
                "utilization_peak": float(load.max() / counts[pool]),
                "utilization_mean": float(busy / (busy + idle)),
                "usd_per_hour": supply.usd_per_hour[1],
                "usd_per_month": busy + idle,
                "busy_usd": busy,
                "idle_usd": idle,
                "workloads": ", ".join(work.table[w][0].workload.workload for w in users),
                "speed_kind": supply.speed_kind,
                "speed_source": supply.speed_source,
                "rate_kind": supply.rate_kind,
                "rate_source": supply.rate_source,
                "kind": "derived",
                "source": f"study {work.study.name}",
                "note": supply.note,
            }
        )
    columns = "pool device devices_per_replica replicas minimum_replicas peak_hour utilization_peak utilization_mean"
    columns += " usd_per_hour usd_per_month busy_usd idle_usd workloads speed_kind speed_source rate_kind rate_source"
    return pd.DataFrame(rows, columns=[*columns.split(), "kind", "source", "note"])


def assumption_table(study: Study) -> pd.DataFrame:
    """Every number nobody measured: assumptions, column rules, profiles and latencies, with range and source."""
    rows: list[dict[str, Any]] = []
    for name, assumption, meaning in study.assumptions.rows():
        low, value, high = assumption.ends
        rows.append({"name": name, "value": value, "low": low, "high": high, "unit": assumption.unit,
                     "kind": assumption.kind, "source": assumption.source, "meaning": meaning})  # fmt: skip
    for name, rule in study.workload_columns.items():
        rows.append({"name": name, "value": 1.0, "low": rule.low_factor, "high": rule.high_factor,
                     "unit": f"times the workload table ({UNITS[name]})", "kind": rule.kind, "source": rule.source,
                     "meaning": "column of the workload table"})  # fmt: skip
    for name, profile in study.profiles.items():
        peak = max(profile.hourly_share()) * 8760 / 12
        rows.append({"name": f"profile {name}", "value": peak, "low": peak, "high": peak, "unit": "peak hour over mean",
                     "kind": profile.kind, "source": profile.source, "meaning": "how requests spread"})  # fmt: skip
    for option in study.options:
        latency = getattr(option, "latency", None)
        if latency is not None:
            wait = latency.wait_s + latency.ttft_s
            rows.append({"name": f"latency of {option.name}", "value": wait, "low": wait, "high": wait, "unit": "s",
                         "kind": latency.kind, "source": latency.source, "meaning": "to the first token"})  # fmt: skip
    return pd.DataFrame(rows)
