"""The part of the measure page that says why: the roofline, shares of the ceilings, energy, and every memory layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log10
from typing import Any

from costlib.figure import Figure
from costlib.measure.device import REASON_CODES
from costlib.report.chart import Chart, draw, note, plain_axis
from costlib.report.ledger import Html
from costlib.report.page import Page, figure_of, listed
from costlib.reporting.charts import INK, PALETTE, SOFT

_SHARES = {
    "mbu": "Decode: bandwidth",
    "mfu": "Decode: arithmetic",
    "prefill_mbu": "Prefill: bandwidth",
    "prefill_mfu": "Prefill: arithmetic",
    "mbu_spec": "Decode: bandwidth of the data sheet",
}
_BOUND = {"bandwidth": "memory bandwidth", "compute": "arithmetic", "host": "overhead", None: "unknown"}
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
_MANY = 4
"""From more configurations on, a heading counts them and the roofline numbers them."""


def _no_interval(column: str) -> str:
    """Why a number of this column has none, where it is known."""
    if column.endswith("_bytes"):
        return "the largest of all processes"
    if column.startswith("energy_"):
        return "the sum over the windows of all processes"
    return "the estimate over the best ceiling of all processes"


class Limits(Page):
    """Mixed into the measure page, whose `ok` holds the measured rows by label and `where` their source."""

    ok: Mapping[str, Any]
    where: str

    def known(self, name: str, column: str, unit: str) -> Figure:
        """A number of a row with its interval, or the row's own reason why there is none."""
        row = self.ok[name]
        reasons = json.loads(row["reasons"] or "{}")
        code = str(reasons.get(column if row[column] is None else f"{column}_low") or "not measured")
        why = REASON_CODES.get(code, code) if row[column] is None or f"{column}_low" in row else _no_interval(column)
        counted = column.endswith("bytes") or column == "energy_gross_j"
        return figure_of(
            row, column, unit, kind="measured" if counted else "derived", source=f"runs {row['run_ids']}", reason=why
        )

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
        if len(self.ok) > _MANY:
            counts = [f"in {len(names)} by {_BOUND[bound]}" for bound, names in found.items()]
            return self.heading(f"What bounds decode in {len(self.ok)} configurations: {'; '.join(counts)}")
        return self.heading(
            "Decode: " + "; ".join(f"{_BOUND[bound]} bounds {listed(names)}" for bound, names in found.items())
        )

    def roofline_chart(self) -> Chart | Html:
        """Each configuration under the ceilings measured in its own call."""
        rows = {name: row for name, row in self.ok.items() if row["mbu"] is not None and row["mfu"] is not None}
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
            middle = (left * ridge) ** 0.5
            beside: dict[str, Any] = {"fontsize": 7, "color": SOFT, "ha": "right"}
            note(ax, "bandwidth measured here", (middle, middle * bandwidth), (-6, 4), **beside)
            note(ax, "matrix product measured here", (right, product), (-4, 5), **beside)
            ax.set_xscale("log")
            ax.set_yscale("log")
            numbers = {name: str(number) for number, name in enumerate(rows, start=1)}
            across = sorted({x for *_, x, _ in points})
            together: dict[tuple[float, int], list[str]] = {}  # points too near to each other for a number each
            for turn, (name, phase, x, y) in enumerate(sorted(points, key=lambda point: point[3])):
                look = ("o", PALETTE[0]) if phase == "decode" else ("s", PALETTE[1])
                ax.plot([x], [y], look[0], color=look[1], markeredgecolor=INK, markersize=6, zorder=5)
                if len(rows) > _MANY:
                    together.setdefault((x, round(20 * log10(y))), []).append(numbers[name])
                    continue
                words = {"ha": "right"} if turn % 2 else {}
                note(ax, f"{name} {phase}", (x, y), (-8 if turn % 2 else 8, -4), fontsize=7, **words)
            for (x, y), names in together.items():
                left_of = across.index(x) % 2 == 0  # neighbours in x write to both sides
                offset, side = ((-5, -2), "right") if left_of else ((5, -2), "left")
                note(ax, ", ".join(names), (x, 10 ** (y / 20)), offset, fontsize=6, ha=side)
            ax.set_xlabel("FLOP per byte, logarithmic")
            ax.set_ylabel("GFLOP/s, logarithmic")
            ax.yaxis.set_major_formatter(lambda value, place: f"{value / 1e9:,.{0 if value >= 1e9 else 3}f}")
            plain_axis(ax.xaxis, "", log=True)
            ax.margins(y=0.15)

        numbered = "; numbers are rows of the table" if len(rows) > _MANY else ""
        return Chart(
            "roofline",
            "How near each configuration comes to the machine's ceilings",
            f"Arithmetic intensity and speed of decode (circles) and prefill (squares), measured ceilings{numbered}",
            f"Source: {self.where}. Metrics: mbu, mfu.",
            "Roofline chart of FLOP/s by FLOP per byte where the lines are ceilings measured in the same call",
            draw("roofline", 3.6, paint),
        )

    def limits_table(self) -> Html:
        """Shares of the ceilings, and the bound."""
        drawn = [name for name, row in self.ok.items() if row["mbu"] is not None and row["mfu"] is not None]
        place = {name: f"{number}. " for number, name in enumerate(drawn, start=1)} if len(drawn) > _MANY else {}
        rows = [
            {"Configuration": f"{place.get(name, '')}{name}"}
            | {title: self.known(name, key, "share") for key, title in _SHARES.items()}
            | {"Decode bound by": _BOUND[row["bound"]], "Prefill bound by": _BOUND[row["prefill_bound"]]}
            for name, row in self.ok.items()
        ]
        return self.table("limits", "Share of the ceilings measured in the same call", rows)

    def energy_heading(self) -> Html:
        """Whether energy could be counted."""
        known = [name for name, row in self.ok.items() if row["energy_j_per_output_token"] is not None]
        if not known:
            return self.heading("Energy could not be counted on this machine")
        least = min(known, key=lambda name: self.ok[name]["energy_j_per_output_token"])
        joules = {name: self.known(name, "energy_j_per_output_token", "J/token") for name in known}
        most, others = joules[least].high, [joules[name].low for name in known if name != least]
        sure = not others or (most is not None and all(low is not None and low > most for low in others))
        return self.heading(
            "{least} needs the least energy, {joules} of output" + ("" if sure else ", perhaps by chance"),
            least=least, joules=joules[least],
        )  # fmt: skip

    def energy_table(self) -> Html:
        """Gross, idle and net joules, and net per token; or the reason in one sentence."""
        reasons = sorted({str(row["energy_reason"]) for row in self.ok.values() if row["energy_reason"]})
        if all(row["energy_gross_j"] is None for row in self.ok.values()):
            return self.text("Unknown, because {why}.", why=listed(reasons) or "no configuration was measured")
        rows = [
            {"Configuration": name} | {title: self.known(name, key, unit) for key, (title, unit) in _ENERGY.items()}
            for name in self.ok
        ]
        scope = listed(sorted({str(row["energy_scope"]) for row in self.ok.values()}))
        return self.table("energy", f"Energy of {scope} over all timed iterations", rows)

    def layers_table(self) -> Html:
        """Every layer of memory, or the reason why it is unknown."""
        rows = [
            {"Configuration": name} | {title: self.known(name, key, "bytes") for key, title in _LAYERS.items()}
            for name in self.ok
        ]
        return self.table("layers", "Peak of each layer of memory", rows)
