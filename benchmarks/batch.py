"""What several reports at a time bring: `costlib batch` with one and two workers, beside a loop of `costlib report`.

    python -m benchmarks.batch [--rounds 3] [--reports 4] [--notebook usage]

The reports are the demo study's, from an empty store, so that every one is the same work. The loop is what a shell
script would do: one command after another. The three take turns, in another order each round, and a ratio is formed
within a round. The load of the machine by others is printed, because two workers on two busy cores bring nothing. The
CPU seconds of all processes stand beside the wall clock: they say what the isolation costs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from costlib.environment import cpu_count, device_name

LIMITS = {"two workers over one": 1.4, "one worker over the loop": 0.9}
"""Least speed-ups on an idle machine with two cores."""
COMMAND = [sys.executable, "-m", "costlib.cli.main"]


def timed(commands: list[list[str]]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of commands run one after another; raises where one fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print a line per ratio and one JSON document; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reports", type=int, default=4)
    parser.add_argument("--notebook", default="usage")
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"loop": [], "one": [], "two": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        names = [f"report-{number}" for number in range(arguments.reports)]
        lines = [f"- {{study: demo, name: {one}, notebooks: [{arguments.notebook}]}}" for one in names]
        file = root / "many.yml"
        file.write_text("\n".join(["store: store", "reports:", *lines]), encoding="utf-8")
        (root / "store").mkdir()
        shared = ["--store", str(root / "store")]
        ways = {
            "loop": [
                [*COMMAND, "report", f"{file}#{one}", "--out", str(root / "loop" / one), *shared] for one in names
            ],
            **{
                way: [
                    [*COMMAND, "batch", str(file), "--fresh", "--workers", workers, "--out", str(root / way), *shared]
                ]
                for way, workers in (("one", "1"), ("two", "2"))
            },
        }
        for seed in range(arguments.rounds + 1):
            for way in random.Random(seed).sample(list(ways), 3):
                took = timed(ways[way])
                if seed:  # the first round fills the caches of the disk
                    found[way].append(took)
    ratios = {
        "two workers over one": [one[0] / two[0] for one, two in zip(found["one"], found["two"], strict=True)],
        "one worker over the loop": [one[0] / two[0] for one, two in zip(found["loop"], found["one"], strict=True)],
    }
    speedups = {of: {"median": statistics.median(r), "least": min(r), "most": max(r)} for of, r in ratios.items()}
    for of, ratio in speedups.items():
        print(f"{of}: {ratio['median']:.2f} times as fast ({ratio['least']:.2f} to {ratio['most']:.2f})")
    seconds = {
        way: {"wall_s": statistics.median(took[0] for took in rows), "cpu_s": statistics.median(r[1] for r in rows)}
        for way, rows in found.items()
    }
    for way, took in seconds.items():
        print(f"{way}: {took['wall_s']:.1f} s, {took['cpu_s']:.1f} s of CPU, {arguments.reports} reports")
    ok = all(speedups[of]["median"] >= limit for of, limit in LIMITS.items())
    document = {
        "ok": ok,
        "device": device_name("cpu"),
        "cores": cpu_count(),
        "load_average_15min": os.getloadavg()[2],
        "rounds": arguments.rounds,
        "reports": arguments.reports,
        "notebook": arguments.notebook,
        "speedups": speedups,
        "seconds": seconds,
    }
    print(json.dumps(document))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
