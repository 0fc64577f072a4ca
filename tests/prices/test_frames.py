"""The frames an analyst starts from: list prices, published speeds, hourly rates and price changes, in floats."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

import costlib as cl

MODELS = {
    "Sonnet": ("anthropic", "claude-sonnet-5-5"), "in a batch": ("anthropic", "claude-sonnet-5-5", "batch"),
    "Gemini": ("google", "gemini-3.8-flash"), "Voyage": ("voyage", "voyage-4"),
}  # fmt: skip


def test_list_prices_are_those_a_request_is_billed_at() -> None:
    frame = cl.prices(MODELS, as_of="2026-11-10").set_index("model")
    for label, (provider, model, *tier) in MODELS.items():
        row, more = frame.loc[label], {"tier": tier[0]} if tier else {}
        for kind, (fed, made) in (("input", (10**6, 0)), ("output", (0, 10**6))):
            if pd.notna(row[f"{kind}_usd_per_mtok"]):
                billed = cl.price(model, provider, as_of="2026-11-10", input_tokens=fed, output_tokens=made, **more)
                assert row[f"{kind}_usd_per_mtok"] == float(billed.lines[0].usd_per_mtok)
    assert pd.isna(frame.loc["Voyage", "output_usd_per_mtok"]) and frame["kind"].eq("quoted").all()
    assert frame.loc["Sonnet", "input_usd_per_mtok"] == 2 * frame.loc["in a batch", "input_usd_per_mtok"]
    assert frame["source"].str.startswith("genai-prices@").all() and not frame["reason"].any()


def test_a_price_that_is_not_known_is_null_with_the_reason_and_its_first_day() -> None:
    row = cl.prices(MODELS, as_of="2026-01-01").iloc[0]
    assert pd.isna(row["input_usd_per_mtok"]) and "2026-09-28" in row["reason"]
    assert str(row["known_from"]) == "2026-09-28"
    with pytest.raises(cl.InputError, match="claude-sonnet-9"):
        cl.prices({"x": ("anthropic", "claude-sonnet-9")})
    with pytest.raises(cl.InputError, match=r"models\['x'\] is 'gpt-4o'; allowed: \(provider, model id\)"):
        cl.prices({"x": "gpt-4o"})  # type: ignore[dict-item]
    assert "input_usd_per_mtok" in cl.prices({}) and cl.prices({}).empty


def test_a_long_request_has_the_price_of_its_length() -> None:
    book = cl.price_book()
    long = next(p for p in book.prices if p.above_input_tokens and p.token_kind == "input" and p.tier == "standard")
    of = {"it": (long.provider, long.model)}
    short, above = (cl.prices(of, input_tokens=n).iloc[0] for n in (1, long.above_input_tokens + 1))
    assert above["input_usd_per_mtok"] == float(long.amount) != short["input_usd_per_mtok"]


def test_of_several_published_speeds_one_is_preferred() -> None:
    """Two publications separate the phases of fp8 on an H100: the quoted one, which is slower, stands for it."""
    frame = cl.speeds("llama-3.1-8b", "H100 SXM")
    fp8 = frame[(frame["precision"] == "fp8") & frame["prefill_tokens_per_s"].notna()]
    assert fp8["prefill_tokens_per_s"].tolist() == [45312, 64832] and fp8["preferred"].tolist() == [True, False]
    assert (frame[frame["preferred"]].groupby(["precision", "engine", "batch"], dropna=False).size() == 1).all()
    with pytest.raises(cl.InputError, match=r"device is 'H100'; allowed: .*H100 SXM"):
        cl.speeds("llama-3.1-8b", "H100")


def test_rates_are_floats_in_frames_and_exact_in_json() -> None:
    every, one = cl.rates().set_index("device"), cl.rates("H100 SXM")
    assert every.loc["H100 SXM", "usd_per_hour_low"] == one["usd_per_hour"].min() == one["usd_per_hour"].iloc[0]
    assert every.loc["H100 SXM", "usd_per_hour_high"] == one["usd_per_hour"].max()
    assert one["node_usd_per_hour"].to_numpy() == pytest.approx((one["usd_per_hour"] * one["devices"]).to_numpy())
    assert one["usd_per_hour"].dtype == float and one["kind"].isin(["quoted", "assumed"]).all()
    assert cl.offer("H100 SXM").usd_per_hour == Decimal(str(one["usd_per_hour"].iloc[0]))


def test_price_changes_hold_every_price_of_both_days() -> None:
    frame = cl.price_changes("2025-11-10", "2026-11-10")
    assert set(frame["change"]) >= {"moved", "unchanged", "added"}
    moved = frame[frame["change"] == "moved"]
    assert (moved["before_usd_per_mtok"] != moved["after_usd_per_mtok"]).all()
    same = frame[frame["change"] == "unchanged"]
    assert (same["before_usd_per_mtok"] == same["after_usd_per_mtok"]).all()
    with pytest.raises(cl.InputError, match="since is '2026-11-10'; allowed: a day as YYYY-MM-DD before 2026-11-10"):
        cl.price_changes("2026-11-10", "2026-11-10")
