"""The money of a portfolio as arrays, at the stated values or at any point of their ranges.

`CostModel` holds every uncertain number as (low, value, high). `CostModel.at` gives the scenario in which chosen
factors sit at a quantile of their range and all others at their value; a quantile of 0 is the low end, of 1 the high
end. The value is read as the expected one, so that the mean over many draws is the cost at the stated values. A
scenario knows the assignment problem and splits the bill of any choice into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from costlib.portfolio.offers import Offer
from costlib.portfolio.problem import Flags, Floats, Ints, Problem, busiest_hours, on_pools, rent
from costlib.portfolio.ranges import Draws, between, draws
from costlib.portfolio.supply import Ends, PricedOption
from costlib.portfolio.together import splits, with_rest
from costlib.study import HumanOption, SelfHosted, Study

PARTS = ("inference", "idle", "human", "misses", "evaluation", "operations")

FACTORS: Mapping[str, str] = {
    "requests_per_month": "volume",
    "input_tokens": "input length",
    "output_tokens": "output length",
    "miss_cost_usd": "cost of a miss",
    "human_minutes": "minutes per task",
    "success_rate": "success rates",
    "speed": "speed of self-hosted models",
    "escalation": "requests sent to later stages",
    "device_rate": "hourly rates of devices",
    "hours_per_month": "paid hours per month",
    "max_utilization": "utilization in the peak hour",
    "minimum_replicas": "minimum replicas",
    "human_usd_per_hour": "cost of an hour of work",
    "evaluation_usd_per_month": "evaluation",
    "operations_usd_per_month": "operations",
}
"""Uncertain factors: id and what a reader calls them. `speed` is seconds per request, so its high end is slow."""


@dataclass(frozen=True)
class CostModel:
    """W workloads x O options, U uses of pools. `ends` holds each factor; its first axis is (low, value, high).

    Of a cascade or router `seconds` and `usd` are 0: what it costs is what its stages cost, by the shares `asked`.
    """

    ends: Mapping[str, Floats]
    seconds: Floats
    """(2, 3, W, O): replica seconds per request for input and for output, at the stated token counts."""
    usd: Floats
    """(2, W, O): API $ per request for input and for output, at the stated token counts."""
    asked: Floats
    """(3, O, O): low, value and high share of an option's requests that each option is asked; 1 of itself, alone."""
    routers: Mapping[int, Ints]
    """The stages' options of each router, by its own place; the first one gets what the others leave."""
    usd_per_request: Floats
    """(O,): $ of judging or routing a request."""
    eligible: Flags
    hours: Floats
    """(W, 24): share of the month's requests in each hour of one active day."""
    deciding: Floats
    """(W, H): the hours that can decide the size of a pool."""
    people: Flags
    capability: Ints
    device: Ints
    kept: Flags
    """(O, M): the models an option needs."""
    effort_usd: Floats
    """(M,): $ per month of making and retraining a model, besides its operations."""
    pool_option: Ints
    """(P,): the option that is each pool."""
    user: Ints
    """(U,): option of each use of a pool."""
    pool: Ints
    """(U,): pool of each use."""
    minimum: Ints
    """(O,): minimum replicas of an option, 0 where the assumption holds."""
    maximum: Floats
    node: Ints
    """(O, J): replicas of an option that are only to be had together, by offer."""
    replica_hour_usd: Floats
    """(O, J): $ per hour of each of these."""
    budget: float | None

    @property
    def staged(self) -> bool:
        """Whether any share of the requests a stage is asked has a range."""
        return bool((self.asked[0] != self.asked[2]).any())

    def drawn(self, quantiles: Mapping[str, Floats]) -> dict[str, Draws]:
        """Draws of every factor from its quantiles, as risk.py draws them; speed as one number in two."""
        workloads, options = self.eligible.shape
        stage = np.arange(options)
        columns = {
            "success_rate": np.arange(workloads)[:, None] * (self.capability.max() + 1) + self.capability,
            "escalation": np.repeat(stage[:, None], options, axis=1),
        }
        ends = {**self.ends, "escalation": self.asked}
        found = {}
        for name, quantile in quantiles.items():
            if name in ends:
                flat, shape = quantile.reshape(len(quantile), -1), ends[name].shape[1:]
                of = columns[name] if name in columns else np.arange(flat.shape[1]).reshape(shape)
                found[name] = draws(ends[name], flat, of)
        both = np.broadcast_to(stage, self.seconds.shape[:1] + self.eligible.shape)
        return found | {"speed": draws(self.seconds.swapaxes(0, 1), quantiles["speed"], both)}

    def at(self, quantiles: Mapping[str, float | Draws] | None = None, **values: Floats) -> Scenario:
        """The scenario with the named factors at `quantiles`, or at given `values`, and all others as stated.

        With draws all that follows from them has the draws as its first axis.
        """
        given = quantiles or {}
        level = {
            name: between(ends, given[name]) if name in given else ends[1] for name, ends in self.ends.items()
        } | values
        slow = given.get("speed")
        ends = self.seconds.swapaxes(0, 1)
        seconds = ends[1] if slow is None else between(ends, slow)
        requests = level["requests_per_month"][..., None]
        lengths = (level["input_tokens"][..., None], level["output_tokens"][..., None])
        asked = self._asked(given.get("escalation"))
        at_pool = self.pool_option[self.pool]
        per_request = seconds[..., 0, :, :] * lengths[0] + seconds[..., 1, :, :] * lengths[1]
        busy_h = requests / 3600 * per_request
        use_h = busy_h[..., at_pool] * asked[..., None, self.user, at_pool]
        hour_usd = self.replica_hour_usd * level["device_rate"][..., None]
        people_h = requests * level["human_minutes"][..., None] / 60 * self.people
        own = np.where(self.minimum > 0, self.minimum, np.round(level["minimum_replicas"])[..., None])
        parts = {
            "api": requests
            * (self._with_stages(self.usd[0] * lengths[0] + self.usd[1] * lengths[1], asked) + self.usd_per_request),
            "busy": self._with_stages(busy_h * hour_usd.min(axis=-1)[..., None, :], asked),
            "human": self._with_stages(people_h * level["human_usd_per_hour"][..., None, None], asked),
            "misses": requests * (1 - level["success_rate"]) * level["miss_cost_usd"][..., None],
        }
        tests = level["evaluation_usd_per_month"][..., None, None] * self.kept.sum(axis=1)
        parts["evaluation"] = np.broadcast_to(tests, parts["misses"].shape)
        cash = parts["api"] + parts["human"] + parts["evaluation"]
        problem = Problem(
            usd=cash + parts["misses"],
            cash=cash,
            eligible=self.eligible,
            load=use_h / level["max_utilization"][..., None, None],
            user=self.user,
            pool=self.pool,
            hours=self.deciding,
            replica_usd=(hour_usd * level["hours_per_month"][..., None, None])[..., self.pool_option, :],
            minimum=own[..., self.pool_option].astype(np.int64),
            maximum=self.maximum[self.pool_option],
            kept=self.kept,
            model_usd=level["operations_usd_per_month"][..., None] + self.effort_usd,
            budget=self.budget,
            node=self.node[self.pool_option],
        )
        return Scenario(problem, parts, use_h, hour_usd[..., self.pool_option, :], level)

    def _with_stages(self, alone: Floats, asked: Floats) -> Floats:
        """(W, O): what each option costs, of those with stages by the shares that their stages are `asked` (O, O)."""
        staged = np.flatnonzero(self.asked[1].diagonal() == 0)
        found = np.array(np.broadcast_to(alone, np.broadcast_shapes(alone.shape, (*asked.shape[:-2], 1, 1))))
        found[..., staged] = alone @ np.swapaxes(asked[..., staged, :], -1, -2)
        return found

    def _asked(self, quantile: float | Draws | None) -> Floats:
        """(O, O): share of an option's requests that each option is asked."""
        share = self.asked[1].copy() if quantile is None else between(self.asked, quantile)
        for router, stages in self.routers.items():
            share[..., router, stages] = with_rest(share[..., router, stages])
        return share


@dataclass(frozen=True)
class Scenario:
    """One point of the ranges: the assignment problem, and the parts of its costs, (W, O) in $ per month."""

    problem: Problem
    parts: Mapping[str, Floats]
    use_h: Floats
    """(W, U): busy hours of each use of a pool."""
    hour_usd: Floats
    """(P, J): $ per hour of a replica, by offer."""
    level: Mapping[str, Floats]

    def busy(self, choice: Ints) -> tuple[Floats, Flags, Floats]:
        """(W, P) $ of the busy hours of a choice at the offers it rents, who uses which pool, and (P,) pools' bills."""
        hours, used = on_pools(self.problem, choice, self.use_h)
        _, usd, best = rent(self.problem, choice)
        price = np.take_along_axis(
            np.broadcast_to(self.hour_usd, (*best.shape, self.hour_usd.shape[-1])), best[..., None], -1
        )
        return hours * np.swapaxes(price, -1, -2), used, usd

    def split(self, choice: Ints) -> Floats:
        """(6, W): what each workload pays of each of `PARTS`, $ per month.

        A pool's idle hours are shared among its workloads by their busy hours, a model's operations equally.
        """
        problem, rows = self.problem, np.arange(len(choice))
        taken = {name: values[..., rows, choice] for name, values in self.parts.items()}
        busy, _, bills = self.busy(choice)
        whole = busy.sum(axis=-2)
        idle = busy @ np.divide(bills - whole, whole, out=np.zeros(whole.shape), where=whole > 0)[..., None]
        kept = problem.kept[choice]
        operations = (problem.model_usd / np.maximum(kept.sum(axis=0), 1)) @ kept.T
        inference = taken["api"] + busy.sum(axis=-1)
        parts = (inference, idle[..., 0], taken["human"], taken["misses"], taken["evaluation"], operations)
        return np.stack(np.broadcast_arrays(*parts), axis=-2)


def economy(study: Study, supplies: Sequence[PricedOption], table: Sequence[Sequence[Offer]]) -> CostModel:
    """Arrays of a study's offers; table[w][o] is option o for workload w."""
    workloads = [row[0].workload for row in table]

    def column(name: str) -> Floats:
        rule = study.workload_columns[name]
        base = np.array([float(getattr(workload, name) or 0) for workload in workloads])
        base = np.ones(len(workloads)) if name in ("input_tokens", "output_tokens") else base
        return np.stack([base * rule.low_factor, base, base * rule.high_factor])

    def grid(read: Callable[[Offer], Any]) -> Floats:
        """What is read of every offer, as (..., W, O)."""
        found = np.array([[read(offer) for offer in row] for row in table], dtype=float)
        return np.ascontiguousarray(found.transpose(*range(2, found.ndim), 0, 1))

    sold = [supply.purchases or ((1, 0.0),) for supply in supplies]
    sold = [tuple(one) + (one[-1],) * (max(map(len, sold)) - len(one)) for one in sold]
    options = [supply.option for supply in supplies]
    models = sorted({supply.model for supply in supplies if supply.model})
    effort = {supply.model: supply.effort_usd_per_month for supply in supplies}
    devices = sorted({supply.device for supply in supplies})
    capabilities = sorted({option.capability for option in options})
    pools = np.flatnonzero([isinstance(option, SelfHosted) for option in options])
    shares = np.stack([np.eye(len(options))] * 3)
    for index, supply in enumerate(supplies):
        for place, ends in supply.stages:
            shares[:, index, index] = 0
            shares[:, index, place] = ends
    needs = shares[2] > 0
    user, pool = np.nonzero(needs[:, pools])
    hours = np.array([study.profiles[workload.profile].hourly_share() for workload in workloads])
    names = ("requests_per_month", "input_tokens", "output_tokens", "miss_cost_usd", "human_minutes")
    return CostModel(
        ends={name: column(name) for name in names}
        | {"success_rate": grid(_success), "device_rate": np.ones((3, len(options)))}
        | {name: np.array(assumption.ends) for name, assumption, _ in study.assumptions.rows() if name in FACTORS},
        seconds=grid(lambda offer: (offer.input_s, offer.output_s)),
        usd=grid(lambda offer: (0, 0) if offer.supply.stages else (offer.input_usd, offer.output_usd)),
        asked=shares,
        routers={o: np.array([place for place, _ in s.stages]) for o, s in enumerate(supplies) if splits(s)},
        usd_per_request=np.array([float(supply.usd_per_request) for supply in supplies]),
        eligible=np.array([[offer.eligible for offer in row] for row in table]),
        hours=hours,
        deciding=busiest_hours(hours),
        people=np.array([isinstance(option, HumanOption) for option in options]),
        capability=np.array([capabilities.index(option.capability) for option in options]),
        device=np.array([devices.index(supply.device) for supply in supplies]),
        kept=needs @ np.array([[supply.model == model for model in models] for supply in supplies], dtype=bool),
        effort_usd=np.array([effort[model] for model in models]),
        pool_option=pools,
        user=user,
        pool=pool,
        minimum=np.array([getattr(option, "minimum_replicas", None) or 0 for option in options]),
        maximum=np.array([getattr(option, "maximum_replicas", None) or np.inf for option in options]),
        node=np.array([[held for held, _ in one] for one in sold]),
        replica_hour_usd=np.array([[usd / held for held, usd in one] for one in sold]),
        budget=None if study.budget_usd_per_month is None else float(study.budget_usd_per_month),
    )


def _success(offer: Offer) -> Ends:
    score = offer.score
    return (0.0, 0.0, 0.0) if score is None else (score.low, score.success_rate, score.high)
