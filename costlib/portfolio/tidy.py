"""A plan as frames for analysts: numbers are floats, one grain each, the baseline beside the plan, no join left to do.

Columns mean what `costlib.tables.columns` says of their names. Money that must tie to the cent is rounded before it
comes here, so that sums of these floats agree with the totals to a fraction of a cent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from costlib.study import ApiOption, CascadeOption, Study

if TYPE_CHECKING:
    from costlib.portfolio.plan import Plan

_CAUSES = {
    "routing": "trying a small model first", "misses": "more errors", "operations": "more models to run",
    "cheaper model": "cheaper models", "evaluation": "more models to test", "idle capacity": "idle machines",
    "own hardware": "own machines", "batch tier": "overnight batches",
}  # fmt: skip
_FACTORS = {"success rate": "share of errors", "miss cost": "cost of an error"}
_PARTS = {"total": "usd_per_month", "cash": "cash_usd_per_month", "inference": "use_usd_per_month",
          "idle": "idle_usd_per_month", "misses": "errors_usd_per_month"}  # fmt: skip


@dataclass(frozen=True)
class PlanFrames:
    """The frames of a plan.

    summary: one row, what a headline needs: counts, cash cost before and after, net saving with its range, odds
    choices: a row per workload, dearest first: the choice and the baseline side by side, parts of the cost, next best
    totals: a row per side (baseline, plan, saving), a column per part of the cost, with ranges
    stages: a row per workload and API asked (a cascade asks several), with tokens and prices: a bill by hand
    causes: where the saving comes from, in plain words, largest first
    flips: a row per workload, input and direction: at what value the choice changes, and how far away that is
    alternatives: a row per workload and option: cost, quality, and why an option is ruled out
    prices: a row per API of the study, list prices
    pools: a row per group of machines the plan rents
    sensitivity: a row per input, cost of the plan at both of its ends
    information: a row per input, what knowing it first would be worth
    value: a row per use case and option: what it earns
    workloads, assumptions: what was assumed
    """

    study: Study
    source: str
    notes: tuple[str, ...]
    summary: pd.DataFrame
    choices: pd.DataFrame
    totals: pd.DataFrame
    stages: pd.DataFrame
    causes: pd.DataFrame
    flips: pd.DataFrame
    alternatives: pd.DataFrame
    prices: pd.DataFrame
    pools: pd.DataFrame
    sensitivity: pd.DataFrame
    information: pd.DataFrame
    value: pd.DataFrame
    workloads: pd.DataFrame
    assumptions: pd.DataFrame

    def __repr__(self) -> str:
        frames = {one.name: getattr(self, one.name) for one in fields(self)}
        lines = [f"  .{name:12} {len(f):5} rows" for name, f in frames.items() if isinstance(f, pd.DataFrame)]
        return "\n".join([f"Plan of {self.source}", *lines])

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>{self.choices[['workload', 'option', 'usd_per_month']]._repr_html_()}"  # type: ignore[operator]


def floats(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with columns of numbers, whatever they are held as, as floats."""
    frame = frame.copy()
    for name in frame.select_dtypes(["object", "str"]):
        held = frame[name].dropna()
        if len(held) and not held.map(lambda value: isinstance(value, (str, bool, list))).any():
            try:
                frame[name] = frame[name].astype(float)
            except (TypeError, ValueError):  # dates
                continue
    return frame


_EMPTY = {
    "prices": ("option", "provider", "model", "tier", "input_usd_per_mtok", "cache_read_usd_per_mtok",
               "output_usd_per_mtok", "source"),
    "pools": ("pool", "replicas", "usd_per_hour", "workloads"),
    "value": ("use_case", "option", "eligible", "net_usd_per_month", "pays"),
    "saving_by_cause": ("workload", "cause", "usd_per_month"),
    "information": ("subject", "factor", "usd_per_month"),
    "sensitivity": ("factor", "swing_usd", "plan_usd_low", "plan_usd_high"),
}  # fmt: skip


def _table(plan: Plan, name: str) -> pd.DataFrame:
    """A table of the plan as floats; one without rows keeps the columns that are asked of it."""
    frame: pd.DataFrame = getattr(plan, name)
    if len(frame):
        return floats(frame)
    texts = ("option", "provider", "model", "tier", "source", "pool", "workloads", "use_case", "workload", "cause",
             "subject", "factor")  # fmt: skip
    return pd.DataFrame(
        {
            c: pd.Series(dtype="str" if c in texts else bool if c in ("eligible", "pays") else float)
            for c in _EMPTY[name]
        }
    )


def frames_of(plan: Plan) -> PlanFrames:
    """The frames of a plan, see `PlanFrames`."""
    day = plan.study.as_of
    prices, alternatives = _table(plan, "prices"), floats(plan.alternatives)
    workloads = floats(plan.workloads)
    choices = _choices(plan, workloads, alternatives)
    totals = _totals(floats(plan.totals))
    pools = _table(plan, "pools").rename(
        columns={
            "utilization_peak": "peak_busy_share", "utilization_mean": "mean_busy_share",
            "replicas": "replicas_count", "idle_usd": "idle_usd_per_month", "busy_usd": "busy_usd_per_month",
            "rate_kind": "usd_per_hour_kind", "rate_source": "usd_per_hour_source",
        }
    )  # fmt: skip
    return PlanFrames(
        study=plan.study,
        source=f"study {plan.study.name}, list prices of {day.day} {day:%B %Y}",
        notes=plan.notes,
        summary=_summary(plan, choices, totals),
        choices=choices,
        totals=totals,
        stages=_stages(plan, prices, workloads),
        causes=_causes(_table(plan, "saving_by_cause")),
        flips=_flips(floats(plan.flips)),
        alternatives=alternatives,
        prices=prices.rename(columns={"model": "model_id"}),
        pools=pools,
        sensitivity=_table(plan, "sensitivity"),
        information=_table(plan, "information"),
        value=_table(plan, "value"),
        workloads=workloads,
        assumptions=floats(plan.assumptions),
    )


def _parts(frame: pd.DataFrame) -> pd.DataFrame:
    frame = floats(frame)
    return frame.assign(
        use_usd_per_month=frame.inference_usd + frame.human_usd,
        idle_usd_per_month=frame.idle_usd,
        errors_usd_per_month=frame.misses_usd,
        upkeep_usd_per_month=frame.evaluation_usd + frame.operations_usd,
    )


def _choices(plan: Plan, workloads: pd.DataFrame, alternatives: pd.DataFrame) -> pd.DataFrame:
    made, base = _parts(plan.assignments), floats(plan.baseline).set_index("workload")
    work = workloads.set_index("workload")
    rivals = alternatives.set_index(["workload", "option"])["misses_usd_per_request"]
    theirs = [rivals.get((w, o), np.nan) for w, o in zip(made["workload"], made["runner_up"], strict=True)]
    judges = {o.name: float(o.usd_per_request) for o in plan.study.options if isinstance(o, CascadeOption)}
    more: dict[str, Any] = {
        name: made["workload"].map(work[name])
        for name in ("miss_cost_usd", "input_tokens", "cached_tokens", "output_tokens")
    }
    made = made.assign(
        baseline_option=made["workload"].map(base["option"]),
        baseline_usd_per_month=made["workload"].map(base["usd_per_month"]),
        judge_usd_per_month=made["option"].map(judges).fillna(0.0) * made["requests_per_month"],
        gap_errors_usd_per_month=(np.array(theirs) * made["requests_per_month"] - made["errors_usd_per_month"]).round(
            2
        ),
        **more,
    )
    made["saving_usd_per_month"] = made["baseline_usd_per_month"] - made["usd_per_month"]
    made = made.assign(success_rate_kind=made["success_kind"], success_rate_source=made["success_source"])
    return made.sort_values("usd_per_month", ascending=False, kind="stable")


def _totals(raw: pd.DataFrame) -> pd.DataFrame:
    rows: dict[str, dict[str, float]] = {}
    for part in raw.to_dict("records"):
        row = rows.setdefault(str(part["side"]), {"upkeep_usd_per_month": 0.0})
        if name := _PARTS.get(str(part["part"])):
            row |= {f"{name}{end}": float(part[f"usd_per_month{end}"]) for end in ("", "_low", "_high")}
        elif part["part"] in ("evaluation", "operations"):
            row["upkeep_usd_per_month"] += float(part["usd_per_month"])
        elif part["part"] == "human":
            row["human_usd_per_month"] = float(part["usd_per_month"])
    for row in rows.values():
        human = row.pop("human_usd_per_month", 0.0)
        row["use_usd_per_month"] += human
        if human:  # the range is of the models alone
            row |= {"use_usd_per_month_low": np.nan, "use_usd_per_month_high": np.nan}
    return pd.DataFrame(rows).T.rename_axis("side")


def _summary(plan: Plan, choices: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    apart = {one.workload for one in plan.study.baseline.exceptions}
    sides = {"before": totals.loc["baseline"], "after": totals.loc["plan"]}
    row: dict[str, Any] = {
        "option": plan.study.baseline.option,
        "workloads_count": len(choices),
        "moved_count": int(
            ((choices["option"] != choices["baseline_option"]) & ~choices["workload"].isin(apart)).sum()
        ),
        "draws_count": plan.study.draws,
        "cheaper_probability": plan.probability_saves,
    }
    for end in ("", "_low", "_high"):
        row |= {f"{side}_usd_per_month{end}": of[f"cash_usd_per_month{end}"] for side, of in sides.items()}
        row[f"net_saving_usd_per_month{end}"] = totals.loc["saving", f"usd_per_month{end}"]
    return pd.DataFrame([row])


def _stages(plan: Plan, prices: pd.DataFrame, workloads: pd.DataFrame) -> pd.DataFrame:
    asked = floats(plan.serving).rename(columns={"asked": "asked_share", "stage": "model"})
    listed = ["input_usd_per_mtok", "cache_read_usd_per_mtok", "output_usd_per_mtok"]
    apis = {one.name for one in plan.study.options if isinstance(one, ApiOption)}
    named = prices[prices["option"].isin(apis)].rename(columns={"option": "model", "model": "model_id"})
    frame = asked.merge(named[["model", "provider", *listed]], on="model")
    frame["cache_read_usd_per_mtok"] = frame["cache_read_usd_per_mtok"].fillna(frame["input_usd_per_mtok"])
    frame["output_usd_per_mtok"] = frame["output_usd_per_mtok"].fillna(0.0)
    keep = ["workload", "requests_per_month", "input_tokens", "cached_tokens", "output_tokens"]
    return frame.merge(workloads[keep], on="workload")


def _causes(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.assign(cause=frame["cause"].replace(_CAUSES))
    added = pd.DataFrame(frame.groupby("cause", as_index=False)["usd_per_month"].sum())
    return added.sort_values("usd_per_month", ascending=False, ignore_index=True)


def _flips(flips: pd.DataFrame) -> pd.DataFrame:
    """With `change_share`, how far away the value is that changes the choice; success is counted in errors."""
    errors = flips["factor"] == "success rate"  # from 98.5 to 98.3 % right is 13 % more errors
    now, at = flips["now"].astype(float), flips["flips_at"].astype(float)
    change = (at / now.where(now != 0)).where(~errors, (1 - at) / (1 - now).where(now != 1)) - 1
    return flips.assign(input=flips["factor"].replace(_FACTORS), change_share=change)
