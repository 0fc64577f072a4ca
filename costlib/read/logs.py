"""Records of any log file, in blocks of one shape: CSV, JSON Lines, JSON and Parquet, the text ones also gzipped.

A block holds the values of up to a few ten thousand records by flattened path (`usage.prompt_tokens`), so that fields
are mapped for all of them at once. What is no record is handed to `reject` with its line, and reading goes on.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from costlib.errors import InputError, invalid_input

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_LONGEST_LINE = 64 * 1024**2
_LARGEST_DOCUMENT = 256 * 1024**2
_ROWS = 20_000
_CHARACTERS = 8 * 1024**2
"""A block ends after so many rows or characters, whichever comes first: its memory does not grow with the file."""
_JSON_COLUMNS = ("usage", "usagedetails", "costdetails", "metadata", "response", "attributes", "message", "body")
"""Columns of a table that may hold a JSON object as text."""


_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_DEEPEST = 12
"""Levels of nesting below which nothing of a record is looked for."""
_COUNTED = re.compile(r"(?i)usage|token")
_NESTING = frozenset({"resourceSpans", "data", "results", "breakdown", "payload", "attributes"})
"""Keys of documents that hold records further down."""


@dataclass(frozen=True)
class Block:
    """Records of one shape: `columns` by path, each as long as `lines`, the line (Parquet: row) each begins on."""

    columns: Mapping[str, Any]
    lines: Sequence[int]


Reject = Callable[[str, int, tuple[str, object, str] | None], None]
"""Called with the kind of reason, the line and, where one field is to blame, its name, value and what is allowed."""


def known_log(path: Path) -> Path:
    """The path of a log that can be opened; raises `InputError` for another kind of file or one that cannot."""
    suffix = (Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix).lower()
    if suffix not in KINDS or (suffix == ".parquet" and path.suffix != suffix):
        raise invalid_input("log file", path.name, f"{', '.join(KINDS)}, the text ones also gzipped (.gz)")
    try:
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); allowed: a readable log") from None
    return path


def blocks(path: Path, reject: Reject) -> Iterator[list[Block]]:
    """The blocks of one file, those of the same stretch of it together.

    Raises `EOFError` with a sentence for a file that breaks in the middle, after what came before, and `InputError` for
    one that cannot be read at all.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet(path)
        return
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as raw:
            whole = _UntilBroken(raw)
            buffered = io.BufferedReader(whole)
            text = io.TextIOWrapper(buffered, encoding=_encoding(buffered), errors="replace", newline="")
            if name.endswith((".csv", ".tsv")):
                yield from _csv(text, path, reject)
            else:
                yield from _grouped(_json(text, path, name.endswith(".json")), reject)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); allowed: a readable log") from None
    if whole.broken is not None:
        raise EOFError(f"the compressed file ends or breaks in the middle ({whole.broken})")


class _UntilBroken(io.RawIOBase):
    """A file that ends where it can be read no further; `broken` says why."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.broken: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self.raw.read(len(buffer))
        except (EOFError, zlib.error, OSError) as error:
            self.broken = error
            return 0
        buffer[: len(found)] = found
        return len(found)


def _encoding(raw: Any) -> str:
    start = raw.peek(4)[:4]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(start) == 4 and start.count(0) == 2:  # UTF-16 of plain characters, without its mark
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8-sig"


# --- CSV ---------------------------------------------------------------------------------------------------------


class _Held:
    """Lines for the csv module, which remembers those of the record at hand: one that is none can be read again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text, self.again, self.held = text, deque[str](), list[str]()
        self.size = 0

    def __iter__(self) -> _Held:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.text)
        self.held.append(line)
        self.size += len(line)
        if self.size > _LONGEST_LINE:
            raise csv.Error("a cell that does not end")
        return line

    def begin(self) -> None:
        """Forget the record at hand."""
        self.held.clear()
        self.size = 0


def _csv(text: io.TextIOWrapper, path: Path, reject: Reject) -> Iterator[list[Block]]:
    line, first = 1, text.readline()
    if first.startswith("sep="):
        line, first = 2, text.readline()
    bare = re.sub(r'"[^"]*"', "", first)
    separator = max(",;\t", key=bare.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    for name in header:
        if name and header.count(name) > 1:
            raise invalid_input("column", name, "each column once", f"{path}:{line}")
    line += 1
    nested = any(_is_json_column(name) for name in header)
    held = _Held(text)
    reader = csv.reader(held, delimiter=separator, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    size = 0
    while True:
        if len(rows) >= _ROWS or size >= _CHARACTERS:
            yield _table(header, rows, lines, nested)
            rows, lines, size = [], [], 0
        if not held.again:  # whole lines at once, where no record spans several
            some = _some(text)
            if (columns := _unquoted(header, some, separator, nested)) is not None:
                before = _table(header, rows, lines, nested) if rows else []
                yield [*before, Block(columns, range(line, line + len(some)))]
                rows, lines, size, line = [], [], 0, line + len(some)
                continue
            try:
                whole = list(csv.reader(some, delimiter=separator, strict=True))
            except csv.Error:
                whole = []
            if some and len(whole) == len(some) and set(map(len, whole)) <= {len(header)}:
                rows += whole
                lines += range(line, line + len(some))
                line, size = line + len(some), size + sum(map(len, some))
                continue
            held.again.extend(some)
        held.begin()
        try:
            cells = next(reader)
            wrong = bool(cells) and len(cells) != len(header)
        except StopIteration:
            break
        except csv.Error:
            cells, wrong = [], True
        if wrong:
            allowed = f"{len(header)}, as in the header (quote cells that hold {separator!r})"
            if cells:
                reject("a line with another number of cells", line, ("number of cells", len(cells), allowed))
            else:
                reject("a line that is not CSV", line, ("line", held.held[0].strip()[:60], "CSV, every quote closed"))
            held.again.extendleft(reversed(held.held[1:]))  # a quote left open takes good lines along
            line += 1
            continue
        if cells:
            rows.append(cells)
            lines.append(line)
            size += sum(map(len, held.held))
        line += len(held.held)
    if rows:
        yield _table(header, rows, lines, nested)


def _some(text: io.TextIOWrapper) -> list[str]:
    """The next lines, a block's worth at most."""
    some: list[str] = []
    size = 0
    while size < _CHARACTERS and len(some) < _ROWS:
        more = list(islice(text, 500))
        if not more:
            break
        some += more
        size += sum(map(len, more))
    return some


def _unquoted(header: list[str], some: list[str], separator: str, nested: bool) -> dict[str, Any] | None:
    """The columns of lines without a quote, for which Arrow takes a quarter of the time; None: for the csv module."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    joined = "".join(some)
    if len(header) < 2 or joined[:1] in ("", "\ufeff") or '"' in joined or (nested and "{" in joined):
        return None
    try:
        table = arrow.read_csv(
            pa.BufferReader(joined.encode()),
            arrow.ReadOptions(use_threads=False, block_size=4 * len(joined) + 1, column_names=header),
            arrow.ParseOptions(delimiter=separator, quote_char=False),
            arrow.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except (pa.ArrowException, OverflowError):
        return None
    whole = len(table) == len(some)
    return dict(zip(header, (column.to_pandas() for column in table.columns), strict=True)) if whole else None


def _table(header: list[str], rows: list[list[str]], lines: list[int], nested: bool) -> list[Block]:
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    if nested and any(
        _is_json_column(name) and any(cell.lstrip().startswith("{") for cell in column)
        for name, column in columns.items()
    ):
        return _by_shape([(line, flat(_opened(dict(zip(header, row, strict=True)))))
                          for line, row in zip(lines, rows, strict=True)])  # fmt: skip
    return [Block(columns, lines)]


def _is_json_column(name: str) -> bool:
    return name.replace("_", "").lower() in _JSON_COLUMNS


def _opened(record: dict[str, Any]) -> dict[str, Any]:
    """The record with objects that stand in it as text opened."""
    for name, value in record.items():
        if isinstance(value, str) and _is_json_column(name) and value.lstrip().startswith("{"):
            inner = parsed(value)
            record[name] = inner if isinstance(inner, dict) else value
    return record


# --- JSON --------------------------------------------------------------------------------------------------------


def _json(text: io.TextIOWrapper, path: Path, may_be_one: bool) -> Iterator[tuple[int, Any, int]]:
    """(line, document or None, characters) of each line, or of a file that is one document."""
    number, first = 1, text.readline(_LONGEST_LINE)
    while first and not first.strip():
        number, first = number + 1, text.readline(_LONGEST_LINE)
    start = first.lstrip()
    if start.startswith("[") or (may_be_one and start.startswith("{") and parsed(first) is None):
        whole = first + text.read(max(0, _LARGEST_DOCUMENT - len(first)))
        if len(whole) > _LARGEST_DOCUMENT or text.read(1):
            raise invalid_input("log file", str(path), "JSON Lines for files above 256 MiB (this is one JSON document)")
        document = parsed(whole)
        if isinstance(document, list):
            yield from ((number, item if item is not None else [], 200) for item in document)
            return
        if document is not None or start.startswith("["):
            yield number, document, len(whole)
            return
        text = io.StringIO(whole[len(first) :], newline="")  # type: ignore[assignment]
    line = first
    while line:
        if line.strip():
            yield number, parsed(line), len(line)
        number, line = number + 1, text.readline(_LONGEST_LINE)


def _grouped(found: Iterator[tuple[int, Any, int]], reject: Reject) -> Iterator[list[Block]]:
    records: list[tuple[int, dict[str, Any]]] = []
    size = 0
    state: dict[str, Any] = {}
    for line, document, length in found:
        if document is None:
            reject("a line that is not JSON", line, ("line", "", "one JSON object"))
            continue
        for record in (document,) if plain(document) else documents(document, state):
            if isinstance(record, str):
                reject(record, line, None)
            else:
                records.append((line, flat(record)))
        size += length
        if len(records) >= _ROWS or size >= _CHARACTERS:
            yield _by_shape(records)
            records, size = [], 0
    if records:
        yield _by_shape(records)


def _by_shape(records: list[tuple[int, dict[str, Any]]]) -> list[Block]:
    shapes: dict[tuple[str, ...], tuple[list[int], list[Any]]] = {}
    for line, record in records:
        lines, rows = shapes.setdefault(tuple(record), ([], []))
        lines.append(line)
        rows.append(record.values())
    return [
        Block(dict(zip(shape, zip(*rows, strict=True), strict=True)), lines) for shape, (lines, rows) in shapes.items()
    ]


# --- One document as the records it holds ---
#
# Exports nest what they log: spans in OTLP, rows in pages of buckets, a session's turns in events. Shapes that are
# broken give the kind of reason instead of a record.


def parsed(text: str) -> Any:
    """The JSON value of a text, None where it is none or null; half a character becomes the sign for an unknown one."""
    try:
        return from_json(text)
    except ValueError:
        try:
            return json.loads(_HALF.sub(r"\\ufffd", text))
        except (ValueError, RecursionError):
            return None


def plain(document: Any) -> bool:
    """Whether a document is one record as it stands."""
    return type(document) is dict and _NESTING.isdisjoint(document)


def documents(found: Any, state: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any] | str]:
    """The records of a document; `state` holds what earlier lines of a session's file said about later ones."""
    if not isinstance(found, Mapping):
        yield "not an object"
        return
    if "resourceSpans" in found:
        yield from _spans(found["resourceSpans"])
        return
    for name in ("data", "results"):
        inner = found.get(name)
        if depth < _DEEPEST and isinstance(inner, list) and "model" not in found:
            shared = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
            for item in inner:
                yield from documents({**shared, **item} if isinstance(item, Mapping) else item, state, depth + 1)
            return
    models = _at(found, "breakdown", "models")
    if isinstance(models, Mapping):  # LiteLLM's daily activity
        for model, activity in models.items():
            metrics = _at(activity, "metrics")
            yield {"date": found.get("date"), "model": model, **metrics} if isinstance(metrics, Mapping) else "no model"
        return
    kind, payload = found.get("type"), found.get("payload")
    if isinstance(payload, Mapping) and kind in ("session_meta", "turn_context", "event_msg", "response_item"):
        yield from _codex(found, str(kind), payload, state)
        return
    attributes = found.get("attributes")
    if isinstance(attributes, list):
        yield _span(found)
    else:
        yield {**found, **attributes} if isinstance(attributes, Mapping) else dict(found)


def _codex(found: Mapping[str, Any], kind: str, payload: Mapping[str, Any], state: dict[str, Any]) -> Iterator[Any]:
    """A Codex session names its model in one event and counts the tokens of each turn in others, some of them twice."""
    if kind == "session_meta":
        state["session"], state["provider"] = payload.get("id"), payload.get("model_provider")
    if kind == "turn_context":
        state["model"] = payload.get("model")
    last, whole = _at(payload, "info", "last_token_usage"), _at(payload, "info", "total_token_usage")
    if payload.get("type") != "token_count" or not isinstance(last, Mapping):
        yield "not a model call"
        return
    so_far = json.dumps(whole, sort_keys=True, default=str)
    yield {
        "timestamp": found.get("timestamp"),
        "model": state.get("model"),
        "provider": state.get("provider"),
        "id": f"{state.get('session')} {so_far}" if whole else None,
        "usage": dict(last),
    }


def _at(found: Any, *names: str) -> Any:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _spans(resources: Any) -> Iterator[dict[str, Any] | str]:
    """The spans of an OTLP JSON document, their attributes made flat."""
    for resource in resources if isinstance(resources, list) else [None]:
        for scope in _list_of(resource, "scopeSpans", "instrumentationLibrarySpans"):
            for span in _list_of(scope, "spans"):
                yield _span(span) if isinstance(span, Mapping) else "a span that is not one"


def _list_of(found: Any, *names: str) -> list[Any]:
    """A list in a mapping; of None where there is none, so that it is counted below."""
    for name in names:
        inner = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(inner, list):
            return inner
    return [None]


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    attributes = span.get("attributes")
    record = {key: span.get(key) for key in ("spanId", "startTimeUnixNano", "startTime", "timestamp", "name")}
    for item in attributes if isinstance(attributes, list) else ():
        value = _at(item, "value")
        if isinstance(item, Mapping) and isinstance(value, Mapping) and isinstance(item.get("key"), str):
            record[item["key"]] = next(iter(value.values()), None)
    if _at(span, "status", "code") in (2, "STATUS_CODE_ERROR"):
        record["status"] = "error"
    return {key: value for key, value in record.items() if value is not None}


def flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The record with nested objects as dotted paths; lists stay values, but for counts in them."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        kind = type(value)
        if kind is dict:
            if depth < _DEEPEST:
                found.update(flat(value, f"{prefix}{key}.", depth + 1))
        elif kind is list and value and isinstance(value[0], dict) and _COUNTED.search(f"{prefix}{key}"):
            _add_list(found, f"{prefix}{key}", value, depth)
        else:
            found[prefix + key] = value
    return found


def _add_list(found: dict[str, Any], path: str, items: list[Any], depth: int) -> None:
    """Counts by modality, as Gemini lists them, and others, added up by path."""
    for item in items:
        if not isinstance(item, dict):
            continue
        modality, count = item.get("modality"), item.get("tokenCount", item.get("token_count"))
        if isinstance(modality, str):
            found[f"{path}.{modality.lower()}_tokens"] = count
            continue
        for name, value in flat(item, f"{path}[].", depth + 1).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[name] = found.get(name, 0) + value


# --- Parquet -----------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Iterator[list[Block]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                table = pa.table(batch)
                table.validate(full=True)  # text that is UTF-8, offsets that lie inside
                yield _arrow(table, row)
                row += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if row > 1:
            raise EOFError(f"the Parquet file is damaged after row {row - 1} ({reason})") from None
        raise InputError(f"{path}: is not Parquet ({reason}); allowed: a whole file") from None


def _arrow(table: Any, first: int) -> list[Block]:
    import pyarrow as pa

    lines = range(first, first + table.num_rows)
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    names = table.schema.names
    maps = any(pa.types.is_map(field.type) for field in table.schema)
    texts = [name for name in names if _is_json_column(name) and _is_text(table.schema.field(name).type)]
    if maps or any(_starts_object(table[name]) for name in texts):
        found = [_opened(record) for record in table.to_pylist(maps_as_pydicts="lossy")]
        return _by_shape([(line, flat(record)) for line, record in zip(lines, found, strict=True)])
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        columns[name] = plain.to_pandas()
    return [Block(columns, lines)]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _starts_object(column: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.starts_with(column, "{")).as_py())
