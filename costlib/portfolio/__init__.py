"""Which model for which workload: workloads and options, the cheapest assignment, how sure it is, what would flip it.

`workloads` and `options` read and judge; `economics` holds the money as arrays; `problem` says what a choice costs and
`assign` finds the cheapest one; `risk` draws from its ranges; `bill` rounds to cents; `frames` lays out the tables of
`plan`. The door is `make_plan(study, store=None)`.
"""

from costlib.portfolio.assign import Infeasible
from costlib.portfolio.plan import Plan, make_plan

__all__ = ["Infeasible", "Plan", "make_plan"]
