"""Claims about money: per call, per embedded token, of a distilled student, of a cache, and of the whole portfolio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from costlib.cost.distillation import price_distillation
from costlib.cost.embedding import priced
from costlib.cost.payback import project_payback
from costlib.errors import InputError
from costlib.figure import Figure
from costlib.portfolio.offers import cold_cache
from costlib.portfolio.plan import Plan
from costlib.portfolio.supply import Supply
from costlib.portfolio.workloads import Workload, load_workloads
from costlib.prices.api import price_request
from costlib.prices.book import PriceBook
from costlib.prices.hardware import measured_rate
from costlib.report.market import LIST_PRICE, Request, api_usd, hosted_usd
from costlib.report.page import figure_of, records
from costlib.report.verdicts import Claim, Part, above, bound, compared
from costlib.study import ApiOption, Study

_CLASSES = ("classification", "routing", "tagging")
"""Tasks of a workload table that ask for a class."""
TIMES_CHEAPER, SMALL_FRACTION, WEEKS = 20, 0.25, 13
"""The claim's lower end; "a small fraction" and "within weeks" as we read them: a quarter, and a quarter of a year."""
_WEEK_HOURS = 168

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Market:
    """What claims about money are judged by: a study, its plan, its options with speeds and rates, and prices."""

    study: Study
    plan: Plan
    found: Sequence[Supply]
    book: PriceBook

    def workloads(self, *tasks: str) -> list[Workload]:
        """Workloads of these tasks."""
        return [workload for workload in load_workloads(self.study) if workload.task in tasks]

    def frontier(self) -> ApiOption | None:
        """The API everything is compared with."""
        option = self.study.option(self.study.baseline.option)
        return option if isinstance(option, ApiOption) else None

    def request(self, workload: Workload) -> Request:
        """The mean request of a workload."""
        return Request(
            workload.input_tokens, workload.cached_tokens, workload.output_tokens, workload.requests_per_month
        )

    def offers(self, workload: Workload) -> dict[str, dict[str, Any]]:
        """Every option for a workload, alone on its replicas, by name."""
        rows = self.plan.alternatives
        return {row["option"]: row for row in records(rows[rows["workload"] == workload.workload])}


def classification_claim(market: Market) -> Claim:
    """How many times cheaper a self-hosted model that is good enough answers a call than the frontier API."""
    parts, frontier = [], market.frontier()
    least = bound(TIMES_CHEAPER, "ratio", "the lower end of the claim")
    for workload in market.workloads(*_CLASSES) if frontier else []:
        request, offered = market.request(workload), market.offers(workload)
        api = api_usd(market.book, frontier, request, market.study) if frontier else None
        own = [
            supply
            for supply in market.found
            if supply.option.type in ("measured", "quoted") and offered[supply.name]["eligible"] and supply.usd_per_hour
        ]
        if api is None or api.value is None or frontier is None or not own:
            continue
        hours = market.study.assume("hours_per_month") / workload.requests_per_month
        whole = []
        for s in own:
            alone = hours * float(s.rent(int(offered[s.name]["replicas"])).usd_per_hour)
            whole.append((Figure(alone, "USD/request", "derived", s.rate_source, reason=LIST_PRICE), s))
        busy = [(usd, s) for s in own if (usd := hosted_usd(s, request)) is not None]
        for pairs, when in ((busy, "always busy"), (whole, "at its own volume")):
            cost, supply = min(pairs, key=lambda pair: float(pair[0].value or 0))
            low, value, high = (
                None if end is None else float(api.value) / float(end or 1) for end in (cost.high, cost.value, cost.low)
            )
            source = f"{cost.source}; {api.source}"
            figure = Figure(value, "ratio", "derived", source, low, high, cost.reason)
            what = f"{workload.workload}: {frontier.name} over {supply.name}, {when}"
            parts.append(compared(what, figure, least, least=True))
    return Claim(
        "classification", "20 times cheaper per classification",
        "A self-hosted small model is 20 to 50 times cheaper per classification call",
        "The frontier API's price of a call is at least the claim's lower end times the cheapest self-hosted option "
        "that meets the workload's floor: with machines that are always busy, and with whole replicas, no fewer than "
        "the study's minimum, that serve only the workload.",
        parts, "costlib plan STUDY", needs="a classification workload, an API as the baseline and a self-hosted option",
    )  # fmt: skip


def embedding_claim(market: Market, rows: Sequence[Row]) -> Claim:
    """What a million tokens cost on the own machine over what an embedding API charges."""
    line, parts = bound(SMALL_FRACTION, "ratio"), []
    apis = [o for o in market.study.options if isinstance(o, ApiOption) and o.capability.startswith("embedding")]
    for row in _fastest(rows):
        try:
            rate = measured_rate(row["device"], as_of=market.study.as_of)
        except InputError:
            continue  # a device nobody has a rate for
        cost = records(priced(pd.DataFrame([row]), {row["device"]: rate}))[0]
        for api in apis:
            sheet = market.book.sheet(api.model, api.provider, api.tier, market.study.as_of)
            band = sheet.band("input", 0)
            price, source = float(band.usd_per_mtok), f"run {row['run_id']}; {rate.source}; {band.price.source}"
            named = f"{row['model']} {row['precision']} over {api.name}"
            share = {name: float(cost[name]) / price if cost[name] is not None else None
                     for name in ("usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high")}  # fmt: skip
            figure = figure_of(
                share, "usd_per_mtok", "ratio", kind="derived", source=source, reason="no interval of the speed"
            )
            parts.append(compared(f"{named}, always busy", figure, line, least=False))
            parts += _embedded_at_volume(market, row, float(rate.usd_per_hour), price, named, source)
    return Claim(
        "embedding", "Embeddings at a fraction of the API price",
        "Self-hosted embeddings cost a small fraction of the API price",
        "Dollars per token of the own machine over the API's list price are at most the bound, always busy and at "
        "the volume of the study's search workload, whose replicas stand idle for the rest of the hour.",
        parts, "costlib embed demo:minilm --precision fp32,bf16 --text FILE.jsonl",
        "The embedding models compared are not equally good; embed --task measures what each keeps.",
    )  # fmt: skip


def _fastest(rows: Sequence[Row]) -> list[Row]:
    """The fastest stored precision of each embedding model and device."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["status"] == "ok" and row["tokens_per_s"] is not None:
            key = (row["model"], row["device"])
            if key not in best or row["tokens_per_s"] > best[key]["tokens_per_s"]:
                best[key] = row
    return list(best.values())


def _embedded_at_volume(
    market: Market, row: Row, usd_per_hour: float, price: float, named: str, source: str
) -> Iterator[Part]:
    """The same at the volume of each workload of embeddings, with whole replicas."""
    assume = market.study.assume
    for workload in market.workloads("embeddings"):
        tokens = workload.requests_per_month * workload.input_tokens
        peak = tokens * max(market.study.profiles[workload.profile].hourly_share()) / 3600
        replicas = max(assume("minimum_replicas"), math.ceil(peak / (row["tokens_per_s"] * assume("max_utilization"))))
        usd = replicas * usd_per_hour * assume("hours_per_month") / (tokens / 1e6)
        reason = "at the stated volume, whole replicas"
        figure = Figure(usd / price, "ratio", "derived", source, reason=reason)
        line = bound(SMALL_FRACTION, "ratio")
        yield compared(f"{named}, at the volume of {workload.workload}", figure, line, least=False)


def distillation_claim(market: Market, rows: Sequence[Row], people_hours: float, retrain_every_weeks: float) -> Claim:
    """When a student has paid for its making, against its own teacher and against the frontier API."""
    parts: list[Part] = []
    classes = sorted(market.workloads(*_CLASSES), key=lambda workload: -workload.requests_per_month)
    for row in rows:
        if row["status"] != "ok" or row["retention"] is None or not classes:
            continue
        try:
            rate = measured_rate(row["device"], as_of=market.study.as_of)
        except InputError:
            continue
        parts += _paid_back(market, row, classes[0], float(rate.usd_per_hour), people_hours, retrain_every_weeks)
    return Claim(
        "distillation", "Distillation pays back within weeks", "Distillation pays back within weeks",
        "Weeks until effort and retrainings are paid back for good are at most the bound, over the whole range of the "
        "volume of the study's largest classification workload.",
        parts, "costlib distill demo:minilm --student static --task FILE.jsonl --requests-per-week N",
        "What a student keeps of its teacher is shown by the distillation notebook; a student that fails the floor "
        "saves nothing.",
    )  # fmt: skip


def _paid_back(
    market: Market, row: Row, workload: Workload, hourly: float, people_hours: float, retrain_every_weeks: float
) -> Iterator[Part]:
    rule = market.study.workload_columns["requests_per_month"]
    weekly = workload.requests_per_month / market.study.assume("hours_per_month") * _WEEK_HOURS
    volumes = [weekly * factor for factor in (rule.high_factor, 1, rule.low_factor)]
    people: dict[str, Any] = {"people_hours": people_hours, "retraining_people_hours": people_hours / 2}
    people |= {"usd_per_people_hour": market.study.assume("human_usd_per_hour")}
    money = [price_distillation(row, hourly, v, retrain_every_weeks=retrain_every_weeks, **people) for v in volumes]
    line, source = bound(WEEKS, "weeks"), f"run {row['run_id']}; study {market.study.name}; people's hours assumed"
    named = f"{row['student']} student of {row['teacher']} at the volume of {workload.workload}"
    yield _weeks(f"{named}, instead of its teacher", [one.payback for one in money], line, source)
    frontier = market.frontier()
    api = api_usd(market.book, frontier, market.request(workload), market.study) if frontier else None
    if frontier is None or api is None or api.value is None or not row["tokens_per_item"]:
        return
    longer = workload.input_tokens / row["tokens_per_item"]  # the student reads the workload's texts, not the task's
    saving = float(api.value) - money[1].student_usd_per_million / 1e6 * longer
    made, again = money[1].effort_usd, money[1].retraining_usd
    paid = [
        project_payback(made, saving, v, retraining_usd=again, retrain_every_weeks=retrain_every_weeks) for v in volumes
    ]
    yield _weeks(f"{named}, instead of {frontier.name}", paid, line, f"{source}; {api.source}")


def _weeks(what: str, paid: Sequence[Any], line: Figure, source: str) -> Part:
    """A part about weeks at the high, stated and low volume; one that never pays back fails."""
    high, stated, low = paid
    if stated.weeks is None:
        figure = Figure(None, "weeks", "derived", source, reason=f"never: {stated.reason}")
        return Part(what, figure, line, False, "never at the stated volume")
    if low.weeks is None or high.weeks is None:
        figure = Figure(stated.weeks, "weeks", "derived", source, reason="never at the low end of the volume")
        return Part(what, figure, line, None, "never at the low end of the volume")
    found = sorted((high.weeks, low.weeks))
    reason = "range over the ends of the volume"
    figure = Figure(stated.weeks, "weeks", "derived", source, found[0], found[1], reason)
    return compared(what, figure, line, least=False)


def speculation_claim() -> Claim:
    """Speculative decoding has no measurement in this workbench yet, so nothing can speak for or against it."""
    return Claim(
        "speculation", "Speculative decoding saves on top", "Speculative decoding saves on top",
        "Tokens per second with a draft model over those without, on the same prompts, are above one.", [], "",
        needs="a measurement of one model with and without a draft model, which costlib has no command for yet",
    )  # fmt: skip


def prefix_claim(market: Market) -> Claim:
    """What a provider's prompt cache takes off the bill of each workload that repeats a prefix."""
    parts = []
    served = {row["workload"]: row["option"] for row in records(market.plan.choices)}
    for workload in load_workloads(market.study):
        chosen = market.study.option(served[workload.workload])
        option = chosen if isinstance(chosen, ApiOption) else market.frontier()
        if not workload.cached_tokens or option is None or workload.own_machines_only:
            continue
        asked: dict[str, Any] = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
        asked |= {"tier": option.tier, "as_of": market.study.as_of}
        what = f"{workload.workload} with {option.name}: share of the bill saved"
        try:
            plain = price_request(market.book, option.model, option.provider, **asked)
            read = price_request(
                market.book, option.model, option.provider, cached_tokens=workload.cached_tokens, **asked
            )
        except InputError as error:
            unknown = Figure(None, "share", "derived", market.book.source, reason=str(error))
            parts.append(above(what, unknown, bound(0, "share")))
            continue
        late, more = cold_cache(market.study, workload, option, market.book)
        cost = float(read.total) + late * float(more)
        reason = f"{LIST_PRICE}; random arrivals at the stated volume refill an expired cache"
        figure = Figure(1 - cost / float(plain.total), "share", "derived", read.source, reason=reason)
        parts.append(above(what, figure, bound(0, "share")))
    return Claim(
        "prefix", "Prefix caching saves on top", "Prefix caching saves on top",
        "The bill of a request with its repeated prefix read from the provider's cache, and the cache filled again as "
        "often as it expires, is below the bill without a cache.",
        parts, "costlib plan STUDY",
        "Self-hosted prefix caching is not measured here: that needs a server.",
        "a workload that repeats a prefix, on an API that sells cached reads",
    )  # fmt: skip


def portfolio_claim(market: Market) -> Claim:
    """Whether the plan costs less than everything on one frontier API."""
    source, line = f"plan of study {market.study.name}", bound(0, "USD/month")

    def saved(part: str) -> Figure:
        sums, name = market.plan.totals.loc["saving"], {"total": "", "cash": "cash_"}[part] + "usd_per_month"
        row = {f"usd_per_month{end}": sums[f"{name}{end}"] for end in ("", "_low", "_high")}
        return figure_of(row, "usd_per_month", "USD/month", kind="derived", source=source, reason="not drawn")

    chance = Figure(market.plan.probability_saves, "probability", "derived", source,
                    reason=f"share of {market.study.draws} draws")  # fmt: skip
    return Claim(
        "portfolio", "A portfolio beats one frontier API", "A portfolio beats one frontier API",
        "The whole interval of what the plan saves is above nothing, in bills and with the expected cost of wrong "
        "answers, and it saves in at least nineteen of twenty draws.",
        [
            above("saved in bills", saved("cash"), line),
            above("saved with the expected cost of wrong answers", saved("total"), line),
            compared("probability of saving", chance, bound(0.95, "probability"), least=True),
        ],
        "costlib plan STUDY", market.study.synthetic,
    )  # fmt: skip
