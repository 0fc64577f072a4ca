"""Request logs to workloads: what is read, what is left out and why, what it cost, and how the month looks.

`dialects` turns one record of a known export into a canonical call, `reading` streams files of any size, `summary`
adds up on disk. The door is `costlib.portfolio.usage.summary.read_logs`.
"""
