"""Synthetic inputs for trying the pages out: a request log and a table of scores, written here from a fixed seed.

Neither describes a real company or a real model. The log has what makes real ones hard to read (records without a
model, failed and repeated requests, negative counts, rows out of order); the scores have prompts whose wording says
something, but not everything, about how hard they are, and a confidence that is somewhat too high.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LOG_INVOICE_USD = 4.41
"""What the made-up provider bills for the synthetic log; it counts repeated and failed requests, too."""
_FIRST_DAY = datetime(2026, 10, 19, tzinfo=UTC)  # a Monday
_WEEKS = 3


@dataclass(frozen=True)
class _Stream:
    """A workload of the log: calls a day, whether it sleeps at weekends, its model, and mean tokens.

    `shared_tokens` open every prompt; `cached` says whether the provider's cache is used for them.
    """

    name: str
    per_day: float
    office: bool
    model: str
    provider: str
    input_tokens: int
    shared_tokens: int
    cached: bool
    output_tokens: int


_STREAMS = (
    _Stream("Help chat turn", 40, False, "claude-sonnet-5-5", "anthropic", 2600, 1800, True, 180),
    _Stream("Ticket routing", 24, True, "claude-haiku-5-5", "anthropic", 900, 600, False, 12),
    _Stream("Order extraction", 14, False, "claude-haiku-5-5", "anthropic", 1400, 500, True, 180),
    _Stream("Reply translation", 9, True, "gpt-4o", "openai", 600, 0, False, 450),
)


def write_log(path: Path, seed: int = 20261110) -> Path:
    """Write three weeks of synthetic calls as JSON Lines; returns the file."""
    chance = random.Random(seed)
    records: list[dict[str, Any]] = []
    for stream in _STREAMS:
        shared = f"Instructions for {stream.name}. " * 100
        for day in range(7 * _WEEKS):
            weekend = day % 7 > 4
            quiet = 0.05 if weekend and stream.office else 0.6 if weekend else 1.0
            for _ in range(round(stream.per_day * quiet * chance.uniform(0.8, 1.2))):
                hour = (chance.gauss(12.5, 2.6) if stream.office else chance.gauss(14, 5.5)) % 24
                moment = _FIRST_DAY + timedelta(days=day, hours=hour)
                own = (stream.input_tokens - stream.shared_tokens) * chance.lognormvariate(-0.1, 0.45)
                own = max(1, round(own))
                question = " ".join(chance.choice(_WORDS) for _ in range(own // 6))  # about a letter for a token
                read = stream.cached and chance.random() < 0.8
                records.append(
                    {
                        "timestamp": moment.isoformat(timespec="seconds"),
                        "id": f"call-{len(records):05d}",
                        "workload": stream.name,
                        "provider": stream.provider,
                        "model": stream.model,
                        "input_tokens": stream.shared_tokens + own,
                        "cached_tokens": stream.shared_tokens if read else 0,
                        "output_tokens": max(1, round(stream.output_tokens * chance.lognormvariate(-0.1, 0.5))),
                        "prompt": f"{shared[: stream.shared_tokens]}{question}",
                    }
                )
    records.sort(key=lambda record: record["timestamp"])
    for at in (40, 333, 700):  # what a real log holds, too
        records.append(dict(records[at]))
    for at, change in ((55, {"input_tokens": -1}), (120, {"model": None}), (410, {"status": "error"})):
        records[at] = records[at] | change
    records[200]["model"] = "in-house-summarizer"
    lines = [json.dumps(record) for record in records]
    lines.insert(500, '{"timestamp": "2026-10-14T09:')  # a line cut off in the middle
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


_WORDS = (
    "order", "parcel", "invoice", "refund", "adapter", "kettle", "lamp", "screen", "late", "broken", "please", "when",
    "where", "still", "again", "number", "address", "tracking", "friday", "monday", "return", "repair", "label",
)  # fmt: skip
_EASY, _HARD = ("status of", "opening hours for", "price of", "size of"), (
    "compare both plans for", "explain why the total differs for", "work out the refund for", "prove the fault of",
)  # fmt: skip
_MODELS = {"small": (0.0002, 0.0), "mid": (0.0012, 0.9), "large": (0.0090, 2.1)}
"""$ of a mean request, and how much better than the small model (in log-odds)."""


def score_table(requests: int = 1500, seed: int = 20261110) -> pd.DataFrame:
    """Synthetic scores of three models on `requests` prompts, as `routing.requests` reads them.

    Columns: prompt, and for each model NAME_score (0 or 1), NAME_cost_usd, NAME_answer; small_confidence.
    """
    chance = np.random.default_rng(seed)
    hard = chance.random(requests) < 0.45
    rows: dict[str, Any] = {"prompt": []}
    for is_hard in hard:
        words = " ".join(chance.choice(_WORDS, size=int(chance.integers(4, 30))))
        rows["prompt"].append(f"{chance.choice(_HARD if is_hard else _EASY)} {words}")
    length = np.array([len(prompt) for prompt in rows["prompt"]])
    ease = np.where(hard, -1.1, 2.0) - 0.004 * (length - length.mean()) + chance.normal(0, 0.6, requests)
    for name, (usd, better) in _MODELS.items():
        odds = ease + better * np.where(hard, 1.3, 0.6)
        right = chance.random(requests) < 1 / (1 + np.exp(-odds))
        rows[f"{name}_score"] = right.astype(int)
        rows[f"{name}_cost_usd"] = (usd * (0.5 + 0.5 * length / length.mean())).round(7)
        wrong = chance.integers(1, 4, requests)
        rows[f"{name}_answer"] = np.where(right, "answer 0", np.char.add("answer ", wrong.astype(str)))
        if name == "small":
            said = 1 / (1 + np.exp(-(1.6 * (odds + 0.5) + chance.normal(0, 0.5, requests))))
            rows["small_confidence"] = said.round(4)
    return pd.DataFrame(rows)
