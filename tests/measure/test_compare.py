from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import run_row

from costlib.errors import InputError
from costlib.measure.compare import APART, compare
from costlib.measure.run import measurements
from costlib.store import Store
from costlib.tables import RUNS

ENVIRONMENT = {"cpu": "test", "cores": 2, "packages": {"torch": "2.13.0"}, "gpu": None}


def keep(root: Path, precision: str, times: list[float], campaign: str = "1", **changes: Any) -> Store:
    store = Store(root)
    environment = ENVIRONMENT | changes.pop("environment", {})
    for number, time in enumerate(times):
        run = f"{campaign}-{precision}-{number}"
        row = run_row(run_id=run, campaign=campaign, precision=precision, decode_s=[time], **changes)
        store.write(RUNS, pd.DataFrame([row | {"environment": json.dumps(environment)}]), run)
    return store


def test_two_precisions_are_compared_by_process(tmp_path: Path) -> None:
    keep(tmp_path, "bf16", [2.0, 2.01, 1.99, 2.0], weight_bytes=1000)
    store = keep(tmp_path, "nf4", [1.0, 1.01, 0.99, 1.0], weight_bytes=250)
    found = compare("precision=bf16", "precision=nf4", across="precision", store=store)
    rows = {row["metric"]: row for row in found.rows.to_dict("records")}
    decode = rows["decode_tokens_per_s"]
    assert decode["ratio"] == pytest.approx(2, rel=1e-3) and decode["verdict"] == "faster"
    assert decode["ratio_low"] < 2 < decode["ratio_high"] and decode["p_value"] < 0.01
    assert decode["second"] == pytest.approx(measurements(store).set_index("precision")["decode_tokens_per_s"]["nf4"])
    assert rows["ttft_s"]["verdict"] == "no difference shown" and rows["ttft_s"]["p_value"] == 1
    weights = rows["weight_bytes"]
    assert (weights["ratio"], weights["verdict"], weights["reason"]) == (0.25, "less", "counted, not sampled")
    assert "energy_j_per_output_token" not in rows and rows["peak_bytes"]["verdict"] == "equal"
    slower = compare("precision=nf4", "precision=bf16", across=["precision"], store=store).rows
    assert slower.set_index("metric")["verdict"]["decode_tokens_per_s"] == "slower"


def test_processes_that_took_turns_are_pairs_so_drift_of_the_machine_cancels(tmp_path: Path) -> None:
    drift = [1.0, 1.2, 0.9, 1.4]
    keep(tmp_path, "bf16", drift)
    store = keep(tmp_path, "nf4", [1.03 * one for one in drift])
    found = compare("precision=bf16", "precision=nf4", across="precision", store=store)
    row = found.rows.set_index("metric").loc["decode_tokens_per_s"]
    assert found.interleaved and row["verdict"] == "slower" and pd.isna(row["reason"])
    assert row["ratio_low"] == pytest.approx(1 / 1.03) == row["ratio_high"]
    keep(tmp_path, "int8", [1.03 * one for one in drift], campaign="2")
    found = compare("precision=bf16", "precision=int8", across="precision", store=store)
    row = found.rows.set_index("metric").loc["decode_tokens_per_s"]
    assert not found.interleaved and row["verdict"] == "no difference shown" and row["reason"] == APART


def test_a_round_in_which_one_side_was_disturbed_is_no_pair(tmp_path: Path) -> None:
    for precision, flagged in (("bf16", 1), ("nf4", 2)):
        for number in range(5):
            row = run_row(run_id=f"{precision}{number}", campaign="1", precision=precision, decode_s=[1.0 + number])
            row["flags"] = ["power cap"] if number == flagged else [""]
            if number == flagged:
                row["decode_s"] = [50.0]
            store = Store(tmp_path)
            store.write(RUNS, pd.DataFrame([row | {"environment": json.dumps(ENVIRONMENT)}]), row["run_id"])
    rows = compare("precision=bf16", "precision=nf4", across="precision", store=store).rows.set_index("metric")
    assert rows["ratio_low"]["decode_tokens_per_s"] == 1 == rows["ratio_high"]["decode_tokens_per_s"]


def test_twice_the_batch_is_compared_in_tokens_not_in_seconds(tmp_path: Path) -> None:
    keep(tmp_path, "bf16", [2.0] * 4, batch=1)
    store = keep(tmp_path, "bf16", [2.0] * 4, campaign="2", batch=2)
    found = compare("batch=1", "batch=2", across="batch", store=store).rows.set_index("metric")
    assert found["ratio"]["decode_tokens_per_s"] == pytest.approx(2)


def test_energy_is_compared_where_both_have_it(tmp_path: Path) -> None:
    power = {"energy_idle_w": 0.0, "energy_window_s": 10.0}
    keep(tmp_path, "bf16", [2.0] * 3, energy_j=220.0, **power)
    store = keep(tmp_path, "nf4", [2.0] * 3, energy_j=110.0, **power)
    found = compare("precision=bf16", "precision=nf4", across="precision", store=store).rows.set_index("metric")
    assert found["ratio"]["energy_j_per_output_token"] == pytest.approx(0.5)
    assert found["verdict"]["energy_j_per_output_token"] == "less"


def test_a_run_a_campaign_or_a_part_of_an_id_names_its_measurement(tmp_path: Path) -> None:
    keep(tmp_path, "bf16", [2.0] * 4, campaign="2026a")
    store = keep(tmp_path, "bf16", [1.0] * 4, campaign="2026b")
    for second in ("2026b", "2026b-bf16-0", "2026b-bf", "2026b,precision=bf16", "precision=bf16"):
        found = compare("2026a", second, store=store)
        assert (found.first["campaign"], found.second["campaign"]) == ("2026a", "2026b")
        assert found.second["processes"] == 4
        assert found.rows.set_index("metric")["ratio"]["decode_tokens_per_s"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 4}, "batch is 2 against 4"),
        ({"model": "path:other"}, "model is 'path:tiny' against 'path:other'"),
        ({"prompt_tokens": 7}, "prompt_tokens is 100 against 7"),
        ({"environment": {"packages": {"torch": "2.12.0"}}}, "torch is '2.13.0' against '2.12.0'"),
        ({"environment": {"gpu": {"driver": "580"}}}, "driver is None against '580'"),
        ({"environment": {"cores": 64}}, "cores is 2 against 64"),
        ({"attention": "eager"}, "attention is None against 'eager'"),
    ],
)
def test_unlike_measurements_are_refused_by_key_and_both_values(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    keep(tmp_path, "bf16", [2.0] * 4)
    store = keep(tmp_path, "nf4", [1.0] * 4, campaign="2", **changes)
    with pytest.raises(InputError, match=f"{message}; allowed: measurements that agree"):
        compare("1", "2", across="precision", store=store)
    key = message.split()[0]
    assert not compare("1", "2", across=["precision", key], store=store).rows.empty


def test_another_device_brings_its_driver_and_processor_along(tmp_path: Path) -> None:
    keep(tmp_path, "bf16", [2.0] * 4)
    other = {"cpu": "other", "cores": 26, "gpu": {"driver": "580", "power_limit_w": 700.0}}
    store = keep(tmp_path, "bf16", [1.0] * 4, campaign="2", device="NVIDIA H100", environment=other)
    with pytest.raises(InputError, match=r"device is 'CPU, 2 cores .test.' against 'NVIDIA H100'"):
        compare("1", "2", store=store)
    assert not compare("1", "device=NVIDIA H100", across="device", store=store).rows.empty
    assert compare("device=CPU, 2 cores (test)", "2", across="device", store=store).first["campaign"] == "1"


@pytest.mark.parametrize(
    ("first", "across", "message"),
    [
        ("3", "", "first is '3'; allowed: a stored measurement"),
        ("", "", "first is ''; allowed: a stored measurement"),
        ("colour=red", "", "first is 'colour=red'; allowed: the id of"),
        ("model=path:tiny", "", "this picks 2, which differ in precision: bf16, nf4"),
        ("precision=nf4", "precision", r"a measurement with status ok \(this one is oom: did not fit\)"),
        ("precision=bf16", "colour", "across is 'colour'; allowed: one of"),
    ],
)
def test_bad_choices_are_refused_in_one_sentence(tmp_path: Path, first: str, across: str, message: str) -> None:
    keep(tmp_path, "bf16", [2.0] * 4)
    store = keep(tmp_path, "nf4", [1.0], status="oom", reason="did not fit")
    with pytest.raises(InputError, match=message):
        compare(first, "precision=bf16", across=[across] if across else [], store=store)


def test_committed_measurements_are_read_beside_the_store_and_newer_rows_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = keep(tmp_path / "reference", "bf16", [2.0] * 4)
    monkeypatch.setattr("costlib.measure.run.measurements_dir", lambda: committed.root)
    store = keep(tmp_path / "own", "nf4", [1.0] * 4)
    assert list(measurements(store)["precision"]) == ["bf16", "nf4"]
    assert len(measurements(committed)) == 1 and measurements(committed)["processes"].iloc[0] == 4
    assert not compare("precision=bf16", "precision=nf4", across="precision", store=store).rows.empty
    keep(tmp_path / "own", "bf16", [4.0] * 4, campaign="2")
    newest = measurements(store).set_index("precision")
    assert newest["tpot_s"]["bf16"] == pytest.approx(0.4) and newest["campaign"]["bf16"] == "2"
