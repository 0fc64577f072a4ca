"""Load tests of OpenAI-compatible servers: when requests are sent, what comes back and when, and what follows from it.

`arrivals` says when, `prompts` what, `client` sends one request and `drive` all of them; `selftest` measures the client
itself against `mock`; `trace` derives numbers, `slo` judges them by what was promised; `run` is the front.
"""
