"""Everything that only a GPU can tell, in one go: writes runs with their environment to data/measurements.

    python -m benchmarks.gpu [--minutes 9] [--store data/measurements]

An 8B shape by precision, engine and batch, a 70B shape at nf4, and an embedding shape, all with random weights of the
true shape, so no download is needed. The most telling configurations come first. What is in the store is not measured
again, so the script can be called again and again until nothing is left; each call ends after `--minutes`. At batch 1
the compiled engine is held against public figures for an H100 (quoted, with their source) and against the share of the
data sheet's bandwidth it should reach.

`--tiny FOLDER --device cpu` runs the same path on a small model, to test the script itself.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

SMALL, LARGE, EMBEDDING = "random:llama-3.1-8b", "random:llama-3.1-70b", "random:e5-mistral-7b"
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


def configurations(small: str, large: str | None) -> list[tuple[str, str, str, int]]:
    """Model, precision, engine and batch, the most telling first."""
    first = [(small, held, engine, 1) for engine, held in product(ENGINES, PRECISIONS)]
    big = [(large, "nf4", "eager", 1)] if large else []
    rest = [(small, held, engine, batch) for batch in BATCHES[1:] for engine, held in product(ENGINES, PRECISIONS)]
    return [*first, *big, *rest]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure until the minutes are over; returns what was measured and what is left."""
    from costlib.errors import CostlibError
    from costlib.measure.run import measure

    started, done, left = time.monotonic(), [], []
    small = f"path:{arguments.tiny}" if arguments.tiny else SMALL
    prompt, new = (8, 4) if arguments.tiny else (PROMPT, NEW)
    for model, held, engine, batch in configurations(small, None if arguments.tiny else LARGE):
        if time.monotonic() - started > 60 * arguments.minutes:
            left.append([model, held, engine, batch])
            continue
        try:
            rows = measure(
                model, held, engine=engine, batch=batch, prompt_tokens=prompt, output_tokens=new,
                device=arguments.device, store=arguments.store, time_budget_s=arguments.budget, timeout_s=540,
            )  # fmt: skip
        except CostlibError as error:
            done.append({"model": model, "precision": held, "engine": engine, "batch": batch, "status": str(error)})
            continue
        row = {str(key): value for key, value in rows.iloc[0].to_dict().items()}
        done.append(row)
        print(said(row), flush=True)
    if not arguments.tiny and not left:
        embeddings(arguments)
    return {"measured": len(done), "left": left, "store": str(arguments.store)}


def embeddings(arguments: argparse.Namespace) -> None:
    """The embedding shape on paragraphs of the prose every Python ships, at the precisions that have one."""
    import tempfile
    from pydoc_data.topics import topics

    from costlib.door import embed

    paragraphs = [" ".join(part.split()) for text in topics.values() for part in text.split("\n\n")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paragraphs.txt"
        file.write_text("\n".join(dict.fromkeys(p for p in paragraphs if len(p) > 200)), encoding="utf-8")
        rows, _ = embed(
            EMBEDDING, ["bf16", "int8", "nf4"], text=file, usd_per_hour=1.0, device=arguments.device,
            store=arguments.store,
        )  # fmt: skip
    print(rows.to_string())


def said(row: dict[str, Any]) -> str:
    """One line: speed, bound, share of the bandwidths, energy, and the target beside it."""
    what = f"{row['model']} {row['precision']} {row['engine']} batch {row['batch']}"
    if row["status"] != "ok":
        return f"{what}: {row['status']}: {row['reason']}"
    parts = [f"{row['decode_tokens_per_s']:.1f} tokens/s", f"bound {row['bound']}"]
    if row["mbu_spec"] == row["mbu_spec"]:
        parts.append(f"{row['mbu_spec']:.0%} of the data sheet's bandwidth, {row['mbu']:.0%} of the measured one")
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
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each configuration")
    parser.add_argument("--store", type=Path, default=Path("data/measurements"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", type=Path, help="folder of a small model, to test this script")
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
