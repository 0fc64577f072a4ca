"""The tables of what a plan draws on: prices of its APIs, pools of replicas, and every number nobody measured.

Each function builds one; rows carry kind and source as those of frames.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from costlib.portfolio.bill import Work, pool_cents
from costlib.portfolio.problem import on_pools, replicas
from costlib.portfolio.supply import Ends
from costlib.portfolio.workloads import UNITS, Scores, Workload
from costlib.prices.book import PriceBook
from costlib.prices.entries import MissingPrice, TimeNeeded
from costlib.prices.rates import RATE_COLUMNS
from costlib.study import AnyOption, ApiOption, CascadeOption, DistilledOption, RouterOption, Study


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
        except (MissingPrice, TimeNeeded) as error:
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
        rate = supply.rent(int(counts[pool]))
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
                "usd_per_hour": float(rate.usd_per_hour) / int(counts[pool]),
                "usd_per_month": busy + idle,
                "busy_usd": busy,
                "idle_usd": idle,
                "workloads": ", ".join(work.table[w][0].workload.workload for w in users),
                "speed_kind": supply.speed_kind,
                "speed_source": supply.speed_source,
                **rate.columns(),
                "kind": "derived",
                "source": f"study {work.study.name}",
                "note": supply.note,
            }
        )
    columns = "pool device devices_per_replica replicas minimum_replicas peak_hour utilization_peak utilization_mean"
    columns += " usd_per_hour usd_per_month busy_usd idle_usd workloads speed_kind speed_source"
    rate_columns = [f"rate_{name}" for name in RATE_COLUMNS]
    return pd.DataFrame(rows, columns=[*columns.split(), *rate_columns, "kind", "source", "note"])


def assumption_table(study: Study, cases: Sequence[Workload], scores: Scores) -> pd.DataFrame:
    """Every number nobody measured, with range and source: assumptions, column rules, profiles, what options state.

    Of the use cases nobody serves yet, named in the column `use_case`, it holds every number of their table and every
    success rate, because no other table of a plan does.
    """
    rows: list[dict[str, Any]] = []

    def add(name: str, ends: Ends, unit: str, of: Any, meaning: str, case: str | None = None) -> None:
        low, value, high = ends
        rows.append({"name": name, "value": value, "low": low, "high": high, "unit": unit, "kind": of.kind,
                     "source": of.source, "meaning": meaning, "use_case": case})  # fmt: skip

    for name, assumption, meaning in study.assumptions.rows():
        add(name, assumption.ends, assumption.unit, assumption, meaning)
    for name, rule in study.workload_columns.items():
        unit = f"times the workload table ({UNITS[name]})"
        add(name, (rule.low_factor, 1.0, rule.high_factor), unit, rule, "column of the workload table")
    for name, profile in study.profiles.items():
        peak = max(profile.hourly_share()) * 8760 / 12
        add(f"profile {name}", (peak,) * 3, "peak hour over mean", profile, "how requests spread")
    for option in study.options:
        latency = getattr(option, "latency", None)
        if latency is not None:
            wait = latency.wait_s + latency.ttft_s
            add(f"latency of {option.name}", (wait,) * 3, "s", latency, "to the first token")
        for name, ends, unit, meaning in _of_option(option):
            add(f"{name} of {option.name}", ends, unit, option, meaning)
    served = {option.capability for option in study.options}
    for case in cases:
        for name, rule in study.workload_columns.items():
            if (stated := getattr(case, name)) is not None:
                ends = (float(stated) * rule.low_factor, float(stated), float(stated) * rule.high_factor)
                add(name, ends, UNITS[name], rule, case.source, case.workload)
        for (of, capability), score in scores.items():
            if of == case.workload and capability in served:
                ends = (score.low, score.success_rate, score.high)
                add(f"success rate of {capability}", ends, "share", score, "share of good answers", of)
    return pd.DataFrame(rows)


def _of_option(option: AnyOption) -> Iterator[tuple[str, Ends, str, str]]:
    """What a cascade, router or student states of itself; shares that a policy brings were measured."""
    if isinstance(option, DistilledOption):
        yield "making", (option.people_hours,) * 3, "h", "people's hours to make the student"
        yield "life", (option.lifetime_weeks,) * 3, "weeks", "over which making it is paid back"
        if option.retrain_every_weeks is not None:
            yield "retraining", (option.retraining_people_hours,) * 3, "h", "people's hours, each time"
            yield "time to a retraining", (option.retrain_every_weeks,) * 3, "weeks", "between two retrainings"
    elif isinstance(option, CascadeOption | RouterOption):
        for stage in option.stages if option.policy is None else ():
            if stage.share is not None:
                yield f"share of {stage.option}", stage.ends, "share", "requests that reach it"
        if option.usd_per_request:
            yield "judging or routing", (option.usd_per_request,) * 3, "USD/request", "besides what the stages cost"
