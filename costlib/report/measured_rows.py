"""Which stored rows a study is about: its configurations on the newest device, and their quality.

A configuration that was not measured yet is a row, too, with a status and a reason: nothing is silently missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from costlib.errors import bad
from costlib.measure.run import measurements
from costlib.prices.book import load_book
from costlib.quality.text import quality_results
from costlib.report.page import records
from costlib.store import Store
from costlib.study import ApiOption, Study

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
