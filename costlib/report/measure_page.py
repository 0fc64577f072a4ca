"""What the measure notebook shows: speed, memory, $/Mtok and quality of each precision, and what could not be measured.

`measure_page` reads what the study asks for from the store; each method returns one piece for a notebook cell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from costlib.errors import InputError
from costlib.figure import Figure, Kind
from costlib.measure.compare import decode_difference
from costlib.measure.difference import Difference
from costlib.measure.run import stored_runs
from costlib.prices.hardware import measured_rate
from costlib.prices.rates import Rate
from costlib.report.chart import Chart
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.measure_costs import Costs
from costlib.report.measure_limits import Limits
from costlib.report.measure_quality import Quality
from costlib.report.measured_rows import Row, configurations, price_ratio, qualities, shared_setting
from costlib.report.page import End, figure_of, listed, long_date
from costlib.store import Store
from costlib.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

_COUNTED = "counted, not sampled"
_LARGEST = "the largest of all processes"
_PREDICTED = "predicted from the shape"


@dataclass
class MeasurePage(Limits, Costs, Quality):
    """The page, and the rows behind it by label: configurations of the newest device, and their quality."""

    study: Study = field(kw_only=True)
    rows: dict[str, Row] = field(kw_only=True)
    quality: dict[str, Row] = field(kw_only=True)
    stored: pd.DataFrame = field(kw_only=True)
    """Every run of the store."""
    rate: Rate | None = None
    price_ratio: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        self.ok = {name: row for name, row in self.rows.items() if row["status"] == "ok"}
        row = next(iter(self.ok.values()), next(iter(self.rows.values())))
        self.where = f"costlib measurements on {row['device']}, {long_date(row['measured_at'])}"
        self.setting = shared_setting(self.rows)
        wanted = self.study.quality.baseline if self.study.quality else None
        self.baseline = next((name for name, row in self.ok.items() if row["precision"] == wanted), "")
        self.fast, self.slow = self._best("decode_tokens_per_s", max), self._best("decode_tokens_per_s", min)
        self.small = self._best("weight_bytes", min)
        losses = {n: r["ppl_ratio"] for n, r in self.quality.items() if r["ppl_ratio"] and n != self.baseline}
        self.worst = max(losses, key=lambda name: losses[name], default="")

    def _best(self, column: str, choose: Any) -> str:
        known = [name for name, row in self.ok.items() if row[column] is not None]
        return str(choose(known, key=lambda name: self.ok[name][column], default=""))

    def _times(self, name: str) -> tuple[Difference, str | None]:
        """How many times the fastest decodes as fast as this one, from their runs, and why that has no interval."""
        runs = [self.stored[self.stored["run_id"].isin(self.ok[n]["run_ids"].split())] for n in (name, self.fast)]
        return decode_difference(*runs)

    @property
    def surely_fastest(self) -> bool:
        """Whether every other one is slower by more than chance explains."""
        others = [name for name, row in self.ok.items() if name != self.fast and row["decode_tokens_per_s"] is not None]
        return all(self._times(name)[0].shown for name in others)

    def of(self, name: str, column: str, unit: str, reason: str = "", kind: Kind = "measured") -> Figure:
        """One number of a configuration."""
        row = self.rows[name]
        why = row["reason"] if row["status"] != "ok" else reason or row.get("interval_reason")
        return figure_of(row, column, unit, kind=kind, source=f"runs {row.get('run_ids') or 'none'}", reason=why)

    def every(self, column: str, unit: str, reason: str = "") -> list[tuple[str, Figure]]:
        """The same number of every configuration."""
        return [(name, self.of(name, column, unit, reason)) for name in self.rows]

    def opening(self) -> Html:
        """The executive summary."""
        if not self.ok:
            return self.summary("No configuration could be measured; the last section says why.", [])
        speed, size = self.of(self.fast, "decode_tokens_per_s", "tokens/s"), self._size(self.small)
        sentence = "On {device}, {fast} decodes fastest, {hedge}at {speed}"
        sentence += "; {small} holds the weights in the least memory, {size}"
        costs = self.blended
        cards = [(f"Fastest decode: {self.fast}", speed)]
        cards += [
            (f"Cheapest at full use: {n}", costs[n]) for n in sorted(costs, key=lambda n: costs[n].value or 0)[:1]
        ]
        cards.append((f"Smallest weights: {self.small}", size))
        loss: Figure | str = ""
        if self.worst:
            loss = self._quality(self.worst, "ppl_ratio")
            sentence += "; {worst} multiplies perplexity by {loss:bare}"
            cards.append((f"Largest loss of quality, perplexity: {self.worst}", loss))
        model = listed(sorted({str(row["model"]) for row in self.rows.values()}))
        return self.summary(
            sentence + ".",
            cards,
            "Measured: {model}, {n} precisions, {setting}.",
            device=str(self.ok[self.fast]["device"]),
            fast=self.fast,
            hedge="" if self.surely_fastest else "perhaps by chance, ",
            speed=speed,
            small=self.small,
            size=size,
            worst=self.worst,
            loss=loss,
            model=model,
            n=str(len(self.rows)),
            setting=self.setting,
        )

    def _size(self, name: str) -> Figure:
        return self.of(name, "weight_bytes", "bytes", _COUNTED)

    def cautions(self) -> Html:
        """What a reader must know about the weights and about how sure the speeds are, once each."""
        rows = [*self.rows.values(), *self.quality.values()]
        notes = sorted({str(row["weights_note"]) for row in rows if row.get("weights_note")})
        unsure: dict[str, list[str]] = {}
        for name, row in self.ok.items():
            if row["interval_reason"]:
                unsure.setdefault(str(row["interval_reason"]), []).append(name)
            elif row["stopped_by"] == "time budget":
                late = "the time budget ended before five processes agreed as closely as costlib aims for"
                unsure.setdefault(late, []).append(name)
        notes += [f"speed of {listed(names)}: {reason}" for reason, names in unsure.items()]
        return Html("".join(str(self.text("Note: {note}.", "caution", note=note)) for note in notes))

    def speed_heading(self) -> Html:
        """Which precision decodes fastest, and by how much."""
        if self.fast == self.slow:
            return self.heading("One precision was measured" if self.ok else "No speed could be measured")
        found, reason = self._times(self.slow)
        source = f"runs {self.ok[self.fast]['run_ids']} {self.ok[self.slow]['run_ids']}"
        why = None if found.low is not None else reason or "one process: an interval needs at least 2"
        times = Figure(found.ratio, "ratio", "derived", source, found.low, found.high, why)
        sentence = "{fast} decodes {x:bare} times as fast as {slow}" + ("" if found.shown else ", perhaps by chance")
        return self.heading(sentence, fast=self.fast, slow=self.slow, x=times)

    def speed_chart(self) -> Chart:
        """Prefill and decode tokens/s with intervals."""
        panels = [
            Panel("Prefill, tokens/s", self.every("prefill_tokens_per_s", "tokens/s")),
            Panel("Decode, tokens/s", self.every("decode_tokens_per_s", "tokens/s")),
        ]
        return Chart(
            "speed",
            f"{self.fast} decodes fastest here{'' if self.surely_fastest else ', perhaps by chance'}"
            if self.fast
            else "No speed yet",
            f"Tokens per second, {self.setting}; lines are 95 % intervals",
            f"Source: {self.where}. Metrics: prefill_tokens_per_s, decode_tokens_per_s.",
            f"Bar chart of prefill and decode speed by precision where {self.fast or 'none'} decodes fastest",
            bars(self.ledger, "speed", panels),
        )

    def speed_table(self) -> Html:
        """Time to first token, speeds, samples."""
        units = {"ttft_s": ("Time to first token", "s"), "prefill_tokens_per_s": ("Prefill", "tokens/s"),
                 "decode_tokens_per_s": ("Decode", "tokens/s"), "end_to_end_tokens_per_s": ("End to end", "tokens/s"),
                 "processes": ("Processes", "processes"), "samples": ("Samples", "samples")}  # fmt: skip
        rows = [
            {"name": n} | {k: self.of(n, k, u, "a count" if k == u else "") for k, (_, u) in units.items()}
            for n in self.rows
        ]
        columns = {"name": "Precision"} | {key: title for key, (title, _) in units.items()}
        return self.table("speeds", f"Speed, {self.setting}", columns, rows)

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
            Panel("Peak of the process", self.every("peak_bytes", "bytes", _LARGEST)),
        ]
        return Chart(
            "memory",
            f"{self.small} needs the least memory for weights" if self.small else "No memory was measured",
            f"Bytes (a MB is a million), {self.setting}; the upright mark is the prediction",
            f"Source: {self.where}. The peak includes Python and its libraries.",
            f"Bar chart of memory by precision where {self.small or 'none'} holds its weights in the fewest bytes",
            bars(self.ledger, "memory", panels),
        )

    def memory_table(self) -> Html:
        """Bytes of every part, counted and predicted."""
        columns: dict[str, tuple[str, str, Kind]] = {
            "weight_bytes": ("Weights", _COUNTED, "measured"),
            "weight_bytes_expected": ("predicted", _PREDICTED, "derived"),
            "kv_cache_bytes": ("Key-value cache", _COUNTED, "measured"),
            "peak_bytes": ("Peak", _LARGEST, "measured"),
            "load_peak_bytes": ("Peak while loading", _LARGEST, "measured"),
        }
        rows = [
            {"name": n} | {key: self.of(n, key, "bytes", why, kind) for key, (_, why, kind) in columns.items()}
            for n in self.rows
        ]
        titles = {"name": "Precision"} | {key: title for key, (title, *_) in columns.items()}
        return self.table("memories", f"Memory, {self.setting}", titles, rows)

    def failures_heading(self) -> Html:
        """Whether everything worked."""
        worked = "Every configuration was measured undisturbed"
        return self.heading("What was not measured as planned" if self._problems() else worked)

    def failures(self) -> Html:
        """Failed, missing or flagged rows with their reasons."""
        rows = [
            {"name": name, "status": self.rows[name]["status"], "why": why} for name, why in self._problems().items()
        ]
        if not rows:
            return self.text("No configuration failed and no sample was set aside.")
        columns = {"name": "Precision", "status": "Status", "why": "What happened"}
        return self.table("failures", "Failed, missing or disturbed", columns, rows)

    def _problems(self) -> dict[str, str]:
        found = {}
        for name, row in self.rows.items():
            count = row.get("flagged_samples") or 0
            flagged = f"{count} {'sample' if count == 1 else 'samples'} set aside: {row['flags']}" if count else ""
            found[name] = "; ".join(filter(None, (row["reason"], flagged)))
        return {name: why for name, why in found.items() if why}

    def runs(self) -> list[str]:
        """Ids of the runs behind the page."""
        used = [str(r["run_ids"]) for r in self.ok.values()] + [str(r["run_id"]) for r in self.quality.values()]
        return sorted({run for ids in used for run in ids.split()})

    def provenance(self) -> dict[str, str]:
        """Where and with what the newest row was measured."""
        newest = max(self.ok.values(), key=lambda row: str(row["measured_at"]), default=None)
        if newest is None:
            return {}
        facts = json.loads(newest["environment"])
        return {
            "Device": f"{newest['device']}, {facts.get('threads')} threads, Python {facts.get('python')}",
            "Measured with": " · ".join(f"{name} {number}" for name, number in facts["packages"].items() if number),
            "Environment": str(newest["fingerprint"]),
        }

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=self.runs(), provenance=self.provenance())


def measure_page(study: str, store: str = "") -> MeasurePage:
    """The page of a study (its name or file) from a store (empty: the default one)."""
    found, kept = load_study(study), Store(store or None)
    rows = configurations(found, kept)
    device = next((row["device"] for row in rows.values() if row["status"] == "ok"), None)
    try:
        rate = measured_rate(device, as_of=found.as_of) if device else None
    except InputError:
        rate = None
    return MeasurePage(
        f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}",
        study=found,
        rows=rows,
        stored=stored_runs(kept),
        quality=qualities(found, kept, rows),
        rate=rate,
        price_ratio=price_ratio(found),
    )
