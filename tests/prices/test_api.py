"""Prices of single requests: published cases, every kind of price, and the library's known gaps."""

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import genai_prices
import numpy as np
import pytest
from genai_prices.types import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.prices.api import cache_break_even, price_request
from costlib.prices.book import load_book
from costlib.prices.buckets import MOST_TOKENS
from costlib.prices.entries import DateOutsideCoverage, MissingPrice, TimeNeeded, UnknownTier

BOOK = load_book()


def total(model: str, provider: str | None = None, **request: Any) -> Decimal:
    return price_request(BOOK, model, provider, **({"output_tokens": 0} | request)).total


def test_api_1_price_of_a_request_from_genai_prices_tests() -> None:
    priced = price_request(BOOK, "gpt-4o", input_tokens=1000, output_tokens=100)
    assert priced.total == Decimal("0.0035")
    assert [(line.kind, line.tokens, line.usd_per_mtok) for line in priced.lines] == [
        ("input", 1000, Decimal("2.5")),
        ("output", 100, Decimal("10")),
    ]
    assert priced.lines[0].price_id == "genai-prices@0.2.3:openai/gpt-4o:input:standard:undated"
    assert (priced.provider, priced.currency, priced.source) == ("openai", "USD", "genai-prices@0.2.3")


def test_api_2_price_with_cache_buckets_from_genai_prices_tests() -> None:
    priced = price_request(
        BOOK, "claude-3.5-sonnet", input_tokens=1000, output_tokens=100, cached_tokens=30, cache_write_tokens=20
    )
    assert priced.total == Decimal("0.004434")
    assert {line.kind: line.tokens for line in priced.lines} == {
        "input": 950,
        "cache_read": 30,
        "cache_write_5m": 20,
        "output": 100,
    }


def test_api_3_long_context_is_a_cliff_from_genai_prices_tests_test_tiered_pricing() -> None:
    assert total("claude-sonnet-4-5", input_tokens=200_000) == Decimal("0.60")
    assert total("claude-sonnet-4-5", input_tokens=200_001) == Decimal("1.200006")


def test_the_cliff_counts_cached_tokens_and_reprices_the_output() -> None:
    below = total("claude-sonnet-4-5", input_tokens=200_000, cached_tokens=100_000, output_tokens=1000)
    above = total("claude-sonnet-4-5", input_tokens=200_001, cached_tokens=100_000, output_tokens=1000)
    assert below == Decimal("0.3") + Decimal("0.03") + Decimal("0.015")
    assert above == Decimal("0.600006") + Decimal("0.06") + Decimal("0.0225")


@pytest.mark.parametrize(("day", "usd"), [("2025-05-01", "14.00"), ("2025-07-01", "2.80")])
def test_api_4_price_as_of_a_day_from_genai_prices(day: str, usd: str) -> None:
    assert total("o3", input_tokens=1_000_000, output_tokens=100_000, as_of=day) == Decimal(usd)


def test_a_price_moves_on_its_first_day() -> None:
    assert total("o3", input_tokens=10**6, as_of="2025-06-09") == 10
    assert total("o3", input_tokens=10**6, as_of="2025-06-10") == 2


@pytest.mark.parametrize(
    ("model", "tier", "usd"),
    [
        ("o3", "standard", "10"),
        ("o3", "batch", "5"),
        ("o3", "flex", "5"),
        ("o3", "priority", "17.5"),
        ("o3", "fast", "17.5"),
        ("o3", "default", "10"),
        ("claude-opus-4-8", "fast", "60"),
    ],
)
def test_every_tier_has_its_own_price(model: str, tier: str, usd: str) -> None:
    assert total(model, input_tokens=10**6, output_tokens=10**6, tier=tier) == Decimal(usd)


def test_cache_writes_of_five_minutes_and_of_an_hour() -> None:
    million = 10**6
    assert total("claude-3-5-sonnet", input_tokens=million, cache_write_tokens=million) == Decimal("3.75")
    assert total("claude-3-5-sonnet", input_tokens=million, cache_write_1h_tokens=million) == 6


def test_an_embedding_is_input_alone() -> None:
    assert total("text-embedding-3-small", "openai", input_tokens=10**6) == Decimal("0.02")
    with pytest.raises(MissingPrice, match="price of output tokens"):
        total("text-embedding-3-small", "openai", input_tokens=1, output_tokens=1)


def test_reasoning_has_its_own_price_where_one_is_published_and_is_output_elsewhere() -> None:
    request: dict[str, Any] = {"input_tokens": 0, "output_tokens": 10**6, "reasoning_tokens": 600_000}
    assert total("gpt-5", **request) == 10
    priced = price_request(BOOK, "sonar-deep-research", "perplexity", **request)
    amounts = {line.kind: line.amount for line in priced.lines}
    assert amounts == {"output": Decimal("3.2"), "output_reasoning": Decimal("1.8")}


def test_a_fee_per_request_is_a_line_of_its_own() -> None:
    fees = [p for p in BOOK.prices if p.token_kind == "request" and p.tier == "standard"]
    assert fees
    priced = price_request(BOOK, fees[0].model, fees[0].provider, input_tokens=0, output_tokens=0)
    assert [(line.kind, line.tokens) for line in priced.lines] == [("request", 1)]
    assert priced.total == fees[0].amount / 10**6


def test_no_date_means_the_snapshot_day_and_the_result_says_so() -> None:
    unasked = price_request(BOOK, "gpt-4o", input_tokens=1, output_tokens=1)
    assert (unasked.as_of, unasked.as_of_given) == (date(2026, 11, 10), False)
    asked = price_request(BOOK, "gpt-4o", input_tokens=1, output_tokens=1, as_of=date(2026, 11, 1))
    assert (asked.as_of, asked.as_of_given) == (date(2026, 11, 1), True)


def test_a_price_without_a_published_first_day_says_so_on_days_before_the_snapshot() -> None:
    then = price_request(BOOK, "gpt-4o", input_tokens=1, output_tokens=1, as_of="2025-06-01").lines
    assert [line.doubt for line in then] == 2 * [
        "first day not published: taken to hold since 2025-05-22, perhaps before it was offered"
    ]
    assert price_request(BOOK, "gpt-4o", input_tokens=1, output_tokens=0).lines[0].doubt is None
    moved = price_request(BOOK, "o3", input_tokens=1, output_tokens=0, as_of="2025-06-10")
    assert moved.lines[0].doubt is None


def test_gap_a_day_before_the_first_price_gets_the_first_price_from_the_library_and_an_error_here() -> None:
    usage = Usage(input_tokens=10**6, output_tokens=0)
    at = datetime(2020, 1, 1)
    assert genai_prices.calc_price(usage, "o3", provider_id="openai", genai_request_timestamp=at).total_price == 10
    with pytest.raises(DateOutsideCoverage, match=r"'2020-01-01'; allowed: 2025-04-16 to 2026-11-10"):
        total("o3", input_tokens=10**6, as_of="2020-01-01")


def test_gap_service_tier_batch_is_ignored_by_the_library_and_is_the_batch_price_here() -> None:
    usage = Usage(input_tokens=10**6, output_tokens=0)
    context = {"service_tier": "batch"}
    at = datetime(2026, 11, 1)
    library = genai_prices.calc_price(
        usage, "o3", provider_id="openai", price_context=context, genai_request_timestamp=at
    )
    assert library.total_price == 2
    assert total("o3", input_tokens=10**6, tier="batch") == 1


def test_gap_an_unknown_context_is_ignored_by_the_library_and_an_error_here() -> None:
    usage = Usage(input_tokens=10**6, output_tokens=0)
    context = {"processing": "bathc"}
    at = datetime(2026, 11, 1)
    library = genai_prices.calc_price(
        usage, "o3", provider_id="openai", price_context=context, genai_request_timestamp=at
    )
    assert library.total_price == 2
    with pytest.raises(UnknownTier, match="tier is 'bathc'; allowed: one of batch, fast, flex, priority, standard"):
        total("o3", input_tokens=10**6, tier="bathc")


def test_gap_a_missing_embedding_batch_price_is_the_standard_one_in_the_library_and_an_error_here() -> None:
    usage = Usage(input_tokens=10**6)
    context = {"processing": "batch"}
    library = genai_prices.calc_price(usage, "text-embedding-3-small", provider_id="openai", price_context=context)
    assert library.total_price == Decimal("0.02")
    with pytest.raises(MissingPrice, match=r"tier of openai/text-embedding-3-small is 'batch'; .* standard"):
        total("text-embedding-3-small", "openai", input_tokens=10**6, tier="batch")


def test_gap_a_batch_rate_without_a_cached_rate_borrows_none() -> None:
    assert total("gpt-4o", input_tokens=10**6, tier="batch") == Decimal("1.25")
    with pytest.raises(MissingPrice, match="price of cache_read tokens in tier batch of openai/gpt-4o"):
        total("gpt-4o", input_tokens=10**6, cached_tokens=1, tier="batch")


def test_a_documented_batch_rate_for_cached_tokens_comes_from_our_own_entries() -> None:
    tokens = 250_000
    priced = price_request(
        BOOK, "gemini-2.5-pro", input_tokens=tokens, output_tokens=0, cached_tokens=tokens, tier="batch"
    )
    assert priced.lines[0].price_id == "missing.csv:google/gemini-2.5-pro:cache_read:batch:2026-10-14:>200000"
    assert priced.total == Decimal("0.0625")


def test_a_model_without_a_cached_price_has_none() -> None:
    with pytest.raises(MissingPrice, match="price of cache_read tokens"):
        total("llama-3.1-8b-instant", "groq", input_tokens=10, cached_tokens=5)


def test_batch_is_outside_coverage_before_it_was_verified() -> None:
    with pytest.raises(DateOutsideCoverage, match="2026-10-14 to 2026-11-10"):
        total("o3", input_tokens=1, tier="batch", as_of="2026-10-13")


def test_a_day_after_the_snapshot_is_outside_coverage() -> None:
    assert total("o3", input_tokens=10**6, as_of="2026-11-10") == 2
    with pytest.raises(DateOutsideCoverage, match="2026-11-11"):
        total("o3", input_tokens=10**6, as_of="2026-11-11")


def test_a_price_that_depends_on_the_hour_needs_one() -> None:
    with pytest.raises(TimeNeeded, match="depends on the hour"):
        total("deepseek-v4-pro", "deepseek", input_tokens=10**6)
    at = {"as_of": "2026-11-01T03:59"}
    assert total("deepseek-v4-pro", "deepseek", input_tokens=10**6, **at) == Decimal("1.32")
    assert total("deepseek-v4-pro", "deepseek", input_tokens=10**6, as_of="2026-11-01T04:00") == Decimal("0.66")
    in_berlin = datetime(2026, 11, 1, 4, 30, tzinfo=timezone(timedelta(hours=1)))
    assert total("deepseek-v4-pro", "deepseek", input_tokens=10**6, as_of=in_berlin) == Decimal("1.32")


@pytest.mark.parametrize("value", [-1, True, 1.0, float("nan"), float("inf"), "7", None, MOST_TOKENS, np.float64(3)])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cached_tokens", "cache_write_1h_tokens"])
def test_a_count_that_is_no_count_is_refused(field: str, value: Any) -> None:
    request = {"input_tokens": 10, "output_tokens": 10} | {field: value}
    with pytest.raises(InputError, match=f"{field} is .*; allowed: a whole number from 0 to 999999999999999"):
        price_request(BOOK, "claude-3-5-sonnet", **request)


def test_counts_of_numpy_are_fine() -> None:
    assert total("gpt-4o", input_tokens=np.int64(1000), output_tokens=np.int32(100)) == Decimal("0.0035")


def test_parts_beyond_the_whole_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"cached_tokens \+ cache_write_tokens is 11; allowed: at most input_tokens \(10\)"
    ):
        total("claude-3-5-sonnet", input_tokens=10, cached_tokens=6, cache_write_tokens=5)
    with pytest.raises(InputError, match="reasoning_tokens is 2; allowed: at most output_tokens"):
        total("gpt-5", input_tokens=0, output_tokens=1, reasoning_tokens=2)


def test_an_as_of_date_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="as-of date is 'yesterday'"):
        total("gpt-4o", input_tokens=1, as_of="yesterday")


NOISY = {
    (provider.id, model.id)
    for provider in genai_prices.data_snapshot.get_snapshot().providers
    for model in provider.models
    if re.search(r"\d\.\d{11}", repr(model.prices))
}
"""Models whose prices went through floats in the library."""


def test_a_price_that_went_through_a_float_is_the_one_that_was_published() -> None:
    assert total("Qwen/Qwen3-VL-8B-Instruct", "huggingface_together", input_tokens=10**6) == Decimal("0.18")
    assert 0 < len(NOISY) < 100


ANSWERED = [
    (provider, model)
    for (provider, model), prices in sorted(BOOK.by_model.items())
    if {"input", "output"} <= {p.token_kind for p in prices if p.tier == "standard"}
    and not any(p.hours or p.own or p.token_kind == "request" for p in prices)
    and (provider, model) not in NOISY
]


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(ANSWERED),
    st.integers(0, 600_000),
    st.integers(0, 100_000),
    st.integers(0, 2),
    st.dates(date(2025, 5, 22), date(2026, 11, 10)),
)
def test_where_both_answer_the_library_agrees(
    where: tuple[str, str], tokens: int, output: int, part: int, day: date
) -> None:
    provider, model = where
    cached = tokens * part // 3
    try:
        priced = price_request(
            BOOK, model, provider, input_tokens=tokens, output_tokens=output, cached_tokens=cached, as_of=day
        )
    except (DateOutsideCoverage, MissingPrice):
        return
    usage = Usage(input_tokens=tokens, cache_read_tokens=cached, output_tokens=output)
    at = datetime(day.year, day.month, day.day)
    snapshot = genai_prices.data_snapshot.get_snapshot()
    home = next(p for p in snapshot.providers if p.id == provider)
    listed = next(m for m in home.models if m.id == model)
    assert priced.total == listed.calc_price(usage, home, genai_request_timestamp=at).total_price
    assert priced.total == sum(line.amount for line in priced.lines)
    assert sum(line.tokens for line in priced.lines if line.kind != "request") == tokens + output


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 10**9))
def test_more_output_never_costs_less(tokens: int, output: int, more: int) -> None:
    one = total("gpt-5.4", input_tokens=tokens, output_tokens=output)
    assert total("gpt-5.4", input_tokens=tokens, output_tokens=output + more) >= one >= 0


def test_cache_1_break_even_by_arithmetic() -> None:
    even = cache_break_even(1, "1.25", "0.1")
    assert even.reads_per_write is not None and round(even.reads_per_write, 3) == Decimal("0.278")
    assert even.hit_rate is not None and round(even.hit_rate * 100, 1) == Decimal("21.7")


def test_cache_2_break_even_by_arithmetic() -> None:
    even = cache_break_even(Decimal(3), Decimal(6), Decimal("0.3"))
    assert even.reads_per_write is not None and round(even.reads_per_write, 2) == Decimal("1.11")
    assert even.hit_rate is not None and round(even.hit_rate * 100, 1) == Decimal("52.6")


def test_at_break_even_the_cache_costs_what_plain_input_costs() -> None:
    even = cache_break_even(3, 3.75, 0.3)
    assert even.reads_per_write is not None and even.hit_rate is not None
    with_cache = Decimal("3.75") + even.reads_per_write * Decimal("0.3")
    assert abs(with_cache - (1 + even.reads_per_write) * 3) < Decimal("1e-20")
    assert abs(even.hit_rate - even.reads_per_write / (1 + even.reads_per_write)) < Decimal("1e-20")


def test_a_cache_that_cannot_pay_never_does_and_a_free_write_pays_at_once() -> None:
    never = cache_break_even(1, 1.25, 1)
    assert never.reads_per_write is None and never.hit_rate is None and "never" in str(never.reason)
    assert cache_break_even(1, 1, 0.5).reads_per_write == 0


@pytest.mark.parametrize("prices", [(0, 1, 0.1), (1, -1, 0.1), (1, 2, float("nan")), (True, 2, 0.1)])
def test_cache_prices_that_are_none_are_refused(prices: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InputError):
        cache_break_even(*prices)
