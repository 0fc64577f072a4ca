"""The table a router is judged on: one row per request, and for every model its score, its cost and what it said.

A model NAME is found by its score column: `NAME_score` (0 to 1) or `NAME_correct` (0 or 1). Optional beside it:
`NAME_cost_usd` per request, `NAME_confidence` (0 to 1) and `NAME_answer`, which an agreement cascade compares. `prompt`
is the text routers read. A column named as `drop` (such as `contaminated`) leaves out the rows where it is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from costlib.cost.inputs import number
from costlib.errors import InputError, invalid_input
from costlib.read import Places, file_of, parsing, read_frame

Array = npt.NDArray[np.float64]
_WORDS = {"true": 1, "false": 0}
LEAST_REQUESTS = 40
"""Half of them choose the threshold and half report it; below 20 a side nothing can be concluded."""


@dataclass(frozen=True)
class Requests:
    """n requests and m models: `score` and `cost` are n x m; `confidence`, `answer` hold the models that have one.

    `group` numbers the distinct prompts in the order they first come; without prompts every request stands alone. A
    prompt that comes again (case and white space folded) is the same evidence again, so what splits or resamples
    requests goes by group.
    """

    prompts: tuple[str, ...] | None
    models: tuple[str, ...]
    score: Array
    cost: Array
    confidence: Mapping[str, Array]
    answer: Mapping[str, tuple[str, ...]]
    group: npt.NDArray[np.int64]
    read: int
    dropped: int

    @property
    def repeated(self) -> float:
        """Share of requests whose prompt came before."""
        return 1 - self.distinct / len(self)

    @property
    def clusters(self) -> list[int] | None:
        """`group` as what resampling goes by; None where every request stands alone."""
        return None if self.distinct == len(self) else self.group.tolist()

    @property
    def distinct(self) -> int:
        """Number of distinct prompts."""
        return int(self.group.max()) + 1

    def __len__(self) -> int:
        return len(self.score)

    def of(self, model: str) -> tuple[Array, Array]:
        """Scores and costs of one model."""
        if model not in self.models:
            raise invalid_input("model", model, self.models)
        at = self.models.index(model)
        return self.score[:, at], self.cost[:, at]


def read_requests(
    table: pd.DataFrame | str | Path, *, costs: Mapping[str, float] | None = None, drop: str | None = None
) -> Requests:
    """Read and check a table of requests (a DataFrame, .csv or .parquet).

    `costs` gives $ per request of models without a cost column. Raises `InputError` naming file, line, column, value
    and what is allowed: fewer than two models or 40 requests, a score outside 0 to 1, a missing or negative cost.
    """
    if isinstance(table, pd.DataFrame):
        frame, places = table, Places()
    else:
        frame, places = read_frame(file_of(table, "requests", "a .csv or .parquet file that exists"), "requests")
    frame = frame.reset_index(drop=True)
    read = len(frame)
    if drop is not None:
        if drop not in frame.columns:
            raise invalid_input("drop", drop, [str(name) for name in frame.columns])
        flags = _numbers(frame, drop, places, most=1.0, whole=True)
        frame = frame[flags == 0]
    columns = [str(name) for name in frame.columns]
    for name in columns:
        if columns.count(name) > 1:
            raise invalid_input("column", name, "each column once", places.file)
    scored = {name.rpartition("_")[0]: name for name in columns if name.endswith(("_score", "_correct"))}
    if len(scored) < 2:
        raise InputError(
            f"{places.file or 'table'}: {len(scored)} models have a column NAME_score or NAME_correct; allowed: at "
            "least two"
        )
    if len(frame) < LEAST_REQUESTS:
        raise invalid_input("requests", len(frame), f"at least {LEAST_REQUESTS}", places.file)
    given = dict(costs or {})
    for name in given:
        if name not in scored:
            raise invalid_input("cost of model", name, scored)
    score = np.column_stack([_numbers(frame, column, places, most=1.0) for column in scored.values()])
    cost = np.column_stack([_cost(frame, model, given, places) for model in scored])
    confidence = {m: _numbers(frame, f"{m}_confidence", places, most=1.0) for m in scored if f"{m}_confidence" in frame}
    answer = {m: tuple(frame[f"{m}_answer"].astype(str)) for m in scored if f"{m}_answer" in frame}
    prompts = _prompts(frame, places)
    group = _groups(prompts, len(frame))
    found = Requests(prompts, tuple(scored), score, cost, confidence, answer, group, read, read - len(frame))
    if found.distinct < LEAST_REQUESTS:
        raise invalid_input("requests", f"{found.distinct} distinct prompts", f"at least {LEAST_REQUESTS}", places.file)
    return found


def _prompts(frame: pd.DataFrame, places: Places) -> tuple[str, ...] | None:
    if "prompt" not in frame:
        return None
    prompts = frame["prompt"]
    blank = (prompts.isna() | (prompts.astype(str).str.strip() == "")).to_numpy()
    if blank.any():
        raise invalid_input("prompt", "", "a text that is not blank", places.row(int(frame.index[int(blank.argmax())])))
    return tuple(prompts.astype(str))


def _groups(prompts: Sequence[str] | None, count: int) -> npt.NDArray[np.int64]:
    if prompts is None:
        return np.arange(count)
    return np.asarray(pd.factorize(np.array([" ".join(text.casefold().split()) for text in prompts], dtype=object))[0])


def _cost(frame: pd.DataFrame, model: str, given: Mapping[str, float], places: Places) -> Array:
    column = f"{model}_cost_usd"
    if model in given:
        if column in frame:
            raise invalid_input(f"cost of {model}", given[model], f"left out, because the table has a column {column}")
        return np.full(len(frame), number(f"cost of {model}", given[model], zero=True))
    if column not in frame:
        raise invalid_input("missing cost", model, f"a column {column}, or $ per request given for it", places.file)
    return _numbers(frame, column, places)


def _numbers(frame: pd.DataFrame, name: str, places: Places, most: float = 1e15, *, whole: bool = False) -> Array:
    """A column as numbers, where a table of texts may say true and false for 1 and 0."""
    column = frame[name]
    if column.dtype == object:
        column = column.map(lambda cell: _WORDS.get(str(cell).lower(), cell))
    with parsing(name, places.file or "table", "numbers"):
        values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    wrong = ~(np.isfinite(values) & (values >= 0) & (values <= most) & ((not whole) | (values == np.floor(values))))
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        value: Any = frame[name].iloc[position]
        value = value.item() if isinstance(value, np.generic) else value
        allowed = f"a number from 0 to {most:g}" if most < 1e15 else "a number of at least 0"
        allowed = "0 or 1" if whole else allowed
        raise invalid_input(name, value, allowed, places.row(int(frame.index[position])))
    return values
