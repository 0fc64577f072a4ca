"""$ per token and per good answer: what self-hosting costs, when it beats an API, and how sure that is.

`speeds` reads published speeds; `token` turns a speed and an hourly rate into $/Mtok; `arrivals`, `queueing` and
`capacity` derive utilization and replicas from a request profile; `breakeven` finds where the cheaper side changes;
`payback` judges capital and migration projects. Every function takes plain numbers, checked by `inputs`.
"""

from costlib.room import callable_as

callable_as(__name__, "costlib.cost.token_table:cost")
