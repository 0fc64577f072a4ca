"""One measurements row from the raw runs of a configuration: speeds, memory, energy, what bounds it, and every reason.

Whatever number a row lacks, it says why: `reasons` holds one entry for each unknown column and for each missing
interval, so that nothing in a report is blank without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from costlib.measure.device import FOREIGN
from costlib.measure.estimate import CONFIGURATION, MAXIMUM_PROCESSES, ends, estimate, precise, sureness, usable
from costlib.measure.roofline import judged, shares
from costlib.tables import MEASUREMENTS
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

_LAST = (
    "weight_bytes", "weight_bytes_expected", "kv_cache_bytes", "kv_cache_bytes_expected", "memory_reasons",
    "modules_converted", "modules_total", "bytes_by_dtype", "kernel", "attention", "compute_dtype", "weights_note",
    "energy_scope", "energy_reason", "spec_bytes_per_s", "spec_flops_per_s", "decode_bytes", "decode_flops",
    "prefill_bytes", "prefill_flops", "power_limit_w", "environment", "fingerprint",
)  # fmt: skip
"""Columns that are the same in every process, read from the last one."""
_LARGEST = (
    "allocator_allocated_peak_bytes", "allocator_reserved_peak_bytes", "process_peak_bytes",
    "device_over_idle_peak_bytes", "load_peak_bytes", "ceiling_bytes_per_s", "ceiling_flops_per_s",
)  # fmt: skip
_MEDIAN = ("load_s", "compile_s", "warmup_s")
_OVERLAP = "continuous batching: prefill and decode of different requests overlap"


def summarise(runs: pd.DataFrame, largest_batch: int | None = None) -> dict[str, Any]:
    """One measurements row from the runs of one configuration in one campaign.

    `largest_batch` is what is known of other batches: the largest that ran where a larger one did not fit.
    """
    newest, ok, failed = runs.iloc[-1], runs[runs["status"] == "ok"], runs[runs["status"] != "ok"]
    row: dict[str, Any] = {name: newest[name] for name in (*CONFIGURATION, "campaign", "fingerprint", "environment")}
    row |= {"kind": "measured", "run_ids": " ".join(runs["run_id"]), "measured_at": newest["started_at"]}
    row |= {"processes": len(ok), "largest_batch": largest_batch}
    if ok.empty:
        reason = "no process finished" if is_null(newest["reason"]) else newest["reason"]
        return row | {"status": newest["status"], "reason": reason}
    row |= {name: ok.iloc[-1][name] for name in _LAST}
    limited = ok[ok["ceiling_bytes_per_s"].notna()]
    row |= {name: (limited if len(limited) else ok).iloc[-1][name] for name in ("ceiling_reason", "ceiling_product")}
    row |= {name: ok[name].max() for name in _LARGEST}
    row |= {name: float(ok[name].median()) for name in _MEDIAN if ok[name].notna().any()}
    row["power_capped_share"] = ok["power_capped_share"].mean()
    reserved = row["allocator_reserved_peak_bytes"]
    row["peak_bytes"] = row["process_peak_bytes"] if is_null(reserved) else reserved
    row |= {"status": "ok", "reason": None}
    if len(failed):
        row["reason"] = f"{len(failed)} of {len(runs)} processes failed: {failed.iloc[-1]['reason']}"
    row |= _speeds(ok, len(runs)) | _energy(ok)
    row |= _why(row, ok["host_share"].mean() if ok["host_share"].notna().any() else None)
    return row | {"reasons": json.dumps(_reasons(row), sort_keys=True)}


def sizes_of(runs: pd.DataFrame) -> tuple[int, int, int]:
    """Batch, prompt tokens and new tokens of the runs of one configuration."""
    batch, prompt, new = (int(runs.iloc[0][name]) for name in ("batch", "prompt_tokens", "output_tokens"))
    return batch, prompt, new


def speeds_of(runs: pd.DataFrame) -> tuple[dict[str, list[list[float]]], str | None]:
    """Samples of every speed by process, the one that decides last; and the note of `undisturbed`.

    Phases of different requests overlap in batches, and one new token has no decode.
    """
    batch, prompt, new = sizes_of(runs)
    samples, note = usable(runs)
    totals = [[a + b for a, b in zip(*sample, strict=True)] for sample in samples]
    firsts, rests = ([sample[part] for sample in samples] for part in (0, 1))

    def rates(tokens: float, seconds: Sequence[Sequence[float]]) -> list[list[float]]:
        return [[tokens / each for each in process] for process in seconds]

    if runs.iloc[0]["engine"] == "batched":
        return {"ttft_s": firsts, "end_to_end_tokens_per_s": rates(batch * new, totals)}, note
    found = {
        "end_to_end_tokens_per_s": rates(batch * new, totals),
        "prefill_tokens_per_s": rates(batch * prompt, firsts),
        "ttft_s": firsts,
    }
    if new > 1:
        found["tpot_s"] = [[each / (new - 1) for each in process] for process in rests]
        found["decode_tokens_per_s_per_user"] = rates(new - 1, rests)
        found["decode_tokens_per_s"] = rates(batch * (new - 1), rests)
    return found, note


def _speeds(ok: pd.DataFrame, started: int) -> dict[str, Any]:
    found, note = speeds_of(ok)
    row: dict[str, Any] = {}
    for name, samples in found.items():
        known = estimate(samples)
        assert known is not None  # an ok run holds at least one iteration
        row |= ends(name, known) | {"relative_half_width": known.relative_half_width}
    decisive = list(found.values())[-1]
    why = "a failed process" if started > len(ok) else "time budget"
    if precise(decisive):
        why = "precision"
    elif started == len(ok) >= MAXIMUM_PROCESSES:
        why = "process limit"
    notes = [note, _OVERLAP if ok.iloc[0]["engine"] == "batched" else None]
    if sizes_of(ok)[2] == 1 and not notes[1]:
        notes.append("one new token: there is no decode phase")
    row |= sureness(len(ok), notes, [flag for flags in ok["flags"] for flag in flags])
    return row | {"samples": sum(map(len, decisive)), "stopped_by": why}


def _energy(ok: pd.DataFrame) -> dict[str, Any]:
    """Energy of the windows, and net per token of output and of all."""
    batch, prompt, new = sizes_of(ok)
    tokens = {"energy_j_per_output_token": batch * new, "energy_j_per_token": batch * (prompt + new)}
    return energy_columns(ok.to_dict("records"), [len(times) for times in ok["ttft_s"]], tokens)


def energy_columns(
    windows: Sequence[Mapping[Any, Any]], passes: Sequence[int], tokens: Mapping[str, int]
) -> dict[str, Any]:
    """Columns of energy, from one window for each process and how often it did the work; null with the reason else.

    A window has the raw columns energy_j, energy_idle_w, energy_window_s, energy_scope, energy_reason and flags.
    `tokens` says for each column of J per token how many tokens one pass is. A window in which something else used the
    device holds that energy, too, and is left out.
    """
    known = [(w, count) for w, count in zip(windows, passes, strict=True) if not is_null(w["energy_j"])]
    if not known:
        return {}
    flag = FOREIGN.get(str(known[0][0]["energy_scope"]), "")
    own = [(w, n) for w, n in known if not (flag and any(text.startswith(flag) for text in w["flags"]))]
    if not own:
        return {"energy_reason": f"{flag} in every window, and its energy cannot be told apart"}
    gross = sum(float(w["energy_j"]) for w, _ in own)
    if any(is_null(w["energy_idle_w"]) for w, _ in own):
        return {"energy_gross_j": gross, "energy_reason": "idle power was not measured, so there is no net energy"}
    idles = [float(w["energy_idle_w"]) * float(w["energy_window_s"]) for w, _ in own]
    found: dict[str, Any] = {"energy_gross_j": gross, "energy_idle_j": sum(idles)}
    net_j, note = gross - sum(idles), own[-1][0]["energy_reason"]
    if net_j <= 0:
        return found | {"energy_reason": "net energy is not above idle: the window cannot tell them apart"}
    found |= {"energy_net_j": net_j, "energy_reason": note if isinstance(note, str) else None}
    nets = [float(w["energy_j"]) - idle for (w, _), idle in zip(own, idles, strict=True)]
    for name, count in tokens.items():
        found[name] = net_j / (sum(n for _, n in own) * count)
        if min(nets) > 0:  # else no interval: a process told nothing apart
            found |= ends(name, estimate([[net / (n * count)] for net, (_, n) in zip(nets, own, strict=True)]))
    return found


def _why(row: dict[str, Any], host_share: float | None) -> dict[str, Any]:
    """Shares of the ceilings and what bounds decode and prefill; above the bandwidth or a data sheet it is invalid."""
    out: dict[str, Any] = {}
    if (step_s := row.get("tpot_s")) and not is_null(row["decode_bytes"]):
        out |= shares(row, "decode", step_s, host_share=host_share)
        if not is_null(row["spec_bytes_per_s"]):
            out["mbu_spec"] = row["decode_bytes"] / step_s / row["spec_bytes_per_s"]
            out["mfu_spec"] = row["decode_flops"] / step_s / row["spec_flops_per_s"]
    if row.get("prefill_tokens_per_s"):
        out |= shares(row, "prefill", row["ttft_s"], "prefill_")
    # The data sheet is of 16 bit; where integers are multiplied, a device may do more of them.
    hard = ["mbu", "mbu_spec"] + ([] if str(row["precision"]).startswith("int8") else ["mfu_spec"])
    return out | judged({name: share for name, share in out.items() if not name.endswith("bound")}, hard)


def _reasons(row: dict[str, Any]) -> dict[str, str]:
    """Why each unknown number is unknown, and why a known one has no interval."""
    memory = json.loads(row["memory_reasons"]) if isinstance(row["memory_reasons"], str) else {}
    memory.setdefault("peak_bytes", memory.get("process_peak_bytes", "not counted by this engine"))
    memory.setdefault("kv_cache_bytes", "this engine does not show its cache")
    memory.setdefault("kv_cache_bytes_expected", memory["kv_cache_bytes"])
    interval = str(row["interval_reason"] or "a single process")
    ceiling = row["ceiling_reason"] if isinstance(row["ceiling_reason"], str) else None
    on_gpu = json.loads(row["environment"]).get("device_kind") == "cuda"
    sheet = "no data sheet of this device in data/devices.csv"
    energy = row["energy_reason"] if isinstance(row["energy_reason"], str) else "no energy was counted"
    rules = {
        "energy_": energy,
        "power_": "the driver does not tell" if on_gpu else "the power limit of a CPU is not read",
        "largest_batch": (
            "no batch 5 % larger than one that ran was seen not to fit; batch max searches while its time lasts"
        ),
        "spec_": sheet,
        "m[bf]u_spec": sheet if is_null(row["spec_bytes_per_s"]) else ceiling or "it was not measured",
        "(prefill_)?m[bf]u|ceiling_|(decode|prefill)_[bf]": ceiling or interval,
        "compile_s": f"the {row['engine']} engine compiles nothing",
        "modules_": "the engine has no torch modules",
        ".*_bytes(_expected)?$": None,
    }
    found = {}
    for column in MEASUREMENTS.columns:
        name = column.name
        if column.type not in ("number", "integer") or not is_null(row.get(name)):
            continue
        known = re.sub("_(low|high)$", "", name)
        why = next((why for pattern, why in rules.items() if re.match(pattern, name)), interval)
        found[name] = why or memory.get(name, "not counted by this engine")
        if name.startswith("energy_") and known != name and not is_null(row.get(known)):
            found[name] = "fewer than two processes with energy above idle"
    return found
