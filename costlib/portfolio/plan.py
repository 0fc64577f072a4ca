"""The plan of a study: which option serves which workload, what it costs, how sure that is, and what would change it.

`make_plan` reads workloads, success rates, prices, speeds and rates, assigns every workload to its option for the least
expected money, and lays everything out as tidy tables. Money that must tie is `Decimal`: each part of each workload is
rounded to cents (half to even) before anything is added, so parts, workloads, causes and totals agree to the cent.
Columns ending in `_low` and `_high` are the 2.5 and 97.5 percentiles over the draws of risk.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from costlib.errors import bad
from costlib.figure import plain
from costlib.portfolio import findings, frames, inventory
from costlib.portfolio.assign import Infeasible, Solution, smallest_conflict, solve
from costlib.portfolio.bill import Work, bill_of
from costlib.portfolio.economics import Economy, economy
from costlib.portfolio.flips import flips, searched
from costlib.portfolio.information import information
from costlib.portfolio.offers import CACHE_LIFETIME_S, UNKNOWN, Offer, cold_cache, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Floats, Ints
from costlib.portfolio.risk import sensitivity, simulate
from costlib.portfolio.supply import Supply
from costlib.portfolio.tidy import PlanFrames, frames_of
from costlib.portfolio.value import value_table
from costlib.portfolio.workloads import Workload, load_scores, load_use_cases, load_workloads, unused_scores
from costlib.prices.book import PriceBook, load_book
from costlib.store import Store
from costlib.study import ApiOption, Study


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """A plan as tables; columns and units are described by the functions that build them.

    `probability_saves` is the share of draws in which the plan costs less than the baseline, `gap` the proven relative
    distance to the best possible plan; `notes` are sentences a reader must see with it. A table may be given as the
    `partial` that makes it, which is called when the table is first read.
    """

    study: Study
    assignments: pd.DataFrame
    serving: pd.DataFrame
    alternatives: pd.DataFrame
    baseline: pd.DataFrame
    totals: pd.DataFrame
    flips: pd.DataFrame
    saving_by_cause: pd.DataFrame
    prices: pd.DataFrame
    pools: pd.DataFrame
    sensitivity: pd.DataFrame
    information: pd.DataFrame
    value: pd.DataFrame
    assumptions: pd.DataFrame
    workloads: pd.DataFrame
    probability_saves: float
    gap: float
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Keep apart how the tables are made that nobody has read yet."""
        later = {name: value for name, value in vars(self).items() if isinstance(value, partial)}
        for name in later:
            object.__delattr__(self, name)
        object.__setattr__(self, "_later", later)

    def __repr__(self) -> str:
        """One line: the study, how many workloads, and the cost."""
        usd = self.assignments["usd_per_month"].sum()
        return f"<plan of {self.study.name}: {len(self.workloads)} workloads, {usd:,.2f} USD a month>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> pd.DataFrame:
            """A table that is read for the first time."""
            later = self.__dict__.get("_later", {})
            if name not in later:
                raise AttributeError(f"a plan has no {name!r}", name=name, obj=self)
            object.__setattr__(self, name, later[name]())
            del later[name]
            return self.__dict__[name]

    @cached_property
    def frames(self) -> PlanFrames:
        """The same for analysts: float frames of one grain each, see `PlanFrames`."""
        return frames_of(self)


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
    choice = solution.choice
    floors = np.array([workload.quality_floor for workload in workloads])
    correlation = study.assume("quality_correlation")
    drawn = simulate(money, choice, base, floors, draws=study.draws, seed=study.seed, correlation=correlation)
    work = Work(study, table, found, money, money.at(), choice, base, drawn)
    planned, compared = bill_of(work, choice), bill_of(work, base)
    return Plan(
        study=study,
        assignments=frames.assignments(work, planned),
        serving=frames.serving(work),
        alternatives=frames.alternatives(work),
        baseline=frames.baseline(work, compared),
        totals=frames.totals(work, planned, compared),
        flips=_later(_flips, work, floors),
        saving_by_cause=findings.causes(work, planned, compared),
        prices=inventory.prices(work, book),
        pools=inventory.pools(work),
        sensitivity=_later(_sensitivity, work),
        information=_later(_information, work),
        value=_later(_value, work, offers(study, cases, scores, found, book)),
        assumptions=inventory.assumption_table(study, cases, scores),
        workloads=pd.DataFrame([vars(workload) for workload in workloads]),
        probability_saves=float(np.mean(drawn.plan.sum(axis=(1, 2)) < drawn.baseline.sum(axis=(1, 2)))),
        gap=solution.gap,
        notes=_notes(work, book, unused_scores(study, (*workloads, *cases), scores)),
    )


def _later(make: Callable[..., pd.DataFrame], *of: object) -> Any:
    """A table that is made when it is first read."""
    return partial(make, *of)


def _flips(work: Work, floors: Floats) -> pd.DataFrame:
    return findings.flip_table(work, flips(work.economy, work.choice, floors))


def _sensitivity(work: Work) -> pd.DataFrame:
    return findings.sensitivity_table(work, sensitivity(work.economy, work.choice, work.baseline))


def _information(work: Work) -> pd.DataFrame:
    return findings.information_table(work, information(work.economy, work.simulation))


def _value(work: Work, cases: list[list[Offer]]) -> pd.DataFrame:
    """What pays, of the workloads and of the use cases nobody serves yet."""
    tables = [value_table(work.study, work.found, work.table, work.baseline, served=True)]
    if cases:
        base = [supply.name for supply in work.found].index(work.study.baseline.option)
        tables.append(value_table(work.study, work.found, cases, np.full(len(cases), base), served=False))
    return pd.concat(tables, ignore_index=True)


def _solved(study: Study, found: tuple[Supply, ...], money: Economy) -> Solution:
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
        raise Infeasible(str(bad("limits", ", ".join(limits), allowed, str(study.path))), tuple(limits)) from error


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
    raise Infeasible(str(bad("workload", ", ".join(stuck), allowed, str(study.workloads))), requirements)


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
                raise bad(
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


def _cache_note(work: Work, book: PriceBook) -> str:
    """What the plan leaves out by charging every cached token as read."""
    note = "Cached input is charged as read from the cache; filling it is not charged"
    found = []
    for option, workload in _asked_apis(work):
        if workload.cached_tokens:
            share, more = cold_cache(work.study, workload, option, book)
            found.append((share * workload.requests_per_month * float(more), share, workload.workload))
    if not any(usd >= 0.005 for usd, _, _ in found):
        return f"{note}."
    usd, share, name = max(found)
    return (
        f"{note}: with a lifetime of {CACHE_LIFETIME_S // 60} minutes and random arrivals it would add about "
        f"{plain(math.fsum(cost for cost, _, _ in found))} USD a month, most of it ({plain(usd)}) for {name}, where "
        f"{plain(100 * share)} % of the requests come too late for it."
    )


def _notes(work: Work, book: PriceBook, unused: str | None) -> tuple[str, ...]:
    """What a reader must know to read the plan right."""
    missing = [supply.name for supply in work.found if "not measured yet" in (supply.failed or {}).values()]
    notes = [
        work.study.synthetic,
        "Every part of every workload is rounded to cents before it is added; parts, causes and totals agree exactly.",
        "Expected misses are P(miss) x cost of a miss: a real cost, but no invoice; the cash part leaves them out.",
        "In the draws the plan stays as it is, and which options are eligible is judged at the stated values.",
        _cache_note(work, book),
        "Self-hosted models compute cached tokens again; API prices hold for the mean request.",
    ]
    doubtful: dict[str, str] = {}
    for option, _ in _asked_apis(work):
        of = (option.model, option.provider, option.tier)
        sheet = book.sheet(*of, book.periods(*of, work.study.as_of, (1,) * 24)[0][0])
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
