"""Options from signatures: a parameter of a public function is an option, its docstring's line the help.

The type is the annotation, read as text, so that nothing is imported for it; `convert` has one rule for each kind of
option. Words that said the same before one spelling was chosen still work, hidden, for one release: `old_spellings`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from docstring_parser import parse

from costlib import DOOR
from costlib.errors import bad

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
_THOSE = re.compile(r"Those of `([\w.]+)`")
_WORD, _NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
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


@dataclass(frozen=True)
class Declared:
    """A function as its source declares it: its parameters, their annotations as text, and what it says of them."""

    summary: str
    text: str
    lines: dict[str, str]
    parameters: tuple[inspect.Parameter, ...]


@cache
def declared(module: str, name: str) -> Declared | None:
    """Read a function or a dataclass without importing its module, which may import pandas; None where there is none.

    What its docstring says of `**settings`, "Those of `costlib.load.Settings`", adds the parameters declared there.
    """
    source = re.search(rf"^(def|class) {name}\b.*?(?=^[\w@\"]|\Z)", _text(module), re.M | re.S)
    node = ast.parse(source[0]).body[0] if source else None
    if isinstance(node, ast.ClassDef):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
        found = [_parameter(ast.arg(one.target.id, one.annotation), _NAMED, one.value) for one in fields]  # type: ignore[union-attr]
    elif isinstance(node, ast.FunctionDef):
        given, words = node.args, len(node.args.args) - len(node.args.defaults)
        found = [
            _parameter(*one)
            for one in zip(given.args, repeat(_WORD), [*repeat(None, words), *given.defaults], strict=False)
        ]
        found += [_parameter(*one) for one in zip(given.kwonlyargs, repeat(_NAMED), given.kw_defaults, strict=False)]
    else:
        return None
    doc = parse(ast.get_docstring(node) or "")
    lines = {line.arg_name.lstrip("*"): " ".join((line.description or "").split()) for line in doc.params}
    if (
        isinstance(node, ast.FunctionDef)
        and node.args.kwarg
        and (of := _THOSE.match(lines.pop(node.args.kwarg.arg, "")))
    ):
        rest = declared(*(DOOR.get(of[1].removeprefix("costlib.")) or of[1].rpartition(".")[::2]))
        assert rest is not None, of[1]
        have = {one.name for one in found}
        more = [one for one in rest.parameters if one.name not in have and one.default is not one.empty]
        found += [one.replace(kind=_NAMED) for one in more]
        lines = {**rest.lines, **lines}
    return Declared(doc.short_description or "", ast.get_docstring(node) or "", lines, tuple(found))


@cache
def _text(module: str) -> str:
    path = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    return (path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py").read_text("utf-8")


def _parameter(one: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    value: Any = inspect.Parameter.empty if default is None else None
    with suppress(ValueError):  # a constant's name, which only the module knows, is not shown
        value = value if default is None else ast.literal_eval(default)
    return inspect.Parameter(one.arg, kind, default=value, annotation=ast.unparse(one.annotation or ast.Constant("")))


def parameters(function: Declared) -> list[inspect.Parameter]:
    """The parameters of a command, as cyclopts reads them."""
    found = []
    for place, given in enumerate(one for one in function.parameters if one.name != "progress"):
        is_word = given.kind is _WORD and (place == 0 or given.default is given.empty)
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
        found.append(given.replace(kind=_WORD if is_word else _NAMED, annotation=annotation, default=default))
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
    raise bad(name, text, allowed + (", and max" if "str" in hint else ""))


def _json_object(name: str, text: str) -> dict[str, Any]:
    found: Any = "no JSON"
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, dict):  # which is not shown: it may hold a key
        raise bad(name, found if found == "no JSON" else type(found).__name__, "a JSON object, e.g. '{\"top_p\": 1}'")
    return found


def _pair(name: str, text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not (key and value):
        raise bad(name, text, "FIELD=COLUMN")
    return key, value
