"""Which stored rows a study is about: its configurations on the newest device, and their quality.

A configuration that was not measured yet is a row, too, with a status and a reason: nothing is silently missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from costlib.errors import bad
from costlib.measure.compare import decode_difference
from costlib.measure.run import measurements, stored_runs
from costlib.prices.book import load_book
from costlib.quality.text import quality_results
from costlib.report.page import records
from costlib.store import Store
from costlib.study import ApiOption, Study, load_study

Row = Mapping[str, Any]
_KEY = ("model", "precision", "engine", "batch", "prompt_tokens", "output_tokens")
_WORDS = {"batch": "batch {}", "prompt_tokens": "{} in", "output_tokens": "{} out"}
"""How a label says a part of the key, where it is more than the bare value."""


def _wanted(study: Study) -> dict[str, dict[str, Any]]:
    """The configurations of a study by label: the precision, and whatever else tells them apart."""
    specs = study.measure
    wanted = [
        dict(zip(_KEY, key, strict=True))
        for s in specs
        for key in product((s.model,), s.precision, s.engine, s.batch, s.prompt_tokens, s.output_tokens)
    ]
    told = [name for name in _KEY if name == "precision" or len({str(want[name]) for want in wanted}) > 1]
    return {" ".join(_WORDS.get(name, "{}").format(want[name]) for name in told): want for want in wanted}


def _matches(row: Row, want: Row) -> bool:
    return all(row[key] == value for key, value in want.items() if value != "max")


def _newest(rows: Sequence[Row], want: Row) -> Row | None:
    """The newest row of a configuration; for the batch `max`, that of the largest that ran, else why none did."""
    found = [row for row in rows if _matches(row, want)]
    if want["batch"] == "max":
        ran = [row for row in found if row["status"] == "ok"]
        found = [row for row in ran if row["batch"] == max(r["batch"] for r in ran)] or found
    return found[-1] if found else None


def configurations(study: Study, store: Store) -> dict[str, Row]:
    """What the study wants measured, on the newest device; what is not there yet says so."""
    wanted = _wanted(study)
    if not wanted:
        raise bad("measure", "empty", "at least one configuration, for a report of measurements", str(study.path))
    stored = sorted(records(measurements(store)), key=lambda row: str(row["measured_at"]))
    fitting = [row for row in stored if any(_matches(row, want) for want in wanted.values())]
    device = fitting[-1]["device"] if fitting else "no device yet"
    missing = dict.fromkeys(stored[0] if stored else ["flags", "flagged_samples"])
    missing |= {"status": "missing", "reason": "not measured yet", "device": device, "measured_at": str(study.as_of)}
    here = [row for row in fitting if row["device"] == device]
    found = {label: _newest(here, want) or {**missing, **want} for label, want in wanted.items()}
    return {
        label.replace("batch max", f"batch {row['batch']} (largest)") if row["status"] == "ok" else label: row
        for label, row in found.items()
    }


def shared_setting(rows: Mapping[str, Row]) -> str:
    """What all rows have in common, in words; what differs is in their labels."""
    words = {"engine": "{} engine", "batch": "batch {}", "prompt_tokens": "{} prompt", "output_tokens": "{} output"}
    parts = []
    for name, sentence in words.items():
        values = list(dict.fromkeys(str(row[name]) for row in rows.values()))
        parts.append(sentence.format(values[0]) if len(values) == 1 else f"{name.split('_')[0]} as named")
    return f"{parts[0]}, {parts[1]}, {parts[2]} and {parts[3]} tokens"


def qualities(study: Study, store: Store, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Quality rows of the study's text by label of their configuration, for `rows` as `configurations` gives them."""
    asked = study.quality
    if asked is None:
        return {}
    stored, found = records(quality_results(store)), dict[str, Row]()
    for label, want in rows.items():
        key = {"model": want["model"], "baseline_model": want["model"], "precision": want["precision"]}
        key |= {"text": asked.text, "window": asked.window, "tokens": asked.tokens, "baseline": asked.baseline}
        row = next((r for r in reversed(stored) if _matches(r, key)), None)
        found |= {label: row} if row else {}
    return found


def price_ratio(study: Study) -> tuple[str, float] | None:
    """Output over input price of the study's baseline, where that is an API."""
    option = study.option(study.baseline.option)
    if not isinstance(option, ApiOption):
        return None
    bands = load_book().sheet(option.model, option.provider, option.tier, study.as_of).bands
    prices = [bands[kind][0].usd_per_mtok for kind in ("input", "output") if kind in bands]
    return (option.name, float(prices[1] / prices[0])) if len(prices) == 2 and prices[0] else None


def measured(study: Study | str, store: Store | str | None = None) -> pd.DataFrame:
    """What a study asks to be measured, one row per configuration, with what is known of it on the newest device.

    `slower_ratio` is how many times the fastest decodes as fast (95 % interval over runs), `surely_slower` whether that
    is more than chance explains. A number that is not there has its reason; `status` is `missing` for what was never
    measured. The frame is empty for a study that measures nothing.

    Args:
        study: A study, or its name or path.
        store: A store or its folder [default: the default store].
    """
    wanted = study if isinstance(study, Study) else load_study(study)
    kept = store if isinstance(store, Store) else Store(store or None)
    rows = configurations(wanted, kept) if wanted.measure else {}
    if not rows:
        return pd.DataFrame(columns=["configuration", "status", "decode_tokens_per_s"])
    frame = pd.DataFrame([{"configuration": label, **row} for label, row in rows.items()])
    ids = frame["run_ids"] if "run_ids" in frame else pd.Series("none", frame.index)
    more: dict[str, Any] = {"source": "runs " + ids.fillna("none").astype(str), "kind": "measured"}
    why = frame["reason"].where(frame["status"] != "ok", frame.get("interval_reason"))
    more |= {f"{name}_reason": why.where(why.notna(), None) for name in _SPEEDS}
    judged = qualities(wanted, kept, rows)
    for name in ("ppl_ratio", "kl_mean", "top1_agreement"):
        for end in ("", "_low", "_high"):
            more[f"{name}{end}"] = pd.Series([judged.get(label, {}).get(f"{name}{end}") for label in rows], dtype=float)
        more[f"{name}_source"] = [f"run {judged.get(label, {}).get('run_id') or 'none'}" for label in rows]
        more[f"{name}_reason"] = [None if label in judged else "quality not measured yet" for label in rows]
    frame = frame.drop(columns=[name for name in more if name in frame])
    frame = pd.concat([frame, pd.DataFrame(more, index=frame.index), _compared(frame, kept)], axis=1)
    return frame.astype({c: float for c in frame if str(c).endswith(_FLOATS) and frame[c].dtype == object})


_SPEEDS = ("ttft_s", "prefill_tokens_per_s", "decode_tokens_per_s")
_FLOATS = ("_s", "_bytes", "_ratio", "_low", "_high", "kl_mean", "_agreement")


def _compared(frame: pd.DataFrame, store: Store) -> pd.DataFrame:
    """How many times slower than the fastest of the same batch and lengths each row decodes."""
    shape = ["batch", "prompt_tokens", "output_tokens"]
    ok = frame["status"].eq("ok") & frame["decode_tokens_per_s"].notna()
    names = ["slower_ratio", "slower_ratio_low", "slower_ratio_high"]
    told: dict[Any, dict[str, Any]] = {at: {"surely_slower": False} for at in frame.index}
    stored = stored_runs(store) if ok.any() else pd.DataFrame()
    for _, group in frame[ok].groupby(shape):
        runs = {at: stored[stored["run_id"].isin(str(ids).split())] for at, ids in group["run_ids"].items()}
        best = group["decode_tokens_per_s"].idxmax()
        for at in group.index.difference([best]):
            found, reason = decode_difference(runs[at], runs[best])
            alone = "one process: an interval needs at least 2" if found.low is None else None
            told[at] = dict(zip(names, (found.ratio, found.low, found.high), strict=True))
            told[at] |= {"surely_slower": found.shown, "slower_ratio_reason": reason or alone}
    columns = [*names, "slower_ratio_reason", "surely_slower"]
    made = pd.DataFrame.from_dict(told, orient="index", columns=columns)
    return made.astype(dict.fromkeys(names, float)).assign(slower_ratio_kind="derived")
