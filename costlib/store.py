"""The store: append-only Parquet, one immutable file per run, read back as one DataFrame.

Layout: `<root>/<table>/<run_id>.parquet`. A file appears only when complete (`costlib.output`), so a torn write never
looks like a run and two writers never meet: run ids carry a random part and an existing name is never replaced. A file
that cannot be read, or that another program wrote, is named in `Contents.skipped` and left alone. One that a newer
costlib wrote is refused: without it every answer would be made from a part of the runs.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from costlib.errors import InputError, bad
from costlib.output import cannot_write, write_whole
from costlib.paths import store_dir
from costlib.redact import redact_all
from costlib.tables import SCHEMA_VERSION, Table

if TYPE_CHECKING:
    import pandas as pd

_VERSION_KEY = b"costlib.schema_version"
_TABLE_KEY = b"costlib.table"


def new_id() -> str:
    """A sortable, unique id: UTC time to the microsecond and 8 random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Contents:
    """What was read: one frame, and the files that were left out with the reason of each."""

    frame: pd.DataFrame
    skipped: tuple[tuple[Path, str], ...]


class Store:
    """A folder of immutable run files. `root` is created on the first write. Texts are stored without secrets."""

    def __init__(self, root: Path | str | None = None) -> None:
        if root == "":  # pathlib takes it for the working directory
            raise bad("store", root, "the name of a folder")
        self.root = Path(root) if root is not None else store_dir()

    def check_writable(self) -> None:
        """Raise `InputError` if a run could not be written here; call it before hours of work."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise bad("store", str(self.root), f"a folder that can be written ({why})") from None

    def write(self, table: Table, frame: pd.DataFrame, run_id: str) -> Path:
        """Write one run; returns its file. Raises `InputError` if the rows do not fit the table or the id exists."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def whole(file: IO[bytes]) -> None:
            pq.write_table(arrow, file)

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
        self.check_writable()
        folder = self.root / table.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return write_whole(folder / f"{run_id}.parquet", whole, field="store", new=True)
        except FileExistsError as error:
            raise bad("run_id", run_id, "an id that is not in the store yet (runs are immutable)") from error
        except OSError as error:
            raise cannot_write("store", folder, error) from None

    def read(self, table: Table) -> Contents:
        """All runs of a table, oldest first; unreadable and foreign files are skipped by name.

        Raises `InputError` for a run of a newer costlib.
        """
        import pandas as pd

        frames: list[pd.DataFrame] = []
        skipped: list[tuple[Path, str]] = []
        folder = self.root / table.name
        for file in sorted(folder.glob("*.parquet")) if folder.is_dir() else []:
            try:
                frames.append(_read_file(file, table))
            except _NewerError:
                raise
            except (InputError, OSError, ValueError) as error:
                skipped.append((file, str(error).splitlines()[0]))
        frame = pd.concat(frames, ignore_index=True) if frames else table.validate(pd.DataFrame(columns=table.names))
        return Contents(frame, tuple(skipped))


class _NewerError(InputError):
    """A file that only a newer costlib can read."""


def _read_file(file: Path, table: Table) -> pd.DataFrame:
    import pyarrow.parquet as pq

    arrow = pq.read_table(file, partitioning=None)
    metadata = arrow.schema.metadata or {}
    if metadata.get(_TABLE_KEY) != table.name.encode():
        raise InputError("not a costlib run of this table")
    version = int(metadata.get(_VERSION_KEY, b"0"))
    if version > SCHEMA_VERSION:
        newer = bad("schema version", version, f"at most {SCHEMA_VERSION}: a newer costlib wrote this store", str(file))
        raise _NewerError(str(newer))
    import pandas as pd

    return table.validate(pd.DataFrame(arrow.to_pylist(), columns=arrow.column_names), where=file.name)


def _storable(value: object) -> object:
    """Null in every pandas spelling becomes None, which Parquet stores as null."""
    if isinstance(value, list) or value is None:
        return value
    return None if value != value or type(value).__name__ == "NAType" else value
