"""What a plan teaches, as tables: what would change the answer, where the saving comes from, what matters most."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pandas as pd

from costlib.portfolio.bill import Bill, Work, cents
from costlib.portfolio.economics import FACTORS
from costlib.portfolio.flips import Flip
from costlib.portfolio.information import Worth
from costlib.portfolio.risk import Sensitivity
from costlib.study import ApiOption, DistilledOption, HumanOption


def flip_table(work: Work, found: Iterator[Flip]) -> pd.DataFrame:
    """One row per workload, factor and direction: the value at which another option takes over, or why none does."""
    rows = []
    for flip in found:
        choice = work.found[work.choice[flip.workload]].name
        other = None if flip.option is None else work.found[flip.option].name
        rows.append(
            {
                "workload": work.table[flip.workload][0].workload.workload,
                "option": choice,
                "factor": flip.factor,
                "direction": flip.direction,
                "now": flip.now,
                "flips_at": np.nan if flip.at is None else flip.at,
                "unit": flip.unit,
                "to_option": other,
                "reason": flip.reason,
                "sentence": _flip_sentence(
                    flip, choice, other, "" if flip.priced is None else work.found[flip.priced].name
                ),
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


def causes(work: Work, plan: Bill, base: Bill) -> pd.DataFrame:
    """The saving by workload and cause, in cents; positive saves. The rows add up to the saving exactly.

    What using an option costs (API, busy hours, people) is told apart in steps, each paid in full before the next: from
    the baseline to a plainer form of the choice (the last stage of a cascade or router for every request, the teacher
    of a student, the same model without batching or at 16 bit, where the study lists that option), and from there to
    the choice. A prompt cache that only one side reads stands apart; making a student is part of distilling.
    """
    rows = []
    for w, option in enumerate(work.choice):
        before, after = base[w], plan[w]
        found = {
            "idle capacity": before["idle"] - after["idle"],
            "misses": before["misses"] - after["misses"],
            "evaluation": before["evaluation"] - after["evaluation"],
            "operations": before["operations"] - after["operations"],
        }
        read_before, read_after = (_read_from_cache(work, w, int(o)) for o in (work.baseline[w], option))
        apart = not (read_before and read_after)  # where both sides read a cache, caching is no cause
        if not apart:
            read_before = read_after = Decimal(0)
        whole_before = before["inference"] + before["human"] + read_before
        whole_after = after["inference"] + after["human"] + read_after
        found["prompt caching"] = read_after - read_before
        first, second = _use_causes(work, w, int(option))
        plainer = _plainer_usd(work, w, int(option), apart) if second else None
        if plainer is None:
            found[first] = whole_before - whole_after
        else:
            found[first], found[second] = whole_before - plainer, plainer - whole_after
        effort = _effort(work, int(option))
        found["operations"] += effort
        found["distillation"] = found.get("distillation", Decimal(0)) - effort
        rows += [
            {
                "workload": work.table[w][0].workload.workload,
                "cause": cause,
                "usd_per_month": usd,
                "unit": "USD/month",
                "kind": "derived",
                "source": f"study {work.study.name}",
            }
            for cause, usd in found.items()
            if usd
        ]
    return pd.DataFrame(rows, columns=["workload", "cause", "usd_per_month", "unit", "kind", "source"])


def _use_causes(work: Work, w: int, o: int) -> tuple[str, str]:
    """What the way from the baseline to the plainer form is called, and from there to the choice."""
    supply = work.found[o]
    option = supply.option
    if supply.stages:
        return _use_causes(work, w, supply.stages[-1][0])[0], "routing"
    if isinstance(option, ApiOption):
        return "cheaper model", "batch tier" if option.tier == "batch" else ""
    if isinstance(option, HumanOption):
        return "people", ""
    return "own hardware", "distillation" if isinstance(option, DistilledOption) else "precision"


def _read_from_cache(work: Work, w: int, o: int) -> Decimal:
    """$ per month that a provider's prompt cache saves on an option."""
    offer = work.table[w][o]
    return cents(offer.uncached_usd * Decimal(repr(offer.workload.requests_per_month)))


def _effort(work: Work, o: int) -> Decimal:
    """$ per month of making a student, shared among the workloads of the plan that it serves, as `operations` is."""
    supply = work.found[o]
    return cents(supply.effort_usd_per_month / max(int((work.choice == o).sum()), 1))


def _plainer_usd(work: Work, w: int, o: int, uncached: bool) -> Decimal | None:
    """$ per month of using the plainer form of an option, if need be `uncached`; None: not listed, or no price."""
    supply = work.found[o]
    if supply.teacher_times is not None:
        return cents(float(work.scenario.parts["busy"][w, o]) * supply.teacher_times)
    other = supply.stages[-1][0] if supply.stages else _sibling(work, w, o)
    if other is None or {"price", "speed"} & work.table[w][other].failed.keys():
        return None
    parts = work.scenario.parts
    used = cents((parts["api"] + parts["busy"] + parts["human"])[w, other])
    return used + _read_from_cache(work, w, other) if uncached else used


def _sibling(work: Work, w: int, o: int) -> int | None:
    """The option of the same model at the standard tier, or at 16 bit on the same device; None: not listed."""
    own = work.found[o].option
    same = ("provider", "model") if isinstance(own, ApiOption) else ("model", "device", "devices", "engine", "batch")
    for index, supply in enumerate(work.found):
        other = supply.option
        if index == o or {"price", "speed"} & work.table[w][index].failed.keys() or other.type != own.type:
            continue
        if any(getattr(other, name, None) != getattr(own, name, None) for name in same):
            continue
        plain = "standard" if isinstance(own, ApiOption) else ("bf16", "fp16")
        if getattr(other, "tier" if isinstance(own, ApiOption) else "precision") in plain:
            return index
    return None


def sensitivity_table(work: Work, found: list[Sensitivity]) -> pd.DataFrame:
    """One row per factor with a range: plan and saving at its ends, and what the plan would become there."""
    rows = []
    for factor in found:
        moves = sorted(
            {
                f"{work.table[w][0].workload.workload} to {work.found[o].name} at the {end} end"
                for end, moved in zip(("low", "high"), factor.moved, strict=True)
                for w, o in moved.items()
            }
        )
        rows.append(
            {
                "factor": FACTORS[factor.factor],
                "unit": "times as stated" if factor.relative else getattr(work.study.assumptions, factor.factor).unit,
                "low": factor.ends[0],
                "value": factor.ends[1],
                "high": factor.ends[2],
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
    return pd.DataFrame(rows)


def information_table(work: Work, found: list[Worth]) -> pd.DataFrame:
    """One row per number somebody could find out: what knowing it first would be worth, with its Monte Carlo interval.

    The first row is everything at once. The interval is of the simulation, 95 %; below 0 it ends at 0, because nobody
    has to use what they know.
    """
    names = [row[0].workload.workload for row in work.table]
    total = found[0].usd

    def subject(worth: Worth) -> str:
        if worth.index < 0:
            return "all workloads"
        if worth.factor in ("speed", "escalation"):
            return work.found[worth.index].name
        if worth.factor == "device_rate":
            return next(
                s.device for s, device in zip(work.found, work.economy.device, strict=True) if device == worth.index
            )
        return names[worth.index]

    rows = [
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
    ]
    return pd.DataFrame(rows)
