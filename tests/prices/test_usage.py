"""Usage tables: equal to pricing each row by itself, in every column and format."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.prices.api import price_request
from costlib.prices.book import load_book
from costlib.prices.entries import DateOutsideCoverage, MissingPrice, UnknownModel
from costlib.prices.usage import price_usage

BOOK = load_book()


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"model": ["gpt-4o"], "input_tokens": [1000], "output_tokens": [100]} | columns)


ROW = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o", "o3", "claude-sonnet-4-5", "gpt-5.4", "claude-haiku-5-5"]),
        "tier": st.sampled_from(["standard", "batch", None]),
        "timestamp": st.datetimes(datetime(2026, 10, 15), datetime(2026, 11, 10, 23, 59)),
        "input_tokens": st.one_of(st.integers(0, 10**6), st.integers(0, 10**15 - 1)),
        "output_tokens": st.integers(0, 10**6),
        "part": st.integers(0, 4),
    }
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=30))
def test_a_table_costs_what_its_rows_cost_one_by_one(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        has_cache = row["tier"] != "batch" or row["model"].startswith("claude")
        row["cached_tokens"] = row["input_tokens"] * row.pop("part") // 4 if has_cache else 0
    priced = price_usage(BOOK, pd.DataFrame(rows))
    singly = [
        price_request(
            BOOK,
            row["model"],
            tier=row["tier"] or "standard",
            as_of=row["timestamp"],
            **{name: row[name] for name in ("input_tokens", "output_tokens", "cached_tokens")},
        ).total
        for row in rows
    ]
    assert round(priced.total, 12) == round(sum(singly, Decimal(0)), 12)
    assert np.allclose(priced.amounts, [float(total) for total in singly], rtol=1e-12)
    assert priced.total == sum(priced.lines["amount"], Decimal(0))
    assert priced.lines["tokens"].sum() == sum(row["input_tokens"] + row["output_tokens"] for row in rows)


def test_the_cliff_of_a_table_is_where_that_of_a_request_is() -> None:
    """api-3 of genai-prices: 0.60 USD at 200,000 input tokens, 1.200006 USD at one more."""
    frame = pd.DataFrame({"model": "claude-sonnet-4-5", "input_tokens": [200_000, 200_001], "output_tokens": 0})
    assert price_usage(BOOK, frame).amounts.tolist() == pytest.approx([0.60, 1.200006], rel=1e-12)


def test_sums_beyond_64_bits_are_exact() -> None:
    most = 10**15 - 1
    frame = pd.DataFrame({"model": "gpt-4o", "input_tokens": np.full(20_000, most), "output_tokens": 0})
    assert price_usage(BOOK, frame).total == Decimal(20_000) * most * Decimal("2.5") / 10**6


def test_csv_and_parquet_cost_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "model": ["gpt-4o", "o3"],
            "provider": ["openai", None],
            "date": ["2026-10-01", "2025-05-01"],
            "input_tokens": [1000, 10**6],
            "output_tokens": [100, 10**5],
            "user": ["a", "b"],
        }
    )
    frame.to_csv(tmp_path / "usage.csv", index=False)
    frame.to_parquet(tmp_path / "usage.parquet")
    for usage in (frame, tmp_path / "usage.csv", str(tmp_path / "usage.parquet")):
        priced = price_usage(BOOK, usage)
        assert priced.total == Decimal("14.0035") and priced.dated_by == "date"


def test_the_day_is_the_rows_own_the_one_asked_for_or_the_snapshots() -> None:
    frame = pd.DataFrame({"model": ["o3"], "input_tokens": [10**6], "output_tokens": [0], "date": ["2025-05-01"]})
    assert price_usage(BOOK, frame).total == 10
    asked = price_usage(BOOK, frame, as_of="2025-07-01")
    assert asked.total == 2 and asked.dated_by == "as_of"
    undated = price_usage(BOOK, frame.drop(columns="date"))
    assert undated.total == 2 and undated.dated_by == "snapshot day"


def test_moments_are_taken_in_utc() -> None:
    late = pd.Timestamp("2025-06-09T23:30:00-05:00")
    frame = table(model=["o3"], timestamp=[late])
    assert price_usage(BOOK, frame).total == Decimal("0.0028")
    frame = table(model=["o3"], timestamp=[datetime(2025, 6, 9, 23, 30, tzinfo=UTC)])
    assert price_usage(BOOK, frame).total == Decimal("0.014")


def test_prices_by_the_hour_follow_the_timestamp() -> None:
    frame = pd.DataFrame(
        {
            "model": "deepseek-v4-pro",
            "provider": "deepseek",
            "timestamp": ["2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z"],
            "input_tokens": 10**6,
            "output_tokens": 0,
        }
    )
    assert price_usage(BOOK, frame).amounts.tolist() == [1.32, 0.66]


def test_rows_without_provider_or_tier_take_the_callers() -> None:
    frame = pd.DataFrame({"model": ["text-embedding-3-small"], "input_tokens": [10**6], "output_tokens": [0]})
    assert price_usage(BOOK, frame, provider="openai").total == Decimal("0.02")
    assert price_usage(BOOK, table(), tier="batch").total == Decimal("0.00175")


def test_the_bill_names_each_price_once_and_keeps_the_index() -> None:
    frame = pd.concat([table(), table(), table(model=["o3"])])
    frame.index = pd.Index([7, 7, 9])
    priced = price_usage(BOOK, frame)
    assert priced.lines["price_id"].is_unique and len(priced.lines) == 4
    assert priced.amounts.index.tolist() == [7, 7, 9]
    assert (priced.currency, priced.source) == ("USD", "genai-prices@0.2.3")


def test_an_empty_table_costs_nothing() -> None:
    priced = price_usage(BOOK, table().iloc[:0])
    assert priced.total == 0 and priced.lines.empty and priced.amounts.empty


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"model": [None]}, InputError, "row 0: model is .*; allowed: a model name"),
        ({"model": ["gpt-4oo"]}, UnknownModel, "row 0: model is 'gpt-4oo'"),
        ({"date": ["2020-01-01"]}, DateOutsideCoverage, "row 0: as-of date"),
        ({"date": ["soon"]}, InputError, "row 0: date is 'soon'"),
        ({"cached_tokens": [1001]}, InputError, "row 0: cached_tokens is 1001; allowed: at most input_tokens"),
        ({"reasoning_tokens": [101]}, InputError, "row 0: reasoning_tokens is 101"),
        ({"tier": ["batch"], "cached_tokens": [1]}, MissingPrice, "cache_read"),
    ],
)
def test_a_row_that_cannot_be_priced_is_named(columns: Any, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message):
        price_usage(BOOK, table(**columns))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="missing column is 'output_tokens'"):
        price_usage(BOOK, table().drop(columns="output_tokens"))


def test_a_request_is_billed_once_and_a_missing_price_names_its_row() -> None:
    twice = table(model="gpt-4o", output_tokens=0, input_tokens=[1, 2, 2], request_id=["a", "b", "b"])
    with pytest.raises(InputError, match=r"row 2: request_id is 'b'; allowed: each request once"):
        price_usage(BOOK, twice)


def test_a_row_without_a_price_is_reported_and_the_others_are_billed() -> None:
    frame = pd.DataFrame(
        {
            "model": ["gpt-4o", "gpt-4o", "o3", "gpt-4oo", "gpt-4o", "gpt-4o"],
            "provider": ["openai", "nonsense", None, None, None, None],
            "date": ["2026-11-10", "2026-11-10", "2026-11-10", "2026-11-10", "2026-11-11", "2026-11-12"],
            "input_tokens": [1000, 1000, 1000, 1000, 1000, 1000],
            "output_tokens": 0,
            "cache_write_1h_tokens": [0, 0, 7, 0, 0, 0],
        }
    )
    priced = price_usage(BOOK, frame)
    assert priced.total == Decimal("0.0025")
    assert priced.amounts.notna().tolist() == [True, False, False, False, False, False]
    reasons = priced.unpriced.set_index("first_row")
    assert reasons["rows"].to_dict() == {"row 1": 1, "row 2": 1, "row 3": 1, "row 4": 2}
    assert "provider is 'nonsense'" in reasons["reason"]["row 1"]
    assert "price of cache_write_1h tokens" in reasons["reason"]["row 2"]


def test_a_bill_says_which_prices_may_not_have_held_yet() -> None:
    days = table(model="o3", output_tokens=0, input_tokens=1, date=["2025-06-09", "2025-06-10"])
    assert price_usage(BOOK, days).lines["doubt"].notna().tolist() == [True, False]
    now = table(model="gpt-4o", output_tokens=0, input_tokens=1, date=["2026-11-10", "2025-06-10", "2026-11-10"])
    assert price_usage(BOOK, now).lines["doubt"].notna().tolist() == [True]
