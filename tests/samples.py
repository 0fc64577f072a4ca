"""Rows that several tests build on."""

from __future__ import annotations

from typing import Any

import pandas as pd


def run_row(**changes: Any) -> dict[str, Any]:
    """A complete row of the runs table, with `changes`."""
    row: dict[str, Any] = {
        "run_id": "20261101T000000Z-00000000",
        "campaign": "20261101T000000Z-aaaaaaaa",
        "started_at": "2026-11-01T00:00:00+00:00",
        "model": "path:tiny",
        "precision": "bf16",
        "engine": "eager",
        "batch": 2,
        "prompt_tokens": 100,
        "output_tokens": 11,
        "device": "CPU, 2 cores (test)",
        "status": "ok",
        "ttft_s": [0.5],
        "decode_s": [2.0],
        "flags": [""],
        "load_s": 1.0,
        "wall_s": 10.0,
        "weight_bytes": 1000,
        "process_peak_bytes": 5000,
        "fingerprint": "f" * 16,
        "environment": "{}",
    }
    return row | changes


def runs_frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows as a checked frame."""
    from costlib.tables import RUNS

    return RUNS.validate(pd.DataFrame(list(rows)))
