"""Request logs of a million rows: CPU seconds and peak memory of `costlib usage`, as the log grows.

Run `python -m benchmarks.usage` from the repository root. The log is written as Parquet, CSV and JSON Lines with unique
ids to a temporary folder. The peer is a bare aggregate of DuckDB over the same file in the same run: the sum of the
tokens by model, nothing checked, nothing priced. CPU seconds, not wall time, so that a busy machine changes little.
Memory must not grow with the log; each size runs in its own process.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = (200_000, 1_000_000)
FORMATS = ("parquet", "csv", "jsonl")


def write(folder: Path, records: int) -> None:
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "request_id": [f"call-{number}" for number in range(records)],
            "timestamp": pd.to_datetime(1790000000 + np.arange(records) * 2, unit="s", utc=True).strftime("%FT%TZ"),
            "model": np.array(["gpt-4o", "gpt-4o-mini", "o3-mini"])[chance.integers(0, 3, records)],
            "input_tokens": chance.integers(50, 4000, records),
            "cached_tokens": chance.integers(0, 50, records),
            "output_tokens": chance.integers(1, 600, records),
            "workload": np.array(["chat", "search", "code"])[chance.integers(0, 3, records)],
        }
    )
    frame.to_parquet(folder / "log.parquet")
    frame.to_csv(folder / "log.csv", index=False)
    with (folder / "log.jsonl").open("w", encoding="utf-8") as file:
        for row in frame.to_dict("records"):
            counts = {"prompt_tokens": row["input_tokens"], "completion_tokens": row["output_tokens"]}
            counts |= {"prompt_tokens_details": {"cached_tokens": row["cached_tokens"]}}
            record = {"id": row["request_id"], "created_at": row["timestamp"], "model": row["model"], "usage": counts}
            file.write(json.dumps(record) + "\n")


def bare(path: str) -> None:
    import duckdb

    tokens = "usage.prompt_tokens" if path.endswith(".jsonl") else "input_tokens"
    duckdb.execute(f"SELECT model, count(*), sum({tokens}) FROM '{path}' GROUP BY model").fetchall()


def ours(path: str) -> None:
    from costlib.portfolio.logs import usage as read_logs

    assert not read_logs([path]).rejected


def measured(work: Callable[[str], None], path: str, answer: multiprocessing.Queue[tuple[float, float]]) -> None:
    started = time.process_time()
    work(path)
    answer.put((time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def apart(work: Callable[[str], None], path: Path) -> tuple[float, float]:
    """CPU seconds, imports included, and peak memory in MiB of work in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=measured, args=(work, str(path), answer))
    child.start()
    found = answer.get()
    child.join()
    return found


def main() -> None:
    for records in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), records)
            for ending in FORMATS:
                path = Path(folder) / f"log.{ending}"
                seconds, peak = apart(ours, path)
                peer, _ = apart(bare, path)
                print(
                    f"{records:,} rows of {ending}, {path.stat().st_size / 1024**2:,.0f} MiB: {seconds:.1f} s of CPU, "
                    f"{seconds / peer:.0f} x the bare aggregate, peak {peak:,.0f} MiB"
                )


if __name__ == "__main__":
    main()
