"""Strict reading of hand-edited CSV files."""

from datetime import date
from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.read import earliest_date, iso_date, read_rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfa,b\n1,2\n", r"f.csv:1: first character .*without a byte order mark"),
        (b"a;b\n1;2\n", r"f.csv:1: separator is ';'; allowed: a comma"),
        (b"a\n1\n", r"f.csv:1: missing column is 'b'"),
        (b"a,b,c\n1,2,3\n", r"f.csv:1: column is 'c'"),
        (b"a,b,b\n1,2,3\n", r"f.csv:1: column is 'b'; allowed: each column once"),
        (b"a,b\n1,2\n\n1,2,3\n", r"f.csv:4: number of cells is 3; allowed: 2"),
        (b"a,b\n1,\xff\n", r"f.csv:2: byte is '0xff'; allowed: UTF-8 text"),
        (b"", r"f.csv:1: missing column is 'a'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_rows(path, ("a", "b")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv: cannot be read"):
        list(read_rows(tmp_path / "none.csv", ("a",)))


def test_rows_keep_their_line_and_optional_columns_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('b,a\n"x, y", 1 \n\n"two\nlines",2\n', encoding="utf-8")
    rows = list(read_rows(path, ("a", "b"), ("c",)))
    assert [(row.cells["a"], row.cells["b"], row.cells["c"]) for row in rows] == [
        ("1", "x, y", ""),
        ("2", "two\nlines", ""),
    ]
    assert [row.where.rsplit(":", 1)[1] for row in rows] == ["2", "5"]


@pytest.mark.parametrize("cell", ["1e", "0", "-1", "nan", "Infinity", "1_000", "$3", "1 000"])
def test_a_number_is_above_zero_and_plain(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f'a\n"{cell}"\nx\n', encoding="utf-8")
    row = next(read_rows(path, ("a",)))
    with pytest.raises(InputError, match=r"f.csv:2: a is "):
        row.number("a")


def test_dates() -> None:
    assert iso_date("2026-02-28") == date(2026, 2, 28)
    assert iso_date("2026-02-30") is None and iso_date("20260228") is None
    assert earliest_date("2026") == date(2026, 1, 1) and earliest_date("2026-04") == date(2026, 4, 1)
    assert earliest_date("2026-13") is None and earliest_date("April") is None
