"""Strict reading of usage tables."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import costlib as cl
from costlib.errors import InputError
from costlib.portfolio.logs import usage as read_logs
from costlib.prices.usage_table import counts, minutes
from costlib.read import Places

HEAD = "model,input_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD.encode() + b"gpt-4o,1,2\ngpt-4o,1,000,2\n", r"usage.csv:3: number of cells is 4; allowed: 3"),
        (b"model,input_tokens,input_tokens\n", r"usage.csv:1: column is 'input_tokens'; allowed: each column once"),
        (b"", r"usage.csv: is not a table"),
        (b"\xff\xfe,\n", r"usage.csv: is not a table"),
        (HEAD.encode() + b'gpt-4o,1,2\ngpt-4o,"1,000",2\n', r"usage.csv:3: input_tokens is '1,000'.*thousands"),
        (b"model;input_tokens;output_tokens\ngpt-4o;1.000;2\n", r"usage.csv:2: input_tokens is '1.000'"),
        (HEAD.encode() + b'"gpt\n4o",1,2\ngpt-4o,-1,2\n', r"usage.csv:4: input_tokens is '-1'"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        cl.price_usage(path)


def test_a_file_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        cl.price_usage(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"log file is 'usage.xlsx'"):
        cl.price_usage(tmp_path / "usage.xlsx")
    (tmp_path / "usage.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="is not Parquet"):
        cl.price_usage(tmp_path / "usage.parquet")


ROWS = "model,input_tokens,output_tokens,timestamp\ngpt-4o,1000,100,2026-10-05T10:00:00Z\n"


@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode("utf-8-sig"),
        ROWS.encode("utf-16"),
        ROWS.encode("utf-16-le"),
        ROWS.replace(",", ";").encode(),
        ROWS.replace(",", "\t").encode(),
        ROWS.replace("\n", "\r").encode(),
        ROWS.replace("\n", "\r\n").encode(),
        ("sep=;\n" + ROWS.replace(",", ";")).encode(),
        (ROWS + "\n\n").encode(),
    ],
)
def test_every_way_to_save_a_table_is_read_alike(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "usage.csv").write_bytes(content)
    assert cl.price_usage(tmp_path / "usage.csv").total == Decimal("0.0035")
    assert read_logs([tmp_path / "usage.csv"]).usd == Decimal("0.0035")


@pytest.mark.parametrize(
    "values",
    [[1, -1], [1, 1.5], [1, None], [1, float("inf")], [1, 10**15], [1, True], [1, "2"], [1, 10**30], [True, False]],
)
def test_counts_that_are_none_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"row .: n is .*; allowed: a whole number from 0 to 999999999999999"):
        counts(pd.DataFrame({"n": values}), "n", Places())


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([0, 10**15 - 1]),
        pd.Series([0.0, 999_999_999_999_999.0]),
        pd.Series([0, 10**15 - 1], dtype="Int64"),
        pd.Series([0, 10**15 - 1], dtype="object"),
    ],
)
def test_whole_numbers_of_every_type_are_counts(column: Any) -> None:
    found = counts(pd.DataFrame({"n": column}), "n", Places())
    assert found.dtype == np.int64 and found.tolist() == [0, 10**15 - 1]


def test_an_absent_column_is_zeros() -> None:
    assert counts(pd.DataFrame({"m": [1, 2]}), "n", Places()).tolist() == [0, 0]


def test_minutes_of_text_dates_and_moments_agree() -> None:
    expected = pd.Timestamp("2026-11-01T10:30").value // 60_000_000_000
    for column in (
        pd.Series(["2026-11-01T10:30:20Z"]),
        pd.Series(["2026-11-01T12:30:20+02:00"]),
        pd.Series([pd.Timestamp("2026-11-01T10:30:20")]),
        pd.Series([pd.Timestamp("2026-11-01T12:30:20", tz="Europe/Berlin") - pd.Timedelta(hours=1)]),
    ):
        assert minutes(column, "timestamp", Places()).tolist() == [expected]
    with pytest.raises(InputError, match="row 1: timestamp"):
        minutes(pd.Series(["2026-11-01", None]), "timestamp", Places())
