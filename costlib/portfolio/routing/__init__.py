"""Routers and cascades judged on per-request scores and costs: is it worth it, by how much, and from which threshold?

`requests` reads the table, `curve` holds the metrics, `routers` the scores a router may use and the floors it must
beat, `policy` the rule a gateway can read, `route` the whole verdict. The door is
`costlib.portfolio.routing.route.route`.
"""
