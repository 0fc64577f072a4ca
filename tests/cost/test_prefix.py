from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import costlib as cl
from costlib.cost.prefix import api_stream, priced
from costlib.errors import InputError
from costlib.prices.book import load_book

ROW: dict[str, Any] = {
    "prompt_tokens": 1000, "ttft_s": 2.0, "ttft_reused_s": 0.5,
    "ttft_saved_s": 1.5, "ttft_saved_s_low": 1.0, "ttft_saved_s_high": 2.0,
}  # fmt: skip


def test_seconds_of_a_paid_hour_by_hand() -> None:
    """3.60 $/h is a thousandth of a dollar a second: 1.5 s of 1,000 requests are $1.50."""
    row = priced(pd.DataFrame([ROW]), 3.6).iloc[0]
    saved = [row[f"usd_saved_per_1k_requests{end}"] for end in ("_low", "", "_high")]
    assert saved == [Decimal("1"), Decimal("1.5"), Decimal("2")]
    assert float(row["input_usd_per_mtok"]) == pytest.approx(2.0) and row["price_kind"] == "derived"
    assert float(row["input_usd_per_mtok_reused"]) == pytest.approx(0.5)


def test_the_interval_is_that_of_the_saving_also_where_nothing_is_saved_and_the_rate_says_what_is_rented() -> None:
    rent = cl.offer("H100 SXM", provider="AWS", as_of="2026-10-04")
    row = priced(pd.DataFrame([ROW | {"ttft_saved_s_low": -1.0}]), rent).iloc[0]
    saved = [row[f"usd_saved_per_1k_requests{end}"] for end in ("_low", "", "_high")]
    assert saved == [Decimal("55.04") * seconds / Decimal("3.6") for seconds in (Decimal(-1), Decimal("1.5"), 2)]
    assert (row["rate_provider"], row["rate_devices_per_unit"], row["rate_kind"]) == ("AWS", 8, "quoted")
    unknown = dict.fromkeys(("ttft_s", "ttft_reused_s", "ttft_saved_s", "ttft_saved_s_low", "ttft_saved_s_high"))
    lost = priced(pd.DataFrame([ROW | unknown]), 3.6).iloc[0]
    assert pd.isna(lost["usd_saved_per_1k_requests"]) and pd.isna(lost["input_usd_per_mtok"])


def test_an_api_stream_is_its_requests_one_by_one_and_its_break_even_the_published_one() -> None:
    """claude-sonnet-4-5: 3 $/Mtok in, writes 1.25 times that, reads 0.1 times, 15 out (cache-1: 0.278 and 21.7 %)."""
    found = api_stream(
        load_book(), "claude-sonnet-4-5", "anthropic",
        reused_tokens=5000, prompt_tokens=6000, output_tokens=100, requests=10,
    )  # fmt: skip
    whole = Decimal(6000 * 3 + 100 * 15) / 1_000_000
    assert found.plain_usd == 10 * whole
    first = whole + Decimal(5000) * Decimal("0.75") / 1_000_000
    later = whole - Decimal(5000) * Decimal("2.7") / 1_000_000
    assert found.cached_usd == first + 9 * later and found.saving == 1 - found.cached_usd / found.plain_usd
    assert float(found.break_even.reads_per_write or 0) == pytest.approx(0.278, abs=5e-4)
    assert float(found.break_even.hit_rate or 0) == pytest.approx(0.217, abs=5e-4)


def test_written_tokens_are_input_where_no_price_of_a_write_is_published() -> None:
    found = api_stream(
        load_book(), "gpt-4o", "openai", reused_tokens=500, prompt_tokens=1000, output_tokens=1, requests=2
    )
    assert found.break_even.reads_per_write == 0
    assert found.plain_usd - found.cached_usd == Decimal(500) * Decimal("1.25") / 1_000_000


def test_a_model_without_a_price_of_cached_reads_is_refused() -> None:
    given = {"reused_tokens": 500, "prompt_tokens": 1000, "output_tokens": 1, "requests": 2}
    with pytest.raises(InputError, match="cache_read"):
        api_stream(load_book(), "gpt-4", "openai", **given, as_of=date(2026, 1, 1))
