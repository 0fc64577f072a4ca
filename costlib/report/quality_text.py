"""The part of the quality page about text: what each precision loses on the same tokens, and at which depth of context.

Depth is how many tokens a token is conditioned on. Long context can suffer first, and a mean over a window hides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from costlib.errors import InputError
from costlib.figure import Figure
from costlib.portfolio.measured import Row
from costlib.quality.depth import Growth, Part, by_depth, growth
from costlib.report.chart import Chart
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.lines import profiles
from costlib.report.page import Page, figure_of, listed, long_date
from costlib.reporting.markup import DASH
from costlib.stats.paired import holm
from costlib.study import Study

_ALPHA = 0.05
_DRAWN = 4
_TEXT = {
    "ppl_rolling": ("Perplexity", "perplexity"),
    "ppl_ratio": ("Over the baseline's", "ratio"),
    "ppl_p_value": ("Difference", "p-value"),
    "kl_mean": ("KL divergence", "nats/token"),
    "top1_agreement": ("Same first token", "share"),
    "bits_per_byte": ("Bits per byte", "bit/byte"),
}


@dataclass(frozen=True)
class Depth:
    """Loss of a variant by depth: its parts, the growth with its p-value by Holm, and the two runs."""

    parts: list[Part]
    growth: Growth
    p_value: float
    source: str

    @property
    def grows(self) -> bool:
        """Whether tokens with much context measurably lose more."""
        return self.p_value < _ALPHA and self.growth.value > 0


class Text(Page):
    """Mixed into the quality page, which has a study and the rows of its text by label of their configuration."""

    study: Study
    text_rows: Mapping[str, Row]

    def lost(self, name: str, column: str, unit: str) -> Figure:
        """A number of the text's rows."""
        row = self.text_rows[name]
        spec = self.study.quality
        if spec is not None and row["precision"] == spec.baseline and column in ("ppl_ratio", "top1_agreement"):
            return Figure(1.0, unit, "derived", f"run {row['run_id']}", reason="the baseline itself")
        reason = row["reason"] if row["status"] != "ok" else "a test and a total have none"
        return figure_of(row, column, unit, kind="measured", source=f"run {row['run_id']}", reason=reason)

    def text_heading(self) -> Html:
        """Which precision loses most on text."""
        rows = {n: r for n, r in self.text_rows.items() if r["ppl_ratio_low"] is not None}
        worse = [name for name, row in rows.items() if row["ppl_ratio_low"] > 1]
        if not rows:
            return self.heading("Text quality was not measured")
        return self.heading("Text: {worse} measurably worse" if worse else "Text: no precision is measurably worse",
                            worse=f"{listed(worse)} {'is' if len(worse) == 1 else 'are'}")  # fmt: skip

    def text_chart(self) -> Chart | Html:
        """Perplexity ratio, KL and agreement with intervals."""
        if not self.text_rows:
            return self.text("The study asks for text quality with the key quality; costlib run measures it.")
        titles = {"ppl_ratio": "Perplexity over the baseline's", "kl_mean": "KL, nats/token"}
        titles["top1_agreement"] = "Same first token"
        panels = [
            Panel(title, [(n, self.lost(n, column, _TEXT[column][1])) for n in self.text_rows],
                  reference=(1.0, "baseline") if column == "ppl_ratio" else None)
            for column, title in titles.items()
        ]  # fmt: skip
        row = next(iter(self.text_rows.values()))
        return Chart(
            "text",
            "Perplexity, whole distributions and first choices",
            "Each precision against the baseline on the same tokens; lines are 95 % intervals",
            f"Source: text {row['text']}, {row['tokens']:,} tokens, {long_date(row['started_at'])}, {row['device']}.",
            "Dot and bar chart of text losses by precision where each is compared with the baseline",
            bars(self.ledger, "text", panels),
        )

    def text_table(self) -> Html:
        """Every number of the text rows."""
        rows = [
            {"Precision": name} | {title: self.lost(name, column, unit) for column, (title, unit) in _TEXT.items()}
            for name in self.text_rows
        ]
        return self.table("texts", "Text fidelity", rows)

    @cached_property
    def _by_depth(self) -> tuple[dict[str, Depth], dict[str, str]]:
        """Loss by depth of each variant, and of the others why there is none; two engines share a run, drawn once."""
        found: dict[str, tuple[list[Part], Growth, str]] = {}
        hidden: dict[str, str] = {}
        wanted = self.study.quality.baseline if self.study.quality else None
        rows = {row["run_id"]: row for row in self.text_rows.values()}
        models = {row["model"] for row in rows.values()}
        for row in rows.values():
            if row["precision"] == wanted:
                continue
            name = str(row["precision"]) if len(models) == 1 else f"{row['model']} {row['precision']}"
            same = [r for r in rows.values() if (r["model"], r["precision"]) == (row["model"], wanted)]
            if not same:
                hidden[name] = f"its baseline {wanted} is not in the study"
                continue
            try:
                grown, parts = growth(row, same[0]), by_depth(row, same[0])
            except InputError as error:
                hidden[name] = str(error)
                continue
            if grown is None or parts is None:
                hidden[name] = "fewer than 2 tokens have one of the depths"
            else:
                found[name] = parts, grown, f"runs {row['run_id']} and {same[0]['run_id']}"
        adjusted = holm([grown.p_value for _, grown, _ in found.values()])
        shown = {n: Depth(*found[n][:2], p, found[n][2]) for n, p in zip(found, adjusted, strict=True)}
        return shown, hidden

    def depth_chart(self) -> Chart | Html:
        """Loss against the baseline by position in the window, a line per precision."""
        depths, hidden = self._by_depth
        if not depths:
            why = "; ".join(f"{name}: {reason}" for name, reason in hidden.items()) or "no variant was scored on text"
            return self.text("Loss by depth of context is not shown. {why}.", why=why[:1].upper() + why[1:])
        worst = sorted(depths, key=lambda name: -max(part.loss.mean for part in depths[name].parts))[:_DRAWN]
        lines = [
            (name, [self._apart(part, depths[name].source) for part in depths[name].parts])
            for name in depths
            if name in worst
        ]
        first = next(iter(depths.values())).parts
        places = [f"{part.first:,}{DASH}{part.last:,}" for part in first]
        grown = [name for name, _ in lines if depths[name].grows]
        finding = f"Loss grows with context for {listed(grown)}"
        if len(finding.split()) > 10:
            finding = "Some losses grow with context"
        row = next(iter(self.text_rows.values()))
        base = self.study.quality.baseline if self.study.quality else ""
        more = f", the {_DRAWN} largest losses" if len(depths) > _DRAWN else ""
        return Chart(
            "depth",
            finding if grown else "No loss measurably grows with context",
            f"Negative log-likelihood less that of {base} by position in the window{more}; lines are 95 % intervals",
            f"Source: text {row['text']}, {row['tokens']:,} tokens in windows of {row['window']:,}, "
            f"{long_date(row['started_at'])}, {row['device']}.",
            "Line chart of loss by context depth where each precision is compared with the baseline",
            profiles(self.ledger, "depth", places, lines, base,
                     ("tokens of context", "loss, nats/token")),
        )  # fmt: skip

    def _apart(self, part: Part, source: str) -> Figure:
        """Loss of one range of depths."""
        loss = part.loss
        return Figure(loss.mean, "nats/token", "derived", source, loss.low, loss.high, None, "nll_difference")

    def depth_text(self) -> Html:
        """Whether the loss grows with depth, with its test."""
        depths, hidden = self._by_depth
        if not depths:
            return Html("")
        grown = [name for name, depth in depths.items() if depth.grows]
        told: list[str] = []
        figures: dict[str, Figure | str] = {"grown": listed(grown)}
        for at, (name, depth) in enumerate(depths.items()):
            found, source = depth.growth, depth.source
            apart = Figure(found.value, "nats/token", "derived", source, found.low, found.high)
            tested = Figure(depth.p_value, "p-value", "derived", source, reason="a test has none")
            for what, figure in (("loss in the deeper half less that in the first", apart), ("test of that", tested)):
                self.ledger.add(f"{name} · {what}", figure)
            told.append(f"{{name{at}}} {{apart{at}}} (p = {{test{at}:bare}})")
            figures |= {f"name{at}": name, f"apart{at}": apart, f"test{at}": tested}
        half = next(iter(depths.values())).growth
        sentence = "The loss of {grown} grows with depth" if grown else "No loss measurably grows with depth"
        sentence += f". Loss of a token after {half.first:,} to {half.last:,} tokens of context less that after fewer: "
        sentence += f"{listed(told)}; z-test of the halves of the window, two-sided, p by Holm."
        sentence += "".join(f" Not shown: {name}, {{hidden{at}}}." for at, name in enumerate(hidden))
        figures |= {f"hidden{at}": reason for at, reason in enumerate(hidden.values())}
        return self.text(sentence, **figures)
