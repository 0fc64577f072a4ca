"""Compares two measurements, metric by metric, and refuses unlike ones.

Two measurements are alike when everything but what the caller names (`across`) agrees: the configuration, the device
and its driver and power limit, the packages, the threads, the attention that ran. Else the difference would be put down
to the wrong cause.

The ratio is the second over the first, on the logarithms of the processes (each process is one observation). What
separates it from chance depends on how the two were taken:

- Interleaved, in one call of `measure`: their processes took turns, so what the machine did to a round it did to both.
  The processes of a round are a pair, and the interval is that of a paired t test.
- Apart, in two calls: a shared machine drifts over minutes, processes next to each other are alike, and an interval
  that takes them for independent is too narrow (on a recorded machine, Welch's test calls 16 of 100 pairs of the same
  thing different). Nothing in two calls tells drift from a difference, so the interval allows for a drift as large as
  the spread between the processes: the spread itself, not its standard error.

A difference is called one where p < 0.02, not 0.05, because a measurement that stops when it is precise stops at lucky
moments; benchmarks/repeat_simulation.py shows how often that is wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError, invalid_input
from costlib.measure.estimate import CONFIGURATION, log_medians
from costlib.measure.run import stored_runs
from costlib.measure.summarise import speeds_of, summarise
from costlib.stats.intervals import student
from costlib.store import Store
from costlib.tables.schema import is_null
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.02
APART = (
    "measured in two calls: the interval allows for a drift of the machine between them as large as the spread between "
    "processes; one call of measure with both tells smaller differences apart"
)
_DEVICE = ("device", "device_kind", "cpu", "cores", "driver", "power_limit_w")
_ENVIRONMENT = ("device_kind", "cpu", "cores", "threads", "thread_limit", "python")
_METRICS = {
    "ttft_s": ("s", "slower", "faster"),
    "end_to_end_tokens_per_s": ("tokens/s", "faster", "slower"),
    "prefill_tokens_per_s": ("tokens/s", "faster", "slower"),
    "decode_tokens_per_s": ("tokens/s", "faster", "slower"),
    "weight_bytes": ("bytes", "more", "less"),
    "kv_cache_bytes": ("bytes", "more", "less"),
    "peak_bytes": ("bytes", "more", "less"),
    "energy_j_per_output_token": ("J/token", "more", "less"),
}
"""Unit, and what a second that is larger, or smaller, is called."""


@brief
@dataclass(frozen=True)
class Comparison:
    """Two measurements (their configuration, campaign and processes) and one row per metric.

    `interleaved`: whether both are of one call of `measure`. Columns of `rows`: metric, unit, first, second (each with
    _low, _high), ratio, ratio_low, ratio_high, p_value, verdict (of the second against the first), reason, kind.
    """

    first: dict[str, Any]
    second: dict[str, Any]
    interleaved: bool
    rows: pd.DataFrame


def compare(
    first: str, second: str, *, across: str | Iterable[str] = (), store: Store | str | None = None
) -> Comparison:
    """Compare two stored measurements metric by metric; refuses unlike ones, naming what differs.

    Each is the id of a campaign or of one of its runs (or the start of one), or what picks one row, such as
    `precision=nf4,batch=8`, or both: `ID,precision=nf4`. `across` names what may differ: a column of the configuration,
    `device` (with its driver, processor and power limit), a package, or a key of the environment. Raises `InputError`
    for unlike measurements, naming each key and both values, and for one that is not there, not unique or not ok.

    Args:
        first: Id of a campaign or run, or precision=nf4,batch=8, or ID,precision=nf4.
        second: The same; its numbers are divided by those of the first.
        across: Comma-separated: what may differ, e.g. precision or device.
        store: Folder of measurements [default: data/store].
    """
    import pandas as pd

    runs = stored_runs(store)
    sides = [_pick(runs, name, text) for name, text in (("first", first), ("second", second))]
    rows = [{key: _plain(value) for key, value in summarise(side).items()} for side in sides]
    for name, text, row in zip(("first", "second"), (first, second), rows, strict=True):
        if row["status"] != "ok":
            raise invalid_input(
                name, text, f"a measurement with status ok (this one is {row['status']}: {row['reason']})"
            )
    _refuse_unlike(rows[0], rows[1], [across] if isinstance(across, str) else list(across))
    interleaved = bool(rows[0]["campaign"] == rows[1]["campaign"])
    found = [_row(name, sides, rows, interleaved) for name in _METRICS]
    kept = (*CONFIGURATION, "campaign", "run_ids", "processes", "measured_at", "interval_reason")
    described = [{key: row[key] for key in kept} for row in rows]
    return Comparison(described[0], described[1], interleaved, pd.DataFrame([row for row in found if row]))


def _pick(runs: pd.DataFrame, name: str, text: str) -> pd.DataFrame:
    """The runs of the one measurement that `text` names, its newest campaign."""
    known = runs
    allowed = f"the id of a stored run or campaign, or {'=..., '.join(CONFIGURATION)}=..., separated by commas"
    for part in re.split(r",(?=\s*\w+=)", text):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            hit = (runs["run_id"].str.startswith(key) | runs["campaign"].str.startswith(key)) & (key != "")
            named = runs[hit][["campaign", *CONFIGURATION]].drop_duplicates()
            known = known.merge(named, on=["campaign", *CONFIGURATION])
        elif key in CONFIGURATION:
            known = known[known[key].astype(str) == value]
        else:
            raise invalid_input(name, text, allowed)
    if known.empty:
        raise invalid_input(name, text, f"a stored measurement ({allowed})")
    keys = known[list(CONFIGURATION)].drop_duplicates()
    if len(keys) > 1:
        varied = [key for key in CONFIGURATION if keys[key].nunique() > 1]
        choices = "; ".join(f"{key}: {', '.join(map(str, keys[key].unique()))}" for key in varied)
        raise invalid_input(name, text, f"one measurement; this picks {len(keys)}, which differ in {choices}")
    newest: pd.DataFrame = known[known["campaign"] == known["campaign"].max()]
    return newest


def conditions(row: dict[str, Any]) -> dict[str, Any]:
    """Everything two comparable measurements share, by key."""
    environment = json.loads(row["environment"])
    gpu = environment.get("gpu") or {}
    found = {key: row[key] for key in CONFIGURATION}
    found |= {key: environment.get(key) for key in _ENVIRONMENT}
    found |= {key: gpu.get(key) for key in ("driver", "power_limit_w")}
    return found | {"attention": row["attention"]} | (environment.get("packages") or {})


def _refuse_unlike(first: dict[str, Any], second: dict[str, Any], across: list[str]) -> None:
    one, other = conditions(first), conditions(second)
    unknown = [key for key in across if key not in one | other]
    if unknown:
        raise invalid_input("across", unknown[0], sorted(one | other))
    free = {*across, *(_DEVICE if "device" in across else ())}
    unlike = [
        f"{key} is {one.get(key)!r} against {other.get(key)!r}"
        for key in one | other
        if key not in free and one.get(key) != other.get(key)
    ]
    if unlike:
        raise InputError(f"{'; '.join(unlike)}; allowed: measurements that agree in all but what --across names")


def _plain(value: Any) -> Any:
    """A null as None, a number as Python's."""
    return None if is_null(value) else value.item() if hasattr(value, "item") else value


def _row(
    name: str, sides: Sequence[pd.DataFrame], rows: Sequence[dict[str, Any]], interleaved: bool
) -> dict[str, Any] | None:
    """One metric of both, from each process; None where one lacks it."""
    unit, more, less = _METRICS[name]
    one, other = (row.get(name) for row in rows)
    if not one or not other:
        return None
    if unit == "bytes":  # counts have no spread: any difference is one
        found = Difference(other / one, None, None, None)
        reason: str | None = "the largest of all processes" if name == "peak_bytes" else "counted, not sampled"
        verdict = "equal" if one == other else more if other > one else less
    else:
        if unit == "J/token":
            each = [[_plain(summarise(side.iloc[[i]]).get(name)) for i in range(len(side))] for side in sides]
            values = [[[value] if value and value > 0 else [] for value in side] for side in each]
            notes = []
        else:
            values = [speeds_of(side)[0].get(name, []) for side in sides]
            notes = [row["interval_reason"] for row in rows]
        if not all(map(any, values)):
            return None
        found, apart = _between(interleaved, values)
        reason = "; ".join(dict.fromkeys(note for note in (*notes, apart) if note)) or None
        if found.p_value is None and reason is None:
            reason = "one process: an interval needs at least 2"
        verdict = (more if found.ratio > 1 else less) if found.shown else "no difference shown"
    columns = {
        f"{side}{end}": row.get(f"{name}{end}")
        for side, row in zip(("first", "second"), rows, strict=True)
        for end in ("", "_low", "_high")
    }
    ends = {"ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high, "p_value": found.p_value}
    return {"metric": name, "unit": unit, **columns, **ends, "verdict": verdict, "reason": reason, "kind": "derived"}


@dataclass(frozen=True)
class Difference:
    """Second over first: the ratio, its 95 % interval and the p-value, None where processes are too few."""

    ratio: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def shown(self) -> bool:
        """Whether the two differ by more than chance explains."""
        return self.p_value is not None and self.p_value < SIGNIFICANT


def decode_difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Difference, str | None]:
    """Decode tokens/s of `second` over those of `first`, and what a reader must know of the interval.

    Each is the runs of one measurement (table `runs`) with at least one of status ok and two new tokens or more.
    """
    same = bool(first.iloc[-1]["campaign"] == second.iloc[-1]["campaign"])
    return _between(same, [speeds_of(side)[0]["decode_tokens_per_s"] for side in (first, second)])


def _between(interleaved: bool, values: Sequence[Sequence[Sequence[float]]]) -> tuple[Difference, str | None]:
    """The difference, paired where the processes took turns, and what a reader must know of its interval."""
    first, second = values
    rounds = sum(bool(one and other) for one, other in zip(first, second, strict=False))
    if interleaved and rounds > 1:
        return paired_difference(first, second), None
    found = difference_apart(first, second)
    return found, APART if found.p_value is not None else None


def paired_difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Difference:
    """Compare positive quantities whose processes took turns: samples by process, the same position in the same round.

    Only rounds in which both have a sample count. Raises `ValueError` where there is none.
    """
    pairs = [log_medians(pair) for pair in zip(first, second, strict=False) if all(pair)]
    deltas = [other - one for one, other in pairs]
    if not deltas:
        raise ValueError("no round in which both have a sample")
    error = stdev(deltas) / math.sqrt(len(deltas)) if len(deltas) > 1 else None
    return _student(mean(deltas), error, len(deltas) - 1)


def difference_apart(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Difference:
    """Compare positive quantities measured at different times, given as samples by process.

    The error is that of one process of each, as if all of a measurement's spread were drift that it shares.
    """
    groups = [log_medians(first), log_medians(second)]
    if not all(groups):
        raise ValueError("a group without a sample cannot be compared")
    error = math.hypot(*map(stdev, groups)) if min(map(len, groups)) > 1 else None
    return _student(mean(groups[1]) - mean(groups[0]), error, sum(map(len, groups)) - 2)


def _student(delta: float, error: float | None, freedom: int) -> Difference:
    """The ratio, 95 % interval and p-value of a difference of logarithms with this standard error, where there is."""
    if error is None:
        return Difference(math.exp(delta), None, None, None)
    low, high, p_value = student(delta, error, freedom)
    return Difference(math.exp(delta), math.exp(low), math.exp(high), p_value)
