"""What to measure next: the expected value of knowing a number before the plan is made, in $ per month.

Knowing a number is worth something only where it could change a choice: the expected value of perfect information is
E[cost of the option that is best without it] - E[cost of the option that is best with it]. With one number known and
all others still unknown (partial information) the inner expectation is a regression of cost on that number over joint
draws, a single loop (Strong, Oakley and Brennan 2014, Med Decis Making 34:311). Here the regression is a polynomial in
the quantile of each number, and its choices are judged on draws it was not fitted on, because judged on its own draws
every number would look worth knowing: the estimate errs low, and what cannot change a choice is worth 0.

Each workload chooses for itself, all others staying; a number that several workloads share is worth the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander

from costlib.portfolio.economics import FACTORS, CostModel
from costlib.portfolio.problem import Floats, Ints
from costlib.portfolio.risk import Simulation

_DEGREE = 4
_FOLDS = 5


@dataclass(frozen=True)
class Worth:
    """What knowing `factor` would be worth; `index` is the workload, option or device it belongs to, -1: all.

    `usd` is $ per month, `error` its Monte Carlo standard error; `workloads` are those whose choice it could change.
    """

    factor: str
    index: int
    usd: float
    error: float
    workloads: tuple[int, ...]


def saved_by_knowing(change: Floats, quantiles: Floats | None = None) -> Floats:
    """$ of each draw saved by choosing with knowledge; the mean is the expected value of the information.

    `change` (D, O) is the cost of each option in each draw, up to a sum that all options of a draw share; `quantiles`
    (D, K) the numbers that become known, each uniform from 0 to 1; None: everything becomes known. Draws must be
    independent of each other.
    """
    rows = np.arange(len(change))
    if quantiles is None:
        return np.asarray(change[:, change.mean(axis=0).argmin()] - change.min(axis=1))
    terms = [np.ones((len(change), 1)), *(legvander(2 * column - 1, _DEGREE)[:, 1:] for column in quantiles.T)]
    design, saved = np.concatenate(terms, axis=1), np.zeros(len(change))
    for fold in range(_FOLDS):
        judged = rows % _FOLDS == fold
        known = design[~judged]
        fitted = np.linalg.pinv(known.T @ known, hermitian=True) @ (known.T @ change[~judged])
        before = change[~judged].mean(axis=0).argmin()
        after = (design[judged] @ fitted).argmin(axis=1)
        saved[judged] = change[judged, before] - change[rows[judged], after]
    return saved


def information(economy: CostModel, drawn: Simulation) -> list[Worth]:
    """The worth of everything first, then of each uncertain number, the most valuable first.

    A number is what one inquiry would tell: of a workload its volume, lengths, cost of a miss or the success rates of
    its options; of an option its speed; of a device its rate; or one of the assumptions.
    """
    able = [np.flatnonzero(row) for row in economy.eligible]

    def worth(factor: str, index: int, columns: Floats | None, concerned: Sequence[int]) -> Worth:
        each = {w: saved_by_knowing(drawn.change[:, w, able[w]], columns) for w in concerned}
        saved = sum(each.values(), np.zeros(len(drawn.change)))
        error = float(saved.std(ddof=1) / np.sqrt(len(saved)))
        moved = tuple(w for w, one in each.items() if one.any())
        return Worth(factor, index, max(float(saved.mean()), 0.0), error, moved)

    found = [worth(*question) for question in _questions(economy, drawn, able)]
    everything = worth("everything", -1, None, range(len(able)))
    return [everything, *sorted(found, key=lambda one: -one.usd)]


def _questions(
    economy: CostModel, drawn: Simulation, able: Sequence[Ints]
) -> Iterator[tuple[str, int, Floats, list[int]]]:
    """(factor, index, quantiles (D, K), workloads concerned) of every number with a range and an eligible option."""

    asks = economy.asked[2] > 0  # a cascade or router depends on what its stages depend on

    def users(options: Ints) -> list[int]:
        return [w for w, own in enumerate(able) if len(own) > 1 and asks[np.ix_(own, options)].any()]

    every = users(np.arange(economy.eligible.shape[1]))
    used = np.flatnonzero(asks[np.unique(np.concatenate(able))].any(axis=0))
    for factor in FACTORS:
        ends, quantile = economy.ends.get(factor), drawn.quantiles.get(factor, np.zeros(0))
        if factor == "escalation":
            for option in np.flatnonzero((economy.asked[0] != economy.asked[2]).any(axis=1)):
                concerned = [w for w, own in enumerate(able) if len(own) > 1 and option in own]
                if concerned:
                    yield factor, int(option), quantile[:, option, None], concerned
        elif factor == "success_rate":
            for w in every:
                open_ = [o for o in able[w] if ends[0, w, o] < ends[2, w, o]]  # type: ignore[index]
                if len(open_):
                    yield factor, w, quantile[:, w, np.unique(economy.capability[open_])], [w]
        elif factor in ("speed", "device_rate"):
            group = economy.device if factor == "device_rate" else np.arange(economy.eligible.shape[1])
            wide = economy.seconds.sum(axis=0).max(axis=1) if ends is None else ends
            for index in np.unique(group[used]):
                members = np.flatnonzero(group == index)
                if (wide[0, members] < wide[2, members]).any() and users(members):
                    yield factor, int(index), quantile[:, members[:1]], users(members)
        elif ends is not None and ends.ndim == 2:
            yield from ((factor, w, quantile[:, w, None], [w]) for w in every if ends[0, w] < ends[2, w])
        elif ends is not None and ends[0] < ends[2]:
            yield factor, -1, quantile[:, None], every
