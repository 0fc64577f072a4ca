"""Strict reading of usage tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.prices.usage_table import Places, counts, minutes, read_usage

HEAD = "model,input_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf" + HEAD.encode(), r"usage.csv:1: first character .* byte order mark"),
        (b"model;input_tokens;output_tokens\ngpt-4o;1;2\n", r"usage.csv:1: separator is ';'"),
        (HEAD.encode() + b"gpt-4o,1,2\ngpt-4o,1,000,2\n", r"usage.csv:3: number of cells is 4; allowed: 3"),
        (b"model,input_tokens,input_tokens\n", r"usage.csv:1: column is 'input_tokens'; allowed: each column once"),
        (b"", r"usage.csv: is not a table"),
        (b"\xff\xfe,\n", r"usage.csv: is not a table"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_usage(path)


def test_a_file_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_usage(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"usage file is 'usage.xlsx'"):
        read_usage(tmp_path / "usage.xlsx")
    (tmp_path / "usage.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="is not a table"):
        read_usage(tmp_path / "usage.parquet")


def test_a_bad_cell_of_a_csv_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(HEAD + 'gpt-4o,1,2\ngpt-4o,"1,000",2\n', encoding="utf-8")
    frame, places = read_usage(path)
    with pytest.raises(InputError, match=r"usage.csv:3: input_tokens is '1,000'.*thousands separators"):
        counts(frame, "input_tokens", places)


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
