"""Speed of pricing: single requests and a usage table, beside genai-prices in the same run.

    python benchmarks/prices.py [--rows 1000000] [--rounds 5]

The two take turns, so that a slow moment of the machine meets both. genai-prices has no table interface: it is timed on
the first `--sample` rows, one by one, and both are given per row. The totals of the sample must agree to the last
digit, else the run fails. Targets: 10,000 requests/s, and a million rows in under 3 s on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from genai_prices import calc_price
from genai_prices.types import Usage

from costlib.prices.api import price_request
from costlib.prices.book import load_book
from costlib.prices.usage import price_usage

MODELS = {
    "gpt-4o": "openai",
    "o3": "openai",
    "gpt-5": "openai",
    "claude-sonnet-4-5": "anthropic",
    "gemini-2.5-pro": "google",
}


def usage_table(rows: int) -> pd.DataFrame:
    """A year of synthetic requests to five models, some beyond their long-context cliff."""
    random = np.random.default_rng(0)
    inputs = random.integers(1, 300_000, rows)
    seconds = pd.to_timedelta(random.integers(0, 365 * 86_400, rows), unit="s")
    return pd.DataFrame(
        {
            "model": np.array(list(MODELS))[random.integers(0, len(MODELS), rows)],
            "timestamp": pd.Timestamp("2025-11-01") + seconds,
            "input_tokens": inputs,
            "output_tokens": random.integers(0, 4_000, rows),
            "cached_tokens": (inputs * random.random(rows)).astype(np.int64),
        }
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Run and print a card, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    book = load_book()
    frame = usage_table(arguments.rows)
    sample = frame.head(arguments.sample)
    requests = [
        (model, when.to_pydatetime(), int(given), int(made), int(cached))
        for model, when, given, made, cached in sample.itertuples(index=False)
    ]

    def ours() -> Decimal:
        return sum(
            (
                price_request(
                    book, model, input_tokens=given, output_tokens=made, cached_tokens=cached, as_of=when.date()
                ).total
                for model, when, given, made, cached in requests
            ),
            Decimal(0),
        )

    def theirs() -> Decimal:
        return sum(
            (
                calc_price(
                    Usage(input_tokens=given, output_tokens=made, cache_read_tokens=cached),
                    model,
                    provider_id=MODELS[model],
                    genai_request_timestamp=when,
                ).total_price
                for model, when, given, made, cached in requests
            ),
            Decimal(0),
        )

    times: dict[str, list[float]] = {name: [] for name in ("request", "genai_prices", "table", "csv", "parquet")}
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = Path(folder) / "usage.csv", Path(folder) / "usage.parquet"
        frame.to_csv(csv, index=False)
        frame.to_parquet(parquet)
        work: dict[str, Callable[[], object]] = {
            "request": ours,
            "genai_prices": theirs,
            "table": lambda: price_usage(book, frame),
            "csv": lambda: price_usage(book, csv),
            "parquet": lambda: price_usage(book, parquet),
        }
        totals = {"request": ours(), "genai_prices": theirs(), "table": price_usage(book, sample).total}
        for _ in range(arguments.rounds):
            for name, of in work.items():
                times[name].append(seconds_of(of))

    middle = {name: statistics.median(of) for name, of in times.items()}
    per_request, per_request_theirs = middle["request"] / len(requests), middle["genai_prices"] / len(requests)
    per_row = middle["table"] / len(frame)
    agree = len(set(totals.values())) == 1
    result = {
        "cpu": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_1_min": os.getloadavg()[0],
        "rows": len(frame),
        "rounds": arguments.rounds,
        "sample_total_usd": {name: str(total) for name, total in totals.items()},
        "requests_per_s": 1 / per_request,
        "genai_prices_requests_per_s": 1 / per_request_theirs,
        "request_speed_ratio": per_request_theirs / per_request,
        "table_s": middle["table"],
        "csv_s": middle["csv"],
        "parquet_s": middle["parquet"],
        "table_row_speed_ratio": per_request_theirs / per_row,
        "seconds": times,
        "totals_agree": agree,
    }
    print(f"single requests  {1 / per_request:>12,.0f} /s, genai-prices {1 / per_request_theirs:,.0f} /s")
    print(f"                 {per_request_theirs / per_request:>12.1f} times genai-prices")
    for name in ("table", "csv", "parquet"):
        print(f"{len(frame):,} rows, {name:<8}{middle[name]:>6.2f} s")
    print(f"                 {per_request_theirs / per_row:>12,.0f} times genai-prices, per row of the table")
    print(f"totals of {len(requests):,} requests {'agree' if agree else 'DIFFER: ' + str(totals)}")
    print(json.dumps(result))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
