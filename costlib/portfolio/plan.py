"""The plan of a study: which option serves which workload, what it costs, how sure that is, and what would change it.

`make_plan` reads workloads, success rates, prices, speeds and rates, assigns every workload to its option for the least
expected money; `Plan` lays everything out as frames. Each part of each workload is rounded to cents (half to even)
before anything is added, so parts, workloads, causes and totals agree to the cent.
Columns ending in `_low` and `_high` are the 2.5 and 97.5 percentiles over the draws of risk.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from costlib.errors import invalid_input
from costlib.figure import plain
from costlib.portfolio import causes, tables
from costlib.portfolio.assign import Infeasible, Solution, smallest_conflict, solve
from costlib.portfolio.bill import Work, cents
from costlib.portfolio.economics import PARTS, CostModel, economy
from costlib.portfolio.flips import searched
from costlib.portfolio.offers import CACHE_LIFETIME_S, UNKNOWN, Offer, cold_cache, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Ints
from costlib.portfolio.risk import simulate
from costlib.portfolio.supply import PricedOption
from costlib.portfolio.workloads import UNITS, Workload, load_scores, load_use_cases, load_workloads, unused_scores
from costlib.prices.book import load_book
from costlib.store import Store
from costlib.study import ApiOption, Study

TABLES: Mapping[str, Callable[[Plan], pd.DataFrame]] = {
    "summary": tables.summary, "choices": tables.choices, "baseline": tables.baseline, "totals": tables.totals,
    "serving": tables.serving, "stages": tables.stages, "causes": causes.causes,
    "saving_by_cause": causes.saving_by_cause, "flips": tables.flips, "alternatives": tables.alternatives,
    "prices": tables.prices, "mean_request": tables.mean_request, "hosting": tables.hosting, "pools": tables.pools,
    "sensitivity": tables.sensitivity, "information": tables.information, "value": tables.value,
    "workloads": tables.workloads, "assumptions": tables.assumptions,
}  # fmt: skip


RENAMED = {tables.column_of(part): f"{part}_usd" for part in PARTS}
RENAMED |= {f"success_rate_{name}": f"success_{name}" for name in ("kind", "source", "date")}
"""Columns that have another name in the fields of `costlib plan --json`."""


class Plan:
    """The plan of a study as frames, each made when it is first read; floats, one grain each, no join left to do.

    summary: one row, what a headline needs: counts, cash cost before and after, net saving with its range, odds
    choices: a row per workload, dearest first: the choice and the baseline side by side, parts of the cost, next best
    baseline: a row per workload: what the study compares with
    totals: a row per side (baseline, plan, saving), a column per part of the cost, with ranges
    serving: a row per workload and option that answers it
    stages: a row per workload and API asked (a cascade asks several), with tokens and prices: a bill by hand
    causes: where the saving comes from, in plain words, largest first; saving_by_cause: the same by workload
    flips: a row per workload, input and direction: at what value the choice changes, and how far away that is
    alternatives: a row per workload and option: cost, quality, and why an option is ruled out
    prices: a row per API of the study, list prices
    mean_request: one row, the request that stands for the study; hosting: a row per self-hosted option: speed and rate
    pools: a row per group of machines the plan rents
    sensitivity: a row per input, cost of the plan at both of its ends
    information: a row per input, what knowing it first would be worth
    value: a row per use case and option: what it earns
    workloads, assumptions: what was assumed

    `probability_saves` is the share of draws in which the plan costs less than the baseline, `gap` the proven relative
    distance to the best possible plan; `notes` are sentences a reader must see with it.
    """

    if TYPE_CHECKING:
        summary: pd.DataFrame
        choices: pd.DataFrame
        baseline: pd.DataFrame
        totals: pd.DataFrame
        serving: pd.DataFrame
        stages: pd.DataFrame
        causes: pd.DataFrame
        saving_by_cause: pd.DataFrame
        flips: pd.DataFrame
        alternatives: pd.DataFrame
        prices: pd.DataFrame
        mean_request: pd.DataFrame
        hosting: pd.DataFrame
        pools: pd.DataFrame
        sensitivity: pd.DataFrame
        information: pd.DataFrame
        value: pd.DataFrame
        workloads: pd.DataFrame
        assumptions: pd.DataFrame
    else:

        def __getattr__(self, name):
            """A table that is read for the first time."""
            if name not in TABLES:
                raise AttributeError(f"a plan has no {name!r}; it has {', '.join(TABLES)}", name=name, obj=self)
            self.__dict__[name] = TABLES[name](self)
            return self.__dict__[name]

    def __init__(self, work: Work, gap: float, notes: tuple[str, ...]) -> None:
        self.work, self.study, self.gap, self.notes = work, work.study, gap, notes
        drawn, day = work.simulation, work.study.as_of
        self.probability_saves = float(np.mean(drawn.plan.sum(axis=(1, 2)) < drawn.baseline.sum(axis=(1, 2))))
        self.source = f"study {work.study.name}, list prices of {day.day} {day:%B %Y}"

    def __repr__(self) -> str:
        usd = float(self.choices["usd_per_month"].sum())
        return f"<plan of {self.study.name}: {len(self.choices)} workloads, {usd:,.2f} USD a month>"

    def _repr_html_(self) -> str:
        shown = self.choices[["workload", "option", "usd_per_month"]]
        return f"<p>{escape(repr(self)[1:-1])}; frames: {', '.join(TABLES)}</p>{shown.to_html(index=False)}"

    def __getstate__(self) -> dict[str, Any]:
        """Every table, without what they are made from: megabytes of draws."""
        for name in TABLES:
            getattr(self, name)
        return {name: value for name, value in vars(self).items() if name != "work"}

    def compare(self, other: Plan) -> pd.DataFrame:
        """What another plan does differently: a row per workload, most money first, and why.

        Columns: workload, option, other_option, moved; `change_usd_per_month` and the same of its parts (use, idle,
        errors, upkeep), the other plan less this one; changed: what was put in for the workload, or for all of them.
        A workload that one of the plans lacks has no option there and costs nothing.

        Args:
            other: A plan, such as that of `study.replace(...)`.
        """
        parts = ["usd_per_month", *(f"{part}_usd_per_month" for part in ("use", "idle", "errors", "upkeep"))]
        both = [plan.choices.set_index("workload")[["option", *parts]] for plan in (self, other)]
        names = both[0].index.union(both[1].index, sort=False)
        mine, theirs = (one.reindex(names) for one in both)
        found = pd.DataFrame({"option": mine["option"], "other_option": theirs["option"]}, index=names)
        found["moved"] = found["option"] != found["other_option"]
        for part in parts:
            found[f"change_{part}"] = (theirs[part].fillna(0) - mine[part].fillna(0)).round(2)
        of_all = _changed(*({str(name): assumption.value for name, assumption, _ in plan.study.assumptions.rows()}
                            for plan in (self, other)))  # fmt: skip
        cells = [plan.workloads.set_index("workload")[list(UNITS)].to_dict("index") for plan in (self, other)]
        of_each = {name: _changed(*(one[name] for one in cells)) for name in cells[0] if name in cells[1]}
        found["changed"] = ["; ".join([*of_each.get(name, ["not in both plans"]), *of_all]) for name in names]
        order = found["change_usd_per_month"].abs().sort_values(ascending=False, kind="stable").index
        return found.loc[order].rename_axis("workload").reset_index()

    def document(self) -> dict[str, Any]:
        """The fields of `costlib plan --json`; amounts of the bill as decimals in cents."""
        sums: Any
        chosen, sums = self.choices.sort_index().rename(columns=RENAMED), self.totals.to_dict("index")
        total = sums["baseline"]["usd_per_month"]
        sides = {
            side: {
                "usd_per_month": cents(sums[side]["usd_per_month"]),
                **{f"usd_per_month_{end}": sums[side][f"usd_per_month_{end}"] for end in ("low", "high")},
                "share_of_baseline": sums[side]["usd_per_month"] / total if total else None,
                "unit": "USD/month", "kind": "derived", "source": f"study {self.study.name}", "side": side,
                "part": "total",
            }
            for side in ("plan", "baseline", "saving")
        }  # fmt: skip
        return {
            "alternatives": self.alternatives.rename(columns=RENAMED),
            "flips": self.flips,
            "sensitivity": self.sensitivity,
            "saving_by_cause": _in_cents(self.saving_by_cause, ["usd_per_month"]),
            "information": self.information,
            "value": self.value,
            "gap": self.gap,
            "assignments": _in_cents(chosen, ["usd_per_month", *(f"{part}_usd" for part in PARTS)]),
            "study": self.study.name,
            "as_of": self.study.as_of,
            "currency": self.study.currency,
            "total": sides["plan"],
            "baseline": sides["baseline"],
            "saving": sides["saving"],
            "interval": {end: cents(sums["plan"][f"usd_per_month_{end}"]) for end in ("low", "high")},
            "notes": list(self.notes),
        }


def _changed(before: dict[Any, Any], after: dict[Any, Any]) -> list[str]:
    """Each number that differs, in words."""
    both = [(name, before[name], value) for name, value in after.items() if not pd.isna([before[name], value]).all()]
    return [f"{name} {plain(old)} to {plain(new)}" for name, old, new in both if old != new]


def _in_cents(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].map(cents).astype(object) for name in columns})


def check_tables(study: Study, store: Store | None = None) -> None:
    """Read everything a plan will need, so that a wrong table is found before hours of measuring.

    Raises what `make_plan` raises for a workload, score, price, speed or rate that is missing or wrong; whether every
    workload can be served is judged by the plan, because it may depend on what is not measured yet.
    """
    workloads = load_workloads(study)
    table = offers(study, workloads, load_scores(study), supplies(study, store), load_book())
    _baseline_choice(study, table)


def make_plan(study: Study, store: Store | None = None) -> Plan:
    """Make the plan of a study. `store` holds the measurements; the default store when None.

    Raises `InputError` for a workload, score, price, speed or rate that is missing or wrong, and `Infeasible` (an
    `InputError`) naming the smallest set of requirements that cannot be kept together.
    """
    workloads = load_workloads(study)
    cases = load_use_cases(study)
    scores = load_scores(study)
    found = supplies(study, store)
    book = load_book()
    table = offers(study, workloads, scores, found, book)
    _check_each(study, table)
    base = _baseline_choice(study, table)
    money = economy(study, found, table)
    solution = _solved(study, found, money)
    floors = np.array([workload.quality_floor for workload in workloads])
    correlation = study.assume("quality_correlation")
    drawn = simulate(money, solution.choice, base, floors, draws=study.draws, seed=study.seed, correlation=correlation)
    work = Work(study, table, found, money, money.at(), solution.choice, base, drawn, book, scores, cases)
    return Plan(work, solution.gap, _notes(work, unused_scores(study, (*workloads, *cases), scores)))


def _solved(study: Study, found: tuple[PricedOption, ...], money: CostModel) -> Solution:
    problem = money.at().problem
    try:
        return solve(problem)
    except Infeasible as error:
        limits, needed = [], []
        rest = " while the others hold" if len(error.requirements) > 1 else ""
        for name, least in zip(error.requirements, error.least, strict=False):
            if name == "budget":
                cap, cheapest = float(study.budget_usd_per_month or 0), float(least or 0)
                limits.append(f"budget_usd_per_month {study.budget_usd_per_month}")
                over = f"the cheapest plan{rest} is billed {cheapest:,.2f} USD a month, {cheapest - cap:,.2f} more"
            else:
                pool = int(name.removeprefix("pool "))
                option, most, fewest = found[money.pool_option[pool]].name, problem.maximum[pool], round(least or 0)
                limits.append(f"maximum_replicas {most:g} of {option}")
                over = f"{option} needs {fewest:g} replicas or more{rest}, {fewest - most:g} more"
            needed += [over] if least is not None else []
        allowed = f"limits that can be kept together: {'; '.join(needed)}"
        raise Infeasible(
            str(invalid_input("limits", ", ".join(limits), allowed, str(study.path))), tuple(limits)
        ) from error


def _check_each(study: Study, table: list[list[Offer]]) -> None:
    """Every workload needs an option that fails nothing; raises one `Infeasible` for all that have none."""
    stuck = {row[0].workload.workload: _conflict(row) for row in table if not any(offer.eligible for offer in row)}
    if not stuck:
        return
    head = "requirements that an option meets: "
    if len(stuck) == 1:
        allowed = head + next(iter(stuck.values()))[1]
    else:
        allowed = head + "; ".join(f"for {name} {detail}" for name, (_, detail) in stuck.items())
    requirements = tuple(dict.fromkeys(name for conflict, _ in stuck.values() for name in conflict))
    raise Infeasible(str(invalid_input("workload", ", ".join(stuck), allowed, str(study.workloads))), requirements)


def _conflict(row: list[Offer]) -> tuple[tuple[str, ...], str]:
    """A smallest set of requirements that rules out every option of a workload, and by how much each is missed."""
    workload = row[0].workload
    known = [offer for offer in row if not offer.failed.keys() & set(UNKNOWN)] or row
    conflict = smallest_conflict([offer.failed.keys() for offer in known])
    detail = []
    for name in conflict:
        close = [offer for offer in known if offer.failed.keys() == {name}]  # mending that alone would do
        close = close or [offer for offer in known if not (offer.failed.keys() & set(conflict)) - {name}]
        scored, timed = ([o for o in close if getattr(o, has) is not None] for has in ("score", "latency_s"))
        if name == "quality floor":
            best = max(scored, key=lambda offer: offer.score.success_rate if offer.score else 0)
            rate = best.score.success_rate if best.score else 0.0
            detail.append(
                f"the best success rate is {rate:g} ({best.supply.name}), {plain(workload.quality_floor - rate)} below "
                f"the floor of {workload.quality_floor:g}"
            )
        elif name == "latency limit" and timed and workload.latency_limit_s is not None:
            fastest = min(timed, key=lambda offer: offer.latency_s or 0)
            seconds = fastest.latency_s or 0.0
            detail.append(
                f"the fastest answer takes {plain(seconds)} s ({fastest.supply.name}), "
                f"{plain(seconds - workload.latency_limit_s)} s over the limit of {workload.latency_limit_s:g} s"
            )
        else:
            detail.append(f"{name} alone rules out {', '.join(offer.supply.name for offer in close)}")
    if len(known) < len(row):
        detail.append(f"{len(row) - len(known)} options have no price, speed or success rate for it")
    return conflict, f"every one fails on {' or '.join(conflict)} ({'; '.join(detail)})"


def _baseline_choice(study: Study, table: list[list[Offer]]) -> Ints:
    """Option index per workload of the baseline; it may miss a floor or a limit, but must have a price and a score."""
    names = [offer.supply.name for offer in table[0]]
    exceptions = {exception.workload: exception.option for exception in study.baseline.exceptions}
    chosen = [names.index(exceptions.get(row[0].workload.workload, study.baseline.option)) for row in table]
    for row, option in zip(table, chosen, strict=True):
        offer = row[option]
        for requirement in (*UNKNOWN, "own machines only"):
            if requirement in offer.failed:
                allowed = f"an option that serves {offer.workload.workload!r} too, or an exception for it"
                raise invalid_input(
                    "baseline.option", offer.supply.name, f"{allowed} ({offer.failed[requirement]})", str(study.path)
                )
    return np.array(chosen)


def _asked_apis(work: Work) -> Iterator[tuple[ApiOption, Workload]]:
    """The APIs that the plan asks, alone or as a stage, each with the workload as far as it reaches them."""
    for w, row in enumerate(work.table):
        for place, share in work.stages(w):
            offer = row[place]
            if isinstance(offer.supply.option, ApiOption) and share:
                requests = offer.workload.requests_per_month * share
                yield offer.supply.option, replace(offer.workload, requests_per_month=requests)


def _cache_note(work: Work) -> str:
    """What the plan leaves out by charging every cached token as read."""
    note = "Cached input is charged as read from the cache; filling it is not charged"
    found = []
    for option, workload in _asked_apis(work):
        if workload.cached_tokens:
            share, more = cold_cache(work.study, workload, option, work.book)
            found.append((share * workload.requests_per_month * float(more), share, workload.workload))
    if not any(usd >= 0.005 for usd, _, _ in found):
        return f"{note}."
    usd, share, name = max(found)
    return (
        f"{note}: with a lifetime of {CACHE_LIFETIME_S // 60} minutes and random arrivals it would add about "
        f"{plain(math.fsum(cost for cost, _, _ in found))} USD a month, most of it ({plain(usd)}) for {name}, where "
        f"{plain(100 * share)} % of the requests come too late for it."
    )


def _notes(work: Work, unused: str | None) -> tuple[str, ...]:
    """What a reader must know to read the plan right."""
    missing = [supply.name for supply in work.found if "not measured yet" in (supply.failed or {}).values()]
    notes = [
        work.study.synthetic,
        "Every part of every workload is rounded to cents before it is added; parts, causes and totals agree exactly.",
        "Expected misses are P(miss) x cost of a miss: a real cost, but no invoice; the cash part leaves them out.",
        "In the draws the plan stays as it is, and which options are eligible is judged at the stated values.",
        _cache_note(work),
        "Self-hosted models compute cached tokens again; API prices hold for the mean request.",
    ]
    doubtful: dict[str, str] = {}
    for option, _ in _asked_apis(work):
        of = (option.model, option.provider, option.tier)
        sheet = work.book.sheet(*of, work.book.periods(*of, work.study.as_of, (1,) * 24)[0][0])
        first = next(iter(sheet.bands.values()))[0].price
        doubt = first.doubt(sheet.day)
        doubtful |= {option.name: doubt} if doubt else {}
        notes += [f"{note}." for note in sheet.notes]
    notes += [f"List price of {name} on {work.study.as_of}: {doubt}." for name, doubt in doubtful.items()]
    asked = len(searched(work.scenario, work.choice))
    if asked < len(work.table):
        notes.append(f"What would turn a choice was looked for among the {asked} workloads that cost most.")
    if missing:
        notes.append(f"Not measured yet, so not eligible: {', '.join(missing)}.")
    notes += [unused] if unused else []
    return tuple(notes)
