"""The evaluation matrix: how well each option does each workload, how that is known, and $ per good answer.

An empty cell is an option nobody evaluated on a workload: it is shown with its reason and never chosen. Keeping the
matrix current costs money every month, which the plan's totals hold as its parts `evaluation` and `operations`.
"""

from __future__ import annotations

import pandas as pd

from costlib.portfolio.plan import RENAMED, Plan

COLUMNS = (
    "workload", "option", "chosen", "eligible", "success_rate", "success_rate_low", "success_rate_high",
    "success_kind", "success_source", "success_items", "success_date", "usd_per_request",
)  # fmt: skip


def evaluation_matrix(plan: Plan) -> pd.DataFrame:
    """One row per workload and option, in the study's order.

    `usd_per_request` is inference, replicas, evaluation and expected misses with the workload alone on the option;
    `usd_per_good_answer` that over the success rate, with the ends of the success rate's interval. Unknown where there
    is no success rate, price or speed; `reason` says which requirement failed.
    """
    found = plan.alternatives.rename(columns=RENAMED).loc[:, [*COLUMNS, "reason"]].copy()
    for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
        rate = found[f"success_rate{other}"].where(found[f"success_rate{other}"] > 0)
        found[f"usd_per_good_answer{end}"] = found["usd_per_request"] / rate
    empty = found["success_rate"].isna() & found["reason"].isna()
    found["reason"] = found["reason"].mask(empty, "no success rate")
    return found.reset_index(drop=True)


def upkeep(plan: Plan) -> pd.DataFrame:
    """What keeping the matrix costs: cells evaluated and models kept, and USD per month of each, of the plan.

    A model is evaluated on each workload it serves (`evaluation_usd_per_month`) and kept once
    (`operations_usd_per_month`), both assumptions of the study; people are not evaluated.
    """
    rows = []
    for part in ("evaluation", "operations"):
        total, each = float(plan.choices[f"{part}_usd_per_month"].sum()), plan.study.assume(f"{part}_usd_per_month")
        count = round(total / each) if each else 0
        rows.append({"part": part, "count": count, "usd_each_per_month": each, "usd_per_month": total})
    return pd.DataFrame(rows).assign(kind="derived")
