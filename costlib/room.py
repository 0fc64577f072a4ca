"""Lets a room be called like the one function it is known for.

`costlib.measure` is a package, and analysts write `costlib.measure("demo:gemma-3-270m")`. Python binds a package's name
on its parent as soon as anything inside it is imported, so a function of the same name would vanish; instead the
package itself is made callable (assigning a module's `__class__` is the documented way to customise one). So is any
module with the name of a public function, such as `costlib.doctor`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


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
