"""A row from raw runs: its energy and what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from samples import run_row, runs_frame

from costlib.measure.summarise import summarise

POWER: dict[str, Any] = {"energy_idle_w": 5.0, "energy_window_s": 10.0, "energy_scope": "GPU board"}
FOREIGN = "another process used the GPU"


def row_of(*runs: dict[str, Any]) -> dict[str, Any]:
    return summarise(runs_frame(*(run_row(run_id=str(i), **POWER, **run) for i, run in enumerate(runs))))


def test_net_energy_has_the_interval_of_its_processes() -> None:
    """50 and 72 J net of 22 new tokens each (2 x 11): sqrt(50 * 72) = 60 J, Student's t of two on the logarithms."""
    row = row_of({"energy_j": 100.0}, {"energy_j": 122.0})
    assert row["energy_gross_j"] == 222 and row["energy_net_j"] == 122
    assert row["energy_j_per_output_token"] == pytest.approx(60 / 22)
    assert row["energy_j_per_token"] == pytest.approx(60 / 222)
    low, high = row["energy_j_per_token_low"], row["energy_j_per_token_high"]
    assert low < row["energy_j_per_token"] < high and low * high == pytest.approx(row["energy_j_per_token"] ** 2)
    single = row_of({"energy_j": 100.0})
    assert single["energy_j_per_token"] == pytest.approx(50 / 222) and single.get("energy_j_per_token_low") is None
    assert "fewer than two processes" in json.loads(single["reasons"])["energy_j_per_token_low"]


def test_energy_of_a_window_with_a_neighbour_on_the_device_is_left_out() -> None:
    row = row_of({"energy_j": 100.0}, {"energy_j": 900.0, "flags": [FOREIGN]}, {"energy_j": 100.0})
    assert row["energy_gross_j"] == 200 and row["energy_j_per_output_token"] == pytest.approx(50 / 22)
    shared = row_of({"energy_j": 100.0, "flags": [FOREIGN]}, {"energy_j": 100.0, "flags": [FOREIGN]})
    assert shared.get("energy_gross_j") is None
    assert json.loads(shared["reasons"])["energy_gross_j"].startswith(f"{FOREIGN} in every window")
    busy = {"energy_j": 100.0, "flags": ["other processes used the CPU: 20%"]}
    assert row_of(busy, busy)["energy_gross_j"] == 200  # a GPU board's counter does not see the processor
    package = summarise(runs_frame(run_row(**POWER | {"energy_scope": "CPU package"}, **busy)))
    assert package.get("energy_gross_j") is None


def test_energy_that_one_process_cannot_tell_from_idle_has_no_interval() -> None:
    row = row_of({"energy_j": 49.0}, {"energy_j": 151.0})
    assert row["energy_j_per_output_token"] == pytest.approx(100 / 44) and row.get("energy_j_per_token_low") is None
    assert "not above idle" in row_of({"energy_j": 49.0}, {"energy_j": 51.0})["energy_reason"]


def test_speed_per_user_is_that_of_one_sequence() -> None:
    row = row_of({}, {})
    assert row["decode_tokens_per_s"] == pytest.approx(10) and row["decode_tokens_per_s_per_user"] == pytest.approx(5)
    assert row["decode_tokens_per_s_per_user"] * row["tpot_s"] == pytest.approx(1)
