"""The card of a measurement: the number, its interval, the ceiling beside it, what flatters it and what to do next."""

from __future__ import annotations

import json
from typing import Any

from costlib.cli.show import number
from costlib.measure.device import REASON_CODES

Row = dict[str, Any]
_NEXT = {
    "time budget": "the interval is wider than 2 %: give it more --time-budget-s",
    "other processes used the CPU": "close other programs and measure again with --fresh",
    "CPU time stolen by the host": "the virtual machine shares its cores: measure on a quieter one, or for longer",
    "another process used the GPU": "stop the other process and measure again with --fresh",
    "thermal slowdown": "cool the machine and measure again with --fresh",
}


def card(row: Row) -> list[str]:
    """The lines of one row, within 80 columns where the numbers allow."""
    tokens = f"{row['prompt_tokens']} + {row['output_tokens']} tokens"
    title = f"{row['precision']} {row['engine']}, batch {row['batch']}, {tokens}"
    if row["status"] != "ok":
        return [f"{title}: {row['status']}", f"  {row['reason']}"]
    reasons = json.loads(row["reasons"])
    lines = [title]

    def line(label: str, name: str, unit: str, scale: float = 1.0, after: str = "") -> None:
        shown = number(row, name, f" {unit}", scale)
        why = REASON_CODES.get(code := str(reasons.get(name)), code)
        lines.append(f"  {label:<18}{f'unknown: {why}' if shown == '-' else shown}{after}")

    line("decode", "decode_tokens_per_s", "tokens/s", after=_share(row, "mbu", "bound"))
    if row["batch"] > 1:
        line("of each sequence", "decode_tokens_per_s_per_user", "tokens/s")
    eager = " (eager)" if row["engine"] == "compiled" else ""
    line(f"prefill{eager}", "prefill_tokens_per_s", "tokens/s", after=_share(row, "prefill_mfu", "prefill_bound"))
    line("first token", "ttft_s", "s")
    line("end to end", "end_to_end_tokens_per_s", "tokens/s")
    if isinstance(row["interval_reason"], str):
        lines.append(f"  {'interval':<18}{row['interval_reason']}")
    if isinstance(row["ceiling_reason"], str):
        lines.append(f"  {'ceiling':<18}unknown: {row['ceiling_reason']}")
    if isinstance(row.get("ceiling_note"), str):
        lines.append(f"  {'ceiling':<18}{row['ceiling_note']}")
    if isinstance(row.get("compute_dtype"), str) and row["compute_dtype"] != row["precision"]:
        lines.append(f"  {'multiplied at':<18}{row['compute_dtype']}")
    line("weights", "weight_bytes", "GB", 1e-9)
    line("key-value cache", "kv_cache_bytes", "GB", 1e-9)
    line("peak", "peak_bytes", "GB", 1e-9)
    if number(row, "largest_batch") != "-":
        lines.append(f"  {'largest batch':<18}{int(row['largest_batch']):,} sequences")
    line("energy", "energy_j_per_output_token", "J per new token, net")
    times = {"load": "load_s", "compile": "compile_s", "warm-up": "warmup_s"}
    known = [f"{label} {number(row, name)} s" for label, name in times.items() if number(row, name) != "-"]
    lines.append(f"  {'cold start':<18}{', '.join(known)}")
    counted = [_counted(row["processes"], "process", "processes"), _counted(row["samples"], "sample", "samples")]
    if row["flagged_samples"]:
        counted.append(f"{row['flagged_samples']} disturbed and left {'in' if _busy(row) else 'out'}")
    lines.append(f"  {'sure because':<18}{', '.join(counted)}, stopped by {row['stopped_by']}")
    if isinstance(row["reason"], str):
        lines.append(f"  {'note':<18}{row['reason']}")
    facts = json.loads(row["environment"])
    gpu = facts.get("gpu")
    if why := facts.get("gpu_unused"):
        lines.append(f"  {'note':<18}measured on the CPU: {why}")
    if gpu and facts.get("native_16_bit"):
        lines.append(f"  {'note':<18}this GPU has no bf16, so 16-bit means fp16")
    lines += [f"  {'flattered by':<18}{text}" for text in flatters(row)]
    lines += [f"  {'next':<18}{text}" for text in next_steps(row)]
    return lines


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _busy(row: Row) -> bool:
    """Whether disturbed samples are in the estimate, because too few others were there."""
    return isinstance(row["interval_reason"], str) and "busy" in row["interval_reason"]


def _share(row: Row, name: str, bound: str) -> str:
    """How near the ceiling a number is: that measured beside it, and that of the data sheet."""
    value, sheet = row.get(name), row.get(f"{name}_spec")
    if value is None or value != value:
        return ""
    ceiling = "bandwidth" if name.endswith("mbu") else "product"
    quoted = "" if sheet is None or sheet != sheet else f" and {_percent(sheet)} of the data sheet's"
    limited = f" ({row[bound]} bound)" if isinstance(row.get(bound), str) else ""
    return f", {_percent(value)} of the {ceiling} measured here{quoted}{limited}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def flatters(row: Row) -> list[str]:
    """The conditions that make a number look better than it would be in service."""
    found = []
    if row["batch"] == 1:
        found.append("batch 1: one user has the device; more users share it")
    if row["prompt_tokens"] + row["output_tokens"] < 1024:
        found.append("a short context: longer ones read more keys and values")
    if isinstance(row["ceiling_reason"], str) and "fit into" in row["ceiling_reason"]:
        found.append("weights in the CPU's cache: those of a larger model come from memory")
    if isinstance(row["weights_note"], str):
        found.append(row["weights_note"])
    facts = json.loads(row["environment"])
    gpu = facts.get("gpu") or {}
    if gpu.get("power_limit_w"):
        share = row.get("power_capped_share")
        held = "" if share is None or share != share else f", which held the clocks in {share:.0%} of the samples"
        found.append(f"a power limit of {gpu['power_limit_w']:.0f} W{held}")
    return found


def next_steps(row: Row) -> list[str]:
    """What a person can do about each judgement on the row."""
    found = [_NEXT["time budget"]] if row["stopped_by"] == "time budget" else []
    flags = str(row["flags"] or "").split("; ")
    return found + [_NEXT[flag] for flag in flags if flag in _NEXT]
