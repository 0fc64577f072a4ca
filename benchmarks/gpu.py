"""Everything that only a GPU can tell, in one go: writes runs with their environment to data/measurements.

    python -m benchmarks.gpu [--minutes 9] [--store data/measurements]

An 8B shape by precision, engine and batch, a 70B shape at nf4, and an embedding shape, all with random weights of the
true shape, so no download is needed. The most telling configurations come first: batch 1 where a public figure exists,
the 70B shape, the embedding shape, then the rest of batch 1 and the other batches. Every process is in the store as
soon as it has ended, and what is in the store is not measured again, so the script can be stopped at any moment and
called again until nothing is left. A call starts no configuration in its last `LEAST_S` seconds and ends whatever runs
when `--minutes` are over. At batch 1 the compiled engine is held against public figures for an H100 (quoted, with their
source) and against the share of the data sheet's bandwidth it should reach.

With half an hour in all (three calls), the default `--budget` is meant for batch 1, the 70B and the embedding shape,
two or three processes each; `--budget 10` gets through more with one process each, and so without intervals.

Beside torch with CUDA it needs the packages of `NEEDED`, and says at once which of them are missing, or why torch
cannot use the GPU.

It has not run on a GPU yet: the tests run its whole path on a CPU, as `--tiny FOLDER --device cpu` does on a small
model.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

SMALL, LARGE, EMBEDDING = "random:llama-3.1-8b", "random:llama-3.1-70b", "random:e5-mistral-7b"
TINY_EMBEDDING = "random:all-minilm-l6-v2"
NEEDED = (
    "torch", "transformers", "accelerate", "bitsandbytes", "torchao", "pynvml", "psutil", "pandas", "pyarrow", "scipy",
)  # fmt: skip
LEAST_S = 75.0
"""Seconds a process needs at least to load, warm up and be timed."""
PRECISIONS = ("bf16", "int8wo", "int4wo", "nf4", "int8")
ENGINES = ("compiled", "eager")
BATCHES = (1, 32, 8, 128)
PROMPT, NEW = 128, 128
TARGETS = {
    ("bf16", "compiled"): (0.65, 126.9),
    ("int8wo", "compiled"): (0.60, 198.9),
    ("int4wo", "compiled"): (0.45, 241.4),
    ("bf16", "eager"): (None, 40.99),
}
"""Share of the data sheet's bandwidth to reach, and the public decode speed of an 8B model at batch 1 on an H100 in
tokens/s (torchao's and gpt-fast's published benchmarks; quoted in data/speeds.csv where they have a row)."""


class OutOfTimeError(Exception):
    """The minutes of this call are over."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` in the middle of whatever runs after `seconds`; the child of a measurement ends with it.

    A limit for each process would not do: a configuration is of several.
    """

    def ring(*_: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def configurations(small: str, large: str | None, embedding: str) -> list[tuple[str, str, str, int]]:
    """Model, precision, engine and batch, the most telling first; `embed` stands for the embedding shape."""
    public = [("compiled", held) for held in ("bf16", "int8wo", "int4wo")]
    public += [("eager", held) for held in ("bf16", "nf4", "int8")]
    rest = [pair for pair in product(ENGINES, PRECISIONS) if pair not in public]
    first = [(small, held, engine, 1) for engine, held in public if engine in ENGINES]
    big = [(large, "nf4", "eager", 1)] if large else []
    embed = [(embedding, held, "embed", 32) for held in ("bf16", "int8", "nf4")]
    last = [(small, held, engine, 1) for engine, held in rest]
    last += [(small, held, engine, batch) for batch in BATCHES[1:] for engine, held in product(ENGINES, PRECISIONS)]
    return [*first, *big, *embed, *last]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure until the minutes are over; returns what was measured, and what is left or was broken off."""
    tiny = arguments.tiny
    wanted = configurations(*((f"path:{tiny}", None, TINY_EMBEDDING) if tiny else (SMALL, LARGE, EMBEDDING)))
    end, measured, left = time.monotonic() + 60 * arguments.minutes, 0, list(wanted)
    try:
        with at_most(60 * arguments.minutes):
            for configuration in wanted:
                if (seconds := end - time.monotonic()) < LEAST_S:
                    break
                for row in rows_of(configuration, arguments, seconds):
                    measured += 1
                    print(said(row), flush=True)
                left.remove(configuration)
    except OutOfTimeError:
        print(f"out of time in {' '.join(map(str, left[0]))}; its finished processes are kept", flush=True)
    return {"measured": measured, "left": [list(configuration) for configuration in left],
            "store": str(arguments.store)}  # fmt: skip


def rows_of(configuration: Any, arguments: argparse.Namespace, seconds: float) -> list[dict[str, Any]]:
    """The rows of one configuration; one that is refused is a row, too."""
    from costlib.errors import CostlibError

    try:
        return (embeddings if configuration[2] == "embed" else speeds)(configuration, arguments, seconds)
    except CostlibError as error:
        names = ("model", "precision", "engine", "batch")
        return [dict(zip(names, configuration, strict=True)) | {"status": "refused", "reason": str(error)}]


def speeds(configuration: Any, arguments: argparse.Namespace, seconds: float) -> list[dict[str, Any]]:
    """One generating configuration, at most `seconds` in any of its processes."""
    from costlib.measure.run import measure

    model, held, engine, batch = configuration
    prompt, new = (8, 4) if arguments.tiny else (PROMPT, NEW)
    # The first process of the compiled engine compiles for a minute, and the next is expected to take as long; twice
    # the budget is what it needs for the three processes of an interval.
    budget = arguments.budget * (2 if engine == "compiled" and batch == 1 else 1)
    rows = measure(
        model, held, engine=engine, batch=batch, prompt_tokens=prompt, output_tokens=new, device=arguments.device,
        store=arguments.store, time_budget_s=min(budget, seconds / 3), timeout_s=seconds,
    )  # fmt: skip
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def embeddings(configuration: Any, arguments: argparse.Namespace, seconds: float) -> list[dict[str, Any]]:
    """The embedding shape on paragraphs of the prose every Python ships."""
    import tempfile
    from pydoc_data.topics import topics

    from costlib.measure.embed import embed

    model, held, engine, batch = configuration
    paragraphs = [" ".join(part.split()) for text in topics.values() for part in text.split("\n\n")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paragraphs.txt"
        file.write_text("\n".join(dict.fromkeys(p for p in paragraphs if len(p) > 200)), encoding="utf-8")
        rows = embed(
            model, held, text=file, batch=batch, documents=64 if arguments.tiny else 512,
            device=arguments.device, store=arguments.store, time_budget_s=min(arguments.budget, seconds / 3),
            timeout_s=seconds,
        )  # fmt: skip
    return [{str(key): value for key, value in row.items()} | {"engine": engine} for row in rows.to_dict("records")]


def said(row: dict[str, Any]) -> str:
    """One line: speed, bound, share of the bandwidths, energy, and the target beside it."""
    what = f"{row['model']} {row['precision']} {row['engine']} batch {row['batch']}"
    if row["status"] != "ok":
        return f"{what}: {row['status']}: {row['reason']}"
    if row["engine"] == "embed":
        joules = row["energy_j_per_token"]
        energy = f", {joules:.3g} J per token" if joules == joules else ""
        share = f", {row['mfu']:.0%} of the measured product" if row["mfu"] == row["mfu"] else ""
        return f"{what}: {row['documents_per_s']:.1f} documents/s, bound {row['bound']}{share}{energy}"
    parts = [f"{row['decode_tokens_per_s']:.1f} tokens/s", f"bound {row['bound']}"]
    if row["mbu_spec"] == row["mbu_spec"]:
        parts.append(f"{row['mbu_spec']:.0%} of the data sheet's bandwidth, {row['mbu']:.0%} of the measured one")
    if row["power_capped_share"] == row["power_capped_share"]:
        parts.append(f"{row['power_limit_w']:.0f} W held the clocks in {row['power_capped_share']:.0%} of the samples")
    if row["energy_j_per_output_token"] == row["energy_j_per_output_token"]:
        parts.append(f"{row['energy_j_per_output_token']:.3g} J per new token")
    share, public = TARGETS.get((row["precision"], row["engine"]), (None, None))
    if row["batch"] == 1 and row["model"] == SMALL and public:
        parts.append(f"public figure on an H100 {public} tokens/s" + (f", aim {share:.0%}" if share else ""))
    return f"{what}: " + ", ".join(parts)


def main() -> None:
    """Measure, then print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument(
        "--budget", type=float, default=40.0, help="seconds for each configuration; up to 3 times that for an interval"
    )
    parser.add_argument("--store", type=Path, default=Path("data/measurements"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", type=Path, help="folder of a small model, to test this script")
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        parser.error(f"packages are missing: {', '.join(missing)}")
    if arguments.device.startswith("cuda"):
        from costlib.environment import look

        if why := look(arguments.device).unusable:
            parser.error(why)
    print(json.dumps(run(arguments)))


if __name__ == "__main__":
    main()
