"""costlib measures what language models cost to run and writes portfolio cost reports.

This is the public door. Names are resolved on first use, so that `import costlib` stays light and never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costlib.cost.sizing import capacity as capacity
    from costlib.doctor import doctor as doctor
    from costlib.door import breakeven as breakeven
    from costlib.door import cost as cost
    from costlib.door import distill as distill
    from costlib.door import embed as embed
    from costlib.door import evaluate as evaluate
    from costlib.door import load as load
    from costlib.door import memory as memory
    from costlib.door import prefix as prefix
    from costlib.door import price as price
    from costlib.door import price_usage as price_usage
    from costlib.door import rates as rates
    from costlib.door import speculate as speculate
    from costlib.errors import CostlibError as CostlibError
    from costlib.errors import InputError as InputError
    from costlib.errors import RunError as RunError
    from costlib.figure import Figure as Figure
    from costlib.measure.compare import compare as compare
    from costlib.measure.run import measure as measure
    from costlib.measure.run import measurements as measurements
    from costlib.portfolio.plan import make_plan as plan
    from costlib.prices.book import load_book as price_book
    from costlib.prices.rates import offer as offer
    from costlib.quality.text import measure_text as quality
    from costlib.quality.text import quality_results as quality_results
    from costlib.report.batch import batch as batch
    from costlib.report.batch_folder import check as check
    from costlib.report.run import report as report
    from costlib.report.run import run as run
    from costlib.store import Store as Store
    from costlib.study import load_study as load_study

_DOOR = {
    "CostlibError": ("costlib.errors", "CostlibError"),
    "Figure": ("costlib.figure", "Figure"),
    "InputError": ("costlib.errors", "InputError"),
    "RunError": ("costlib.errors", "RunError"),
    "Store": ("costlib.store", "Store"),
    "batch": ("costlib.report.batch", "batch"),
    "breakeven": ("costlib.door", "breakeven"),
    "capacity": ("costlib.cost.sizing", "capacity"),
    "check": ("costlib.report.batch_folder", "check"),
    "compare": ("costlib.measure.compare", "compare"),
    "distill": ("costlib.door", "distill"),
    "embed": ("costlib.door", "embed"),
    "evaluate": ("costlib.door", "evaluate"),
    "load": ("costlib.door", "load"),
    "offer": ("costlib.prices.rates", "offer"),
    "measurements": ("costlib.measure.run", "measurements"),
    "memory": ("costlib.door", "memory"),
    "plan": ("costlib.portfolio.plan", "make_plan"),
    "prefix": ("costlib.door", "prefix"),
    "price": ("costlib.door", "price"),
    "price_usage": ("costlib.door", "price_usage"),
    "price_book": ("costlib.prices.book", "load_book"),
    "quality_results": ("costlib.quality.text", "quality_results"),
    "rates": ("costlib.door", "rates"),
    "run": ("costlib.report.run", "run"),
    "speculate": ("costlib.door", "speculate"),
    "load_study": ("costlib.study", "load_study"),
}

_ROOMS = ("cost", "doctor", "measure", "quality", "report")
"""Modules that can be called like their front function (see costlib/room.py)."""

__all__ = sorted([*_DOOR, *_ROOMS, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("costlib")
    if name in _ROOMS:
        return import_module(f"costlib.{name}")
    if name not in _DOOR:
        raise AttributeError(f"module 'costlib' has no attribute {name!r}")
    module, attribute = _DOOR[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
