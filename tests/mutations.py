"""What happens to files on their way to a reader: each mutation is told by a function and two numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

Mutation = Callable[[bytes, int, int], bytes]

JSON = (
    "null", "[]", "{}", "[[1]]", '{"a": {"b": 1}}', "[null]", "[{}]", "true", "-1", "0", "0.5", "1e999", "-1e999",
    "NaN",
    "-Infinity", "1" * 400, "9" * 5000, "9007199254740993", "-" + "1" * 30, "1e308", '"\\ud800"', '"\\u0000"',
    '"\u00b2"', '"\u0663"', '"1"', '""', '" "', '"NaN"', '"inf"', '"1_000"', '"1,5"', '"2026-02-30"', '"0001-01-01"',
    '"9999-12-31T23:59:59+14:00"', '"9999-12-31T23:59:59-14:00"', '"2026-10-05T10:00:00+99:99"',
    '"' + "x" * 200_000 + '"',
    '"{' + "{a}" * 50 + '"', "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000,
    '{"a":' * 900 + "1" + "}" * 900, "[" * 90 + "]" * 90, '"\\u001b[31m"', '"a\\nb"', '"/\\u0000/x"',
    '"' + "n/" * 3000 + '"',
    '"NONE"', '"2026-10-05"', '"(" ', '"(?P<"', '"[a-"', "1e400", "--1", "'a'", "{", "]", "01",
)  # fmt: skip
CELLS = (
    "", " ", "\u00b2", "\u0663", "NaN", "inf", "-inf", "-1", "0", "0.5", "1e999", "1e-999", "1" * 400, "9" * 5000,
    "1_000",
    "1,5", "1.000", "1.000,5", '"', '"open', 'a"b', "a\nb", "a\rb", "\x00", "\x1b[31m", "\u2028", "\ufeff",
    "=1+1", "@x",
    "2026-02-30", "2026-13-45", "0001-01-01", "9999-12-31T23:59:59-14:00", "[" * 5000, '{"a":' * 3000, "[1,",
    "[null]", "{}",
    "x" * 200_000, "true", "None", "#x", ";", "\t", "\U0001f600", "e\u0301", "/\x00", "n/" * 3000, "(", "[a-",
    "\\", "%s", "{0}",
)  # fmt: skip
YAML = (
    "2026-02-30", "2026-13-45", "2026-10-05T99:99:99", "0000-00-00", "1" * 5000, "1" * 400, ".nan", ".inf",
    "-.inf", "~",
    "[]", "{}", "[1, [2, [3]]]", "[" * 3000 + "]" * 3000, "{a: " * 3000 + "}" * 3000, '"\\0"', '"\\uD800"', '"a\\nb"',
    '"/\\0/x"', "!!python/object:os.system x", "!!int x", "!!float x", "!!binary =", "!!timestamp x", "!!bool x",
    "!!set {a}", "!!omap [a: 1]", "!!str", "&a [*a]", "&a {b: *a}", "*nope", "<<: 1", "? a", '"open',
    "0o7777777777777777777777",
    "0x" + "f" * 300, "1_000", "12:30:45", "yes", "\u00b2", "|", ">-", "%", "@", "`", "\t", "1e400", "1e-400",
    "---", "...",
    "- a", "a: b: c", "null", "2026-10-05", "-1", "0", "1.5", "''", "' '", "n/" * 3000, "../../../x", "/", ".",
    "x" * 100_000,
    "{a: 1, a: 2}", "{1: 2}", "{[1]: 2}", "{~: 2}", "!x y", "{true: 1}", "{2026-02-30: 1}",
)  # fmt: skip


def _flip(raw: bytes, at: int, what: int) -> bytes:
    return raw if not raw else _put(raw, at % len(raw), 1, bytes([what % 256]))


def _cut(raw: bytes, at: int, what: int) -> bytes:
    return raw[: at % (len(raw) + 1)]


def _drop(raw: bytes, at: int, what: int) -> bytes:
    return _put(raw, at % (len(raw) + 1), what % 200, b"")


def _double(raw: bytes, at: int, what: int) -> bytes:
    start = at % (len(raw) + 1)
    return _put(raw, start, 0, raw[start : start + what % 500])


def _insert(raw: bytes, at: int, what: int) -> bytes:
    parts = (
        b"\0",
        b"\xff",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b'"',
        b"\xc3",
        b"\xed\xa0\x80",
        b"{" * 9000,
        b"9" * 6000,
    )
    return _put(raw, at % (len(raw) + 1), 0, parts[what % len(parts)])


def _put(raw: bytes, at: int, length: int, part: bytes) -> bytes:
    return raw[:at] + part + raw[at + length :]


def _encode(raw: bytes, at: int, what: int) -> bytes:
    text = raw.decode("utf-8", "replace") + "\u00e9"
    names = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp1252", "cp037", "utf-7")
    return text.encode(names[what % len(names)], "replace")


def _end(raw: bytes, at: int, what: int) -> bytes:
    return raw.replace(b"\n", (b"\r", b"\r\n", b"\n\n", b"\n\r", b" \n", b"\x0b", b"", b",\n")[what % 8])


def _separate(raw: bytes, at: int, what: int) -> bytes:
    return raw.replace(b",", (b";", b"\t", b"|", b",,", b"")[what % 5])


def _repeat(raw: bytes, at: int, what: int) -> bytes:
    """A line twice, or gone."""
    lines = raw.split(b"\n")
    one = at % len(lines)
    return b"\n".join([*lines[:one], *[lines[one]] * (what % 3), *lines[one + 1 :]])


def _json(raw: bytes, at: int, what: int) -> bytes:
    """A value of a document, or of one of its lines, that is replaced, left out, or under another name."""
    lines = [raw] if raw.count(b"\n{") == 0 else raw.split(b"\n")
    line = at % len(lines)
    try:
        tree = json.loads(lines[line])
    except (ValueError, RecursionError):
        return _flip(raw, at, what)
    places: list[tuple[Any, Any]] = []
    rest = [tree]
    while rest:
        one = rest.pop()
        for key in one if isinstance(one, dict) else range(len(one) if isinstance(one, list) else 0):
            places.append((one, key))
            rest.append(one[key])
    if not places:
        return JSON[what % len(JSON)].encode()
    holder, key = places[(at // len(lines)) % len(places)]
    kind, value = what % 8, JSON[what // 8 % len(JSON)]
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder["\u00b2" if what % 16 else ""] = holder.pop(key)
    else:
        holder[key] = "@@HERE@@"
    lines[line] = json.dumps(tree).replace('"@@HERE@@"', value).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _csv(raw: bytes, at: int, what: int) -> bytes:
    """A cell that is replaced, left out or twice there, in a row or in all."""
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8", "replace"), newline="")))
    if not rows:
        return raw
    row = rows[at % len(rows)] or [""]
    column = (at // len(rows)) % len(row)
    kind, value = what % 6, CELLS[what // 6 % len(CELLS)]
    if kind == 0:
        del row[column]
    elif kind == 1:
        row.insert(column, row[column])
    elif kind == 2:
        for one in rows:
            del one[column : column + 1]
    else:
        row[column] = value
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    text = out.getvalue()
    return (text if what % 7 else text.replace('"', "")).encode("utf-8", "surrogatepass")


def _yaml(raw: bytes, at: int, what: int) -> bytes:
    """A scalar that is replaced."""
    text = raw.decode("utf-8", "replace")
    found = list(re.finditer(r"(?<=[:\-] )[^\s,{}\[\]][^,{}\[\]\n]*", text))
    if not found:
        return raw
    one = found[at % len(found)]
    return (text[: one.start()] + YAML[what % len(YAML)] + text[one.end() :]).encode("utf-8", "surrogatepass")


BYTES = (_flip, _cut, _drop, _double, _insert)
TEXT = (*BYTES, _encode, _end, _separate, _repeat)
MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "json": (*TEXT, *[_json] * 9),
    "csv": (*TEXT, *[_csv] * 9),
    "yml": (*TEXT, *[_yaml] * 9),
    "text": TEXT,
    "binary": (*BYTES, *[_flip] * 8),
}
"""By what a file holds; what is written in a language is mostly changed in that language."""
