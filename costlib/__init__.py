"""costlib measures what language models cost to run and writes portfolio cost reports.

This is the public door. Names are resolved on first use, so that `import costlib` stays light and never loads torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the list of all public names, read by `_door`
    from costlib.cost.sizing import capacity as capacity
    from costlib.doctor import doctor as doctor
    from costlib.door.answers import evaluate as evaluate
    from costlib.door.hosting import breakeven as breakeven
    from costlib.door.hosting import cost as cost
    from costlib.door.hosting import memory as memory
    from costlib.door.hosting import price as price
    from costlib.door.hosting import price_usage as price_usage
    from costlib.door.hosting import rates as rates
    from costlib.door.serving import load as load
    from costlib.door.small_models import distill as distill
    from costlib.door.small_models import embed as embed
    from costlib.door.techniques import prefix as prefix
    from costlib.door.techniques import speculate as speculate
    from costlib.errors import CostlibError as CostlibError
    from costlib.errors import InputError as InputError
    from costlib.errors import RunError as RunError
    from costlib.figure import Figure as Figure
    from costlib.measure.compare import compare as compare
    from costlib.measure.run import measure as measure
    from costlib.measure.run import measurements as measurements
    from costlib.portfolio.shared import plan as plan
    from costlib.prices.book import load_book as price_book
    from costlib.prices.rates import offer as offer
    from costlib.quality.text import measure_text as quality
    from costlib.quality.text import quality_results as quality_results
    from costlib.report.batch import batch as batch
    from costlib.report.batch_folder import check as check
    from costlib.report.measured_rows import measured as measured
    from costlib.report.run import report as report
    from costlib.report.run import run as run
    from costlib.reporting.charts import PALETTE as PALETTE
    from costlib.reporting.charts import label_ends as label_ends
    from costlib.reporting.page import Page as Page
    from costlib.store import Store as Store
    from costlib.study import load_study as load_study
    from costlib.tables.columns import column as column
    from costlib.tables.columns import derive as derive

_ROOMS = ("cost", "doctor", "measure", "quality", "report")
"""Modules that can be called like their front function (see costlib/room.py)."""


def _door() -> dict[str, tuple[str, str]]:
    """Every public name, with the module and the name it has there."""
    lines = [
        node for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    inside = [node for node in lines if str(node.module).startswith("costlib.")]
    return {str(one.asname): (str(node.module), one.name) for node in inside for one in node.names}


DOOR = _door()
__all__ = sorted([*DOOR, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("costlib")
    if name in _ROOMS:
        return import_module(f"costlib.{name}")
    if name not in DOOR:
        raise AttributeError(f"module 'costlib' has no attribute {name!r}")
    module, attribute = DOOR[name]
    found = getattr(import_module(module), attribute)
    if module.startswith("costlib.door"):
        from costlib.room import described

        return described(found)
    return found


def __dir__() -> list[str]:
    return __all__
