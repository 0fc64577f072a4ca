"""Traces made by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from costlib.tables import LOAD_REQUESTS


def request_row(number: int, scheduled: float, chunks: list[float], **changes: Any) -> dict[str, Any]:
    """A row of a trace: sent when due, ended with its last chunk, a token a chunk, 10 prompt tokens."""
    row = {
        "run_id": "r",
        "number": number,
        "outcome": "ok" if chunks else "failed",
        "reason": None if chunks else "timeout: no whole answer within 1 s",
        "scheduled_s": scheduled,
        "sent_s": scheduled,
        "first_s": chunks[0] if chunks else None,
        "last_s": chunks[-1] if chunks else None,
        "end_s": chunks[-1] if chunks else scheduled + 1,
        "chunk_s": chunks,
        "prompt_tokens": 10,
        "output_tokens": len(chunks) or None,
        "tokens_from": "usage" if chunks else None,
    }
    return row | changes


def trace(*rows: dict[str, Any]) -> pd.DataFrame:
    return LOAD_REQUESTS.validate(pd.DataFrame(list(rows)))


def hand_made() -> pd.DataFrame:
    """Three whole answers and one that was cut, whose every metric can be worked out on paper.

    a: sent 0.0, text at 1.0, 2.0, 4.0; 5 tokens; the stream ends at 4.5
    b: due 0.5, sent 1.0, text at 1.5, 2.5; 3 tokens; ends at 3.0
    c: sent 2.0, text at 4.0; 1 token; ends at 4.0
    d: sent 3.0, text at 4.0, cut at 6.0
    """
    return trace(
        request_row(0, 0.0, [1.0, 2.0, 4.0], output_tokens=5, end_s=4.5),
        request_row(1, 0.5, [1.5, 2.5], sent_s=1.0, output_tokens=3, end_s=3.0),
        request_row(2, 2.0, [4.0]),
        request_row(3, 3.0, [4.0], outcome="cut", reason="cut: the connection ended", end_s=6.0),
    )
