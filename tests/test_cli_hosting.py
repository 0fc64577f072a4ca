"""Machines from the command line: spread of rates, the owned hour, and capacity from a profile or a log."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlib.cli import main as cli


@pytest.fixture
def costlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["costlib", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def test_the_same_eight_h100_differ_between_clouds(costlib: Any) -> None:
    """published_rates.csv, AWS 55.04 and Azure 98.32 $/h: 1.8 times."""
    rows = json.loads(costlib("rates", "H100 SXM", "--devices", 8, "--json")[1])["rows"]
    node = {row["provider"]: float(row["node_usd_per_hour"]) for row in rows}
    assert {row["devices"] for row in rows} == {8} and node["Azure"] / node["AWS"] == pytest.approx(1.786, abs=1e-3)
    shown = costlib("rates", "H100 SXM", "--devices", 8)[1]
    assert "the dearest costs 3.08 times the cheapest" in shown and "8 for 55.04" in shown


def test_a_day_before_some_devices_were_seen_lists_the_others(costlib: Any) -> None:
    seen = {row["device"] for row in json.loads(costlib("rates", "--as-of", "2026-09-10", "--json")[1])["rows"]}
    assert "H100 SXM" in seen and "A10G" not in seen
    code, _, err = costlib("rates", "--as-of", "2020-01-01")
    assert code == 2 and "first observation" in err
    assert costlib("rates", "--devices", 8)[0] == 2


def test_an_owned_hour_by_hand(costlib: Any) -> None:
    """(280000 - 28000) / 35040 h + 10.2 kW * 1.3 * 0.12 $/kWh."""
    words = ("--capex", 280_000, "--residual", 28_000, "--life-years", 4, "--kw", 10.2, "--pue", 1.3)
    found = json.loads(costlib("owned", *words, "--usd-per-kwh", 0.12, "--json")[1])
    assert float(found["usd_per_hour"]) == pytest.approx(252_000 / 35_040 + 10.2 * 1.3 * 0.12)
    assert "whole hour" in costlib("owned", *words, "--usd-per-kwh", 0.12)[1]
    assert costlib("owned", *words[:4], "--life-years", 0, "--kw", 1, "--usd-per-kwh", 1)[0] == 2


def test_whole_nodes_are_paid_where_the_rate_is_of_a_node(costlib: Any) -> None:
    """One replica of two GPUs on an AWS node of eight: 55.04 $/h for 730 h."""
    asked = ("--requests-per-month", 1000, "--requests-per-s", 1, "--devices-per-replica", 2)
    rate = ("--device", "H100 SXM", "--rate-provider", "AWS")
    found = json.loads(costlib("capacity", *asked, *rate, "--json")[1])
    assert (found["replicas"], found["nodes"], found["devices"]) == (1, 1, 8)
    assert found["usd_per_month"]["base"] == pytest.approx(55.04 * 730)
    alone = json.loads(costlib("capacity", *asked, *rate, "--node-devices", 1, "--json")[1])
    assert alone["usd_per_month"]["base"] == pytest.approx(55.04 * 730 / 4)


def test_a_log_and_an_hourly_profile_size_the_busy_hours(costlib: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    gaps = [random.exponential(1 / rate, int(3600 * rate)) for rate in (0.1, 2.0, 0.1)]
    start = np.datetime64("2026-11-02T00:00:00", "ms")
    times = start + (np.cumsum(np.concatenate(gaps)) * 1000).astype("timedelta64[ms]")
    (tmp_path / "log.csv").write_text("timestamp\n" + "\n".join(map(str, times)) + "\n", encoding="utf-8")
    one = ("--requests-per-s", 1, "--usd-per-hour", 1, "--scaling", "hourly")
    found = json.loads(costlib("capacity", "--log", tmp_path / "log.csv", *one, "--json")[1])
    assert max(found["replicas_by_period"]) > min(found["replicas_by_period"]) == 1
    assert found["utilization"]["kind"] == "derived" and "log of" in found["utilization"]["source"]
    weights = ",".join(["1"] * 12 + ["3"] * 12)
    hourly = ("--requests-per-month", 2_628_000 * 2, "--hourly", weights)
    assert json.loads(costlib("capacity", *hourly, *one, "--json")[1])["replicas_by_period"] == [1] * 12 + [3] * 12
    assert "typed: at most 0.4" in costlib("capacity", *hourly, *one, "--utilization", 0.4)[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--requests-per-month", "1", "--hourly", "a"), "--hourly is 'a'"),
        (("--requests-per-month", "1", "--hourly", "1,2"), "hourly weights is 2"),
        (("--requests-per-month", "-1"), "requests_per_month is -1"),
        (("--log", "nowhere.csv"), "nowhere.csv: cannot be read"),
        (("--log", "nowhere.csv", "--requests-per-month", "1"), "log is 'nowhere.csv'; allowed: nothing beside it"),
        (("--requests-per-month", "1", "--scaling", "yearly"), "scaling is 'yearly'"),
        (("--requests-per-month", "1", "--node-devices", "0"), "node_devices is 0"),
    ],
)
def test_capacity_refuses_what_does_not_fit(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = costlib("capacity", *words, "--requests-per-s", 1, "--usd-per-hour", 1)
    assert code == 2 and out == "" and err.count("\n") == 1 and sentence in err
