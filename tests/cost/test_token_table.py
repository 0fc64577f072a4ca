import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.speeds import load_speeds
from costlib.cost.token import CONVENTIONS, usd_per_mtok
from costlib.cost.token_table import AMOUNTS, cost_per_token
from costlib.errors import InputError


def speeds(**changes: object) -> pd.DataFrame:
    row = {
        "model": "m",
        "device": "A100",
        "batch": 1,
        "prompt_tokens": 1000,
        "output_tokens": 500,
        "prefill_tokens_per_s": 5000.0,
        "decode_tokens_per_s": 50.0,
        "kind": "measured",
        "source": "run-1",
    }
    return pd.DataFrame([{name: value for name, value in (row | changes).items() if value is not ...}])


def only(frame: pd.DataFrame, convention: str) -> pd.Series:
    rows = frame[frame["convention"] == convention]
    assert len(rows) == 1
    return rows.iloc[0]


def test_token_2_from_the_published_speeds_of_70b_on_2_a100_llm_analysis_llama2_readme():
    """The shipped row: 128 tokens in 0.040 s, 242 in 9.425 s, two A100 at 2.21 $/h each."""
    published = load_speeds()
    published = published[published["source"].str.startswith("llm-analysis")]
    rows = cost_per_token(published, 2.21, conventions=["phase_time"])
    first, second = rows.iloc[0], rows.iloc[1]
    assert first["usd_per_hour"] == pytest.approx(4.42)
    assert first["input_usd_per_mtok"] / 1000 == pytest.approx(0.0003837, abs=5e-7)
    assert first["output_usd_per_mtok"] / 1000 == pytest.approx(0.0478, abs=5e-5)
    assert second["input_usd_per_mtok"] / 1000 == pytest.approx(0.000297, abs=5e-7)
    assert second["output_usd_per_mtok"] / 1000 == pytest.approx(0.0017, abs=5e-5)


def test_by_hand_at_3_60_an_hour():
    """0.001 $ per second: 0.2 s of prefill and 10 s of decode are 0.0102 $ per request."""
    frame = cost_per_token(speeds(), 3.6, output_to_input_price_ratio=4, success_rate=0.5)
    for convention, rate_in, rate_out in [
        ("phase_time", 0.2, 20),
        ("price_ratio", 3.4, 13.6),
        ("output_carries_all", 0, 20.4),
    ]:
        row = only(frame, convention)
        assert row["input_usd_per_mtok"] == pytest.approx(rate_in)
        assert row["output_usd_per_mtok"] == pytest.approx(rate_out)
        assert row["blended_usd_per_mtok"] == pytest.approx(6.8)
        assert row["usd_per_request"] == pytest.approx(0.0102)
        assert row["usd_per_1k_requests"] == pytest.approx(10.2)
        assert row["usd_per_good_answer"] == pytest.approx(0.0204)
        assert row["kind"] == "derived"
        assert row["speed_kind"] == "measured"
        assert pd.isna(row["reason"])


def test_phase_time_is_the_identity_at_the_speeds_shown():
    row = only(cost_per_token(speeds(), 3.6), "phase_time")
    assert row["output_usd_per_mtok"] == pytest.approx(float(usd_per_mtok(3.6, row["decode_tokens_per_s"])))
    assert row["input_usd_per_mtok"] == pytest.approx(float(usd_per_mtok(3.6, row["prefill_tokens_per_s"])))


@settings(max_examples=25, deadline=None)
@given(
    prefill=st.floats(1, 1e6),
    decode=st.floats(0.1, 1e5),
    prompt=st.integers(1, 100_000),
    output=st.integers(1, 10_000),
    rate=st.floats(0.01, 1000),
    utilization=st.floats(0.01, 1),
)
def test_conventions_agree_on_the_bill_of_a_request(prefill, decode, prompt, output, rate, utilization):
    table = speeds(prefill_tokens_per_s=prefill, decode_tokens_per_s=decode, prompt_tokens=prompt, output_tokens=output)
    frame = cost_per_token(table, rate, output_to_input_price_ratio=3, utilization=utilization)
    bill = rate / 3600 * (prompt / prefill + output / decode) / utilization
    charged = (prompt * frame["input_usd_per_mtok"] + output * frame["output_usd_per_mtok"]) / 1e6
    assert charged.to_numpy() == pytest.approx(np.full(3, bill), rel=1e-9)
    assert frame["usd_per_request"].to_numpy() == pytest.approx(np.full(3, bill), rel=1e-9)


def test_utilization_divides_the_tokens_of_a_paid_hour():
    full, third = (only(cost_per_token(speeds(), 1.5, utilization=u), "phase_time") for u in (1.0, 0.3))
    assert third["output_usd_per_mtok"] == pytest.approx(full["output_usd_per_mtok"] / 0.3)
    assert third["usd_per_hour"] == full["usd_per_hour"] == 1.5
    assert third["utilization_kind"] == "assumed"


def test_the_interval_takes_the_worst_of_rate_and_speed():
    table = speeds(decode_tokens_per_s_low=40, decode_tokens_per_s_high=60, prefill_tokens_per_s_low=4000,
                   prefill_tokens_per_s_high=6000)  # fmt: skip
    row = only(cost_per_token(table, (3.0, 3.6, 4.0)), "phase_time")
    assert row["output_usd_per_mtok_low"] == pytest.approx(float(usd_per_mtok(3.0, 60)))
    assert row["output_usd_per_mtok_high"] == pytest.approx(float(usd_per_mtok(4.0, 40)))
    assert row["input_usd_per_mtok_high"] == pytest.approx(float(usd_per_mtok(4.0, 4000)))
    assert pd.isna(row["interval_reason"])
    for name in AMOUNTS[:-2]:
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_a_missing_interval_has_its_reason():
    none = only(cost_per_token(speeds(), 3.6), "phase_time")
    assert pd.isna(none["output_usd_per_mtok_low"])
    assert none["interval_reason"] == "no interval is known for the rate or the prefill speed or the decode speed"
    rate_only = only(cost_per_token(speeds(), (3, 3.6, 4)), "phase_time")
    assert rate_only["output_usd_per_mtok_high"] == pytest.approx(float(usd_per_mtok(4, 50)))
    assert rate_only["interval_reason"] == "leaves out the spread of the prefill speed and the decode speed"


def test_without_a_prefill_speed_only_the_output_rate_is_known():
    frame = cost_per_token(speeds(prefill_tokens_per_s=None), 3.6)
    row = only(frame, "phase_time")
    assert row["output_usd_per_mtok"] == pytest.approx(20)
    assert row[["input_usd_per_mtok", "blended_usd_per_mtok", "usd_per_request"]].isna().all()
    assert row["reason"] == "no prefill speed is known"
    assert only(frame, "output_carries_all")[list(AMOUNTS)].isna().all()


def test_one_new_token_has_no_decode_phase_and_its_bill_falls_on_the_input():
    frame = cost_per_token(speeds(output_tokens=1, decode_tokens_per_s=None), 3.6)
    row = only(frame, "phase_time")
    assert row["input_usd_per_mtok"] == pytest.approx(0.2)
    assert pd.isna(row["output_usd_per_mtok"])
    assert row["reason"] == "one new token comes out of prefill: no decode phase to charge it by"
    assert row["usd_per_request"] == pytest.approx(0.0002)
    assert only(frame, "output_carries_all")["output_usd_per_mtok"] == pytest.approx(200)


def test_unknown_lengths_leave_the_phase_rates():
    row = only(cost_per_token(speeds(prompt_tokens=None, output_tokens=None), 3.6), "phase_time")
    assert row["input_usd_per_mtok"] == pytest.approx(0.2)
    assert row["output_usd_per_mtok"] == pytest.approx(20)
    assert pd.isna(row["blended_usd_per_mtok"])
    assert "prompt_tokens and output_tokens unknown" in row["reason"]


def test_a_throughput_over_the_whole_time_is_not_split_by_phase():
    table = speeds(prefill_tokens_per_s=None, metric="output tokens/s at maximum load")
    frame = cost_per_token(table, 3.6, output_to_input_price_ratio=4)
    phase = only(frame, "phase_time")
    assert phase[["input_usd_per_mtok", "output_usd_per_mtok"]].isna().all()
    assert "mixes prefill and decode" in phase["reason"]
    assert phase["usd_per_request"] == pytest.approx(0.01)
    assert only(frame, "output_carries_all")["output_usd_per_mtok"] == pytest.approx(20)
    assert only(frame, "price_ratio")["input_usd_per_mtok"] == pytest.approx(0.01 / 3000 * 1e6)
    other = cost_per_token(table, 3.6, prompt_tokens=10, output_tokens=10)
    assert other[list(AMOUNTS)].isna().all(axis=None)
    assert other["reason"].str.contains("holds only for").all()


def test_a_failed_measurement_keeps_its_reason():
    table = speeds(status="oom", reason="needs 141 GB", prefill_tokens_per_s=None, decode_tokens_per_s=None)
    frame = cost_per_token(table, 3.6)
    assert frame[list(AMOUNTS)].isna().all(axis=None)
    assert set(frame["reason"]) == {"not measured (oom): needs 141 GB"}


def test_rates_by_device_and_devices_per_row():
    table = pd.concat([speeds(devices=2), speeds(device="L4")], ignore_index=True)
    frame = cost_per_token(table, {"A100": 2.21}, conventions=["phase_time"])
    assert frame["usd_per_hour"].tolist()[0] == pytest.approx(4.42)
    assert pd.isna(frame["usd_per_hour"].tolist()[1])
    assert frame["reason"].tolist()[1] == "no hourly rate is given for device 'L4'"


def test_batch_does_not_change_the_rates_because_speeds_are_of_the_whole_batch():
    one, many = (cost_per_token(speeds(batch=b), 3.6)[list(AMOUNTS)] for b in (1, 32))
    pd.testing.assert_frame_equal(one, many)


def test_a_request_for_another_mix_is_priced_at_the_same_speeds():
    row = only(cost_per_token(speeds(), 3.6, prompt_tokens=5000, output_tokens=50), "phase_time")
    assert row["usd_per_request"] == pytest.approx(0.002)
    assert (row["prompt_tokens"], row["output_tokens"]) == (5000, 50)


def test_requests_without_output_or_without_tokens():
    prefill_only = cost_per_token(speeds(output_tokens=0, decode_tokens_per_s=None), 3.6)
    assert only(prefill_only, "phase_time")["input_usd_per_mtok"] == pytest.approx(0.2)
    assert pd.isna(only(prefill_only, "phase_time")["output_usd_per_mtok"])
    assert only(prefill_only, "output_carries_all")["reason"] == "there are no output tokens to carry the bill"
    nothing = cost_per_token(speeds(output_tokens=0, prompt_tokens=0), 3.6)
    assert nothing["blended_usd_per_mtok"].isna().all()
    assert nothing["reason"].str.contains("without tokens").all()
    generated = cost_per_token(speeds(prompt_tokens=0, prefill_tokens_per_s=None), 3.6)
    assert only(generated, "phase_time")["usd_per_request"] == pytest.approx(0.01)


def test_every_shipped_speed_gets_finite_amounts_or_a_reason():
    frame = cost_per_token(load_speeds(), (2, 3, 4), output_to_input_price_ratio=4)
    assert len(frame) == 3 * len(load_speeds())
    amounts = frame[[name for name in frame if name.startswith(("usd", "input", "output_usd", "blended"))]]
    known = amounts.to_numpy(dtype=float)
    assert np.isfinite(known[~np.isnan(known)]).all()
    assert (known[~np.isnan(known)] >= 0).all()
    unknown = frame[["input_usd_per_mtok", "output_usd_per_mtok", "usd_per_request"]].isna().any(axis=1)
    assert frame.loc[unknown, "reason"].notna().all()


def test_an_empty_table_stays_a_table():
    frame = cost_per_token(speeds().iloc[:0], 3.6)
    assert len(frame) == 0
    assert set(AMOUNTS) <= set(frame.columns)


@pytest.mark.parametrize(
    ("table", "rate", "options", "message"),
    [
        (speeds(), 0, {}, "usd_per_hour is 0"),
        (speeds(), -1, {}, "usd_per_hour is -1"),
        (speeds(), (3, 2, 1), {}, "low <= base <= high"),
        (speeds(), 1, {"utilization": 0}, "utilization is 0"),
        (speeds(), 1, {"utilization": 1.1}, "utilization is 1.1"),
        (speeds(), 1, {"success_rate": 0}, "success_rate is 0"),
        (speeds(), 1, {"conventions": ["mine"]}, "convention is 'mine'"),
        (speeds(), 1, {"prompt_tokens": -1}, "prompt_tokens is -1"),
        (speeds(decode_tokens_per_s=0.0), 1, {}, "speeds row 0: decode_tokens_per_s is 0.0"),
        (speeds(decode_tokens_per_s=-5.0), 1, {}, "speeds row 0: decode_tokens_per_s is -5.0"),
        (speeds(devices=0), 1, {}, "speeds row 0: devices is 0"),
        (speeds(prefill_tokens_per_s=..., decode_tokens_per_s=...), 1, {}, "at least one of prefill_tokens_per_s"),
    ],
)
def test_bad_input_is_refused(table, rate, options, message):
    with pytest.raises(InputError, match=message):
        cost_per_token(table, rate, **options)


def test_conventions_come_in_order():
    assert cost_per_token(speeds(), 1)["convention"].tolist() == list(CONVENTIONS)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0.01, 1e4), dearer=st.floats(0, 1e4), prompt=st.integers(0, 10_000), more=st.integers(0, 10_000))
def test_cost_rises_with_the_rate_and_the_tokens(rate, dearer, prompt, more):
    low, high = (cost_per_token(speeds(), r, output_to_input_price_ratio=2)[AMOUNTS[0]] for r in (rate, rate + dearer))
    assert (low <= high).all()
    short, long = (cost_per_token(speeds(), rate, prompt_tokens=p)["usd_per_request"] for p in (prompt, prompt + more))
    assert (short <= long).all()
