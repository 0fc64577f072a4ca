"""The money of a portfolio as arrays, at the stated values or at any point of their ranges.

`Economy` holds every uncertain number as (low, value, high). `Economy.at` gives the scenario in which chosen factors
sit at a quantile of their range and all others at their value; a quantile of 0 is the low end, of 1 the high end. The
value is read as the expected one, so that the mean over many draws is the cost at the stated values. A scenario knows
the assignment problem and splits the bill of any choice into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv

from costlib.portfolio.assign import Flags, Floats, Ints, Problem, busiest_hours, replicas
from costlib.portfolio.offers import Offer
from costlib.portfolio.options import Supply
from costlib.study import HumanOption, MeasuredOption, QuotedOption, Study

PARTS = ("inference", "idle", "human", "misses", "evaluation", "operations")

FACTORS: Mapping[str, str] = {
    "requests_per_month": "volume",
    "input_tokens": "input length",
    "output_tokens": "output length",
    "miss_cost_usd": "cost of a miss",
    "human_minutes": "minutes per task",
    "success_rate": "success rates",
    "speed": "speed of self-hosted models",
    "device_rate": "hourly rates of devices",
    "hours_per_month": "paid hours per month",
    "max_utilization": "utilization in the peak hour",
    "minimum_replicas": "minimum replicas",
    "human_usd_per_hour": "cost of an hour of work",
    "evaluation_usd_per_month": "evaluation",
    "operations_usd_per_month": "operations",
}
"""Uncertain factors: id and what a reader calls them. `speed` is seconds per request, so its high end is slow."""


def between(ends: Floats, quantile: float | Floats) -> Floats:
    """Quantile of a beta distribution over `ends` = (low, value, high) on the first axis, with the value as its mean.

    With m the place of the value between the ends (kept 5 % of the range away from them) the shapes are 6 m and
    6 (1 - m): as spread out as the PERT distribution of project planning, whose value is the mode instead.
    """
    low, value, high = ends
    found = np.array(value, dtype=float)
    wide = high > low
    low, width = low[wide], high[wide] - low[wide]
    place = np.clip((value[wide] - low) / width, 0.05, 0.95)
    found[wide] = low + width * betaincinv(6 * place, 6 * (1 - place), np.broadcast_to(quantile, wide.shape)[wide])
    return found


@dataclass(frozen=True)
class Economy:
    """W workloads x O options. `ends` holds each factor as an array whose first axis is (low, value, high)."""

    ends: Mapping[str, Floats]
    seconds: Floats
    """(2, 3, W, O): replica seconds per request for input and for output, at the stated token counts."""
    usd: Floats
    """(2, W, O): API $ per request for input and for output, at the stated token counts."""
    eligible: Flags
    hours: Floats
    """(W, 24): share of the month's requests in each hour of one active day."""
    deciding: Floats
    """(W, H): the hours that can decide the size of a pool."""
    people: Flags
    capability: Ints
    device: Ints
    pool: Ints
    model: Ints
    pool_option: Ints
    """(P,): the option that is each pool."""
    minimum: Ints
    """(O,): minimum replicas of an option, 0 where the assumption holds."""
    maximum: Floats
    budget: float | None

    def at(self, quantiles: Mapping[str, float | Floats] | None = None, **values: Floats) -> Scenario:
        """The scenario with the named factors at `quantiles`, or at given `values`, and all others as stated."""
        given = quantiles or {}
        level = {
            name: between(ends, given[name]) if name in given else ends[1] for name, ends in self.ends.items()
        } | values
        slow = given.get("speed")
        seconds = np.stack([s[1] if slow is None else between(s, slow) for s in self.seconds])
        requests = level["requests_per_month"][:, None]
        lengths = (level["input_tokens"][:, None], level["output_tokens"][:, None])
        busy_h = requests * (seconds[0] * lengths[0] + seconds[1] * lengths[1]) / 3600
        kept = self.model >= 0
        own = np.where(self.minimum > 0, self.minimum, np.round(level["minimum_replicas"]))
        parts = {
            "api": requests * (self.usd[0] * lengths[0] + self.usd[1] * lengths[1]),
            "busy": busy_h * level["device_rate"][None, :],
            "human": requests * level["human_minutes"][:, None] / 60 * level["human_usd_per_hour"] * self.people,
            "misses": requests * (1 - level["success_rate"]) * level["miss_cost_usd"][:, None],
            "evaluation": np.broadcast_to(level["evaluation_usd_per_month"] * kept, self.eligible.shape),
        }
        cash = parts["api"] + parts["human"] + parts["evaluation"]
        problem = Problem(
            usd=cash + parts["misses"],
            cash=cash,
            eligible=self.eligible,
            load=busy_h / level["max_utilization"],
            hours=self.deciding,
            pool=self.pool,
            replica_usd=(level["device_rate"] * level["hours_per_month"])[self.pool_option],
            minimum=own[self.pool_option].astype(np.int64),
            maximum=self.maximum[self.pool_option],
            model=self.model,
            model_usd=np.full(int(self.model.max(initial=-1)) + 1, float(level["operations_usd_per_month"])),
            budget=self.budget,
        )
        return Scenario(problem, parts, busy_h, level)


@dataclass(frozen=True)
class Scenario:
    """One point of the ranges: the assignment problem, and the parts of its costs, (W, O) in $ per month."""

    problem: Problem
    parts: Mapping[str, Floats]
    busy_h: Floats
    level: Mapping[str, Floats]

    def split(self, choice: Ints) -> Floats:
        """(6, W): what each workload pays of each of `PARTS`, $ per month.

        A pool's idle hours are shared among its workloads by their busy hours, a model's operations equally.
        """
        problem, rows = self.problem, np.arange(len(choice))
        taken = {name: values[rows, choice] for name, values in self.parts.items()}
        idle, operations = np.zeros(len(choice)), np.zeros(len(choice))
        bills = replicas(problem, choice) * problem.replica_usd
        for pool in np.flatnonzero(bills):
            users = problem.pool[choice] == pool
            busy = taken["busy"][users]
            idle[users] = (bills[pool] - busy.sum()) * busy / busy.sum()
        for model in np.unique(problem.model[choice]):
            if model >= 0:
                users = problem.model[choice] == model
                operations[users] = problem.model_usd[model] / users.sum()
        inference = taken["api"] + taken["busy"]
        return np.stack([inference, idle, taken["human"], taken["misses"], taken["evaluation"], operations])


def economy(study: Study, supplies: Sequence[Supply], table: Sequence[Sequence[Offer]]) -> Economy:
    """Arrays of a study's offers; table[w][o] is option o for workload w."""
    workloads = [row[0].workload for row in table]

    def column(name: str) -> Floats:
        rule = study.workload_columns[name]
        base = np.array([float(getattr(workload, name) or 0) for workload in workloads])
        base = np.ones(len(workloads)) if name in ("input_tokens", "output_tokens") else base
        return np.stack([base * rule.low_factor, base, base * rule.high_factor])

    def grid(read: Callable[[Offer], Any]) -> Floats:
        return np.array([[float(read(offer)) for offer in row] for row in table])

    scores = [grid(_reader("score", end)) for end in ("low", "success_rate", "high")]
    rates = np.array([supply.usd_per_hour or (0.0, 0.0, 0.0) for supply in supplies]).T
    options = [supply.option for supply in supplies]
    models = sorted({supply.model for supply in supplies if supply.model})
    devices = sorted({supply.device for supply in supplies})
    capabilities = sorted({option.capability for option in options})
    hosted = np.array([isinstance(option, (MeasuredOption, QuotedOption)) for option in options])
    pool = np.where(hosted, np.cumsum(hosted) - 1, -1)
    hours = np.array([study.profiles[workload.profile].hourly_share() for workload in workloads])
    names = ("requests_per_month", "input_tokens", "output_tokens", "miss_cost_usd", "human_minutes")
    return Economy(
        ends={name: column(name) for name in names}
        | {"success_rate": np.stack(scores), "device_rate": rates}
        | {name: np.array(assumption.ends) for name, assumption, _ in study.assumptions.rows() if name in FACTORS},
        seconds=np.stack(
            [np.stack([grid(_reader(part, end)) for end in range(3)]) for part in ("input_s", "output_s")]
        ),
        usd=np.stack([grid(lambda offer: offer.input_usd), grid(lambda offer: offer.output_usd)]),
        eligible=np.array([[offer.eligible for offer in row] for row in table]),
        hours=hours,
        deciding=busiest_hours(hours),
        people=np.array([isinstance(option, HumanOption) for option in options]),
        capability=np.array([capabilities.index(option.capability) for option in options]),
        device=np.array([devices.index(supply.device) for supply in supplies]),
        pool=pool,
        model=np.array([models.index(supply.model) if supply.model else -1 for supply in supplies]),
        pool_option=np.flatnonzero(hosted),
        minimum=np.array([getattr(option, "minimum_replicas", None) or 0 for option in options]),
        maximum=np.array([getattr(option, "maximum_replicas", None) or np.inf for option in options]),
        budget=None if study.budget_usd_per_month is None else float(study.budget_usd_per_month),
    )


def _reader(name: str, part: str | int) -> Callable[[Offer], float]:
    """Reads one number of an offer; 0 where there is no score."""

    def read(offer: Offer) -> float:
        whole = getattr(offer, name)
        return float(whole[part] if isinstance(part, int) else getattr(whole, part, 0.0))

    return read
