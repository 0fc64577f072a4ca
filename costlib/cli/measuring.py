"""Cards about this machine and language models: doctor, measure, memory, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costlib.cli.card import card
from costlib.cli.show import Card, Table, number, records

if TYPE_CHECKING:
    import pandas as pd

    from costlib.measure.compare import Comparison


def doctor(found: dict[str, Any], asked: Any) -> Card:
    """Example: costlib doctor --json"""
    yield found
    energy, cuda = found["energy"], found["cuda"]
    kinds = [name for name in ("fp32", "bf16", "fp16") if found["arithmetic"].get(name, True)]
    rows = [
        ["measurements run on", found["device"]["name"]],
        ["multiplies natively", ", ".join(kinds)],
        *([width, f"{one['name']}, {one['why']}"] for width, one in found["arithmetic"]["precisions"].items()),
        ["memory", f"{found['memory_bytes']['total'] / 1024**3:.0f} GiB"],
        ["CUDA", "yes" if cuda["available"] else f"no: {cuda['reason']}"],
        ["energy", energy["scope"] if energy["available"] else f"no: {energy['reason']}"],
    ]
    for name, demo in found["demo_models"].items():
        rows.append([name, "installed" if demo["installed"] else f"missing: {demo['add']}"])
        rows.append(["terms of use", demo["terms"]])
    rows += [[name, one["version"] or f"missing: {one['add']}"] for name, one in found["packages"].items()]
    for name, one in found["extras"].items():
        rows.append([f"{name}, for {one['for']}", one["version"] or f"optional: {one['add']}"])
    yield Table("costlib doctor", ["what", "found"], [*rows, ["store", found["store"]]])


def measure(rows: pd.DataFrame, asked: Any) -> Card:
    """Example: costlib measure demo:gemma-3-270m --precision bf16,int8,nf4 --batch 1 --output-tokens 32"""
    yield {"rows": rows, "kind": "measured"}
    yield f"{asked.model} on {rows.iloc[0]['device']}; measured; [95 % interval over processes]"
    for row in records(rows):
        yield "\n" + "\n".join(card(row))


def compare(found: Comparison, asked: Any) -> Card:
    """Example: costlib compare precision=bf16 precision=nf4 --across precision"""
    yield {**vars(found), "kind": "derived"}
    rows, sides = records(found.rows), ("first", "second", "ratio")
    body = [[f"{r['metric']}, {r['unit']}", *(number(r, side) for side in sides), r["verdict"]] for r in rows]
    described = (found.second, found.first)
    title = " against ".join(f"{side['precision']} {side['engine']} batch {side['batch']}" for side in described)
    taken = "paired by round" if found.interleaved else "measured in two calls"
    caption = f"[95 % interval over processes]; ratio: second over first, {taken}; verdict on it, at p < 0.02"
    yield Table(title, ["metric", *sides, "verdict"], body, caption)
    yield from dict.fromkeys(f"  note: {row['reason']}" for row in rows if isinstance(row["reason"], str))


_OTHER = {"every weight at its bits": "uniform", "the same with state": "uniform_with_state"}


def memory(found: list[dict[str, Any]], asked: Any) -> Card:
    """Example: costlib memory llama-3.1-70b --precision bf16,nf4 --batch 8 --context 8192"""
    yield {**(found[0] if len(found) == 1 else {}), "rows": found}
    parts = [
        "linear",
        "quantization_state",
        "expert",
        "embedding",
        "other",
        "weight",
        "kv_cache",
        "total",
        "activation",
    ]
    labels = {
        part.replace("_", " "): part for part in parts if part != "expert" or any(row["expert_bytes"] for row in found)
    }

    def lines(named: dict[str, str]) -> list[list[str]]:
        return [[name, *(f"{row[f'{part}_bytes'] / 1e9:,.3f}" for row in found)] for name, part in named.items()]

    gpus = ["smallest GPU that holds it", *((row["fits_on"] or ["none"])[0] for row in found)]
    caption = (
        "GB (10^9 bytes); derived; activations are of one prompt as long as the context and no part of the total; "
        "a GPU holds both with 10 % of its memory to spare for the CUDA context and workspace; the last two lines "
        "are what headlines count (nothing left at 16 bit)"
    )
    title = f"{asked.model}, batch {asked.batch}, {asked.context} tokens"
    columns = ["part", *(row["precision"] for row in found)]
    yield Table(title, columns, [*lines(labels), gpus, *lines(_OTHER)], caption)
