"""Every kind of token and fee the price book holds: passed, billed once, or reported; many requests in one record."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import numpy as np
import pandas as pd
import pytest
from genai_prices.types import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

import costlib as cl
from costlib.prices.book import load_book
from costlib.prices.entries import TOKEN_KINDS, MissingPrice

BOOK = load_book()
LIBRARY_NAMES = {
    "input_tokens": "input_tokens",
    "cached_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "input_video_tokens": "input_video_tokens",
    "cached_audio_tokens": "cache_audio_read_tokens",
    "cached_image_tokens": "cache_image_read_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "citation_tokens": "output_citation_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_image_tokens": "output_image_tokens",
    "output_video_tokens": "output_video_tokens",
    "searches": "web_searches",
    "storage_searches": "storage_searches",
}


def request(model: str, provider: str, **counts: Any) -> Any:
    return cl.price(model, provider, **({"input_tokens": 0, "output_tokens": 0} | counts))


def test_audio_tokens_are_billed_at_the_audio_price() -> None:
    priced = request("gpt-audio", "openai", input_tokens=17, output_tokens=592, output_audio_tokens=482)
    assert {line.kind: line.tokens for line in priced.lines} == {"input": 17, "output": 110, "output_audio": 482}
    assert priced.total == Decimal("0.0319905") and priced.notes == ()


def test_cached_audio_is_in_cached_and_in_audio_tokens_and_billed_once() -> None:
    counts = {"input_tokens": 1000, "cached_tokens": 600, "input_audio_tokens": 500, "cached_audio_tokens": 400}
    priced = request("gpt-4o-realtime-preview", "openai", **counts)
    assert {line.kind: line.tokens for line in priced.lines} == {
        "input": 300,
        "cache_read": 200,
        "input_audio": 100,
        "cache_read_audio": 400,
    }


def test_a_part_without_a_price_of_its_own_is_billed_as_the_rest_and_reported() -> None:
    priced = request("gpt-4o", "openai", input_tokens=1000, input_image_tokens=400, reasoning_tokens=0)
    assert priced.total == Decimal("0.0025")
    assert priced.notes == (
        "400 input_image_tokens have no price of their own at openai/gpt-4o: billed as the other input_tokens",
    )
    frame = pd.DataFrame([{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 0, "input_image_tokens": 400}] * 3)
    table = cl.price_usage(frame)
    assert table.total == Decimal("0.0075") and table.notes[0].startswith("1,200 input_image_tokens have no price")


def test_searches_are_a_fee_and_where_none_is_published_an_error() -> None:
    priced = request("gemini-2.5-flash", "google", searches=3)
    assert priced.total == Decimal("0.105") and priced.lines[0].tokens == 3
    with pytest.raises(MissingPrice, match="price of search tokens in tier standard of google/gemini-1"):
        request("gemini-1.5-pro", "google", searches=1)


def test_a_tier_without_an_audio_price_does_not_bill_audio_as_text() -> None:
    with pytest.raises(MissingPrice, match="cache_read_audio tokens in tier batch"):
        counts = {"input_tokens": 9, "cached_tokens": 9, "input_audio_tokens": 9, "cached_audio_tokens": 9}
        request("gemini-2.5-flash", "google", tier="batch", **counts)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"input_tokens": 5, "input_audio_tokens": 6}, "input_audio_tokens is 6; allowed: at most input_tokens .5."),
        ({"output_tokens": 5, "output_image_tokens": 6}, "output_image_tokens is 6; allowed: at most output_tokens"),
        (
            {"input_tokens": 9, "input_audio_tokens": 6, "cached_audio_tokens": 1},
            "cached_audio_tokens is 1; allowed: at most cached_tokens .0.",
        ),
        (
            {"input_tokens": 9, "input_audio_tokens": 6, "cached_tokens": 4},
            "cached_tokens . input_audio_tokens is 10; allowed: at most input",
        ),
        ({"requests": 0}, "requests is 0; allowed: a whole number from 1 on"),
    ],
)
def test_parts_beyond_their_whole_are_refused_in_a_request_and_in_a_table(counts: Any, message: str) -> None:
    row = {"input_tokens": 0, "output_tokens": 0, **counts}
    with pytest.raises(cl.InputError, match=message):
        cl.price("gpt-realtime", "openai", **row)
    with pytest.raises(cl.InputError, match=f"row 0: {message.split(' .5.')[0].split(' .0.')[0]}"):
        cl.price_usage(pd.DataFrame([{"model": "gpt-realtime", **row}]))


PRICED_KINDS = {
    key: {price.token_kind for price in of if price.tier == "standard"}
    for key, of in sorted(BOOK.by_model.items())
    if not any(price.hours or price.own for price in of)
}
ODD = [key for key, kinds in PRICED_KINDS.items() if kinds - {"input", "output", "cache_read", "request"}]
ODD = [key for key in ODD if key[0] not in ("openrouter", "huggingface_together")]  # some went through floats there


def test_every_kind_of_the_book_has_a_count() -> None:
    from costlib.prices.buckets import COUNTS

    assert {count.kind for count in COUNTS.values()} | {"output_video"} == set(TOKEN_KINDS)
    assert set().union(*PRICED_KINDS.values()) <= {count.kind for count in COUNTS.values()}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ODD), st.data())
def test_every_kind_costs_what_the_library_says(where: tuple[str, str], data: st.DataObject) -> None:
    provider, model = where
    kinds = PRICED_KINDS[where]
    has = {name for name, kind in (("input_audio", "audio"), ("input_image", "image")) if name in kinds and kind}
    part = st.integers(0, 5_000)
    cached = {kind: data.draw(part) if f"cache_read_{kind}" in kinds else 0 for kind in ("audio", "image")}
    counts = {
        "cached_audio_tokens": cached["audio"],
        "cached_image_tokens": cached["image"],
        "cached_tokens": sum(cached.values()) + (data.draw(part) if "cache_read" in kinds else 0),
        "input_audio_tokens": cached["audio"] + (data.draw(part) if "input_audio" in has else 0),
        "input_image_tokens": cached["image"] + (data.draw(part) if "input_image" in has else 0),
        "input_video_tokens": data.draw(part) if "input_video" in kinds else 0,
        "cache_write_tokens": data.draw(part) if "cache_write_5m" in kinds else 0,
        "reasoning_tokens": data.draw(part) if "output_reasoning" in kinds else 0,
        "citation_tokens": data.draw(part) if "output_citation" in kinds else 0,
        "output_audio_tokens": data.draw(part) if "output_audio" in kinds else 0,
        "output_image_tokens": data.draw(part) if "output_image" in kinds else 0,
        "output_video_tokens": data.draw(part) if "output_video" in kinds else 0,
        "searches": data.draw(part) if "search" in kinds else 0,
        "storage_searches": data.draw(part) if "storage_search" in kinds else 0,
    }
    inside = ("cached_tokens", "input_audio_tokens", "input_image_tokens", "input_video_tokens", "cache_write_tokens")
    counts["input_tokens"] = sum(counts[name] for name in inside) + (data.draw(part) if "input" in kinds else 0)
    parts = [name for name in counts if name.startswith(("output_", "reasoning", "citation"))]
    counts["output_tokens"] = sum(counts[name] for name in parts) + (data.draw(part) if "output" in kinds else 0)
    priced = cl.price(model, provider, **counts)
    usage = Usage(**{LIBRARY_NAMES[name]: number for name, number in counts.items()})
    snapshot = genai_prices.data_snapshot.get_snapshot()
    home = next(p for p in snapshot.providers if p.id == provider)
    listed = next(m for m in home.models if m.id == model)
    at = datetime(2026, 11, 10, 12)
    assert priced.total == listed.calc_price(usage, home, genai_request_timestamp=at).total_price
    table = cl.price_usage(pd.DataFrame([{"model": model, "provider": provider, **counts}]))
    assert table.total == priced.total and np.isclose(table.amounts[0], float(priced.total))
    assert table.notes == priced.notes


def test_many_requests_in_one_record_lose_no_token_and_meet_no_cliff() -> None:
    one = cl.price("gpt-4o", "openai", input_tokens=999, output_tokens=0, requests=2)
    assert one.total == Decimal("0.0024975") and one.requests == 2
    month = {"input_tokens": 900_000_000, "output_tokens": 40_000_000, "requests": 300_000}
    assert cl.price("gemini-2.5-pro", "google", **month).total == Decimal(1525)
    assert cl.price("gemini-2.5-pro", "google", **month).notes == (
        "the long-context price of 300,000 requests follows their mean of 3,000 input tokens",
    )
    frame = pd.DataFrame([{"model": "gemini-2.5-pro", **month}, {"model": "gpt-4o", **month}])
    table = cl.price_usage(frame)
    assert table.total == Decimal(1525 + 2650) and "1 rows add up many requests" in table.notes[0]


def test_the_mean_request_decides_the_long_context_price_to_the_token() -> None:
    for extra, usd in ((0, "1.2"), (1, "2.400006")):
        counts = {"input_tokens": 400_000 + extra, "output_tokens": 0, "requests": 2}
        assert cl.price("claude-sonnet-4-5", "anthropic", **counts).total == Decimal(usd)
        frame = pd.DataFrame([{"model": "claude-sonnet-4-5", **counts}])
        assert cl.price_usage(frame).total == Decimal(usd)


def test_a_fee_per_request_is_charged_for_each() -> None:
    one, many = (request("sonar", "perplexity", requests=count) for count in (1, 1000))
    assert many.total == 1000 * one.total > 0


def test_counts_that_nobody_knows_and_totals_that_do_not_add_up_are_said() -> None:
    row = {"model": "gpt-4o", "input_tokens": 10, "output_tokens": 5, "audio_tokens": 3, "total_tokens": 18}
    unknown, total = cl.price_usage(pd.DataFrame([row, {**row, "total_tokens": 15}])).notes
    assert unknown.startswith("column audio_tokens was not used")
    assert total == "total_tokens of 1 rows is not input_tokens + output_tokens"
    with pytest.raises(cl.InputError, match="count is 'audio_tokens'; allowed: one of input_audio_tokens"):
        from costlib.prices.api import price_request

        price_request(BOOK, "gpt-4o", input_tokens=1, audio_tokens=1)


def test_the_command_takes_every_count(costlib: Any) -> None:
    document = json.loads(
        costlib(
            *("price", "gpt-realtime", "--provider", "openai", "--input", "900", "--output", "90", "--cached", "30"),
            *("--input-audio", "20", "--cached-audio", "10", "--input-image", "8", "--cached-image", "4"),
            *("--output-audio", "50", "--reasoning", "7", "--requests", "3", "--json"),
        )[1]
    )
    assert {line["kind"]: line["tokens"] for line in document["lines"]} == {
        "input": 856,
        "cache_read": 16,
        "input_audio": 10,
        "input_image": 4,
        "cache_read_audio": 10,
        "cache_read_image": 4,
        "output": 40,
        "output_audio": 50,
    }
    assert document["requests"] == 3 and "7 reasoning_tokens have no price of their own" in document["notes"][0]


def test_a_deprecated_model_says_so_everywhere(costlib: Any) -> None:
    counts = {"input_tokens": 1, "output_tokens": 0}
    said = "google/gemini-2.0-flash is deprecated by its provider"
    assert cl.price("gemini-2.0-flash-001", "google", **counts).notes == (said,)
    old, new = (cl.price_usage(pd.DataFrame([{"model": f"gemini-{of}-flash", **counts}])) for of in ("2.0", "2.5"))
    assert old.lines["deprecated"].all() and old.notes == (said,)
    assert not new.lines["deprecated"].any() and new.notes == ()
    words = ["price", "gemini-2.0-flash", "--input", "1", "--output", "0"]
    assert said in costlib(*words)[1]
    assert json.loads(costlib(*words, "--json")[1])["deprecated"] is True


def test_a_month_that_ends_after_the_lists_last_day_is_billed_up_to_it_and_the_nearest_day_is_offered() -> None:
    days = pd.date_range("2026-11-01", "2026-11-30")
    frame = pd.DataFrame({"model": "o3", "date": days, "input_tokens": 10**6, "output_tokens": 0})
    priced = cl.price_usage(frame)
    assert priced.total == 20 and priced.unpriced["rows"].tolist() == [20]
    assert "nearest recorded price is that of 2026-11-10" in priced.unpriced["reason"][0]
    assert "--as-of 2026-11-10" in priced.unpriced["reason"][0]
    assert cl.price_usage(frame, as_of="2026-11-10").total == 60
    with pytest.raises(cl.InputError, match=r"the nearest recorded price is that of 2026-10-14.*--as-of 2026-10-14"):
        cl.price("o3", input_tokens=1, output_tokens=0, tier="batch", as_of="2026-10-01")


def test_a_price_by_the_hour_needs_the_hour_and_takes_that_of_the_row() -> None:
    row = {"model": "deepseek-v4-pro", "provider": "deepseek", "input_tokens": 10**6, "output_tokens": 0}
    moments = ["2026-11-01T03:59", "2026-11-01T04:00", "2026-11-01T04:30+01:00"]
    by_the_hour = pd.DataFrame([{**row, "timestamp": moment} for moment in moments])
    assert cl.price_usage(by_the_hour).amounts.tolist() == [1.32, 0.66, 1.32]
    assert cl.price_usage(by_the_hour, as_of="2026-11-10").amounts.tolist() == [1.32, 0.66, 1.32]
    of_days = pd.DataFrame(
        [{**row, "date": "2026-11-01"}, {**row, "model": "gpt-4o", "provider": "openai", "date": "2026-11-01"}]
    )
    priced = cl.price_usage(of_days)
    assert priced.total == Decimal("2.5")
    assert (
        "a moment with its UTC time, such as 2026-11-01T09:00 (in a table: column timestamp)"
        in priced.unpriced["reason"][0]
    )


@pytest.mark.parametrize(
    ("model", "provider", "unit"),
    [("whisper-1", "openai", "hour of audio"), ("mistral-ocr-2505", "mistral", "page and the annotated page")],
)
def test_what_is_sold_by_something_else_than_tokens_is_refused_by_name(model: str, provider: str, unit: str) -> None:
    with pytest.raises(MissingPrice, match=f"no price of tokens is published: it is sold by the {unit}"):
        request(model, provider, input_tokens=1)


def test_an_effect_on_a_bill_with_rows_that_have_no_price_is_unknown(tmp_path: Path, costlib: Any) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("model,input_tokens,output_tokens\no3,1000,0\nnobody,1,0\n", encoding="utf-8")
    words = ["prices", "diff", "2025-06-01", "2025-07-01", "--usage", str(file), "--json"]
    document = json.loads(costlib(*words)[1])
    assert (document["before_usd"], document["after_usd"], document["effect_usd"]) == (None, None, None)
    assert document["reason"].startswith(f"1 rows have no price, the first {file}:3: model is 'nobody'")
