from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.token import CONVENTIONS, per_good_answer, split, usd_per_mtok
from costlib.cost.token_table import cost
from costlib.errors import InputError

BILLS = st.decimals(min_value="0.000001", max_value="1000000", places=6)
TOKENS = st.integers(1, 10**12)
SECONDS = st.floats(1e-6, 1e9)


@pytest.mark.parametrize(
    ("tokens_per_s", "published"),
    [(1000, "0.7778"), (500, "1.5556"), (200, "3.8889")],
    ids=["total", "output", "input"],
)
def test_token_1_usd_per_mtok_from_throughput_inferencex_app_unit_tests(tokens_per_s, published):
    assert round(usd_per_mtok(2.80, tokens_per_s), 4) == Decimal(published)


def test_token_1_the_three_views_of_an_hour_never_add_up_inferencex_app_unit_tests():
    output, both = usd_per_mtok(2.80, 500), usd_per_mtok(2.80, 1000)
    assert output + usd_per_mtok(2.80, 200) != both


def test_token_2_phase_time_split_of_70b_on_2_a100_llm_analysis_llama2_readme():
    """Batch 1: 128 prompt tokens in 0.040 s, 242 new tokens in 9.425 s, on two A100 at 2.21 $/h each."""
    bill = Decimal("2.21") * 2 / 3600 * (Decimal("0.040") + Decimal("9.425"))
    rates = split(bill, 128, 242, prefill_s=0.040, decode_s=9.425)
    assert round(rates.input_usd_per_mtok / 1000, 6) == Decimal("0.000384")  # published cut to 0.000383
    assert Decimal("0.000383") <= rates.input_usd_per_mtok / 1000 < Decimal("0.000384")
    assert round(rates.output_usd_per_mtok / 1000, 4) == Decimal("0.0478")


def test_token_2_second_row_at_batch_32_llm_analysis_llama2_readme():
    """Batch 32: 512 prompt tokens each in 3.963 s, 512 new tokens each in 22.981 s."""
    bill = Decimal("2.21") * 2 / 3600 * (Decimal("3.963") + Decimal("22.981"))
    rates = split(bill, 32 * 512, 32 * 512, prefill_s=3.963, decode_s=22.981)
    assert round(rates.input_usd_per_mtok / 1000, 6) == Decimal("0.000297")
    assert round(rates.output_usd_per_mtok / 1000, 4) == Decimal("0.0017")


@settings(max_examples=80, deadline=None)
@given(bill=BILLS, tokens_in=TOKENS, tokens_out=TOKENS, prefill=SECONDS, decode=SECONDS, ratio=st.floats(0.01, 100))
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_conserves_the_bill_exactly(convention, bill, tokens_in, tokens_out, prefill, decode, ratio):
    rates = split(
        bill,
        tokens_in,
        tokens_out,
        convention,
        prefill_s=prefill,
        decode_s=decode,
        output_to_input_price_ratio=ratio,
    )
    assert rates.input_usd + rates.output_usd == bill
    assert (tokens_in * rates.input_usd_per_mtok + tokens_out * rates.output_usd_per_mtok) / 1_000_000 == bill
    assert all(rate >= 0 and rate.is_finite() for rate in (rates.input_usd_per_mtok, rates.output_usd_per_mtok))
    low, high = sorted((rates.input_usd_per_mtok, rates.output_usd_per_mtok))
    nearly = Decimal("1e-20") * high
    assert low - nearly <= rates.blended_usd_per_mtok <= high + nearly


def test_price_ratio_charges_an_output_token_the_ratio_of_an_input_token():
    rates = split(8, 3_000_000, 1_000_000, "price_ratio", output_to_input_price_ratio=5)
    assert (rates.input_usd_per_mtok, rates.output_usd_per_mtok) == (1, 5)


def test_output_carries_all_leaves_input_free():
    rates = split(8, 3_000_000, 1_000_000, "output_carries_all")
    assert (rates.input_usd_per_mtok, rates.output_usd_per_mtok, rates.blended_usd_per_mtok) == (0, 8, 2)


def test_a_rate_without_tokens_is_unknown_not_zero():
    rates = split(8, 4_000_000, 0, prefill_s=2, decode_s=0)
    assert rates.output_usd_per_mtok is None
    assert rates.input_usd_per_mtok == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0, 0), "bill without tokens"),
        ((-1, 1, 1), "bill_usd is -1"),
        ((1, True, 1), "input_tokens is True"),
        ((1, False, 1), "input_tokens is False"),
        ((1, 5e-324, 1), "input_tokens is 5e-324"),
        ((1, 1e15, 1), "input_tokens is 1000000000000000.0; allowed: .* below 1e15"),
        ((1, 1, float("nan")), "output_tokens is nan"),
        (
            (1, 1, 1, "by_feeling"),
            "convention is 'by_feeling'; allowed: one of output_carries_all, phase_time, price_ratio",
        ),
        ((1, 1, 1, "price_ratio"), "output_to_input_price_ratio is None"),
        ((1, 5, 0, "output_carries_all"), "output_tokens is 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    seconds = {"prefill_s": 1, "decode_s": 1}
    with pytest.raises(InputError, match=message):
        split(*arguments, **seconds)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ({}, "prefill_s is None"),
        ({"prefill_s": 1}, "decode_s is None"),
        ({"prefill_s": 0, "decode_s": 0}, "above 0 seconds"),
        ({"prefill_s": float("inf"), "decode_s": 1}, "prefill_s is inf"),
    ],
)
def test_phase_time_needs_both_phases(seconds, message):
    with pytest.raises(InputError, match=message):
        split(1, 1, 1, **seconds)


def test_phase_time_refuses_a_share_for_tokens_that_are_not_there():
    with pytest.raises(InputError, match="input_tokens is 0"):
        split(1, 0, 10, prefill_s=1, decode_s=1)


@pytest.mark.parametrize(("rate", "speed"), [(0, 1), (1, 0), (-1, 1), (1, float("inf")), (True, 1)])
def test_a_rate_or_speed_of_zero_or_worse_is_refused(rate, speed):
    with pytest.raises(InputError):
        usd_per_mtok(rate, speed)


def test_per_good_answer():
    assert per_good_answer(Decimal("0.0035"), 0.7) == Decimal("0.005")
    for nonsense in (0, 1.2, True):
        with pytest.raises(InputError, match="success_rate"):
            per_good_answer(1, nonsense)


def test_embeddings_per_million_tokens_and_documents():
    """3.6 $/h at 10,000 tokens/s is 0.1 $ per Mtok; at 50 % utilization the same hour embeds half as much."""
    for utilization, documents in ((1.0, 25), (0.5, 50)):
        asked = {"prefill_tokens_per_s": 10_000, "prompt_tokens": 250, "output_tokens": 0, "usd_per_hour": 3.6}
        row = cost(**asked, utilization=utilization).iloc[0]
        assert row["input_usd_per_mtok"] == pytest.approx(0.1 / utilization)
        assert row["usd_per_million_documents"] == pytest.approx(documents)
