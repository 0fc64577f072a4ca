from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import run_row

from costlib import tables
from costlib.errors import InputError
from costlib.store import Store, new_id
from costlib.tables import RUNS
from costlib.tables.schema import SCHEMA_VERSION


def write(store: Store, **changes: object) -> Path:
    row = run_row(**changes)
    return store.write(RUNS, pd.DataFrame([row]), row["run_id"])


def test_what_is_written_comes_back_with_its_nulls(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, ttft_s=[0.5, 0.25], reason=None, energy_j=None)
    row = store.read(RUNS).frame.iloc[0]
    assert list(row["ttft_s"]) == [0.5, 0.25]
    assert row["weight_bytes"] == 1000
    assert pd.isna(row["energy_j"]) and pd.isna(row["reason"]) and pd.isna(row["kv_cache_bytes"])


def test_a_run_is_immutable(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = write(store).read_bytes()
    with pytest.raises(InputError, match="immutable"):
        write(store, weight_bytes=7)
    assert next(tmp_path.glob("runs/*.parquet")).read_bytes() == first
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["20261101T000000Z-00000000.parquet"]


def test_torn_and_foreign_files_are_named_and_skipped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = write(store)
    torn = tmp_path / "runs" / "torn.parquet"
    torn.write_bytes(good.read_bytes()[:500])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "runs" / "foreign.parquet")
    (tmp_path / "runs" / ".costlib-0123abcd.part").write_bytes(b"half")
    contents = store.read(RUNS)
    assert len(contents.frame) == 1
    reasons = {file.name: reason for file, reason in contents.skipped}
    assert set(reasons) == {"torn.parquet", "foreign.parquet"}
    assert "not a costlib run" in reasons["foreign.parquet"]
    assert torn.exists()


def test_many_files_are_read_at_once_and_those_that_cannot_be_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """File by file this took 7 s of CPU or more."""
    root = tmp_path / "a[b] *, run=1"  # a name that looks like a pattern, and like a partition
    store = Store(root)
    one = write(store, ttft_s=[0.5, 0.25], energy_j=None, weight_bytes=2**53 + 1)
    folder = root / "runs"
    for number in range(400):
        shutil.copy(one, folder / f"b{number:03}.parquet")
    table = pq.ParquetFile(one).read()
    pq.write_table(table.drop_columns(["load_s"]), folder / "b100x.parquet")  # as before the column was added
    status = pa.array(["fine"] * len(table), pa.string())
    pq.write_table(table.set_column(table.column_names.index("status"), "status", status), folder / "b200x.parquet")
    (folder / "b300x.parquet").write_bytes(one.read_bytes()[:500])
    pq.write_table(table.replace_schema_metadata(), folder / "b301x.parquet")
    write(store, run_id="z", weight_bytes=7)
    begun = time.process_time()
    contents = store.read(RUNS)
    assert time.process_time() - begun < 4
    frame = contents.frame
    assert len(frame) == 403 and list(frame.columns) == RUNS.names and list(frame.index) == list(range(403))
    assert frame["weight_bytes"].iloc[0] == 2**53 + 1 and frame["weight_bytes"].iloc[-1] == 7
    assert frame["energy_j"].isna().all() and frame["ttft_s"].iloc[7] == [0.5, 0.25]
    assert frame["load_s"].isna().sum() == 1 and pd.isna(frame["load_s"].iloc[102])
    assert dict(contents.skipped).keys() == {folder / f"b{number}x.parquet" for number in (200, 300, 301)}
    assert (
        "b200x.parquet, row 0: status is 'fine'; allowed: one of error"
        in dict(contents.skipped)[folder / "b200x.parquet"]
    )
    assert all(f"{file} is left out: {reason}" in caplog.text for file, reason in contents.skipped)
    caplog.clear()
    assert store.read(RUNS).skipped == contents.skipped and not caplog.text  # said once


def test_of_many_broken_files_the_first_are_named_and_the_others_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runs").mkdir()
    for number in range(12):
        (tmp_path / "runs" / f"{number:02}.parquet").write_bytes(b"none")
    assert len(Store(tmp_path).read(RUNS).skipped) == 12
    assert "04.parquet is left out" in caplog.text and "05.parquet is left out" not in caplog.text
    assert f"7 more files of {tmp_path / 'runs'} are left out" in caplog.text


STORED = [table for table in vars(tables).values() if isinstance(table, tables.Table)]


@pytest.mark.parametrize("table", STORED, ids=[table.name for table in STORED])
def test_a_store_of_a_newer_costlib_is_refused_whatever_the_table(tmp_path: Path, table: tables.Table) -> None:
    """Its rows may have columns that this one does not know, so they are not read, and not left out in silence."""
    empty = pa.Table.from_pylist([], schema=table.arrow_schema()).append_column("new", pa.array([], pa.string()))
    metadata = {b"costlib.schema_version": str(SCHEMA_VERSION + 1).encode(), b"costlib.table": table.name.encode()}
    (tmp_path / table.name).mkdir()
    pq.write_table(empty.replace_schema_metadata(metadata), tmp_path / table.name / "a.parquet")
    with pytest.raises(InputError) as refused:
        Store(tmp_path).read(table)
    newer = (
        f"schema version is {SCHEMA_VERSION + 1}; allowed: at most {SCHEMA_VERSION}: a newer costlib wrote this store"
    )
    assert str(refused.value) == f"{tmp_path / table.name / 'a.parquet'}: {newer}"


def test_a_killed_writer_leaves_nothing_that_is_read_and_the_next_one_sweeps_it(tmp_path: Path) -> None:
    script = (
        "import json, os, signal, sys, pandas as pd\n"
        "from costlib.store import Store\n"
        "from costlib.tables import RUNS\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"  # all is written, and not yet in place
        "row = json.loads(sys.argv[2])\n"
        "Store(sys.argv[1]).write(RUNS, pd.DataFrame([row]), row['run_id'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path), json.dumps(run_row())], timeout=60)
    left = [file.name for file in (tmp_path / "runs").iterdir()]
    assert killed.returncode == -9 and len(left) == 1 and left[0].startswith(".costlib-")
    contents = Store(tmp_path).read(RUNS)
    assert contents.frame.empty and not contents.skipped
    write(Store(tmp_path))
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["20261101T000000Z-00000000.parquet"]


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, json, pandas as pd\n"
        "from costlib.store import Store, new_id\n"
        "from costlib.tables import RUNS\n"
        "row = json.loads(sys.argv[2])\n"
        "for _ in range(20):\n"
        "    row['run_id'] = new_id()\n"
        "    Store(sys.argv[1]).write(RUNS, pd.DataFrame([row]), row['run_id'])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(run_row())]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    contents = Store(tmp_path).read(RUNS)
    assert len(contents.frame) == 40 and contents.frame["run_id"].is_unique and not contents.skipped


def test_a_store_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(InputError, match=r"store is .*file.*allowed: a folder that can be written"):
        Store(blocked).check_writable()


def test_a_row_that_does_not_fit_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="status is 'fine'; allowed: one of error, invalid, ok, oom, unsupported"):
        write(Store(tmp_path), status="fine")
    assert not list(tmp_path.rglob("*.parquet"))


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:-9] for i in ids] == sorted(i[:-9] for i in ids)
