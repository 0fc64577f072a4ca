"""Options from signatures: a parameter of a public function is an option, its docstring's line the help.

The type is the annotation, read as text, so that nothing is imported for it; `convert` has one rule for each kind of
option. Words that said the same before one spelling was chosen still work, hidden, for one release: `old_spellings`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from costlib.errors import invalid_input
from costlib.room import NAMED, WORD, Declared

_SAME = {
    "input_tokens": "prompt_tokens",
    "output_to_input_price_ratio": "price_ratio",
    "files": "file",
    "columns": "column",
    "costs": "cost",
    "rules": "rule",
    "tasks": "task",
    "hourly_weights": "hourly",
    "study_path": "study",
    "path": "file",
}
"""Parameters whose option has another name: one word for one thing, and the singular for what is given again."""
_OLD_ENDS = {"_tokens_per_s": ("_speed",), "_tokens": ("",), "_s": ("",)}
"""How options ended before they were called like their parameters."""
_PAIR = re.compile(r"Mapping\[str, str\]")
_LIST = re.compile(r"(?:Iterable|Sequence)\[(.*)\]")


def option_name(name: str) -> str:
    """The option of a parameter."""
    return "--" + _SAME.get(name, name).replace("_", "-")


def old_spellings(name: str) -> Iterator[str]:
    """Options that meant the parameter before, and its own name where the option has another one."""
    if name in _SAME:
        yield "--" + name.replace("_", "-")
    for end, before in _OLD_ENDS.items():
        if name.endswith(end):
            yield from ("--" + (name.removesuffix(end) + old).replace("_", "-") for old in before)
            return


def parameters(function: Declared) -> list[inspect.Parameter]:
    """The parameters of a command, as cyclopts reads them."""
    found = []
    for place, given in enumerate(one for one in function.parameters if one.name != "progress"):
        is_word = given.kind is WORD and (place == 0 or given.default is given.empty)
        kind, many = _kind(given.annotation)
        is_plain = kind in (int, float, str) and (
            isinstance(given.default, (str, int, float)) or given.default is given.empty
        )
        default = given.default if is_plain or kind is bool or given.default is given.empty else None
        told = function.lines.get(given.name, "")
        if not is_plain and isinstance(given.default, (str, int)) and kind is not bool:
            told = f"{told} [default: {given.default}]"
        option = Parameter(
            name=option_name(given.name),
            help=told,
            converter=None if kind is bool else partial(_converted, given.name, given.annotation),
            negative="",
            show_default=is_plain and default not in ("", given.empty),
            n_tokens=None if kind is bool or many else 1,
            accepts_keys=False,
        )
        annotation = Annotated[list[str] | None if many else kind if is_plain or kind is bool else kind | None, option]  # type: ignore[valid-type]
        found.append(given.replace(kind=WORD if is_word else NAMED, annotation=annotation, default=default))
    return found


def _kind(hint: str) -> tuple[Any, bool]:
    """The type that help names, and whether the option may be given several times."""
    if "[" in hint:
        return Any, bool(_PAIR.search(hint) or hint.startswith(("Sequence[str", "Sequence[Task", "list[")))
    if "str" in hint and re.search(r"\b(int|float)\b", hint):
        return Any, False
    kinds = {"bool": bool, "int": int, "float": float, "Decimal": float}
    return next((kind for name, kind in kinds.items() if re.search(rf"\b{name}\b", hint)), str), False


def _converted(name: str, hint: str, _: Any, tokens: Any) -> Any:
    texts = [token.value for token in tokens]
    return texts if _kind(hint)[1] else convert(option_name(name), hint, texts[0])


def paired(function: Declared, given: dict[str, Any]) -> None:
    """Make what was given several times as FIELD=COLUMN a mapping, where the function takes one."""
    for one in function.parameters:
        if given.get(one.name) and _PAIR.search(one.annotation):
            given[one.name] = dict(_pair(option_name(one.name), text) for text in given[one.name])


def convert(name: str, hint: str, text: str) -> Any:
    """The value of a word, by the annotation of the parameter it is for; raises `InputError` naming it."""
    if "Mapping[" in hint:
        return _json_object(name, text)
    if many := _LIST.search(hint):
        return [_one(name, many[1], part.strip(), " separated by commas") for part in text.split(",") if part.strip()]
    return _one(name, hint, text, "")


def _one(name: str, hint: str, text: str, more: str) -> Any:
    if re.search(r"\bint\b", hint) and re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    with suppress(ValueError, InvalidOperation):
        if "float" in hint and "_" not in text:  # Python reads 1_0 as ten
            return float(text)
        if "Decimal" in hint:
            return Decimal(text.strip())
    if "str" in hint and (not more or not re.search("int|float", hint) or text == "max"):
        return text
    number = "whole number" if "int" in hint else "amount" if "Decimal" in hint else "number"
    allowed = f"{number}s{more}" if more else f"a{'n' * (number == 'amount')} {number}"
    raise invalid_input(name, text, allowed + (", and max" if "str" in hint else ""))


def _json_object(name: str, text: str) -> dict[str, Any]:
    found: Any = "no JSON"
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, dict):  # which is not shown: it may hold a key
        raise invalid_input(
            name, found if found == "no JSON" else type(found).__name__, "a JSON object, e.g. '{\"top_p\": 1}'"
        )
    return found


def _pair(name: str, text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not (key and value):
        raise invalid_input(name, text, "FIELD=COLUMN")
    return key, value
