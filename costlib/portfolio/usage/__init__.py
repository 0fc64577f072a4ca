"""Request logs to workloads: what is read, what is left out and why, what it cost, and how the month looks.

`costlib.read.calls` reads them; `summary` adds up on disk, `bill` prices, `export` writes the CSV of a study. The door
is `costlib.portfolio.usage.summary.read_logs`.
"""
