"""Which stored rows a study is about: its configurations on the newest device, and their quality.

A configuration that was not measured yet is a row, too, with a status and a reason: nothing is silently missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlib.errors import bad
from costlib.measure.run import measurements
from costlib.prices.book import load_book
from costlib.quality.text import quality_results
from costlib.report.page import records
from costlib.store import Store
from costlib.study import ApiOption, Study

Row = Mapping[str, Any]


def _wanted(study: Study) -> dict[str, dict[str, Any]]:
    """The configurations of a study by label: the precision, and whatever else tells them apart."""
    specs = study.measure
    models, engines = len({spec.model for spec in specs}) > 1, len({name for spec in specs for name in spec.engine}) > 1
    batches = any(len(spec.batch) > 1 for spec in specs)

    def label(model: str, precision: str, engine: str, batch: int) -> str:
        parts = [model if models else "", precision, engine if engines else "", f"batch {batch}" if batches else ""]
        return " ".join(filter(None, parts))

    return {
        label(s.model, p, e, b): {
            "model": s.model, "precision": p, "engine": e, "batch": b,
            "prompt_tokens": s.prompt_tokens, "output_tokens": s.output_tokens,
        }
        for s in specs for p in s.precision for e in s.engine for b in s.batch
    }  # fmt: skip


def _matches(row: Row, want: Row) -> bool:
    return all(row[key] == value for key, value in want.items())


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
    return {
        label: next((r for r in reversed(fitting) if _matches(r, {**want, "device": device})), {**missing, **want})
        for label, want in wanted.items()
    }


def qualities(study: Study, store: Store) -> dict[str, Row]:
    """Quality rows of the study's text by label of their configuration."""
    asked = study.quality
    if asked is None:
        return {}
    stored, found = records(quality_results(store)), dict[str, Row]()
    for label, want in _wanted(study).items():
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
