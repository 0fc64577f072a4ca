"""How a command runs: its words become the parameters of a function, whose answer is printed as a document or a card.

What each command asks and shows stands in `costlib.cli.cards`; how options are made from parameters, in `options`.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from textwrap import wrap
from types import SimpleNamespace
from typing import Annotated, Any

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, MissingArgumentError, UnusedCliTokensError

from costlib import DOOR
from costlib.cli.cards import COMMANDS, GROUPS, Command
from costlib.cli.options import old_spellings, option_name, paired, parameters
from costlib.cli.screen import raw
from costlib.cli.show import at, tell, unstored, watching
from costlib.errors import InputError, invalid_input
from costlib.room import Declared, declared, summary

PRICES = ("diff", "save")
"""What `costlib prices` can do."""
NAMES = [name for names in GROUPS.values() for name in names.split()]


def run(words: list[str]) -> int:
    """Run the command of these words; what it prints is its answer, what it returns the exit code."""
    name = words[0] if words and not words[0].startswith("-") else None
    if name is not None and name not in NAMES:
        raise invalid_input("command", name, NAMES)
    if words == ["prices"]:
        raise InputError("Missing command; allowed: prices diff, or prices save")
    every = "--install-completion" in words
    app = App(name="costlib", version=_version, help_format="plaintext", help=_HELP, suppress_keyboard_interrupt=False)
    if name is None or {"--help", "-h"} & set(words):
        app.console = _console()
    book = App(name="prices", help="The price book over time.")
    for inner in PRICES if name == "prices" or every else ():
        book.command(_command(f"prices {inner}"), name=inner)
    for place, (title, names) in enumerate(GROUPS.items()):
        group = Group(title, sort_key=place)
        for one in names.split():
            if one == "prices":
                book.group = (group,)
                app.command(book)
            elif one == name or every:
                app.command(_command(one), name=one, group=group)
            elif name is None:
                app.command(lambda: None, name=one, group=group, help=summary(*_target(one)))
    full = " ".join(words[: 2 if name == "prices" else 1])
    if name == "prices" and (words[1:] or ["-"])[0][:1] != "-" and words[1] not in PRICES:
        raise invalid_input("command", full, [f"prices {inner}" for inner in PRICES])
    if (full in NAMES and full != "prices") or full in [f"prices {inner}" for inner in PRICES]:
        words = _one_spelling(full, words)
    if name is None:
        app.register_install_completion_command()
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except MissingArgumentError as error:
        missing = error.argument.names[0] if error.argument else "an argument"
        if error.argument and error.argument.field_info.is_positional:
            missing = missing[2:].upper()
        allowed = f"a value, after = where it begins with a hyphen; see costlib {full} --help"
        raise InputError(f"Missing {missing}; allowed: {allowed}") from None
    except UnusedCliTokensError as error:
        raise invalid_input(
            "what follows", " ".join(error.unused_tokens or ()), f"nothing here; see costlib {full} --help"
        ) from None
    except CycloptsError as error:
        raise InputError(" ".join(str(error).split())) from None
    return code if isinstance(code, int) else 0


_HELP = "Measures what language models cost to run and writes portfolio cost reports."


def _version() -> str:
    from importlib.metadata import version

    return version("costlib")


def _console() -> Any:
    from rich.console import Console

    return Console(file=raw(sys.stdout), highlight=False)


def _target(name: str) -> tuple[str, str]:
    """The module and name of the function a command asks."""
    module, _, function = COMMANDS[name].ask.partition(":")
    return (module, function) if module else DOOR[name]


def _declared(name: str) -> Declared:
    found = declared(*_target(name))
    assert found is not None, name
    return found


def _one_spelling(name: str, words: list[str]) -> list[str]:
    """The words with each option as it is written today."""
    known = [one.name for one in _declared(name).parameters]
    now = {old: option_name(one) for one in known for old in old_spellings(one)}
    for one in known:
        now.pop(option_name(one), None)
    split = [word.partition("=") for word in words]
    return [now.get(option, option) + equals + value for option, equals, value in split]


def _command(name: str) -> Callable[..., int]:
    """What cyclopts calls: a function with the parameters of the public one, and `--json`."""
    source, (module, attribute), how = _declared(name), _target(name), COMMANDS[name]
    own = parameters(source)
    json = Annotated[
        bool, Parameter(name="--json", negative="", show_default=False, help="Print one JSON document on stdout.")
    ]
    own.append(inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=json))

    def command(*args: Any, **named: Any) -> int:
        bound = inspect.signature(command).bind(*args, **named)
        as_json = bool(bound.arguments.pop("json", False))
        paired(source, bound.arguments)
        function = getattr(import_module(module), attribute)
        with unstored() as lost:
            if any(one.name == "progress" for one in source.parameters):
                with watching(as_json) as progress:
                    answer = function(*bound.args, **bound.kwargs, progress=progress)
            else:
                answer = function(*bound.args, **bound.kwargs)
        bound.apply_defaults()
        asked = SimpleNamespace(**bound.arguments)
        for text in filter(None, [getattr(answer, "warning", None), *lost]):
            print(f"costlib: {text}", file=sys.stderr)
        document = _document(how, answer, asked) | ({"unstored": "; ".join(lost)} if lost else {})
        tell(document, how.card, {"asked": asked, "answer": answer}, as_json)
        return int(bool(lost) or not _ok(answer))

    command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in own}
    examples = ["\n".join(["For example:", *_lines(f"costlib {example}")]) for example in how.examples]
    command.__doc__ = "\n\n".join(filter(None, [source.summary, how.about, *examples]))
    return command


def _lines(example: str) -> list[str]:
    """An example in lines that a shell takes as they are; an option stays with its value."""
    whole = re.sub(r"--[\w-]+ (?=[^-])|'[^']*'", lambda found: found[0].replace(" ", "\xa0"), example)
    width = min(100, shutil.get_terminal_size().columns - 2)
    lines = wrap(whole, width, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ")
    return " \\\n".join(lines).replace("\xa0", " ").splitlines()


def _document(how: Command, answer: Any, asked: Any) -> dict[str, Any]:
    """The JSON document of an answer, before its values become JSON types."""
    if how.document:
        found = how.document(answer, asked)
    elif how.fields:
        pairs = [name.partition("=") for name in how.fields.split()]
        found = {name: at(answer, path or name) for name, _, path in pairs}
    elif hasattr(answer, "document"):
        found = answer.document()
    else:
        found = answer if isinstance(answer, dict) else {"rows": answer}
    return {**found, **how.adds}


def _ok(value: Any) -> bool:
    """Whether the answer says that it is ok: every part of it; of a table, one row at least."""
    if isinstance(value, (tuple, list)):
        return all(map(_ok, value))
    if isinstance(value, dict):
        return bool(value.get("status", "ok") == "ok")
    if hasattr(value, "columns"):
        return "status" not in value.columns or bool((value["status"] == "ok").any())
    return getattr(value, "ok", getattr(value, "holds", True)) is not False
