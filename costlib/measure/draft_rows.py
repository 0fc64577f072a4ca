"""One speculations row: acceptance, speed-up predicted and measured, and the verdict, from the samples of processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from costlib.measure.acceptance import acceptance, break_even_acceptance, predicted_speedup, tokens_per_check
from costlib.measure.campaign import Row
from costlib.measure.equality import sentence
from costlib.measure.estimate import Estimate, ends, over_processes, rate
from costlib.measure.turns import Sample, judged, largest

RANDOM = "random weights: what a draft proposes and what is kept of it mean nothing; times and bytes are real"
_BYTES = ("target_bytes", "draft_bytes", "target_kv_cache_bytes", "draft_kv_cache_bytes", "peak_bytes")


@dataclass(frozen=True)
class _Times:
    """Seconds of one process: a plain step; behind the first chunk a proposal, a check and a token, if there are."""

    plain: float
    proposal: float | None
    check: float | None
    token: float | None


def speedups(processes: Sequence[Sequence[Sample]], count: int) -> list[float]:
    """Seconds of plain over assisted generation, prefill included, of each process with `count` proposals."""
    return [
        sum(s["plain"]["total_s"] for s in samples) / sum(s["assisted"][str(count)]["total_s"] for s in samples)
        for samples in processes
    ]


def draft_row(values: Sequence[Row], count: int, precision: str, random_weights: bool) -> Row:
    """Columns of the speculations table from what each process returned, at `count` proposals a check."""
    every = [sample for value in values for sample in value["samples"]]
    kept, row = judged(values)
    row |= {"status": "ok", "reason": None, "prompts": len(every)} | {name: largest(values, name) for name in _BYTES}
    times = [_times(samples, count) for samples in kept]
    cost = _costs(row, times, count)
    if random_weights:
        return row | {"acceptance_reason": RANDOM, "verdict_reason": RANDOM}
    proposed = _counts(row, every, count)
    if "acceptance" in row and cost is not None:
        _predict(row, proposed, cost)
    row["speedups"] = speedups(kept, count)
    row |= ends("speedup", over_processes(row["speedups"]))
    tokens = [(each.plain, each.token) for each in times if each.token is not None]
    row |= ends("decode_speedup", over_processes([plain / token for plain, token in tokens]))
    if (step := over_processes([token for _, token in tokens])) is not None:
        row |= ends("assisted_tokens_per_s", rate(1, step))
    unlike = sentence([s["assisted"][str(count)]["difference"] for s in every], "with the draft", precision)
    if unlike:
        return row | {"status": "invalid", "reason": unlike, "verdict_reason": f"invalid: {unlike}"}
    return row | _verdict(row)


def _times(samples: Sequence[Sample], count: int) -> _Times:
    plain = fmean(s["plain"]["decode_s"] / (len(s["plain"]["tokens"]) - 1) for s in samples)
    assisted = [s["assisted"][str(count)] for s in samples]
    later = [check for each in assisted for check in each["checks"][1:]]
    if not later:
        return _Times(plain, None, None, None)
    proposed, kept = (sum(check[name] for check in later) for name in ("proposed", "kept"))
    return _Times(
        plain,
        sum(check["draft_s"] for check in later) / proposed if proposed else None,
        fmean(check["check_s"] for check in later),
        sum(each["decode_s"] for each in assisted) / (kept + len(later)),
    )


def _costs(row: Row, times: Sequence[_Times], count: int) -> Estimate | None:
    """Speed of the target alone, c, the cost of a check, and the acceptance that pays for both; returns c."""
    if (step := over_processes([each.plain for each in times])) is not None:
        row |= ends("plain_tokens_per_s", rate(1, step))
    cost = over_processes([each.proposal / each.plain for each in times if each.proposal is not None])
    check = over_processes([each.check / each.plain for each in times if each.check is not None])
    row |= ends("draft_cost", cost)
    row |= ends("check_cost", check)
    if cost is None or check is None:
        row["break_even_reason"] = "the draft proposed too little to be timed"
        return cost
    row["break_even_acceptance"] = break_even_acceptance(cost.value, count, check.value)
    if row["break_even_acceptance"] is None:
        spent = count * cost.value + check.value
        row["break_even_reason"] = (
            f"{count} proposals and their check take {spent:.2f} target steps and give at most {count + 1} tokens"
        )
    return cost


def _counts(row: Row, every: Sequence[Sample], count: int) -> list[int]:
    """Acceptance and tokens per check, counted over all prompts; returns the proposals of every check."""
    checks = [s["assisted"][str(count)]["checks"] for s in every]
    accepted = [sum(check["kept"] for check in each) for each in checks]
    rejected = [sum(check["kept"] < check["proposed"] for check in each) for each in checks]
    proposed = [check["proposed"] for each in checks for check in each]
    new = sum(len(s["assisted"][str(count)]["tokens"]) for s in every)
    row |= {"accepted": sum(accepted), "rejections": sum(rejected), "proposed": sum(proposed)}
    row |= {"checks": len(proposed), "tokens_per_check": new / len(proposed)}
    found = acceptance(accepted, rejected)
    if found is None:
        row["acceptance_reason"] = "the draft never proposed a token"
        return proposed
    row |= dict(zip(("acceptance", "acceptance_low", "acceptance_high"), found, strict=True))
    row["tokens_per_check_expected"] = fmean(tokens_per_check(found[0], number) for number in proposed)
    return proposed


def _predict(row: Row, proposed: Sequence[int], cost: Estimate) -> None:
    """The formula's speed-up; its interval joins the worse ends of acceptance and c, and the better ends."""
    row["predicted_speedup"] = predicted_speedup(row["acceptance"], cost.value, proposed)
    if cost.low is not None and cost.high is not None:
        row["predicted_speedup_low"] = predicted_speedup(row["acceptance_low"], cost.high, proposed)
        row["predicted_speedup_high"] = predicted_speedup(row["acceptance_high"], cost.low, proposed)


def _verdict(row: Row) -> Row:
    low = row.get("speedup_low")
    if low is None:
        return {"verdict": "do not use", "verdict_reason": "a gain is not shown: the speed-up has no interval"}
    where = f"the interval of the speed-up begins at {low:.3g}"
    if low > 1:
        return {"verdict": "use", "verdict_reason": f"{where}, above 1"}
    return {"verdict": "do not use", "verdict_reason": f"{where}, not above 1"}
