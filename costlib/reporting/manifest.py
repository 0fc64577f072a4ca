"""What a report folder was made from: the manifest that seals it, and one hash over all inputs."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

import costlib
from costlib.paths import data_dir, measurements_dir
from costlib.read import is_file
from costlib.reporting.notebook import notebook_files
from costlib.store import Store
from costlib.study import Study
from costlib.value import brief

MANIFEST = "manifest.json"
_PACKAGES = (
    "costlib", "genai-prices", "torch", "transformers", "bitsandbytes", "pandas", "numpy", "scipy", "matplotlib",
    "papermill", "nbconvert",
)  # fmt: skip


@brief
@dataclass(frozen=True)
class Check:
    """One thing that must hold of a report, whether it does, and what was seen."""

    name: str
    ok: bool
    detail: str


class Tie(BaseModel):
    """A total that must equal the sum of its parts."""

    what: str
    total: Decimal
    parts: list[Decimal]


class Listed(BaseModel):
    """One report of the folder: its notebook, its page, what the page answers, and the totals of `Page.end`."""

    name: str
    file: str
    title: str = ""
    answer: str = ""
    ties: list[Tie] = []
    totals: dict[str, dict[str, str | float | None]] = {}


class Manifest(BaseModel):
    """What is read back of a manifest. `sources` and `files` are SHA-256 by name, `inputs` one over all inputs.

    `checks` are what was seen in the pages as they were published.
    """

    study: str
    reports: list[Listed]
    sources: dict[str, str]
    files: dict[str, str]
    inputs: str = ""
    checks: list[Check] = []


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a report folder; raises `OSError` or `ValueError` where there is none that can be read."""
    return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))


def sha256(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def cells_hash(notebook: Path) -> str:
    """SHA-256 of the cells of a notebook, with their tags: looking at it in JupyterLab changes nothing of that."""
    cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    told = [(c["cell_type"], "".join(c["source"]), sorted(c.get("metadata", {}).get("tags", []))) for c in cells]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def sources(notebooks: Mapping[str, Path], study_hash: str) -> dict[str, str]:
    """SHA-256 of what a report is made from: the cells of its notebooks, the package, the study with its tables."""
    package = Path(costlib.__file__).resolve().parent
    digest = hashlib.sha256()
    for file in sorted(p for p in package.rglob("*.*") if p.suffix in (".py", ".j2", ".css", ".csv")):
        if "_shipped" not in file.parts:
            digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    found = {f"notebooks/{name}.ipynb": cells_hash(file) for name, file in notebooks.items() if file.is_file()}
    return {**found, "costlib package": digest.hexdigest(), "study": study_hash}


def packages() -> str:
    """The packages that numbers and pages come from, with their versions."""
    return " · ".join(f"{name} {number}" for name in _PACKAGES if (number := _version(name)))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def inputs_hash(study: Study, store: Store) -> str:
    """SHA-256 over study, tables, notebooks, package, packages, prices and rates, and everything in the store.

    Files that a notebook's parameters name count, too, but for what its parameter `out` says it writes.
    """
    made_from = {**sources(notebook_files(study), study.hash), "packages": f"{packages()}, {platform.python_version()}"}
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode())
    for name, file in _files(study, store):
        digest.update(f"\0{name}\0{sha256(file)}".encode())
    return digest.hexdigest()


def _files(study: Study, store: Store) -> Iterator[tuple[str, Path]]:
    """Files of data and store with the name each is known by, in a fixed order."""
    for where, root, patterns in (
        ("data", data_dir(), ("*.csv", "prices/*.csv")),
        ("measurements", measurements_dir(), ("**/*.parquet",)),
        ("store", store.root, ("**/*.parquet",)),
    ):
        found = sorted(file for pattern in patterns for file in root.glob(pattern))
        yield from ((f"{where}/{file.relative_to(root)}", file) for file in found)
    for notebook, given in sorted(study.notebook_parameters.items()):
        for name, value in sorted(given.items()):
            named = [study.path.parent / part.strip() for part in str(value).split(",") if part.strip()]
            yield from ((f"{notebook}/{name}/{file.name}", file) for file in named if name != "out" and is_file(file))
