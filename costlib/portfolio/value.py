"""What pays: the worth of a use case against what its answers cost, at every option, and the price at which it would.

Per request, an option is worth P(good) * value of a good answer and costs its use, its upkeep and its expected misses,
with the use case alone on it: own whole replicas, own models to keep. So what pays here pays without the rest of the
portfolio; shared replicas can only help. A use case that loses money on the option everything runs on today, or is not
served at all, and earns on another one, is one the portfolio makes viable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from costlib.portfolio.economics import Scenario, economy
from costlib.portfolio.offers import Offer
from costlib.portfolio.problem import Floats, Ints, alone_usd
from costlib.portfolio.ranges import between, draws
from costlib.portfolio.risk import draw, scenarios
from costlib.portfolio.supply import PricedOption
from costlib.study import Study

_DRAWS = 1000
VALUE_COLUMNS = (
    "use_case served option baseline eligible value_usd success_rate usd_per_request usd_per_good_answer net_usd "
    "net_usd_low net_usd_high net_usd_per_month pays probability_pays use_usd pays_below_use_usd price_multiple reason "
    "kind source"
)


def value_table(
    study: Study, found: Sequence[PricedOption], table: Sequence[Sequence[Offer]], baseline: Ints, *, served: bool
) -> pd.DataFrame:
    """One row per use case with a value and option with a price and a success rate; $ per request, derived.

    `net_usd` is value minus cost, with the 2.5 and 97.5 percentiles over draws; `pays` where it is at least 0 and the
    option meets every requirement, `probability_pays` the share of draws. `pays_below_use_usd` is the $ of use per
    request (API, people or replicas) at which it would pay, `price_multiple` that over what use costs now; both are
    null with a `reason` where even free use would not. `baseline` (W,) is the option compared with.
    """
    valued = [w for w, row in enumerate(table) if row[0].workload.value_usd is not None]
    if not valued:
        return pd.DataFrame(columns=VALUE_COLUMNS.split())
    money = economy(study, found, [table[w] for w in valued])
    worth = np.array([float(table[w][0].workload.value_usd or 0) for w in valued])
    rule = study.workload_columns["value_usd"]
    ends = np.stack([worth * rule.low_factor, worth, worth * rule.high_factor])
    count = min(study.draws, _DRAWS)
    quantiles = draw(money, count, study.seed, study.assume("quality_correlation"), more=len(valued))
    drawn = between(ends, draws(ends, quantiles["more"], np.arange(len(valued))))
    nets = np.zeros((count, *money.eligible.shape))
    for block, scenario in scenarios(money, quantiles):
        nets[block] = _net(scenario, drawn[block])
    del quantiles, drawn  # hundreds of megabytes in a large study
    chance = (nets >= 0).mean(axis=0)
    spread = np.percentile(nets, [2.5, 97.5], axis=0, overwrite_input=True)
    now = money.at()
    net, total, misses = (
        _net(now, worth),
        _per_request(now, alone_usd(now.problem)),
        _per_request(now, now.parts["misses"]),
    )
    upkeep = _per_request(now, now.parts["evaluation"] + now.problem.kept @ now.problem.model_usd)
    rows: list[dict[str, Any]] = []
    for place, w in enumerate(valued):
        for o, offer in enumerate(table[w]):
            if offer.score is None or {"price", "speed", "quality gate"} & offer.failed.keys():
                continue
            rate = float(now.level["success_rate"][place, o])
            use = float(total[place, o] - misses[place, o] - upkeep[place, o])
            most = rate * worth[place] - float(misses[place, o] + upkeep[place, o])
            rows.append(
                {
                    "use_case": offer.workload.workload,
                    "served": served,
                    "option": offer.supply.name,
                    "baseline": bool(o == baseline[w]),
                    "eligible": offer.eligible,
                    "value_usd": worth[place],
                    "success_rate": rate,
                    "usd_per_request": float(total[place, o]),
                    "usd_per_good_answer": float(total[place, o]) / rate if rate else np.nan,
                    "net_usd": float(net[place, o]),
                    "net_usd_low": float(spread[0, place, o]),
                    "net_usd_high": float(spread[1, place, o]),
                    "net_usd_per_month": float(net[place, o]) * offer.workload.requests_per_month,
                    "pays": bool(offer.eligible and net[place, o] >= 0),
                    "probability_pays": float(chance[place, o]) if offer.eligible else 0.0,
                    "use_usd": use,
                    "pays_below_use_usd": most if most > 0 else np.nan,
                    "price_multiple": most / use if most > 0 and use > 0 else np.nan,
                    "reason": _reason(offer, most, use),
                    "kind": "derived",
                    "source": f"study {study.name}",
                }
            )
    return pd.DataFrame(rows)


def _per_request(scenario: Scenario, usd: Floats) -> Floats:
    return np.asarray(usd / scenario.level["requests_per_month"][..., None])


def _net(scenario: Scenario, worth: Floats) -> Floats:
    """(W, O): $ per request that an option earns."""
    return scenario.level["success_rate"] * worth[..., None] - _per_request(scenario, alone_usd(scenario.problem))


def _reason(offer: Offer, most: float, use: float) -> str | None:
    """Why an option does not serve, or why no price makes it pay."""
    if not offer.eligible:
        return "; ".join(f"{name}: {text}" for name, text in offer.failed.items())
    if most <= 0:
        return "never: misses and upkeep alone cost more than the answers are worth"
    return "use costs nothing" if use <= 0 else None
