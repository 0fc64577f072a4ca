"""The three public dialects of one fixed trace, against numbers worked out by hand from the formulas of the tools."""

from __future__ import annotations

import pandas as pd
import pytest
from measure.load.traces import hand_made, request_row, trace

from costlib.measure.load.slo import Slo
from costlib.measure.load.trace import dialects, goodput

SPAN = 6.0
"""First send at 0, last finish (of the request that was cut) at 6."""
BY_HAND = {
    # first token - send: a 1, b 0.5, c 2
    ("vllm", "ttft"): (3.5 / 3, 1.0),
    ("guidellm", "time_to_first_token"): (3.5 / 3, 1.0),
    ("aiperf", "time_to_first_token"): (3.5 / 3, 1.0),
    # (e2e - ttft) / (n - 1): a (4 - 1) / 4, b (1.5 - 0.5) / 2, c has one token
    ("vllm", "tpot"): (0.625, 0.625),
    ("aiperf", "inter_token_latency"): (0.625, 0.625),
    ("guidellm", "inter_token_latency"): (0.625, 0.625),
    # gaps between chunks: a 1, 2, b 1
    ("vllm", "itl"): (4 / 3, 1.0),
    # (last token - send) / n, first token included: a 4 / 5, b 1.5 / 3, c 2 / 1
    ("guidellm", "time_per_output_token"): (1.1, 0.8),
    # last token - send: a 4, b 1.5, c 2
    ("vllm", "e2el"): (2.5, 2.0),
    ("aiperf", "request_latency"): (2.5, 2.0),
    # end - send: a 4.5, b 2, c 2
    ("guidellm", "request_latency"): (8.5 / 3, 2.0),
    # 1 / itl: a 1 / 0.75, b 1 / 0.5
    ("aiperf", "output_token_throughput_per_user"): ((4 / 3 + 2) / 2, (4 / 3 + 2) / 2),
}
TOTALS = {
    ("vllm", "request_throughput"): 3 / SPAN,
    ("vllm", "output_throughput"): 9 / SPAN,
    ("vllm", "total_token_throughput"): 39 / SPAN,
    ("aiperf", "request_throughput"): 3 / SPAN,
    ("aiperf", "output_token_throughput"): 9 / SPAN,
}


def spoken(slo: Slo | None = None) -> pd.DataFrame:
    return dialects(hand_made(), slo).set_index(["dialect", "metric", "statistic"])


def test_every_dialect_by_hand() -> None:
    found = spoken()
    for key, (mean, median) in BY_HAND.items():
        assert found.loc[(*key, "mean"), "value"] == pytest.approx(mean), key
        assert found.loc[(*key, "median"), "value"] == pytest.approx(median), key
        assert pd.isna(found.loc[(*key, "p99"), "value"]) and "needs 368" in found.loc[(*key, "p99"), "reason"]
    for key, value in TOTALS.items():
        assert found.loc[(*key, "whole run"), "value"] == pytest.approx(value), key
    assert {key[:2] for key in found.index} == set(BY_HAND) | set(TOTALS), "no number without a hand-made one"


def test_the_same_word_means_different_numbers_in_two_tools() -> None:
    found = spoken()["value"]
    vllm, guidellm = found[("vllm", "tpot", "mean")], found[("guidellm", "time_per_output_token", "mean")]
    assert guidellm > 1.7 * vllm


def test_goodput_counts_from_sending_in_vllm_and_from_the_schedule_here() -> None:
    """b waited 0.5 s in the client's queue: within 0.9 s of its sending, but not of its schedule."""
    slo = Slo(ttft_s=0.9)
    assert spoken(slo).loc[("vllm", "request_goodput", "whole run"), "value"] == pytest.approx(1 / SPAN)
    assert goodput(hand_made(), slo)["good_requests"] == 0


@pytest.mark.parametrize(
    ("slo", "good", "tokens"),
    [
        (Slo(ttft_s=1.0), 2, 8),  # a and b; c needs 2 s
        (Slo(tpot_s=0.6), 2, 4),  # b and c, which has no second token to wait for
        (Slo(e2e_s=2.0), 2, 4),  # b from its schedule and c, just
        (Slo(ttft_s=1.0, e2e_s=2.0), 1, 3),
        (Slo(ttft_s=99), 3, 9),  # the one that was cut keeps nothing
    ],
)
def test_goodput_by_hand(slo: Slo, good: int, tokens: int) -> None:
    found = goodput(hand_made(), slo)
    assert (found["good_requests"], found["good_share"]) == (good, good / 4)
    assert found["goodput_requests_per_s"] == pytest.approx(good / 6)
    assert found["goodput_tokens_per_s"] == pytest.approx(tokens / 6)
    assert found["good_share_low"] < good / 4 < found["good_share_high"]


def test_an_empty_answer_neither_keeps_nor_breaks_a_promise() -> None:
    empty = request_row(4, 1.0, [], outcome="empty", reason="no_content: ...")
    found, without = (goodput(trace(*hand_made().to_dict("records"), *more), Slo(ttft_s=1)) for more in ([empty], []))
    assert (
        (found["good_requests"], found["good_share"]) == (without["good_requests"], without["good_share"]) == (2, 0.5)
    )
    assert goodput(trace(empty), Slo(ttft_s=1)) == {}


def test_nothing_promised_is_no_goodput_and_a_trace_without_answers_has_reasons() -> None:
    assert goodput(hand_made(), Slo()) == {}
    found = dialects(trace(request_row(0, 0.0, []), request_row(1, 1.0, [])), Slo(ttft_s=1))
    assert found["value"].isna().all() and (found["reason"] == "no request has one").all()
    unknown = trace(*(request_row(n, 0.0, [1.0, 2.0], prompt_tokens=None) for n in range(2)))
    total = dialects(unknown).set_index("metric").loc["total_token_throughput"]
    assert pd.isna(total["value"]) and "does not tell" in total["reason"]
