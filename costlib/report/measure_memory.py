"""The part of the measure page about memory: bytes of each part, counted, predicted and at their peak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlib.figure import Figure, Kind
from costlib.report.chart import Chart, short
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.measured_rows import Row
from costlib.report.page import Page, figure_of

_COUNTED = "counted, not sampled"
_LARGEST = "the largest of all processes"
_PREDICTED = "predicted from the shape"


class Memory(Page):
    """Mixed into the measure page: rows and ok rows by label, the `baseline` and the `small`est label."""

    rows: dict[str, Row]
    ok: Mapping[str, Any]
    where: str
    setting: str
    baseline: str
    small: str

    def of(self, name: str, column: str, unit: str, reason: str = "", kind: Kind = "measured") -> Figure:
        """One number of a configuration; the measure page gives it."""
        raise NotImplementedError

    def every(self, column: str, unit: str, reason: str = "") -> list[tuple[str, Figure]]:
        """The same number of every configuration."""
        return [(name, self.of(name, column, unit, reason)) for name in self.rows]

    def _size(self, name: str) -> Figure:
        return self.of(name, "weight_bytes", "bytes", _COUNTED)

    def memory_heading(self) -> Html:
        """How much memory the smallest precision saves."""
        if not self.baseline or self.small == self.baseline:
            return self.heading("Memory of each precision")
        share = 1 - self.ok[self.small]["weight_bytes"] / self.ok[self.baseline]["weight_bytes"]
        saved = Figure(share, "share", "derived", self._size(self.small).source, reason="from two counts")
        return self.heading(
            "{small} holds its weights in {saved} less memory than {base}",
            small=self.small,
            saved=saved,
            base=self.baseline,
        )

    def memory_chart(self) -> Chart:
        """Weights, key-value cache and peak; predictions as marks."""

        def predicted(column: str) -> list[Figure | None]:
            made: dict[str, Any] = {"kind": "derived", "source": "costlib.models.memory", "reason": _PREDICTED}
            return [figure_of(r, column, "bytes", **made) if r["status"] == "ok" else None for r in self.rows.values()]

        panels = [
            Panel("Weights", self.every("weight_bytes", "bytes", _COUNTED), predicted("weight_bytes_expected")),
            Panel(
                "Key-value cache", self.every("kv_cache_bytes", "bytes", _COUNTED), predicted("kv_cache_bytes_expected")
            ),
            Panel("Peak", self.every("peak_bytes", "bytes", _LARGEST)),
        ]
        return Chart(
            "memory",
            f"{short(self.small, 4)} needs the least memory for weights" if self.small else "No memory was measured",
            f"Bytes (a MB is a million), {self.setting}; the upright mark is the prediction",
            f"Source: {self.where}. {self._peak}.",
            f"Bar chart of memory by precision where {self.small or 'none'} holds its weights in the fewest bytes",
            bars(self.ledger, "memory", panels),
        )

    @property
    def _peak(self) -> str:
        """What the peak is of, on the device of the rows."""
        on_gpu = any(row["allocator_reserved_peak_bytes"] is not None for row in self.ok.values())
        return "The peak is what torch reserved on the GPU" if on_gpu else "The peak includes Python and its libraries"

    def memory_table(self) -> Html:
        """Bytes of every part, counted and predicted."""
        columns: dict[str, tuple[str, str, Kind]] = {
            "weight_bytes": ("Weights", _COUNTED, "measured"),
            "weight_bytes_expected": ("predicted", _PREDICTED, "derived"),
            "kv_cache_bytes": ("Key-value cache", _COUNTED, "measured"),
            "kv_cache_bytes_expected": ("predicted", _PREDICTED, "derived"),
            "peak_bytes": ("Peak", _LARGEST, "measured"),
            "load_peak_bytes": ("Peak while loading", _LARGEST, "measured"),
        }
        rows = [
            {"name": n} | {key: self.of(n, key, "bytes", why, kind) for key, (_, why, kind) in columns.items()}
            for n in self.rows
        ]
        titles = {"name": "Precision"} | {key: title for key, (title, *_) in columns.items()}
        return self.table("memories", f"Memory, {self.setting}", rows, columns=titles)
