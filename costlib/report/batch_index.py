"""The first page of a batch: how many reports are there, what each plan costs and saves, and where each is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from costlib.environment import git_commit
from costlib.report.batch_result import BatchResult, Made
from costlib.report.checks import sha256
from costlib.report.inputs import packages
from costlib.report.ledger import Html, kinds_key
from costlib.report.page import Page, cited, listed, long_date
from costlib.report.publish import page, provenance_block

_STATUS = {"written": "complete", "unchanged": "complete, unchanged", "failed": "FAILED", "waiting": "not made"}
_COLUMNS = {
    "name": "Report",
    "status": "Status",
    "plan": "Cost of the plan",
    "bills": "of it bills",
    "saving": "Saving",
    "probability_saves": "Chance that it saves",
}


def batch_index(result: BatchResult, generated: str) -> str:
    """The HTML of the batch's `index.html`; links are relative to its folder."""
    about = f"costlib batch {result.batch.file.stem} · {len(result.reports)} reports · made {long_date(generated)}"
    shown = Page(about)
    rows = [
        {
            "name": Html(f"{_link(made, result.out, made.name)}<small>{escape(_about(made))}</small>"),
            "what": made.name,
            "status": Html(f'<span class="{"" if made.ok else "failed"}">{_STATUS[made.status]}</span>'),
            **made.totals,
        }
        for made in result.reports
    ]
    caption = "Each plan in a month, wrong answers counted, and its saving against the baseline"
    body = [
        f'<h1>{escape(result.batch.title)}</h1><p class="eyebrow">{escape(about)}</p>',
        _headline(shown, result.reports),
        _failures(result),
        shown.table("reports", caption, rows, columns=_COLUMNS),
        kinds_key(),
        *(
            f'<p class="note-line">{escape(text)}</p>'
            for text in dict.fromkeys(one.synthetic for one in result.reports)
        ),
        _answers(result),
        shown.end().html,
        provenance_block(
            [
                ("Status", f"{sum(made.ok for made in result.reports)} of {len(result.reports)} reports complete"),
                ("Batch", f"{result.batch.file.name}, SHA-256 {sha256(result.batch.file)}"),
                ("Generated", f"{generated}, {result.workers} at a time"),
                ("Packages", packages()),
                ("Commit", git_commit() or "not a git checkout"),
            ]
        ),
    ]
    return page(f"{result.batch.title}: reports", "".join(str(part) for part in body))


def _headline(shown: Page, reports: Sequence[Made]) -> Html:
    """The answer first: how many are there, which are not, and whose plan saves most."""
    bad = [made.name for made in reports if not made.ok]
    count = f"{len(reports) - len(bad)} of {len(reports)}" if bad else f"All {len(reports)}"
    sentence = "{count} reports are complete" + ("; {names} not. " if bad else ". ")
    savings = {made.name: made.totals["saving"] for made in reports if made.totals["saving"].value is not None}
    if not savings:
        return shown.text(sentence, "headline", count=count, names=_are(bad))
    best = max(savings, key=lambda name: float(savings[name].value or 0))
    saves = float(savings[best].value or 0) > 0
    sentence += "The plan of {best} saves most, {saving}." if saves else "No plan is cheaper than its baseline."
    return shown.text(sentence, "headline", count=count, names=_are(bad), best=best, saving=savings[best])


def _are(names: Sequence[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _failures(result: BatchResult) -> str:
    """Why each report is missing, with the page that says more."""
    return "".join(
        f'<p class="caution">{_link(made, result.out, made.name)}: {escape(made.reason or made.status)}</p>'
        for made in result.reports
        if not made.ok
    )


def _answers(result: BatchResult) -> str:
    """What each notebook of each report says, in its own words."""
    lines = []
    for made in result.reports:
        pages = "".join(
            f'<p><a href="{_href(made.out / one.file, result.out)}">{escape(one.title)}</a><br>{cited(one.answer)}</p>'
            for one in made.reports
        )
        if pages:
            lines.append(f"<li><h3>{_link(made, result.out, made.name)}: {escape(made.title)}</h3>{pages}</li>")
    return f'<h2>What each report says</h2><ul class="reports">{"".join(lines)}</ul>' if lines else ""


def _about(made: Made) -> str:
    return f"{made.title} · as of {long_date(made.as_of)}"


def _link(made: Made, folder: Path, text: str) -> str:
    if made.page is None:
        return escape(text)
    return f'<a href="{_href(made.out / made.page, folder)}">{escape(text)}</a>'


def _href(file: Path, folder: Path) -> str:
    return escape(quote(os.path.relpath(file, folder)))
