"""An independent check: optimum-benchmark and costlib measure the same folder at the same precision, in turn.

    python -m venv ../peer && ../peer/bin/pip install optimum-benchmark
    python -m benchmarks.optimum_peer --python ../peer/bin/python [--rounds 3]

The peer needs an environment of its own, with the versions of torch and transformers that costlib uses. Definitions are
aligned: both count N - 1 tokens after the first over the time after the first (its `decode`, our decode_tokens_per_s),
and prompt tokens over the time to the first (its `prefill`). It generates through `model.generate` with random ids, we
through our own loop. Processes alternate; medians are compared. Exits with 1 where they differ by more than 5 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

ALLOWED = 0.05
PROMPT, NEW = 128, 32

_PEER = """
import json, sys
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, PyTorchConfig, InlineConfig
folder, dtype, prompt, new = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
config = BenchmarkConfig(
    name="peer",
    launcher=InlineConfig(device_isolation=False),
    scenario=InferenceConfig(
        latency=True, memory=False, warmup_runs=2, iterations=3, duration=5,
        input_shapes={"batch_size": 1, "sequence_length": prompt},
        generate_kwargs={"max_new_tokens": new, "min_new_tokens": new},
    ),
    backend=PyTorchConfig(model=folder, task="text-generation", device="cpu", torch_dtype=dtype, no_weights=False),
)
report = Benchmark.launch(config)
print("PEER " + json.dumps({"prefill": report.prefill.latency.values, "decode": report.decode.latency.values}))
"""


def peer(python: str, folder: Path) -> dict[str, float]:
    """Prefill and decode tokens/s of one process of optimum-benchmark (medians of its iterations)."""
    command = [python, "-c", _PEER, str(folder), "bfloat16", str(PROMPT), str(NEW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PEER ")]
    if not lines:
        raise SystemExit(f"optimum-benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(lines[-1].removeprefix("PEER "))
    prefill, decode = (statistics.median(found[name]) for name in ("prefill", "decode"))
    return {"prefill_tokens_per_s": PROMPT / prefill, "decode_tokens_per_s": (NEW - 1) / decode}


def ours(folder: Path) -> dict[str, float]:
    """The same of one process of costlib's worker."""
    from costlib.isolate import run_isolated

    arguments: dict[str, Any] = {
        "model": f"path:{folder}", "precision": "bf16", "engine": "eager", "batch": 1, "prompt_tokens": PROMPT,
        "output_tokens": NEW, "device": "cpu", "slice_s": 5.0, "minimum_iterations": 3, "maximum_iterations": 100,
        "seed": 0,
    }  # fmt: skip
    value = run_isolated("costlib.measure.worker:measure_once", arguments, timeout_s=600).value or {}
    prefill, decode = statistics.median(value["ttft_s"]), statistics.median(value["decode_s"])
    return {"prefill_tokens_per_s": PROMPT / prefill, "decode_tokens_per_s": (NEW - 1) / decode}


def main() -> int:
    """Alternate, compare, print."""
    from costlib.models import demo

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of the environment with optimum-benchmark")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = demo.ensure()
    rounds = [(peer(arguments.python, folder), ours(folder)) for _ in range(arguments.rounds)]
    result, ok = {}, True
    for name in ("prefill_tokens_per_s", "decode_tokens_per_s"):
        theirs, own = (statistics.median(pair[side][name] for pair in rounds) for side in (0, 1))
        ratios = [mine[name] / other[name] for other, mine in rounds]
        result[name] = {"optimum_benchmark": theirs, "costlib": own, "ratio": statistics.median(ratios), "all": ratios}
        ok &= abs(statistics.median(ratios) - 1) <= ALLOWED
        print(f"{name}: optimum-benchmark {theirs:.2f}, costlib {own:.2f}, ratio {statistics.median(ratios):.3f}")
    print(json.dumps({"ok": ok, "rounds": len(rounds), **result}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
