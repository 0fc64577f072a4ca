"""What a column of a frame means, by its name: unit, label, default kind and source, formula.

pandas loses what is attached to a frame at the first merge, so that meaning hangs on the name, which survives `query`,
`merge`, `groupby` and `assign`. A name that nobody declared takes its unit from its ending. In a notebook a cell owns
the formulas it gives: run again, it may change them; another cell may not.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError
from costlib.tables import FRAMES, TABLES
from costlib.tables.expression import evaluate, inputs
from costlib.tables.schema import Column

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = {
    "_usd_per_mtok": "USD/Mtok", "_usd_per_1000_requests": "USD/1,000 requests", "_usd_per_request": "USD/request",
    "_usd_per_month": "USD/month", "_usd_per_year": "USD/year", "_usd_per_hour": "USD/hour", "_usd": "USD",
    "_requests_per_month": "requests/month", "_tokens_per_month": "tokens/month", "_tokens_per_s": "tokens/s",
    "_requests_per_s": "requests/s", "_tokens": "tokens", "_bytes": "bytes", "_share": "share", "_rate": "share",
    "_probability": "probability", "_points": "points", "_ratio": "ratio", "_factor": "ratio", "_count": "count",
    "_j": "J", "_s": "s",
}  # fmt: skip
"""Unit by the ending of a name; the longest comes first."""

HELPERS = ("_low", "_high", "_reason", "_kind", "_source")
"""`x_low`, `x_high`, `x_reason`, `x_kind` and `x_source` qualify `x`."""

_OWNERS: dict[str, tuple[object, int]] = {}


class RefusedError(InputError):
    """What a page or a column does not accept; JupyterLab shows the line of the cell and the reason."""

    def _render_traceback_(self) -> list[str]:
        lines = [f"line {f.lineno}: {f.line}" for f in extract_tb(self.__traceback__) if "ipykernel" in f.filename]
        return [f"\x1b[31mNot accepted\x1b[0m {' < '.join(lines)}", str(self)]


def running_cell() -> tuple[object, int]:
    """The running cell and the count of its run; JupyterLab sends the id, where none is sent each cell runs once."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    run = shell.execution_count if shell else 0
    parent = shell.get_parent() if shell and hasattr(shell, "get_parent") else {}
    return parent.get("metadata", {}).get("cellId", run), run


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("Api", "API").replace("Usd", "USD")


def _start() -> dict[str, Column]:
    stored = {column.name: column for table in reversed(TABLES.values()) for column in table.columns}
    return {name: replace(column, label=_words(name)) for name, column in stored.items()} | FRAMES


COLUMNS: dict[str, Column] = _start()


def column(
    name: str, label: str = "", unit: str | None = None, kind: str = "", formula: str = "", source: str = ""
) -> None:
    """Declare what the column `name` means.

    Raises `RefusedError` for a name without a unit, and for another formula for a name than another cell gave.

    Args:
        name: The name, as in frames.
        label: Its words in tables and axes [default: made from the name].
        unit: Such as USD/month, share or `by row`, then a column `unit` says it [default: from the name's ending].
        kind: measured, quoted, assumed or derived, where the row does not say (`x_kind`).
        formula: Arithmetic over other columns, see `derive`.
        source: Where its numbers come from, where the row does not say (`x_source`).
    """
    old, mine = COLUMNS.get(name), running_cell()
    if formula and old is not None and old.formula not in ("", formula):
        owner = _OWNERS.get(name)
        if owner is None or owner[0] != mine[0] or (owner[1] == mine[1] and mine[1]):
            there = f"column {name!r} is {old.formula!r} in another cell"
            raise RefusedError(f"{there}; change it there, or take another name for {formula!r}")
    if old is None and unit is None and not described(name).unit:
        raise RefusedError(f"column {name!r} has no unit; declare it: cl.column({name!r}, unit=...)")
    base = described(name)
    if formula:
        inputs(formula)
        _OWNERS[name] = mine
        kind = kind or "derived"
    COLUMNS[name] = replace(
        base,
        unit=base.unit if unit is None else unit,
        label=label or base.label,
        kind=kind or base.kind,
        formula=formula or base.formula,
        source=source or base.source,
    )


def described(name: str) -> Column:
    """The declaration of a column, or one made from its name; without a unit where its ending says none."""
    ending = next((end for end in ENDINGS if f"_{name}".endswith(end)), "")
    words = "Cost" if ending.startswith("_usd") and name == ending[1:] else _words(name.removesuffix(ending) or name)
    return COLUMNS.get(name) or Column(name, "number", words, ENDINGS.get(ending, ""), label=words)


def known(name: str) -> Column:
    """The declaration of a column, or one made from the ending of its name; raises as `column`."""
    if name not in COLUMNS:
        column(name)
    return COLUMNS[name]


def helper(name: str, names: Any) -> bool:
    """Whether a column only qualifies another one of `names`."""
    return any(name.endswith(end) and name.removesuffix(end) in names for end in HELPERS)


def derive(frame: pd.DataFrame, **formulas: str) -> pd.DataFrame:
    """`frame` with new columns by formula; what is computed here stands in the ledger and is checked there.

    A formula knows `ceil`, `floor`, `min`, `max`, `where(condition, yes, no)` and `sum(column, group)`. Where one input
    has `_low` and `_high`, so has the result, if the formula only rises or only falls between them; for more inputs the
    ends would need their joint distribution, and `x_reason` says so.
    Raises `RefusedError` and `InputError` for a formula that cannot be read.

    Args:
        frame: Any frame.
        formulas: name="arithmetic over columns", such as `saving_usd="before_usd - after_usd"`.
    """
    import numpy as np

    for name, formula in formulas.items():
        column(name, formula=formula)
        held: dict[str, Any] = {str(key): frame[key] for key in frame}
        frame = frame.drop(columns=[f"{name}{end}" for end in HELPERS if f"{name}{end}" in frame])
        frame = frame.assign(**{name: evaluate(formula, held)})
        ranged = [one for one in inputs(formula) if f"{one}_low" in held and held[f"{one}_low"].notna().any()]
        if len(ranged) == 1:
            one = ranged[0]
            low, high = (held[f"{one}_{end}"].fillna(held[one]) for end in ("low", "high"))
            steps = [np.asarray(evaluate(formula, {**held, one: low + (high - low) * t})) for t in np.linspace(0, 1, 9)]
            moves = np.diff(np.array(steps, dtype=float), axis=0)
            fine = (moves >= 0).all(axis=0) | (moves <= 0).all(axis=0)
            fine = fine & held[f"{one}_low"].notna().to_numpy()
            low, high = np.where(fine, np.sort([steps[0], steps[-1]], axis=0), np.nan)
            frame = frame.assign(**{f"{name}_low": low, f"{name}_high": high})
        elif ranged:
            frame = frame.assign(**{f"{name}_reason": f"{' and '.join(ranged)} have ranges that may move together"})
    return frame
