"""What the measuring loop adds to a bare loop over the same model: at most 1 %.

    python benchmarks/harness.py [--rounds 15] [--output-tokens 32]

The bare loop is what anyone would write: one prefill, then one token at a time, no clock inside. The harness is the
loop of the worker: the same with its clock readings, synchronisations, the check for disturbances, the count of the
cache's bytes and the step it reports. In one process the two take turns in random order on the same prompt; the ratio
is that of each pair, and the median over pairs is the result. A large model hides the harness, so a small random one is
measured too: it has the shortest steps and shows the cost per token at its worst.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from costlib.environment import device_name
from costlib.isolate import step
from costlib.measure.device import open_device
from costlib.measure.engines import Eager, Shape

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


def ratios(model: Any, device: str, rounds: int, output_tokens: int) -> list[float]:
    """Seconds of the harness over seconds of the bare loop, pair by pair."""
    import torch

    hardware = open_device(device)
    shape = {"batch": 1, "prompt_tokens": 32, "output_tokens": output_tokens}
    eager = Eager(model, hardware, Shape(**shape))
    disturbance = hardware.disturbance()

    def harness(seed: int) -> None:
        eager.run(seed)
        disturbance.reason()
        step("iteration")

    found = []
    with torch.inference_mode():
        for seed in range(rounds + 1):
            seconds = {}
            for work in random.Random(seed).sample([harness, lambda seed: bare(model, **shape, seed=seed)], 2):
                hardware.synchronize()
                started = time.perf_counter()
                work(seed)
                hardware.synchronize()
                seconds[work is harness] = time.perf_counter() - started
            found.append(seconds[True] / seconds[False])
    return found[1:]  # the first pair warms up


def main() -> int:
    """Print a line per model and one JSON document; 1 where the harness costs more than 1 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output-tokens", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    from costlib.models.load import load_model

    results = {}
    for name, rounds in (("demo:gemma-3-270m", arguments.rounds), ("small random Llama", arguments.rounds * 10)):
        demo = name.startswith("demo:")
        with tempfile.TemporaryDirectory() as folder:
            model = load_model(name, "bf16", arguments.device).model if demo else small_model(Path(folder))
        found = ratios(model.to(arguments.device), arguments.device, rounds, arguments.output_tokens)
        middle = statistics.median(found)
        quarter, _, three = statistics.quantiles(found, n=4)
        results[name] = {"ratio": middle, "quartiles": [quarter, three], "pairs": len(found)}
        half = f"middle half of {len(found)} pairs {quarter:.4f} to {three:.4f}"
        print(f"{name}: harness over bare loop {middle:.4f}, {half}")
    ok = all(result["ratio"] <= LIMIT for result in results.values())
    print(json.dumps({"ok": ok, "device": device_name(arguments.device), "models": results}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
