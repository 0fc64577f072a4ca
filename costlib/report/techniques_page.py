"""What the techniques notebook shows: whether a draft speeds a model up, and what keeping a shared prefix saves.

Drafts are rows of table `speculations` and kept prefixes rows of `prefixes`. What is measured stays as measured; $ are
derived from the rate of the device that ran it, or from the one the notebook is given. A row whose answers were not
those of plain greedy decoding is shown as what it is, and never recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from costlib.cost.inputs import number
from costlib.cost.prefix import PER, priced
from costlib.figure import Figure, Kind
from costlib.measure.prefix import prefixes
from costlib.measure.speculative import speculations
from costlib.prices.hardware import measured_rate
from costlib.report.chart import Chart
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.page import End, Page, figure_of, long_date, records
from costlib.reporting.charts import PALETTE
from costlib.store import Store
from costlib.study import load_study

_NO_DRAFT = "No draft is measured in this store yet. The command that does it: costlib speculate MODEL --draft DRAFT."
_NO_PREFIX = "No shared prefix has been measured in this store yet. The command that does it: costlib prefix MODEL."

_GROUPS = (Group("measured", "o", PALETTE[0]), Group("predicted", "D", PALETTE[1]))


@dataclass
class TechniquesPage(Page):
    """The page: `drafts` and `kept` are rows of the two tables, the latter with $."""

    drafts: list[dict[str, Any]] = field(kw_only=True)
    kept: list[dict[str, Any]] = field(kw_only=True)

    @cached_property
    def timed(self) -> list[dict[str, Any]]:
        """Drafts with a speed-up, by draft and number of proposals."""
        known = [row for row in self.drafts if row["speedup"] is not None]
        key = ("model", "draft", "draft_precision", "draft_tokens")
        return sorted(known, key=lambda row: [str(row[name]).rjust(4) for name in key])

    @cached_property
    def saved(self) -> list[dict[str, Any]]:
        """Prefixes with a saving, the longest first."""
        return sorted((row for row in self.kept if row["saving"] is not None), key=lambda row: -row["usable_tokens"])

    def name(self, row: Mapping[str, Any]) -> str:
        """How a reader tells drafts apart."""
        held = f" {row['draft_precision']}" if row["draft_precision"] else ""
        draft = row["draft"].partition(":")[2] or row["draft"]
        targets = {(other["model"], other["precision"]) for other in self.timed}
        target = f" for {row['model'].partition(':')[2]} {row['precision']}" if len(targets) > 1 else ""
        return f"{draft}{held}, {row['draft_tokens']} a check{target}{_ending(row)}"

    def prefix_name(self, row: Mapping[str, Any]) -> str:
        """How a reader tells prefixes apart."""
        model = f"{row['model'].partition(':')[2]} {row['precision']}"
        return f"{row['usable_tokens']} of {row['prompt_tokens']} tokens, {model}{_ending(row)}"

    def measured(self, row: Mapping[str, Any], name: str, unit: str, kind: Kind = "measured") -> Figure:
        """A number of a row with its interval, or why it has none."""
        reason = row.get(f"{name}_reason") or row["interval_reason"] or "counted"
        return figure_of(row, name, unit, kind=kind, source=f"run {row['run_id']}", reason=reason)

    def _draft_answer(self) -> str:
        good = [row for row in self.timed if row["verdict"] == "use"]
        if not self.timed:
            return "No draft has been timed"
        if not good:
            return "No draft is faster than plain decoding for sure"
        return f"{self.name(self._best()).capitalize()}, is faster than plain decoding"

    def _best(self) -> dict[str, Any]:
        return max(self.timed, key=lambda row: (row["verdict"] == "use", row["speedup_low"] or 0.0))

    def opening(self) -> Html:
        """The executive summary."""
        cards = []
        if self.timed:
            best = self._best()
            cards = [("Speed-up of the surest draft", self.measured(best, "speedup", "ratio")),
                     ("Of its proposals kept, alpha", self.measured(best, "acceptance", "share"))]  # fmt: skip
        if self.saved:
            first = self.saved[0]
            cards += [("Time to first token a kept prefix saves", self.measured(first, "saving", "share")),
                      (f"Saved by {PER:,} requests that find it", self._usd(first))]  # fmt: skip
        found = "no kept prefix saves time for sure" if self.saved else "no kept prefix has been measured"
        if any(row["verdict"] == "use" for row in self.saved):
            found = "keeping a shared prefix saves time"
        return self.summary("{draft}; {prefix}.", cards, draft=self._draft_answer(), prefix=found)

    def draft_heading(self) -> Html:
        """Whether a draft pays."""
        return self.heading("{answer}", answer=self._draft_answer())

    def draft_chart(self) -> Chart | Html:
        """The speed-up of decoding, measured and as the formula predicts it."""
        if not self.timed:
            return self.text(_NO_DRAFT)
        pairs = [
            (self.measured(row, "decode_speedup", "ratio"), self.measured(row, "predicted_speedup", "ratio", "derived"))
            for row in self.timed
        ]
        below = all((found.value or 0) < (predicted.value or 0) for found, predicted in pairs)
        finding = "Decoding gains less than the formula predicts" if below else "Speed-up, measured and predicted"
        marks = [list(zip(_GROUPS, pair, strict=True)) for pair in pairs]
        rows = list(zip(map(self.name, self.timed), marks, strict=True))
        return Chart(
            "drafts",
            finding,
            "Speed of decoding over plain decoding of the same prompts; lines: 95 % interval",
            f"Source: runs of {long_date(self.timed[0]['started_at'])} on {self.timed[0]['device']}.",
            f"Dot chart of drafts where {finding[0].lower()}{finding[1:]}",
            dots(self.ledger, "drafts", rows, "times the speed of plain decoding"),
        )

    def draft_table(self) -> Html:
        """Acceptance, costs, speed-up predicted and measured, and the verdict, of every draft."""
        rows = [
            {
                "Draft": self.name(row),
                "Acceptance": self.measured(row, "acceptance", "share"),
                "Tokens per check": self.measured(row, "tokens_per_check", "tokens"),
                "Draft step": self.measured(row, "draft_cost", "ratio"),
                "Check": self.measured(row, "check_cost", "ratio"),
                "Predicted speed-up": self.measured(row, "predicted_speedup", "ratio", "derived"),
                "Speed-up of decoding": self.measured(row, "decode_speedup", "ratio"),
                "Speed-up with prefill": self.measured(row, "speedup", "ratio"),
                "Verdict": row["verdict"] or row["status"],
            }
            for row in self.timed
        ]
        return self.table("speculation", "What each draft does", rows)

    def draft_remarks(self) -> Html:
        """Failures, invalid rows and random weights, each with its reason."""
        return self._notes(self.drafts, self.name)

    def prefix_heading(self) -> Html:
        """What a kept prefix saves."""
        if not self.saved:
            return self.heading("No shared prefix has been measured")
        first = self.saved[0]
        why, source = f"whole blocks of {first['block']} tokens", f"run {first['run_id']}"
        usable = figure_of(first, "usable_tokens", "tokens", kind="derived", source=source, reason=why)
        return self.heading(
            "Keeping {usable} saves {saved} of the time to first token",
            usable=usable,
            saved=self.measured(first, "saving", "share"),
        )

    def prefix_table(self) -> Html:
        """Times with and without the prefix, what is saved, its bytes and $, of every prefix."""
        if not self.saved:
            return self.text(_NO_PREFIX)
        rows = [
            {
                "Kept": self.prefix_name(row),
                "Token hit rate": figure_of(
                    row,
                    "token_hit_rate",
                    "share",
                    kind="derived",
                    source=f"run {row['run_id']}",
                    reason=f"follows from {row['requests']} requests of one length",
                ),
                "Read whole": self.measured(row, "ttft_s", "s"),
                "Prefix found": self.measured(row, "ttft_reused_s", "s"),
                "Filling the cache": self.measured(row, "ttft_first_s", "s"),
                "Saved of a stream": self.measured(row, "saving", "share"),
                "Kept bytes": self.measured(row, "kept_bytes", "bytes"),
                f"Saved by {PER:,} that find it": self._usd(row),
                "Verdict": row["verdict"] or row["status"],
            }
            for row in self.saved
        ]
        return self.table("prefixes", "What a kept prefix saves", rows)

    def prefix_remarks(self) -> Html:
        """Failures and invalid rows, each with its reason."""
        return self._notes(self.kept, self.prefix_name)

    def _usd(self, row: Mapping[str, Any]) -> Figure:
        name, source = "usd_saved_per_1k_requests", f"run {row['run_id']}; {row['rate_source']}"
        return figure_of(row, name, "USD", kind="derived", source=source, reason=row["interval_reason"])

    def _notes(self, rows: list[dict[str, Any]], name: Callable[[Mapping[str, Any]], str]) -> Html:
        """Why a row is not to be used, and what its interval lacks, each sentence once."""
        said = [f"{name(row)}: {row['reason'] or row['verdict_reason']}." for row in rows if row["verdict"] != "use"]
        said += [f"Intervals: {row['interval_reason']}." for row in rows if row["interval_reason"]]
        return Html("".join(str(self.text("{note}", "note", note=note)) for note in dict.fromkeys(said)))

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=[row["run_id"] for row in (*self.drafts, *self.kept)])


def _ending(row: Mapping[str, Any]) -> str:
    return f", {row['status']}" if row["status"] != "ok" else ""


def techniques_page(study: str, store: str = "", usd_per_hour: float = 0.0) -> TechniquesPage:
    """The page of a study (name or file) for what a store holds; `usd_per_hour` of 0 takes each device's own rate.

    Raises `InputError` for a rate below 0, or a device without one.
    """
    found, kept = load_study(study), Store(store or None)
    given = number("usd_per_hour", usd_per_hour, zero=True)
    frame = prefixes(kept)
    rows = [
        row
        for device in dict.fromkeys(frame["device"])
        for row in records(priced(frame[frame["device"] == device], given or measured_rate(device, as_of=found.as_of)))
    ]
    about = f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}"
    return TechniquesPage(about=about, drafts=records(speculations(kept)), kept=rows)
