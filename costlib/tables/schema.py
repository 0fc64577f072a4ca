"""What a table is: named columns with type, unit, meaning and what they allow, and the check of a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from costlib.errors import invalid_input

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 3
"""Version of the stored tables. 1 (2026-11): first version. 2 (2026-11): ceilings, reasons by column, energy twice.
3 (2026-11): the dtype that weights are multiplied at, apart from how they are held; which product was a ceiling;
load tests count answers shorter than asked."""

STATUSES = ("ok", "oom", "unsupported", "invalid", "error")
"""ok: measured; oom: did not fit; unsupported: this device or model cannot; invalid: ran, but not what was asked;
error: crashed or timed out. Everything but ok carries a reason."""

Type = Literal["text", "integer", "number", "flag", "numbers", "flags", "texts"]
_ARROW = {
    "text": "string",
    "integer": "int64",
    "number": "float64",
    "flag": "bool",
    "numbers": "list<double>",
    "flags": "list<bool>",
    "texts": "list<string>",
}


@dataclass(frozen=True)
class Column:
    """One column: its type, unit, meaning and what it allows.

    A reader sees its `label`. `kind` (measured, quoted, assumed, derived) and `source` hold where a row does not say;
    a derived column may have its `formula` over other columns of the row.
    """

    name: str
    type: Type
    meaning: str
    unit: str = ""
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    label: str = ""
    kind: str = ""
    formula: str = ""
    source: str = ""


@dataclass(frozen=True)
class Table:
    """A named table; `validate` checks a frame against it."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    def validate(self, frame: pd.DataFrame, where: str | None = None) -> pd.DataFrame:
        """Return `frame` with exactly this table's columns, in order; missing optional columns become null.

        Raises `InputError` naming the table, column, row and value for an unknown or missing column, a null in a
        required one, a value outside what is allowed, or a number that is not finite.
        """
        import pandas as pd

        place = where or f"table {self.name}"
        unknown = [str(name) for name in frame.columns if name not in self.names]
        if unknown:
            raise invalid_input("column", unknown[0], self.names, place)
        data: dict[str, pd.Series[Any]] = {}
        for column in self.columns:
            if column.name in frame.columns:
                values = frame[column.name].reset_index(drop=True)
            elif column.required:
                raise invalid_input("missing column", column.name, "every required column must be present", place)
            else:
                values = pd.Series([None] * len(frame), dtype="object")
            data[column.name] = _checked(column, values, place)
        return pd.DataFrame(data)

    def of(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """A checked frame of rows; a column that a row does not name is null, a name that is no column is left out."""
        import pandas as pd

        return self.validate(pd.DataFrame(rows, columns=self.names, dtype=object))

    def arrow_schema(self) -> Any:
        """The `pyarrow.Schema` this table is stored with."""
        import pyarrow as pa

        kinds = {
            "string": pa.string(),
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "list<double>": pa.list_(pa.float64()),
            "list<bool>": pa.list_(pa.bool_()),
            "list<string>": pa.list_(pa.string()),
        }
        return pa.schema([(column.name, kinds[_ARROW[column.type]]) for column in self.columns])


def _pandas_type(column: Column) -> Any:
    return {"text": "str", "integer": "Int64", "number": "float64", "flag": "boolean"}.get(column.type, "object")


def is_null(value: object) -> bool:
    """Whether a value is null in any of the spellings of Python and pandas."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _checked(column: Column, values: pd.Series[Any], place: str) -> pd.Series[Any]:
    """A column with its type; raises `InputError` for its first value that is not allowed."""
    import numpy as np
    import pandas as pd

    null = values.isna()
    wrong: list[tuple[Any, str | tuple[str, ...]]] = []
    if column.required:
        wrong.append((null, "a value (this column is required)"))
    if column.type in ("integer", "number"):
        number = values
        if values.dtype.kind not in "iuf":
            number = values.astype(object).map(lambda value: None if isinstance(value, (bool, str)) else value)
        numbers = pd.to_numeric(number, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong.append((~null & ~np.isfinite(numbers), "a finite number"))
        if column.type == "integer":
            wrong.append((numbers % 1 > 0, "a whole number"))
        if column.minimum is not None:
            wrong.append((numbers < column.minimum, f"a number >= {column.minimum:g}"))
    if column.allowed:
        wrong.append((~null & ~values.isin(column.allowed), column.allowed))
    for rows, allowed in wrong:
        if rows.any():
            row = int(np.argmax(rows))
            raise invalid_input(
                column.name, None if null[row] else values.tolist()[row], allowed, f"{place}, row {row}"
            )
    if column.type in ("numbers", "flags", "texts"):
        return values.map(lambda value: None if is_null(value) else list(value)).astype(object)
    return values.astype(_pandas_type(column))
