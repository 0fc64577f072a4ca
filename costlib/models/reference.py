"""Model references: which model is meant, and where its weights come from.

`hub:org/name` a model hub, `path:DIR` a folder on this machine, `gguf:FILE` a GGUF file, `demo:gemma-3-270m` and
`demo:minilm` weights from installable packages, `random:llama-3.1-8b` a true shape with random weights (speed and
memory are real, quality is refused), `static:FOLDER` a static embedding model (model2vec).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from costlib.errors import invalid_input
from costlib.models.architectures import Architecture, architectures, from_folder
from costlib.models.demo import DEMOS
from costlib.read import is_file, read_json

KINDS = ("demo", "gguf", "hub", "path", "random", "static")


@dataclass(frozen=True)
class Reference:
    """A parsed model reference; `str(reference)` is what the user typed."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse(text: str) -> Reference:
    """Parse a model reference; raises `InputError` for an unknown kind, demo or shape, or a missing folder."""
    kind, colon, name = str(text).partition(":")
    allowed = "demo:NAME, gguf:FILE, hub:ORG/NAME, path:FOLDER, static:FOLDER or random:SHAPE of data/architectures.csv"
    if not colon or kind not in KINDS or not name:
        raise invalid_input("model", text, allowed)
    if kind == "demo" and name not in DEMOS:
        raise invalid_input("demo model", name, DEMOS)
    if kind == "random" and name not in architectures():
        raise invalid_input("shape", name, architectures())
    if kind == "path" and not is_file(Path(name) / "config.json"):
        raise invalid_input("model", text, "path: of a folder that holds config.json and weights")
    if kind == "static" and not is_static(Reference(kind, name)):
        raise invalid_input("model", text, "static: of a folder model2vec saved")
    if kind == "gguf" and not is_file(name):
        raise invalid_input("model", text, "gguf: of a file that exists")
    if kind == "hub" and (name.count("/") != 1 or name.startswith("/") or name.endswith("/")):
        raise invalid_input("model", text, "hub:ORGANIZATION/NAME")
    return Reference(kind, name)


def on_disk(reference: str) -> str | None:
    """Hash of the names, sizes and times of a local model's files, which may change under one name; else None."""
    kind, _, name = reference.partition(":")
    if kind not in ("path", "gguf", "static"):
        return None
    files = sorted(Path(name).iterdir()) if Path(name).is_dir() else [Path(name)]
    facts = [[file.name, (found := file.stat()).st_size, found.st_mtime_ns] for file in files if file.is_file()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def is_static(reference: Reference) -> bool:
    """Whether a folder holds a static embedding model, which `path:` may name, too."""
    file = Path(reference.name) / "config.json"
    if reference.kind not in ("path", "static") or not is_file(file):
        return False
    config = read_json(file, "model")
    return "embedding_dtype" in config or config.get("model_type") == "model2vec"


def shape(reference: Reference) -> Architecture:
    """The shape of a referenced model, without loading weights. A `hub:` model needs its config from the hub."""
    if reference.kind in ("random", "demo"):
        return architectures()[{"minilm": "all-minilm-l6-v2"}.get(reference.name, reference.name)]
    if reference.kind == "gguf":
        raise invalid_input(
            "model", str(reference), "a shape, demo:, path: or hub: model (a GGUF file's size is its own)"
        )
    if reference.kind == "path":
        return from_folder(Path(reference.name), str(reference))
    import transformers

    from costlib.models.architectures import from_config

    try:
        config = transformers.AutoConfig.from_pretrained(reference.name)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise invalid_input(
            "model", str(reference), f"a model the hub knows and this machine can reach ({reason})"
        ) from error
    text_config = config.get_text_config().to_dict()
    return from_config(text_config, str(reference))
