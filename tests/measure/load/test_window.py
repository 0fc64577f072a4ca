from __future__ import annotations

import numpy as np
import pytest
from measure.load.traces import hand_made, request_row, trace

from costlib.measure.load.trace import most_at_once, steady


def evenly(count: int = 100, every: float = 0.1, tokens: int = 5, gap: float = 0.05) -> list[dict[str, object]]:
    """A request every 0.1 s, its text after 0.2 s and then every 0.05 s: 10 requests/s and 50 tokens/s."""
    return [request_row(n, n * every, [n * every + 0.2 + gap * piece for piece in range(tokens)]) for n in range(count)]


def test_the_window_leaves_out_filling_up_and_running_empty() -> None:
    found = steady(trace(*evenly()), None)
    assert (found["window_start_s"], found["window_end_s"]) == (pytest.approx(0.4), pytest.approx(9.9))
    for name, value in (("requests_per_s", 10), ("output_tokens_per_s", 50), ("input_tokens_per_s", 100)):
        assert found[name] == pytest.approx(value, rel=0.03)
        assert found[f"{name}_low"] <= value * 1.02 and found[f"{name}_high"] >= value * 0.98
    assert found["in_flight"] == pytest.approx(4, rel=0.03), "0.4 s at 10 a second, by Little's law"
    assert found["stationary"] is True and found["window_reason"] is None


def test_tokens_count_where_they_came_and_weigh_as_the_server_counts() -> None:
    """Answers that cross the ends count with the part inside, and a chunk may carry several tokens."""
    found = steady(trace(*(row | {"output_tokens": 15} for row in evenly())), None)
    assert found["output_tokens_per_s"] == pytest.approx(150, rel=0.03)


def test_a_closed_loop_is_full_when_every_client_was_answered() -> None:
    rows = [request_row(n, 0.0 if n < 4 else (n // 4) * 0.5, [(n // 4) * 0.5 + 0.5]) for n in range(80)]
    found = steady(trace(*rows), 4)
    assert (found["window_start_s"], found["window_end_s"]) == (0.5, 9.5)
    assert found["requests_per_s"] == pytest.approx(8, rel=0.02)


def test_the_interval_covers_what_a_long_run_shows() -> None:
    """Batch means over Poisson arrivals with random lengths; 95 % within the error of 100 trials."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(100):
        due = np.cumsum(random.exponential(0.1, 300))
        rows = [
            request_row(n, at, [at + 0.1 * (1 + i) for i in range(random.integers(1, 6))]) for n, at in enumerate(due)
        ]
        found = steady(trace(*rows), None)
        hits += found["output_tokens_per_s_low"] <= 30 <= found["output_tokens_per_s_high"]
    assert 0.88 <= hits / 100 <= 1.0


def test_few_answers_have_a_rate_without_interval_and_fewer_none() -> None:
    some = steady(trace(*evenly(25)), None)
    assert some["requests_per_s"] > 0 and "requests_per_s_low" not in some
    assert some["window_reason"] == "20 answers in the window: an interval needs 30"
    few = steady(trace(*evenly(12)), None)
    assert few.keys() == {"window_reason"} and "10 are needed" in few["window_reason"]
    none = steady(trace(request_row(0, 0.0, [])), None)
    assert none == {"window_reason": "0 whole answers: the server was never full"}


def test_a_server_that_is_outrun_is_not_stationary() -> None:
    """10 a second come, 5 a second are answered."""
    rows = [request_row(n, n * 0.1, [n * 0.2 + 0.2]) for n in range(100)]
    found = steady(trace(*rows), None)
    assert found["stationary"] is False and "more come than are answered" in found["stationary_reason"]
    assert found["requests_per_s"] == pytest.approx(5, rel=0.05)


def test_what_the_test_hung_up_on_was_delivered_and_what_broke_was_not() -> None:
    """One long answer, a token every 0.05 s throughout, beside 50 tokens a second of others."""
    long = request_row(100, 0.0, [0.05 * n for n in range(1, 200)], outcome="cut", end_s=10.0)
    rates = [
        steady(trace(*evenly(), long | {"reason": f"{kind}: ..."}), None)["output_tokens_per_s"]
        for kind in ("time_limit", "cut")
    ]
    assert rates == [pytest.approx(70, rel=0.03), pytest.approx(50, rel=0.03)]


def test_prompt_tokens_that_are_not_told_have_no_rate() -> None:
    assert "input_tokens_per_s" not in steady(trace(*(row | {"prompt_tokens": None} for row in evenly())), None)


def test_the_peak_counts_an_end_before_a_start() -> None:
    assert most_at_once(hand_made()) == 3
    chain = [request_row(n, float(n), [n + 1.0]) for n in range(5)]
    assert most_at_once(trace(*chain)) == 1
    assert most_at_once(trace(request_row(0, 0.0, [], sent_s=None, end_s=None))) == 0
