"""The tables of a plan. Each function builds one; its docstring says what a row is.

Every row carries its kind and its source. Unknown is null with a reason. `*_low` and `*_high` are the 2.5 and 97.5
percentiles over the draws of risk.py; money columns named in `bill.py` are `Decimal` and tie exactly.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from costlib.portfolio.bill import Bill, Work
from costlib.portfolio.economics import PARTS
from costlib.portfolio.flips import break_even_miss_usd
from costlib.portfolio.offers import Offer
from costlib.portfolio.problem import Floats, alone_replicas, alone_usd, rent, switch_usd
from costlib.study import ApiOption, HumanOption


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _money(parts: dict[str, Decimal]) -> dict[str, Any]:
    return {f"{part}_usd": parts[part] for part in PARTS}


def _score(offer: Offer) -> dict[str, Any]:
    score = offer.score
    return {
        "success_rate": score.success_rate if score else np.nan,
        "success_rate_low": score.low if score else np.nan,
        "success_rate_high": score.high if score else np.nan,
        "success_kind": score.kind if score else None,
        "success_source": score.source if score else None,
        "success_items": score.items if score and score.items else np.nan,
        "success_date": score.date if score else None,
    }


def _inference_kind(offer: Offer) -> str:
    """How the price or the speed behind the cost of serving is known."""
    option = offer.supply.option
    if isinstance(option, ApiOption):
        return "quoted"
    return "assumed" if isinstance(option, HumanOption) else offer.supply.speed_kind


def assignments(work: Work, bill: Bill) -> pd.DataFrame:
    """One row per workload: the chosen option, its monthly cost by part, how sure it is, and the runner-up."""
    switch = switch_usd(work.scenario.problem, work.choice)
    rows = []
    for w, option in enumerate(work.choice):
        offer = work.table[w][option]
        workload, total = offer.workload, sum(bill[w].values(), Decimal(0))
        low, high = _interval(work.simulation.plan[:, :, w].sum(axis=1))
        others = np.where(np.arange(len(work.found)) == option, np.inf, switch[w])
        rival = int(np.argmin(others)) if np.isfinite(others).any() else None
        good = workload.requests_per_month * (offer.score.success_rate if offer.score else np.nan)
        rows.append(
            {
                "workload": workload.workload,
                "task": workload.task,
                "option": offer.supply.name,
                "type": offer.supply.option.type,
                "requests_per_month": workload.requests_per_month,
                "usd_per_month": total,
                "usd_per_month_low": low,
                "usd_per_month_high": high,
                **_money(bill[w]),
                "usd_per_request": float(total) / workload.requests_per_month,
                "misses_share": float(bill[w]["misses"] / total) if total else np.nan,
                **_score(offer),
                "quality_floor": workload.quality_floor,
                "probability_floor_met": float(work.simulation.floor_met[w]),
                "latency_s": np.nan if offer.latency_s is None else offer.latency_s,
                "latency_limit_s": np.nan if workload.latency_limit_s is None else workload.latency_limit_s,
                "value_usd_per_month": np.nan if workload.value_usd is None else good * float(workload.value_usd),
                "runner_up": None if rival is None else work.found[rival].name,
                "gap_usd_per_month": np.nan if rival is None else float(others[rival]),
                "probability_best": float(work.simulation.best[w]),
                "regret_usd_per_month": float(work.simulation.regret[w]),
                "why": _why(work, w, rival, others),
                "kind": "derived",
                "inference_kind": _inference_kind(offer),
                "source": offer.source,
                "note": offer.note,
            }
        )
    return pd.DataFrame(rows)


def _why(work: Work, w: int, rival: int | None, others: Floats) -> str:
    """One sentence: what the choice wins by, and what the next one would lose it on."""
    if rival is None:
        return "the only option that meets every requirement"
    own, other = work.table[w][work.choice[w]], work.table[w][rival]
    count = int(np.isfinite(others).sum()) + 1
    head = f"cheapest of {count} eligible options, {others[rival]:,.0f} USD a month before {other.supply.name}"
    if _paid_anyway(work, w):
        head = f"on replicas that are paid for anyway, {head}"
    if own.score is None or other.score is None:
        return head
    misses = own.workload.requests_per_month * float(own.workload.miss_cost_usd)
    fewer = (own.score.success_rate - other.score.success_rate) * misses
    if fewer > 0:
        return f"{head}, whose misses would cost {fewer:,.0f} USD more"
    return f"{head}, whose misses would cost {-fewer:,.0f} USD less but whose use costs more" if fewer < 0 else head


def _paid_anyway(work: Work, w: int) -> bool:
    """Whether the choice runs on replicas that other workloads pay for and nothing else of it is paid by use."""
    problem, parts, choice = work.scenario.problem, work.scenario.parts, work.choice
    others = np.arange(len(choice)) != w
    rest = replace(problem, load=problem.load[others], hours=problem.hours[others])
    added = rent(problem, choice)[1].sum() - rent(rest, choice[others])[1].sum()
    return bool((parts["api"] + parts["human"])[w, choice[w]] + added == 0)


def serving(work: Work) -> pd.DataFrame:
    """One row per workload and option that answers it: itself, or each stage of a cascade or router.

    `asked` is the exact share (`Decimal`) of the workload's requests that reach the option.
    """
    rows = []
    for w, o in enumerate(work.choice):
        workload = work.table[w][o].workload.workload
        for place, share in work.stages(w):
            rows.append([workload, work.found[o].name, work.found[place].name, Decimal(repr(share))])
    return pd.DataFrame(rows, columns=["workload", "option", "stage", "asked"])


def alternatives(work: Work) -> pd.DataFrame:
    """Every workload x option: whether it may serve, why not, and what it would cost with the workload alone on it."""
    problem, parts = work.scenario.problem, work.scenario.parts
    break_even = break_even_miss_usd(work.economy, work.choice)
    whole_usd, counts = alone_usd(problem), alone_replicas(problem)
    rows = []
    for w, offered in enumerate(work.table):
        requests = offered[0].workload.requests_per_month
        for o, offer in enumerate(offered):
            priced = not {"price", "speed"} & offer.failed.keys()
            known = priced and offer.score is not None and "quality gate" not in offer.failed
            count, alone = counts[w, o], whole_usd[w, o]
            marginal = (parts["api"] + parts["busy"] + parts["human"])[w, o] / requests
            misses = parts["misses"][w, o] / requests
            star = float(break_even[w, o]) if known and o != work.choice[w] else np.nan
            rows.append(
                {
                    "workload": offer.workload.workload,
                    "option": offer.supply.name,
                    "type": offer.supply.option.type,
                    "chosen": bool(o == work.choice[w]),
                    "eligible": offer.eligible,
                    "reason": "; ".join(f"{name}: {text}" for name, text in offer.failed.items()) or None,
                    "usd_per_request": alone / requests if known else np.nan,
                    "usd_per_month": float(alone) if known else np.nan,
                    "marginal_usd_per_request": marginal if known else np.nan,
                    "misses_usd_per_request": misses if offer.score else np.nan,
                    "misses_share": misses * requests / alone if known and alone else np.nan,
                    **_score(offer),
                    "latency_s": np.nan if offer.latency_s is None else offer.latency_s,
                    "replicas": count if priced else np.nan,
                    "break_even_miss_cost_usd": star,
                    "break_even_reason": _no_break_even(work, w, o, star, known),
                    "kind": "derived",
                    "source": offer.source,
                    "note": offer.note,
                }
            )
    return pd.DataFrame(rows)


def _no_break_even(work: Work, w: int, o: int, star: float, known: bool) -> str | None:
    """Why there is no cost of a miss at which option and choice cost the same."""
    if np.isfinite(star):
        return None
    if o == work.choice[w]:
        return "the choice itself"
    if not known:
        return "unknown: it has no price, speed or success rate, or broke the quality gate"
    success = work.scenario.level["success_rate"][w]
    if success[o] == success[work.choice[w]]:
        return "never: both miss equally often"
    return "never: the choice is " + (
        "cheaper and better" if success[o] < success[work.choice[w]] else "dearer and worse"
    )


def baseline(work: Work, bill: Bill) -> pd.DataFrame:
    """One row per workload: what the study compares with, whether or not it meets floors and limits."""
    exceptions = {exception.workload: exception.reason for exception in work.study.baseline.exceptions}
    rows = []
    for w, option in enumerate(work.baseline):
        offer = work.table[w][option]
        total = sum(bill[w].values(), Decimal(0))
        low, high = _interval(work.simulation.baseline[:, :, w].sum(axis=1))
        unmet = "; ".join(f"{name}: {text}" for name, text in offer.failed.items())
        rows.append(
            {
                "workload": offer.workload.workload,
                "option": offer.supply.name,
                "type": offer.supply.option.type,
                "requests_per_month": offer.workload.requests_per_month,
                "usd_per_month": total,
                "usd_per_month_low": low,
                "usd_per_month_high": high,
                **_money(bill[w]),
                "misses_share": float(bill[w]["misses"] / total) if total else np.nan,
                **_score(offer),
                "reason": exceptions.get(offer.workload.workload),
                "kind": "derived",
                "source": offer.source,
                "note": "; ".join(text for text in (unmet, offer.note) if text),
            }
        )
    return pd.DataFrame(rows)


def totals(work: Work, plan: Bill, base: Bill) -> pd.DataFrame:
    """Plan, baseline and saving: in all, in cash (all but expected misses), and by part; USD per month."""
    draws = {"plan": work.simulation.plan.sum(axis=2), "baseline": work.simulation.baseline.sum(axis=2)}
    draws["saving"] = draws["baseline"] - draws["plan"]
    sums = {
        side: {part: sum((row[part] for row in bill), Decimal(0)) for part in PARTS}
        for side, bill in (("plan", plan), ("baseline", base))
    }
    sums["saving"] = {part: sums["baseline"][part] - sums["plan"][part] for part in PARTS}
    whole_baseline = sum(sums["baseline"].values(), Decimal(0))
    groups = {"total": PARTS, "cash": tuple(part for part in PARTS if part != "misses"), **{p: (p,) for p in PARTS}}
    rows = []
    for side, parts in sums.items():
        for part, members in groups.items():
            usd = sum((parts[member] for member in members), Decimal(0))
            low, high = _interval(draws[side][:, [PARTS.index(member) for member in members]].sum(axis=1))
            rows.append(
                {
                    "side": side,
                    "part": part,
                    "usd_per_month": usd,
                    "usd_per_month_low": low,
                    "usd_per_month_high": high,
                    "share_of_baseline": float(usd / whole_baseline) if whole_baseline else np.nan,
                    "unit": "USD/month",
                    "kind": "derived",
                    "source": f"study {work.study.name}",
                }
            )
    return pd.DataFrame(rows)
