"""Task files: JSONL, CSV or Parquet, one labelled item a row, checked whole before anything is asked.

Columns: `input` and `expected`; optional `id`, `kind` (one for the whole file), `choices`, `split` (train or test),
`weight`, `cost_of_miss` (USD) and `cluster`. What `expected` holds depends on the kind:

classification  one of the item's `choices`; without a `choices` column the choices are all labels of the file
extraction      a JSON object, field to value
exact           the answer, or a list of allowed ones
numeric         a number
regex           a pattern that must be found in the answer
retrieval       the relevant ones of the item's `choices`, which are documents here; one or a list
preference      a stored judgement of two answers: `choices` names two models, `expected` one of them, or tie

Items of the train split are never scored: they are examples in the prompt, or what a linear head learns from. In CSV,
lists and objects are written as JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from costlib.errors import bad
from costlib.quality.tasks.items import TIE, Item, Task, sha256
from costlib.read import SUFFIXES, file_of, json_value, read_records
from costlib.tables import TASK_KINDS

_COLUMNS = ("id", "input", "expected", "kind", "choices", "split", "weight", "cost_of_miss", "cluster")
_SPLITS = ("train", "test")
_MAX_TOKENS = {"extraction": 256}
_PROMPTS = {
    "classification": "{input}\nAnswer with one of: {choices}.\nAnswer:",
    "extraction": "{input}\nAnswer with one JSON object with the fields {fields}.\nAnswer:",
}


def read_task(
    path: str | Path,
    *,
    kind: str | None = None,
    prompt: str | None = None,
    shots: int = 0,
    max_tokens: int | None = None,
    chat: bool = False,
    margin: float = 0.01,
    limit: int | None = None,
) -> Task:
    """Read a task file; `kind` is for files without that column, `limit` takes its first items to score.

    Raises `InputError` naming file and row for a file that cannot be read, no items, an empty or duplicated item, a
    label outside `choices`, an item of the train split that is also in test (with the count), half a character, or a
    bad number.
    """
    allowed = f"a file that exists and ends in {', '.join(SUFFIXES)}"
    file = file_of(path, "task", allowed)
    if file.suffix not in SUFFIXES:
        raise bad("task", str(path), allowed)
    rows = _rows(file)
    kinds = {str(row["kind"]) for _, row in rows if _given(row.get("kind"))} | ({kind} if kind else set())
    if len(kinds) != 1 or not kinds <= set(TASK_KINDS):
        found = ", ".join(sorted(kinds)) or "none"
        raise bad("kind", found, f"one for the whole file, of {', '.join(TASK_KINDS)}", str(file))
    (one,) = kinds
    items: dict[str, list[Item]] = {split: [] for split in _SPLITS}
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    ids: set[str] = set()
    doubled: list[str] = []
    for where, row in rows:
        split = str(row["split"]) if _given(row.get("split")) else "test"
        if split not in _SPLITS:
            raise bad("split", split, _SPLITS, where)
        item = _item(row, one, where)
        key = (split, item.input, item.choices if one == "preference" else ())
        if key in seen:
            doubled.append(where)
        if item.id in ids and _given(row.get("id")):
            raise bad("id", item.id, "an id no other item has", where)
        seen.add(key)
        ids.add(item.id)
        items[split].append(item)
    _check_doubles(items, doubled, file)
    if not items["test"]:
        raise bad("task", str(path), "a file with at least one item to score (split test, or no split)")
    if not 0 <= shots <= len(items["train"]):
        raise bad("shots", shots, f"0 to {len(items['train'])}, the items of the train split", str(file))
    if not 0 < margin < 1:
        raise bad("margin", margin, "a share between 0 and 1, e.g. 0.01 for one point", str(file))
    text = prompt or _PROMPTS.get(one, "{input}\nAnswer:")
    if "{input}" not in text:
        raise bad("prompt", text, "a text that holds {input}", str(file))
    if one == "classification":
        _add_choices(items)
    for field, count, what in (("max_tokens", max_tokens, "tokens"), ("limit", limit, "items")):
        if count is not None and (isinstance(count, bool) or count < 1):
            raise bad(field, count, f"a whole number of {what}, at least 1", str(file))
    length = max_tokens or _MAX_TOKENS.get(one, 64)
    test, train = tuple(items["test"][:limit]), tuple(items["train"])
    return Task(file.stem, one, test, train, text, shots, length, chat, margin)


def _check_doubles(items: Mapping[str, Sequence[Item]], doubled: Sequence[str], file: Path) -> None:
    if doubled:
        raise bad("input", f"{len(doubled)} repeated", f"items that differ, {doubled[0]} repeats one", str(file))
    both = {item.input for item in items["train"]} & {item.input for item in items["test"]}
    if both:
        first = sorted(both)[0][:60]
        raise bad(
            "split", f"{len(both)} in train and in test", f"items in one of them, {first!r} is in both", str(file)
        )


def _add_choices(items: dict[str, list[Item]]) -> None:
    """All labels of the file as the choices of items that have none."""
    labels = tuple(sorted({str(item.expected) for part in items.values() for item in part}))
    for split, part in items.items():
        items[split] = [
            item if item.choices else Item(**{**vars(item), "choices": labels, "expected": str(item.expected)})
            for item in part
        ]


def _rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each row with its place; in CSV, lists and objects are JSON."""
    rows = read_records(file, "item")
    for where, row in rows:
        unknown = [str(name) for name in row if name not in _COLUMNS]
        if unknown:
            raise bad("column", unknown[0], _COLUMNS, where)
        if file.suffix == ".csv":
            row |= {name: _cell(row[name]) for name in ("expected", "choices") if name in row}
    return rows


def _cell(value: str) -> Any:
    """A cell that is a JSON list or object as such, anything else as text."""
    if value.lstrip()[:1] in ("[", "{"):
        try:
            return json_value(value)
        except ValueError:
            return value
    return value


def _given(value: object) -> bool:
    return not (value is None or value == "" or (isinstance(value, float) and math.isnan(value)))


def _item(row: Mapping[str, Any], kind: str, where: str) -> Item:
    text = row.get("input")
    if not isinstance(text, str) or not text.strip():
        raise bad("input", text, "a text that is not empty", where)
    choices = row.get("choices") if _given(row.get("choices")) else []
    if not isinstance(choices, list) or any(not isinstance(one, str) or not one.strip() for one in choices):
        raise bad("choices", choices, "a list of texts", where)
    if len(set(choices)) != len(choices):
        raise bad("choices", choices, "a list of different texts", where)
    expected = _expected(row.get("expected"), kind, choices, where)
    numbers = {}
    for name, least in (("weight", 1.0), ("cost_of_miss", None)):
        value = row.get(name)
        numbers[name] = _number(name, value, where) if _given(value) else least
    name = str(row["id"]) if _given(row.get("id")) else sha256([text, choices if kind == "preference" else []])[:16]
    cluster = str(row["cluster"]) if _given(row.get("cluster")) else (text if kind == "preference" else None)
    return Item(name, text, expected, tuple(choices), numbers["weight"] or 0.0, numbers["cost_of_miss"], cluster)


def _expected(value: Any, kind: str, choices: Sequence[str], where: str) -> Any:
    if not _given(value) or value in ([], {}):
        raise bad("expected", value, "what the right answer is", where)
    if kind == "extraction":
        if not isinstance(value, dict):
            raise bad("expected", value, "a JSON object, field to value", where)
    elif kind == "numeric":
        return _number("expected", value, where, least=-math.inf)
    elif kind == "regex":
        try:
            re.compile(str(value))
        except re.error as error:
            raise bad("expected", value, f"a regular expression ({error})", where) from error
        return str(value)
    elif kind == "exact":
        return [str(one) for one in value] if isinstance(value, list) else str(value)
    elif kind == "preference":
        if len(choices) != 2 or str(value) not in (*choices, TIE):
            raise bad("expected", value, f"one of two choices, or {TIE} (choices are {list(choices)})", where)
        return str(value)
    else:
        labels = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        outside = [label for label in labels if choices and label not in choices]
        if outside or (kind == "retrieval" and not choices):
            raise bad("expected", (outside or labels)[0], choices or "a row that has choices, the documents", where)
        return labels if kind == "retrieval" else labels[0]
    return value


def _number(name: str, value: Any, where: str, least: float = 0.0) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value).replace(",", ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < least:
        raise bad(name, value, "a finite number" + (" of at least 0" if least == 0 else ""), where)
    return number
