"""What the measuring loop adds to a bare loop over the same model: at most 1 %.

    python -m benchmarks.harness [--rounds 25] [--output-tokens 32]

The bare loop is what anyone would write: one prefill, then one token at a time, no clock inside. The harness is the
eager engine as the worker runs it, with its clock readings and synchronisations, and the extras of an iteration: the
check for disturbances and the step it reports. In one process they take turns in random order on the same prompt, and
the bare loop runs twice, so that the spread of two equal things (A/A) stands beside the ratio. On a noisy machine the
ratio cannot show 1 %; so the extras are timed alone, too, as a share of an iteration. A large model hides the harness,
so a small random one is measured as well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from costlib.environment import device_name
from costlib.isolate import step
from costlib.measure.device import open_device
from costlib.measure.engines import Eager
from costlib.measure.iteration import Shape

LIMIT = 1.01


def bare(model: Any, batch: int, prompt_tokens: int, output_tokens: int, seed: int) -> None:
    """Greedy generation with nothing around it."""
    import torch
    from transformers import DynamicCache

    generator = torch.Generator().manual_seed(seed)
    vocabulary = model.config.get_text_config().vocab_size
    tokens = torch.randint(0, vocabulary, (batch, prompt_tokens), generator=generator).to(model.device)
    cache = DynamicCache(config=model.config)
    for _ in range(output_tokens):
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1, :].argmax(dim=-1, keepdim=True)
    tokens.cpu()


def small_model(folder: Path) -> Any:
    """A four-layer Llama of random weights, 256 wide."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=4, vocab_size=8192
    )
    return transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()


def ratios(model: Any, device: str, rounds: int, output_tokens: int) -> dict[str, list[float]]:
    """Of each round: harness over bare loop, bare loop over bare loop (A/A), and the extras' share of a bare loop."""
    import torch

    hardware = open_device(device)
    shape = {"batch": 1, "prompt_tokens": 32, "output_tokens": output_tokens}
    eager = Eager(model, hardware, Shape(**shape))
    disturbance = hardware.disturbance()

    def extras() -> None:
        disturbance.reason()
        step("iteration")

    def harness(seed: int) -> None:
        eager.run(seed)
        extras()

    def loop(seed: int) -> None:
        with torch.inference_mode():
            bare(model, **shape, seed=seed)

    def seconds(work: Any, *given: int) -> float:
        hardware.synchronize()
        started = time.perf_counter()
        work(*given)
        hardware.synchronize()
        return time.perf_counter() - started

    found: dict[str, list[float]] = {"harness": [], "A/A": [], "extras": []}
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"COSTLIB_CHILD_FOLDER": folder}):
        for seed in range(rounds + 1):
            order = random.Random(seed).sample(["harness", "one", "other"], 3)
            took = {name: seconds(harness if name == "harness" else loop, seed) for name in order}
            if seed:  # the first round warms up
                found["harness"].append(took["harness"] / took["one"])
                found["A/A"].append(took["other"] / took["one"])
                found["extras"].append(seconds(extras) / took["one"])
    return found


def main() -> int:
    """Print a line per model and one JSON document; 1 where the harness is shown to cost more than 1 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--output-tokens", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    import numpy as np

    from costlib.models.load import load_model

    results: dict[str, Any] = {}
    for name, rounds in (("demo:gemma-3-270m", arguments.rounds), ("small random Llama", arguments.rounds * 6)):
        with tempfile.TemporaryDirectory() as folder:
            demo = name.startswith("demo:")
            model = load_model(name, "bf16", arguments.device).model if demo else small_model(Path(folder))
        found = ratios(model.to(arguments.device), arguments.device, rounds, arguments.output_tokens)
        draws = np.random.default_rng(0).choice(found["harness"], size=(2000, rounds))
        low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
        middle = {of: statistics.median(values) for of, values in found.items()}
        spread = {of: statistics.quantiles(values, n=4)[::2] for of, values in found.items()}
        results[name] = {"pairs": rounds, "median": middle, "middle_half": spread, "interval": [low, high]}
        print(
            f"{name}: harness over bare loop {middle['harness']:.4f} [{low:.4f}, {high:.4f}], A/A {middle['A/A']:.4f} "
            f"(middle half {spread['A/A'][0]:.4f} to {spread['A/A'][1]:.4f}), extras alone {middle['extras']:.3%}, "
            f"{rounds} rounds"
        )
    ok = all(row["interval"][0] <= LIMIT and row["median"]["extras"] <= LIMIT - 1 for row in results.values())
    print(json.dumps({"ok": ok, "device": device_name(arguments.device), "models": results}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
