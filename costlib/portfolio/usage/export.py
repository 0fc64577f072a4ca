"""Workloads of a log as the CSV a study starts from; what a log cannot know is left empty, for a person to fill in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from costlib.output import write_all
from costlib.portfolio.usage.summary import Usage
from costlib.portfolio.workloads import Workload


def write_workloads(usage: Usage, path: Path) -> None:
    """Write the CSV; beside it NAME.profiles.yml holds each workload's hours. Both appear whole or not at all."""
    names = [field.name for field in fields(Workload)]
    text = io.StringIO()
    text.write("# Measured from request logs. Empty cells cannot be read from a log: fill them in before planning.\n")
    rows = csv.DictWriter(text, names, lineterminator="\n")
    rows.writeheader()
    for row in usage.workloads.to_dict("records"):
        rows.writerow(
            {
                "workload": _inert(row["workload"]),
                "profile": _inert(row["workload"]) if usage.profiles[row["workload"]]["weights"] else "",
                "own_machines_only": "no",
                **_volume(row, usage.observed_hours),
            }
        )
    lines = []
    for name, profile in usage.profiles.items():
        if profile["weights"] is None:  # days tell no hours
            continue
        quoted = _inert(name).replace("'", "''")
        lines += [f"'{quoted}':", f"  weights: {profile['weights']}", f"  days_per_month: {profile['days_per_month']}"]
        lines += [
            "  kind: measured",
            f"  source: {usage.observed_hours:.0f} hours of request logs, by hour of day in UTC",
        ]
    write_all({path: text.getvalue(), path.with_suffix(".profiles.yml"): "\n".join(lines) + "\n"})


def _volume(row: Mapping[Any, Any], hours: float) -> dict[str, Any]:
    """Volume and means; empty where the log adds up an unknown number of requests."""
    if pd.isna(row["requests"]):
        return {"source": f"measured: sums of {hours:.0f} hours of logs, without a number of requests"}
    return {
        "requests_per_month": f"{row['requests_per_month']:.0f}",
        "input_tokens": round(row["input_tokens"]),
        "cached_tokens": min(round(row["cached_tokens"]), round(row["input_tokens"])),
        "output_tokens": round(row["output_tokens"]),
        "source": f"measured: {row['requests']:.0f} requests in {hours:.0f} hours of logs",
    }


def _inert(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
