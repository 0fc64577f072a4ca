"""Streams request logs of any size: CSV, JSON Lines and Parquet, plain or gzipped, one record at a time.

Nothing is silently lost: every record read becomes a call or is counted under the kind of reason why not, and a file
that ends in the middle (a truncated gzip) is named while what came before it is used.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from costlib.errors import InputError, bad
from costlib.portfolio.usage.dialects import FIELDS, Call, Rejected, call_of, dialect_of, spans

_LONGEST_LINE = 64 * 1024**2
_LARGEST_ARRAY = 256 * 1024**2
_BATCH = 20_000
KINDS = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")


@dataclass
class Tally:
    """What happened to the records: `read` = used + the sum of `rejected`; `noted` are used all the same."""

    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    dialects: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)


def calls(files: Sequence[str | Path], columns: Mapping[str, str], tally: Tally) -> Iterator[Call]:
    """Every usable call of the files, in order; `tally` counts as they go by.

    `columns` maps a field of `dialects.FIELDS` to the column or nested path that holds it. Raises `InputError` for an
    unknown field, a file of another kind or one that cannot be opened; what is wrong inside a file is counted.
    """
    for name in columns:
        if name not in FIELDS:
            raise bad("column", name, FIELDS)
    paths = [_known(Path(file)) for file in files]
    latest = 0.0
    for path in paths:
        for record in _records(path, tally):
            tally.read += 1
            if isinstance(record, Rejected):
                tally.rejected[str(record)] += 1
                continue
            try:
                call = call_of(record, columns, tally.noted)
            except Rejected as reason:
                tally.rejected[str(reason)] += 1
                continue
            tally.dialects[dialect_of(record)] += 1
            tally.noted["out of time order"] += call.time < latest
            tally.noted["time with a zone" if call.has_zone else "time without a zone, read as UTC"] += 1
            latest = max(latest, call.time)
            yield call


def _known(path: Path) -> Path:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix not in KINDS or (path.suffix == ".gz" and suffix == ".parquet"):
        raise bad("log file", path.name, f"{', '.join(KINDS)}, the text ones also gzipped (.gz)")
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); allowed: a readable log") from None
    return path


def _records(path: Path, tally: Tally) -> Iterator[Any]:
    """Records of one file, or `Rejected` for one that is no record."""
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path)
        else:
            unpack: Any = gzip.open if path.suffix == ".gz" else open
            with unpack(path, "rb") as raw:
                text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
                yield from _csv(text) if name.endswith(".csv") else _json(text, path, tally)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        tally.broken[str(path)] = f"the compressed file ends or breaks in the middle ({error})"


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{path}: is not Parquet ({str(error).splitlines()[0]}); allowed: a whole file") from None


def _csv(text: io.TextIOWrapper) -> Iterator[Any]:
    first = text.readline()
    comma, semicolon = first.count(","), first.count(";")
    header = next(csv.reader([first], delimiter=";" if semicolon > comma else ","), [])
    rows = csv.reader(text, delimiter=";" if semicolon > comma else ",")
    while True:
        before = rows.line_num
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield from _lines("a line that is not CSV", rows.line_num - before)
            continue
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif cells:
            yield from _lines("a line with another number of cells", rows.line_num - before)


def _lines(kind: str, count: int) -> Iterator[Rejected]:
    """A quote that is not closed takes the lines after it along; each is counted."""
    return (Rejected(kind) for _ in range(count))


def _json(text: io.TextIOWrapper, path: Path, tally: Tally) -> Iterator[Any]:
    first = text.read(1)
    while first.isspace():
        first = text.read(1)
    if first == "[":  # one array: it has to be read whole
        whole = first + text.read(_LARGEST_ARRAY)
        if text.read(1):
            raise bad("log file", str(path), "JSON Lines for files above 256 MiB (this is one JSON array)")
        try:
            found = json.loads(whole)
        except ValueError:
            found = [Rejected("a file that is not JSON")]
        yield from (item if isinstance(item, Mapping | Rejected) else Rejected("not an object") for item in found)
        return
    line = first + text.readline(_LONGEST_LINE)
    while line:
        if line.strip():
            yield from _line(line)
        line = text.readline(_LONGEST_LINE)


def _line(line: str) -> Iterator[Any]:
    try:
        record = json.loads(line)
    except ValueError:
        yield Rejected("a line that is not JSON")
        return
    if not isinstance(record, Mapping):
        yield Rejected("not an object")
    elif "resourceSpans" in record:
        yield from spans(record)
    else:
        attributes = record.get("attributes")
        yield {**record, **attributes} if isinstance(attributes, Mapping) else record
