"""Request logs larger than memory: records per second and peak memory of `costlib usage`, as the log grows.

Run `python -m benchmarks.usage` from the repository root. The log is JSON Lines with unique ids, written to a temporary
folder. The peer is a plain loop that parses every line with `json` and adds the tokens up, in the same run: what no
reader of JSON Lines in Python can do without. Memory must not grow with the log; each size runs in its own process.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path

SIZES = (100_000, 400_000)


def write(path: Path, records: int) -> None:
    numbers = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            usage = {"prompt_tokens": numbers.randrange(50, 4000), "completion_tokens": numbers.randrange(1, 600)}
            record = {"id": f"call-{number}", "created": 1790000000 + number * 7, "model": "gpt-4o", "usage": usage}
            file.write(json.dumps(record) + "\n")


def plain(path: Path) -> int:
    total = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            total += json.loads(line)["usage"]["prompt_tokens"]
    return total


def ours(path: str, answer: multiprocessing.Queue[tuple[float, float, int]]) -> None:
    from costlib.portfolio.usage.summary import read_logs

    started = time.perf_counter()
    used = read_logs([path]).used
    seconds = time.perf_counter() - started
    answer.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, used))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    for records in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "calls.jsonl"
            write(path, records)
            started = time.perf_counter()
            plain(path)
            peer = time.perf_counter() - started
            answer = context.Queue()
            child = context.Process(target=ours, args=(str(path), answer))
            child.start()
            seconds, peak, used = answer.get()
            child.join()
            assert used == records
            size = path.stat().st_size / 1024**2
            print(
                f"{records:,} records, {size:,.0f} MiB: {records / seconds:,.0f} records/s, "
                f"{seconds / peer:.0f} x the plain loop, peak {peak:,.0f} MiB"
            )


if __name__ == "__main__":
    main()
