"""The compiled engine against eager on the same loaded model, iteration by iteration in turn.

    python -m benchmarks.engines [--model demo:gemma-3-270m] [--precision bf16] [--rounds 9] [--device cpu]

Prints the ratio of decode speeds (median over pairs, with the middle half) and one JSON document; exits with 1 where
compiled is not at least 1.3 times as fast. On a CPU the gain comes from weights laid out once for matrix-vector
products (inductor's freezing) and from one graph per step instead of hundreds of calls.
"""

from __future__ import annotations

import argparse
import json
import statistics

from costlib.environment import device_name
from costlib.measure.device import open_device
from costlib.measure.engines import Compiled, Eager
from costlib.measure.iteration import Shape
from costlib.models.load import load_model

WANTED = 1.3


def main() -> int:
    """Run the pairs and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:gemma-3-270m")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device, shape = open_device(arguments.device), Shape(1, 128, 32)
    model = load_model(arguments.model, arguments.precision, arguments.device).model
    eager, compiled = Eager(model, device, shape), Compiled(model, device, shape)
    eager.prepare(0)
    compiled.prepare(0)
    pairs = [(eager.run(seed).decode_s, compiled.run(seed).decode_s) for seed in range(1, arguments.rounds + 1)]
    ratios = [slow / fast for slow, fast in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    speeds = [
        statistics.median((shape.output_tokens - 1) / times for times in side) for side in zip(*pairs, strict=True)
    ]
    print(
        f"{arguments.model} {arguments.precision} on {device_name(arguments.device)}: eager {speeds[0]:.1f}, compiled "
        f"{speeds[1]:.1f} tokens/s; compiled over eager {middle:.2f} ({low:.2f} to {high:.2f}), compiled in "
        f"{compiled.compile_s:.0f} s"
    )
    ok = middle >= WANTED
    print(json.dumps({"ok": ok, "ratio": middle, "middle_half": [low, high], "pairs": len(ratios)}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
