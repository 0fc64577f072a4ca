"""Lets a room be called like the one function it is known for, and reads how functions are declared.

`costlib.measure` is a package, and analysts write `costlib.measure("demo:gemma-3-270m")`. Python binds a package's name
on its parent as soon as anything inside it is imported, so a function of the same name would vanish; instead the
package itself is made callable (assigning a module's `__class__` is the documented way to customise one).
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any

_THOSE = re.compile(r"Those of `([\w.]+)`")
WORD, NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


class Room(ModuleType):
    """A package that can be called; the call goes to its front function, imported on first use."""

    front: str

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the front function."""
        return self._function()(*arguments, **named)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """What `help` and Shift-Tab show: the function, its parameters and what each means."""
        name = self.__name__.rpartition(".")[2]
        return f"{name}{self.__signature__}\n\n{inspect.getdoc(self._function())}"

    def _function(self) -> Callable[..., Any]:
        module, _, name = self.front.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


def callable_as(package: str, front: str) -> None:
    """Make the module `package` callable as `front` ("module:function")."""
    module = sys.modules[package]
    module.__class__ = Room
    module.front = front  # type: ignore[attr-defined]


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
    from docstring_parser import parse

    from costlib import DOOR

    source = source_of(module, name)
    node = ast.parse(source).body[0] if source else None
    if isinstance(node, ast.ClassDef):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
        found = [_parameter(ast.arg(one.target.id, one.annotation), NAMED, one.value) for one in fields]  # type: ignore[union-attr]
    elif isinstance(node, ast.FunctionDef):
        given, words = node.args, len(node.args.args) - len(node.args.defaults)
        found = [
            _parameter(*one)
            for one in zip(given.args, repeat(WORD), [*repeat(None, words), *given.defaults], strict=False)
        ]
        found += [_parameter(*one) for one in zip(given.kwonlyargs, repeat(NAMED), given.kw_defaults, strict=False)]
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
        found += [one.replace(kind=NAMED) for one in more]
        lines = {**rest.lines, **lines}
    return Declared(doc.short_description or "", ast.get_docstring(node) or "", lines, tuple(found))


@cache
def source_of(module: str, name: str) -> str | None:
    """The text of a function or a class; None where the module has none of the name."""
    found = re.search(rf"^(def|class) {name}\b.*?(?=^[\w@\"]|\Z)", _text(module), re.M | re.S)
    return found and found[0]


def summary(module: str, name: str) -> str:
    """The first sentence of what a function says of itself, without parsing it."""
    found = re.search(r'"""(.+?)(?:\n\s*\n|""")', source_of(module, name) or "", re.S)
    return " ".join(found[1].split()) if found else ""


@cache
def _text(module: str) -> str:
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])
    return (path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py").read_text("utf-8")


def _parameter(one: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    value: Any = inspect.Parameter.empty if default is None else None
    with suppress(ValueError):  # a constant's name, which only the module knows, is not shown
        value = value if default is None else ast.literal_eval(default)
    return inspect.Parameter(one.arg, kind, default=value, annotation=ast.unparse(one.annotation or ast.Constant("")))


def described(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose `**settings` are declared elsewhere, with them in its signature and docstring."""
    found, given = declared(function.__module__, function.__name__), inspect.signature(function)
    if found is not None and len(found.parameters) > len(given.parameters):
        own = "\n".join(f"    {one.name}: {found.lines.get(one.name, '')}" for one in found.parameters)
        text, _, _ = (inspect.getdoc(function) or "").partition("Args:")
        function.__doc__ = f"{text}Args:\n{own}\n"
        function.__signature__ = given.replace(parameters=found.parameters)  # type: ignore[attr-defined]
    return function
