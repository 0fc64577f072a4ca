"""What an analyst calls: questions that need several rooms at once, each answered by one function.

Everything returns tidy DataFrames or frozen values with units in the names. `costlib/__init__.py` is the list of all
public names; the command line is a thin shell over the same functions.
"""

from costlib.door.answers import evaluate
from costlib.door.hosting import breakeven, cost, memory, price, price_usage, rates
from costlib.door.serving import load
from costlib.door.small_models import distill, embed
from costlib.door.techniques import prefix, speculate

__all__ = [
    "breakeven",
    "cost",
    "distill",
    "embed",
    "evaluate",
    "load",
    "memory",
    "prefix",
    "price",
    "price_usage",
    "rates",
    "speculate",
]
