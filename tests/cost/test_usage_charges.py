"""API usage as FOCUS charges: the bill of `price_usage`, by month, with the published price beside a contract's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cost.focus_rules import problems
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.charges import usage_charges, without_discounts
from costlib.cost.focus import COLUMNS, dataset, totals
from costlib.errors import InputError
from costlib.prices.book import PriceBook, load_book
from costlib.prices.usage import price_usage

HEADER = (
    "model,provider,token_kind,tier,unit,amount,currency,effective_from,effective_to,observed_on,source,kind,purpose"
)
BOOK = load_book()


def book_with(folder: Path, *rows: str, header: str = HEADER) -> PriceBook:
    (folder / "own.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return load_book(folder)


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"output_tokens": 0} | columns)


def focus(book: PriceBook, usage: pd.DataFrame, **named: Any) -> pd.DataFrame:
    """A dataset that breaks no rule of FOCUS."""
    frame = dataset(usage_charges(book, usage, **named)[0])
    rows: list[Any] = frame.to_dict("records")
    assert not list(problems(COLUMNS, rows))
    return frame


def costs(frame: pd.DataFrame, *by: str) -> dict[Any, tuple[Decimal, ...]]:
    names = ["ListCost", "ContractedCost", "BilledCost", "EffectiveCost"]
    rows = frame.to_dict("records")
    return {tuple(row[name] for name in by): tuple(row[name] for name in names) for row in rows}


def test_one_row_per_model_workload_token_kind_and_month() -> None:
    usage = table(
        model="gpt-4o",
        input_tokens=[1000, 1000, 2000, 1000],
        output_tokens=[100, 100, 0, 100],
        workload=["chat", "chat", "mail", "chat"],
        timestamp=["2026-09-01T00:00Z", "2026-09-30T23:59Z", "2026-09-30", "2026-10-01T00:30+02:00"],
    )
    frame = focus(BOOK, usage)
    found = costs(frame, "x_Workload", "x_TokenKind", "BillingPeriodStart")
    september = date(2026, 9, 1)
    assert found == {
        ("chat", "Input Tokens", september): (Decimal("0.0075"),) * 4,
        ("chat", "Output Tokens", september): (Decimal("0.003"),) * 4,
        ("mail", "Input Tokens", september): (Decimal("0.005"),) * 4,
    }
    assert set(frame["ConsumedUnit"]) == {"Tokens"} and set(frame["PricingUnit"]) == {"1000000 Tokens"}


def test_a_contract_lowers_all_costs_but_the_listed_one(tmp_path: Path) -> None:
    row = "o3,openai,input,standard,1M tokens,1.5,USD,2026-10-01,2026-10-31,2026-09-20,contract,quoted,contracted"
    usage = table(model="o3", input_tokens=1_000_000, date=["2026-09-30", "2026-10-15"])
    frame = focus(book_with(tmp_path, row), usage)
    assert costs(frame, "BillingPeriodStart") == {
        (date(2026, 9, 1),): (Decimal(2),) * 4,
        (date(2026, 10, 1),): (Decimal(2), Decimal("1.5"), Decimal("1.5"), Decimal("1.5")),
    }
    october = frame.iloc[1]
    assert october["SkuPriceId"] == frame.iloc[0]["SkuPriceId"] != october["x_PriceId"]
    assert october["x_Source"] == "contract"


def test_a_published_price_that_moves_inside_the_month_of_a_contract_splits_the_row(tmp_path: Path) -> None:
    """o3 input fell from 10 to 2 USD per million on 2025-06-10; the contract holds all month."""
    row = "o3,openai,input,standard,1M tokens,1.5,USD,2025-06-01,2025-06-30,2025-05-20,contract,quoted,contracted"
    usage = table(model="o3", input_tokens=[1_000_000, 3_000_000], date=["2025-06-09", "2025-06-10"])
    frame = focus(book_with(tmp_path, row), usage)
    assert sorted(costs(frame, "ListCost")) == [(Decimal(6),), (Decimal(10),)]
    assert totals(frame)["BilledCost"] == Decimal(6)


def test_each_long_context_band_of_a_contract_stands_beside_that_of_the_list(tmp_path: Path) -> None:
    row = (
        "claude-sonnet-4-5,anthropic,input,standard,1M tokens,{},USD,2026-06-01,,2026-05-20,contract,quoted,"
        "contracted,{}"
    )
    book = book_with(tmp_path, row.format(1, 0), row.format("1.5", 200_000), header=f"{HEADER},above_input_tokens")
    usage = table(model="claude-sonnet-4-5", input_tokens=[200_000, 200_001], date="2026-06-02")
    frame = focus(book, usage)
    assert costs(frame, "ListUnitPrice") == {
        (Decimal(3),): (Decimal("0.6"), *(Decimal("0.2"),) * 3),
        (Decimal(6),): (Decimal("1.200006"), *(Decimal("0.3000015"),) * 3),
    }


def test_a_model_only_the_contract_prices_is_listed_at_its_price(tmp_path: Path) -> None:
    row = "ours-1,acme,input,standard,1M tokens,4,USD,2026-06-01,,2026-05-20,contract,quoted,contracted"
    usage = table(model=["ours-1", "gpt-4o"], input_tokens=1_000_000)
    frame = focus(book_with(tmp_path, row), usage, as_of="2026-06-02")
    assert costs(frame, "x_Model") == {("ours-1",): (Decimal(4),) * 4, ("gpt-4o",): (Decimal("2.5"),) * 4}


def test_without_discounts_keeps_corrections_and_missing_prices() -> None:
    assert {price.purpose for price in BOOK.prices if price.own} == {"missing"}
    assert without_discounts(BOOK).prices == BOOK.prices


def test_usage_without_a_date_belongs_to_the_month_asked_for_or_the_snapshots() -> None:
    usage = table(model="gpt-4o", input_tokens=[1])
    assert usage_charges(BOOK, usage, as_of="2026-02-28")[0][0]["ChargePeriodEnd"] == date(2026, 3, 1)
    assert usage_charges(BOOK, usage)[0][0]["ChargePeriodStart"] == BOOK.snapshot_date.replace(day=1)
    assert usage_charges(BOOK, usage)[0][0]["x_Workload"] == "all"


def test_an_hourly_price_holds_at_midnight_too() -> None:
    usage = table(model="deepseek-chat", provider="deepseek", input_tokens=1_000_000, workload=["a", "b"],
                  date=["2025-06-01T00:00", "2025-06-01T05:00"])  # fmt: skip
    frame = focus(BOOK, usage)
    assert totals(frame)["BilledCost"] == price_usage(BOOK, usage).total == Decimal("0.405")


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("model,input_tokens,output_tokens\ngpt-4o,1,1\ngpt-4o,-1,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"usage.csv:3: input_tokens is '-1'"):
        usage_charges(BOOK, file)


def test_no_usage_is_no_charge() -> None:
    assert usage_charges(BOOK, table(model=[], input_tokens=np.array([], dtype=int)))[0] == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["gpt-4o", "o3", "claude-sonnet-4-5"]),
            st.integers(0, 300_000),
            st.integers(0, 5_000),
            st.dates(date(2026, 1, 1), date(2026, 11, 1)),
            st.sampled_from(["chat", "mail"]),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=20, deadline=None)
def test_the_rows_add_up_to_the_bill_exactly(requests: list[tuple[str, int, int, date, str]]) -> None:
    names = ["model", "input_tokens", "output_tokens", "date", "workload"]
    usage = pd.DataFrame(requests, columns=names)
    usage["date"] = usage["date"].astype(str)
    frame = focus(BOOK, usage)
    bill = price_usage(BOOK, usage).total
    assert set(totals(frame).values()) == {bill}
    assert sum(frame["ConsumedQuantity"]) == int((usage["input_tokens"] + usage["output_tokens"]).sum())
