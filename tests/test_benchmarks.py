"""The simulation behind the rules of repeating and comparing, at a depth a test can afford; seeded."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np


def test_false_alarms_stay_rare_and_a_slowdown_of_5_percent_is_found() -> None:
    simulation = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "repeat_simulation.py"))
    noise, budget_s = simulation["LEVELS"]["quiet"]
    found = simulation["simulate"](noise, budget_s, pairs=60)
    assert found["false_alarms_per_100"] <= 5 and found["found_per_100"] >= 90
    assert 5 <= found["processes"] < 10
    vague = simulation["simulate"](simulation["LEVELS"]["virtual machine"][0], 60.0, pairs=20)
    assert vague["found_per_100"] < 50  # a spread of 13 % hides 5 %: it must not be found by luck


def test_drift_alarms_keep_their_rate_and_find_a_drop_of_10_points() -> None:
    simulation = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "monitor_simulation.py"))
    rng = np.random.default_rng(5)
    assert simulation["false_alarms"](400, 400, rng) <= 0.05
    found = simulation["delays"](0.1, 100, 1200, rng)
    assert found["found"] == 1 and 100 < found["median_items"] < 400 and found["early"] <= 0.05
    assert simulation["misses"](20, 300, rng) <= 0.05
