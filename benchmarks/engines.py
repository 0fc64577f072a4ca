"""The compiled engine, and llama.cpp where asked for, against eager, iteration by iteration in turn in one process.

    python -m benchmarks.engines [--model demo:gemma-3-270m] [--precision bf16] [--rounds 9] [--gguf FILE]

Prints the ratio of decode speeds (median over pairs, with the middle half) and one JSON document; exits with 1 where
compiled is not at least 1.3 times as fast. On a CPU the gain comes from weights laid out once for matrix-vector
products (inductor's freezing) and from one graph per step instead of hundreds of calls. `--gguf` adds the llamacpp
engine on a file at its own precision (it needs the [llamacpp] extra), without a limit: it reads other bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from costlib.environment import device_name
from costlib.measure import llamacpp
from costlib.measure.device import open_device
from costlib.measure.engines import Compiled, Eager
from costlib.measure.iteration import Engine, Shape
from costlib.models import gguf
from costlib.models.load import load_model
from costlib.models.precision import precision

WANTED = 1.3


def main() -> int:
    """Run the pairs and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:gemma-3-270m")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gguf", type=Path, help="file for the llamacpp engine")
    arguments = parser.parse_args()
    device, shape = open_device(arguments.device), Shape(1, 128, 32)
    model = load_model(arguments.model, arguments.precision, arguments.device).model
    engines: dict[str, Engine] = {"eager": Eager(model, device, shape), "compiled": Compiled(model, device, shape)}
    if arguments.gguf:
        held = precision(f"gguf-{gguf.read(arguments.gguf).type}")
        loaded, _ = llamacpp.load(arguments.gguf, held, shape, arguments.device)
        engines["llamacpp"] = llamacpp.LlamaCpp(loaded, device, shape)
    for engine in engines.values():
        engine.prepare(0)
    rounds = [
        {name: engine.run(seed).decode_s for name, engine in engines.items()} for seed in range(1, arguments.rounds + 1)
    ]
    print(f"{arguments.model} {arguments.precision} on {device_name(arguments.device)}, {len(rounds)} rounds")
    found: dict[str, dict[str, float | list[float]]] = {}
    for name in engines:
        ratios = [times["eager"] / times[name] for times in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed = statistics.median((shape.output_tokens - 1) / times[name] for times in rounds)
        found[name] = {"ratio": middle, "middle_half": [low, high], "decode_tokens_per_s": speed}
        print(f"{name}: {speed:.1f} tokens/s, {middle:.2f} times eager ({low:.2f} to {high:.2f})")
    ok = found["compiled"]["ratio"] >= WANTED  # type: ignore[operator]
    print(json.dumps({"ok": ok, "compile_s": engines["compiled"].compile_s, "engines": found, "pairs": len(rounds)}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
