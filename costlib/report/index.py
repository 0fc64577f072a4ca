"""The first page of a report folder: what was reported, as of when, the answer of each report, and every file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from costlib.report.checks import markup
from costlib.report.manifest import Check
from costlib.report.page import long_date
from costlib.report.publish import page, provenance_block

FILES = {
    "plan.csv": "the plan, one row per workload",
    "alternatives.csv": "every workload on every option: cost, quality, and why an option is ruled out",
    "bill.csv": "what each API will invoice: volume, tokens, prices",
    "flips.csv": "every change that would turn a choice",
    "ledger.csv": "every number of every report, with unit, interval, kind and source",
    "manifest.json": "what this folder was made from, and the hash of each file",
}


def index(manifest: Mapping[str, Any], checks: Sequence[Check], sizes: Mapping[str, int]) -> str:
    """The HTML of `index.html`; `sizes` are bytes by file name."""
    cards = "".join(
        f'<li><h2><a href="{escape(report["file"])}">{escape(report["title"])}</a></h2>'
        f"<p>{escape(report['answer'])}</p></li>"
        for report in manifest["reports"]
    )
    files = "".join(
        f'<tr><th scope="row"><a href="{escape(name)}">{escape(name)}</a></th><td>{escape(_about(name, manifest))}</td>'
        f'<td class="num">{size / 1000:,.0f}\u202fkB</td></tr>'
        for name, size in sizes.items()
    )
    passed = sum(c.ok for c in checks)
    status = "complete" if passed == len(checks) else "complete, but not every check passed"
    return page(
        f"{manifest['title']}: reports",
        f'<h1>{escape(manifest["title"])}</h1><p class="eyebrow">costlib reports · study {escape(manifest["study"])} · '
        f'as of <time>{long_date(manifest["as_of"])}</time></p><ul class="reports">{cards}</ul>'
        f'<p class="note-line">{escape(manifest["synthetic"])}</p>'
        f'<h2>Files</h2><div class="scroll"><table><thead><tr><th scope="col">File</th><th scope="col">What it is</th>'
        f'<th scope="col" class="num">Size</th></tr></thead><tbody>{files}</tbody></table></div>'
        + provenance_block(
            [("Status", f"{status}: {passed} of {len(checks)} checks passed"), *manifest["provenance"].items()],
            markup(list(checks)),
        ),
    )


def _about(name: str, manifest: Mapping[str, Any]) -> str:
    titles = {report["file"]: report["title"] for report in manifest["reports"]}
    return titles.get(name) or FILES.get(name, "")
