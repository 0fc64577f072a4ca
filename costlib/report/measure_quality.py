"""The part of the measure page about quality: what each precision loses against the baseline."""

from __future__ import annotations

from collections.abc import Mapping

from costlib.figure import Figure, Kind
from costlib.report.chart import Chart, short
from costlib.report.figures import Panel, bars
from costlib.report.ledger import Html
from costlib.report.measured_rows import Row
from costlib.report.page import Page, figure_of, listed

_QUALITY = {
    "ppl_rolling": ("Perplexity", "perplexity"),
    "ppl_ratio": ("Over the baseline's", "ratio"),
    "ppl_p_value": ("Difference", "p-value"),
    "kl_mean": ("KL divergence", "nats/token"),
    "top1_agreement": ("Same first token", "share"),
}


class Quality(Page):
    """Mixed into the measure page: quality rows by label, the `baseline` and the `worst` label."""

    quality: Mapping[str, Row]
    where: str
    baseline: str
    worst: str

    def of(self, name: str, column: str, unit: str, reason: str = "", kind: Kind = "measured") -> Figure:
        """One number of a configuration; the measure page gives it."""
        raise NotImplementedError

    def quality_heading(self) -> Html:
        """Which precisions are measurably worse than the baseline."""
        judged = {n: r for n, r in self.quality.items() if n != self.baseline and r["ppl_ratio_low"] is not None}
        worse = [n for n, r in judged.items() if r["ppl_ratio_low"] > 1]
        same = [n for n in judged if n not in worse]
        if not judged:
            return self.heading("Quality was not measured")
        if not worse:
            return self.heading("No precision raises perplexity measurably over {base}", base=self.baseline)
        sentence = "{worse} raises perplexity measurably" if len(worse) == 1 else "{worse} raise perplexity measurably"
        sentence += "; {same} does not" if len(same) == 1 else "; {same} do not" if same else ""
        return self.heading(sentence, worse=listed(worse), same=listed(same))

    def quality_chart(self) -> Chart | Html:
        """Speed on the left, loss on the right, one row per precision."""
        if not self.quality:
            return self.text("No quality can be drawn yet.")
        losses = [(n, self._quality(n, "ppl_ratio")) for n in self.quality]
        panels = [
            Panel("Decode, tokens/s", [(n, self.of(n, "decode_tokens_per_s", "tokens/s")) for n in self.quality]),
            Panel("Perplexity over the baseline's", losses, reference=(1.0, f"as {self.baseline}")),
        ]
        return Chart(
            "quality",
            f"{short(self.worst, 6) or 'No precision'} loses the most quality",
            "Decode speed beside the perplexity ratio; right of the dashed line is worse; lines are 95 % intervals",
            f"Source: {self.where}; {self._text}.",
            f"Bar and dot chart of speed and perplexity ratio by precision where {self.worst} loses the most",
            bars(self.ledger, "quality", panels),
        )

    @property
    def _text(self) -> str:
        row = next(iter(self.quality.values()))
        return f"text {row['text']}, {row['tokens']:,} tokens scored in windows of {row['window']:,}"

    def quality_table(self) -> Html:
        """Perplexity, ratio, p-value, KL and agreement."""
        if not self.quality:
            return self.text("The study asks for text quality with the key quality; costlib run measures it.")
        rows = [
            {"Precision": name} | {title: self._quality(name, key) for key, (title, _) in _QUALITY.items()}
            for name in self.quality
        ]
        return self.table("qualities", f"Quality: {self._text}", rows)

    def _quality(self, name: str, column: str) -> Figure:
        row, unit = self.quality[name], _QUALITY[column][1]
        source = f"run {row['run_id']}"
        if name == self.baseline and column != "ppl_rolling":
            value = 0.0 if column == "kl_mean" else 1.0
            return Figure(value, unit, "derived", source, reason="the baseline against itself")
        why = row["reason"] if row["status"] != "ok" else "a test result"
        return figure_of(row, column, unit, kind="measured", source=source, reason=why)
