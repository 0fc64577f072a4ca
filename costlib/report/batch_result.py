"""What a batch came to: how each of its reports ended, and the numbers each states of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from costlib.figure import Figure
from costlib.report.ledger import as_json, from_json
from costlib.report.manifest import Listed, read_manifest
from costlib.study import Batch
from costlib.value import brief

TOTALS = ("plan", "bills", "saving", "probability_saves")
"""The numbers a portfolio report states of itself: cost of the plan, of it bills, saving, its probability."""


@dataclass(frozen=True)
class Made:
    """How one report of a batch ended: `written`, `unchanged`, `failed`, or `waiting` where it was not begun.

    `synthetic` is what its study says is made up, `page` what a reader opens first in the folder `out`; `reason` says
    why it failed.
    """

    name: str
    title: str
    as_of: date
    synthetic: str
    out: Path
    status: str
    reason: str | None = None
    page: str | None = None
    seconds: float | None = None
    checks: int | None = None
    checks_passed: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the report is there and passes its checks."""
        return self.status in ("written", "unchanged")

    @cached_property
    def reports(self) -> list[Listed]:
        """What the manifest in its folder says of each notebook; nothing for a report that is not ok."""
        return read_manifest(self.out).reports if self.ok else []

    @property
    def totals(self) -> dict[str, Figure]:
        """Each of `TOTALS`, or why it is unknown."""
        told = next((one.totals for one in self.reports if one.totals), {})
        why = "no portfolio notebook in this report" if self.ok else "the report failed or was not made"
        return {
            name: from_json(told[name])
            if name in told
            else Figure(
                None, "probability" if name == "probability_saves" else "USD/month", "derived", self.name, reason=why
            )
            for name in TOTALS
        }

    def document(self) -> dict[str, Any]:
        """The report as JSON types but for `out`, a path."""
        names = ("name", "title", "as_of", "status", "reason", "out", "page", "seconds", "checks", "checks_passed")
        totals = {name: as_json(figure) for name, figure in self.totals.items()}
        return {name: getattr(self, name) for name in names} | totals


@brief
@dataclass(frozen=True)
class BatchResult:
    """A batch that was made: its file, the folder of its index, how many reports at a time, and every report."""

    batch: Batch
    out: Path
    workers: int
    reports: tuple[Made, ...]

    @property
    def ok(self) -> bool:
        """Whether every report is there and passes its checks."""
        return all(report.ok for report in self.reports)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Every report as JSON types."""
        return [one.document() for one in self.reports]

    @property
    def index(self) -> Path:
        """The first page."""
        return self.out / "index.html"
