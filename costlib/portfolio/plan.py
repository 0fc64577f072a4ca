"""The plan of a study: which option serves which workload, what it costs, how sure that is, and what would change it.

`make_plan` reads workloads, success rates, prices, speeds and rates, assigns every workload to its option for the least
expected money, and lays everything out as tidy tables. Money that must tie is `Decimal`: each part of each workload is
rounded to cents (half to even) before anything is added, so parts, workloads, causes and totals agree to the cent.
Columns ending in `_low` and `_high` are the 2.5 and 97.5 percentiles over the draws of risk.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from costlib.errors import bad
from costlib.figure import plain
from costlib.portfolio import findings, frames
from costlib.portfolio.assign import Infeasible, Ints, Solution, smallest_conflict, solve
from costlib.portfolio.bill import Work, bill_of
from costlib.portfolio.economics import Economy, economy
from costlib.portfolio.information import information
from costlib.portfolio.offers import CACHE_LIFETIME_S, UNKNOWN, Offer, cold_cache, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.risk import flips, sensitivity, simulate
from costlib.portfolio.supply import Supply
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.prices.book import PriceBook, load_book
from costlib.store import Store
from costlib.study import ApiOption, Study


@dataclass(frozen=True)
class Plan:
    """A plan as tables; columns and units are described by the functions below that build them.

    `probability_saves` is the share of draws in which the plan costs less than the baseline, `gap` the proven relative
    distance to the best possible plan; `notes` are sentences a reader must see with it.
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
    assumptions: pd.DataFrame
    workloads: pd.DataFrame
    probability_saves: float
    gap: float
    notes: tuple[str, ...]


def check_tables(study: Study, store: Store | None = None) -> None:
    """Read everything a plan will need, so that a wrong table is found before hours of measuring.

    Raises what `make_plan` raises for a workload, score, price, speed or rate that is missing or wrong; whether every
    workload can be served is judged by the plan, because it may depend on what is not measured yet.
    """
    workloads = load_workloads(study)
    table = offers(study, workloads, load_scores(study, workloads), supplies(study, store), load_book())
    _baseline_choice(study, table)


def make_plan(study: Study, store: Store | None = None) -> Plan:
    """Make the plan. `store` holds the measurements; the default store when None.

    Raises `InputError` for a workload, score, price, speed or rate that is missing or wrong, and `Infeasible` (an
    `InputError`) naming the smallest set of requirements that cannot be kept together.
    """
    workloads = load_workloads(study)
    scores = load_scores(study, workloads)
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
        flips=findings.flip_table(work, flips(money, choice, floors)),
        saving_by_cause=findings.causes(work, planned, compared),
        prices=frames.prices(work, book),
        pools=frames.pools(work),
        sensitivity=findings.sensitivity_table(work, sensitivity(money, choice, base)),
        information=findings.information_table(work, information(money, drawn)),
        assumptions=frames.assumption_table(study),
        workloads=pd.DataFrame([vars(workload) for workload in workloads]),
        probability_saves=float(np.mean(drawn.plan.sum(axis=(1, 2)) < drawn.baseline.sum(axis=(1, 2)))),
        gap=solution.gap,
        notes=_notes(work, book),
    )


def _solved(study: Study, found: tuple[Supply, ...], money: Economy) -> Solution:
    try:
        return solve(money.at().problem)
    except Infeasible as error:
        names = {f"pool {pool}": found[option].name for pool, option in enumerate(money.pool_option)}
        limits = tuple(
            f"budget_usd_per_month {study.budget_usd_per_month}"
            if name == "budget"
            else f"maximum_replicas of {names[name]}"
            for name in error.requirements
        )
        allowed = "a larger budget, more replicas or cheaper workloads"
        raise Infeasible(str(bad("limits", ", ".join(limits), allowed, str(study.path))), limits) from error


def _check_each(study: Study, table: list[list[Offer]]) -> None:
    """Every workload needs an option that fails nothing."""
    for row in table:
        if any(offer.eligible for offer in row):
            continue
        workload = row[0].workload
        known = [offer for offer in row if not offer.failed.keys() & set(UNKNOWN)] or row
        conflict = smallest_conflict([offer.failed.keys() for offer in known])
        detail = []
        for name in conflict:
            close = [offer for offer in known if not (offer.failed.keys() & set(conflict)) - {name}]
            if name == "quality floor":
                best = max(offer.score.success_rate for offer in close if offer.score)
                detail.append(f"the best success rate is {best:g}, the floor {workload.quality_floor:g}")
            if name == "latency limit":
                fastest = min(offer.latency_s for offer in close if offer.latency_s is not None)
                detail.append(
                    f"the fastest answer takes {plain(fastest)} s, the limit is {workload.latency_limit_s:g} s"
                )
        if len(known) < len(row):
            detail.append(f"{len(row) - len(known)} options have no price, speed or success rate for it")
        shown = f" ({'; '.join(detail)})" if detail else ""
        allowed = f"requirements that an option meets: every one fails on {' or '.join(conflict)}{shown}"
        raise Infeasible(str(bad("workload", workload.workload, allowed, str(study.workloads))), conflict)


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


def _cache_note(work: Work, book: PriceBook) -> str:
    """What the plan leaves out by charging every cached token as read."""
    note = "Cached input is charged as read from the cache; filling it is not charged"
    found = []
    for row, option in zip(work.table, work.choice, strict=True):
        offer = row[option]
        if isinstance(offer.supply.option, ApiOption) and offer.workload.cached_tokens:
            share, more = cold_cache(work.study, offer.workload, offer.supply.option, book)
            found.append((share * offer.workload.requests_per_month * float(more), share, offer.workload.workload))
    if not any(usd >= 0.005 for usd, _, _ in found):
        return f"{note}."
    usd, share, name = max(found)
    return (
        f"{note}: with a lifetime of {CACHE_LIFETIME_S // 60} minutes and random arrivals it would add about "
        f"{plain(math.fsum(cost for cost, _, _ in found))} USD a month, most of it ({plain(usd)}) for {name}, where "
        f"{plain(100 * share)} % of the requests come too late for it."
    )


def _notes(work: Work, book: PriceBook) -> tuple[str, ...]:
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
    for row, index in zip(work.table, work.choice, strict=True):
        option = row[index].supply.option
        if isinstance(option, ApiOption):
            sheet = book.sheet(option.model, option.provider, option.tier, work.study.as_of)
            first = next(iter(sheet.bands.values()))[0].price
            doubt = first.doubt(sheet.day)
            doubtful |= {option.name: doubt} if doubt else {}
    notes += [f"List price of {name} on {work.study.as_of}: {doubt}." for name, doubt in doubtful.items()]
    if missing:
        notes.append(f"Not measured yet, so not eligible: {', '.join(missing)}.")
    return tuple(notes)
