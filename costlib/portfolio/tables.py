"""The frames of a plan, one function each: numbers are floats, one grain each, no join left to do.

Columns mean what `costlib.tables.columns` says of their names. Money that must tie is rounded to cents first (bill.py),
so that sums of these floats agree with the totals to a fraction of a cent. Unknown is null with a reason; `x_low` and
`x_high` are the 2.5 and 97.5 percentiles over the draws of risk.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from costlib.portfolio.bill import Bill, Work, pool_cents
from costlib.portfolio.economics import FACTORS, PARTS
from costlib.portfolio.flips import Flip, break_even_miss_usd
from costlib.portfolio.flips import flips as find_flips
from costlib.portfolio.information import Worth
from costlib.portfolio.information import information as find_worth
from costlib.portfolio.offers import Offer, offers
from costlib.portfolio.problem import Floats, Ints, alone_replicas, alone_usd, on_pools, rent, replicas, switch_usd
from costlib.portfolio.risk import sensitivity as find_swings
from costlib.portfolio.supply import Ends
from costlib.portfolio.value import VALUE_COLUMNS, value_table
from costlib.portfolio.workloads import UNITS, Workload
from costlib.prices.frames import prices as list_prices
from costlib.prices.rates import RATE_COLUMNS
from costlib.study import AnyOption, ApiOption, CascadeOption, DistilledOption, HumanOption, RouterOption

if TYPE_CHECKING:
    from costlib.portfolio.plan import Plan

NAMES = {"misses": "errors"}
_UNPRICED = {"price", "speed"}
_FLIP_WORDS = {"success rate": "share of errors", "miss cost": "cost of an error"}


def column_of(part: str) -> str:
    """The column of a part of the cost."""
    return f"{NAMES.get(part, part)}_usd_per_month"


_TEXTS = ("option", "capability", "provider", "model_id", "tier", "reason", "price_ids", "pool", "device", "workloads",
          "factor", "unit", "changes", "use_case", "kind", "source", "note")  # fmt: skip
_FLAGS = ("served", "baseline", "eligible", "pays", "used")


def _frame(rows: Sequence[dict[str, Any]], columns: str) -> pd.DataFrame:
    """Rows as a frame that has its columns, and their types, without rows too."""
    frame = pd.DataFrame(rows, columns=columns.split())
    types = {name: "str" if name in _TEXTS else "bool" if name in _FLAGS else "float" for name in frame}
    return frame if rows else frame.astype(types)


def _ends(draws: Floats) -> Floats:
    """Low and high end over draws, the first axis."""
    return np.asarray(np.percentile(draws, [2.5, 97.5], axis=0))


def _scores(offered: Sequence[Offer]) -> dict[str, list[Any]]:
    given = [offer.score for offer in offered]
    names = {"success_rate": "success_rate", "success_rate_low": "low", "success_rate_high": "high",
             "success_items": "items"}  # fmt: skip
    return {
        **{column: [getattr(one, name, None) or np.nan if name == "items" else getattr(one, name, np.nan)
                    for one in given] for column, name in names.items()},
        **{f"success_rate_{name}": [getattr(one, name, None) for one in given] for name in ("kind", "source", "date")},
    }  # fmt: skip


def _side(work: Work, bill: Bill, choice: Ints, draws: Floats) -> pd.DataFrame:
    """One row per workload under a choice, in the study's order: the option, and its monthly cost by part."""
    offered = [work.table[w][o] for w, o in enumerate(choice)]
    totals = [float(sum(parts.values(), Decimal(0))) for parts in bill]
    low, high = _ends(draws.sum(axis=1))
    return pd.DataFrame(
        {
            "workload": [offer.workload.workload for offer in offered],
            "task": [offer.workload.task for offer in offered],
            "option": [offer.supply.name for offer in offered],
            "type": [offer.supply.option.type for offer in offered],
            "requests_per_month": [offer.workload.requests_per_month for offer in offered],
            "usd_per_month": totals,
            "usd_per_month_low": low,
            "usd_per_month_high": high,
            **{column_of(part): [float(parts[part]) for parts in bill] for part in PARTS},
            "misses_share": [float(parts["misses"]) / usd if usd else np.nan
                             for parts, usd in zip(bill, totals, strict=True)],
            **_scores(offered),
            "kind": "derived",
            "source": [offer.source for offer in offered],
            "note": [offer.note for offer in offered],
        }
    )  # fmt: skip


def choices(plan: Plan) -> pd.DataFrame:
    """One row per workload, dearest first: the choice beside the baseline, its cost by part, and the next best."""
    work = plan.work
    made, base = _side(work, work.planned, work.choice, work.simulation.plan), plan.baseline
    switch = switch_usd(work.scenario.problem, work.choice)
    switch[np.arange(len(made)), work.choice] = np.inf
    rivals = [int(row.argmin()) if np.isfinite(row).any() else None for row in switch]
    offered = [work.table[w][o] for w, o in enumerate(work.choice)]
    workloads = [offer.workload for offer in offered]
    requests = made["requests_per_month"]
    judges = {o.name: float(o.usd_per_request) for o in work.study.options if isinstance(o, CascadeOption)}
    good, worth = made["success_rate"] * requests, _column(workloads, "value_usd")
    theirs = [np.nan if o is None or work.table[w][o].score is None else work.scenario.parts["misses"][w, o]
              for w, o in enumerate(rivals)]  # fmt: skip
    made = made.assign(
        usd_per_request=made["usd_per_month"] / requests,
        use_usd_per_month=made["inference_usd_per_month"] + made["human_usd_per_month"],
        upkeep_usd_per_month=made["evaluation_usd_per_month"] + made["operations_usd_per_month"],
        judge_usd_per_month=made["option"].map(judges).fillna(0.0) * requests,
        baseline_option=base["option"],
        baseline_usd_per_month=base["usd_per_month"],
        saving_usd_per_month=base["usd_per_month"] - made["usd_per_month"],
        quality_floor=[one.quality_floor for one in workloads],
        probability_floor_met=work.simulation.floor_met,
        latency_s=[np.nan if offer.latency_s is None else offer.latency_s for offer in offered],
        latency_limit_s=_column(workloads, "latency_limit_s"),
        value_usd_per_month=good * worth,
        runner_up=pd.Series([None if o is None else work.found[o].name for o in rivals], dtype=object),
        gap_usd_per_month=[np.nan if o is None else switch[w, o] for w, o in enumerate(rivals)],
        gap_errors_usd_per_month=(np.array(theirs) - made["errors_usd_per_month"]).round(2),
        probability_best=work.simulation.best,
        regret_usd_per_month=work.simulation.regret,
        why=[_why(work, w, rival, switch[w]) for w, rival in enumerate(rivals)],
        inference_kind=[_inference_kind(offer) for offer in offered],
        **{name: _column(workloads, name) for name in ("miss_cost_usd", "input_tokens", "cached_tokens",
                                                       "output_tokens")},
    )  # fmt: skip
    return made.sort_values("usd_per_month", ascending=False, kind="stable")


def _column(workloads: Sequence[Workload], name: str) -> list[float]:
    return [np.nan if (value := getattr(one, name)) is None else float(value) for one in workloads]


def _inference_kind(offer: Offer) -> str:
    """How the price or the speed behind the cost of serving is known."""
    option = offer.supply.option
    if isinstance(option, ApiOption):
        return "quoted"
    return "assumed" if isinstance(option, HumanOption) else offer.supply.speed_kind


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


def baseline(plan: Plan) -> pd.DataFrame:
    """One row per workload: what the study compares with, whether or not it meets floors and limits."""
    work = plan.work
    exceptions = {exception.workload: exception.reason for exception in work.study.baseline.exceptions}
    made = _side(work, work.compared, work.baseline, work.simulation.baseline).drop(columns="task")
    unmet = ["; ".join(f"{name}: {text}" for name, text in work.table[w][o].failed.items())
             for w, o in enumerate(work.baseline)]  # fmt: skip
    notes = ["; ".join(text for text in both if text) for both in zip(unmet, made["note"], strict=True)]
    return made.assign(reason=made["workload"].map(exceptions).astype(object), note=notes)


def totals(plan: Plan) -> pd.DataFrame:
    """One row per side (baseline, plan, saving), a column with its range per part of the cost, $ per month.

    `cash` leaves expected misses out, `use` is inference and people, `upkeep` evaluation and operations.
    """
    work = plan.work
    groups: dict[str, tuple[str, ...]] = {
        "usd_per_month": PARTS,
        "cash_usd_per_month": tuple(part for part in PARTS if part != "misses"),
        "use_usd_per_month": ("inference", "human"),
        "upkeep_usd_per_month": ("evaluation", "operations"),
    }
    groups |= {column_of(part): (part,) for part in PARTS}
    drawn = {"baseline": work.simulation.baseline.sum(axis=2), "plan": work.simulation.plan.sum(axis=2)}
    drawn["saving"] = drawn["baseline"] - drawn["plan"]
    rows: dict[str, dict[str, float]] = {side: {} for side in drawn}
    for name, members in groups.items():
        sums = {side: sum((parts[one] for parts in bill for one in members), Decimal(0))
                for side, bill in (("baseline", work.compared), ("plan", work.planned))}  # fmt: skip
        sums["saving"] = sums["baseline"] - sums["plan"]
        for side, usd in sums.items():
            low, high = _ends(drawn[side][:, [PARTS.index(member) for member in members]].sum(axis=1))
            rows[side] |= {name: float(usd), f"{name}_low": float(low), f"{name}_high": float(high)}
    return pd.DataFrame(rows).T.rename_axis("side")


def summary(plan: Plan) -> pd.DataFrame:
    """One row, what a headline needs: counts, cash cost before and after, net saving with its range, odds."""
    made, sums = plan.choices, plan.totals
    apart = {one.workload for one in plan.study.baseline.exceptions}
    row: dict[str, Any] = {
        "option": plan.study.baseline.option,
        "workloads_count": len(made),
        "moved_count": int(((made["option"] != made["baseline_option"]) & ~made["workload"].isin(apart)).sum()),
        "draws_count": plan.study.draws,
        "cheaper_probability": plan.probability_saves,
    }
    for end in ("", "_low", "_high"):
        for side, of in (("before", "baseline"), ("after", "plan")):
            row[f"{side}_usd_per_month{end}"] = sums.loc[of, f"cash_usd_per_month{end}"]
        row[f"net_saving_usd_per_month{end}"] = sums.loc["saving", f"usd_per_month{end}"]
    return pd.DataFrame([row])


def serving(plan: Plan) -> pd.DataFrame:
    """One row per workload and option that answers it: itself, or each stage of a cascade or router."""
    work = plan.work
    rows = [
        {"workload": work.table[w][o].workload.workload, "option": work.found[o].name, "stage": work.found[place].name,
         "asked_share": share}
        for w, o in enumerate(work.choice) for place, share in work.stages(w)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def stages(plan: Plan) -> pd.DataFrame:
    """One row per workload and API asked (a cascade asks several), with tokens and prices: a bill by hand."""
    listed = ["input_usd_per_mtok", "cache_read_usd_per_mtok", "output_usd_per_mtok"]
    named = plan.prices[["option", "provider", *listed]].rename(columns={"option": "model"})
    frame = plan.serving.rename(columns={"stage": "model"}).merge(named, on="model")
    frame["cache_read_usd_per_mtok"] = frame["cache_read_usd_per_mtok"].fillna(frame["input_usd_per_mtok"])
    frame["output_usd_per_mtok"] = frame["output_usd_per_mtok"].fillna(0.0)
    keep = ["workload", "requests_per_month", "input_tokens", "cached_tokens", "output_tokens"]
    return frame.merge(plan.workloads[keep], on="workload")


def alternatives(plan: Plan) -> pd.DataFrame:
    """Every workload x option: whether it may serve, why not, and what it would cost with the workload alone on it."""
    work, flat = plan.work, [offer for row in plan.work.table for offer in row]
    scenario, chosen = work.scenario, np.zeros(work.economy.eligible.shape, dtype=bool)
    chosen[np.arange(len(work.choice)), work.choice] = True
    requests = np.repeat([row[0].workload.requests_per_month for row in work.table], len(work.found))
    priced = np.array([not _UNPRICED & offer.failed.keys() for offer in flat])
    scored = np.array([offer.score is not None for offer in flat])
    known = priced & scored & np.array(["quality gate" not in offer.failed for offer in flat])
    alone, misses = (usd.ravel() for usd in (alone_usd(scenario.problem), scenario.parts["misses"]))
    use = (scenario.parts["api"] + scenario.parts["busy"] + scenario.parts["human"]).ravel()
    star = np.where(known & ~chosen.ravel(), break_even_miss_usd(work.economy, work.choice).ravel(), np.nan)
    reasons = ["; ".join(f"{name}: {text}" for name, text in offer.failed.items()) or None for offer in flat]
    return pd.DataFrame(
        {
            "workload": [offer.workload.workload for offer in flat],
            "option": [offer.supply.name for offer in flat],
            "type": [offer.supply.option.type for offer in flat],
            "chosen": chosen.ravel(),
            "eligible": [offer.eligible for offer in flat],
            "reason": reasons,
            "usd_per_request": np.where(known, alone / requests, np.nan),
            "usd_per_month": np.where(known, alone, np.nan),
            "marginal_usd_per_request": np.where(known, use / requests, np.nan),
            "misses_usd_per_request": np.where(scored, misses / requests, np.nan),
            "misses_share": np.where(known & (alone != 0), misses / np.where(alone != 0, alone, 1), np.nan),
            **_scores(flat),
            "latency_s": [np.nan if offer.latency_s is None else offer.latency_s for offer in flat],
            "replicas": np.where(priced, alone_replicas(scenario.problem).ravel(), np.nan),
            "break_even_miss_cost_usd": star,
            "break_even_reason": _no_break_even(work, star, known),
            "kind": "derived",
            "source": [offer.source for offer in flat],
            "note": [offer.note for offer in flat],
        }
    )


def _no_break_even(work: Work, star: Floats, known: Any) -> list[str | None]:
    """Why there is no cost of a miss at which an option and the choice cost the same; None where there is one."""
    success, rows = work.scenario.level["success_rate"], np.arange(len(work.choice))
    less = np.sign(success - success[rows, work.choice][:, None]).ravel()
    words = {-1: "never: the choice is cheaper and better", 0: "never: both miss equally often",
             1: "never: the choice is dearer and worse"}  # fmt: skip
    own = np.ravel_multi_index((rows, work.choice), success.shape)
    unknown = "unknown: it has no price, speed or success rate, or broke the quality gate"
    found = [None if np.isfinite(at) else words[int(sign)] if has else unknown
             for at, sign, has in zip(star, less, known, strict=True)]  # fmt: skip
    for place in own:
        found[place] = "the choice itself"
    return found


def prices(plan: Plan) -> pd.DataFrame:
    """One row per API option: $ per million tokens at the study's date, below any long-context step, with price ids."""
    work = plan.work
    apis = {one.option.name: one.option for one in work.found if isinstance(one.option, ApiOption)}
    frame = list_prices({name: (one.provider, one.model, one.tier) for name, one in apis.items()}, work.study.as_of)
    asked = {work.found[place].name for w in range(len(work.choice)) for place, _ in work.stages(w)}
    frame = frame.rename(columns={"model": "option"})
    return frame.assign(
        used=frame["option"].isin(asked), capability=frame["option"].map({n: o.capability for n, o in apis.items()})
    )


def mean_request(plan: Plan) -> pd.DataFrame:
    """One row: the request that stands for the study, the mean of all that are answered in words (of all, where none
    is), weighted by volume; makes unlike options comparable in one number, and no plan is priced by it.

    `peak_factor` is the rate of the busiest hour of these workloads together over the month's mean rate.
    """
    study, every = plan.study, plan.workloads
    text = every[every["output_tokens"] > 0] if (every["output_tokens"] > 0).any() else every
    weights = text["requests_per_month"].to_numpy()
    row: dict[str, Any] = {"requests_per_month": float(weights.sum())}
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        rule, mean = study.workload_columns[name], float(round(np.average(text[name], weights=weights)))
        row |= {name: mean, f"{name}_low": mean * rule.low_factor, f"{name}_high": mean * rule.high_factor}
        row |= {f"{name}_kind": rule.kind, f"{name}_source": rule.source}
    shares = np.array([study.profiles[name].hourly_share() for name in text["profile"]])
    peak = float((weights[:, None] * shares).sum(axis=0).max()) * study.assume("hours_per_month")
    return pd.DataFrame([row | {"peak_factor": peak / float(weights.sum()), "source": f"study {study.name}"}])


def hosting(plan: Plan) -> pd.DataFrame:
    """One row per self-hosted option: speeds of a replica, what the smallest purchase of its hardware holds and costs.

    `serves_count` workloads may be served by it; `minimum_purchases_count` are kept, busy or idle; `busy_share` is how
    busy a replica may be in its peak hour. `reason` says why an option has no speed or rate.
    """
    study = plan.study
    used, serves = study.assumptions.max_utilization, plan.alternatives.groupby("option")["eligible"].sum()
    rows: list[dict[str, Any]] = []
    for one in plan.work.found:
        if isinstance(one.option, (ApiOption, HumanOption, CascadeOption, RouterOption)):
            continue
        row: dict[str, Any] = {"option": one.name, "capability": one.option.capability, "device": one.device}
        row |= {"serves_count": float(serves[one.name]), "reason": "; ".join((one.failed or {}).values()) or None}
        for name in ("prefill_tokens_per_s", "decode_tokens_per_s"):
            low, value, high = getattr(one, name) or (np.nan,) * 3
            row |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_kind": one.speed_kind,
                    f"{name}_source": one.speed_source}  # fmt: skip
        if one.offers:
            least = max(1, getattr(one.option, "minimum_replicas", None) or int(study.assume("minimum_replicas")))
            rent = one.rent(least)
            held, usd = one.purchases[one.offers.index(rent.offer)]
            seen = f"{rent.offer.provider}, {rent.source} ({rent.observed_on})"
            row |= {"replicas_count": float(held), "usd_per_hour": usd, "usd_per_hour_kind": rent.kind,
                    "usd_per_hour_source": seen, "minimum_purchases_count": float(-(-least // held))}  # fmt: skip
        low, value, high = used.ends
        row |= {"busy_share": value, "busy_share_low": low, "busy_share_high": high, "busy_share_kind": used.kind}
        rows.append(row | {"busy_share_source": used.source})
    speeds = " ".join(f"{name}{end}" for name in ("prefill_tokens_per_s", "decode_tokens_per_s", "busy_share")
                      for end in ("", "_low", "_high", "_kind", "_source"))  # fmt: skip
    return _frame(rows, f"option capability device serves_count reason {speeds} replicas_count usd_per_hour "
                        "usd_per_hour_kind usd_per_hour_source minimum_purchases_count")  # fmt: skip


def pools(plan: Plan) -> pd.DataFrame:
    """One row per pool of replicas the plan rents: size, derived utilization, and its bill split into busy and idle."""
    work = plan.work
    problem, rows = work.scenario.problem, []
    counts, ceiling = replicas(problem, work.choice), work.study.assume("max_utilization")
    loads, used = on_pools(problem, work.choice, problem.load)
    shared = pool_cents(work, work.choice)
    for pool in np.flatnonzero(counts):
        supply, count = work.found[work.economy.pool_option[pool]], int(counts[pool])
        users = np.flatnonzero(used[:, pool])
        load = loads[:, pool] @ work.economy.hours * ceiling
        busy, idle = (float(sum((shared[w][int(pool)][part] for w in users), Decimal(0))) for part in (0, 1))
        rate = supply.rent(count)
        rows.append(
            {
                "pool": supply.name,
                "device": supply.device,
                "devices_per_replica": supply.devices,
                "replicas_count": count,
                "minimum_replicas": int(problem.minimum[pool]),
                "peak_hour": int(load.argmax()),
                "peak_busy_share": float(load.max() / count),
                "mean_busy_share": busy / (busy + idle),
                "usd_per_hour": float(rate.usd_per_hour) / count,
                "usd_per_month": round(busy + idle, 2),
                "busy_usd_per_month": busy,
                "idle_usd_per_month": idle,
                "workloads": ", ".join(work.table[w][0].workload.workload for w in users),
                "speed_kind": supply.speed_kind,
                "speed_source": supply.speed_source,
                **rate.columns(),
                "kind": "derived",
                "source": f"study {work.study.name}",
                "note": supply.note,
            }
        )
        rows[-1] |= {"usd_per_hour_kind": rows[-1]["rate_kind"], "usd_per_hour_source": rows[-1]["rate_source"]}
    names = "pool device devices_per_replica replicas_count minimum_replicas peak_hour peak_busy_share mean_busy_share "
    names += "usd_per_hour usd_per_hour_kind usd_per_hour_source usd_per_month busy_usd_per_month idle_usd_per_month "
    names += f"workloads speed_kind speed_source {' '.join(f'rate_{name}' for name in RATE_COLUMNS)} kind source note"
    return _frame(rows, names)


def flips(plan: Plan) -> pd.DataFrame:
    """One row per workload, factor and direction: the value at which another option takes over, or why none does.

    `change_share` is how far away that is; success is counted in errors (from 98.5 to 98.3 % right is 13 % more).
    """
    work, rows = plan.work, []
    floors = np.array([row[0].workload.quality_floor for row in work.table])
    for flip in find_flips(work.economy, work.choice, floors):
        names = [None if o is None else work.found[o].name for o in (flip.option, flip.priced)]
        choice, at = work.found[work.choice[flip.workload]].name, np.nan if flip.at is None else flip.at
        errors = (1 - at, 1 - flip.now) if flip.factor == "success rate" else (at, flip.now)
        rows.append(
            {
                "workload": work.table[flip.workload][0].workload.workload,
                "option": choice,
                "factor": flip.factor,
                "input": _FLIP_WORDS.get(flip.factor, flip.factor),
                "direction": flip.direction,
                "now": flip.now,
                "flips_at": at,
                "change_share": errors[0] / errors[1] - 1 if errors[1] else np.nan,
                "unit": flip.unit,
                "to_option": names[0],
                "reason": flip.reason,
                "sentence": _flip_sentence(flip, choice, names[0], names[1] or ""),
                "kind": "derived",
                "source": f"study {work.study.name}",
            }
        )
    return pd.DataFrame(rows)


def _flip_sentence(flip: Flip, choice: str, other: str | None, priced: str) -> str:
    if flip.at is None:
        return f"No {flip.factor} changes the choice of {choice}: {(flip.reason or '').removeprefix('never: ')}."
    side, than = ("below", "less") if flip.direction == "down" else ("above", "more")
    if flip.factor == "miss cost":
        return f"{other} takes over {side} {flip.at:,.4g} USD a miss; now {flip.now:,.4g}."
    if flip.factor == "volume":
        return f"{other} takes over {side} {flip.at:,.0f} requests a month; now {flip.now:,.0f}."
    if flip.factor == "success rate":
        return f"{other} takes over if {choice} succeeds {than} than {flip.at:.2%} of the time; now {flip.now:.2%}."
    return f"{other} takes over if {priced} costs {than} than {flip.at:.3g} times what it does now."


def sensitivity(plan: Plan) -> pd.DataFrame:
    """One row per factor with a range: plan and saving at its ends, and what the plan would become there."""
    work, rows = plan.work, []
    for factor in find_swings(work.economy, work.choice, work.baseline):
        moves = sorted(
            f"{work.table[w][0].workload.workload} to {work.found[o].name} at the {end} end"
            for end, moved in zip(("low", "high"), factor.moved, strict=True)
            for w, o in moved.items()
        )
        rows.append(
            {
                "factor": FACTORS[factor.factor],
                "unit": "times as stated" if factor.relative else getattr(work.study.assumptions, factor.factor).unit,
                **dict(zip(("low", "value", "high"), factor.ends, strict=True)),
                "plan_usd_low": factor.plan[0],
                "plan_usd_high": factor.plan[1],
                "swing_usd": abs(factor.plan[1] - factor.plan[0]),
                "saving_usd_low": factor.saving[0],
                "saving_usd_high": factor.saving[1],
                "changes": "; ".join(moves),
                "n_changes": len({w for moved in factor.moved for w in moved}),
                "kind": "derived",
                "source": f"study {work.study.name}",
            }
        )
    names = "factor unit low value high plan_usd_low plan_usd_high swing_usd saving_usd_low saving_usd_high changes"
    return _frame(rows, f"{names} n_changes kind source")


def information(plan: Plan) -> pd.DataFrame:
    """One row per number somebody could find out: what knowing it first would be worth, with its Monte Carlo interval.

    The first row is everything at once. The interval is of the simulation, 95 %; below 0 it ends at 0, because nobody
    has to use what they know.
    """
    work = plan.work
    names = [row[0].workload.workload for row in work.table]
    found = find_worth(work.economy, work.simulation)
    total = found[0].usd

    def subject(worth: Worth) -> str:
        if worth.index < 0:
            return "all workloads"
        if worth.factor in ("speed", "escalation"):
            return work.found[worth.index].name
        if worth.factor == "device_rate":
            return work.found[int((work.economy.device == worth.index).argmax())].device
        return names[worth.index]

    return pd.DataFrame(
        {
            "factor": FACTORS.get(worth.factor, worth.factor),
            "subject": subject(worth),
            "usd_per_month": worth.usd,
            "usd_per_month_low": max(worth.usd - 1.96 * worth.error, 0.0),
            "usd_per_month_high": worth.usd + 1.96 * worth.error,
            "share_of_everything": worth.usd / total if total else np.nan,
            "could_change": ", ".join(names[w] for w in worth.workloads),
            "unit": "USD/month",
            "kind": "derived",
            "source": f"study {work.study.name}",
        }
        for worth in found
    )


def value(plan: Plan) -> pd.DataFrame:
    """What pays, of the workloads and of the use cases nobody serves yet: a row per use case and option."""
    work = plan.work
    found = [value_table(work.study, work.found, work.table, work.baseline, served=True)]
    if work.cases:
        base = [supply.name for supply in work.found].index(work.study.baseline.option)
        asked = offers(work.study, work.cases, work.scores, work.found, work.book)
        found.append(value_table(work.study, work.found, asked, np.full(len(asked), base), served=False))
    frame = pd.concat(found, ignore_index=True)
    return frame if len(frame) else _frame([], VALUE_COLUMNS)


def workloads(plan: Plan) -> pd.DataFrame:
    """The study's table of workloads; numbers are floats, counts of tokens are of the mean request."""
    frame = pd.DataFrame([vars(row[0].workload) for row in plan.work.table])
    return frame.astype(dict.fromkeys(UNITS, float))


def assumptions(plan: Plan) -> pd.DataFrame:
    """Every number nobody measured, with range and source: assumptions, column rules, profiles, what options state.

    Of the use cases nobody serves yet, named in the column `use_case`, it holds every number of their table and every
    success rate, because no other table of a plan does.
    """
    rows: list[dict[str, Any]] = []
    work, study = plan.work, plan.study

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
        for name, ends, unit, meaning in _stated_by(option):
            add(f"{name} of {option.name}", ends, unit, option, meaning)
    served = {option.capability for option in study.options}
    for case in work.cases:
        for name, rule in study.workload_columns.items():
            if (stated := getattr(case, name)) is not None:
                ends = (float(stated) * rule.low_factor, float(stated), float(stated) * rule.high_factor)
                add(name, ends, UNITS[name], rule, case.source, case.workload)
        for (of, capability), score in work.scores.items():
            if of == case.workload and capability in served:
                ends = (score.low, score.success_rate, score.high)
                add(f"success rate of {capability}", ends, "share", score, "share of good answers", of)
    return pd.DataFrame(rows)


def _stated_by(option: AnyOption) -> Iterator[tuple[str, Ends, str, str]]:
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
