"""An item and a task: what is asked, how it becomes a prompt, and the hash of everything a model is given.

What `expected` holds depends on the task's kind, see `costlib.quality.tasks.file`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIE = "tie"
"""What a judgement of two answers expects where neither won."""


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
