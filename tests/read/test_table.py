"""Strict reading of hand-edited CSV files."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from costlib.errors import InputError, invalid_input
from costlib.read import earliest_date, iso_date, read_rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n1\n", r"f.csv:1: missing column is 'b'"),
        (b"a,b,c\n1,2,3\n", r"f.csv:1: column is 'c'"),
        (b"a,b,b\n1,2,3\n", r"f.csv:1: column is 'b'; allowed: each column once"),
        (b"a,b\n1,2\n\n1,2,3\n", r"f.csv:4: number of cells is 3; allowed: 2, as in the header"),
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
    with pytest.raises(InputError, match=r"none.csv.*can be read .No such file"):
        list(read_rows(tmp_path / "none.csv", ("a",)))


def test_rows_keep_their_line_and_optional_columns_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('b,a\n"x, y", 1 \n\n"two\nlines",2\n', encoding="utf-8")
    rows = list(read_rows(path, ("a", "b"), ("c",)))
    assert [(row.cells["a"], row.cells["b"], row.cells["c"]) for row in rows] == [
        ("1", "x, y", ""),
        ("2", "two\nlines", ""),
    ]
    assert [row.where.rsplit(":", 1)[1] for row in rows] == ["2", "4"]


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_read_as_any_spreadsheet_saves_it(tmp_path: Path, encoding: str, separator: str, end: str) -> None:
    lines = [separator.join(cells) for cells in (("a", "b"), ("é", "1.5"), ("", ""), ("# not read", ""), ("y", "2"))]
    path = tmp_path / "f.csv"
    path.write_bytes(end.join([*lines, ""]).encode(encoding))
    rows = list(read_rows(path, ("a", "b")))
    assert [(row.text("a"), row.number("b")) for row in rows] == [("é", Decimal("1.5")), ("y", Decimal(2))]
    assert [row.where for row in rows] == [f"{path}:2", f"{path}:5"]


def test_a_cell_holds_a_prompt_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f'a\n"{"x," * 200_000}"\n', encoding="utf-8")
    assert [len(row.text("a")) for row in read_rows(path, ("a",))] == [400_000]


@pytest.mark.parametrize(
    ("cell", "read"), [("1.000", None), ("12.500.000", None), ("1,5", None), ("0.125", "0.125"), ("2.5", "2.5")]
)
def test_what_means_two_things_in_a_table_with_semicolons_is_refused(
    tmp_path: Path, cell: str, read: str | None
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"a;b\nx;{cell}\n", encoding="utf-8")
    (row,) = read_rows(path, ("a", "b"))
    if read is not None:
        assert row.number("b") == Decimal(read)
        return
    with pytest.raises(InputError, match=r"f.csv:2: b is .*; allowed: a number"):
        row.number("b")


def test_a_sentence_is_one_line_and_no_longer_than_a_screen() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("a\nb\x1b[31m" * 10_000, 10**5000, deep, "\ud800"):
        said = str(invalid_input("na\nme", value, "a value\x00", "a\rfile"))
        assert said.isprintable() and len(said) < 400
