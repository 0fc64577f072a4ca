"""What a report is made from, as one hash: while it is the same and the folder is whole, nothing need be made again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from costlib.errors import InputError
from costlib.paths import data_dir, measurements_dir
from costlib.read import is_file
from costlib.report.checks import check, sha256, sources
from costlib.report.manifest import Check, read_manifest
from costlib.report.notebooks import notebook_files
from costlib.store import Store
from costlib.study import Study

_PACKAGES = (
    "costlib", "genai-prices", "torch", "transformers", "bitsandbytes", "pandas", "numpy", "scipy", "matplotlib",
    "papermill", "nbconvert",
)  # fmt: skip


def packages() -> str:
    """The packages that numbers and pages come from, with their versions."""
    return " · ".join(f"{name} {number}" for name in _PACKAGES if (number := _version(name)))


def inputs_hash(study: Study, store: Store) -> str:
    """SHA-256 over study, tables, notebooks, package, packages, prices and rates, and everything in the store.

    Files that a notebook's parameters name count, too, but for what its parameter `out` says it writes.
    """
    made_from = {**sources(notebook_files(study), study.hash), "packages": f"{packages()}, {platform.python_version()}"}
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode())
    for name, file in _files(study, store):
        digest.update(f"\0{name}\0{sha256(file)}".encode())
    return digest.hexdigest()


def unchanged(study: Study, store: Store, folder: Path) -> list[Check] | None:
    """The checks of a folder that was made from the same inputs and passes them all; None for any other folder."""
    try:
        if read_manifest(folder).inputs != inputs_hash(study, store):
            return None
        found = check(folder, study.reference)
    except (OSError, ValueError, InputError):
        return None
    return found if all(one.ok for one in found) else None


def _files(study: Study, store: Store) -> Iterator[tuple[str, Path]]:
    """Files of data and store with the name each is known by, in a fixed order."""
    data, measured = data_dir(), measurements_dir()
    for where, found in (
        ("data", [*data.glob("*.csv"), *(data / "prices").glob("*.csv")]),
        ("measurements", measured.rglob("*.parquet")),
        ("store", store.root.rglob("*.parquet")),
    ):
        root = {"data": data, "measurements": measured, "store": store.root}[where]
        yield from ((f"{where}/{file.relative_to(root)}", file) for file in sorted(found))
    for notebook, given in sorted(study.notebook_parameters.items()):
        for name, value in sorted(given.items()):
            named = [study.path.parent / part.strip() for part in str(value).split(",") if part.strip()]
            yield from ((f"{notebook}/{name}/{file.name}", file) for file in named if name != "out" and is_file(file))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
