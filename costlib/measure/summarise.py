"""One measurements row from the raw runs of a configuration: speeds, memory, energy, what bounds it, and every reason.

Whatever number a row lacks, it says why: `reasons` holds one entry for each unknown column and for each missing
interval, so that nothing in a report is blank without a word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costlib.measure.estimate import (
    CONFIGURATION,
    MAXIMUM_PROCESSES,
    ends,
    estimate,
    precise,
    rate,
    sureness,
    usable,
)
from costlib.measure.net_energy import energy_columns
from costlib.measure.roofline import bound_of, judged
from costlib.tables import MEASUREMENTS
from costlib.tables.schema import is_null

if TYPE_CHECKING:
    import pandas as pd

_LAST = (
    "weight_bytes", "weight_bytes_expected", "kv_cache_bytes", "kv_cache_bytes_expected", "memory_reasons",
    "modules_converted", "modules_total", "bytes_by_dtype", "kernel", "attention", "compute_dtype", "weights_note",
    "energy_scope", "energy_reason", "spec_bytes_per_s", "spec_flops_per_s", "decode_bytes", "decode_flops",
    "prefill_bytes", "prefill_flops", "power_limit_w",
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
    import pandas as pd

    newest = runs.iloc[-1]
    ok = runs[runs["status"] == "ok"]
    row: dict[str, Any] = {name: newest[name] for name in CONFIGURATION}
    row |= {
        "kind": "measured",
        "campaign": newest["campaign"],
        "run_ids": " ".join(runs["run_id"]),
        "measured_at": newest["started_at"],
        "fingerprint": newest["fingerprint"],
        "environment": newest["environment"],
        "processes": len(ok),
        "largest_batch": largest_batch,
    }
    if ok.empty:
        reason = newest["reason"] if pd.notna(newest["reason"]) else "no process finished"
        return row | {"status": newest["status"], "reason": reason}
    last = ok.iloc[-1]
    row |= {name: last[name] for name in _LAST}
    limited = ok[ok["ceiling_bytes_per_s"].notna()]
    row |= {name: (limited if len(limited) else ok).iloc[-1][name] for name in ("ceiling_reason", "ceiling_product")}
    row |= {name: ok[name].max() for name in _LARGEST}
    row |= {name: float(ok[name].median()) for name in _MEDIAN if ok[name].notna().any()}
    row["power_capped_share"] = ok["power_capped_share"].mean()
    reserved = row["allocator_reserved_peak_bytes"]
    row["peak_bytes"] = row["process_peak_bytes"] if pd.isna(reserved) else reserved
    row["environment"], row["fingerprint"] = last["environment"], last["fingerprint"]
    failed = runs[runs["status"] != "ok"]
    row["status"] = "ok"
    row["reason"] = (
        None if failed.empty else f"{len(failed)} of {len(runs)} processes failed: {failed.iloc[-1]['reason']}"
    )
    row |= _speeds(ok, len(runs)) | _energy(ok)
    row |= _why(row, ok["host_share"].mean() if ok["host_share"].notna().any() else None)
    row["reasons"] = json.dumps(_reasons(row), sort_keys=True)
    return row


def _speeds(ok: pd.DataFrame, started: int) -> dict[str, Any]:
    first = ok.iloc[0]
    batch, prompt, new = int(first["batch"]), int(first["prompt_tokens"]), int(first["output_tokens"])
    samples, note = usable(ok)
    ttft = estimate([times for times, _ in samples])
    totals = [[a + b for a, b in zip(first_s, rest_s, strict=True)] for first_s, rest_s in samples]
    total = estimate(totals)
    assert ttft is not None and total is not None  # an ok run holds at least one iteration
    out = ends("ttft_s", ttft) | ends("end_to_end_tokens_per_s", rate(batch * new, total))
    deciding, decisive = ttft, [first_s for first_s, _ in samples]
    reasons = [note] if note else []
    if first["engine"] == "batched":
        deciding, decisive = total, totals
        reasons.append(_OVERLAP)
    else:
        out |= ends("prefill_tokens_per_s", rate(batch * prompt, ttft))
        if new > 1:
            decode = estimate([rest_s for _, rest_s in samples])
            assert decode is not None
            out |= ends("decode_tokens_per_s", rate(batch * (new - 1), decode))
            out |= ends("tpot_s", [None if end is None else end / (new - 1) for end in decode])
            out |= ends("decode_tokens_per_s_per_user", rate(new - 1, decode))
            deciding, decisive = decode, [rest_s for _, rest_s in samples]
        else:
            reasons.append("one new token: there is no decode phase")
    return {
        **out,
        **sureness(len(ok), reasons, [flag for flags in ok["flags"] for flag in flags]),
        "relative_half_width": deciding.relative_half_width,
        "samples": sum(len(times) for times, _ in samples),
        "stopped_by": _stopped_by(decisive, len(ok), started),
    }


def _stopped_by(decisive: Sequence[Sequence[float]], ok: int, started: int) -> str:
    if precise(decisive):
        return "precision"
    if started > ok:
        return "a failed process"
    return "process limit" if ok >= MAXIMUM_PROCESSES else "time budget"


def _energy(ok: pd.DataFrame) -> dict[str, Any]:
    """Energy of the windows, and net per token of output and of all."""
    first = ok.iloc[0]
    batch, prompt, new = (int(first[name]) for name in ("batch", "prompt_tokens", "output_tokens"))
    tokens = {"energy_j_per_output_token": batch * new, "energy_j_per_token": batch * (prompt + new)}
    windows = [{str(name): value for name, value in row.items()} for row in ok.to_dict("records")]
    return energy_columns(windows, [len(times) for times in ok["ttft_s"]], tokens)


def _why(row: dict[str, Any], host_share: float | None) -> dict[str, Any]:
    """Shares of the ceilings and what bounds decode and prefill; above the bandwidth or a data sheet it is invalid."""
    out: dict[str, Any] = {}
    timed = {"": row.get("tpot_s"), "prefill_": row.get("ttft_s") if row.get("prefill_tokens_per_s") else None}
    measured = is_null(row["ceiling_reason"]) and not is_null(row["ceiling_bytes_per_s"])
    for phase, seconds in timed.items():
        work = "prefill" if phase else "decode"
        if not seconds or is_null(row[f"{work}_bytes"]):
            continue
        moved, done = row[f"{work}_bytes"] / seconds, row[f"{work}_flops"] / seconds
        if measured:
            product = row["ceiling_flops_per_s"]
            out[f"{phase}mbu"] = mbu = moved / row["ceiling_bytes_per_s"]
            out[f"{phase}mfu"] = mfu = None if is_null(product) else done / product
            out[f"{phase}bound"] = bound_of(mbu, mfu, None if phase else host_share)
        if not phase and not is_null(row["spec_bytes_per_s"]):
            out |= {"mbu_spec": moved / row["spec_bytes_per_s"], "mfu_spec": done / row["spec_flops_per_s"]}
    # The data sheet is of 16 bit; where integers are multiplied, a device may do more of them.
    hard = ["mbu", "mbu_spec"] + ([] if str(row["precision"]).startswith("int8") else ["mfu_spec"])
    return out | judged({name: share for name, share in out.items() if not name.endswith("bound")}, hard)


def _on_gpu(row: dict[str, Any]) -> bool:
    return bool(json.loads(row["environment"]).get("device_kind") == "cuda")


def _reasons(row: dict[str, Any]) -> dict[str, str]:
    """Why each unknown number is unknown, and why a known one has no interval."""
    memory = json.loads(row["memory_reasons"]) if isinstance(row["memory_reasons"], str) else {}
    memory.setdefault("peak_bytes", memory.get("process_peak_bytes", "not counted by this engine"))
    memory.setdefault("kv_cache_bytes", "this engine does not show its cache")
    memory.setdefault("kv_cache_bytes_expected", memory["kv_cache_bytes"])
    ceiling = row["ceiling_reason"] if isinstance(row["ceiling_reason"], str) else "it was not measured"
    sheet = "no data sheet of this device in data/devices.csv"
    energy = row["energy_reason"] if isinstance(row["energy_reason"], str) else "no energy was counted"
    interval = str(row["interval_reason"] or "a single process")
    found = {}
    for column in MEASUREMENTS.columns:
        name = column.name
        if column.type not in ("number", "integer") or not is_null(row.get(name)):
            continue
        known = name.removesuffix("_low").removesuffix("_high")
        if name.startswith("energy_") and known != name and not is_null(row.get(known)):
            found[name] = "fewer than two processes with energy above idle"
        elif name.startswith("energy_"):
            found[name] = energy
        elif name.startswith("power_"):
            found[name] = "the driver does not tell" if _on_gpu(row) else "the power limit of a CPU is not read"
        elif name == "largest_batch":
            found[name] = (
                "no batch 5 % larger than one that ran was seen not to fit; batch max searches while its time lasts"
            )
        elif name.startswith(("spec_", "mbu_spec", "mfu_spec")):
            found[name] = sheet if name.startswith("spec_") or is_null(row["spec_bytes_per_s"]) else ceiling
        elif (
            "mbu" in name
            or "mfu" in name
            or name.startswith(("ceiling_", "decode_b", "decode_f", "prefill_b", "prefill_f"))
        ):
            found[name] = ceiling if not is_null(row["ceiling_reason"]) else interval
        elif name.endswith("_bytes") or name.endswith("bytes_expected"):
            found[name] = memory.get(name, "not counted by this engine")
        elif name == "compile_s":
            found[name] = f"the {row['engine']} engine compiles nothing"
        elif name.startswith("modules_"):
            found[name] = "the engine has no torch modules"
        else:
            found[name] = interval
    return found
