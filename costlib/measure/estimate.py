"""From raw samples to estimates with intervals.

Iterations inside one process share its memory layout and warm-up, so they are not independent: the process is the
unit. Times are positive and vary in proportion, so the estimate is the geometric mean over processes of each process's
geometric mean, and the 95 % interval is Student's t on the logarithms with (processes - 1) degrees of freedom. One
process gives no interval, and the row says so.

Stopping as soon as the interval is narrow favours lucky moments: after two processes that happen to agree, the interval
misses the truth in 10 % of all cases instead of 5 %. So precision may end a measurement from the fourth process on;
benchmarks/repeat_simulation.py shows what remains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CONFIGURATION = ("model", "precision", "engine", "batch", "prompt_tokens", "output_tokens", "device")
TARGET_HALF_WIDTH = 0.02
MINIMUM_PROCESSES = 2
"""For an interval."""
PROCESSES_TO_STOP = 4
"""Before precision may end a measurement."""
MAXIMUM_PROCESSES = 10
WANTED_PROCESSES = 3
_PATIENCE = 3
"""Below three processes an interval is absent or, with one degree of freedom, useless (t is 12.7 instead of 4.3), so
the first three may take this many budgets."""


@dataclass(frozen=True)
class Estimate:
    """A positive quantity: value and 95 % interval, None where processes are too few."""

    value: float
    low: float | None
    high: float | None

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width over the value."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2 / self.value


def log_means(per_process: Sequence[Sequence[float]]) -> list[float]:
    """The independent observations: one mean logarithm per process that has a sample."""
    return [sum(map(math.log, samples)) / len(samples) for samples in per_process if samples]


def estimate(per_process: Sequence[Sequence[float]]) -> Estimate | None:
    """Estimate a positive time from samples grouped by process; None without any sample."""
    from scipy.stats import t

    means = log_means(per_process)
    if not means:
        return None
    center = sum(means) / len(means)
    if len(means) < MINIMUM_PROCESSES:
        return Estimate(math.exp(center), None, None)
    variance = sum((mean - center) ** 2 for mean in means) / (len(means) - 1)
    half = float(t.ppf(0.975, len(means) - 1)) * math.sqrt(variance / len(means))
    return Estimate(math.exp(center), math.exp(center - half), math.exp(center + half))


def rate(tokens: float, time: Estimate) -> Estimate:
    """Tokens per second from an estimated time; the ends of the interval change places."""
    low = None if time.high is None else tokens / time.high
    high = None if time.low is None else tokens / time.low
    return Estimate(tokens / time.value, low, high)


def usable(runs: pd.DataFrame) -> tuple[list[tuple[list[float], list[float]]], str | None]:
    """(ttft, decode) samples per ok process, flagged ones left out, and a note when none would be left.

    When fewer than two processes have an undisturbed sample, all samples are used and the note says so: a number with
    a visible warning, never a silent one.
    """
    ok = runs[runs["status"] == "ok"]
    rows: list[tuple[list[float], list[float], list[str]]]
    rows = [(list(a), list(b), list(c)) for a, b, c in zip(ok["ttft_s"], ok["decode_s"], ok["flags"], strict=True)]
    clean: list[tuple[list[float], list[float]]] = []
    for ttft, decode, flags in rows:
        kept = [i for i, flag in enumerate(flags) if not flag]
        if kept:
            clean.append(([ttft[i] for i in kept], [decode[i] for i in kept]))
    if len(clean) >= min(MINIMUM_PROCESSES, len(rows)):
        return clean, None
    return (
        [(ttft, decode) for ttft, decode, _ in rows],
        "the machine was busy: too few undisturbed samples, so disturbed ones are in the estimate",
    )


def summarise(runs: pd.DataFrame) -> dict[str, Any]:
    """One measurements row from the runs of one configuration in one campaign."""
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
    }
    if ok.empty:
        reason = newest["reason"] if pd.notna(newest["reason"]) else "no process finished"
        return row | {"status": newest["status"], "reason": reason}
    last = ok.iloc[-1]
    carried = [
        "weight_bytes",
        "weight_bytes_expected",
        "kv_cache_bytes",
        "kv_cache_bytes_expected",
        "memory_reason",
        "modules_converted",
        "modules_total",
        "bytes_by_dtype",
        "kernel",
        "attention",
        "weights_note",
        "energy_scope",
        "energy_reason",
    ]
    row |= {name: last[name] for name in carried}
    for name in ("allocator_allocated_peak_bytes", "allocator_reserved_peak_bytes", "process_peak_bytes"):
        row[name] = ok[name].max()
    row["load_peak_bytes"] = ok["load_peak_bytes"].max()
    row["load_s"] = float(ok["load_s"].median())
    reserved = row["allocator_reserved_peak_bytes"]
    row["peak_bytes"] = row["process_peak_bytes"] if pd.isna(reserved) else reserved
    row["environment"], row["fingerprint"] = last["environment"], last["fingerprint"]
    failed = runs[runs["status"] != "ok"]
    row["status"] = "ok"
    row["reason"] = (
        None if failed.empty else f"{len(failed)} of {len(runs)} processes failed: {failed.iloc[-1]['reason']}"
    )
    return row | _speeds(ok) | _energy(ok)


def _speeds(ok: pd.DataFrame) -> dict[str, Any]:
    first = ok.iloc[0]
    batch, prompt, new = int(first["batch"]), int(first["prompt_tokens"]), int(first["output_tokens"])
    samples, note = usable(ok)
    ttft = estimate([times for times, _ in samples])
    total = estimate([[a + b for a, b in zip(first_s, rest_s, strict=True)] for first_s, rest_s in samples])
    assert ttft is not None and total is not None  # an ok run holds at least one iteration
    out: dict[str, Any] = {}

    def put(name: str, value: Estimate) -> None:
        out[name], out[f"{name}_low"], out[f"{name}_high"] = value.value, value.low, value.high

    put("ttft_s", ttft)
    put("prefill_tokens_per_s", rate(batch * prompt, ttft))
    put("end_to_end_tokens_per_s", rate(batch * new, total))
    deciding = ttft
    reasons = [note] if note else []
    if new > 1:
        decode = estimate([rest_s for _, rest_s in samples])
        assert decode is not None
        put("decode_tokens_per_s", rate(batch * (new - 1), decode))
        steps = new - 1
        ends = [None if end is None else end / steps for end in (decode.low, decode.high)]
        put("tpot_s", Estimate(decode.value / steps, *ends))
        deciding = decode
    else:
        reasons.append("one new token: there is no decode phase")
    if deciding.relative_half_width is None:
        reasons.append(f"one process: an interval needs at least {MINIMUM_PROCESSES}")
    used = sum(len(times) for times, _ in samples)
    all_flags = [flag for flags in ok["flags"] for flag in flags]
    flagged = [flag for flag in all_flags if flag]
    out |= {
        "interval_reason": "; ".join(reasons) or None,
        "relative_half_width": deciding.relative_half_width,
        "samples": used,
        "flagged_samples": len(flagged),
        "flags": "; ".join(sorted({flag.split(":")[0] for flag in flagged})) or None,
        "stopped_by": "precision" if precise(deciding, len(samples)) else "time budget",
    }
    return out


def precise(value: Estimate | None, processes: int) -> bool:
    """Whether enough processes agree as closely as a measurement aims for."""
    half = value.relative_half_width if value else None
    return processes >= PROCESSES_TO_STOP and half is not None and half <= TARGET_HALF_WIDTH


def settled(samples: Sequence[Sequence[float]], wall_s: Sequence[float], budget_s: float) -> bool:
    """Whether another process would not help or not fit: the deciding times by process, and how long each process took.

    The next process is expected to take as long as the last one.
    """
    if len(wall_s) >= MAXIMUM_PROCESSES or precise(estimate(samples), len(samples)):
        return True
    allowed = budget_s * (_PATIENCE if len(wall_s) < WANTED_PROCESSES else 1)
    return sum(wall_s) + wall_s[-1] > allowed


def _energy(ok: pd.DataFrame) -> dict[str, Any]:
    """Net joules per token over all windows that have energy; null with the counter's reason otherwise."""
    known = ok[ok["energy_j"].notna()]
    if known.empty:
        return {"energy_j_per_output_token": None, "energy_j_per_token": None}
    first = known.iloc[0]
    iterations = sum(len(times) for times in known["ttft_s"])
    net = float((known["energy_j"] - known["energy_idle_w"].fillna(0.0) * known["energy_window_s"]).sum())
    new = iterations * int(first["batch"]) * int(first["output_tokens"])
    every = new + iterations * int(first["batch"]) * int(first["prompt_tokens"])
    if net <= 0:
        reason = "net energy is not above idle: the window cannot tell them apart"
        return {"energy_j_per_output_token": None, "energy_j_per_token": None, "energy_reason": reason}
    return {"energy_j_per_output_token": net / new, "energy_j_per_token": net / every, "energy_reason": None}
