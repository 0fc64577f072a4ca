"""Tasks and their files: JSONL, CSV or Parquet, one labelled item a row, checked whole before anything is asked.

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

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlib.errors import invalid_input
from costlib.read import SUFFIXES, file_of, json_value, read_records
from costlib.tables import TASK_KINDS

TIE = "tie"
"""What a judgement of two answers expects where neither won."""
_COLUMNS = ("id", "input", "expected", "kind", "choices", "split", "weight", "cost_of_miss", "cluster")
_SPLITS = ("train", "test")
_MAX_TOKENS = {"extraction": 256}
_PROMPTS = {
    "classification": "{input}\nAnswer with one of: {choices}.\nAnswer:",
    "extraction": "{input}\nAnswer with one JSON object with the fields {fields}.\nAnswer:",
}


@dataclass(frozen=True)
class Item:
    """One labelled item; `expected` as its kind says, in JSON types."""

    id: str
    input: str
    expected: Any
    choices: tuple[str, ...] = ()
    weight: float = 1.0
    cost_of_miss: float | None = None
    cluster: str | None = None

    @property
    def label_sha256(self) -> str:
        """Hash of what was asked and what is expected, however a model was prompted."""
        return sha256([self.input, list(self.choices), self.expected])


@dataclass(frozen=True)
class Task:
    """A task: its items to score, its examples, and how an item becomes a prompt.

    `prompt` may use {input}, {choices} and {fields}; `shots` examples of the train split come before it; `chat` sends
    it through the model's chat template. `margin` is the largest loss the gate allows.
    """

    name: str
    kind: str
    items: tuple[Item, ...]
    train: tuple[Item, ...] = ()
    prompt: str = "{input}\nAnswer:"
    shots: int = 0
    max_tokens: int = 64
    chat: bool = False
    margin: float = 0.01

    @property
    def stop(self) -> tuple[str, ...]:
        """Where an answer ends: after examples, at the blank line that separates them."""
        return ("\n\n",) if self.shots else ()

    def rendered(self, item: Item) -> str:
        """The whole prompt of an item."""
        parts = [f"{self._filled(one)} {as_text(one.expected)}" for one in self.train[: self.shots]]
        return "\n\n".join([*parts, self._filled(item)])

    def _filled(self, item: Item) -> str:
        fields = ", ".join(item.expected) if isinstance(item.expected, dict) else ""
        values = {"{input}": item.input, "{choices}": ", ".join(item.choices), "{fields}": fields}
        return re.sub(r"\{(input|choices|fields)\}", lambda found: values[found.group()], self.prompt)

    def question_sha256(self, item: Item, *, learns: bool = False, more: Mapping[str, Any] | None = None) -> str:
        """Hash of everything a model is given for an item; `learns` adds what a linear head was trained on.

        `more` is what a request holds beside the prompt.
        """
        taught = [[one.input, one.expected] for one in self.train] if learns else []
        given = [self.kind, self.rendered(item), list(item.choices), self.max_tokens, self.chat, taught]
        return sha256([*given, more] if more else given)

    def questions(self, *, learns: bool = False, more: Mapping[str, Any] | None = None) -> dict[str, str]:
        """That hash of each item to score, by its id."""
        return {item.id: self.question_sha256(item, learns=learns, more=more) for item in self.items}


def sha256(value: object) -> str:
    """SHA-256 of a value of JSON types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def as_text(expected: Any) -> str:
    """An expected answer as a model would write it."""
    if isinstance(expected, (dict, list)):
        return json.dumps(expected[0] if isinstance(expected, list) else expected, ensure_ascii=False)
    return str(expected)


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
        raise invalid_input("task", str(path), allowed)
    place = str(file)
    rows = [(where, _given(row, where, file.suffix == ".csv")) for where, row in read_records(file, "item")]
    kinds = {str(row["kind"]) for _, row in rows if "kind" in row} | ({kind} if kind else set())
    if len(kinds) != 1 or not kinds <= set(TASK_KINDS):
        known = f"one for the whole file, of {', '.join(TASK_KINDS)}"
        raise invalid_input("kind", ", ".join(sorted(kinds)) or "none", known, place)
    (one,) = kinds
    items: dict[str, list[Item]] = {split: [] for split in _SPLITS}
    seen, ids, doubled = set(), set(), []
    for where, row in rows:
        split = str(row.get("split", "test"))
        if split not in _SPLITS:
            raise invalid_input("split", split, _SPLITS, where)
        item = _item(row, one, where)
        if item.id in ids and "id" in row:
            raise invalid_input("id", item.id, "an id no other item has", where)
        key = (split, item.input, item.choices if one == "preference" else ())
        doubled += [where] if key in seen else []
        seen.add(key)
        ids.add(item.id)
        items[split].append(item)
    if doubled:
        raise invalid_input("input", f"{len(doubled)} repeated", f"items that differ, {doubled[0]} repeats one", place)
    train, test = (items[split] for split in _SPLITS)
    if both := {item.input for item in train} & {item.input for item in test}:
        known = f"items in one of them, {min(both)[:60]!r} is in both"
        raise invalid_input("split", f"{len(both)} in train and in test", known, place)
    if not test:
        raise invalid_input("task", str(path), "a file with at least one item to score (split test, or no split)")
    if not 0 <= shots <= len(train):
        raise invalid_input("shots", shots, f"0 to {len(train)}, the items of the train split", place)
    if not 0 < margin < 1:
        raise invalid_input("margin", margin, "a share between 0 and 1, e.g. 0.01 for one point", place)
    text = prompt or _PROMPTS.get(one, "{input}\nAnswer:")
    if "{input}" not in text:
        raise invalid_input("prompt", text, "a text that holds {input}", place)
    for field, count, what in (("max_tokens", max_tokens, "tokens"), ("limit", limit, "items")):
        if count is not None and (isinstance(count, bool) or count < 1):
            raise invalid_input(field, count, f"a whole number of {what}, at least 1", place)
    if one == "classification":
        labels = tuple(sorted({item.expected for item in (*train, *test)}))
        train, test = ([replace(item, choices=item.choices or labels) for item in part] for part in (train, test))
    length = max_tokens or _MAX_TOKENS.get(one, 64)
    return Task(file.stem, one, tuple(test[:limit]), tuple(train), text, shots, length, chat, margin)


def _given(row: Mapping[str, Any], where: str, is_csv: bool) -> dict[str, Any]:
    """The cells of a row that hold something; in CSV, a list or an object is JSON."""
    if unknown := [str(name) for name in row if name not in _COLUMNS]:
        raise invalid_input("column", unknown[0], _COLUMNS, where)
    found = {name: value for name, value in row.items() if value is not None and value != "" and value == value}
    for name in ("expected", "choices") if is_csv else ():
        if found.get(name, "").lstrip()[:1] in ("[", "{"):
            with suppress(ValueError):
                found[name] = json_value(found[name])
    return found


def _item(row: Mapping[str, Any], kind: str, where: str) -> Item:
    text, choices, pair = row.get("input"), row.get("choices", []), kind == "preference"
    if not isinstance(text, str) or not text.strip():
        raise invalid_input("input", text, "a text that is not empty", where)
    if not isinstance(choices, list) or any(not isinstance(one, str) or not one.strip() for one in choices):
        raise invalid_input("choices", choices, "a list of texts", where)
    if len(set(choices)) != len(choices):
        raise invalid_input("choices", choices, "a list of different texts", where)
    cluster = str(row["cluster"]) if "cluster" in row else text if pair else None
    return Item(
        id=str(row["id"]) if "id" in row else sha256([text, choices if pair else []])[:16],
        input=text,
        expected=_expected(row.get("expected"), kind, choices, where),
        choices=tuple(choices),
        weight=_number("weight", row.get("weight", 1), where),
        cost_of_miss=_number("cost_of_miss", row["cost_of_miss"], where) if "cost_of_miss" in row else None,
        cluster=cluster,
    )


def _expected(value: Any, kind: str, choices: Sequence[str], where: str) -> Any:
    if value in (None, [], {}):
        raise invalid_input("expected", value, "what the right answer is", where)
    texts = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    if kind == "extraction":
        if not isinstance(value, dict):
            raise invalid_input("expected", value, "a JSON object, field to value", where)
        return value
    if kind == "numeric":
        return _number("expected", value, where, least=-math.inf)
    if kind == "exact":
        return texts if isinstance(value, list) else texts[0]
    if kind == "regex":
        try:
            re.compile(str(value))
        except re.error as error:
            raise invalid_input("expected", value, f"a regular expression ({error})", where) from error
        return str(value)
    if kind == "preference":
        if len(choices) != 2 or str(value) not in (*choices, TIE):
            raise invalid_input("expected", value, f"one of two choices, or {TIE} (choices are {list(choices)})", where)
        return str(value)
    outside = [label for label in texts if choices and label not in choices]
    if outside or (kind == "retrieval" and not choices):
        raise invalid_input(
            "expected", (outside or texts)[0], choices or "a row that has choices, the documents", where
        )
    return texts if kind == "retrieval" else texts[0]


def _number(name: str, value: Any, where: str, least: float = 0.0) -> float:
    number = math.nan
    with suppress(ValueError):
        number = math.nan if isinstance(value, bool) else float(str(value).replace(",", ""))
    if not math.isfinite(number) or number < least:
        raise invalid_input(name, value, "a finite number" + (" of at least 0" if least == 0 else ""), where)
    return number
