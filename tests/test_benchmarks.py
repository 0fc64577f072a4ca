"""The simulation behind the rules of repeating and comparing, at a depth a test can afford; seeded."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from costlib.prices.book import load_book

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_false_alarms_stay_rare_and_a_slowdown_of_5_percent_is_found() -> None:
    simulation = runpy.run_path(str(BENCHMARKS / "repeat_simulation.py"))
    runs, samples = simulation["recorded"](BENCHMARKS / "noise")
    fitted = simulation["fitted"](runs, samples)
    assert 0.02 < fitted.drift < 0.04 and 0.03 < fitted.within < 0.05  # a machine that drifts over minutes
    for noise, budget_s in (simulation["LEVELS"]["quiet"], (fitted, simulation["RECORDED_BUDGET_S"])):
        found = simulation["simulate"](noise, budget_s, pairs=60, seed=1)
        assert found["false_alarms_per_100"] <= 5 and found["found_per_100"] >= 80  # 92 to 98 of many
        assert found["false_alarms_apart_per_100"] <= 5 and found["found_apart_per_100"] < 50
    replayed = simulation["replay"](samples, 10, deals=20)
    assert replayed["false_alarms_per_100"] <= 5 and replayed["false_alarms_apart_per_100"] <= 5
    assert replayed["false_alarms_welch_per_100"] > 10  # why two calls are not compared as if independent


def test_a_record_gives_back_the_noise_it_was_made_with() -> None:
    simulation = runpy.run_path(str(BENCHMARKS / "repeat_simulation.py"))
    made = simulation["Noise"](0.05, 0.02, 0.03, disturbed=0.0, kept=0.8)
    machine = simulation["Machine"](np.random.default_rng(1), made, 120.0)
    rows = [machine.process(0.0) for _ in range(2000)]
    found = simulation["fitted"](pd.DataFrame(rows), [row["decode_s"] for row in rows])
    assert (found.drift, found.between, found.within) == pytest.approx((0.05, 0.02, 0.03), rel=0.15)
    assert found.kept == pytest.approx(0.8, abs=0.05)


def test_drift_alarms_keep_their_rate_and_find_a_drop_of_10_points() -> None:
    simulation = runpy.run_path(str(BENCHMARKS / "monitor_simulation.py"))
    rng = np.random.default_rng(5)
    assert simulation["false_alarms"](400, 400, rng) <= 0.05
    found = simulation["delays"](0.1, 100, 1200, rng)
    assert found["found"] == 1 and 100 < found["median_items"] < 400 and found["early"] <= 0.05
    assert simulation["misses"](20, 300, rng) <= 0.05


def test_two_price_lists_are_compared_price_by_price() -> None:
    compare = runpy.run_path(str(BENCHMARKS / "price_lists.py"))["compare"]
    gemini = {"litellm_provider": "gemini", "input_cost_per_token": 1.25e-06, "output_cost_per_token_batches": 5e-06}
    document = {
        "gemini/gemini-2.5-pro": {**gemini, "input_cost_per_token_above_200k_tokens": 3e-06},
        "gemini/gemini-99": gemini,
        "somebody/else": {"litellm_provider": "somebody"},
    }
    counts, rows = compare(load_book(), document, None)
    assert counts == {
        "names": 2,
        "names we have": 1,
        "names we do not have": 1,
        "prices equal": 2,
        "prices that differ": 1,
    }
    assert [(row["kind"], row["above"], row["ours"], row["theirs"]) for row in rows] == [("input", 200_000, 2.5, 3)]
