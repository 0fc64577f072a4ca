from pathlib import Path

import pytest

from costlib.cost.speeds import SPEEDS, load_speeds, whole_time
from costlib.errors import InputError

HEADER = ",".join(SPEEDS.names)
ROW = "m,m,H100 SXM,1,bf16,eager,1,128,64,3200,25.5,,,decode,quoted,a README,"


def write(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "speeds.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_the_shipped_speeds_are_valid_and_none_claims_to_be_measured():
    speeds = load_speeds()
    assert len(speeds) > 50
    assert set(speeds["kind"]) <= {"quoted", "derived", "assumed"}
    assert speeds["source"].str.len().min() > 0


def test_an_unknown_number_is_null(tmp_path):
    speeds = load_speeds(write(tmp_path, HEADER, ROW.replace("3200,25.5", ",25.5").replace(",1,128,64", ",,,")))
    assert speeds["prefill_tokens_per_s"].isna().all()
    assert speeds["batch"].isna().all()
    assert speeds["decode_tokens_per_s"].tolist() == [25.5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("25.5", "fast"), r"speeds.csv:2: decode_tokens_per_s is 'fast'; allowed: a number"),
        (ROW.replace("3200", '"3,200"'), r"speeds.csv:2: prefill_tokens_per_s is '3,200'"),
        (ROW.replace("25.5", "0"), r":2: decode_tokens_per_s is '0'; allowed: a number above 0"),
        (ROW.replace("25.5", "nan"), r":2: decode_tokens_per_s is 'nan'"),
        (ROW.replace("25.5", "inf"), r":2: decode_tokens_per_s is 'inf'"),
        (ROW.replace("128", "1.5"), r":2: prompt_tokens is '1.5'; allowed: a whole number"),
        (ROW.replace("H100 SXM,1,", "H100 SXM,0,"), r":2: devices is '0'; allowed: a whole number >= 1"),
        (
            ROW.replace("quoted", "guessed"),
            r":2: kind is 'guessed'; allowed: one of assumed, derived, measured, quoted",
        ),
        (ROW.replace("quoted", "measured"), r":2: kind is 'measured'; allowed: .*store"),
        (ROW.replace("a README", ""), r":2: source is ''; allowed: a value"),
        (ROW.replace("3200,25.5", ","), r":2: decode_tokens_per_s is ''; allowed: a speed here or in prefill"),
        (ROW + ",extra", r":2: number of cells is 18; allowed: 17"),
        (ROW + "\n" + ROW.replace("25.5", "26"), r":3: row is 'm'; allowed: .*speeds.csv:2 has the same one"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        load_speeds(write(tmp_path, HEADER, row))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace(",source", ""), r":1: missing column is 'source'"),
        (HEADER + ",colour", r":1: column is 'colour'"),
        (HEADER + ",model", r":1: column is 'model'.* once"),
        ("", r":2: column is 'm'"),
    ],
)
def test_a_bad_header_is_named(tmp_path, header, message):
    with pytest.raises(InputError, match=message):
        load_speeds(write(tmp_path, header, ROW))


def test_another_encoding_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="UTF-8"):
        load_speeds(write(tmp_path, HEADER, ROW.replace("README", "R\xe9sum\xe9"), encoding="latin-1"))
    with pytest.raises(InputError, match="can be read"):
        load_speeds(tmp_path / "absent.csv")


def test_an_empty_table_keeps_its_columns(tmp_path):
    speeds = load_speeds(write(tmp_path, HEADER))
    assert list(speeds.columns) == SPEEDS.names
    assert len(speeds) == 0


def test_a_throughput_over_the_whole_time_is_told_from_a_decode_speed():
    assert whole_time("output tokens/s at maximum load")
    assert whole_time("end_to_end tokens/s, prefill of 5 tokens included")
    assert not whole_time("decode")
    assert not whole_time("prefill and decode tokens/s")
    assert not whole_time(None)
