from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import costlib as cl


def test_every_name_of_the_door_opens() -> None:
    for name in cl.__all__:
        assert getattr(cl, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'measur'"):
        _ = cl.measur


def test_a_room_is_called_like_its_function_even_after_its_modules_are_imported() -> None:
    import costlib.cost.token
    import costlib.measure.run

    assert callable(cl.measure) and callable(cl.cost)
    assert "precision" in inspect.signature(cl.measure).parameters
    assert cl.measure.run.measurements is costlib.measure.run.measurements  # type: ignore[attr-defined]
    assert costlib.cost.token.usd_per_mtok is not None


def test_help_shows_the_parameters_and_what_each_means() -> None:
    measured = ("measure", "memory", "quality", "embed", "load", "speculate", "prefix", "distill", "compare")
    for name in (*measured, "doctor", "price", "rates", "cost", "capacity", "breakeven", "run", "report", "batch"):
        function = getattr(cl, name)
        said = pydoc.plain(pydoc.render_doc(function))
        for parameter in inspect.signature(function).parameters.values():
            line = "**settings" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
            assert f"{parameter.name}: " in said and re.search(rf"^.*{re.escape(line)}: [A-Z0-9\"$'a-z]", said, re.M), (
                name
            )


def test_every_value_is_short_to_print_and_a_table_in_a_notebook() -> None:
    usage = pd.DataFrame([{"model": "gpt-4o", "provider": "openai", "input_tokens": 9, "output_tokens": 1}])
    speeds: dict[str, Any] = {"prefill_tokens_per_s": 9000, "decode_tokens_per_s": 900, "usd_per_hour": 2}
    lengths: dict[str, Any] = {"input_tokens": 900, "output_tokens": 9}
    values = [
        cl.price("gpt-4o", "openai", **lengths), cl.price_usage(usage), cl.price_book(), cl.offer("L4"), cl.doctor(),
        cl.owned(capex=9, life_years=1, kw=1, usd_per_kwh=1), cl.payback(capex=9, saving_per_month=2),
        cl.capacity(9, requests_per_s=9, usd_per_hour=2), cl.breakeven("gpt-4o", "openai", **lengths, **speeds),
        cl.load_study("demo"), cl.Store(), cl.prices_diff("2026-11-01", "2026-11-10"),
    ]  # fmt: skip
    for value in values:
        assert len(repr(value)) < 600 and "\n" not in repr(value), type(value)
        assert "<table" in value._repr_html_() and len(value._repr_html_()) < 40_000, type(value)
    assert "total=" in repr(values[0]) and "gpt-4o" in values[0]._repr_html_()


def _modules_after(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_import_costlib_loads_nothing_heavy() -> None:
    """Light enough for 0.3 s anywhere: no third-party module at all."""
    heavy = {"torch", "transformers", "pandas", "numpy", "scipy", "pydantic", "genai_prices", "cyclopts", "rich"}
    loaded = _modules_after("import costlib")
    assert not heavy & loaded
    assert len({name for name in loaded if name.startswith("costlib")}) <= 2


def test_pricing_never_loads_torch() -> None:
    ask = "price('gpt-4o', 'openai', input_tokens=1, output_tokens=1)"
    statement = f"from costlib import price\n{ask}\nimport costlib.cli.main"
    loaded = _modules_after(statement)
    assert "costlib.prices.book" in loaded and not {"torch", "transformers", "bitsandbytes"} & loaded


def test_every_public_name_is_the_same_whatever_was_imported_before() -> None:
    """A module with the name of a function takes its place on the package at the first import of anything inside."""
    import costlib

    first = {name: getattr(cl, name) for name in cl.__all__}
    for module in pkgutil.walk_packages(costlib.__path__, "costlib."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name, before in first.items():
        found = getattr(cl, name)
        assert found == before == getattr(cl, name) and type(found) is type(before), name
        if callable(found) and not isinstance(found, type):
            assert inspect.signature(found).return_annotation is not inspect.Signature.empty, name
    assert cl.doctor().keys() == cl.doctor().keys() >= {"device", "packages", "ok"}
    assert not cl.rates().empty and cl.price_book().prices
    assert cl.price("gpt-4o", "openai", input_tokens=1000, output_tokens=100).total == Decimal("0.0035")
    assert cl.load_study("demo").name == "demo"
    for name in ("measure", "quality", "report", "run", "embed", "load", "speculate", "prefix", "batch", "plan"):
        with pytest.raises((cl.InputError, TypeError)):
            getattr(cl, name)("no such model, study or file", no_such_option=1)
