"""The part of the measure page that says why: the roofline, shares of the ceilings, energy, and every memory layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from costlib.figure import Figure
from costlib.measure.device import REASON_CODES
from costlib.report.chart import INK, PALETTE, SOFT, Chart, draw, note, plain_axis
from costlib.report.ledger import Html
from costlib.report.page import Page, listed

_SHARES = {
    "mbu": "Decode: bandwidth",
    "mfu": "Decode: product",
    "prefill_mbu": "Prefill: bandwidth",
    "prefill_mfu": "Prefill: product",
    "mbu_spec": "Decode: data sheet",
}
_ENERGY = {
    "energy_gross_j": ("Gross", "J"),
    "energy_idle_j": ("Idle", "J"),
    "energy_net_j": ("Net", "J"),
    "energy_j_per_output_token": ("Net per new token", "J/token"),
    "energy_j_per_token": ("Net per token", "J/token"),
}
_LAYERS = {
    "allocator_allocated_peak_bytes": "Allocated",
    "allocator_reserved_peak_bytes": "Reserved",
    "process_peak_bytes": "Process",
    "device_over_idle_peak_bytes": "Device over idle",
    "load_peak_bytes": "While loading",
}
_BEST = "the best of several tries"


class Limits(Page):
    """Mixed into the measure page, whose `ok` holds the measured rows by label and `where` their source."""

    ok: Mapping[str, Any]
    where: str

    def known(self, name: str, column: str, unit: str) -> Figure:
        """A number of a row, or the row's own reason why there is none."""
        row = self.ok[name]
        value, source = row[column], f"runs {row['run_ids']}"
        if value is None:
            code = str(json.loads(row["reasons"] or "{}").get(column, "not measured"))
            return Figure(None, unit, "measured", source, reason=REASON_CODES.get(code, code), metric=column)
        kind = "measured" if column.endswith("bytes") or column.startswith("energy_gross") else "derived"
        return Figure(float(value), unit, "measured" if kind == "measured" else "derived", source, reason=_BEST)

    def _bounds(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, row in self.ok.items():
            if row["bound"] is not None:
                found.setdefault(str(row["bound"]), []).append(name)
        return found

    def limits_heading(self) -> Html:
        """What bounds the decode of each configuration."""
        found = self._bounds()
        if not found:
            return self.heading("What bounds the speed is not known here")
        words = {"bandwidth": "memory bandwidth", "compute": "arithmetic", "host": "overhead, near neither ceiling"}
        parts = [f"of {listed(names)} by {words[bound]}" for bound, names in found.items()]
        return self.heading("Decode is bound: " + "; ".join(parts))

    def roofline_chart(self) -> Chart | Html:
        """Each configuration under the ceilings measured in its own process."""
        rows = {name: row for name, row in self.ok.items() if row["mbu"] is not None}
        if not rows:
            reasons = sorted({str(row["ceiling_reason"]) for row in self.ok.values() if row["ceiling_reason"]})
            return self.text(
                "No roofline can be drawn: {why}.", why=listed(reasons) or "the ceilings were not measured"
            )
        bandwidth = max(row["ceiling_bytes_per_s"] for row in rows.values())
        product = max(row["ceiling_flops_per_s"] for row in rows.values())

        def paint(canvas: Any) -> None:
            ax = canvas.subplots()
            points = [
                (name, phase, row[f"{phase}_flops"] / row[f"{phase}_bytes"], row[f"{phase}_flops"] / seconds)
                for name, row in rows.items()
                for phase, seconds in (("decode", row["tpot_s"]), ("prefill", row["ttft_s"]))
                if seconds
            ]
            ridge = product / bandwidth
            left = min([ridge, *(x for *_, x, _ in points)]) / 3
            right = max([ridge, *(x for *_, x, _ in points)]) * 3
            ax.plot([left, ridge, right], [left * bandwidth, product, product], color=INK, linewidth=1.4)
            note(ax, "bandwidth measured here", (left, left * bandwidth), (4, 10), fontsize=7, color=SOFT)
            note(ax, "product measured here", (right, product), (-4, 5), fontsize=7, color=SOFT, ha="right")
            ax.set_xscale("log")
            ax.set_yscale("log")
            for turn, (name, phase, x, y) in enumerate(sorted(points, key=lambda point: point[3])):
                look = ("o", PALETTE[0]) if phase == "decode" else ("s", PALETTE[1])
                ax.plot([x], [y], look[0], color=look[1], markeredgecolor=INK, markersize=6, zorder=5)
                side = {"ha": "right"} if turn % 2 else {}
                note(ax, f"{name} {phase}", (x, y), (-8 if turn % 2 else 8, -4), fontsize=7, **side)
            ax.set_xlabel("FLOP per byte, logarithmic")
            ax.set_ylabel("GFLOP/s, logarithmic")
            ax.yaxis.set_major_formatter(lambda value, place: f"{value / 1e9:,.4g}")
            plain_axis(ax.xaxis, "", log=True)
            ax.margins(y=0.15)

        return Chart(
            "roofline",
            "How near each configuration comes to the machine's ceilings",
            "Arithmetic intensity and speed of decode (circles) and prefill (squares) under the measured ceilings",
            f"Source: {self.where}. Metrics: mbu, mfu.",
            "Roofline chart of FLOP/s by FLOP per byte where the lines are ceilings measured in the same processes",
            draw("roofline", 3.6, paint),
        )

    def limits_table(self) -> Html:
        """Shares of the ceilings, and the bound."""
        rows = [
            {"name": name} | {key: self.known(name, key, "share") for key in _SHARES}
            | {"bound": str(row["bound"] or "unknown"), "prefill": str(row["prefill_bound"] or "unknown")}
            for name, row in self.ok.items()
        ]  # fmt: skip
        columns = {"name": "Configuration", **_SHARES, "bound": "Decode bound by", "prefill": "Prefill bound by"}
        return self.table("limits", "Share of the ceilings measured in the same process", columns, rows)

    def energy_heading(self) -> Html:
        """Whether energy could be counted."""
        known = [name for name, row in self.ok.items() if row["energy_j_per_output_token"] is not None]
        if not known:
            return self.heading("Energy could not be counted on this machine")
        least = min(known, key=lambda name: self.ok[name]["energy_j_per_output_token"])
        return self.heading(
            "{least} needs the least energy, {joules}", least=least,
            joules=self.known(least, "energy_j_per_output_token", "J/token"),
        )  # fmt: skip

    def energy_table(self) -> Html:
        """Gross, idle and net joules, and net per token; or the reason in one sentence."""
        reasons = sorted({str(row["energy_reason"]) for row in self.ok.values() if row["energy_reason"]})
        if all(row["energy_gross_j"] is None for row in self.ok.values()):
            return self.text("Unknown, because {why}.", why=listed(reasons) or "no configuration was measured")
        rows = [{"name": n} | {key: self.known(n, key, unit) for key, (_, unit) in _ENERGY.items()} for n in self.ok]
        columns = {"name": "Configuration"} | {key: title for key, (title, _) in _ENERGY.items()}
        scope = listed(sorted({str(row["energy_scope"]) for row in self.ok.values()}))
        return self.table("energy", f"Energy of {scope} over all timed iterations", columns, rows)

    def layers_table(self) -> Html:
        """Every layer of memory, or the reason why it is unknown."""
        rows = [{"name": n} | {key: self.known(n, key, "bytes") for key in _LAYERS} for n in self.ok]
        return self.table("layers", "Peak of each layer of memory", {"name": "Configuration", **_LAYERS}, rows)
