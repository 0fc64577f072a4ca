"""Writes the tables under input/ that nobody typed: the sixty streams, scores, requests, logs and answers of a router.

Run as `python tests/golden/generate.py`. Its output is committed; the seeds are fixed, so it changes nothing.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

INPUT = Path(__file__).parent / "input"
BASE = {
    "frontier": 0.96, "large": 0.95, "mid": 0.93, "small": 0.89, "open-70b": 0.9, "open-8b": 0.84, "tiny": 0.7,
    "people": 0.95, "haiku-then-opus": 0.94, "haiku-or-gpt": 0.92, "open-cascade": 0.88, "haiku-then-fable": 0.945,
}  # fmt: skip
SCORED = {
    "apis": ("large", "mid", "small", "haiku-then-opus", "haiku-or-gpt"),
    "onprem": ("large", "open-70b", "open-8b", "tiny", "people", "open-cascade"),
    "large": ("frontier", "large", "mid", "small", "open-70b", "open-8b", "people", "haiku-then-fable"),
}
STREAM = (
    "workload", "task", "requests_per_month", "profile", "input_tokens", "cached_tokens", "output_tokens",
    "latency_limit_s", "quality_floor", "miss_cost_usd", "value_usd", "human_minutes", "own_machines_only", "source",
)  # fmt: skip
TYPED: dict[str, list[tuple[Any, ...]]] = {
    "apis": [
        ("Triage", "classification", 900000, "flat", 420, 200, 6, 10, 0.8, 0.02, 0.02, 0.3, "no"),
        ("Chat", "chat", 1500000, "flat", 2400, 1600, 190, 15, 0.85, 0.25, 0.4, 2, "no"),
        ("Contracts", "legal review", 900, "office", 260000, 0, 2600, 7200, 0.75, 800, 150, 60, "no"),
        ("Tags", "tagging", 2000000, "nightly", 340, 150, 18, 90000, 0.8, 0.01, 0.01, 0.5, "no"),
        ("Code", "code", 20000, "office", 5200, 2000, 950, 90, 0.8, 11, 24, 25, "no"),
        ("Drafts", "drafting", 140000, "office", 3300, 1400, 310, 30, 0.8, 0.9, 1.8, 5, "no"),
    ],
    "cases": [
        ("Digest", "summarization", 400, "office", 60000, 0, 1500, 86400, 0.8, 2, 9, 45, "no"),
        ("Sentiment", "tagging", 4000000, "flat", 250, 100, 4, 86400, 0.8, 0.0002, 0.0005, 0.1, "no"),
    ],
    "onprem": [
        ("Masking", "redaction", 1100000, "flat", 460, 150, 60, 6, 0.8, 0.2, 0.3, 2, "yes"),
        ("Patient chat", "chat", 350000, "office", 2200, 1500, 90, 9, 0.85, 0.5, 1.1, 4, "yes"),
        ("Night coding", "classification", 700000, "nightly", 900, 300, 12, 5, 0.8, 0.1, 0.2, 1, "yes"),
        ("Public answers", "chat", 250000, "flat", 1800, 900, 160, 14, 0.85, 0.2, 0.35, 2, "no"),
        ("Complaint letter", "drafting", 2500, "office", 3800, 0, 700, 3600, 0.9, 30, 40, 30, "yes"),
        ("Search vectors", "classification", 300000, "office", 60, 0, 2, "", 0.6, 0.001, 0.002, "", "yes"),
    ],
}


def stream(draw: random.Random, number: int) -> tuple[Any, ...]:
    tokens = round(10 ** draw.uniform(2, 4))
    minutes = round(draw.uniform(0.2, 30), 1)
    ours = draw.random() < 0.1
    hard = (3600, 0.8) if ours else draw.choice([(10, 0.8), (15, 0.85), (30, 0.85), (3600, 0.9), (90000, 0.8)])
    return (
        f"Stream {number:02}", draw.choice(["chat", "extraction", "tagging", "code"]),
        round(10 ** draw.uniform(3, 6.2)), draw.choice(["flat", "office", "nightly"]), tokens,
        round(tokens * draw.choice([0, 0.3, 0.6])), round(10 ** draw.uniform(0.5, 2.6)), *hard,
        round(minutes * draw.uniform(0.005, 0.1), 4), round(minutes * 0.6, 2), minutes,
        "yes" if ours else "no",
    )  # fmt: skip


def scores(draw: random.Random, streams: list[tuple[Any, ...]], names: tuple[str, ...]) -> list[list[Any]]:
    rows = []
    for row in streams:
        ease = draw.uniform(-0.03, 0.03)
        for name in names:
            rate = min(0.995, round(max(BASE[name] + ease + draw.uniform(-0.01, 0.01), row[8] - 0.05), 4))
            low, high = round(rate - 0.02, 4), min(1.0, round(rate + 0.012, 4))
            rows.append([row[0], name, rate, low, high, "assumed", "made up"])
    return rows


def table(name: str, head: tuple[str, ...] | list[str], rows: list[Any]) -> None:
    with (INPUT / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def studies() -> None:
    for name in SCORED:
        draw = random.Random(f"golden {name}")
        rows = TYPED.get(name) or [stream(draw, number) for number in range(1, 61)]
        table(f"{name}_workloads.csv", STREAM, [(*row, "made up") for row in rows])
        scored = rows + (TYPED["cases"] if name == "apis" else [])
        head = ["workload", "capability", "success_rate", "low", "high", "kind", "source"]
        table(f"{name}_scores.csv", head, scores(draw, scored, SCORED[name]))
    table("apis_use_cases.csv", STREAM, [(*row, "made up") for row in TYPED["cases"]])


MODELS = (
    ("anthropic", "claude-opus-5-5"), ("anthropic", "claude-haiku-5-5"), ("openai", "gpt-5"), ("openai", "gpt-4o-mini"),
    ("google", "gemini-3.8-flash"), ("google", "gemini-2.5-pro"),
)  # fmt: skip


def requests() -> None:
    """A table as `price --usage` and `focus --usage` read it."""
    draw, rows = random.Random("golden requests"), []
    for number in range(120):
        provider, model = draw.choice(MODELS)
        tokens = round(10 ** draw.uniform(1.5, 5.45))
        cached = draw.choice([0, 0, tokens // 2])
        day = f"2026-10-{draw.randint(15, 31):02}T{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:00Z"
        rows.append([f"r{number}", day, provider, model, tokens, cached, round(10 ** draw.uniform(0, 3.5))])
    head = ["request_id", "timestamp", "provider", "model", "input_tokens", "cached_tokens", "output_tokens"]
    table("requests.csv", head, rows)


def logs() -> None:
    """The same kind of calls as three exports write them."""
    draw = random.Random("golden logs")
    lines: dict[str, list[dict[str, Any]]] = {"openai": [], "anthropic": [], "litellm": []}
    for number in range(240):
        hour = number * 37 % 336
        when = f"2026-10-{15 + hour // 24:02}T{hour % 24:02}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}Z"
        prompt, answer = round(10 ** draw.uniform(1.8, 4)), round(10 ** draw.uniform(0.5, 2.8))
        cached = draw.choice([0, prompt // 2])
        lines["openai"].append(
            {
                "id": f"chatcmpl-{number}", "created": when, "model": draw.choice(["gpt-5", "gpt-5-mini"]),
                "provider": "openai", "metadata": {"workload": draw.choice(["chat", "triage"])},
                "usage": {
                    "prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer,
                    "prompt_tokens_details": {"cached_tokens": cached},
                },
            }
        )  # fmt: skip
        lines["anthropic"].append(
            {
                "request_id": f"req_{number}", "timestamp": when, "model": "claude-haiku-5-5", "provider": "anthropic",
                "workload": "drafts",
                "usage": {
                    "input_tokens": prompt - cached, "cache_read_input_tokens": cached,
                    "cache_creation_input_tokens": draw.choice([0, 256]), "output_tokens": answer,
                },
            }
        )  # fmt: skip
        lines["litellm"].append(
            {
                "request_id": f"l{number}", "startTime": when, "model": "gemini-3.8-flash",
                "custom_llm_provider": "google", "prompt_tokens": prompt, "completion_tokens": answer,
                "spend": round(prompt * 3e-7 + answer * 2.5e-6, 8), "request_tags": ["search"],
                "status": "failure" if number % 40 == 0 else "success",
            }
        )  # fmt: skip
    for name, records in lines.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (INPUT / f"log_{name}.jsonl").write_text(text, encoding="utf-8")


def answers() -> None:
    """Requests with the score and cost of three models and a judge's confidence, for `route`."""
    draw, rows = random.Random("golden route"), []
    for number in range(240):
        hard = draw.random()
        words = " ".join(["why"] * round(1 + 12 * hard) + [f"case {number}"])
        weak, strong = int(draw.random() > 0.75 * hard), int(draw.random() > 0.2 * hard)
        confidence = round(min(1, max(0, 1 - 0.7 * hard + draw.uniform(-0.1, 0.1))), 4)
        other = int(draw.random() > 0.6 + 0.2 * hard)  # dearer than the small one, and worse
        rows.append([words, weak, strong, other, confidence, 0.0003, 0.009, 0.002])
    columns = "small_correct large_correct other_correct small_confidence small_cost_usd large_cost_usd other_cost_usd"
    head = ["prompt", *columns.split()]
    table("answers.csv", head, rows)


if __name__ == "__main__":
    studies()
    requests()
    logs()
    answers()
