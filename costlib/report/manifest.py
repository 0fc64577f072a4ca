"""The manifest of a report folder: what it was made from, and the hash of each of its files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

MANIFEST = "manifest.json"


class Tie(BaseModel):
    """A total that must equal the sum of its parts."""

    what: str
    total: Decimal
    parts: list[Decimal]


class Listed(BaseModel):
    """One report of the folder: its notebook, its page, what the page answers, and totals (see `ledger.as_json`)."""

    name: str
    file: str
    title: str = ""
    answer: str = ""
    ties: list[Tie] = []
    totals: dict[str, dict[str, str | float | None]] = {}


class Manifest(BaseModel):
    """What is read back of a manifest. `sources` and `files` are SHA-256 by name, `inputs` one over all inputs.

    `words` are those of the study that look like a figure, such as a workload called "10 MB upload".
    """

    study: str
    reports: list[Listed]
    sources: dict[str, str]
    files: dict[str, str]
    inputs: str = ""
    words: list[str] = []


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a report folder; raises `OSError` or `ValueError` where there is none that can be read."""
    return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
