"""The store: append-only Parquet, one immutable file per run, read back as one DataFrame.

Layout: `<root>/<table>/<run_id>.parquet`. A file appears only when complete (`costlib.output`), so a torn write never
looks like a run and two writers never meet: run ids carry a random part and an existing name is never replaced. A file
that cannot be read, or that another program wrote, is named in `Contents.skipped` and left alone. One that a newer
costlib wrote is refused: without it every answer would be made from a part of the runs.
"""

from __future__ import annotations

import logging
import re
import secrets
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from costlib.errors import InputError, invalid_input
from costlib.output import cannot_write, write_whole
from costlib.paths import store_dir
from costlib.redact import redact_all
from costlib.tables import SCHEMA_VERSION, Table
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

_VERSION_KEY = b"costlib.schema_version"
_TABLE_KEY = b"costlib.table"
_FILE = "costlib_file"
_SAID = 5
_named = set[Path]()
"""Files already named as left out: a command reads a table several times."""


def new_id() -> str:
    """A sortable, unique id: UTC time to the microsecond and 8 random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Contents:
    """What was read: one frame, and the files that were left out with the reason of each."""

    frame: pd.DataFrame
    skipped: tuple[tuple[Path, str], ...]


@brief
class Store:
    """A folder of immutable run files. `root` is created on the first write. Texts are stored without secrets."""

    def __init__(self, root: Path | str | None = None) -> None:
        if root == "":  # pathlib takes it for the working directory
            raise invalid_input("store", root, "the name of a folder")
        self.root = Path(root) if root is not None else store_dir()

    def check_writable(self) -> None:
        """Raise `InputError` if a run could not be written here; call it before hours of work."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise invalid_input("store", str(self.root), f"a folder that can be written ({why})") from None

    def write(self, table: Table, frame: pd.DataFrame, run_id: str) -> Path:
        """Write one run; returns its file. Raises `InputError` if the rows do not fit the table or the id exists."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def whole(file: IO[bytes]) -> None:
            many = len(arrow) > 1  # most files hold one row, and are read faster plain
            codec = "snappy" if many else "none"
            pq.write_table(arrow, file, use_dictionary=many, compression=codec, write_statistics=False)

        checked = table.validate(frame)
        for column in table.columns:
            if column.type in ("text", "texts") and not column.allowed:
                checked[column.name] = checked[column.name].map(redact_all, na_action="ignore")
        arrow = pa.Table.from_pylist(
            [{key: _storable(value) for key, value in row.items()} for row in checked.to_dict("records")],
            schema=table.arrow_schema().with_metadata(
                {_VERSION_KEY: str(SCHEMA_VERSION).encode(), _TABLE_KEY: table.name.encode()}
            ),
        )
        if len(arrow):  # a column without a value is no column of the file: read, it is null
            arrow = arrow.select([name for name in table.names if arrow[name].null_count < len(arrow)])
        self.check_writable()
        folder = self.root / table.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return write_whole(folder / f"{run_id}.parquet", whole, field="store", new=True)
        except FileExistsError as error:
            raise invalid_input("run_id", run_id, "an id that is not in the store yet (runs are immutable)") from error
        except OSError as error:
            raise cannot_write("store", folder, error) from None

    def read(self, table: Table) -> Contents:
        """All runs of a table, oldest first; unreadable and foreign files are left out, and named on stderr.

        Raises `InputError` for a run of a newer costlib.
        """
        import pandas as pd

        folder = self.root / table.name
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        skipped: dict[Path, str] = {}
        frames = _read(_reader(), files, table, skipped) if files else []
        if new := [f"{file} is left out: {reason}" for file, reason in skipped.items() if file not in _named]:
            more = f"; {len(new) - _SAID:,} more files of {folder} are left out" if len(new) > _SAID else ""
            logging.getLogger("costlib").warning("%s", "costlib: " + "; ".join(new[:_SAID]) + more)
            _named.update(skipped)
        if not frames:
            return Contents(table.validate(pd.DataFrame(columns=table.names)), tuple(skipped.items()))
        frame = pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)
        return Contents(frame, tuple(skipped.items()))


class _NewerError(InputError):
    """A file that only a newer costlib can read."""


def _reader() -> Any:
    """A DuckDB that reads each footer once; of small files one thread reads most."""
    import duckdb

    base = duckdb.connect()
    base.execute("set enable_progress_bar = false; set threads = 1; set parquet_metadata_cache = true")
    return base


def _read(base: Any, files: list[Path], table: Table, skipped: dict[Path, str]) -> list[pd.DataFrame]:
    """Checked rows of files, indexed by file: all read at once, halves of them where one cannot be read."""
    import duckdb
    import pandas as pd
    import pyarrow as pa

    try:
        shapes = _shapes(base, files, table, skipped)
        if not shapes:
            return []
        read = f"read_parquet(?, hive_partitioning=false, filename={_FILE!r})"
        found = [_query(base, read, shape).to_arrow_table() for shape in shapes]
        arrow = pa.concat_tables(found, promote_options="permissive")
        frame = arrow.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)
        index = pd.Index(frame.pop(_FILE))
        return [table.validate(frame, where=files[0].name).set_index(index)]
    except _NewerError:
        raise
    except (InputError, OSError, ValueError, pa.ArrowException, duckdb.Error) as error:
        if len(files) == 1:
            skipped[files[0]] = str(error).splitlines()[0]
            return []
        half = len(files) // 2
        return [frame for part in (files[:half], files[half:]) for frame in _read(base, part, table, skipped)]


def _shapes(base: Any, files: list[Path], table: Table, skipped: dict[Path, str]) -> list[list[Path]]:
    """The files with runs of a table, those with the same columns together."""
    found: dict[str, dict[bytes, bytes]] = {}
    for file, key, value in _query(base, "parquet_kv_metadata(?)", files).fetchall():
        found.setdefault(file, {})[key] = value
    shapes: dict[bytes, list[Path]] = {}
    for file in files:
        metadata = found.get(str(file), {})
        version = int(metadata.get(_VERSION_KEY, b"0"))
        if metadata.get(_TABLE_KEY) != table.name.encode():
            skipped[file] = "not a costlib run of this table"
        elif version > SCHEMA_VERSION:
            allowed = f"at most {SCHEMA_VERSION}: a newer costlib wrote this store"
            raise _NewerError(str(invalid_input("schema version", version, allowed, str(file))))
        else:
            shapes.setdefault(metadata.get(b"ARROW:schema", b""), []).append(file)
    return list(shapes.values())


def _query(base: Any, source: str, files: list[Path]) -> Any:
    """What DuckDB reads from files; a name that looks like a pattern is none."""
    names = [re.sub(r"[*?\[]", r"[\g<0>]", str(file)) for file in files]
    return base.sql(f"select * from {source}", params=[names])


def _storable(value: object) -> object:
    """Null in every pandas spelling becomes None, which Parquet stores as null."""
    if isinstance(value, list) or value is None:
        return value
    return None if value != value or type(value).__name__ == "NAType" else value
