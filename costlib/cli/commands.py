"""The commands by what a person wants, and how one runs: ask the public function, print its document or its card.

A command is a public function of the same name (or `ask_NAME` beside its card, where a command joins several), and a
card: a function of the same name in a module of this room, given the answer and what was asked. It yields the JSON
document first, then tables and lines. What its docstring holds is printed below the help: examples.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Annotated, Any

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, MissingArgumentError, UnusedCliTokensError

from costlib import DOOR
from costlib.cli.options import old_spellings, option_name, paired, parameters
from costlib.cli.screen import raw
from costlib.cli.show import tell, unstored, watching
from costlib.errors import InputError, bad
from costlib.room import Declared, declared, source_of, summary

GROUPS: dict[str, dict[str, str]] = {
    "Look at this machine and at prices": {
        "doctor": "measuring", "price": "money", "prices": "prices", "rates": "money",
    },
    "Measure models": {
        "measure": "measuring", "memory": "measuring", "compare": "measuring", "quality": "judging",
        "embed": "embedding", "load": "loading", "speculate": "techniques", "prefix": "techniques",
        "distill": "embedding",
    },
    "Calculate costs": {
        "cost": "money", "capacity": "money", "owned": "money", "breakeven": "money", "payback": "money",
    },
    "Read logs and decide": {
        "usage": "logs", "route": "logs", "focus": "logs", "plan": "studies", "monitor": "studies",
    },
    "Report": {"run": "studies", "report": "studies", "batch": "studies", "check": "studies"},
}  # fmt: skip
"""Every command by what a person wants, and the module of its card."""
_WITHOUT_PANDAS = {
    "memory": ("costlib.models.memory", "memory_rows"), "rates": ("costlib.prices.rates", "rate_rows"),
}  # fmt: skip
"""What answers in the place of the public function that makes a frame of the same rows."""
PRICES = ("diff", "save")
"""What `costlib prices` can do."""
CARDS = {name: f"costlib.cli.{module}" for group in GROUPS.values() for name, module in group.items()}


def run(words: list[str]) -> int:
    """Run the command of these words; what it prints is its answer, what it returns the exit code."""
    name = words[0] if words and not words[0].startswith("-") else None
    if name is not None and name not in CARDS:
        raise bad("command", name, CARDS)
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
        for one in names:
            if one == "prices":
                book.group = (group,)
                app.command(book)
            elif one == name or every:
                app.command(_command(one), name=one, group=group)
            elif name is None:
                app.command(lambda: None, name=one, group=group, help=summary(*_target(one)))
    full = " ".join(words[: 2 if name == "prices" else 1])
    if name == "prices" and (words[1:] or ["-"])[0][:1] != "-" and words[1] not in PRICES:
        raise bad("command", full, [f"prices {inner}" for inner in PRICES])
    if (full in CARDS and full != "prices") or full in [f"prices {inner}" for inner in PRICES]:
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
        raise bad(
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
    card, ask = CARDS[name.split()[0]], "ask_" + name.replace(" ", "_")
    return (card, ask) if source_of(card, ask) else _WITHOUT_PANDAS.get(name) or DOOR[name]


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
    source, (module, attribute) = _declared(name), _target(name)
    room, shows = CARDS[name.split()[0]], name.replace(" ", "_")
    card = declared(room, shows)
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
                    value = function(*bound.args, **bound.kwargs, progress=progress)
            else:
                value = function(*bound.args, **bound.kwargs)
        bound.apply_defaults()
        said = getattr(import_module(room), shows)
        tell(said(value, SimpleNamespace(**bound.arguments)), as_json, lost)
        return int(bool(lost) or not _ok(value))

    command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in own}
    command.__doc__ = f"{source.summary}\n\n{card.text if card else ''}"
    return command


def _ok(value: Any) -> bool:
    """Whether the answer says that it is ok: every part of it; of a table, one row at least."""
    if isinstance(value, (tuple, list)):
        return all(map(_ok, value))
    if isinstance(value, dict):
        return bool(value.get("status", "ok") == "ok")
    if hasattr(value, "columns"):
        return "status" not in value.columns or bool((value["status"] == "ok").any())
    return getattr(value, "ok", getattr(value, "holds", True)) is not False
