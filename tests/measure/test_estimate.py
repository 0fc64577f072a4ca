from __future__ import annotations

import math

import numpy as np
import pytest
from samples import run_row, runs_frame

from costlib.measure.estimate import estimate, precise, rate, spent
from costlib.measure.summarise import summarise
from costlib.tables import MEASUREMENTS


def test_the_interval_is_students_t_on_process_medians_of_logarithms() -> None:
    """Checked against scipy's own t interval."""
    from scipy import stats

    groups = [[1.0, 1.1], [1.2], [1.15, 1.05, 1.12]]
    means = [float(np.median(np.log(group))) for group in groups]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(means), scale=stats.sem(means))
    found = estimate(groups)
    assert found is not None and found.low is not None and found.high is not None
    assert found.value == pytest.approx(math.exp(np.mean(means)))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_one_process_gives_no_interval_however_many_iterations() -> None:
    found = estimate([[1.0, 1.1, 1.2, 1.3]])
    assert found is not None and found.low is None and found.high is None


def test_no_sample_gives_nothing() -> None:
    assert estimate([]) is None and estimate([[]]) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """1,000 simulated measurements of 4 processes x 3 iterations with a process effect."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        effects = random.normal(0, 0.02, 4)
        found = estimate([list(np.exp(effect + random.normal(0, 0.01, 3))) for effect in effects])
        assert found is not None and found.low is not None and found.high is not None
        covered += found.low <= 1.0 <= found.high
    assert 930 <= covered <= 970


def settled(samples: list[list[float]], wall_s: list[float], budget_s: float) -> bool:
    return precise(samples) or spent(wall_s, budget_s)


def test_two_processes_that_happen_to_agree_do_not_end_a_measurement() -> None:
    same = [[1.0], [1.0]]
    assert not settled(same, [10, 10], 100) and not settled([*same, [1.0]], [10] * 3, 100)
    assert not settled(same * 2, [10] * 4, 100) and settled([*same * 2, [1.0]], [10] * 5, 100)
    assert not settled([[1.0], [1.1], [0.9], [1.0], [1.0]], [10] * 5, 100)


def test_the_budget_ends_a_measurement_but_the_first_three_processes_may_take_three() -> None:
    spread = [[1.0], [1.1], [0.9], [1.0]]
    assert not settled(spread[:2], [45, 45], 50) and settled(spread[:2], [80, 80], 50)
    assert settled(spread[:3], [20] * 3, 79) and not settled(spread[:3], [20] * 3, 80)
    assert settled([[1.0], [2.0]] * 15, [1.0] * 30, 1000)


def test_a_rate_turns_the_interval_around() -> None:
    time = estimate([[1.0], [2.0]])
    assert time is not None
    speed = rate(10, time)
    assert speed.low is not None and speed.high is not None and speed.low < speed.value < speed.high
    assert speed.value == pytest.approx(10 / math.sqrt(2))


def test_definitions_of_speed_by_hand() -> None:
    """B = 2, P = 100, N = 11: prefill 2*100/0.5, decode 2*10/2, per token 2/10, end to end 2*11/2.5."""
    row = summarise(runs_frame(*(run_row(run_id=i) for i in "acdeb")))
    assert row["prefill_tokens_per_s"] == pytest.approx(400)
    assert row["decode_tokens_per_s"] == pytest.approx(10)
    assert row["tpot_s"] == pytest.approx(0.2)
    assert row["end_to_end_tokens_per_s"] == pytest.approx(8.8)
    assert row["stopped_by"] == "precision" and row["relative_half_width"] == 0
    assert row["kind"] == "measured" and row["run_ids"].endswith(" b")


def test_one_new_token_has_no_decode_phase_and_no_zero() -> None:
    runs = runs_frame(*(run_row(run_id=i, output_tokens=1, decode_s=[0.0]) for i in "ab"))
    row = summarise(runs)
    assert row.get("decode_tokens_per_s") is None and row.get("tpot_s") is None
    assert "no decode phase" in row["interval_reason"]
    checked = MEASUREMENTS.validate(__import__("pandas").DataFrame([row]))
    assert checked["tpot_s"].isna().all()


def test_flagged_samples_stay_out_of_the_estimate_and_are_counted() -> None:
    disturbed = {"ttft_s": [0.5, 5.0], "decode_s": [2.0, 20.0], "flags": ["", "other processes used the CPU: 50%"]}
    row = summarise(runs_frame(*(run_row(run_id=i, **disturbed) for i in "abc")))
    assert row["decode_tokens_per_s"] == pytest.approx(10)
    assert (row["samples"], row["flagged_samples"], row["flags"]) == (3, 3, "other processes used the CPU")


def test_when_every_sample_is_disturbed_the_number_says_so() -> None:
    row = summarise(runs_frame(*(run_row(run_id=i, flags=["thermal slowdown"]) for i in "ab")))
    assert row["decode_tokens_per_s"] == pytest.approx(10)
    assert "too few undisturbed samples" in row["interval_reason"] and row["flagged_samples"] == 2


def test_a_failure_keeps_its_status_and_reason() -> None:
    failed = run_row(status="oom", reason="killed", ttft_s=[], decode_s=[], flags=[])
    row = summarise(runs_frame(failed))
    assert (row["status"], row["reason"], row["processes"]) == ("oom", "killed", 0)
    assert "decode_tokens_per_s" not in row
    partly = summarise(runs_frame(run_row(), failed | {"run_id": "b"}))
    assert partly["status"] == "ok" and partly["reason"] == "1 of 2 processes failed: killed"
    assert "one process" in partly["interval_reason"]


def test_energy_is_net_of_idle_and_null_with_a_reason() -> None:
    """100 J gross, 5 W idle for 10 s, 2 iterations of 2*11 new and 2*100 prompt tokens."""
    powered = run_row(
        ttft_s=[0.5, 0.5], decode_s=[2.0, 2.0], flags=["", ""], energy_j=100.0, energy_idle_w=5.0, energy_window_s=10.0
    )
    row = summarise(runs_frame(powered))
    assert row["energy_j_per_output_token"] == pytest.approx(50 / 44)
    assert row["energy_j_per_token"] == pytest.approx(50 / 444)
    below = summarise(runs_frame(powered | {"energy_idle_w": 20.0}))
    assert "energy_j_per_output_token" not in below and "not above idle" in below["energy_reason"]
    absent = summarise(runs_frame(run_row(energy_reason="no counter")))
    assert "energy_j_per_output_token" not in absent and absent["energy_reason"] == "no counter"
