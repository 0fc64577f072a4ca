"""The simulation behind the rules of repeating and comparing, at a depth a test can afford; seeded."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_false_alarms_stay_rare_and_a_slowdown_of_5_percent_is_found() -> None:
    simulation = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "repeat_simulation.py"))
    noise, budget_s = simulation["LEVELS"]["quiet"]
    found = simulation["simulate"](noise, budget_s, pairs=60)
    assert found["false_alarms_per_100"] <= 5 and found["found_per_100"] >= 90
    assert 5 <= found["processes"] < 10
    vague = simulation["simulate"](simulation["LEVELS"]["virtual machine"][0], 60.0, pairs=20)
    assert vague["found_per_100"] < 50  # a spread of 13 % hides 5 %: it must not be found by luck
