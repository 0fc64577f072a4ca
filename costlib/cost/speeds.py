"""Published speeds: what others measured on hardware that is not at hand, quoted with their source.

`data/speeds.csv` holds one configuration per line. `metric` says what the number in `decode_tokens_per_s` counts, in
the words of its publication: a text that begins with `output` or `end_to_end` is output tokens over the whole time,
prefill included, so its phases cannot be told apart; any other is the speed of the decode phase alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from costlib.cost.inputs import number
from costlib.devices import known_gpu
from costlib.errors import invalid_input
from costlib.paths import data_dir
from costlib.read import Row, near, read_rows
from costlib.tables import SPEEDS, Column

_KEY = (*SPEEDS.names[:9], "metric", "source")


def whole_time(metric: object) -> bool:
    """Whether a speed of this metric counts output tokens over the whole time, prefill included."""
    return isinstance(metric, str) and metric.startswith(("output", "end_to_end"))


def load_speeds(path: str | Path | None = None) -> pd.DataFrame:
    """Read and check a table of published speeds; by default the shipped `data/speeds.csv`.

    Columns and units are those of `SPEEDS`; an unknown number is null. Raises `InputError` naming file, line, field,
    value and what is allowed: a missing file, a byte order mark, semicolons, a missing, unknown or repeated column, a
    bad number, a row without any speed, a row that claims to be measured, two rows for the same configuration.
    """
    file = Path(path) if path is not None else data_dir() / "speeds.csv"
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], str] = {}
    for line in read_rows(file, SPEEDS.names):
        where = line.where
        row = {column.name: _value(column, line) for column in SPEEDS.columns}
        if row["kind"] == "measured":
            raise invalid_input("kind", "measured", "quoted, derived or assumed: measurements live in the store", where)
        if row["prefill_tokens_per_s"] is None and row["decode_tokens_per_s"] is None:
            raise invalid_input("decode_tokens_per_s", "", "a speed here or in prefill_tokens_per_s", where)
        key = tuple(row[name] for name in _KEY)
        if key in seen:
            raise invalid_input("row", row["model"], f"one row per configuration; {seen[key]} has the same one", where)
        seen[key] = where
        rows.append(row)
    return SPEEDS.validate(pd.DataFrame(rows, columns=SPEEDS.names), str(file))


def speeds(model: str, device: str | None = None) -> pd.DataFrame:
    """Published speeds of a model, one row per publication; `preferred` marks one row of each configuration.

    A row that tells prefill and decode apart comes first, then a quoted before a derived one, then the slowest in
    decode, because a published speed is the best that its publisher reached. Raises `InputError` for an unknown model
    or device.

    Args:
        model: As in data/speeds.csv: the name of a publication, or its shape, such as llama-3.1-8b.
        device: Device, such as 'H100 SXM' [default: every one].
    """
    frame = load_speeds()
    for field, wanted in (("model", model), ("device", device)):
        if wanted is None:
            continue
        mine = frame[field] == wanted
        mine = mine | (frame["architecture"] == wanted) if field == "model" else mine
        if not mine.any():
            raise invalid_input(field, wanted, near(wanted, set(frame[field])), "data/speeds.csv")
        frame = frame[mine]
    apart = frame["prefill_tokens_per_s"].notna() & ~frame["metric"].map(whole_time)
    order = frame.assign(together=~apart, own=frame["kind"] != "quoted")
    order = order.sort_values(["together", "own", "decode_tokens_per_s"])
    first = order.drop_duplicates(["model", "device", "devices", "precision", "engine", "batch"]).index
    return frame.assign(preferred=frame.index.isin(first)).reset_index(drop=True)


def measured_instead(published: pd.Series[Any], measured: pd.DataFrame) -> pd.Series[Any] | None:
    """The row of table `measurements` that takes a published row's place, or None.

    It is of the same shape (`random:` or `demo:` that shape), precision and device, on one device, ended ok with a
    speed of each phase, at the published batch and engine; where the publication is of a server, or names no batch,
    any engine and any batch above 1 will do. Of several the one that decodes fastest counts.
    """
    if published["devices"] != 1:
        return None
    rows = measured[(measured["status"] == "ok") & (measured["precision"] == published["precision"])]
    rows = rows[rows["prefill_tokens_per_s"].notna() & rows["decode_tokens_per_s"].notna()]
    rows = rows[rows["model"].isin([f"{kind}:{published['architecture']}" for kind in ("random", "demo")])]
    rows = rows[rows["device"].map(known_gpu) == published["device"]]
    if published["engine"] == "server" or pd.isna(published["batch"]):
        rows = rows[rows["batch"] > 1]
    else:
        rows = rows[(rows["batch"] == published["batch"]) & (rows["engine"] == published["engine"])]
    return None if rows.empty else rows.sort_values(["decode_tokens_per_s", "measured_at"]).iloc[-1]


def _value(column: Column, row: Row) -> str | int | float | None:
    if not row.cells[column.name] and not column.required:
        return None
    if column.type == "text":
        return row.text(column.name, column.allowed)
    if column.type == "integer":
        return row.count(column.name, least=int(column.minimum or 0))
    return number(column.name, float(row.number(column.name)), row.where)
