"""YAML read into pydantic models, with messages that name file and line, field, value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from costlib.errors import InputError, invalid_input
from costlib.read.text import content, is_file, parsing

Model = TypeVar("Model", bound=BaseModel)
Place = Callable[[Sequence[str | int]], str]
"""Where a part of a tree is written, as file and line."""


def near(name: object, allowed: Iterable[str]) -> str:
    """What is allowed, as a sentence part, with the closest name when there is one."""
    names = sorted(allowed)
    meant = close(name, names)
    return f"one of {', '.join(names)}" + (f" ({meant.removeprefix(', ')})" if meant else "")


def close(name: object, allowed: Iterable[str]) -> str:
    """`, did you mean NAME?` with the closest allowed name, or nothing."""
    found = difflib.get_close_matches(str(name)[:100], sorted(allowed), n=1, cutoff=0.6)
    return f", did you mean {found[0]}?" if found else ""


def read_yaml(file: Path, name: str) -> Any:
    """The mapping in a YAML file, with line numbers kept; `name` is what messages call the file."""
    from ruamel.yaml.error import MarkedYAMLError

    text = content(file, name)
    allowed = "valid YAML: one mapping of keys to values"
    with parsing(name, file, allowed):
        try:
            tree = _yaml().load(text)
        except MarkedYAMLError as error:
            where = f"{file}:{error.problem_mark.line + 1}" if error.problem_mark else str(file)
            raise invalid_input(name, str(error.problem or error).splitlines()[0], allowed, where) from None
    if not isinstance(tree, Mapping):
        raise invalid_input(name, type(tree).__name__, "one mapping of keys to values", str(file))
    return tree


def _yaml() -> Any:
    """A reader that names the line of a scalar that is none, such as 30 February or a number of 5,000 digits."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor

    class Constructor(RoundTripConstructor):
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, ArithmeticError, TypeError, LookupError, AttributeError) as error:
                raise ConstructorError(None, None, f"{str(node.value)[:40]} ({error})", node.start_mark) from None

    yaml = YAML(typ="rt")
    yaml.Constructor = Constructor
    return yaml


def extended(file: Path, name: str) -> Any:
    """The mapping in a YAML file, with the keys it leaves out taken from the file its key `extends` names.

    That file lies in the same folder, so that paths mean the same in both, and extends nothing itself. `files_of` says
    which files those are.
    """
    tree = read_yaml(file, name)
    other = tree.pop("extends", None)
    if other is None:
        return tree
    base = file.parent / str(other)
    if base.parent != file.parent or not is_file(base) or base == file:
        raise invalid_input("extends", other, f"a file beside this one, in {file.parent}", str(file))
    inherited = read_yaml(base, name)
    if "extends" in inherited:
        raise invalid_input("extends", inherited["extends"], f"left out: {file.name} extends this file", str(base))
    for key, value in inherited.items():
        tree.setdefault(key, value)
    return tree


def files_of(file: Path, name: str) -> list[Path]:
    """A YAML file and the one it extends."""
    other = read_yaml(file, name).get("extends")
    return [file, *([file.parent / str(other)] if other else [])]


def line_of(tree: Any, location: Sequence[str | int]) -> int:
    """The 1-based line of the deepest part of `location` that the file has; 1 for what it inherits."""
    line = 1
    for part in location:
        if isinstance(tree, Mapping) and part in tree:
            if part not in tree.lc.data:  # type: ignore[attr-defined]
                break
            line = tree.lc.key(part)[0] + 1  # type: ignore[attr-defined]
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            line = tree.lc.item(part)[0] + 1  # type: ignore[attr-defined]
        else:
            break
        tree = tree[part]
    return int(line)


def place(file: Path, tree: Any) -> Place:
    """The place of each part of the tree read from a file."""
    return lambda location: f"{file}:{line_of(tree, location)}"


def validated(model: type[Model], tree: Any, at: Place) -> Model:
    """The tree as a `model`; raises `InputError` for the first thing wrong, a misspelt key before all else."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise sentences(error, model, at)[0] from None


def sentences(error: ValidationError, model: type[BaseModel], at: Place) -> list[InputError]:
    """Every thing wrong, each as our one sentence; a misspelt key comes first and takes the place of a missing one."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    misspelt = found[0]["type"] == "extra_forbidden"
    return [_sentence(one, model, at) for one in found if not (misspelt and one["type"] == "missing")]


def _sentence(error: ErrorDetails, model: type[BaseModel], at: Place) -> InputError:
    """A pydantic error as our one sentence."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    location, members = _walk(model, error["loc"])
    where = at(location)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if kind == "extra_forbidden":
        names = [name for name, found in members[0].model_fields.items() if not found.exclude]
        return invalid_input("key", field, near(location[-1], names), where)
    if kind == "missing":
        return invalid_input(field, None, "a value (required)", where)
    if kind.startswith("union_tag"):
        return invalid_input(f"{field}.type", context.get("tag"), near(context.get("tag"), map(_tag, members)), where)
    if kind == "literal_error":
        names = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return invalid_input(field, value, near(value, names), where)
    shown = value if isinstance(value, (str, int, float, Decimal, date)) else type(value).__name__
    return invalid_input(field, shown, error["msg"].removeprefix("Input should be "), where)


def _walk(model: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str | int], list[type[BaseModel]]]:
    """A pydantic location as it is written in the file, and the model or union of models it lies in.

    Members of a union are told apart by their `type`; pydantic puts the member's into the location.
    """
    written: list[str | int] = []
    members = [model]
    for part in location:
        tagged = [member for member in members if len(members) > 1 and _tag(member) == part]
        if tagged:
            members = tagged
            continue
        written.append(part)
        found = members[0].model_fields.get(part) if isinstance(part, str) else None
        members = (found and _models(found.annotation)) or members
    return written, members


def _tag(member: type[BaseModel]) -> str:
    return str(get_args(member.model_fields["type"].annotation)[0])


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model class inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
