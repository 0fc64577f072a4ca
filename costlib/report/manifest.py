"""The manifest of a report folder: what it was made from, and the hash of each of its files."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from costlib.value import brief

MANIFEST = "manifest.json"


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
    """One report of the folder: its notebook, its page, what the page answers, and totals (see `ledger.as_json`)."""

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
