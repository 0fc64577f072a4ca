"""Rows of given times and checks, by hand; nothing runs."""

from __future__ import annotations

from typing import Any

import pytest

from costlib.measure.speculative import draft_row


def checks(*given: tuple[int, int]) -> list[dict[str, Any]]:
    """(proposed, kept): 0.05 s for each proposal, 0.125 s for a check; the first one also reads the prompt."""
    found = [{"proposed": p, "kept": k, "draft_s": 0.05 * p, "check_s": 0.125} for p, k in given]
    return [found[0] | {"draft_s": 9.0, "check_s": 9.0}, *found[1:]]


def sample(assisted_s: float, flag: str = "", **changes: Any) -> dict[str, Any]:
    """11 new tokens: plain 1 s to the first and 0.1 s for each other; with the draft three checks."""
    assisted = {
        "tokens": list(range(11)), "total_s": 1 + assisted_s, "decode_s": assisted_s,
        "checks": checks((4, 3), (4, 4), (1, 1)), "difference": None,
    }  # fmt: skip
    plain = {"tokens": list(range(11)), "total_s": 2.0, "decode_s": 1.0}
    return {"plain": plain, "flag": flag, "assisted": {"4": assisted | changes}}


def values(*processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sizes = {"target_bytes": 10, "draft_bytes": 5, "target_kv_cache_bytes": 2, "draft_kv_cache_bytes": 1}
    return [sizes | {"samples": samples, "peak_bytes": 100 + n} for n, samples in enumerate(processes)]


def test_every_number_by_hand() -> None:
    """Eight of nine proposals are kept and one check ends in a rejection: alpha is 8/9, and not 8 of 9 proposals."""
    row = draft_row(values([sample(0.5)], [sample(0.5)]), 4, "fp32", False)
    assert (row["accepted"], row["rejections"], row["proposed"], row["checks"]) == (16, 2, 18, 6)
    assert row["acceptance"] == pytest.approx(16 / 18) and row["tokens_per_check"] == pytest.approx(22 / 6)
    alpha, c = 16 / 18, 0.5
    expected = [(1 - alpha ** (k + 1)) / (1 - alpha) for k in (4, 4, 1)]
    assert row["tokens_per_check_expected"] == pytest.approx(sum(expected) / 3)
    assert row["draft_cost"] == pytest.approx(c)
    assert row["predicted_speedup"] == pytest.approx(sum(expected) / (9 * c + 3))
    assert row["plain_tokens_per_s"] == pytest.approx(10) and row["assisted_tokens_per_s"] == pytest.approx(7 / 0.5)
    assert row["speedup"] == pytest.approx(2 / 1.5) and row["decode_speedup"] == pytest.approx(1.4)
    assert row["check_cost"] == pytest.approx(1.25) and row["peak_bytes"] == 101
    spent = 4 * row["draft_cost"] + row["check_cost"]
    paying = row["break_even_acceptance"]
    assert (1 - paying**5) / (1 - paying) == pytest.approx(spent)


def test_the_verdict_is_use_only_where_the_whole_interval_is_above_one() -> None:
    sure = draft_row(values(*[[sample(s)] for s in (0.5, 0.51, 0.49)]), 4, "fp32", False)
    assert sure["verdict"] == "use" and sure["speedup_low"] > 1 and "above 1" in sure["verdict_reason"]
    unsure = draft_row(values(*[[sample(s)] for s in (0.2, 1.4, 0.5)]), 4, "fp32", False)
    assert unsure["speedup"] > 1 and unsure["verdict"] == "do not use" and "not above 1" in unsure["verdict_reason"]
    slow = draft_row(values(*[[sample(s)] for s in (1.5, 1.51, 1.49)]), 4, "fp32", False)
    assert slow["speedup_high"] < 1 and slow["verdict"] == "do not use"
    single = draft_row(values([sample(0.5)]), 4, "fp32", False)
    assert single["verdict"] == "do not use" and "no interval" in single["verdict_reason"]


def test_disturbed_samples_are_counted_for_acceptance_and_not_for_time() -> None:
    busy = "other processes used the CPU: 50%"
    row = draft_row(values([sample(0.5), sample(9.0, busy)], [sample(0.5)]), 4, "fp32", False)
    assert row["speedup"] == pytest.approx(2 / 1.5) and row["prompts"] == 3 and row["accepted"] == 24
    assert (row["flagged_samples"], row["flags"], row["interval_reason"]) == (1, "other processes used the CPU", None)


def test_a_draft_as_dear_as_the_target_pays_at_no_acceptance() -> None:
    dear = checks((4, 4), (4, 4), (0, 0))
    dear[1]["draft_s"] = 0.4
    row = draft_row(values(*[[sample(1.0, checks=dear)] for _ in range(2)]), 4, "fp32", False)
    assert row["draft_cost"] == pytest.approx(1)
    assert row["break_even_acceptance"] is None and "give at most 5 tokens" in row["break_even_reason"]


def test_a_near_tie_and_a_broken_cache_are_told_apart() -> None:
    tie = {"at": 3, "gap": 0.06, "step": 0.0625, "near_tie": True}
    row = draft_row(values([sample(0.5)], [sample(0.5, difference=tie)]), 4, "bf16", False)
    assert row["status"] == "invalid" and "verdict" not in row and "1 of 2 answers" in row["reason"]
    assert "near tie" in row["reason"] and "fp32" in row["reason"] and row["acceptance"] > 0
    wrong = tie | {"gap": 3.0, "near_tie": False}
    row = draft_row(values([sample(0.5, difference=tie)], [sample(0.5, difference=wrong)]), 4, "bf16", False)
    assert "2 of 2" in row["reason"] and "more than rounding explains" in row["reason"]


def test_a_draft_that_never_proposed_says_so() -> None:
    given = sample(1.0, checks=checks(*[(0, 0)] * 11))
    row = draft_row(values([given], [given]), 4, "fp32", False)
    assert "acceptance" not in row and "never proposed" in row["acceptance_reason"]
    assert "too little" in row["break_even_reason"] and row["speedup"] == pytest.approx(1)
