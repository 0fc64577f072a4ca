from __future__ import annotations

import math

import pandas as pd
import pytest
from samples import run_row

from costlib.errors import InputError
from costlib.paths import data_dir
from costlib.tables import METRICS, RULES, RUNS, TABLES, data_dictionary


def test_the_data_dictionary_is_current() -> None:
    """Regenerate with `make dictionary`."""
    assert (data_dir() / "README.md").read_text(encoding="utf-8") == data_dictionary()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("batch", 0, "batch is 0; allowed: a number >= 1"),
        ("batch", True, "batch is True; allowed: a finite number"),
        ("batch", "2", "batch is '2'; allowed: a finite number"),
        ("batch", 1.5, "batch is 1.5; allowed: a whole number"),
        ("load_s", math.inf, "load_s is inf; allowed: a finite number"),
        ("model", None, "model is None; allowed: a value"),
        ("status", "done", "status is 'done'; allowed: one of error"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(column: str, value: object, message: str) -> None:
    frame = pd.DataFrame([run_row(), run_row(**{column: value})])
    with pytest.raises(InputError, match=f"table runs, row 1: {message}"):
        RUNS.validate(frame)


def test_unknown_and_missing_columns_are_refused() -> None:
    with pytest.raises(InputError, match="column is 'colour'"):
        RUNS.validate(pd.DataFrame([run_row(colour="red")]))
    with pytest.raises(InputError, match="missing column is 'model'"):
        RUNS.validate(pd.DataFrame([run_row()]).drop(columns="model"))


def test_every_number_names_its_unit_and_every_column_its_meaning() -> None:
    unitless = {*RULES, "ppl_ratio"}
    for table in TABLES.values():
        for column in table.columns:
            assert column.meaning, column.name
            base = column.name.removesuffix("_low").removesuffix("_high")
            if column.type in ("integer", "number") and base not in unitless:
                assert column.unit, f"{table.name}.{column.name}"


def test_metric_ids_are_columns_of_a_table() -> None:
    columns = {column.name for table in TABLES.values() for column in table.columns}
    assert set(METRICS) <= columns
