"""costlib measures what language models cost to run and writes portfolio cost reports.

This is the public door. Names are resolved on first use, so that `import costlib` stays light and never loads torch.
"""

from __future__ import annotations

import os

if os.name == "nt":  # locks of files are Unix's; said here, before anything needs one
    raise SystemExit("costlib runs on Linux, and untested on macOS; on Windows use it in WSL")

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the list of all public names, read by `_door`
    from costlib.cost.breakeven import breakeven as breakeven
    from costlib.cost.distillation import distill as distill
    from costlib.cost.distillation import students as students
    from costlib.cost.embedding import embed as embed
    from costlib.cost.payback import payback as payback
    from costlib.cost.prefix import prefix as prefix
    from costlib.cost.serving import load as load
    from costlib.cost.serving import load_latencies as load_latencies
    from costlib.cost.serving import load_tests as load_tests
    from costlib.cost.serving import load_traces as load_traces
    from costlib.cost.sizing import capacity as capacity
    from costlib.cost.speeds import speeds as speeds
    from costlib.cost.token_table import cost as cost
    from costlib.errors import CostlibError as CostlibError
    from costlib.errors import InputError as InputError
    from costlib.errors import RunError as RunError
    from costlib.figure import Figure as Figure
    from costlib.machine import doctor as doctor
    from costlib.measure.compare import compare as compare
    from costlib.measure.prefix import prefixes as prefixes
    from costlib.measure.run import measure as measure
    from costlib.measure.run import measurements as measurements
    from costlib.measure.speculative import speculate as speculate
    from costlib.measure.speculative import speculations as speculations
    from costlib.models.memory import memory as memory
    from costlib.portfolio.api_use import prices_diff as prices_diff
    from costlib.portfolio.focus import focus as focus
    from costlib.portfolio.logs import usage as usage
    from costlib.portfolio.measured import measured as measured
    from costlib.portfolio.measured import text_depths as text_depths
    from costlib.portfolio.routing.route import route as route
    from costlib.portfolio.shared import plan as plan
    from costlib.portfolio.watch import looks as looks
    from costlib.portfolio.watch import monitor as monitor
    from costlib.prices.api import price as price
    from costlib.prices.book import load_book as price_book
    from costlib.prices.changes import price_changes as price_changes
    from costlib.prices.changes import prices_save as prices_save
    from costlib.prices.frames import prices as prices
    from costlib.prices.hardware import measured_rate as measured_rate
    from costlib.prices.owned import owned as owned
    from costlib.prices.rates import offer as offer
    from costlib.prices.rates import rates as rates
    from costlib.prices.usage import price_table as price_usage
    from costlib.quality.assess import quality as quality
    from costlib.quality.tasks.evaluate import evaluate as evaluate
    from costlib.quality.tasks.study import task_results as task_results
    from costlib.quality.tasks.study import worse_answers as worse_answers
    from costlib.quality.text import quality_results as quality_results
    from costlib.reporting.batch import batch as batch
    from costlib.reporting.charts import LINES as LINES
    from costlib.reporting.charts import PALETTE as PALETTE
    from costlib.reporting.charts import label_ends as label_ends
    from costlib.reporting.checks import check as check
    from costlib.reporting.page import Page as Page
    from costlib.reporting.run import report as report
    from costlib.reporting.run import run as run
    from costlib.store import Store as Store
    from costlib.study import load_study as load_study
    from costlib.tables.columns import column as column
    from costlib.tables.columns import derive as derive

_ROOMS = ("cost", "measure", "prices", "quality")
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
    if "**settings: Those of" in (found.__doc__ or ""):
        from costlib.room import described

        return described(found)
    return found


def __dir__() -> list[str]:
    return __all__
