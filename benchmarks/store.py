"""CPU seconds of reading a store of many small files, beside reading them one by one.

    python -m benchmarks.store [--files 10000]

Every file holds one run of made-up numbers, as `costlib measure` writes them on a CPU. One by one, every tenth file is
read and the time scaled. The bound is 10 s for 10,000 files.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from costlib.store import Store, new_id
from costlib.tables import RUNS

MOST_S_PER_FILE = 1e-3


def filled(root: Path, files: int) -> list[Path]:
    """A store of so many runs."""
    numbers = dict.fromkeys((c.name for c in RUNS.columns if c.type in ("integer", "number")), 2)
    texts = {c.name: "text" for c in RUNS.columns if c.type == "text"} | {"environment": '{"cpu": "x"}' * 100}
    row = {**numbers, **texts, "status": "ok", "kind": "measured", "ttft_s": [0.1] * 5, "decode_s": [1.0] * 5}
    of_a_gpu = ("allocator_allocated_peak_bytes", "allocator_reserved_peak_bytes", "device_over_idle_peak_bytes",
                "power_limit_w", "power_capped_share", "spec_bytes_per_s", "spec_flops_per_s", "energy_integrated_j",
                "reason")  # fmt: skip
    given = {c.name: row.get(c.name) for c in RUNS.columns if c.name not in of_a_gpu}
    first = Store(root).write(RUNS, pd.DataFrame([given]), new_id())
    return [first, *(Path(shutil.copy(first, first.with_name(f"{new_id()}.parquet"))) for _ in range(files - 1))]


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process, in all threads."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> int:
    """Print both times and whether the bound is kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        files = filled(Path(folder), count)
        cpu_s(lambda: RUNS.validate(pq.read_table(files[0]).to_pandas()))  # imports
        each = files[::10]
        one_by_one = cpu_s(lambda: [RUNS.validate(pq.read_table(file).to_pandas()) for file in each])
        one_by_one *= len(files) / len(each)
        at_once = cpu_s(lambda: Store(folder).read(RUNS))
    print(
        f"{count:,} files: {at_once:.1f} s of CPU at once, {one_by_one:.1f} s one by one ({one_by_one / at_once:.1f} x)"
    )
    return 0 if at_once <= MOST_S_PER_FILE * count else 1


if __name__ == "__main__":
    raise SystemExit(main())
