"""Where the saving of a plan comes from, in cents, and in plain words."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from costlib.portfolio.bill import Work, cents
from costlib.study import ApiOption, DistilledOption, HumanOption

if TYPE_CHECKING:
    from costlib.portfolio.plan import Plan

_WORDS = {
    "routing": "trying a small model first", "misses": "more errors", "operations": "more models to run",
    "cheaper model": "cheaper models", "evaluation": "more models to test", "idle capacity": "idle machines",
    "own hardware": "own machines", "batch tier": "overnight batches",
}  # fmt: skip


def causes(plan: Plan) -> pd.DataFrame:
    """Where the saving comes from, over all workloads, in plain words, largest first."""
    found = plan.saving_by_cause
    added = found.groupby(found["cause"].replace(_WORDS))["usd_per_month"].sum().reset_index()
    return added.sort_values("usd_per_month", ascending=False, ignore_index=True)


def saving_by_cause(plan: Plan) -> pd.DataFrame:
    """The saving by workload and cause, in cents; positive saves. The rows add up to the saving exactly.

    What using an option costs (API, busy hours, people) is told apart in steps, each paid in full before the next: from
    the baseline to a plainer form of the choice (the last stage of a cascade or router for every request, the teacher
    of a student, the same model without batching or at 16 bit, where the study lists that option), and from there to
    the choice. A prompt cache that only one side reads stands apart; making a student is part of distilling.
    """
    work, rows = plan.work, []
    for w, option in enumerate(work.choice):
        before, after = work.compared[w], work.planned[w]
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
                "usd_per_month": float(usd),
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
