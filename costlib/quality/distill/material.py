"""What a student learns from and what it is scored on, without an item in both, and the hash of all of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from costlib.errors import invalid_input
from costlib.models.reference import on_disk
from costlib.models.texts import read_documents, read_text
from costlib.models.vectors import split

_TRAIN_SHARE = 0.7
_MAKERS = ("model2vec", "scikit-learn")
"""Packages that make students and that the fingerprint of an environment does not name."""


@dataclass(frozen=True)
class Material:
    """`texts` with their `labels` to learn from, `unlabelled` ones, and those `held` out with their true classes.

    For a language student `texts` is one text, of which it holds out a part itself. `leaked` items of the training file
    were left out because they are also scored. `name` is what a reader calls the material.
    """

    name: str
    texts: list[str]
    labels: list[str]
    held: list[str]
    truth: list[str]
    unlabelled: list[str]
    leaked: int = 0

    def sha256(self, teacher: str) -> str:
        """Hash of everything but the name, of a local teacher's files, and of the packages that make students."""
        made = {name: version(name) for name in _MAKERS}
        content = [asdict(self) | {"name": None}, on_disk(teacher), made]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def text_material(text: str | Path | None) -> Material:
    """The text a language student learns from; raises `InputError` as `read_text`."""
    found = read_text(text)
    return Material(Path(found.name).name, [found.content], [], [], [], [])


def labelled_material(task: str | Path | None, test: str | Path | None, unlabelled: str | Path | None) -> Material:
    """Labelled documents of `task`, scored on `test`, or on 30 % of each class that are held out.

    Raises `InputError` for a file that is none, a class of `test` that `task` does not have, or nothing left to learn
    from or to score on.
    """
    if task is None:
        raise invalid_input("task", None, "a labelled file (.jsonl or .csv with input and expected)")
    found = read_documents(task, labelled=True, field="task")
    pairs = list(zip(found.texts, found.labels, strict=True))
    more = [] if unlabelled is None else list(read_documents(unlabelled, field="unlabelled").texts)
    if test is None:
        learned, scored = ([pairs[index] for index in part] for part in split(found.labels, _TRAIN_SHARE))
        if len(scored) < 2:
            allowed = "at least two documents left to score on: more documents per class, or test"
            raise invalid_input("task", str(task), allowed)
        name = found.name
    else:
        other = read_documents(test, labelled=True, field="test")
        unknown = sorted(set(other.labels) - set(found.labels))
        if unknown:
            raise invalid_input("expected", unknown[0], sorted(set(found.labels)), str(test))
        scored = list(zip(other.texts, other.labels, strict=True))
        known = set(other.texts)
        learned = [pair for pair in pairs if pair[0] not in known]
        if len({label for _, label in learned}) < 2:
            raise invalid_input("test", str(test), "documents that are not in the training file")
        name = f"{other.name} (trained on {found.name})"
    (texts, labels), (held, truth) = (map(list, zip(*pairs, strict=True)) for pairs in (learned, scored))
    return Material(name, texts, labels, held, truth, more, 0 if test is None else len(pairs) - len(learned))
