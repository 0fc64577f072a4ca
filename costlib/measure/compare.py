"""Compares two measurements, metric by metric, and refuses unlike ones.

Two measurements are alike when everything but what the caller names (`across`) agrees: the configuration, the device
and its driver and power limit, the packages, the threads, the attention that ran. Else the difference would be put down
to the wrong cause. costlib.measure.difference says what separates
two measurements from chance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError, bad
from costlib.measure.difference import Difference, difference_apart, paired_difference
from costlib.measure.estimate import CONFIGURATION, usable
from costlib.measure.run import stored_runs
from costlib.measure.summarise import summarise
from costlib.store import Store
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

APART = (
    "measured in two calls: the interval allows for a drift of the machine between them as large as the spread between "
    "processes; one call of measure with both tells smaller differences apart"
)
_DEVICE = ("device", "device_kind", "cpu", "cores", "driver", "power_limit_w")
_ENVIRONMENT = ("device_kind", "cpu", "cores", "threads", "thread_limit", "python")


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
    rows = [_plain(summarise(side)) for side in sides]
    for name, text, row in zip(("first", "second"), (first, second), rows, strict=True):
        if row["status"] != "ok":
            raise bad(name, text, f"a measurement with status ok (this one is {row['status']}: {row['reason']})")
    _refuse_unlike(rows[0], rows[1], [across] if isinstance(across, str) else list(across))
    interleaved = bool(rows[0]["campaign"] == rows[1]["campaign"])
    found = [*_speeds(sides, rows, interleaved), *_bytes(rows), *_energy(sides, rows, interleaved)]
    kept = (*CONFIGURATION, "campaign", "run_ids", "processes", "measured_at", "interval_reason")
    described = [{key: row[key] for key in kept} for row in rows]
    return Comparison(described[0], described[1], interleaved, pd.DataFrame(found))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Every null as None, every number as Python's."""

    def plain(value: Any) -> Any:
        if type(value).__name__ == "NAType" or value != value:
            return None
        return value.item() if hasattr(value, "item") else value

    return {key: plain(value) for key, value in row.items()}


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
            raise bad(name, text, allowed)
    if known.empty:
        raise bad(name, text, f"a stored measurement ({allowed})")
    keys = known[list(CONFIGURATION)].drop_duplicates()
    if len(keys) > 1:
        varied = [key for key in CONFIGURATION if keys[key].nunique() > 1]
        choices = "; ".join(f"{key}: {', '.join(map(str, keys[key].unique()))}" for key in varied)
        raise bad(name, text, f"one measurement; this picks {len(keys)}, which differ in {choices}")
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
        raise bad("across", unknown[0], sorted(one | other))
    free = {*across, *(_DEVICE if "device" in across else ())}
    unlike = [
        f"{key} is {one.get(key)!r} against {other.get(key)!r}"
        for key in one | other
        if key not in free and one.get(key) != other.get(key)
    ]
    if unlike:
        raise InputError(f"{'; '.join(unlike)}; allowed: measurements that agree in all but what --across names")


def decode_difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Difference, str | None]:
    """Decode tokens/s of `second` over those of `first`, and what a reader must know of the interval.

    Each is the runs of one measurement (table `runs`) with at least one of status ok and two new tokens or more.
    """
    same = bool(first.iloc[-1]["campaign"] == second.iloc[-1]["campaign"])
    return _between(same, [_speeds_of(side)["decode_tokens_per_s"] for side in (first, second)])


def _between(interleaved: bool, values: Sequence[Sequence[Sequence[float]]]) -> tuple[Difference, str | None]:
    """The difference, paired where the processes took turns, and what a reader must know of its interval."""
    first, second = values
    rounds = sum(bool(one and other) for one, other in zip(first, second, strict=False))
    if interleaved and rounds > 1:
        return paired_difference(first, second), None
    found = difference_apart(first, second)
    return found, APART if found.p_value is not None else None


def _speeds(sides: Sequence[pd.DataFrame], rows: Sequence[dict[str, Any]], interleaved: bool) -> list[dict[str, Any]]:
    """Every speed that both have, from its times, process by process."""
    first, second = map(_speeds_of, sides)
    notes = [row["interval_reason"] for row in rows]
    words = {"ttft_s": ("s", "slower", "faster")}
    made = []
    for name in [name for name in first if name in second]:
        change, apart = _between(interleaved, [first[name], second[name]])
        reason = "; ".join(dict.fromkeys(note for note in (*notes, apart) if note)) or None
        made.append(_row(name, *words.get(name, ("tokens/s", "faster", "slower")), rows, change, reason))
    return made


def _speeds_of(runs: pd.DataFrame) -> dict[str, list[list[float]]]:
    """Speeds of each process; phases of different requests overlap in batches, and one new token has no decode."""
    last = runs.iloc[-1]
    batch, prompt, new = (int(last[name]) for name in ("batch", "prompt_tokens", "output_tokens"))
    samples, _ = usable(runs)
    found = {
        "ttft_s": [first for first, _ in samples],
        "end_to_end_tokens_per_s": [
            [batch * new / (a + b) for a, b in zip(first, rest, strict=True)] for first, rest in samples
        ],
    }
    if last["engine"] != "batched":
        found["prefill_tokens_per_s"] = [[batch * prompt / seconds for seconds in first] for first, _ in samples]
        if new > 1:
            found["decode_tokens_per_s"] = [[batch * (new - 1) / seconds for seconds in rest] for _, rest in samples]
    return found


def _bytes(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts have no spread: any difference is one."""
    made = []
    for name, reason in (
        ("weight_bytes", "counted, not sampled"),
        ("kv_cache_bytes", "counted, not sampled"),
        ("peak_bytes", "the largest of all processes"),
    ):
        one, other = (row.get(name) for row in rows)
        if one and other:
            exact = Difference(other / one, None, None, None)
            row = _row(name, "bytes", "more", "less", rows, exact, reason)
            made.append(row | {"verdict": "equal" if one == other else "more" if other > one else "less"})
    return made


def _energy(sides: Sequence[pd.DataFrame], rows: Sequence[dict[str, Any]], interleaved: bool) -> list[dict[str, Any]]:
    """Net joules per new token, each process by itself, where both measurements have any."""
    name = "energy_j_per_output_token"
    values = []
    for side in sides:
        each = [summarise(side.iloc[[i]]).get(name) for i in range(len(side))]
        values.append([[value] if value is not None and value > 0 else [] for value in each])
    if not all(any(side) for side in values):
        return []
    return [_row(name, "J/token", "more", "less", rows, *_between(interleaved, values))]


def _row(
    name: str, unit: str, more: str, less: str, rows: Sequence[dict[str, Any]], found: Difference, reason: str | None
) -> dict[str, Any]:
    sides = {
        f"{side}{end}": row.get(f"{name}{end}")
        for side, row in zip(("first", "second"), rows, strict=True)
        for end in ("", "_low", "_high")
    }
    if found.p_value is None and reason is None:
        reason = "one process: an interval needs at least 2"
    verdict = (more if found.ratio > 1 else less) if found.shown else "no difference shown"
    ends = {"ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high, "p_value": found.p_value}
    return {"metric": name, "unit": unit, **sides, **ends, "verdict": verdict, "reason": reason, "kind": "derived"}
