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
from costlib.prices.rates import Rental
from costlib.report.chart import Chart, short
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.measure_costs import Costs
from costlib.report.measure_limits import Limits
from costlib.report.measure_memory import Memory
from costlib.report.measure_quality import Quality
from costlib.report.measured_rows import Row, configurations, price_ratio, qualities, shared_setting
from costlib.report.page import End, Page, figure_of, listed, long_date
from costlib.store import Store
from costlib.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd


class NothingMeasured(Page):
    """The page of a study that measures nothing: it says so once, and every other piece is empty."""

    def opening(self) -> Html:
        """The executive summary."""
        return self.summary("This study measures nothing on a machine.", [])

    def speed_heading(self) -> Html:
        """The one heading of the measurements."""
        return self.heading("This study measures nothing on a machine")

    def cautions(self) -> Html:
        """What stands in for measurements."""
        return self.text("Nothing of this follows here: the study lists nothing under its key measure.", "caution")

    def runs(self) -> list[str]:
        """No run is behind the page."""
        return []

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=[])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(MeasurePage, name):
            raise AttributeError(name)
        return lambda: Html("")


@dataclass
class MeasurePage(Memory, Limits, Costs, Quality):
    """The page, and the rows behind it by label: configurations of the newest device, and their quality."""

    study: Study = field(kw_only=True)
    rows: dict[str, Row] = field(kw_only=True)
    quality: dict[str, Row] = field(kw_only=True)
    stored: pd.DataFrame = field(kw_only=True)
    """Every run of the store."""
    rate: Rental | None = None
    price_ratio: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        self.ok = {name: row for name, row in self.rows.items() if row["status"] == "ok"}
        row = next(iter(self.ok.values()), next(iter(self.rows.values())))
        self.where = f"costlib measurements on {row['device']}, {long_date(row['measured_at'])}"
        self.setting = shared_setting(self.rows)
        wanted = self.study.quality.baseline if self.study.quality else None
        self.baseline = next((name for name, row in self.ok.items() if row["precision"] == wanted), "")
        self.fast = self._best("decode_tokens_per_s", max)
        self.slow = self._best("decode_tokens_per_s", min, beside=self.fast)
        self.small = self._best("weight_bytes", min)
        losses = {n: r["ppl_ratio"] for n, r in self.quality.items() if r["ppl_ratio"] and n != self.baseline}
        self.worst = max(losses, key=lambda name: losses[name], default="")

    def _best(self, column: str, choose: Any, beside: str = "") -> str:
        """The configuration with the most or least of a column, among those of the batch and lengths of another."""
        shape = ("batch", "prompt_tokens", "output_tokens")
        known = [name for name, row in self.ok.items() if row[column] is not None]
        if beside:
            known = [name for name in known if all(self.ok[name][key] == self.ok[beside][key] for key in shape)]
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
            "Measured: {model}, {n}, {setting}.",
            device=str(self.ok[self.fast]["device"]),
            fast=self.fast,
            hedge="" if self.surely_fastest else "perhaps by chance, ",
            speed=speed,
            small=self.small,
            size=size,
            worst=self.worst,
            loss=loss,
            model=model,
            n=f"{len(self.rows)} {'precisions' if self._plain else 'configurations'}",
            setting=self.setting,
        )

    @property
    def _plain(self) -> bool:
        """Whether precision alone tells the configurations apart."""
        return all(name == row["precision"] for name, row in self.rows.items())

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
        notes += [f"{one.asked} is {one.name} on this machine, {one.why}" for one in self.study.resolved]
        above = [name for name, row in self.ok.items() if row.get("ceiling_note")]
        notes += [f"{listed(above)}: faster than the product measured as its ceiling, which only explains"] * bool(
            above
        )
        notes += [f"speed of {listed(names)}: {reason}" for reason, names in unsure.items()]
        return Html("".join(str(self.text("Note: {note}.", "caution", note=note)) for note in notes))

    def speed_heading(self) -> Html:
        """Which precision decodes fastest, and by how much."""
        if self.fast == self.slow:
            one = "One precision was measured" if self._plain else "{fast} decodes fastest"
            return self.heading(one if self.ok else "No speed could be measured", fast=self.fast)
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
            f"{short(self.fast, 4)} decodes fastest here{'' if self.surely_fastest else ', perhaps by chance'}"
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
            {"Precision": n} | {title: self.of(n, k, u, "a count" if k == u else "") for k, (title, u) in units.items()}
            for n in self.rows
        ]
        return self.table("speeds", f"Speed, {self.setting}", rows)

    def failures_heading(self) -> Html:
        """Whether everything worked."""
        worked = "Every configuration was measured undisturbed"
        return self.heading("What was not measured as planned" if self._problems() else worked)

    def failures(self) -> Html:
        """Failed, missing or flagged rows with their reasons."""
        words = {"ok": "measured"}
        rows = [
            {"Precision": name, "Status": words.get(status, status), "What happened": why}
            for name, why in self._problems().items()
            for status in [self.rows[name]["status"]]
        ]
        if not rows:
            return self.text("No configuration failed and no sample was set aside.")
        return self.table("failures", "Failed, missing or disturbed", rows)

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


def measure_page(study: str, store: str = "") -> MeasurePage | NothingMeasured:
    """The page of a study (its name or file) from a store (empty: the default one)."""
    found, kept = load_study(study), Store(store or None)
    about = f"Study {found.name} · {found.title} · as of {long_date(found.as_of)}"
    if not found.measure:
        return NothingMeasured(about)
    rows = configurations(found, kept)
    device = next((row["device"] for row in rows.values() if row["status"] == "ok"), None)
    try:
        rate = measured_rate(device, as_of=found.as_of) if device else None
    except InputError:
        rate = None
    return MeasurePage(
        about,
        study=found,
        rows=rows,
        stored=stored_runs(kept),
        quality=qualities(found, kept, rows),
        rate=rate,
        price_ratio=price_ratio(found),
    )
